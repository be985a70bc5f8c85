"""Labels of every kind lie on the map's grid as GDAL would lay them there."""

from __future__ import annotations

import json
import math
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyproj
import pytest
import rasterio
import shapely
from affine import Affine
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning
from rasterio.features import rasterize
from rasterio.warp import Resampling, reproject, transform_bounds

from geocamss.classes import ClassScheme
from geocamss.errors import GeocamssWarning, InputError
from geocamss.evaluation import labels as labels_module
from geocamss.evaluation.labels import LabelFile
from geocamss.output.attributes import write_pam
from geocamss.scene.grid import Grid, lattice_origin
from geocamss.scene.window import Window

SCHEME = ClassScheme.of(
    [
        {"value": 3, "name": "land", "color": [217, 199, 160]},
        {"value": 7, "name": "water", "color": [61, 133, 198]},
        {"value": 9, "name": "wood", "color": [90, 158, 75]},
    ]
)
UTM = CRS.from_epsg(32632)
PLACE = Affine(10, 0, 500_000, 0, -10, 5_000_000)


def grid_of(crs, transform, width, height):
    return Grid(crs, transform, width, height, lattice_origin(transform), (0, 0))


GRID = grid_of(UTM, PLACE, 50, 60)


def write(path: Path, pixels, crs=UTM, transform=PLACE, **options):
    pixels = np.atleast_3d(pixels.T).T if pixels.ndim == 2 else pixels
    profile = {
        "driver": "GTiff",
        "count": len(pixels),
        "height": pixels.shape[1],
        "width": pixels.shape[2],
        "dtype": pixels.dtype.name,
        "crs": crs,
        "transform": transform,
        **options,
    }
    with rasterio.open(path, "w", **profile) as dataset:
        dataset.write(pixels)
    return str(path)


