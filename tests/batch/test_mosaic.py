"""Mosaics: every pixel is that of the map it came from, wherever and in whatever CRS that lies."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyproj
import pystac
import pytest
import rasterio
import rasterio.shutil
from affine import Affine
from rasterio.crs import CRS

from geocamss.batch.mosaic import _axes, finish_mosaic, ordered, plan_mosaic, tiles_of
from geocamss.batch.mosaic_grid import Mosaic, TileLattice
from geocamss.batch.mosaic_pixels import nearest
from geocamss.batch.mosaic_tile import Layer, TileOrder, combine, make_tile
from geocamss.classes import ClassScheme
from geocamss.errors import GridError, InputError, RunError
from geocamss.output.colors import color_table
from geocamss.output.raster import RasterSpec, RasterWriter
from geocamss.scene.window import Window
from tests.batch.test_report import check

SCHEME = ClassScheme.of(["a", "b", "c", "d"])
UTM = CRS.from_epsg(32632)


def write_map(folder: Path, classes, confidence=None, *, crs=UTM, place=None) -> Path:
    """A finished map, as far as a mosaic asks."""
    folder.mkdir(parents=True)
    place = place or Affine(10, 0, 500_000, 0, -10, 5_400_000)
    rasters = {"classes": (classes, "MODE"), "confidence": (confidence, "AVERAGE")}
    for name, (pixels, overviews) in rasters.items():
        if pixels is None:
            continue
        colors = color_table(SCHEME) if name == "classes" else None
        spec = RasterSpec(crs, place, pixels.shape, name, overviews, {}, colors=colors)
        with RasterWriter(spec, folder / f"{name}.tif") as writer:
            writer.write(Window(0, 0, *pixels.shape), pixels)
            writer.finish()
    return folder


def write_shares(folder: Path, shares, *, crs=UTM, place=None) -> Path:
    """The probabilities of a finished map, beside it; the map is that of the likeliest classes."""
    classes = np.where(shares[0] == 255, 255, shares.argmax(0)).astype(np.uint8)
    write_map(folder, classes, None, crs=crs, place=place)
    place = place or Affine(10, 0, 500_000, 0, -10, 5_400_000)
    spec = RasterSpec(crs, place, classes.shape, "a", "AVERAGE", {}, more=("b", "c", "d"))
    with RasterWriter(spec, folder / "probabilities.tif") as writer:
        writer.write(Window(0, 0, *classes.shape), shares)
        writer.finish()
    return folder


def levels(height, width, seed):
    """Probabilities of four classes in levels, a tenth of the pixels without."""
    rng = np.random.default_rng(seed)
    drawn = rng.dirichlet(np.full(4, 0.7), (height, width))
    said = np.rint(drawn * 250).astype(np.uint8).transpose(2, 0, 1)
    said[:, rng.random((height, width)) < 0.1] = 255
    return np.ascontiguousarray(said)


def pixels(height, width, seed=0):
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, 4, (height, width)).astype(np.uint8)
    classes[rng.random((height, width)) < 0.1] = 255
    confidence = np.where(classes == 255, 255, rng.integers(25, 101, (height, width)))
    return classes, confidence.astype(np.uint8)


def build(folder, maps, mosaic, dates=()):
    """Plan, make and finish a mosaic; the VRT."""
    layers = [
        Layer(path, path.name, dates[number] if dates else None) for number, path in enumerate(maps)
    ]
    (folder / "mosaic").mkdir(parents=True, exist_ok=True)
    orders = plan_mosaic(layers, mosaic, SCHEME, folder)
    made = [name for order in orders if (name := make_tile(order))]
    return finish_mosaic(orders, made, folder)


def look_up(vrt, xs, ys, crs):
    """Values of a raster at coordinates, 255 where it has none."""
    with rasterio.open(vrt) as file:
        turn = pyproj.Transformer.from_crs(crs, file.crs, always_xy=True)
        return np.array([v[0] for v in file.sample(zip(*turn.transform(xs, ys), strict=True))])


def centers(shape, place):
    cols, rows = np.meshgrid(np.arange(shape[1]) + 0.5, np.arange(shape[0]) + 0.5)
    return (
        (place.a * cols + place.c).ravel(),
        (place.e * rows + place.f).ravel(),
    )


def test_on_its_own_lattice_a_map_is_copied(tmp_path):
    classes, confidence = pixels(150, 210)
    place = Affine(10, 0, 500_000, 0, -10, 5_400_000)
    path = write_map(tmp_path / "m", classes, confidence, place=place)
    vrt = build(tmp_path, [path], Mosaic("EPSG:32632", gsd=10, tile=64))
    for raster, wanted in (("classes", classes), ("confidence", confidence)):
        with rasterio.open(vrt.with_name(f"{raster}.vrt")) as file:
            row, col = file.index(500_005, 5_399_995)
            found = file.read(1)
            assert file.crs == UTM
            assert file.nodata == 255
        part = found[row : row + 150, col : col + 210]
        np.testing.assert_array_equal(part, wanted)
        assert (found != 255).sum() == (wanted != 255).sum()


@pytest.mark.parametrize("target", ["EPSG:3035", "EPSG:4326", "EPSG:32631", "EPSG:3857"])
def test_every_pixel_is_the_nearest_of_its_map(tmp_path, target):
    """Against PROJ, pixel by pixel, without any grid of ours."""
    classes, confidence = pixels(90, 110)
    place = Affine(10, 0, 500_000, 0, -10, 5_400_000)
    path = write_map(tmp_path / "m", classes, confidence, place=place)
    vrt = build(tmp_path, [path], Mosaic(target, gsd=4.3, tile=128))
    with rasterio.open(vrt) as file:
        found = file.read(1)
        xs, ys = centers(found.shape, file.transform)
        turn = pyproj.Transformer.from_crs(file.crs, UTM, always_xy=True)
    cols, rows = ~place * turn.transform(xs, ys)
    near_edge = np.minimum(abs(cols - np.round(cols)), abs(rows - np.round(rows))) < 0.02
    inside = (cols >= 0) & (cols < 110) & (rows >= 0) & (rows < 90)
    wanted = np.full(xs.shape, 255, np.uint8)
    wanted[inside] = classes[rows[inside].astype(int), cols[inside].astype(int)]
    clear = ~near_edge
    np.testing.assert_array_equal(found.ravel()[clear], wanted[clear])
    assert set(np.unique(found[found != 255])) == {0, 1, 2, 3}


def three(tmp_path):
    """Three maps of one place: a sure one of 0, a less sure one of 1, a part of 2."""
    shape = (64, 64)
    part = np.where(np.arange(64)[None, :] < 32, 2, 255).repeat(64, 0).astype(np.uint8)
    maps = [
        (np.zeros(shape, np.uint8), np.full(shape, 60, np.uint8)),
        (np.ones(shape, np.uint8), np.full(shape, 80, np.uint8)),
        (part, np.where(part == 255, 255, 99).astype(np.uint8)),
    ]
    return [write_map(tmp_path / f"m{n}", *layers) for n, layers in enumerate(maps)]


@pytest.mark.parametrize(
    ("rule", "left", "right"), [("confidence", 2, 1), ("newest", 1, 1), ("first", 0, 0)]
)
def test_the_rule_says_which_map_counts(tmp_path, rule, left, right):
    dates = [None, datetime(2024, 5, 1, tzinfo=UTC), datetime(2020, 5, 1, tzinfo=UTC)]
    mosaic = Mosaic("EPSG:32632", gsd=10, tile=64, rule=rule)
    vrt = build(tmp_path, three(tmp_path), mosaic, dates)
    xs, ys = np.array([500_105.0, 500_505.0]), np.array([5_399_800.0] * 2)
    np.testing.assert_array_equal(look_up(vrt, xs, ys, UTM), [left, right])


def test_maps_without_a_date_are_the_oldest():
    new, old, unknown = (
        Layer(Path(name), name, date)
        for name, date in (
            ("new", datetime(2024, 1, 1, tzinfo=UTC)),
            ("old", datetime(1984, 1, 1, tzinfo=UTC)),
            ("unknown", None),
        )
    )
    assert ordered([unknown, old, new], "newest") == (new, old, unknown)
    assert ordered([unknown, old, new], "first") == (unknown, old, new)


@pytest.mark.parametrize("target", ["EPSG:4326", "EPSG:3857", "EPSG:3832"])
def test_across_the_antimeridian_both_sides_are_there(tmp_path, target):
    """One map of zone 60 and one of zone 1 meet at 180 degrees, and one in degrees lies over it."""
    places = {
        "west": (CRS.from_epsg(32660), 0),
        "east": (CRS.from_epsg(32601), 1),
    }
    maps = []
    for name, (crs, value) in places.items():
        turn = pyproj.Transformer.from_crs(4326, crs, always_xy=True)
        x, y = turn.transform(180.0, 1.0)
        left = x - 40_000 if name == "west" else x
        place = Affine(1000, 0, left, 0, -1000, y + 20_000)
        classes = np.full((40, 40), value, np.uint8)
        maps.append(
            write_map(tmp_path / name, classes, np.full_like(classes, 70), crs=crs, place=place)
        )
    over = np.full((20, 40), 2, np.uint8)
    place = Affine(0.01, 0, 179.8, 0, -0.01, 2.2)
    lonlat = CRS.from_epsg(4326)
    maps.append(write_map(tmp_path / "over", over, np.full_like(over, 70), crs=lonlat, place=place))
    vrt = build(tmp_path, maps, Mosaic(target, gsd=1000, tile=64, rule="first"))
    lons = np.array([179.9, -179.9, 179.9, -179.9, 179.0, -179.0])
    lats = np.array([1.0, 1.0, 2.1, 2.1, 1.0, 1.0])
    np.testing.assert_array_equal(look_up(vrt, lons, lats, lonlat), [0, 1, 2, 2, 255, 255])


@pytest.mark.parametrize("target", ["EPSG:3832", "EPSG:32701"])
def test_a_world_map_that_ends_at_the_antimeridian_goes_on_beyond_it(tmp_path, target):
    """Positions leap by the Earth's girth there, and nothing lies between."""
    edge, mercator = 20_037_508.342789244, CRS.from_epsg(3857)
    lattice = Mosaic(target, gsd=10, tile=256).lattice(10)
    compared = 0
    for name, left in (("west", edge - 4_000), ("east", -edge)):
        place = Affine(10, 0, left, 0, -10, -1_900_000)
        folder = write_map(
            tmp_path / name, np.zeros((400, 400), np.uint8), None, crs=mercator, place=place
        )
        turn = pyproj.Transformer.from_crs(lattice.crs, mercator, always_xy=True)
        for row, col in sorted(tiles_of(folder / "classes.tif", lattice)):
            found = nearest(folder, ("classes",), lattice, row, col)
            xs, ys = centers((256, 256), lattice.transform(row, col))
            cols, rows = ~place * turn.transform(xs, ys)
            inside = (cols >= 0) & (cols < 400) & (rows >= 0) & (rows < 400)
            got = np.zeros(256 * 256, bool) if found is None else found["classes"][0].ravel() == 0
            clear = np.minimum(abs(cols % 400), abs(rows % 400)) > 0.02
            np.testing.assert_array_equal(got[clear], inside[clear], f"{name} {row} {col}")
            compared += (inside & clear).sum()
    assert compared > 200_000


