"""One tile of a mosaic: what several maps say of its pixels, and which of them has its say."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.windows import Window as RasterioWindow

import geocamss
from geocamss.batch.mosaic_grid import Rule, TileLattice
from geocamss.classes import NODATA, ClassScheme
from geocamss.output.areas import ClassArea, class_areas
from geocamss.output.classmap import ClassMap
from geocamss.output.colors import color_table
from geocamss.output.raster import RasterSpec, RasterWriter, quiet_gdal
from geocamss.output.stac import build_item, write_item
from geocamss.scene.gdal import gdal_environment
from geocamss.scene.ground import transformer
from geocamss.scene.window import Window

__all__ = ["Layer", "TileOrder", "combine", "make_tile", "nearest"]

STEP = 32
"""Positions are exact at every such pixel of a tile, and interpolated between."""

STEP_METERS = 200.0
"""Between larger pixels the Earth curves too much: they are all exact."""

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Layer:
    """A map that has its say in a mosaic."""

    folder: Path
    """Holds ``classes.tif``, and ``confidence.tif`` where that was asked for."""

    key: str
    """Changes when the map does."""

    datetime: datetime | None
    """When its scene was acquired."""


@dataclass(frozen=True)
class TileOrder:
    """A tile that is to be made."""

    lattice: TileLattice
    """Where it lies."""

    row: int
    """Among the tiles."""

    col: int
    """Among the tiles."""

    layers: tuple[Layer, ...]
    """The maps that may reach it, the one that is asked first in front."""

    rule: Rule
    """Which has its say."""

    folder: Path
    """Of the mosaic."""

    scheme: ClassScheme
    """The classes of the maps."""

    digest: str
    """Of all that fixes the tile."""

    @property
    def name(self) -> str:
        """Of the tile, and of its folder."""
        return self.lattice.name(self.row, self.col)


@dataclass(frozen=True)
class _Positions:
    """Where the pixels of a tile lie among those of a raster."""

    cols: Floats
    """(height, width) of the tile; not finite where there is no ground."""

    rows: Floats
    """Likewise."""

    shape: tuple[int, int]
    """Height and width of the raster."""

    @cached_property
    def inside(self) -> NDArray[np.bool_]:
        """Which lie on the raster."""
        high, wide = self.shape
        across = (self.cols >= 0) & (self.cols < wide)
        return np.asarray(across & (self.rows >= 0) & (self.rows < high))


def make_tile(order: TileOrder) -> str | None:
    """Make a tile, unless it is there already.

    Returns:
        Its name; None when no map has data in it.
    """
    target = order.folder / order.name
    if _digest(target) == order.digest:
        return order.name
    with gdal_environment(str(target)):
        classes, confidence = combine(order)
        if classes is None:
            return None
        with tempfile.TemporaryDirectory(prefix=".tile-", dir=order.folder) as private:
            files = _write(order, Path(private), classes, confidence)
            target.mkdir(exist_ok=True)
            for stale in {"classes.tif", "confidence.tif", "item.json"} - set(files):
                (target / stale).unlink(missing_ok=True)
            for file in files:  # the item comes last: it says that all is there
                (Path(private) / file).replace(target / file)
    return order.name


def _digest(folder: Path) -> str | None:
    try:
        item = json.loads((folder / "item.json").read_text("utf-8"))
        return str(item["properties"]["geocamss:digest"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def combine(order: TileOrder) -> tuple[Bytes | None, Bytes | None]:
    """What the maps say of a tile's pixels.

    Returns:
        Class map and confidence, both (height, width), 255 = no data; None for a tile without
        data, and for the confidence where a map has none.
    """
    lattice = order.lattice
    shape = lattice.height, lattice.width
    classes, percent = np.full((2, *shape), NODATA, np.uint8)
    known = True
    free = _on_earth(order)
    for layer in order.layers:
        if not free.any():
            break
        found = nearest(layer.folder, lattice, order.row, order.col)
        if found is None:
            continue
        says, sure = found
        take = (says != NODATA) & free
        if sure is None:
            known = False
        if order.rule == "confidence" and sure is not None:
            # Nothing beats what is not there: -1 stands for it.
            before = np.where(classes == NODATA, -1, percent.astype(np.int16))
            take &= sure > before
        classes[take] = says[take]
        if sure is not None:
            percent[take] = sure[take]
        if order.rule != "confidence":
            free &= classes == NODATA
    if not (classes != NODATA).any():
        return None, None
    return classes, percent if known else None


def _on_earth(order: TileOrder) -> NDArray[np.bool_]:
    xs, ys = _centers(order.lattice, order.row, order.col)
    edge = order.lattice.on_earth(*_outline(xs, ys))
    if edge.all():  # of a convex part of the plane
        return np.ones((len(ys), len(xs)), bool)
    return order.lattice.on_earth(*(np.asarray(c) for c in np.meshgrid(xs, ys)))


def _centers(lattice: TileLattice, row: int, col: int) -> tuple[Floats, Floats]:
    """Coordinates of the columns and rows of a tile, reckoned from the lattice's own origin."""
    cols: Floats = col * lattice.width + np.arange(lattice.width, dtype=np.float64) + 0.5
    rows: Floats = row * lattice.height + np.arange(lattice.height, dtype=np.float64) + 0.5
    return lattice.left + cols * lattice.across, lattice.top - rows * lattice.down


