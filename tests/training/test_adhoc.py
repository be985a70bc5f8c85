"""A scene and its labels are enough to train on."""

from __future__ import annotations

import logging
from contextlib import closing, nullcontext

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
import yaml
from click.testing import CliRunner
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning
from rasterio.transform import from_origin
from shapely.geometry import box

import geocamss
from geocamss.cli.train import need_training
from geocamss.cli.train import train as command
from geocamss.errors import BandError, GeocamssWarning, InputError, OutputError, RecipeError
from geocamss.evaluation.labels import LabelFile
from geocamss.models.header import read_card
from geocamss.scene.scene import Scene
from geocamss.training.adhoc import Own, own_recipe, recipe_text
from geocamss.training.recipe import Recipe, data_folder, load_recipe
from geocamss.training.sources import IGNORED, load_source

EAST, NORTH, SIDE = 500_000, 5_200_000, 192


def write_raster(path, values, crs="EPSG:32633", **options):
    """Labels from the upper left corner."""
    height, width = values.shape
    shape = {"height": height, "width": width, "count": 1, "dtype": values.dtype}
    place = {} if crs is None else {"crs": crs, "transform": from_origin(EAST, NORTH, 10, 10)}
    with rasterio.open(path, "w", **shape, **place, **options) as file:
        file.write(values, 1)


