"""A cluster of two processes, a tiny model in a file, and scenes to map with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from distributed import LocalCluster

SMALL_BLOCKS = (1, 2)
"""Rows and columns of tiles in a block, on workers and in the tests' own process."""

PRELOAD = f"""
import geocamss.run
geocamss.run.block_tiles = lambda card: {SMALL_BLOCKS}
"""
"""What workers do first: with blocks of the usual size every scene here would have a single one."""

OUTPUTS = ("classes", "confidence", "item")
"""What is made of the scenes."""

RASTERS = ("classes.tif", "confidence.tif")
"""Of these, what does not depend on how a map came about."""

MEMORY = 2 * 2**30
"""Bytes that each worker may take: more than twice as much as one with a tiny model does."""


@contextmanager
def started(preload: str = PRELOAD) -> Iterator[LocalCluster]:
    """Two workers on this machine, each a process."""
    from geocamss.batch.cluster import Machine, local_cluster

    with local_cluster(Machine(2, 1, MEMORY), preload=[preload]) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def cluster() -> Iterator[LocalCluster]:
    """Two workers, each a process."""
    with started() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model file that maps a chip in no time."""
    from geocamss.models import checkpoint
    from tests.models.test_model import tiny_segmenter

    segmenter = tiny_segmenter()
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    checkpoint.save(segmenter.network.state_dict(), segmenter.card, path)
    return path


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three scenes, side by side, that overlap."""
    from tests.test_predict import texture, write_scene

    folder = tmp_path_factory.mktemp("scenes")
    for number in range(3):
        origin = (500_000.0 + 90 * number, 5_400_000.0)
        name = f"s{number}_2024010{number + 1}.tif"
        write_scene(folder / name, texture(150, 130, seed=number), origin=origin, res=1.0)
    return folder


@pytest.fixture(scope="session")
def single(tmp_path_factory: pytest.TempPathFactory, scenes: Path, model: Path) -> Path:
    """The scenes, mapped one by one by ``predict``, with blocks of the usual size."""
    import geocamss

    out = tmp_path_factory.mktemp("single")
    for path in sorted(scenes.glob("*.tif")):
        geocamss.predict(path, out / path.stem, model=model, outputs=OUTPUTS)
    return out


def same_rasters(one: Path, other: Path) -> None:
    """Every scene of one folder has the same rasters in the other, byte for byte."""
    folders = [path for path in one.iterdir() if path.is_dir()]
    assert folders
    for folder in folders:
        for raster in RASTERS:
            there = (other / folder.name / raster).read_bytes()
            assert (folder / raster).read_bytes() == there, folder.name


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Blocks in this process as on the workers."""
    monkeypatch.setattr("geocamss.run.block_tiles", lambda _: SMALL_BLOCKS)
    return monkeypatch.undo
