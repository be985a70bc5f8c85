"""Survey: which classes the labels of a scene have, and where in it they lie."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import MaskFlags
from rasterio.windows import Window as RasterWindow

from geocamss.classes import NODATA, ClassScheme
from geocamss.errors import GeocamssWarning, InputError, RecipeError
from geocamss.evaluation.labels import LabelFile, around, polygon_names
from geocamss.evaluation.legend import value_names
from geocamss.evaluation.scores import IGNORED
from geocamss.scene.band import SceneBand
from geocamss.scene.gdal import GDAL_ERRORS, gdal_environment, open_raster
from geocamss.scene.grid import Grid
from geocamss.scene.read import SceneReader
from geocamss.scene.scene import Scene
from geocamss.scene.window import Window
from geocamss.training.sources.part import CELL

__all__ = ["Survey", "survey"]

MOST_CLASSES = 64
"""More values than these are measurements, not classes."""

STRIP = 32 * CELL
"""Rows of a scene that are counted at once."""

PART_PIXELS = 1 << 24
"""Rasters of labels are looked through in parts of at most about this many pixels."""

SHOWN = 12
"""Messages list this many things at most."""


@dataclass(frozen=True)
class LabelClass:
    """A class as the labels have it."""

    name: str
    """What the model calls it."""

    called: tuple[str | int, ...]
    """What the labels call it: values, or names."""

    value: int | None
    """The number that stands for it in the labels; None where that is no number."""


@dataclass(frozen=True)
class Survey:
    """The classes that the labels of a scene have, and where."""

    scheme: ClassScheme
    """The classes; each has the labels' own number wherever a class raster can hold it."""

    called: dict[str, tuple[str | int, ...]]
    """What the labels call each class, by its name."""

    column: str | None
    """Of polygons: the attribute that says the class."""

    counts: NDArray[np.int64]
    """(K, rows, columns) labeled pixels with data, in squares of ``CELL`` pixels."""

    @property
    def pixels(self) -> dict[str, int]:
        """Labeled pixels with data, by class."""
        return dict(zip(self.scheme.names, self.counts.sum((1, 2)).tolist(), strict=True))


def survey(file: LabelFile, scene: Scene, bands: tuple[SceneBand, ...], grid: Grid) -> Survey:
    """Find out what labels hold over a scene; classes without a pixel there are left out.

    Args:
        file: The labels; its meaning does not count.
        scene: What is to be learned from.
        bands: Of the scene, those that say where it has data.
        grid: Of the scene.

    Raises:
        InputError: the labels cannot be used, or not be laid over the scene.
        RecipeError: they hold too many classes, or none that the scene shows.
    """
    try:
        with gdal_environment(file.path):
            dataset = open_raster(file.path)
    except (*GDAL_ERRORS, OSError, ValueError) as error:
        classes = _of_polygons(polygon_names(file, grid, str(error)))
        taken: Collection[int] = ()
    else:
        with gdal_environment(file.path), dataset:
            classes, taken = _of_raster(dataset, file.path, grid)
        if file.column is not None:
            _warn(f"{file.path}: is a raster, whose values are its classes; no field of it is read")
            file = replace(file, column=None)
    if len(classes) > MOST_CLASSES:
        raise RecipeError(
            f"{file.path}: more than {MOST_CLASSES} classes lie over {scene.path}; these are "
            "measurements or names of places: take another field, or join some"
        )
    counts = _counts(file, classes, (scene, bands, grid))
    found = counts.sum((1, 2)) > 0  # (K,)
    if not found.any():
        field = "" if file.column is None else f", and does {file.column!r} hold the classes?"
        raise InputError(
            f"no pixel of {scene.path} has a label of {file.path}; do they show the same "
            f"ground{field or '?'}"
        )
    absent = [classes[k].name for k in np.flatnonzero(~found)]
    if absent:
        _warn(f"{file.path}: classes without a pixel in the scene are left out: {_listed(absent)}")
    classes = [classes[k] for k in np.flatnonzero(found)]
    called = {entry.name: entry.called for entry in classes}
    return Survey(_scheme(classes, taken), called, file.column, counts[found])


def _of_polygons(names: Sequence[str]) -> list[LabelClass]:
    """Names that are numbers are kept as such: another file may have them in a raster."""
    return _joined((n, n, int(n) if re.fullmatch(r"0|[1-9][0-9]{0,2}", n) else None) for n in names)


def _of_raster(dataset: Any, path: str, grid: Grid) -> tuple[list[LabelClass], Collection[int]]:
    """The classes of a raster, and all values that it has over a grid."""
    silent = MaskFlags.all_valid in dataset.mask_flag_enums[0]
    values = _raster_values(dataset, path, grid) - ({NODATA} if silent else set())
    names = value_names(path, dataset)
    if names:
        unnamed = sorted(values - set(names) - {0})
        if unnamed:
            _warn(
                f"{path}: names its values, and those without a name are ignored: "
                f"{_listed(map(str, unnamed))}"
            )
        named = [(names[v], names[v], v) for v in sorted(values) if v in names]
        return _joined(named), values
    if silent and 0 in values and len(values) > 1:
        _warn(
            f"{path}: 0 is a class too, as the file declares no nodata; if it stands for no "
            f"label, say so: gdal_edit.py -a_nodata 0 {path}"
        )
    return _joined((f"class {v}", v, v) for v in sorted(values)), values