def _outline(xs: Floats, ys: Floats) -> tuple[Floats, Floats]:
    across, down = np.ones_like(xs), np.ones_like(ys)
    return (
        np.concatenate([xs, xs, xs[0] * down, xs[-1] * down]),
        np.concatenate([ys[0] * across, ys[-1] * across, ys, ys]),
    )


def nearest(
    folder: Path, lattice: TileLattice, row: int, col: int
) -> tuple[Bytes, Bytes | None] | None:
    """The pixels of a map that are nearest to those of a tile.

    A class is never mixed from others. Where the mosaic's pixels are much larger than the map's,
    its overview is taken: of classes, that holds what is most frequent.

    Returns:
        Class map and confidence, (height, width), 255 = no data; None when the map is elsewhere.
        The confidence is None where the map has none.
    """
    path = folder / "classes.tif"
    with _opened(path) as whole:
        found = None if whole.crs is None else _positions(lattice, row, col, whole)
        if found is None:
            return None
        at = _Positions(*found, whole.shape)
        level = _overview(whole.overviews(1), at)
    if not at.inside.any():
        return None
    confidence = folder / "confidence.tif"
    sure = _taken(confidence, level, at) if confidence.exists() else None
    return _taken(path, level, at), sure


@contextlib.contextmanager
def _opened(path: Path, **options: Any) -> Iterator[Any]:
    with quiet_gdal(), rasterio.open(path, **options) as file:
        yield file


def _taken(path: Path, level: int | None, at: _Positions) -> Bytes:
    """Pixels of a raster, or of one of its overviews, at positions among those of the whole."""
    options = {} if level is None else {"overview_level": level}
    with _opened(path, **options) as file:
        high, wide = file.shape[0] / at.shape[0], file.shape[1] / at.shape[1]
        i = np.minimum((at.rows[at.inside] * high).astype(np.int64), file.shape[0] - 1)
        j = np.minimum((at.cols[at.inside] * wide).astype(np.int64), file.shape[1] - 1)
        top, left = int(i.min()), int(j.min())
        window = RasterioWindow(left, top, int(j.max()) + 1 - left, int(i.max()) + 1 - top)
        pixels = file.read(1, window=window)
    result = np.full(at.inside.shape, NODATA, np.uint8)
    result[at.inside] = pixels[i - top, j - left]
    return result


def _overview(factors: Sequence[int], at: _Positions) -> int | None:
    """The coarsest overview that is no coarser than the mosaic."""
    with np.errstate(invalid="ignore"):
        steps = np.hypot(np.diff(at.cols[:, :2]), np.diff(at.rows[:, :2]))
    known = steps[np.isfinite(steps)]
    step = float(np.median(known)) if known.size else 1.0
    fit = [index for index, factor in enumerate(factors) if factor <= step]
    return max(fit, default=None)


def _positions(lattice: TileLattice, row: int, col: int, file: Any) -> tuple[Floats, Floats] | None:
    """Where the pixels of a tile lie among those of a raster, as (column, row); None if nowhere."""
    xs, ys = _centers(lattice, row, col)
    step = STEP if _meters(lattice) <= STEP_METERS else 1
    i, j = _nodes(len(ys), step), _nodes(len(xs), step)
    exact = _exact(*np.meshgrid(xs[j], ys[i]), lattice, file)
    if step > 1 and _wraps(exact[0], file):
        step, i, j = 1, _nodes(len(ys), 1), _nodes(len(xs), 1)
        exact = _exact(*np.meshgrid(xs, ys), lattice, file)
    if not _near(*exact, file.shape):
        return None
    cols, rows = (_between(_between(nodes, i, len(ys)).T, j, len(xs)).T for nodes in exact)
    lost = ~(np.isfinite(cols) & np.isfinite(rows))
    if lost.any():  # near the edge of what a CRS knows
        where = np.nonzero(lost)
        cols[lost], rows[lost] = _exact(xs[where[1]], ys[where[0]], lattice, file)
    return cols, rows


def _meters(lattice: TileLattice) -> float:
    """Size of a pixel, about."""
    return lattice.across * (111_000.0 if lattice.crs.is_geographic else 1.0)


def _nodes(count: int, step: int) -> NDArray[np.int64]:
    """Indices of the pixels whose positions are exact, the last one among them."""
    return np.unique(np.append(np.arange(0, count, step), count - 1))