@pytest.mark.parametrize("epsg", [5514, 31468, 3003, 27700, 3857])
def test_all_ground_of_a_system_is_on_earth(epsg):
    """Whatever the way from its datum to another one does to coordinates."""
    lattice = Mosaic(f"EPSG:{epsg}").lattice(0.1)
    system = pyproj.CRS.from_epsg(epsg)
    west, south, east, north = system.area_of_use.bounds
    turn = pyproj.Transformer.from_crs(system.geodetic_crs, system, always_xy=True)
    lons, lats = np.meshgrid(np.linspace(west, east, 40), np.linspace(south, north, 40))
    xs, ys = turn.transform(lons[1:-1, 1:-1], lats[1:-1, 1:-1])
    assert lattice.on_earth(xs, ys).all()


def test_zones_meet_without_a_gap(tmp_path):
    """Maps of zones 32 and 33 that touch at 12 degrees east leave no pixel between them free."""
    maps = []
    for epsg, value in ((32632, 0), (32633, 1)):
        crs = CRS.from_epsg(epsg)
        turn = pyproj.Transformer.from_crs(4326, crs, always_xy=True)
        x, y = turn.transform(12.0, 50.0)
        place = Affine(100, 0, round(x, -2) - 10_000, 0, -100, round(y, -2) + 10_000)
        classes = np.full((200, 200), value, np.uint8)
        maps.append(
            write_map(
                tmp_path / str(epsg),
                classes,
                np.full_like(classes, 50 + value),
                crs=crs,
                place=place,
            )
        )
    vrt = build(tmp_path, maps, Mosaic("EPSG:3035", gsd=100, tile=128))
    lons, lats = np.meshgrid(np.linspace(11.9, 12.1, 60), np.linspace(49.95, 50.05, 60))
    found = look_up(vrt, lons.ravel(), lats.ravel(), CRS.from_epsg(4326))
    assert set(np.unique(found)) == {1}


