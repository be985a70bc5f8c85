"""The demo scene is what its documentation says."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import rasterio
from click.testing import CliRunner

from geocamss.cli.main import cli
from geocamss.simulate import DEMO_SEED, SCHEME, TRAINING_SEEDS

TILES = Path(__file__).resolve().parents[2] / "tiles"


def test_the_documented_command_paints_the_demo_again(tmp_path: Path) -> None:
    text = (TILES / "README.md").read_text()
    (line,) = (line for line in text.splitlines() if line.startswith("geocamss simulate"))
    assert f"--seed {DEMO_SEED} " in line
    assert f"seeds below {TRAINING_SEEDS.stop:,} only" in text
    arguments = shlex.split(line.replace("tiles/", f"{tmp_path}/"))[1:]
    assert CliRunner().invoke(cli, arguments, catch_exceptions=False).exit_code == 0
    for name in ("demo.tif", "demo-truth.tif"):
        with rasterio.open(TILES / name) as shipped, rasterio.open(tmp_path / name) as painted:
            np.testing.assert_array_equal(shipped.read(), painted.read())
            assert shipped.profile == painted.profile
            assert shipped.tags() == painted.tags()
    names = "demo-truth.tif.aux.xml"
    assert (TILES / names).read_text() == (tmp_path / names).read_text()


def test_the_demo_is_small_and_has_all_classes() -> None:
    assert sum(file.stat().st_size for file in TILES.iterdir()) < 8_000_000
    with (
        rasterio.open(TILES / "demo-truth.tif") as truth,
        rasterio.open(TILES / "demo.tif") as scene,
    ):
        assert truth.shape == scene.shape == (1536, 2048)
        assert truth.transform == scene.transform
        assert scene.res == (0.5, 0.5)
        classes = truth.read(1)
        valid = scene.dataset_mask() > 0
    np.testing.assert_array_equal(classes != 255, valid)
    assert 0.9 < valid.mean() < 1
    shares = np.bincount(classes[valid]) / valid.sum()
    assert len(shares) == len(SCHEME)
    assert shares.min() > 0.05
