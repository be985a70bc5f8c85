"""``geocamss simulate`` as it is called."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner

from geocamss.cli.main import main
from geocamss.cli.simulate import simulate
from geocamss.simulate import landscape


def test_the_command_writes_what_the_function_paints(tmp_path: Path) -> None:
    scene, truth = tmp_path / "scene.tif", tmp_path / "truth.tif"
    arguments = ["-o", str(scene), "--truth", str(truth), "--seed", "9", "--size", "120x80"]
    arguments += ["--gsd", "2", "--bands", "blue,nir", "--climate", "dry", "--full"]
    arguments += ["--crs", "EPSG:32733", "--origin", "300000,7500000"]
    result = CliRunner().invoke(simulate, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    assert "vegetation" in result.output
    assert str(truth) in result.output
    wanted = landscape(
        9, 80, 120, gsd=2.0, bands=("blue", "nir"), climate="dry", nodata_corners=False
    )
    with rasterio.open(scene) as dataset:
        np.testing.assert_array_equal(dataset.read(), wanted.image)
        assert dataset.bounds == (300_000, 7_500_000 - 160, 300_240, 7_500_000)
        assert dataset.crs.to_epsg() == 32733
    with rasterio.open(truth) as dataset:
        np.testing.assert_array_equal(dataset.read(1), wanted.classes)


def test_quiet_prints_nothing(tmp_path: Path) -> None:
    arguments = ["-o", str(tmp_path / "scene.tif"), "--size", "64x64", "--quiet"]
    result = CliRunner().invoke(simulate, arguments, catch_exceptions=False)
    assert result.output == ""
    assert [path.name for path in tmp_path.iterdir()] == ["scene.tif"]


def test_programs_are_told_in_json(tmp_path: Path) -> None:
    scene, truth = str(tmp_path / "scene.tif"), str(tmp_path / "truth.tif")
    arguments = ["-o", scene, "--truth", truth, "--size", "64x64", "--json"]
    result = CliRunner().invoke(simulate, arguments, catch_exceptions=False)
    told = json.loads(result.output)
    assert told["paths"] == [scene, truth]
    with rasterio.open(truth) as dataset:
        pixels = dataset.read(1)
    assert told["shares"]["water"] == np.mean(pixels[pixels != 255] == 1)
    assert sum(told["shares"].values()) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        (["--bands", "red,infrared"], "infrared"),
        (["--size", "1024"], "WIDTHxHEIGHT"),
        (["--size", "8x8"], "at least 16"),
        (["--gsd", "-1"], "-1"),
        (["--crs", "EPSG:4326"], "EPSG:4326"),
        (["--origin", "1,2,3"], "EAST,NORTH"),
        (["--origin", "1,inf"], "EAST,NORTH"),
        (["--climate", "lunar"], "lunar"),
        (["--seed", "-4"], "-4"),
        (["--truth", "{output}"], "two names"),
    ],
)
def test_wrong_input_exits_with_two_and_says_why(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], extra: list[str], said: str
) -> None:
    output = str(tmp_path / "scene.tif")
    extra = [part.format(output=output) for part in extra]
    assert main(["simulate", "-o", output, *extra]) == 2
    assert said in capfd.readouterr().err
    assert not list(tmp_path.iterdir())


def test_an_existing_file_is_kept_unless_told(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "scene.tif"
    output.write_text("mine")
    arguments = ["simulate", "-o", str(output), "--size", "64x64"]
    assert main(arguments) == 2
    assert "--overwrite" in capfd.readouterr().err
    assert output.read_text() == "mine"
    assert main([*arguments, "--overwrite"]) == 0
    with rasterio.open(output) as dataset:
        assert dataset.shape == (64, 64)