def mean_by_hand(xs, ys, crs, maps):
    """Class and percent by the mean over all maps at points, in floats; and which are clear.

    A point is not clear that lies near the border of two pixels, or whose best classes are close.
    """
    total, count = np.zeros((4, len(xs))), np.zeros(len(xs))
    clear = np.ones(len(xs), bool)
    for shares, (own, place) in maps:
        turn = pyproj.Transformer.from_crs(crs, own, always_xy=True)
        cols, rows = ~place * turn.transform(xs, ys)
        clear &= np.minimum(abs(cols - np.round(cols)), abs(rows - np.round(rows))) > 0.02
        high, wide = shares.shape[1:]
        inside = (cols >= 0) & (cols < wide) & (rows >= 0) & (rows < high)
        said = np.full((4, len(xs)), 255)
        said[:, inside] = shares[:, rows[inside].astype(int), cols[inside].astype(int)]
        there = said[0] != 255
        total[:, there] += said[:, there] / 250
        count += there
    mean = total / np.maximum(count, 1)
    first, second = np.sort(mean, axis=0)[[-1, -2]]
    clear &= (first - second > 1e-9) | (count == 0)
    return np.where(count > 0, mean.argmax(0), 255), 100 * first, count, clear


def test_the_mean_is_that_of_all_maps_of_two_zones(tmp_path):
    """Two maps of zone 32 that overlap, and one of zone 33 over both, against plain numpy."""
    east = CRS.from_epsg(32633)
    x, y = pyproj.Transformer.from_crs(32632, east, always_xy=True).transform(930_000, 5_400_000)
    places = [
        (UTM, Affine(10, 0, 930_000, 0, -10, 5_400_000)),
        (UTM, Affine(10, 0, 930_304, 0, -10, 5_399_797)),
        (east, Affine(7, 0, x + 100, 0, -7, y - 90)),
    ]
    shares = [levels(90, 80, 0), levels(70, 100, 1), levels(120, 110, 2)]
    folders = [
        write_shares(tmp_path / f"m{n}", said, crs=crs, place=place)
        for n, (said, (crs, place)) in enumerate(zip(shares, places, strict=True))
    ]
    mosaic = Mosaic("EPSG:3035", gsd=8.5, tile=128, rule="mean")
    vrt = build(tmp_path, folders, mosaic)
    with rasterio.open(vrt) as file, rasterio.open(vrt.with_name("confidence.vrt")) as sure:
        found, percent = file.read(1).ravel(), sure.read(1).ravel()
        xs, ys = centers(file.shape, file.transform)
        crs = file.crs
    maps = list(zip(shares, places, strict=True))
    wanted, exact, count, clear = mean_by_hand(xs, ys, crs, maps)
    assert {0, 1, 2, 3} <= set(count)
    assert clear.mean() > 0.7
    np.testing.assert_array_equal(found[clear], wanted[clear])
    some = clear & (count > 0)
    assert np.abs(percent[some] - exact[some]).max() < 0.5 + 1e-6
    np.testing.assert_array_equal(found == 255, percent == 255)
    other = build(tmp_path / "other", [folders[n] for n in (2, 0, 1)], mosaic)
    assert other.read_bytes() == vrt.read_bytes()
    tiles = {p.relative_to(vrt.parent): p.read_bytes() for p in vrt.parent.rglob("*.tif")}
    same = {p.relative_to(other.parent): p.read_bytes() for p in other.parent.rglob("*.tif")}
    assert tiles == same


