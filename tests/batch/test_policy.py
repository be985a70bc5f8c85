"""How a machine is cut, what an error means, and what a ledger takes for finished."""

from __future__ import annotations

import asyncio
import errno
import json
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from distributed.comm import CommClosedError

import geocamss
from geocamss.batch.catalog import FILE
from geocamss.batch.cluster import connect, machine
from geocamss.batch.job import OWN_NAMES, _folder_name
from geocamss.batch.ledger import Ledger, Record
from geocamss.batch.mosaic import FOLDER
from geocamss.batch.orders import Order
from geocamss.batch.run import BatchRun
from geocamss.batch.worker import ModelPlugin, UnfitError, failure_of
from geocamss.errors import (
    BandError,
    DiskFullError,
    InputError,
    ModelError,
    OutputError,
    ReadError,
    RunError,
    SceneError,
)
from geocamss.output.areas import ClassArea
from geocamss.products import files_of
from geocamss.request import Request
from geocamss.scene.catalog import find_scenes

GB = 2**30


@pytest.mark.parametrize(
    ("asked", "cores", "memory", "expected"),
    [
        ({}, 8, 64 * GB, (8, 1)),
        ({}, 8, 6 * GB, (3, 2)),
        ({}, 2, 1 * GB, (1, 2)),
        ({"workers": 4}, 8, 64 * GB, (4, 2)),
        ({"workers": 16}, 8, 64 * GB, (16, 1)),
        ({"threads": 4}, 8, 64 * GB, (2, 4)),
        ({"memory": 10 * GB}, 8, 64 * GB, (6, 1)),
        ({"accelerated": True}, 16, 128 * GB, (1, 16)),
    ],
)
def test_a_machine_is_cut_by_cores_and_memory(asked, cores, memory, expected):
    found = machine(**asked, cores=cores, total=memory)
    assert (found.workers, found.threads) == expected
    given = 1.1 * asked.get("memory", memory / found.workers)
    assert found.memory <= given


def test_a_machine_without_workers_is_refused():
    with pytest.raises(InputError, match="got 0"):
        machine(workers=0)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (BandError("no red"), "scene"),
        (OutputError("there"), "scene"),
        (ModelError("none"), "job"),
        (SceneError("gone"), "other"),
        (ReadError("half way"), "other"),
        (RunError("?"), "other"),
        (UnfitError("no GPU"), "worker"),
        (ValueError("?"), "other"),
        (DiskFullError("full"), "disk"),
        (OSError(errno.ENOSPC, "full"), "disk"),
        (OSError(errno.EIO, "broken"), "other"),
        (MemoryError(), "memory"),
    ],
)
def test_an_error_says_whose_fault_it_is(error, kind):
    found = failure_of(error)
    assert found.kind == kind
    assert found.message


@pytest.fixture
def ledger(tmp_path: Path):
    with Ledger(tmp_path) as ledger:
        yield ledger


RECORD = Record(
    key="k",
    shaping="exact",
    outputs=("classes",),
    pixels=4,
    blocks=1,
    seconds=0.5,
    batch=2,
    datetime=None,
    areas=(ClassArea(0, "land", 4, 16.0, 1.0, 80.0),),
    thumbnail="",
)


def publish(ledger: Ledger, *files: str) -> None:
    folder = ledger.path / "s"
    folder.mkdir(exist_ok=True)
    for name in files:
        (folder / name).write_bytes(b"")


def test_a_finished_map_is_known_again(ledger):
    ledger.write("s", RECORD)
    assert ledger.finished("s", "k", ["classes"], "exact") is None
    publish(ledger, "classes.tif", "classes.tif.aux.xml")
    assert ledger.finished("s", "k", ["classes"], "exact") == RECORD
    assert ledger.finished("s", "another", ["classes"], "exact") is None
    assert ledger.finished("s", "k", ["classes", "item"], "exact") is None
    assert ledger.finished("s", "k", ["classes"], "smooth") == RECORD
    (ledger.path / "s" / ".geocamss").mkdir()
    assert ledger.finished("s", "k", ["classes"], "exact") is None


def written(**changes) -> str:
    return json.dumps(asdict(RECORD) | changes)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "null",
        json.dumps({"key": 3}),
        "\x00",
        "[" * 100_000,
        written(outputs=["vectors"]),
        written(outputs=[[]]),
        written(outputs=3),
        written(sizes=3),
    ],
)
def test_a_damaged_record_is_none(ledger, text):
    publish(ledger, "classes.tif", "classes.tif.aux.xml")
    (ledger.folder / "s.json").write_text(text)
    assert ledger.finished("s", "k", ["classes"], "exact") is None
    assert ledger.finished("s", "another", ["classes"], "exact") is None


