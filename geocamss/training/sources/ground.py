"""Ground that two labeled images share: what must not be both learned from and scored on."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from torch import Tensor

from geocamss.errors import RecipeError
from geocamss.scene.grid import Grid
from geocamss.scene.ground import transformer
from geocamss.training.sources.image import IGNORED, LabeledImage

__all__ = ["check_apart", "grid_of", "share_ground"]

Floats = NDArray[np.floating[Any]]

MOST_POINTS = 1 << 20
"""At most about this many labeled pixels of an image are looked up in the other."""


def check_apart(training: Sequence[LabeledImage], validation: Sequence[LabeledImage]) -> None:
    """Refuse ground that is in training and in validation: every score would be a lie.

    Ground is the same where it has the same coordinates, and where it has the same pixels: copies
    of a picture are found wherever they lie and whatever reads them.

    Raises:
        RecipeError: names the two images.
    """
    for item in training:
        for other in validation:
            if share_ground(item, other):
                raise RecipeError(
                    f"{item.name} is in training and {other.name} in validation, and both are "
                    "labeled on the same ground; take other scenes, or give each a part"
                )
    _check_copies(training, validation)


def _check_copies(training: Sequence[LabeledImage], validation: Sequence[LabeledImage]) -> None:
    shapes = {item.image.shape for item in training}
    suspects = [item for item in validation if item.image.shape in shapes]
    shapes = {item.image.shape for item in suspects}
    pixels = _Fingerprints()
    known: defaultdict[str, list[LabeledImage]] = defaultdict(list)
    for item in training:
        if item.image.shape in shapes:
            known[pixels.of(item)].append(item)
    for other in suspects:
        for item in known[pixels.of(other)]:
            if _same_pixels(item, other):
                raise RecipeError(
                    f"{item.name} is in training and {other.name} in validation, and they are the "
                    "same picture, labeled at the same place; leave one of them out"
                )


class _Fingerprints:
    """Hashes of pixels, whatever type they are stored in; each is made once."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, Any], tuple[Tensor, str]] = {}

    def of(self, item: LabeledImage) -> str:
        """Of an image."""
        key = id(item.image), item.units  # the tensor is kept, so that no other gets its number
        if key not in self._known:
            found = hashlib.sha256()
            for row in range(item.labels.shape[0]):
                values = item.part(slice(row, row + 1), slice(None)).pixels().numpy()
                found.update(values.tobytes())
            self._known[key] = item.image, found.hexdigest()
        return self._known[key][1]


def grid_of(dataset: rasterio.DatasetReader, height: int, width: int) -> Grid | None:
    """Where the upper left of a picture lies, as far as its file says so.

    Args:
        dataset: The file.
        height: Rows that count.
        width: Columns that count.
    """
    crs = dataset.crs
    if crs is None or not (crs.is_geographic or crs.is_projected):
        return None
    return Grid(crs, dataset.transform, width, height, origin=(0, 0), aligned=(0, 0))


def share_ground(image: LabeledImage, other: LabeledImage) -> bool:
    """Whether a labeled pixel of one lies on a labeled pixel of the other.

    Images without a place on the ground share it with none but those of the same file.
    """
    if image.grid is None or other.grid is None:
        return False
    if image.grid.crs is None or other.grid.crs is None:
        return image.grid == other.grid and image.name == other.name and _same_pixels(image, other)
    if _far_apart(image.grid, other.grid):
        return False
    rows, cols = _some_labeled(other)
    xs, ys = _places(other.grid.transform, cols + 0.5, rows + 0.5)
    if image.grid.crs != other.grid.crs:
        xs, ys = transformer(other.grid.crs, image.grid.crs).transform(xs, ys)
    found = np.isfinite(xs) & np.isfinite(ys)
    theirs = _places(~image.grid.transform, xs[found], ys[found])
    cols, rows = (np.floor(values).astype(np.int64) for values in theirs)
    height, width = image.labels.shape
    inside = (rows >= 0) & (rows < height) & (cols >= 0) & (cols < width)
    return bool((image.labels.numpy()[rows[inside], cols[inside]] != IGNORED).any())


def _some_labeled(image: LabeledImage) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of labeled pixels, spread over all of them."""
    step = max(1, image.places.total // MOST_POINTS)
    found = []
    seen = 0
    for row, labels in enumerate(image.labels.numpy()):  # row by row: an image is large
        cols = np.flatnonzero(labels != IGNORED)
        chosen = cols[-seen % step :: step]
        found.append(np.stack([np.full_like(chosen, row), chosen]))
        seen += len(cols)
    rows, cols = np.concatenate(found, axis=1)
    return rows, cols


def _same_pixels(image: LabeledImage, other: LabeledImage) -> bool:
    return bool(((image.labels != IGNORED) & (other.labels != IGNORED)).any())


def _far_apart(grid: Grid, other: Grid) -> bool:
    """Whether two grids surely have no ground in common, by their bounds alone."""
    left, bottom, right, top = grid.bounds
    west, south, east, north = other.bounds
    if grid.crs is not None and other.crs is not None and grid.crs != other.crs:
        west, south, east, north = transformer(other.crs, grid.crs).transform_bounds(*other.bounds)
        if not (np.isfinite([west, south, east, north]).all() and west < east):
            return False  # it has no bounds there, or reaches over the edge of the map
        margin = 0.1 * max(east - west, north - south)  # edges bend between the points looked at
        west, south, east, north = west - margin, south - margin, east + margin, north + margin
    return not (left < east and west < right and bottom < north and south < top)


def _places(transform: Affine, x: Floats, y: Floats) -> tuple[Floats, Floats]:
    a, b, c, d, e, f = tuple(transform)[:6]
    return a * x + b * y + c, d * x + e * y + f
