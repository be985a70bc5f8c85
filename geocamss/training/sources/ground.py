"""Ground that two labeled images share: what must not be both learned from and scored on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from geocamss.errors import RecipeError
from geocamss.scene.grid import Grid
from geocamss.scene.ground import transformer
from geocamss.training.sources.image import IGNORED, LabeledImage

__all__ = ["check_apart", "share_ground"]

Floats = NDArray[np.floating[Any]]

MOST_POINTS = 1 << 20
"""At most about this many labeled pixels of an image are looked up in the other."""


def check_apart(training: Sequence[LabeledImage], validation: Sequence[LabeledImage]) -> None:
    """Refuse ground that is in training and in validation: every score would be a lie.

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
    rows, cols = np.nonzero(other.labels.numpy() != IGNORED)
    step = max(1, len(rows) // MOST_POINTS)
    xs, ys = _places(other.grid.transform, cols[::step] + 0.5, rows[::step] + 0.5)
    if image.grid.crs != other.grid.crs:
        xs, ys = transformer(other.grid.crs, image.grid.crs).transform(xs, ys)
    found = np.isfinite(xs) & np.isfinite(ys)
    theirs = _places(~image.grid.transform, xs[found], ys[found])
    cols, rows = (np.floor(values).astype(np.int64) for values in theirs)
    height, width = image.labels.shape
    inside = (rows >= 0) & (rows < height) & (cols >= 0) & (cols < width)
    return bool((image.labels.numpy()[rows[inside], cols[inside]] != IGNORED).any())


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