def test_of_equal_means_the_first_class_wins(tmp_path):
    one, two = np.zeros((2, 4, 32, 32), np.uint8)
    one[3], two[1] = 250, 250
    folders = [write_shares(tmp_path / f"m{n}", said) for n, said in enumerate((one, two))]
    vrt = build(tmp_path, folders, Mosaic("EPSG:32632", gsd=10, tile=64, rule="mean"))
    at = np.array([500_105.0]), np.array([5_399_895.0]), UTM
    assert look_up(vrt, *at).tolist() == [1]
    assert look_up(vrt.with_name("confidence.vrt"), *at).tolist() == [50]


def test_the_mean_of_hundreds_of_maps_does_not_overflow(tmp_path):
    said = np.zeros((4, 16, 16), np.uint8)
    said[2], said[0] = 240, 10
    path = write_shares(tmp_path / "m", said)
    lattice = Mosaic("EPSG:32632", gsd=10, tile=16).lattice(10)
    ((row, col),) = lattice.tiles_at(np.array([500_105.0]), np.array([5_399_895.0]))
    layers = (Layer(path, "m", None),) * 300
    order = TileOrder(lattice, row, col, layers, "mean", tmp_path, SCHEME, "")
    classes, percent = combine(order)
    assert (classes == 2).all()
    assert (percent == 96).all()


