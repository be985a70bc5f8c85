"""A scene and its labels are enough to train on."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import yaml
from click.testing import CliRunner
from rasterio.transform import from_origin
from shapely.geometry import box

import geocamss
from geocamss.cli.train import train as command
from geocamss.errors import BandError, InputError, OutputError, RecipeError
from geocamss.models.header import read_card
from geocamss.training.adhoc import Own, own_recipe, recipe_text
from geocamss.training.recipe import Recipe, data_folder, load_recipe
from geocamss.training.sources import IGNORED, load_source

EAST, NORTH, SIDE = 500_000, 5_200_000, 192


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
    assert data_folder(load_recipe(kept), kept, None).samefile(folder)
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
    with pytest.raises(InputError, match="--class-field: crop"):
        own_recipe(Own(scene, fields))
    with pytest.raises(InputError, match="no field 'corp'"):
        own_recipe(Own(scene, fields, "corp"))
    with pytest.raises(InputError, match="no such file"):
        own_recipe(Own(scene, tmp_path / "none.gpkg", "crop"))
    with pytest.raises(RecipeError, match="whole numbers"):
        own_recipe(Own(scene, scene))
    unnamed = tmp_path / "plain.tif"
    place = {"crs": "EPSG:32633", "transform": from_origin(EAST, NORTH, 10, 10)}
    with rasterio.open(unnamed, "w", width=64, height=64, count=5, dtype="uint8", **place) as file:
        file.write(np.ones((5, 64, 64), np.uint8))
    with pytest.raises(BandError, match="--bands"):
        own_recipe(Own(unnamed, folder / "labels.tif"))
    result = CliRunner().invoke(command, ["--scene", str(scene)])
    assert result.exit_code == 2
    assert "--labels" in result.output
