"""``geocamss info`` and ``geocamss models`` against what rasterio and the files say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import rasterio

from geocamss.cli.info import fit
from geocamss.cli.main import main
from geocamss.modelcard import ModelCard
from geocamss.models import registry
from geocamss.models.header import read_card
from geocamss.scene.scene import Scene

SCENES = (
    "zion/landsat_b2.tif",
    "naip/m_4709963_se_14_1_20100629.tif",
    "fair/kampala_aoi0_z19_rgb.tif",
    "rstoolbox/sen2.tif",
    "dubai/tile1/images/image_part_001.jpg",
)


def told(capsys: pytest.CaptureFixture[str], *words: str | Path) -> dict:
    assert main(["info", *map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


# Some of these scenes have no georeference on purpose.
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("name", SCENES)
def test_a_scene_is_what_rasterio_says(shared_data, capsys, name: str) -> None:
    facts = told(capsys, shared_data / name)
    with rasterio.open(shared_data / name) as file:
        assert facts["kind"] == "scene"
        assert (facts["width"], facts["height"]) == (file.width, file.height)
        assert facts["driver"] == file.driver
        assert facts["crs"] == (file.crs.to_string() if file.crs else None)
        assert [band["dtype"] for band in facts["bands"]] == list(file.dtypes)
        if file.crs:
            assert facts["transform"] == list(file.transform)[:6]
    assert set(facts["models"]) == set(registry.names())


def test_people_read_the_same(small_scene, capsys) -> None:
    assert main(["info", str(small_scene)]) == 0
    text = capsys.readouterr().out
    for part in ("100 x 90 pixels", "EPSG:32633", "0.5 m", "red", "uint8", "GTiff"):
        assert part in text


def test_bands_can_be_renamed(small_scene, capsys) -> None:
    facts = told(capsys, small_scene, "--bands", "nir=1")
    assert facts["bands"][0]["name"] == "nir"


def test_a_scene_fits_a_model_that_maps_it(small_scene, small_model) -> None:
    told_fit = fit(Scene.open(small_scene), read_card(small_model))
    assert told_fit["fits"]
    assert told_fit["bands"] == {"red": 1, "green": 2, "blue": 3}
    assert (told_fit["width"], told_fit["height"], told_fit["pixel"]) == (100, 90, 0.5)


def test_a_scene_without_a_band_does_not_fit_and_says_which(small_scene) -> None:
    card = ModelCard(bands=["red", "nir"], gsd=0.5, classes=["a"])
    told_fit = fit(Scene.open(small_scene), card)
    assert not told_fit["fits"]
    assert "nir" in told_fit["reason"]


def test_a_model_tells_its_whole_card(small_model, capsys) -> None:
    facts = told(capsys, small_model)
    assert facts.pop("kind") == "model"
    assert facts.pop("path") == str(small_model)
    assert facts.pop("bytes") == small_model.stat().st_size
    assert ModelCard.model_validate(facts) == read_card(small_model)


def test_people_read_the_card(small_model, capsys) -> None:
    assert main(["info", str(small_model)]) == 0
    text = capsys.readouterr().out
    for part in (
        "small, version 1",
        "red, green, blue",
        "0.5 m",
        "[odd] name",
        "CC0-1.0",
        "mIoU",
        "temperature",
    ):
        assert part in text


def test_what_is_neither_is_an_error(tmp_path, capsys) -> None:
    (tmp_path / "text.tif").write_text("no raster")
    (tmp_path / "text.safetensors").write_text("no model")
    for target in ("text.tif", "text.safetensors", "absent.tif", "absent.safetensors"):
        assert main(["info", str(tmp_path / target)]) == 2
        assert target in capsys.readouterr().err


def test_quiet_leaves_the_exit_code(small_scene, small_model, tmp_path, capsys) -> None:
    assert main(["info", "-q", str(small_scene)]) == 0
    assert main(["info", "-q", str(small_model)]) == 0
    assert capsys.readouterr() == ("", "")
    assert main(["info", "-q", str(tmp_path / "absent.tif")]) == 2
    assert "absent.tif" in capsys.readouterr().err


def test_every_built_in_model_is_listed_by_its_card(capsys) -> None:
    assert main(["models", "--json"]) == 0
    listed = {model["name"]: model for model in json.loads(capsys.readouterr().out)}
    assert set(listed) == set(registry.names())
    assert registry.DEFAULT in listed
    for name, model in listed.items():
        card = read_card(registry.path(name))
        assert model["classes"] == list(card.classes.names)
        assert model["bands"] == list(card.band_names)
        assert model["license"] == card.license
        assert model["bytes"] == registry.path(name).stat().st_size
    assert main(["models"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in listed)
    assert main(["models", "-q"]) == 0
    assert capsys.readouterr().out.split() == list(listed)


def test_a_misspelled_model_is_told_the_nearest(capsys) -> None:
    assert main(["info", "aerial-landcove"]) == 2
    assert "aerial-landcover" in capsys.readouterr().err