@pytest.mark.parametrize(
    ("rule", "target", "gsd"),
    [("mean", "EPSG:3035", 4.3), ("mean", "EPSG:4326", 700), ("confidence", "EPSG:3035", 4.3)],
)
def test_strips_of_a_tile_change_no_pixel(tmp_path, monkeypatch, rule, target, gsd):
    folders = []
    for seed in (0, 1):
        place = Affine(gsd * 1.1, 0, 500_000 + 20 * gsd * seed, 0, -gsd * 1.1, 5_400_000)
        folder = write_shares(tmp_path / f"m{seed}", levels(60, 70, seed), place=place)
        spec = RasterSpec(UTM, place, (60, 70), "confidence", "AVERAGE", {})
        with RasterWriter(spec, folder / "confidence.tif") as writer:
            writer.write(Window(0, 0, 60, 70), levels(60, 70, seed)[seed])
            writer.finish()
        folders.append(folder)
    mosaic = Mosaic(target, gsd=gsd, tile=128, rule=rule)
    whole = build(tmp_path / "whole", folders, mosaic)
    monkeypatch.setattr("geocamss.batch.mosaic_tile.STRIP_PIXELS", 128 * 50)
    strips = build(tmp_path / "strips", folders, mosaic)
    for raster in ("classes", "confidence"):
        with (
            rasterio.open(whole.with_name(f"{raster}.vrt")) as one,
            rasterio.open(strips.with_name(f"{raster}.vrt")) as two,
        ):
            np.testing.assert_array_equal(one.read(1), two.read(1))


def test_the_mean_needs_probabilities(tmp_path):
    with pytest.raises(InputError, match="needs the probabilities of m0"):
        build(tmp_path, three(tmp_path), Mosaic("EPSG:32632", gsd=10, tile=64, rule="mean"))