def values(seed=0, shape=(60, 50), choice=(3, 7, 9, 0)):
    coarse = np.random.default_rng(seed).choice(choice, (shape[0] // 5 + 1, shape[1] // 5 + 1))
    return np.kron(coarse, np.ones((5, 5)))[: shape[0], : shape[1]].astype(np.uint8)


def channels(values, table=((3, 0), (7, 1), (9, 2))):
    found = np.full(values.shape, 255, np.uint8)
    for value, channel in table:
        found[values == value] = channel
    return found


def read(file: LabelFile, grid=GRID):
    opened = file.open(grid, SCHEME)
    try:
        return opened.read(grid.window)
    finally:
        opened.close()


def test_values_on_the_maps_own_grid_are_taken_as_they_are(tmp_path):
    painted = values()
    path = write(tmp_path / "a.tif", painted, nodata=7)
    expected = channels(painted)
    expected[painted == 7] = 255
    np.testing.assert_array_equal(read(LabelFile(path)), expected)


@pytest.mark.parametrize(
    ("crs", "size"),
    [(UTM, 7.0), (UTM, 23.0), (CRS.from_epsg(3857), 8.0), (CRS.from_epsg(4326), 1e-4)],
)
def test_other_grids_are_met_by_the_nearest_pixel(tmp_path, crs, size):
    painted = values(1)
    path = write(tmp_path / "a.tif", painted)
    left, bottom, right, top = transform_bounds(UTM, crs, *GRID.bounds)
    transform = Affine(size, 0, left - 5.3 * size, 0, -size, top + 4.1 * size)
    width, height = int((right - left) / size) + 11, int((top - bottom) / size) + 9
    found = read(LabelFile(path), grid_of(crs, transform, width, height))
    expected = np.full((height, width), 255, np.uint8)
    reproject(
        channels(painted),
        expected,
        src_transform=PLACE,
        src_crs=UTM,
        src_nodata=255,
        dst_transform=transform,
        dst_crs=crs,
        dst_nodata=255,
        resampling=Resampling.nearest,
        tolerance=0,
    )
    assert (found == expected).mean() > 0.998
    assert (found[:3] == 255).all()


def test_a_pixel_does_not_depend_on_its_window_nor_on_how_much_is_read(tmp_path, monkeypatch):
    path = write(tmp_path / "a.tif", values(2))
    left, _, _, top = transform_bounds(UTM, "EPSG:3857", *GRID.bounds)
    grid = grid_of(CRS.from_epsg(3857), Affine(9, 0, left - 40, 0, -9, top + 33), 90, 80)
    whole = read(LabelFile(path), grid)
    assert (whole != 255).any()
    monkeypatch.setattr(labels_module, "PART_PIXELS", 100)
    opened = LabelFile(path).open(grid, SCHEME)
    for part in (Window(0, 0, 80, 90), Window(11, 23, 30, 41), Window(79, 0, 1, 90)):
        np.testing.assert_array_equal(opened.read(part), whole[part.within(grid.window)])
    opened.close()


def test_names_in_the_file_come_before_values(tmp_path):
    painted = values(3, choice=(0, 1, 2))
    path = write(tmp_path / "a.tif", painted)
    write_pam(tmp_path / "a.tif.aux.xml", ClassScheme.of(["water", "marsh", "land"]))
    with pytest.warns(GeocamssWarning, match="marsh"):
        found = read(LabelFile(path))
    np.testing.assert_array_equal(found, channels(painted, ((0, 1), (2, 0))))


def test_names_in_the_tags_of_a_map_are_understood(tmp_path):
    painted = values(3, choice=(0, 1))
    path = write(tmp_path / "a.tif", painted)
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(CLASS_0="wood", CLASS_1="Land")
    np.testing.assert_array_equal(read(LabelFile(path)), channels(painted, ((0, 2), (1, 0))))


def test_names_of_which_none_is_a_class_are_refused(tmp_path):
    path = write(tmp_path / "a.tif", values(3, choice=(0, 1)))
    write_pam(tmp_path / "a.tif.aux.xml", ClassScheme.of(["Wasser", "Land unter"]))
    with pytest.raises(InputError, match=r"Wasser.*--map"):
        read(LabelFile(path))
    found = read(LabelFile(path, {"Wasser": "water"}))
    assert set(np.unique(found)) == {1, 255}


def test_values_mean_what_the_user_says(tmp_path):
    painted = values(4, choice=(0, 11, 41, 42)).astype(np.int32) * 100
    path = write(tmp_path / "a.tif", painted)
    found = read(LabelFile(path, {"1100": "water", "4100": "wood", "4200": "wood"}))
    np.testing.assert_array_equal(found, channels(painted, ((1100, 1), (4100, 2), (4200, 2))))
    with pytest.raises(InputError, match="did you mean 'water'"):
        read(LabelFile(path, {"1100": "watr"}))
    with pytest.raises(InputError, match="neither a value nor a color"):
        read(LabelFile(path, {"sea": "water"}))


def test_colors_are_classes_in_pictures_and_in_palettes(tmp_path):
    painted = values(5)
    colors = {3: (132, 41, 246), 7: (226, 169, 41), 9: (0, 0, 0), 0: (155, 155, 155)}
    picture = np.zeros((3, *painted.shape), np.uint8)
    for value, color in colors.items():
        picture[:, painted == value] = np.array(color)[:, None]
    meaning = {"#8429F6": "land", "#e2a929": "water", "#000000": "wood"}
    path = write(tmp_path / "a.tif", picture, photometric="RGB", nodata=0)
    np.testing.assert_array_equal(read(LabelFile(path, meaning)), channels(painted))
    path = write(tmp_path / "b.tif", painted)
    with rasterio.open(path, "r+") as dataset:
        dataset.write_colormap(1, {v: (*c, 255) for v, c in colors.items()})
    np.testing.assert_array_equal(read(LabelFile(path, meaning)), channels(painted))
    own = np.zeros((3, *painted.shape), np.uint8)
    for entry in SCHEME:
        own[:, painted == entry.value] = np.array(entry.color)[:, None]
    path = write(tmp_path / "c.tif", own, photometric="RGB")
    np.testing.assert_array_equal(read(LabelFile(path)), channels(painted))


def test_colors_and_values_are_not_mixed(tmp_path):
    path = write(tmp_path / "labels.tif", np.zeros((3, 60, 50), np.uint8), photometric="RGB")
    with pytest.raises(InputError, match="'7' is no color #rrggbb"):
        read(LabelFile(path, {"#000000": "land", "7": "water"}))


def test_a_band_without_colors_cannot_be_read_by_color(tmp_path):
    path = write(tmp_path / "a.tif", values())
    with rasterio.open(path, "r+") as dataset:
        dataset.colorinterp = [ColorInterp.gray]
    with pytest.raises(InputError, match="three bands or a palette"):
        read(LabelFile(path, {"#8429F6": "land"}))


def shapes(seed=0, count=12):
    rng = np.random.default_rng(seed)
    centers = np.column_stack(
        [rng.uniform(500_000, 500_500, count), rng.uniform(4_999_400, 5e6, count)]
    )
    rings = [
        center + 60 * rng.uniform(0.3, 1, (7, 1)) * np.column_stack([np.cos(a), np.sin(a)])
        for center in centers
        for a in [np.linspace(0, 2 * np.pi, 7, endpoint=False)]
    ]
    return [shapely.Polygon(ring) for ring in rings]


@pytest.mark.parametrize("epsg", [32632, 3857, 4326])
def test_polygons_claim_the_pixels_whose_centers_they_hold(tmp_path, epsg):
    areas = shapes()
    names = ["land", "water", "wood"] * 4
    frame = gpd.GeoDataFrame({"kind": names, "n": range(12)}, geometry=areas, crs=UTM.to_wkt())
    path = tmp_path / "a.gpkg"
    frame.to_crs(epsg).to_file(path)
    found = read(LabelFile(str(path), column="kind"))
    claims = [
        rasterize(
            [(a, 1) for a, n in zip(areas, names, strict=True) if n == name],
            out_shape=GRID.shape,
            transform=PLACE,
        )
        for name in SCHEME.names
    ]
    expected = np.where(np.sum(claims, 0) == 1, np.argmax(claims, 0), 255)
    assert (np.sum(claims, 0) > 1).any()
    different = (found != expected).sum()
    assert different <= (0 if epsg == 32632 else 4)
    found = read(LabelFile(str(path), {"wood": "land"}, "kind"))
    np.testing.assert_array_equal(found == 0, claims[2] == 1) if epsg == 32632 else None


def test_a_spike_or_a_sliver_of_a_polygon_has_no_area(tmp_path):
    body = shapely.box(500_100, 4_999_700, 500_300, 4_999_900)
    ring = [(500_100, 4_999_900), (500_300, 4_999_900), (500_300, 4_999_700)]
    spike = [(500_200, 4_999_700), (500_200, 4_999_500), (500_200, 4_999_700)]
    spiked = shapely.Polygon([*ring, *spike, (500_100, 4_999_700)])
    sliver = shapely.Polygon([(500_400, 4_999_900), (500_400, 4_999_700), (500_400, 4_999_900)])
    path = tmp_path / "spiked.gpkg"
    for drawn, classes in (([spiked], "w"), ([spiked, sliver, shapely.box(0, 0, 1, 1)], "wwo")):
        names = [{"w": "water", "o": "wood"}[letter] for letter in classes]
        gpd.GeoDataFrame({"what": names}, geometry=drawn, crs="EPSG:32632").to_file(path)
        found = read(LabelFile(str(path)))
        oracle = rasterize([(body, 1)], (60, 50), fill=255, transform=PLACE)
        np.testing.assert_array_equal(found, oracle)


def test_polygons_that_do_not_say_their_class_are_refused(tmp_path):
    frame = gpd.GeoDataFrame({"a": [3.0], "b": [1]}, geometry=shapes(count=1), crs=UTM.to_wkt())
    path = str(tmp_path / "a.gpkg")
    frame.to_file(path)
    with pytest.raises(InputError, match="--class-field; it has a, b"):
        read(LabelFile(path))
    with pytest.raises(InputError, match="there is no 'kind'"):
        read(LabelFile(path, column="kind"))
    assert set(np.unique(read(LabelFile(path, column="a")))) == {0, 255}
    pixel_space = Grid(None, Affine.identity(), 50, 60, (0, 0), (0, 0))
    with pytest.raises(InputError, match="place on the ground"):
        read(LabelFile(path, column="a"), pixel_space)


def test_without_a_place_the_pixels_must_be_the_same(tmp_path):
    pixel_space = Grid(None, Affine.identity(), 50, 60, (0, 0), (0, 0))
    painted = values(6, (59, 51))
    with pytest.warns(NotGeoreferencedWarning):
        path = write(tmp_path / "a.tif", painted, crs=None, transform=Affine.identity())
    found = read(LabelFile(path), pixel_space)
    np.testing.assert_array_equal(found[:59], channels(painted[:, :50]))
    assert (found[59] == 255).all()
    with pytest.raises(InputError, match="51 x 59 pixels"):
        read(LabelFile(path), Grid(None, Affine.identity(), 70, 60, (0, 0), (0, 0)))
    with pytest.raises(InputError, match="resampled"):
        read(LabelFile(path), Grid(UTM, PLACE, 50, 60, (0, 0), None))


def cells(count, epsg=None):
    """Squares of 100 m side by side, from the upper left of the grid."""
    areas = [
        shapely.box(500_000 + 120 * k, 4_999_800, 500_100 + 120 * k, 4_999_900)
        for k in range(count)
    ]
    frame = gpd.GeoDataFrame({"kind": ["land", "water", "wood"][:count]}, geometry=areas, crs=UTM)
    return frame if epsg is None else frame.to_crs(epsg)


def test_the_layer_with_polygons_and_the_attribute_holds_the_labels(tmp_path):
    path = tmp_path / "a.gpkg"
    roads = cells(3).set_geometry(cells(3).boundary)
    roads.to_file(path, layer="roads")
    cells(3).rename(columns={"kind": "owner"}).to_file(path, layer="parcels")
    cells(3).to_file(path, layer="fields")
    expected = read(LabelFile(str(path), column="kind"))
    assert set(np.unique(expected)) == {0, 1, 2, 255}
    with pytest.raises(InputError, match=r"'crop'.*parcels has owner; fields has kind"):
        read(LabelFile(str(path), column="crop"))
    cells(2).to_file(path, layer="more")
    with pytest.warns(GeocamssWarning, match="layers fields, more.*'fields', the first"):
        np.testing.assert_array_equal(read(LabelFile(str(path), column="kind")), expected)


@pytest.mark.parametrize(
    ("shapes", "words"),
    [([shapely.Point(500_100, 4_999_700)], "no polygons, but Point"), ([], "but nothing at all")],
)
def test_a_file_without_polygons_is_refused_as_such(tmp_path, shapes, words):
    path = tmp_path / "a.gpkg"
    frame = gpd.GeoDataFrame({"kind": ["land"] * len(shapes)}, geometry=shapes, crs=UTM)
    frame.to_file(path)
    with pytest.raises(InputError, match=words):
        read(LabelFile(str(path)))


@pytest.mark.parametrize("turn", [0, 360])
def test_polygons_around_the_grid_are_read_and_no_others(tmp_path, turn):
    """Also where their degrees count on beyond half a turn."""
    path = tmp_path / "a.gpkg"
    here, away = cells(2, 4326), cells(3, 4326)
    away["kind"] = ["marsh", "city", "road"]  # no classes, which would be said
    away = away.set_geometry(away.translate(2, 3))
    everything = here if turn else pd.concat([here, away])
    everything.set_geometry(everything.translate(turn)).to_file(path)
    found = read(LabelFile(str(path)))
    oracle = rasterize(
        zip(cells(2).geometry, (0, 1), strict=True), (60, 50), fill=255, transform=PLACE
    )
    assert (found != oracle).sum() <= 4


def around(epsg, lon, lat, side):
    """A grid whose middle lies there, and the longitudes and latitudes of its pixels' centers."""
    turn = pyproj.Transformer.from_crs(4326, epsg, always_xy=True)
    x, y = turn.transform(lon, lat) if epsg != 4326 else (lon, lat)
    place = Affine(side, 0, x - 25.3 * side, 0, -side, y + 30.3 * side)
    grid = grid_of(CRS.from_epsg(epsg), place, 50, 60)
    rows, cols = np.indices(grid.shape)
    points = grid.coordinates(cols + 0.5, rows + 0.5)
    return grid, *turn.transform(*points, direction="INVERSE")


def written(path, areas):
    """A file of polygons in degrees, by class name."""
    frame = gpd.GeoDataFrame({"kind": list(areas)}, geometry=list(areas.values()), crs="EPSG:4326")
    frame.to_file(path)
    return str(path)


@pytest.mark.parametrize(("epsg", "side"), [(3857, 400), (32632, 200)])
def test_polygons_may_reach_where_the_maps_system_has_no_place(tmp_path, epsg, side):
    grid, lons, lats = around(epsg, 11.0, 59.9, side)
    areas = {
        "water": shapely.box(-180, -90, 180, 59.9),
        "land": shapely.box(-180, 59.9, 11, 90),
        "wood": shapely.box(11, 59.9, 180, 90),
    }
    found = read(LabelFile(written(tmp_path / "world.gpkg", areas)), grid)
    expected = np.where(lats < 59.9, 1, np.where(lons < 11, 0, 2))
    # Lines are cut into pieces, each of which is straight in the map.
    assert (found != expected).sum() <= (0 if epsg == 3857 else 6)


@pytest.mark.parametrize(
    ("epsg", "lon", "side"), [(3832, 180, 200), (4326, 180, 0.002), (4326, -180, 0.002)]
)
def test_polygons_on_both_sides_of_the_antimeridian_are_found(tmp_path, epsg, lon, side):
    grid, lons, _ = around(epsg, lon, -17.0, side)
    areas = {"land": shapely.box(179, -18, 180, -16), "wood": shapely.box(-180, -18, -179, -16)}
    found = read(LabelFile(written(tmp_path / "islands.gpkg", areas)), grid)
    np.testing.assert_array_equal(found, np.where(lons % 360 < 180, 0, 2))


@pytest.mark.filterwarnings("ignore:Non closed ring:RuntimeWarning")
@pytest.mark.parametrize("corner", [[9.002, 45.151], [9.0, math.nan]])
def test_rings_that_are_none_are_refused(tmp_path, corner):
    ring = [[9.0, 45.14], [9.002, 45.14], corner, [9.0, 45.14]]
    shape = {"type": "Polygon", "coordinates": [ring if math.isnan(corner[1]) else ring[:3]]}
    feature = {"type": "Feature", "properties": {"kind": "land"}, "geometry": shape}
    path = tmp_path / "labels.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    with pytest.raises(InputError, match=r"labels\.geojson"):
        read(LabelFile(str(path)))


def test_labels_that_differ_in_case_only_are_told_apart_where_classes_are(tmp_path):
    frame = cells(3)
    frame["kind"] = ["Wheat", "wheat", "WHEAT"]
    path = tmp_path / "a.gpkg"
    frame.to_file(path)
    scheme = ClassScheme.of(["wheat", "Wheat"])
    for meaning in ({}, {"Wheat": "Wheat", "wheat": "wheat"}):
        opened = LabelFile(str(path), meaning).open(GRID, scheme)
        found = opened.read(GRID.window)
        squares = [np.unique(found[11:19, 12 * k + 1 : 12 * k + 9]) for k in range(3)]
        assert [s.tolist() for s in squares] == [[1], [0], [0]]


def test_values_that_are_no_class_are_said(tmp_path):
    path = write(tmp_path / "a.tif", values(7, choice=(3, 7, 8, 100, 0, 255)))
    with pytest.warns(GeocamssWarning, match=r"are ignored: 8, 100;"):
        found = read(LabelFile(path))
    assert set(np.unique(found)) == {0, 1, 255}
    read(LabelFile(path, {"3": "wood"}))  # who says what counts says what does not


def test_values_of_one_name_are_one_class(tmp_path):
    painted = values(3, choice=(0, 1, 2))
    path = write(tmp_path / "a.tif", painted)
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(CLASS_0="oak", CLASS_1="lake", CLASS_2="oak")
    found = read(LabelFile(path, {"oak": "wood", "lake": "water"}))
    np.testing.assert_array_equal(found, channels(painted, ((0, 2), (1, 1), (2, 2))))


def test_of_several_bands_none_is_taken_for_labels_unless_it_is_said_what_they_mean(tmp_path):
    painted = values(2)
    path = write(tmp_path / "scene.tif", np.stack([painted, painted + 1]), photometric="MINISBLACK")
    with pytest.raises(InputError, match=r"scene.tif: has 2 bands; labels are one band.*--map"):
        read(LabelFile(path))
    found = read(LabelFile(path, {"3": "land"}))
    np.testing.assert_array_equal(found == 0, painted == 3)
    with rasterio.open(path, "r+") as file:
        file.colorinterp = [ColorInterp.gray, ColorInterp.alpha]
    np.testing.assert_array_equal(read(LabelFile(path)) == 0, painted == 3)


def test_what_is_no_file_of_labels_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read(LabelFile(str(tmp_path / "none.tif")))
    with pytest.raises(InputError, match="folder"):
        read(LabelFile(str(tmp_path)))
    (tmp_path / "a.txt").write_text("hello")
    with pytest.raises(InputError, match="neither as a raster"):
        read(LabelFile(str(tmp_path / "a.txt")))


def test_land_cover_of_another_grid_lies_on_landsats(shared_data):
    nlcd, landsat = shared_data / "zion" / "nlcd.tif", shared_data / "zion" / "landsat_b4.tif"
    with rasterio.open(landsat) as scene:
        grid = Grid(scene.crs, scene.transform, scene.width, scene.height, (0, 0), (0, 0))
    with rasterio.open(nlcd) as source:
        stored, place, crs = source.read(1), source.transform, source.crs
    most = np.bincount(stored[stored > 0].ravel().astype(int)).argmax()
    found = read(LabelFile(str(nlcd), {str(most): "wood"}), grid)
    expected = np.zeros(grid.shape, stored.dtype)
    reproject(
        stored,
        expected,
        src_transform=place,
        src_crs=crs,
        dst_transform=grid.transform,
        dst_crs=grid.crs,
        resampling=Resampling.nearest,
        tolerance=0,
    )
    assert (found == 2).any()
    assert ((found == 2) == (expected == most)).mean() > 0.998