@pytest.mark.parametrize(
    "where",
    [
        "tls://127.0.0.1:9",
        "ucx://127.0.0.1:9",
        "unknown://127.0.0.1:9",
        "[1].json",
        "{}.json",
        '{"address": null}.json',
        '{"addr.json',
    ],
)
def test_what_leads_to_no_scheduler_is_named(tmp_path, monkeypatch, where):
    monkeypatch.setattr("geocamss.batch.cluster.CONNECT_SECONDS", 1.0)
    if "://" not in where:
        (tmp_path / "file.json").write_text(where.removesuffix(".json"))
        where = str(tmp_path / "file.json")
    with pytest.raises(InputError, match="scheduler"), connect(where, None, lambda _: None):
        pass


@pytest.mark.parametrize("name", ["mosaic", "Report.html", "report.json", "catalog.json"])
def test_no_scene_takes_the_place_of_a_jobs_own_files(tmp_path, name):
    (tmp_path / f"{name}.tif").touch()
    (scene,) = find_scenes([tmp_path])
    assert scene.id == name
    assert _folder_name(scene.id) == f"{name}_"
    (tmp_path / f"{name}_.tif").touch()  # whose own name is not the one that the other gets
    folders = [_folder_name(scene.id) for scene in find_scenes([tmp_path])]
    assert len({*folders, name, f"{name}_"}) == 4


def test_the_names_that_a_job_takes_are_known():
    assert {FILE, FOLDER} <= OWN_NAMES


class Shaky:
    """A cluster, one worker of which dies while the model is loaded."""

    status = "running"
    scheduler = SimpleNamespace(ncores_running=lambda: {"tcp://127.0.0.1:9": 1})
    registered = 0

    def register_plugin(self, *_):
        self.registered += 1
        if self.registered == 1:
            raise CommClosedError("in <TCP (closed)>")

    def scheduler_info(self, **_):
        return {"address": "tcp://127.0.0.1:9"}

    def sync(self, call):
        return call()

    def unregister_worker_plugin(self, _):
        pass


def test_a_worker_that_dies_while_the_model_loads_does_not_end_the_job(ledger, monkeypatch):
    monkeypatch.setattr("geocamss.batch.run.FIRST_WAIT", 0.0)
    client = Shaky()
    BatchRun(client, ModelPlugin("job", Request(), "1"), ledger, []).go()
    assert client.registered == 2


def test_a_worker_maps_in_the_sizes_in_which_the_scene_was_opened(
    tmp_path, model, scenes, monkeypatch
):
    """Those fit into the memory that is given; others may not, or be refused by the machine."""
    monkeypatch.setattr("geocamss.budget.machine_bytes", lambda: 1)
    monkeypatch.setattr("geocamss.run.hands", lambda _card, _batch, tiles, _threads: tiles)
    request = Request(model=model, memory="3GB", outputs=["classes"])
    plugin = ModelPlugin("job", request, geocamss.__version__)
    manager = SimpleNamespace(memory_pause_fraction=0.8)
    asyncio.run(plugin.setup(SimpleNamespace(memory_manager=manager, status=None)))
    order = Order("s0", str(scenes / "s0_20240101.tif"), request, tmp_path)
    opened = plugin.run(order)
    taken_up = replace(order, key=opened.key, journal={"key": opened.key, **opened.sizes})
    found = plugin.run(taken_up)
    assert found is plugin.run(taken_up)
    assert (found.key, found.sizes) == (opened.key, opened.sizes)
    small = plugin.run(replace(order, block_tiles=(1, 1)))
    assert small.sizes == opened.sizes | {"block_tiles": [1, 1], "hands": 1}
    with pytest.raises(RunError, match="changed"):
        plugin.run(replace(taken_up, key=small.key))


def test_polygons_of_another_shape_are_another_map(ledger):
    outputs = ("classes", "polygons")
    ledger.write("s", replace(RECORD, outputs=outputs))
    publish(ledger, *files_of(outputs))
    assert ledger.finished("s", "k", outputs, "exact") is not None
    assert ledger.finished("s", "k", outputs, "smooth") is None