def test_tiles_of_a_matrix_set_are_its_own(tmp_path):
    classes, confidence = pixels(80, 80)
    path = write_map(tmp_path / "m", classes, confidence)
    vrt = build(tmp_path, [path], Mosaic("WebMercatorQuad/14"))
    tiles = sorted(p.name for p in vrt.parent.iterdir() if p.is_dir())
    lon, lat = pyproj.Transformer.from_crs(32632, 4326, always_xy=True).transform(
        500_400, 5_399_600
    )
    x = int((lon + 180) / 360 * 2**14)
    y = int((1 - np.arcsinh(np.tan(np.radians(lat))) / np.pi) / 2 * 2**14)
    assert f"14-{x}-{y}" in tiles
    with rasterio.open(vrt.parent / f"14-{x}-{y}" / "classes.tif") as file:
        assert file.shape == (256, 256)
        assert file.crs.to_epsg() == 3857
        side = 40_075_016.685578488 / 2**14
        np.testing.assert_allclose(file.bounds.left, -20_037_508.342789244 + x * side, atol=1e-5)
        np.testing.assert_allclose(file.bounds.top, 20_037_508.342789244 - y * side, atol=1e-5)


def test_a_tile_is_made_once_and_again_when_a_map_changes(tmp_path):
    maps = three(tmp_path)
    mosaic = Mosaic("EPSG:32632", gsd=10, tile=64)
    vrt = build(tmp_path, maps, mosaic)
    stamps = {p: p.stat().st_mtime_ns for p in vrt.parent.rglob("*.tif")}
    build(tmp_path, maps, mosaic)
    assert stamps == {p: p.stat().st_mtime_ns for p in vrt.parent.rglob("*.tif")}
    build(tmp_path, maps[:1], mosaic)
    assert all(p.stat().st_mtime_ns != stamp for p, stamp in stamps.items())


def test_another_mosaic_leaves_no_tile_of_the_first(tmp_path):
    maps = three(tmp_path)
    build(tmp_path, maps, Mosaic("EPSG:32632", gsd=10, tile=64))
    vrt = build(tmp_path, maps, Mosaic("EPSG:3857", gsd=10, tile=64))
    listed = vrt.read_text()
    for tile in vrt.parent.iterdir():
        if tile.is_dir():
            assert f"{tile.name}/classes.tif" in listed


def test_a_tile_that_has_gone_is_missed(tmp_path):
    maps = three(tmp_path)
    mosaic = Mosaic("EPSG:32632", gsd=10, tile=64)
    layers = [Layer(path, path.name, None) for path in maps]
    build(tmp_path, maps, mosaic)
    orders = plan_mosaic(layers, mosaic, SCHEME, tmp_path)
    made = [name for order in orders if (name := make_tile(order))]
    (tmp_path / "mosaic" / made[0] / "item.json").unlink()
    with pytest.raises(RunError, match=rf"{made[0]} was made, and is not there \(1 of"):
        finish_mosaic(orders, made, tmp_path)


def test_a_tile_killed_half_way_is_made_anew(tmp_path, monkeypatch):
    """What has been moved of it is another mosaic's than the item that was there before."""
    maps = three(tmp_path)
    by_confidence = Mosaic("EPSG:32632", gsd=10, tile=64)
    vrt = build(tmp_path, maps, by_confidence)
    wanted = {path: path.read_bytes() for path in vrt.parent.rglob("*.tif")}
    replace = Path.replace

    def dies(self, target):
        if target.name == "confidence.tif":
            raise SystemExit
        return replace(self, target)

    with monkeypatch.context() as patch, pytest.raises(SystemExit):  # noqa: PT012  (dies within)
        patch.setattr(Path, "replace", dies)
        build(tmp_path, maps, Mosaic("EPSG:32632", gsd=10, tile=64, rule="first"))
    build(tmp_path, maps, by_confidence)
    assert wanted == {path: path.read_bytes() for path in vrt.parent.rglob("*.tif")}


def test_the_catalog_leads_to_the_tiles(tmp_path):
    vrt = build(tmp_path, three(tmp_path), Mosaic("EPSG:32632", gsd=10, tile=64))
    catalog = pystac.Catalog.from_file(str(vrt.parent / "catalog.json"))
    items = list(catalog.get_items())
    check(json.loads((vrt.parent / "catalog.json").read_text()), "catalog")
    assert {item.id for item in items} == {p.name for p in vrt.parent.iterdir() if p.is_dir()}
    for item in items:
        assert Path(item.assets["classes"].get_absolute_href()).exists()
        check(item.to_dict(), "item")


