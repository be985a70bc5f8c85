"""All maps of a job on one grid: which tiles there are, and the files that hold them together.

Each tile is made from the finished maps, pixel by pixel from the nearest one of theirs, so that
classes are never mixed, and maps of any CRS, zone and pixel size meet. What is asked where is
found by carrying points of the maps over to the mosaic: those of a map across the antimeridian
fall on both sides of a world map, as they should.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import rasterio
from affine import Affine
from pystac import Catalog, Link, MediaType

from geocamss.batch.mosaic_grid import NEEDS, Mosaic, Rule, TileLattice
from geocamss.batch.mosaic_tile import Layer, TileOrder
from geocamss.classes import NODATA, ClassScheme
from geocamss.errors import InputError, RunError
from geocamss.output.colors import color_table
from geocamss.output.markup import add
from geocamss.output.raster import quiet_gdal
from geocamss.scene.ground import ground_scale, transformer
from geocamss.whole import whole

__all__ = ["finish_mosaic", "ordered", "plan_mosaic", "tiles_of"]

FOLDER = "mosaic"
"""Folder of the mosaic in the output folder."""

MOST_TILES = 10_000_000
"""More than anyone could want: the pixel size is off."""


def ordered(layers: Iterable[Layer], rule: Rule) -> tuple[Layer, ...]:
    """The maps in the order in which they are asked.

    The newest comes first under that rule, and maps that know no date come last. Under the rule
    of the mean their order is of no matter.
    """
    if rule != "newest":
        return tuple(layers)
    long_ago = -math.inf

    def age(layer: Layer) -> float:
        return -(layer.datetime.timestamp() if layer.datetime else long_ago)

    return tuple(sorted(layers, key=age))


def plan_mosaic(
    layers: Sequence[Layer], mosaic: Mosaic, scheme: ClassScheme, folder: Path
) -> list[TileOrder]:
    """The tiles of a mosaic, from the north to the south and from the west to the east.

    Args:
        layers: the maps, in the order of the job.
        mosaic: what is asked for.
        scheme: classes of the maps.
        folder: of the job; the mosaic gets a folder in it.

    Raises:
        InputError: the rule needs what the maps do not have, or no map has a place on the ground.
    """
    needed = NEEDS.get(mosaic.rule)
    for layer in layers if needed else ():
        if not (layer.folder / f"{needed}.tif").exists():
            raise InputError(
                f"the mosaic's rule {mosaic.rule!r} needs the {needed} of {layer.folder.name}; "
                f"add {needed} to --outputs, or choose --mosaic-rule newest or first"
            )
    lattice = mosaic.lattice(_finest(layers))
    asked: dict[tuple[int, int], list[Layer]] = defaultdict(list)
    for layer in ordered(layers, mosaic.rule):
        for place in tiles_of(layer.folder / "classes.tif", lattice):
            asked[place].append(layer)
    if len(asked) > MOST_TILES:
        raise InputError(f"the mosaic would have {len(asked):,} tiles; choose larger pixels")
    orders = []
    for (row, col), here in sorted(asked.items()):
        digest = _digest(lattice, row, col, here, mosaic.rule)
        orders.append(
            TileOrder(lattice, row, col, tuple(here), mosaic.rule, folder / FOLDER, scheme, digest)
        )
    return orders


def _finest(layers: Sequence[Layer]) -> float:
    """Pixel size, in meters, of the map with the smallest pixels, rounded to three digits."""
    sizes = []
    for layer in layers:
        with quiet_gdal(), rasterio.open(layer.folder / "classes.tif") as file:
            if file.crs is None:
                continue
            x, y = _at(file.transform, file.width / 2, file.height / 2)
            across, down = ground_scale(file.crs, x, y)
            area = abs(file.transform.a * file.transform.e) * across.item() * down.item()
            if math.isfinite(area) and area > 0:
                sizes.append(math.sqrt(area))
    if not sizes:
        raise InputError("no map has a place on the ground, so there is no mosaic of them")
    return float(f"{min(sizes):.3g}")


def _at(transform: Affine, cols: Any, rows: Any) -> tuple[Any, Any]:
    a, b, c, d, e, f = transform[:6]
    return a * cols + b * rows + c, d * cols + e * rows + f


def tiles_of(classes: Path, lattice: TileLattice) -> set[tuple[int, int]]:
    """Row and column of the tiles that a map may reach: all that it does, and some around them."""
    with quiet_gdal(), rasterio.open(classes) as file:
        if file.crs is None:
            return set()
        width, height, crs, place = file.width, file.height, file.crs, file.transform
    turn = None if crs == lattice.crs else transformer(crs, lattice.crs)

    def points(count: int) -> tuple[Any, Any]:
        cols, rows = np.meshgrid(np.linspace(0, width, count), np.linspace(0, height, count))
        xs, ys = _at(place, cols.ravel(), rows.ravel())
        if turn is not None:
            xs, ys = map(np.asarray, turn.transform(xs, ys))
        elif crs.is_geographic:
            xs = (xs + 180.0) % 360.0 - 180.0
        return xs, ys

    if not any(np.isfinite(v).any() for v in points(17)):  # nothing of it is on the mosaic's CRS
        return set()
    # So many that neighbors are less than half a tile apart; the median knows no antimeridian.
    xs, ys = points(17)
    steps = [np.abs(np.diff(v.reshape(17, 17), axis=axis)) for v in (xs, ys) for axis in (0, 1)]
    longest = max((float(np.nanmedian(step[np.isfinite(step)])) for step in steps), default=0.0)
    tile = min(lattice.width * lattice.across, lattice.height * lattice.down)
    count = min(2049, 17 + 16 * math.ceil(4 * longest / tile))
    found = lattice.tiles_at(*points(count))
    return {
        (row + down, col + across)
        for row, col in found
        for down in (-1, 0, 1)
        for across in (-1, 0, 1)
    }


def _digest(lattice: TileLattice, row: int, col: int, layers: Iterable[Layer], rule: Rule) -> str:
    said = [lattice.crs.to_wkt(), *map(repr, lattice.transform(row, col)[:6])]
    said += [str(lattice.width), str(lattice.height), rule, *(layer.key for layer in layers)]
    return hashlib.sha256("\n".join(said).encode()).hexdigest()


def finish_mosaic(orders: Sequence[TileOrder], made: Iterable[str], folder: Path) -> Path | None:
    """Write what holds the tiles together: a VRT of each raster, and a catalog.

    Tiles of another mosaic that lie in the folder are taken away.

    Args:
        orders: all tiles that were asked for.
        made: names of those that hold data.
        folder: of the job.

    Raises:
        RunError: a tile is not there that was made.

    Returns:
        The VRT of the class map; None where no tile holds data.
    """
    home = folder / FOLDER
    present = set(made)
    lost = sorted(name for name in present if not (home / name / "item.json").exists())
    if lost:
        raise RunError(
            f"{home}: {lost[0]} was made, and is not there ({len(lost)} of {len(present)} tiles); "
            "the same command makes what is missing"
        )
    tiles = {order.name: order for order in orders if order.name in present}
    for other in home.iterdir():
        is_tile = (other / "item.json").exists() or other.name.startswith(".tile-")
        if other.name not in tiles and is_tile:
            shutil.rmtree(other)
    for name in ("classes.vrt", "confidence.vrt", "catalog.json"):
        (home / name).unlink(missing_ok=True)
    if not tiles:
        return None
    _write_catalog(home, tiles)
    if all((home / name / "confidence.tif").exists() for name in tiles):
        _write_vrt(home / "confidence.vrt", "confidence", tiles)
    return _write_vrt(home / "classes.vrt", "classes", tiles)


def _write_catalog(home: Path, tiles: Mapping[str, TileOrder]) -> None:
    catalog = Catalog(
        "geocamss-mosaic", "A mosaic of maps by geocamss, an item for each tile.", title="Mosaic"
    )
    for name in tiles:
        catalog.add_link(Link("item", f"./{name}/item.json", MediaType.GEOJSON, name))
    content = catalog.to_dict(include_self_link=False, transform_hrefs=False)
    content["links"] = [
        link | {"href": "./catalog.json"} if link["rel"] == "root" else link
        for link in content["links"]
    ]
    _write(home / "catalog.json", json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def _write_vrt(target: Path, raster: str, tiles: Mapping[str, TileOrder]) -> Path:
    """A raster of all tiles, which GDAL reads as one."""
    first = next(iter(tiles.values()))
    lattice = first.lattice
    top, left = min(t.row for t in tiles.values()), min(t.col for t in tiles.values())
    bottom, right = max(t.row for t in tiles.values()), max(t.col for t in tiles.values())
    high, wide = (bottom + 1 - top) * lattice.height, (right + 1 - left) * lattice.width
    root = add(None, "VRTDataset", rasterXSize=wide, rasterYSize=high)
    add(root, "SRS", lattice.crs.to_wkt(), dataAxisToSRSAxisMapping=_axes(lattice))
    place = lattice.transform(top, left).to_gdal()
    add(root, "GeoTransform", ", ".join(map(repr, place)))
    band = add(root, "VRTRasterBand", dataType="Byte", band=1)
    add(band, "NoDataValue", str(NODATA))
    if raster == "classes":
        _add_colors(band, first.scheme)
    for name, tile in tiles.items():
        source = add(band, "ComplexSource")
        add(source, "SourceFilename", f"{name}/{raster}.tif", relativeToVRT=1)
        add(source, "SourceBand", "1")
        size = {"xSize": lattice.width, "ySize": lattice.height}
        add(source, "SrcRect", xOff=0, yOff=0, **size)
        across, down = (tile.col - left) * lattice.width, (tile.row - top) * lattice.height
        add(source, "DstRect", xOff=across, yOff=down, **size)
        add(source, "NODATA", str(NODATA))
    ET.indent(root)
    _write(target, ET.tostring(root, encoding="unicode") + "\n")
    return target


def _axes(lattice: TileLattice) -> str:
    """Which axes of the CRS x and y are: those that name the north first change places.

    Around a pole both may point the same way, and the names alone tell.
    """
    import pyproj

    axes = pyproj.CRS.from_wkt(lattice.crs.to_wkt()).axis_info[:2]
    directions = [axis.direction for axis in axes]
    polar = len(set(directions)) == 1 and axes[0].name.startswith("Northing")
    return "2,1" if polar or directions == ["north", "east"] else "1,2"


def _add_colors(band: ET.Element, scheme: ClassScheme) -> None:
    add(band, "ColorInterp", "Palette")
    table = add(band, "ColorTable")
    for red, green, blue, alpha in color_table(scheme).values():
        add(table, "Entry", c1=red, c2=green, c3=blue, c4=alpha)
    names = add(band, "CategoryNames")
    known = scheme.by_value()
    for value in range(max(known) + 1):
        add(names, "Category", known[value].name if value in known else "")


def _write(target: Path, text: str) -> None:
    with whole(target) as part:
        part.write_text(text, "utf-8")
