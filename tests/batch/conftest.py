"""A cluster of two processes, a tiny model in a file, and scenes to map with it."""

from __future__ import annotations

import warnings
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


@contextmanager
def started(preload: str = PRELOAD, workers: int = 2, **options) -> Iterator[LocalCluster]:
    """A cluster of processes on this machine."""
    from distributed import LocalCluster

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Creating scratch directories", UserWarning)
        cluster = LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            dashboard_address="127.0.0.1:0",
            env={"OMP_NUM_THREADS": "1"},
            preload=[preload],
            silence_logs="CRITICAL",
            **options,
        )
    with cluster:
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


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Blocks in this process as on the workers."""
    monkeypatch.setattr("geocamss.run.block_tiles", lambda _: SMALL_BLOCKS)
    return monkeypatch.undo
