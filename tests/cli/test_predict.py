"""``geocamss predict`` does what ``geocamss.predict`` does, and says so."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import rasterio

import geocamss
from geocamss.cli.main import main
from geocamss.products import ALL_FILES, PRODUCTS, files_of


def call(*words: str | Path) -> int:
    return main(["predict", *map(str, words)])


def pixels(path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        return file.read()


def test_command_and_function_make_the_same_map(small_scene, small_model, tmp_path) -> None:
    said = ["--bands", "red=3,green=2,blue=1", "--gsd", "0.6", "--seed", "3", "--samples", "2"]
    said += ["--steps", "2", "--batch-size", "2", "--outputs", "classes,confidence"]
    assert call(small_scene, "-o", tmp_path / "a", "--model", small_model, *said) == 0
    result = geocamss.predict(
        small_scene,
        tmp_path / "b",
        model=small_model,
        bands={"red": 3, "green": 2, "blue": 1},
        gsd=0.6,
        seed=3,
        samples=2,
        steps=2,
        batch_size=2,
        outputs=("classes", "confidence"),
    )
    for made, path in (("classes.tif", result.classes), ("confidence.tif", result.confidence)):
        assert (pixels(tmp_path / "a" / made) == pixels(path)).all()


def test_summary_says_what_the_map_says(small_scene, small_model, tmp_path, capsys) -> None:
    assert call(small_scene, "-o", tmp_path / "out", "--model", small_model) == 0
    text = capsys.readouterr().out
    classes = pixels(tmp_path / "out" / "classes.tif")
    shares = [np.mean(classes[classes != 255] == value) for value in range(3)]
    lines = {line.split("  ")[0]: line for line in text.splitlines()}
    for name, share in zip(("land", "water", "[odd] name"), shares, strict=True):
        printed = float(lines[name].split(" %")[0].split()[-1])
        assert printed == pytest.approx(100 * share, abs=0.06)
    for name in files_of(PRODUCTS):
        assert (tmp_path / "out" / name).exists()
        assert str(tmp_path / "out" / name) in text


def test_verbose_tells_the_steps(small_scene, small_model, tmp_path, caplog) -> None:
    assert call(small_scene, "-o", tmp_path / "out", "--model", small_model, "-v") == 0
    told = " ".join(record.getMessage() for record in caplog.records)
    height, width = pixels(tmp_path / "out" / "classes.tif").shape[1:]
    assert f"{height} rows and {width} columns" in told
    assert "made polygons" in told


def test_quiet_says_nothing(small_scene, small_model, tmp_path, capsys) -> None:
    out = tmp_path / "out"
    assert call(small_scene, "-o", out, "--model", small_model, "--outputs", "classes", "-q") == 0
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == ""
    assert (out / "classes.tif").exists()


def test_an_existing_map_stays_until_overwrite_is_said(
    small_scene, small_model, tmp_path, capsys
) -> None:
    words = (small_scene, "-o", tmp_path / "out", "--model", small_model, "--outputs", "classes")
    assert call(*words, "-q") == 0
    before = (tmp_path / "out" / "classes.tif").stat()
    assert call(*words, "-q") == 2
    assert "--overwrite" in capsys.readouterr().err
    assert (tmp_path / "out" / "classes.tif").stat() == before
    assert call(*words, "-q", "--overwrite") == 0
    assert (tmp_path / "out" / "classes.tif").stat() != before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--bands", "red=9"], "9"),
        (["--bands", "red"], "red=3,green=2,blue=1"),
        (["--gsd", "coarse"], "'coarse' is neither 'native' nor a number of meters"),
        (["--crs", "EPSG:1"], "EPSG:1"),
        (["--aoi", "no-such-area.gpkg"], "no-such-area.gpkg"),
        (["--outputs", "polygon"], "polygon"),
        (["--device", "abacus"], "abacus"),
        (["--steps", "0"], "--steps"),
        (["--batch-size", "0"], "--batch-size"),
        (["--seed", str(2**64)], "seed"),
        (["--model", "no-such-model"], "no-such-model"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_wrong_input_ends_with_2_and_is_quoted(  # noqa: PLR0917  (fixtures)
    small_scene, small_model, tmp_path, capsys, words: list[str], said: str
) -> None:
    model = [] if "--model" in words else ["--model", small_model]
    assert call(small_scene, "-o", tmp_path / "out", *model, *words) == 2
    text = capsys.readouterr().err
    assert said in text
    assert "Traceback" not in text
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_nothing_under_a_final_name(
    small_model, tmp_path, number: signal.Signals
) -> None:
    scene = tmp_path / "large.tif"
    profile = {"width": 6000, "height": 6000, "count": 3, "dtype": "uint8", "tiled": True}
    with rasterio.open(
        scene,
        "w",
        driver="GTiff",
        crs="EPSG:32633",
        transform=rasterio.transform.from_origin(5e5, 5e6, 0.5, 0.5),
        photometric="RGB",
        **profile,
    ) as file:
        file.write(np.full((3, 6000, 6000), 100, np.uint8))
    out = tmp_path / "out"
    words = ["predict", str(scene), "-o", str(out), "--model", str(small_model)]
    run = subprocess.Popen(
        [sys.executable, "-m", "geocamss", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background job ignores Ctrl-C, and hands that on to what it starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 (no threads yet)
    )
    deadline = time.monotonic() + 60
    while not (out / ".geocamss").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(run.pid, number)
    _, errors = run.communicate(timeout=60)
    assert run.returncode == 130
    assert "interrupted" in errors
    assert "Traceback" not in errors
    assert not any((out / name).exists() for name in ALL_FILES)