def write_scene(path, pixels, labels, colors=None, crs="EPSG:32633"):
    """Bands of uint16, with what the file calls each."""
    count, height, width = pixels.shape
    shape = {"height": height, "width": width, "count": count, "dtype": "uint16"}
    place = {} if crs is None else {"crs": crs, "transform": from_origin(EAST, NORTH, 10, 10)}
    with rasterio.open(path, "w", **shape, **place, photometric="MINISBLACK") as file:
        file.write(pixels.astype(np.uint16))
        for index, label in enumerate(labels, 1):
            if label:
                file.set_band_description(index, label)
        if colors:
            known = {"r": ColorInterp.red, "g": ColorInterp.green, "b": ColorInterp.blue}
            file.colorinterp = [known.get(color, ColorInterp.undefined) for color in colors]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A scene whose west is bright and whose east is dark, and its labels in two forms."""
    folder = tmp_path_factory.mktemp("own data")
    rng = np.random.default_rng(0)
    dark = np.broadcast_to(np.arange(SIDE) >= SIDE // 2, (SIDE, SIDE))
    pixels = np.where(dark, 900, 2600) + rng.normal(0, 60, (2, SIDE, SIDE))
    common = {
        "width": SIDE,
        "height": SIDE,
        "crs": "EPSG:32633",
        "transform": from_origin(EAST, NORTH, 10, 10),
    }
    with rasterio.open(
        folder / "scene.tif", "w", count=2, dtype="uint16", nodata=0, **common
    ) as file:
        file.write(pixels.astype(np.uint16))
        file.descriptions = ("red", "nir")
    with rasterio.open(
        folder / "labels.tif", "w", count=1, dtype="uint8", nodata=0, **common
    ) as file:
        file.write((dark * 6 + 1).astype(np.uint8), 1)
    middle = EAST + SIDE * 5
    shapes = [
        box(EAST + 20, NORTH - SIDE * 10 + 20, middle - 50, NORTH - 20),
        box(middle + 50, NORTH - SIDE * 10 + 20, EAST + SIDE * 10 - 20, NORTH - 20),
    ]
    frame = gpd.GeoDataFrame({"crop": ["wheat", "lake"]}, geometry=shapes, crs="EPSG:32633")
    frame.to_crs(3035).to_file(folder / "fields.gpkg")
    return folder


def test_the_recipe_takes_bands_and_statistics_from_the_scene_and_classes_from_the_labels(folder):
    own = Own(folder / "scene.tif", folder / "fields.gpkg", "crop")
    recipe, data = own_recipe(own, minutes=3)
    card = recipe.card_without_results()
    assert data == folder.resolve()
    assert card.band_names == ("red", "nir")
    assert card.gsd == pytest.approx(10, rel=0.01)
    assert card.classes.names == ("lake", "wheat")
    with rasterio.open(folder / "scene.tif") as file:
        pixels = file.read().reshape(2, -1)
    np.testing.assert_allclose(card.per_band("mean"), pixels.mean(1), rtol=0.01)
    np.testing.assert_allclose(card.per_band("std"), pixels.std(1), rtol=0.01)
    assert recipe.training.minutes == 3


def test_the_command_trains_a_model_that_maps_the_scene(folder, tmp_path, monkeypatch):
    monkeypatch.delenv("GEOCAMSS_DATA", raising=False)
    out = tmp_path / "crops.safetensors"
    arguments = ["--scene", folder / "scene.tif", "--labels", folder / "fields.gpkg"]
    arguments += ["--class-field", "crop", "-o", out, "--max-steps", 100]
    result = CliRunner().invoke(command, [str(a) for a in arguments])
    assert result.exit_code == 0, result.output
    assert read_card(out).metrics["validation_accuracy"] > 0.9
    kept = out.with_suffix(".yaml")
    recipe = load_recipe(kept)
    assert (out.parent / str(recipe.data)).samefile(folder)
    assert data_folder(recipe, kept, folder) == folder
    out.rename(tmp_path / "model.safetensors")
    text = kept.read_bytes()
    again = CliRunner().invoke(command, [str(a) for a in arguments])
    assert isinstance(again.exception, OutputError)
    assert "crops.yaml exists" in str(again.exception)
    assert kept.read_bytes() == text
    out = tmp_path / "model.safetensors"
    made = geocamss.predict(folder / "scene.tif", tmp_path / "map", model=out)
    with rasterio.open(made.classes) as file:
        classes = file.read(1)
    lake = classes[:, SIDE // 2 + 8 :] == 0
    wheat = classes[:, : SIDE // 2 - 8] == 1
    assert lake.mean() > 0.9
    assert wheat.mean() > 0.9


def test_classes_of_a_raster_are_its_values(folder):
    recipe, _ = own_recipe(Own(folder / "scene.tif", folder / "labels.tif"))
    assert recipe.card_without_results().classes.names == ("class 1", "class 7")


def loaded(own):
    """What the recipe, once it is written and read again, makes of the scene: recipe and image."""
    suggested, data = own_recipe(own)
    recipe = Recipe.model_validate(yaml.safe_load(recipe_text(suggested)))
    (item,) = load_source(recipe.sources[0], recipe.card_without_results(), data)
    return recipe, item


@pytest.mark.parametrize("said", [{"red": 1, "nir": 2}, {"red": 2, "nir": 1}])
@pytest.mark.parametrize("named", [False, True])
def test_bands_that_the_user_names_are_those_that_are_trained_on(folder, tmp_path, said, named):
    pixels = np.random.default_rng(1).integers(1, 50, (2, SIDE, SIDE))
    pixels[1] += 1000
    common = {"crs": "EPSG:32633", "transform": from_origin(EAST, NORTH, 10, 10)}
    common |= {"width": SIDE, "height": SIDE, "dtype": "uint16"}
    scene = tmp_path / "two [10 m].tif"  # no pattern, though it looks like one
    with rasterio.open(scene, "w", count=2, **common) as file:
        file.write(pixels.astype(np.uint16))
        if named:
            file.descriptions = ("red", "nir")
    labels = tmp_path / "labels{1}.tif"
    labels.write_bytes((folder / "labels.tif").read_bytes())
    recipe, item = loaded(Own(scene, labels, bands=said))
    names = recipe.card_without_results().band_names
    assert set(names) == {"red", "nir"}
    for name, band in zip(names, item.image, strict=True):
        np.testing.assert_array_equal(band, pixels[said[name] - 1])


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ([1, 2], {"1", "2"}),
        ([1.0, 2.0], {"1", "2"}),
        ([1, None, 2], {"1", "2"}),
        ([1.5, 2.0], {"1.5", "2"}),
        (["oak ", "elm", "oak"], {"oak", "elm"}),
    ],
)
def test_every_value_of_a_class_field_is_found_again(folder, tmp_path, values, names):
    cells = [box(EAST + 600 * k + 20, NORTH - 1900, EAST + 600 * k + 580, NORTH) for k in range(3)]
    frame = gpd.GeoDataFrame({"crop": values}, geometry=cells[: len(values)], crs="EPSG:32633")
    frame.to_file(tmp_path / "fields.gpkg")
    (tmp_path / "scene.tif").write_bytes((folder / "scene.tif").read_bytes())
    recipe, item = loaded(Own(tmp_path / "scene.tif", tmp_path / "fields.gpkg", "crop"))
    assert set(recipe.classes.names) == names
    for cell, value in enumerate(values):
        labels = item.labels[:, cell * 60 + 5 : cell * 60 + 55]
        assert bool((labels != IGNORED).any()) == (value is not None)


def test_mistakes_are_said(folder, tmp_path):
    scene, fields = folder / "scene.tif", folder / "fields.gpkg"
    two = tmp_path / "two.gpkg"
    gpd.read_file(fields).assign(owner="me").to_file(two)
    with pytest.raises(InputError, match="--class-field; it has crop, owner"):
        own_recipe(Own(scene, two))
    with pytest.raises(InputError, match="there is no 'corp'"):
        own_recipe(Own(scene, fields, "corp"))
    with pytest.raises(InputError, match="no such file"):
        own_recipe(Own(scene, tmp_path / "none.gpkg", "crop"))
    with pytest.raises(RecipeError, match="whole numbers"):
        own_recipe(Own(scene, scene))
    named = tmp_path / "twice.tif"
    write_scene(named, np.ones((3, 64, 64)), ("", "", "band1"))
    with pytest.raises(BandError, match="--bands"):
        own_recipe(Own(named, folder / "labels.tif"))
    write_raster(tmp_path / "many.tif", np.arange(SIDE**2).reshape(SIDE, SIDE) % 70)
    with pytest.raises(InputError, match="more than 64"):
        own_recipe(Own(scene, tmp_path / "many.tif"))
    write_raster(tmp_path / "heights.tif", np.full((SIDE, SIDE), 0.5, np.float32))
    with pytest.raises(InputError, match="whole numbers"):
        own_recipe(Own(scene, tmp_path / "heights.tif"))
    far = gpd.read_file(fields)
    far.set_geometry(far.translate(1e5)).to_file(tmp_path / "far.gpkg")
    with pytest.raises(InputError, match=r"scene.tif has a label of .*far.gpkg.*same ground"):
        own_recipe(Own(scene, tmp_path / "far.gpkg"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--scene", "s.tif"], "--labels"),
        (["r.yaml", "--class-field", "crop"], "--class-field is for training without a recipe"),
        (["r.yaml", "--bands", "red=1"], "--bands is for training without a recipe"),
        (["r.yaml", "--labels", "l.tif"], "--labels is for training without a recipe"),
        (["--scene", "s.tif", "--labels", "l.tif", "-o", "m.yaml"], "-o m"),
    ],
)
def test_options_that_do_not_go_together_are_refused(arguments, words):
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 2
    assert words in " ".join(result.output.split())


def both_sides(recipe, data):
    """Labeled pixels by class, for training and held out."""
    card = recipe.card_without_results()
    return [
        np.bincount(item.labels[item.labels != IGNORED], minlength=len(card.classes)).tolist()
        for sources in (recipe.sources, recipe.validation)
        for source in sources
        for item in load_source(source, card, data)
    ]


def small_fields(places, side=30):
    """Squares of so many pixels, by class and upper left pixel."""
    shapes = [
        box(EAST + 10 * col, NORTH - 10 * (row + side), EAST + 10 * (col + side), NORTH - 10 * row)
        for _, row, col in places
    ]
    return gpd.GeoDataFrame({"crop": [p[0] for p in places]}, geometry=shapes, crs="EPSG:32633")


def test_a_few_small_polygons_are_split_so_that_every_class_is_on_both_sides(tmp_path):
    write_scene(tmp_path / "scene.tif", np.random.default_rng(2).random((1, 700, 700)), ("red",))
    places = [("wheat", 40, 300), ("lake", 333, 200), ("oak", 590, 610), ("oak", 20, 600)]
    fields = small_fields(places)
    fields.to_file(tmp_path / "fields.gpkg")
    recipe, data = own_recipe(Own(tmp_path / "scene.tif", tmp_path / "fields.gpkg", "crop"))
    learned, held_out = both_sides(recipe, data)
    assert (np.array(learned) + held_out).tolist() == [900, 1800, 900]
    assert min(learned + held_out) > 0
    again = Recipe.model_validate(yaml.safe_load(recipe_text(recipe)))
    assert both_sides(again, data) == [learned, held_out]


def test_too_few_labels_are_all_learned_from_and_there_are_no_scores(folder, tmp_path, monkeypatch):
    monkeypatch.delenv("GEOCAMSS_DATA", raising=False)
    small_fields([("wheat", 0, 0), ("lake", 160, 130)], side=12).to_file(tmp_path / "fields.gpkg")
    own = Own(folder / "scene.tif", tmp_path / "fields.gpkg", "crop")
    with pytest.warns(GeocamssWarning, match="too few labels to set some aside.*no scores"):
        recipe, data = own_recipe(own)
    assert recipe.validation == ()
    assert both_sides(recipe, data) == [[144, 144]]
    arguments = ["--scene", own.scene, "--labels", own.labels, "-o", tmp_path / "few"]
    with pytest.warns(GeocamssWarning, match="too few labels"):
        result = CliRunner().invoke(command, [*map(str, arguments), "--max-steps", "2"])
    assert result.exit_code == 0, result.output
    assert "no scores" in result.output
    assert read_card(tmp_path / "few.safetensors").metrics == {}
    assert (tmp_path / "few.yaml").exists()


def test_a_command_that_fails_leaves_no_recipe_so_that_it_can_be_corrected(folder, tmp_path):
    out, kept = tmp_path / "crops", tmp_path / "crops.yaml"
    (tmp_path / "old.safetensors").write_bytes(b"no model")
    arguments = ["--scene", folder / "scene.tif", "--labels", folder / "fields.gpkg", "-o", out]
    arguments = [*map(str, arguments), "--start-from", str(tmp_path / "old.safetensors")]
    for before in (None, b"mine"):
        if before is not None:
            kept.write_bytes(before)
        result = CliRunner().invoke(command, [*arguments, *(["--overwrite"] if before else [])])
        assert isinstance(result.exception, InputError)
        assert (kept.read_bytes() if kept.exists() else None) == before


def evaluated(recipe, path, grid):
    """Channels of the file of labels, as an evaluation of the model would read it."""
    with closing(LabelFile(str(path)).open(grid, recipe.card_without_results().classes)) as labels:
        return labels.read(grid.window)


@pytest.mark.parametrize("names", [{}, {1: "wheat", 7: "open  water"}, {1: "Wheat", 7: "wheat"}])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_a_model_of_a_raster_of_labels_understands_that_raster(folder, tmp_path, names, dtype):
    for name in ("scene.tif", "labels.tif"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    with rasterio.open(folder / "labels.tif") as file:
        values = file.read(1)
    write_raster(tmp_path / "labels.tif", values.astype(dtype), nodata=0)
    with rasterio.open(tmp_path / "labels.tif", "r+") as file:
        file.update_tags(**{f"CLASS_{value}": name for value, name in names.items()})
    joined = len({name.casefold() for name in names.values()}) == 1
    with pytest.warns(GeocamssWarning, match="one class, Wheat") if joined else nullcontext():
        recipe, item = loaded(Own(tmp_path / "scene.tif", tmp_path / "labels.tif"))
    scheme = recipe.card_without_results().classes
    if not names:
        assert {c.value: c.name for c in scheme} == {1: "class 1", 7: "class 7"}
    elif not joined:
        assert {c.value: c.name for c in scheme} == {1: "wheat", 7: "open water"}
    found = evaluated(recipe, tmp_path / "labels.tif", item.grid)
    expected = np.where(values == 7, 0 if joined else 1, 0)
    np.testing.assert_array_equal(found, expected)


def test_values_that_a_class_raster_cannot_hold_get_numbers_that_mean_nothing_else(
    folder, tmp_path
):
    values = np.broadcast_to(np.array([0, 300, 1, 2])[np.arange(SIDE) // 48], (SIDE, SIDE))
    write_raster(tmp_path / "labels.tif", values.astype(np.int32))
    with pytest.warns(GeocamssWarning, match="0 is a class too.*-a_nodata 0"):
        recipe, _ = own_recipe(Own(folder / "scene.tif", tmp_path / "labels.tif"))
    found = {c.name: c.value for c in recipe.card_without_results().classes}
    assert found == {"class 0": 0, "class 1": 1, "class 2": 2, "class 300": 3}


def test_pixels_under_a_mask_are_no_labels(folder, tmp_path):
    path = tmp_path / "labels.tif"
    values = (np.indices((SIDE, SIDE)).sum(0) // 40 % 3 + 1).astype(np.uint8)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        write_raster(path, values)
        with rasterio.open(path, "r+") as file:
            file.write_mask(values != 2)
    recipe, _ = own_recipe(Own(folder / "scene.tif", path))
    assert recipe.card_without_results().classes.names == ("class 1", "class 3")


def test_classes_that_differ_in_case_only_are_one_and_it_is_said(folder, tmp_path):
    places = [("wheat", 0, 0), ("Wheat", 0, 90), ("lake", 90, 0), ("lake", 90, 90)]
    small_fields(places, side=80).to_file(tmp_path / "fields.gpkg")
    with pytest.warns(GeocamssWarning, match="wheat and Wheat are taken for one class, Wheat"):
        recipe, data = own_recipe(Own(folder / "scene.tif", tmp_path / "fields.gpkg"))
    assert set(recipe.classes.names) == {"Wheat", "lake"}
    assert np.sum(both_sides(recipe, data), 0).tolist() == [12_800, 12_800]


def test_classes_that_lie_elsewhere_are_no_classes_of_the_model(folder, tmp_path):
    here = [("wheat", 0, 0), ("lake", 90, 0), ("10", 0, 90)]
    away = [(f"kind {k}", 40 * k, 4000) for k in range(100)]
    small_fields([*here, *away], side=80).to_crs(3035).to_file(tmp_path / "fields.gpkg")
    recipe, _ = own_recipe(Own(folder / "scene.tif", tmp_path / "fields.gpkg"))
    found = {c.name: c.value for c in recipe.card_without_results().classes}
    assert found == {"10": 10, "lake": 0, "wheat": 1}
    sliver = small_fields([("hedge", 0, 180)], side=0.3)
    pd.concat([small_fields(here, side=80), sliver]).to_file(tmp_path / "more.gpkg")
    with pytest.warns(GeocamssWarning, match="are left out: hedge"):
        recipe, _ = own_recipe(Own(folder / "scene.tif", tmp_path / "more.gpkg"))
    assert set(recipe.classes.names) == {"10", "lake", "wheat"}


@pytest.mark.parametrize(
    ("labels", "colors", "names"),
    [
        (("", "", "", ""), None, ("band1", "band2", "band3", "band4")),
        (("",), None, ("band1",)),
        (("red", "", "height", "Band 4"), None, ("red", "band2", "height", "band4")),
        (("",) * 4, "rgb?", ("red", "green", "blue", "band4")),
        (("same", "same", "Layer_3", "x=y"), None, ("band1", "band2", "band3", "band4")),
    ],
)
def test_bands_without_names_go_by_the_files_words_or_their_position(
    folder, tmp_path, labels, colors, names
):
    pixels = np.random.default_rng(3).integers(1, 50, (len(labels), SIDE, SIDE))
    pixels += 100 * np.arange(len(labels))[:, None, None]
    scene = tmp_path / "scene.tif"
    write_scene(scene, pixels, labels, colors)
    (tmp_path / "labels.tif").write_bytes((folder / "labels.tif").read_bytes())
    with pytest.warns(GeocamssWarning, match=f"calls them .*{names[-1]}"):
        recipe, item = loaded(Own(scene, tmp_path / "labels.tif"))
    card = recipe.card_without_results()
    assert card.band_names == names
    for k, band in enumerate(item.image):
        np.testing.assert_array_equal(band, pixels[k])
    opened = Scene.open(scene)
    assert [band.index for band in opened.select(card)] == list(range(1, len(labels) + 1))


@pytest.mark.parametrize("marker", [-9999.0, float(np.finfo(np.float32).min), 0.0, None])
def test_a_value_far_from_all_others_may_stand_for_missing_data_and_it_is_said(
    folder, tmp_path, marker
):
    pixels = np.random.default_rng(4).uniform(0.2, 0.4, (SIDE, SIDE)).astype(np.float32)
    if marker is not None:
        pixels[:20, :30] = marker
    write_raster(tmp_path / "scene.tif", pixels)
    with rasterio.open(tmp_path / "scene.tif", "r+") as file:
        file.set_band_description(1, "red")
    own = Own(tmp_path / "scene.tif", folder / "labels.tif")
    said = marker is not None and marker < 0
    with pytest.warns(GeocamssWarning, match="-a_nodata -") if said else nullcontext():
        own_recipe(own)


def test_bands_that_the_user_leaves_out_are_said(folder, tmp_path):
    write_scene(tmp_path / "scene.tif", np.ones((3, SIDE, SIDE)), ("",) * 3)
    own = Own(tmp_path / "scene.tif", folder / "labels.tif", bands={"red": 3, "green": 2})
    with pytest.warns(GeocamssWarning, match="bands 1 have no name and are left out"):
        recipe, _ = own_recipe(own)
    assert recipe.card_without_results().band_names == ("green", "red")


def test_a_card_tells_what_the_scene_does_not_say(folder, tmp_path):
    with pytest.warns(NotGeoreferencedWarning):
        write_scene(tmp_path / "scene.tif", np.ones((1, 64, 64)), ("red 660 nm",), crs=None)
    with pytest.warns(NotGeoreferencedWarning):
        write_raster(tmp_path / "labels.tif", np.tri(64, dtype=np.uint8) + 1, crs=None)
    with pytest.warns(GeocamssWarning, match="not georeferenced"):
        recipe, _ = own_recipe(Own(tmp_path / "scene.tif", tmp_path / "labels.tif"))
    card = recipe.card_without_results()
    assert "does not say how large its pixels are: 1 m is made up" in card.description
    assert card.license == "not stated"
    assert card.bands[0].wavelength == pytest.approx(0.66)
    recipe, _ = own_recipe(Own(folder / "scene.tif", folder / "labels.tif"))
    assert "made up" not in recipe.card_without_results().description


def test_a_field_of_a_raster_is_not_read_and_it_is_said(folder):
    with pytest.warns(GeocamssWarning, match="no field of it is read"):
        recipe, _ = own_recipe(Own(folder / "scene.tif", folder / "labels.tif", "crop"))
    assert recipe.sources[0].column is None


def test_what_gdal_says_of_formats_that_a_file_is_not_is_no_news(folder, caplog):
    with caplog.at_level(logging.DEBUG):
        with need_training(quiet=False):
            own_recipe(Own(folder / "scene.tif", folder / "fields.gpkg"))
        caplog.clear()
        own_recipe(Own(folder / "scene.tif", folder / "fields.gpkg"))
    assert any("labeled pixels: lake" in record.message for record in caplog.records)
    assert not [record for record in caplog.records if record.name.startswith("rasterio")]
