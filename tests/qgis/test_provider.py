"""The plugin's algorithms, run in QGIS as it is unpacked from its file."""

from __future__ import annotations

import json
import shlex
import sys
import zipfile
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import rasterio

from geocamss.models import registry
from geocamss.models.header import read_card
from geocamss.plugin import write_plugin
from geocamss.products import PRODUCTS
from tests.cli.conftest import small_model, small_scene
from tests.conftest import ROOT

__all__ = ["small_model", "small_scene"]

AREA = "POLYGON((15 45.1530, 15.0004 45.1530, 15.0004 45.1534, 15 45.1534, 15 45.1530))"
OWN_CRS = "+proj=tmerc +lon_0=14.5 +k=1 +x_0=500000 +ellps=WGS84 +units=m +no_defs"
"""Some of the small scene, in longitude and latitude."""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command of this checkout, in a home's ``.local/bin``."""
    home = tmp_path_factory.mktemp("Heim für Gäste")
    path = home / ".local" / "bin" / "geocamss"
    path.parent.mkdir(parents=True)
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); "
        "from geocamss.cli.main import main; sys.exit(main())"
    )
    path.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -c {shlex.quote(code)} "$@"\n')
    path.chmod(0o755)
    return path


def unpack(folder: Path) -> None:
    """The plugin as it is installed, into ``plugins``."""
    write_plugin(folder / "plugin.zip")
    with zipfile.ZipFile(folder / "plugin.zip") as archive:
        archive.extractall(folder / "plugins")


@pytest.fixture(scope="module")
def driven(qgis, program, small_model, small_scene, tmp_path_factory):
    """What all jobs gave, in one QGIS; and the folder that they wrote into."""
    folder = tmp_path_factory.mktemp("work")
    unpack(folder)
    plain = {
        "SCENE": str(small_scene),
        "MODEL_FILE": str(small_model),
        "GSD": 0.5,
        "STEPS": 2,
        "FOLDER": str(folder / "eine Karte"),
    }
    jobs = {
        "map": {"algorithm": "geocamss:map", "parameters": plain},
        "twice": {"algorithm": "geocamss:map", "parameters": plain},
        "area": {
            "algorithm": "geocamss:map",
            "parameters": {
                **plain,
                "FOLDER": str(folder / "area"),
                "OUTPUTS": ["classes"],
                "CRS": "EPSG:32632",
            },
            "area": AREA,
            "executable": str(program),
        },
        "own crs": {
            "algorithm": "geocamss:map",
            "parameters": {**plain, "FOLDER": str(folder / "own"), "OUTPUTS": ["classes"]},
            "proj": OWN_CRS,
        },
        "bands": {
            "algorithm": "geocamss:map",
            "parameters": {**plain, "FOLDER": str(folder / "no"), "BANDS": "red=9"},
        },
        "vectorize": {
            "algorithm": "geocamss:vectorize",
            "parameters": {
                "CLASSES": str(folder / "eine Karte" / "classes.tif"),
                "CONFIDENCE": str(folder / "eine Karte" / "confidence.tif"),
                "MIN_AREA": 2.0,
                "SIMPLIFY": 0.5,
                "SMOOTH": True,
                "SQUARE": "water, land",
                "POLYGONS": str(folder / "Flächen.gpkg"),
            },
            "opened": "POLYGONS",
        },
        "vectorize a picture": {
            "algorithm": "geocamss:vectorize",
            "parameters": {"CLASSES": str(small_scene), "POLYGONS": str(folder / "p.gpkg")},
        },
        "vectorize a band": {
            "algorithm": "geocamss:vectorize",
            "parameters": {
                "CLASSES": str(small_scene),
                "BAND": 2,
                "POLYGONS": str(folder / "band.gpkg"),
            },
        },
        "vectorize to what is no file": {
            "algorithm": "geocamss:vectorize",
            "parameters": {
                "CLASSES": str(folder / "eine Karte" / "classes.tif"),
                "POLYGONS": str(folder / "a.shp"),
            },
        },
        "not there": {
            "algorithm": "geocamss:vectorize",
            "parameters": {"CLASSES": str(small_scene), "POLYGONS": str(folder / "b.gpkg")},
            "executable": str(small_scene),
        },
    }
    (folder / "jobs.json").write_text(json.dumps(list(jobs.values())))
    home = program.parent.parent.parent
    found = qgis(
        "drive_plugin.py", folder / "plugins", folder / "jobs.json", HOME=home, PATH="/usr/bin:/bin"
    )
    found["jobs"] = dict(zip(jobs, found["jobs"], strict=True))
    return found, folder


def legend(model: Path) -> list:
    return [[c.value, c.name, c.hex] for c in read_card(model).classes]


def test_the_toolbox_offers_the_commands(driven):
    found, _ = driven
    assert set(found["algorithms"]) == {"geocamss:map", "geocamss:vectorize"}
    for algorithm in found["algorithms"].values():
        assert algorithm["name"]
        assert algorithm["help"]
    kinds = found["algorithms"]["geocamss:map"]["parameters"]
    assert kinds["SCENE"] == "raster"
    assert kinds["MODEL"] == "enum"
    assert kinds["MODEL_FILE"] == "file"
    assert kinds["AREA"] == "source"
    assert kinds["GSD"] == "number"
    assert kinds["CRS"] == "crs"
    assert kinds["FOLDER"] == "folderDestination"
    assert found["algorithms"]["geocamss:vectorize"]["parameters"]["POLYGONS"] == (
        "vectorDestination"
    )
    assert {"gpkg", "fgb"} <= set(found["endings"]) <= {"gpkg", "fgb", "parquet"}
    assert sorted(found["models"]) == sorted(registry.names())
    assert found["models"][0] == registry.DEFAULT
    assert set(found["outputs"]) <= set(PRODUCTS)