def _between(values: Floats, nodes: NDArray[np.int64], count: int) -> Floats:
    """Values at all indices along the first axis, from those at nodes."""
    if len(nodes) == count:
        return values
    places = np.arange(count)
    left = np.clip(np.searchsorted(nodes, places, "right") - 1, 0, len(nodes) - 2)
    share = ((places - nodes[left]) / (nodes[left + 1] - nodes[left]))[:, None]
    with np.errstate(invalid="ignore"):
        return np.asarray(values[left] + (values[left + 1] - values[left]) * share)


def _exact(xs: Floats, ys: Floats, lattice: TileLattice, file: Any) -> tuple[Floats, Floats]:
    place = file.transform
    if file.crs != lattice.crs:
        xs, ys = map(np.asarray, transformer(lattice.crs, file.crs).transform(xs, ys))
    if file.crs.is_geographic:  # it may count beyond the antimeridian
        middle = _middle(file)
        xs = middle + (xs - middle + 180.0) % 360.0 - 180.0
    a, b, c, d, e, f = (~place)[:6]
    return a * xs + b * ys + c, d * xs + e * ys + f


def _wraps(cols: Floats, file: Any) -> bool:
    """Whether longitudes begin anew between nodes: nothing lies between those."""
    if not file.crs.is_geographic:
        return False
    jumps = np.abs(np.diff(cols, axis=1)) * abs(file.transform.a)
    return bool(np.nanmax(np.where(np.isfinite(jumps), jumps, 0.0), initial=0.0) > 180.0)


def _middle(file: Any) -> float:
    place: Affine = file.transform
    return float(place.a * file.width / 2 + place.b * file.height / 2 + place.c)


def _near(cols: Floats, rows: Floats, shape: tuple[int, int]) -> bool:
    """Whether any part of a tile can lie on a raster, from the positions of its nodes."""
    good = np.isfinite(cols) & np.isfinite(rows)
    if not good.any():
        return False
    if not good.all():
        return True
    # Nodes are at most so far apart; a raster between four of them is still met.
    reach = max(
        float(np.abs(np.diff(values, axis=axis)).max(initial=0.0))
        for values in (cols, rows)
        for axis in (0, 1)
    )
    across = (cols > -reach) & (cols < shape[1] + reach)
    return bool((across & (rows > -reach) & (rows < shape[0] + reach)).any())


def _write(
    order: TileOrder, folder: Path, classes: Bytes, confidence: Bytes | None
) -> tuple[str, ...]:
    """Write a tile's rasters and its item; returns their names, the item's last."""
    lattice, scheme = order.lattice, order.scheme
    transform = lattice.transform(order.row, order.col)
    tags = {
        "GEOCAMSS_SOFTWARE": f"geocamss {geocamss.__version__}",
        "GEOCAMSS_RULE": order.rule,
        **{f"CLASS_{c.value}": c.name for c in scheme},
    }
    files = ["classes.tif"]
    spec = RasterSpec(
        lattice.crs, transform, classes.shape, "class", "MODE", tags, colors=color_table(scheme)
    )
    _write_raster(spec, folder / "classes.tif", classes)
    if confidence is not None:
        files.append("confidence.tif")
        sure = RasterSpec(
            lattice.crs,
            transform,
            classes.shape,
            "confidence",
            "AVERAGE",
            tags,
            unit="percent",
        )
        _write_raster(sure, folder / "confidence.tif", confidence)
    areas = class_areas(
        folder / "classes.tif", folder / "confidence.tif" if len(files) > 1 else None, scheme
    )
    _write_item(order, folder, files, areas)
    return (*files, "item.json")


def _write_raster(spec: RasterSpec, target: Path, pixels: Bytes) -> None:
    with RasterWriter(spec, target) as writer:
        writer.write(Window(0, 0, *pixels.shape), pixels)
        writer.finish()


def _write_item(
    order: TileOrder, folder: Path, files: Sequence[str], areas: tuple[ClassArea, ...]
) -> None:
    times = sorted(layer.datetime for layer in order.layers if layer.datetime is not None)
    item = build_item(
        order.name,
        crs=order.lattice.crs,
        transform=order.lattice.transform(order.row, order.col),
        shape=(order.lattice.height, order.lattice.width),
        scheme=order.scheme,
        files=files,
        made=datetime.now(UTC),
        acquired=(times[0], times[-1]) if times else None,
        window=ClassMap.open(folder / "classes.tif").data_window(),
        areas=areas,
        provenance={
            "rule": order.rule,
            "digest": order.digest,
            "maps": [os.fspath(layer.folder.name) for layer in order.layers],
        },
        software={"geocamss": geocamss.__version__},
        lineage="Mosaic of maps that geocamss segmented",
    )
    write_item(item, folder / "item.json")
