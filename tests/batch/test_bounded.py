"""Many tasks on a cluster, few at a time: each call hears of its own, and never waits in vain."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import dask
import pytest
from distributed import Client, LocalCluster

from geocamss.batch.bounded import each
from geocamss.errors import RunError


@pytest.fixture(scope="module")
def cluster():
    """One worker, in this process."""
    with (
        dask.config.set({"distributed.worker.profile.enabled": False}),
        LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0"
        ) as cluster,
    ):
        yield cluster


@pytest.fixture
def client(cluster):
    with Client(cluster, set_as_default=False) as client:
        yield client


def echo(text: str) -> str:
    time.sleep(0.2)
    return text


def read(path: str) -> str:
    return Path(path).read_text()


def doze(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def test_every_item_is_done_once(client):
    items = [str(number) for number in range(9)]
    assert sorted(each(client, echo, items, lambda item: f"echo-{item}")) == items
    assert list(each(client, echo, [], str)) == []


def test_jobs_of_one_machine_share_no_task(cluster, client):
    """Though tasks bear the same names, and the clients' names end alike."""
    found: dict[str, list[str]] = {}

    def job(own: Client, name: str) -> None:
        items = [f"{name}/r0c0", f"{name}/r0c1"]
        found[name] = sorted(each(own, echo, items, lambda item: f"tile-{item.split('/')[1]}"))

    with Client(cluster, set_as_default=False) as other:
        threads = [
            threading.Thread(target=job, args=pair) for pair in ((client, "one"), (other, "two"))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    job(client, "three")
    for name in ("one", "two", "three"):
        assert found[name] == [f"{name}/r0c0", f"{name}/r0c1"]


def test_a_call_that_has_failed_can_be_made_again(client, tmp_path):
    path = tmp_path / "file"
    with pytest.raises(RunError, match="No such file") as held:
        list(each(client, read, [str(path)], lambda _: "read"))
    path.write_text("text")
    assert list(each(client, read, [str(path)], lambda _: "read")) == ["text"]
    assert held.value.__cause__ is not None  # as a notebook keeps it, with all that it holds


def test_a_cluster_without_workers_is_given_up(client, cluster, monkeypatch):
    monkeypatch.setattr("geocamss.batch.watch.PATIENCE", 1.0)
    results = each(client, doze, [0.1, 0.2, 0.3], lambda item: f"doze-{item}")
    next(results)
    try:
        cluster.scale(0)
        with pytest.raises(RunError, match="no worker for 1 s"):
            list(results)
    finally:
        cluster.scale(1)
        client.wait_for_workers(1, timeout=60)


def test_a_cluster_whose_workers_are_paused_is_given_up(client, cluster, monkeypatch):
    monkeypatch.setattr("geocamss.batch.watch.PATIENCE", 1.0)
    (worker,) = cluster.workers.values()
    manager = worker.memory_manager
    results = each(client, doze, [0.1, 0.2, 0.3], lambda item: f"doze-{item}")
    next(results)
    try:
        monkeypatch.setattr(manager, "memory_pause_fraction", 1e-6)
        with pytest.raises(RunError, match="none but paused ones"):
            list(results)
    finally:
        monkeypatch.undo()
        client.wait_for_workers(1, timeout=60)