def test_a_coarse_mosaic_takes_what_is_most_frequent(tmp_path):
    classes = np.zeros((1024, 1024), np.uint8)
    classes[::3, ::3] = 3
    path = write_map(tmp_path / "m", classes, np.full_like(classes, 50))
    vrt = build(tmp_path, [path], Mosaic("EPSG:32632", gsd=80, tile=64))
    with rasterio.open(vrt) as file:
        assert set(np.unique(file.read(1))) == {0, 255}


def test_a_map_without_a_place_is_left_out(tmp_path):
    lost = write_map(tmp_path / "lost", *pixels(20, 20), crs=None, place=Affine.identity())
    lattice = Mosaic("EPSG:32632", gsd=10).lattice(10)
    assert tiles_of(lost / "classes.tif", lattice) == set()
    assert nearest(lost, ["classes"], lattice, 0, 0) is None
    with pytest.raises(InputError, match="no map has a place"):
        plan_mosaic([Layer(lost, "k", None)], Mosaic("EPSG:32632"), SCHEME, tmp_path)


def test_a_map_from_elsewhere_reaches_no_tile(tmp_path):
    """Of a satellite's view of the other half of the Earth."""
    path = write_map(tmp_path / "m", *pixels(20, 20))
    lattice = Mosaic("+proj=geos +h=35785831 +lon_0=180", gsd=1000).lattice(1000)
    assert tiles_of(path / "classes.tif", lattice) == set()


@pytest.mark.parametrize(
    "epsg", [4326, 3035, 31468, 3857, 32633, 3031, 3413, 3995, 32661, 5041, 5042, 2180, 5514, 2193]
)
def test_axes_are_those_that_gdal_writes(tmp_path, epsg):
    place = Affine(10, 0, 0, 0, -10, 0)
    path = write_map(tmp_path / "m", *pixels(20, 20), crs=CRS.from_epsg(epsg), place=place)
    rasterio.shutil.copy(path / "classes.tif", tmp_path / "gdal.vrt", driver="VRT")
    wanted = re.search(r'dataAxisToSRSAxisMapping="(.*?)"', (tmp_path / "gdal.vrt").read_text())
    assert _axes(Mosaic(f"EPSG:{epsg}").lattice(10)) == wanted[1]


def test_where_a_tile_lies_depends_on_nothing_else():
    lattice = TileLattice(UTM, 0.0, 0.0, 10.0, 10.0, 64, 64)
    assert lattice.transform(-3, 2) == Affine(10, 0, 1280, 0, -10, 1920)
    xs, ys = np.array([1281.0, 1919.0, np.inf]), np.array([1919.0, 1281.0, 0.0])
    assert lattice.tiles_at(xs, ys) == {(-3, 2)}


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"target": "EPSG:nonsense"}, GridError),
        ({"target": "WebMercatorSquare/3"}, GridError),
        ({"target": "WebMercatorQuad/99"}, GridError),
        ({"target": "WebMercatorQuad/3", "gsd": 4.0}, InputError),
        ({"target": "EPSG:3035", "gsd": -1.0}, InputError),
        ({"target": "EPSG:3035", "tile": 3}, InputError),
        ({"target": "EPSG:3035", "rule": "median"}, InputError),
    ],
)
def test_bad_mosaics_are_refused(arguments, error):
    with pytest.raises(error):
        Mosaic(**arguments)


def test_the_item_says_what_it_was_made_of(tmp_path):
    vrt = build(tmp_path, three(tmp_path), Mosaic("EPSG:32632", gsd=10, tile=64))
    item = json.loads(next(vrt.parent.glob("*/item.json")).read_text())
    assert item["properties"]["geocamss:rule"] == "confidence"
    assert set(item["properties"]["geocamss:maps"]) <= {"m0", "m1", "m2"}