def test_the_plugin_imports_no_geocamss_and_leaves_nothing(driven):
    found, _ = driven
    assert not found["imported"]
    assert not found["left"]


def test_a_scene_becomes_layers_with_names_and_colors(driven, small_model):
    found, folder = driven
    job = found["jobs"]["map"]
    assert (job["able"], job["ok"], job["error"]) == ([True, ""], True, ""), job["log"]
    assert job["progress"] == 100
    written = folder / "eine Karte"
    assert job["results"]["FOLDER"] == str(written)
    assert job["results"]["CLASSES"] == str(written / "classes.tif")
    assert job["results"]["PROJECT"] == str(written / "map.qgz")
    assert Path(job["results"]["PROJECT"]).is_file()
    names = [layer["name"] for layer in job["layers"]]
    assert names == ["eine Karte polygons", "eine Karte classes"]
    for layer in job["layers"]:
        assert layer["valid"]
        assert layer["legend"] == legend(small_model)


def test_an_error_of_the_command_is_the_algorithm_s(driven):
    found, folder = driven
    job = found["jobs"]["twice"]
    assert not job["ok"]
    assert str(folder / "eine Karte") in job["error"]
    assert "--overwrite" in job["error"]
    assert "9" in found["jobs"]["bands"]["error"]
    assert "Traceback" not in found["jobs"]["bands"]["log"]


def test_an_area_in_memory_bounds_the_map(driven):
    found, folder = driven
    job = found["jobs"]["area"]
    assert job["ok"], job["log"]
    assert [layer["name"] for layer in job["layers"]] == ["area classes"]
    with rasterio.open(folder / "area" / "classes.tif") as file:
        assert file.crs == "EPSG:32632"
        assert (file.read(1) != 255).any()
    assert not (folder / "area" / "polygons.gpkg").exists()


def test_a_crs_of_the_user_s_own_is_that_of_the_map(driven):
    found, folder = driven
    job = found["jobs"]["own crs"]
    assert job["ok"], job["error"]
    with rasterio.open(folder / "own" / "classes.tif") as file:
        assert file.crs.to_dict()["proj"] == "tmerc"
        assert file.crs.to_dict()["lon_0"] == 14.5


def test_a_class_raster_becomes_polygons(driven, small_model):
    found, folder = driven
    job = found["jobs"]["vectorize"]
    assert job["ok"], job["error"]
    assert Path(job["results"]["POLYGONS"]) == folder / "Flächen.gpkg"
    assert (folder / "Flächen.gpkg").is_file()
    (layer,) = job["layers"]
    assert layer["legend"] == legend(small_model)
    assert "a.shp" in found["jobs"]["vectorize to what is no file"]["error"]


def test_a_picture_is_no_class_raster_but_one_of_its_bands_may_be(driven, small_scene):
    found, folder = driven
    assert found["algorithms"]["geocamss:vectorize"]["parameters"]["BAND"] == "band"
    assert "is a picture" in found["jobs"]["vectorize a picture"]["error"]
    job = found["jobs"]["vectorize a band"]
    assert job["ok"], job["error"]
    with rasterio.open(small_scene) as scene:
        values = np.setdiff1d(scene.read(2), [0]).tolist()
    frame = pyogrio.read_dataframe(folder / "band.gpkg", layer="polygons", columns=["class"])
    assert sorted(set(frame["class"])) == values


def test_a_command_that_is_not_there_is_told_of(driven):
    found, _ = driven
    job = found["jobs"]["not there"]
    assert job["able"][0] is False
    assert "pipx install geocamss" in job["able"][1]
    assert "pipx install geocamss" in job["error"]


def test_a_canceled_run_can_be_taken_up(qgis, program, small_model, tmp_path):
    scene = tmp_path / "scene.tif"
    pixels = np.random.default_rng(2).integers(1, 256, (3, 700, 700), dtype=np.uint8)
    with rasterio.open(
        scene, "w", driver="GTiff", width=700, height=700, count=3, dtype="uint8",
        crs="EPSG:32633", transform=rasterio.Affine(0.5, 0, 500_000, 0, -0.5, 5_000_000),
        photometric="RGB",
    ) as file:  # fmt: skip
        file.write(pixels)
    unpack(tmp_path)
    parameters = {
        "SCENE": str(scene),
        "MODEL_FILE": str(small_model),
        "STEPS": 2,
        "SAMPLES": 4,
        "OUTPUTS": ["classes"],
        "FOLDER": str(tmp_path / "out"),
    }
    job = {"algorithm": "geocamss:map", "parameters": parameters, "executable": str(program)}
    (tmp_path / "jobs.json").write_text(json.dumps([{**job, "cancel_at": 1}, job]))
    found = qgis("drive_plugin.py", tmp_path / "plugins", tmp_path / "jobs.json")
    canceled, done = found["jobs"]
    assert canceled["canceled"]
    assert (canceled["error"], canceled["results"], canceled["layers"]) == ("", {}, [])
    assert "to go on" in canceled["log"]
    assert "interrupted" in canceled["log"]
    assert done["ok"], done["log"]
    assert (tmp_path / "out" / "classes.tif").is_file()
    assert not (tmp_path / "out" / ".geocamss").exists()