def _raster_values(dataset: Any, path: str, grid: Grid) -> set[int]:
    """The values of a raster of labels around a grid."""
    wrong = RecipeError(f"{path}: labels are one band of whole numbers, or polygons")
    if dataset.count != 1 or np.dtype(dataset.dtypes[0]).kind not in "iuf":
        raise wrong
    found: set[int] = set()
    for place in _places(dataset, grid):
        values = dataset.read(1, window=place)[dataset.read_masks(1, window=place) > 0]
        some = np.unique(values[np.isfinite(values)])
        if (some != np.rint(some)).any():
            raise wrong
        found |= {int(value) for value in some}
        if len(found) > MOST_CLASSES + 1:  # one may stand for no label
            raise RecipeError(f"{path}: more than {MOST_CLASSES} values; these are no classes")
    return found


def _places(dataset: Any, grid: Grid) -> Iterator[RasterWindow]:
    """Windows of a raster that together hold all of it that lies around a grid."""
    part = Window(0, 0, dataset.height, dataset.width)
    if grid.crs is not None and dataset.crs is not None:
        same = grid.crs == dataset.crs
        bounds = grid.bounds if same else around(grid, dataset.crs.to_wkt())
        part = part if bounds is None else part & _pixels(~dataset.transform, bounds)
    step = max(1, PART_PIXELS // max(part.width, 1))
    for row in range(part.row, part.row if part.empty else part.stop_row, step):
        yield RasterWindow(part.col, row, part.width, min(step, part.stop_row - row))


def _pixels(inverse: Affine, bounds: tuple[float, float, float, float]) -> Window:
    """All pixels that (left, bottom, right, top) touches."""
    xs, ys = np.array(bounds)[[0, 0, 2, 2]], np.array(bounds)[[1, 3, 1, 3]]
    cols = inverse.a * xs + inverse.b * ys + inverse.c
    rows = inverse.d * xs + inverse.e * ys + inverse.f
    corners = rows.min(), cols.min(), rows.max(), cols.max()
    first_row, first_col, last_row, last_col = (math.floor(at) for at in corners)
    return Window.between(first_row, first_col, last_row + 1, last_col + 1)


def _joined(named: Iterable[tuple[str, str | int, int | None]]) -> list[LabelClass]:
    """Classes of names; names that differ in blanks or case only are one.

    Args:
        named: Name, what the labels say for it, and the number there.
    """
    found: dict[str, LabelClass] = {}
    spelled: dict[str, list[str]] = {}
    for text, said, value in named:
        name = re.sub(r"\s+", " ", text).strip() or "class"
        entry = found.setdefault(name.casefold(), LabelClass(name, (), value))
        called = dict.fromkeys((*entry.called, said))
        found[name.casefold()] = replace(entry, called=tuple(called))
        if name not in spelled.setdefault(name.casefold(), []):
            spelled[name.casefold()].append(name)
    for first, *others in spelled.values():
        if others:
            _warn(f"{_listed(others)} and {first} are taken for one class, {first}")
    return list(found.values())


def _scheme(classes: Sequence[LabelClass], taken: Collection[int]) -> ClassScheme:
    """The classes by their own numbers; what has none gets one that means nothing else.

    Args:
        classes: Of the labels.
        taken: Numbers that mean something in the labels.
    """
    own = [entry.value if entry.value in range(NODATA) else None for entry in classes]
    free = (value for value in range(NODATA) if value not in {*own, *taken})
    values = [next(free) if value is None else value for value in own]
    return ClassScheme.of(
        [{"value": v, "name": entry.name} for v, entry in zip(values, classes, strict=True)]
    )


def _counts(
    file: LabelFile, classes: Sequence[LabelClass], shown: tuple[Scene, tuple[SceneBand, ...], Grid]
) -> NDArray[np.int64]:
    """(K, rows, columns) labeled pixels with data, in squares of ``CELL`` pixels."""
    scene, bands, grid = shown
    size = [math.ceil(side / CELL) for side in grid.shape]
    counts = np.zeros((len(classes), *size), np.int64)
    if not classes:
        return counts
    meaning = {str(called): entry.name for entry in classes for called in entry.called}
    known = replace(file, meaning=meaning).open(grid, ClassScheme.of([c.name for c in classes]))
    with (
        closing(known) as labels,
        gdal_environment(scene.path),
        SceneReader(scene, bands, grid, (0.0,) * len(bands)) as reader,
    ):
        for top in range(0, grid.height, STRIP):
            window = Window(top, 0, min(STRIP, grid.height - top), grid.width)
            channels = labels.read(window)
            rows, cols = np.nonzero(channels != IGNORED)
            if not len(rows):
                continue
            row, col = int(rows.min()), int(cols.min())
            corner = top + int(rows.max()) + 1, int(cols.max()) + 1
            _, valid = reader.read(Window.between(top + row, col, *corner))
            there = valid[rows - row, cols - col]
            rows, cols = rows[there], cols[there]
            np.add.at(counts, (channels[rows, cols], (top + rows) // CELL, cols // CELL), 1)
    return counts


def _listed(names: Iterable[str]) -> str:
    whole = list(names)
    more = f" and {len(whole) - SHOWN} more" if len(whole) > SHOWN else ""
    return ", ".join(whole[:SHOWN]) + more


def _warn(what: str) -> None:
    warnings.warn(what, GeocamssWarning, stacklevel=4)
