"""Dask pauses workers whose memory is nearly full, for good if it stays so: maps are made of it."""

from __future__ import annotations

import time
from pathlib import Path

import dask
import pytest
from distributed import Client, LocalCluster

import geocamss
from geocamss.batch.cluster import connect
from geocamss.errors import InputError
from tests.batch.conftest import PRELOAD

LIMIT = 4 * 2**30

PAUSE = 0.3
"""Share of its memory at which a worker is paused: more than one with a tiny model has in use."""

HOARD = f"""
{PRELOAD}
import time
from geocamss.engine import Engine
def map_block(self, *rest, as_before=Engine.map_block, kept=[]):
    if not kept:
        kept.append(b"x" * {int(PAUSE * LIMIT)})
        time.sleep(1)
    return as_before(self, *rest)
Engine.map_block = map_block
"""
"""A worker that has more in use than that from its first block on, and less than its limit."""


def memory_of(dask_worker) -> tuple[float, str]:
    """The share of its memory that a worker has in use, and its status."""
    used = dask_worker.monitor.get_process_memory() / dask_worker.memory_manager.memory_limit
    return used, dask_worker.status.name


def pause(dask_worker) -> None:
    dask_worker.memory_manager.memory_pause_fraction = 0.001


@pytest.fixture
def foreign():
    """A cluster with one worker, that is not ours."""
    with (
        dask.config.set({"distributed.worker.memory.pause": PAUSE}),
        LocalCluster(
            n_workers=1,
            threads_per_worker=1,
            memory_limit=LIMIT,
            dashboard_address="127.0.0.1:0",
            silence_logs="CRITICAL",
            preload=[HOARD],
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


def test_a_worker_whose_memory_is_nearly_full_goes_on(
    tmp_path: Path, scenes, model, foreign, monkeypatch
) -> None:
    monkeypatch.setattr("geocamss.batch.watch.PATIENCE", 20.0)
    (before,) = foreign.run(memory_of).values()
    assert before[0] < PAUSE
    result = geocamss.map_scenes(
        [scenes / "s0_20240101.tif"],
        tmp_path / "out",
        model=model,
        outputs=["classes"],
        scheduler=foreign,
    )
    assert not result.failed
    assert result.scenes[0].blocks > 1
    (after,) = foreign.run(memory_of).values()
    assert after[0] > PAUSE
    assert after[1] == "running"


def test_workers_of_our_own_are_never_paused(cluster) -> None:
    def pauses(dask_worker):
        return dask_worker.memory_manager.memory_pause_fraction

    with cluster.get_client() as client:
        assert set(client.run(pauses).values()) == {False}


def test_a_cluster_with_nothing_but_paused_workers_is_named(foreign, monkeypatch) -> None:
    monkeypatch.setattr("geocamss.batch.cluster.WORKERS_SECONDS", 2.0)
    foreign.run(pause)
    time.sleep(0.5)
    with pytest.raises(InputError, match="paused all its workers"), connect(foreign):
        pass
