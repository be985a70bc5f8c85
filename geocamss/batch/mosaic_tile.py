"""One tile of a mosaic: what several maps say of its pixels, and which of them has its say."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import geocamss
from geocamss.batch.mosaic_grid import Rule, TileLattice
from geocamss.batch.mosaic_pixels import nearest, on_earth
from geocamss.classes import NODATA, ClassScheme
from geocamss.output.areas import ClassArea, class_areas
from geocamss.output.blocks import LEVELS
from geocamss.output.classmap import ClassMap
from geocamss.output.colors import color_table
from geocamss.output.raster import RasterSpec, RasterWriter
from geocamss.output.stac import build_item, write_item
from geocamss.scene.gdal import gdal_environment
from geocamss.scene.window import Window

__all__ = ["Layer", "TileOrder", "combine", "make_tile"]

STRIP_PIXELS = 2**21
"""Pixels of a tile that are settled at a time, at most: their places take sixteen bytes each."""

SUMS = 2**25
"""Sums of probabilities that are held at a time, at most, of all classes."""

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Layer:
    """A map that has its say in a mosaic."""

    folder: Path
    """Holds ``classes.tif``, and ``confidence.tif`` and ``probabilities.tif`` where those were
    asked for."""

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
            # The item goes first and comes last: it says that all is there.
            for stale in ("item.json", *sorted({"classes.tif", "confidence.tif"} - set(files))):
                (target / stale).unlink(missing_ok=True)
            for file in files:
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
    shape = order.lattice.height, order.lattice.width
    classes, percent = np.full((2, *shape), NODATA, np.uint8)
    settle = _average if order.rule == "mean" else _choose
    known = True
    for rows in _strips(order):
        classes[rows], percent[rows], sure = settle(order, rows)
        known = known and sure
    if not (classes != NODATA).any():
        return None, None
    return classes, percent if known else None


def _strips(order: TileOrder) -> Iterator[slice]:
    """The rows of a tile, as many at a time as take little memory."""
    height, width = order.lattice.height, order.lattice.width
    rows = max(1, min(STRIP_PIXELS, SUMS // len(order.scheme.values)) // width)
    for row in range(0, height, rows):
        yield slice(row, min(row + rows, height))


def _choose(order: TileOrder, rows: slice) -> tuple[Bytes, Bytes, bool]:
    """Class and confidence of the map that has its say, and whether all maps know theirs."""
    free = on_earth(order.lattice, order.row, order.col, rows)
    classes, percent = np.full((2, *free.shape), NODATA, np.uint8)
    known = True
    for layer in order.layers:
        if not free.any():
            break
        rasters = ("classes", "confidence")
        found = nearest(layer.folder, rasters, order.lattice, order.row, order.col, rows)
        if found is None:
            continue
        says = found["classes"][0]
        sure = found["confidence"][0] if "confidence" in found else None
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
    return classes, percent, known


def _average(order: TileOrder, rows: slice) -> tuple[Bytes, Bytes, bool]:
    """The likeliest class by the mean of all maps' probabilities, and that mean in percent.

    The sums are integers, so that the order of the maps is of no matter; of equally likely
    classes the first wins.
    """
    free = on_earth(order.lattice, order.row, order.col, rows)
    values = np.array(order.scheme.values, np.uint8)
    kind = np.uint16 if len(order.layers) * LEVELS < 2**16 else np.uint32
    sums, count = np.zeros((len(values), *free.shape), kind), np.zeros(free.shape, np.int64)
    for layer in order.layers:
        rasters = ("probabilities",)
        found = nearest(layer.folder, rasters, order.lattice, order.row, order.col, rows)
        if found is None:
            continue
        said = found["probabilities"]
        there = free & (said[0] != NODATA)
        np.add(sums, said, out=sums, where=there)
        count += there
    some = count > 0
    count[~some] = 1
    classes = np.where(some, values[sums.argmax(axis=0)], NODATA)
    # Halves are rounded up, in integers.
    best = sums.max(axis=0).astype(np.int64)
    percent = (200 * best + LEVELS * count) // (2 * LEVELS * count)
    return classes, np.where(some, percent, NODATA).astype(np.uint8), True


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
