"""A cluster started by hand, whose processes die: what is done is kept, and the maps are right."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import dask
import pytest
from distributed import Client

import geocamss
from geocamss.errors import InputError, RunError
from tests.batch.conftest import (
    MEMORY,
    OUTPUTS,
    PRELOAD,
    RASTERS,
    SMALL_BLOCKS,
    same_rasters,
    started,
)

pytestmark = pytest.mark.slow

DASK = "from distributed.cli.dask_{0} import main; main(prog_name='dask {0}')"
"""What the commands ``dask scheduler`` and ``dask worker`` run."""


def start(role: str, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", DASK.format(role), *arguments]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(command, env=env, start_new_session=True, **quiet)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextmanager
def by_hand(
    file: Path, workers: int, preload: str = PRELOAD
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """A scheduler, and workers without a nanny; the scheduler comes first."""
    file.unlink(missing_ok=True)
    common = ("--scheduler-file", str(file))
    processes = [start("scheduler", *common, "--port", "0", "--dashboard-address", ":0")]
    try:
        while not file.exists():
            time.sleep(0.1)
        processes += [start_worker(file, preload) for _ in range(workers)]
        yield processes
    finally:
        for process in processes:
            end(process)


def start_worker(file: Path, preload: str = PRELOAD) -> subprocess.Popen[bytes]:
    where = ("--scheduler-file", str(file), "--dashboard-address", ":0")
    return start("worker", *where, "--no-nanny", "--nthreads", "1", "--preload", preload)


def mapped(scenes: Path, out: Path, model, scheduler: Path | str, progress):
    return geocamss.map_scenes(
        [scenes],
        out,
        model=model,
        outputs=OUTPUTS,
        scheduler=str(scheduler),
        progress=progress,
    )


def test_workers_killed_at_random_change_no_byte(tmp_path, scenes, model, single):
    """At moments that have nothing to do with what the job is at: while it reads, writes, ends."""
    file = tmp_path / "scheduler.json"
    dice = random.Random(7)
    begun, over = threading.Event(), threading.Event()
    deaths = []

    def kill(processes):
        begun.wait()
        # Tasks whose workers died eight times would begin anew with smaller blocks.
        while len(deaths) < 6 and not over.wait(dice.uniform(0, 1)):
            victim = dice.choice(processes[1:])
            end(victim)
            processes.remove(victim)
            processes.append(start_worker(file))
            deaths.append(victim.pid)

    with by_hand(file, 3) as processes:
        killer = threading.Thread(target=kill, args=(processes,))
        killer.start()
        try:
            result = mapped(scenes, tmp_path / "out", model, file, lambda _: begun.set())
        finally:
            begun.set()
            over.set()
            killer.join()
    assert deaths
    assert not result.failed
    assert [scene.state for scene in result.scenes] == ["done"] * 3
    same_rasters(single, tmp_path / "out")


def test_a_scheduler_that_goes_away_ends_the_job_and_another_goes_on(
    tmp_path, scenes, model, single, monkeypatch
):
    monkeypatch.setattr("geocamss.batch.run.PATIENCE", 20.0)
    monkeypatch.setattr("geocamss.batch.cluster.CONNECT_SECONDS", 5.0)
    options = {"model": model, "outputs": OUTPUTS}
    file, out = tmp_path / "scheduler.json", tmp_path / "out"
    with by_hand(file, 2) as processes:

        def stop(report):
            if report.blocks_done >= 2:
                end(processes[0])

        with pytest.raises(RunError, match=r"scheduler.*gone away"):
            geocamss.map_scenes([scenes], out, scheduler=str(file), progress=stop, **options)
    report = json.loads((out / "report.json").read_text())
    assert report["totals"]["left"] > 0
    assert not list(out.glob("*/*.part"))
    with by_hand(file, 2):
        result = geocamss.map_scenes([scenes], out, scheduler=str(file), **options)
    assert not result.failed
    same_rasters(single, out)


LARGE_BLOCKS = f"""
{PRELOAD}
import os, signal, time
from geocamss.engine import Engine
def map_block(self, block, *rest, as_before=Engine.map_block):
    if self.layout.block_tiles != (1, 1):
        {{}}
    return as_before(self, block, *rest)
Engine.map_block = map_block
"""
"""What happens to a worker whose memory suffices for the smallest blocks alone.

What was before is a default, and not a name of the module: the text may be run twice in a process.
"""

KILLED = "os.kill(os.getpid(), signal.SIGKILL)"
"""By the operating system, as far as a worker can tell."""

TERMINATED = f"held = b'x' * {MEMORY}; time.sleep(120)"
"""By its nanny, which finds that it holds more than it may."""


@pytest.mark.parametrize("end", [KILLED, TERMINATED])
def test_workers_that_die_of_large_blocks_are_given_small_ones(
    tmp_path, scenes, model, single, end
):
    assert SMALL_BLOCKS != (1, 1)
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        started(LARGE_BLOCKS.format(end)) as cluster,
        pytest.warns(geocamss.GeocamssWarning, match="begins anew with blocks of 1 by 1"),
    ):
        result = geocamss.map_scenes(
            [scenes / "s0_20240101.tif"],
            tmp_path / "out",
            model=model,
            outputs=OUTPUTS,
            scheduler=cluster.scheduler_address,
        )
    assert not result.failed
    assert [scene.state for scene in result.scenes] == ["done"]
    name = "s0_20240101/classes.tif"
    assert (tmp_path / "out" / name).read_bytes() == (single / name).read_bytes()


LITTLE_MEMORY = f"""
{PRELOAD}
from geocamss.engine import Engine
from geocamss.probe import Probe
Probe.of = classmethod(lambda cls, run: cls(10**8, 10**7, 0.1))
def map_block(self, block, *rest, as_before=Engine.map_block):
    if self.layout.block_tiles != (1, 1) or self.batch > 1:
        raise MemoryError
    return as_before(self, block, *rest)
Engine.map_block = map_block
"""
"""A machine whose memory suffices for one chip at a time, though a probe finds it ample."""


@pytest.mark.parametrize("memory", [None, "3GB"])
def test_the_same_command_again_takes_up_what_a_lack_of_memory_led_to(
    tmp_path, scenes, model, memory
):
    options = {"model": model, "outputs": OUTPUTS, "batch_size": 3, "memory": memory}
    source, out = [scenes / "s0_20240101.tif"], tmp_path / "out"
    begun: list[int] = []

    def stop(report):
        begun.append(report.blocks_done)
        if report.blocks_done >= 3:
            raise KeyboardInterrupt

    with started(LITTLE_MEMORY) as cluster:
        options["scheduler"] = cluster.scheduler_address
        with (
            pytest.warns(geocamss.GeocamssWarning, match="begins anew with blocks of 1 by 1"),
            pytest.raises(KeyboardInterrupt),
        ):
            geocamss.map_scenes(source, out, progress=stop, **options)
        begun.clear()
        # A warning here, that it begins anew, would be an error.
        done = geocamss.map_scenes(
            source, out, progress=lambda r: begun.append(r.blocks_done), **options
        )
        again = geocamss.map_scenes(source, out, **options)
    assert next(filter(None, begun)) >= 3
    assert [scene.state for scene in done.scenes] == ["done"]
    assert [scene.state for scene in again.scenes] == ["kept"]
    assert again.scenes[0].batch == 1


FAULTY = f"""
{PRELOAD}
import os, time
from pathlib import Path
from geocamss.batch import worker
FAILS = {{{{"s0_20240101": 2, "s1_20240102": 100}}}}
def fail(order, block, result, as_before=worker._save):
    if order.id in FAILS and (block.row, block.col) == (0, 0):
        tries = Path({{tries!r}}, order.id)
        tries.mkdir(exist_ok=True)
        before = len(list(tries.iterdir()))
        (tries / f"{{{{time.time()}}}}-{{{{os.getpid()}}}}").touch()
        if before < FAILS[order.id]:
            raise OSError(5, "the block cannot be written")
    as_before(order, block, result)
if worker._save.__name__ != fail.__name__:
    worker._save = fail
"""
"""Workers that fail with a block of one scene twice, with one of another scene always.

The text may be run twice in a process, and is to count once.
"""


def test_a_block_that_fails_is_tried_again_later_and_elsewhere(tmp_path, scenes, model, single):
    tries = tmp_path / "tries"
    tries.mkdir()
    with started(FAULTY.format(tries=str(tries))) as cluster:
        address = cluster.scheduler_address
        result = mapped(scenes, tmp_path / "out", model, address, lambda _: None)
    assert [(scene.state, scene.retries) for scene in result.scenes] == [
        ("done", 2),
        ("failed", 2),
        ("done", 0),
    ]
    assert "the block cannot be written" in result.scenes[1].reason
    for scene in result.scenes[:2]:
        said = sorted(path.name.split("-") for path in (tries / scene.id).iterdir())
        times, workers = [float(time) for time, _ in said], [worker for _, worker in said]
        assert len(said) == 3
        assert times[1] - times[0] >= 1
        assert times[2] - times[1] >= 2
        assert workers[0] != workers[1]
    for scene in (result.scenes[0], result.scenes[2]):
        for raster in RASTERS:
            there = (single / scene.id / raster).read_bytes()
            assert (scene.folder / raster).read_bytes() == there
    assert not list(result.scenes[1].folder.glob("*.tif"))


DEADLY = f"""
{PRELOAD}
import os, signal
from pathlib import Path
from geocamss.batch import worker
def die(order, block, result, as_before=worker._save):
    deaths, deadly = Path({{deaths!r}}), ("s1_20240102", 0, 0)
    if (order.id, block.row, block.col) == deadly and len(list(deaths.iterdir())) < 2:
        (deaths / str(os.getpid())).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    as_before(order, block, result)
if worker._save.__name__ != die.__name__:
    worker._save = die
"""
"""Workers that are killed when they have mapped a certain block, two of them in all."""


def test_a_block_whose_worker_is_killed_twice_is_mapped_by_a_third(tmp_path, scenes, model, single):
    deaths, file, out = tmp_path / "deaths", tmp_path / "scheduler.json", tmp_path / "out"
    deaths.mkdir()
    with by_hand(file, 3, DEADLY.format(deaths=str(deaths))) as processes:
        result = mapped(scenes, out, model, file, lambda _: None)
        dead = {str(process.pid) for process in processes if process.poll() is not None}
    assert dead == {path.name for path in deaths.iterdir()}
    assert len(dead) == 2
    assert [(scene.state, scene.batch) for scene in result.scenes] == [
        ("done", result.scenes[0].batch)
    ] * 3
    assert not list(out.glob("*/.geocamss*"))
    same_rasters(single, out)


OTHER_VERSION = f"""
{PRELOAD}
import geocamss
geocamss.__version__ = "0.0.0"
"""


def test_workers_that_run_another_version_than_is_installed_are_refused(tmp_path, scenes, model):
    with (
        started(OTHER_VERSION) as cluster,
        pytest.raises(InputError, match=rf"0\.0\.0, and the client has {geocamss.__version__}"),
    ):
        mapped(scenes, tmp_path / "out", model, cluster.scheduler_address, lambda _: None)


def test_a_late_worker_of_another_version_does_no_harm(tmp_path, scenes, model, single):
    file = tmp_path / "scheduler.json"
    with by_hand(file, 1) as processes:

        def join(report):
            if report.blocks_done and len(processes) == 2:
                processes.append(start_worker(file, OTHER_VERSION))
                with Client(scheduler_file=str(file), set_as_default=False) as client:
                    client.wait_for_workers(2, timeout=120)

        result = mapped(scenes, tmp_path / "out", model, file, join)
    assert len(processes) == 3
    assert [(scene.state, scene.reason) for scene in result.scenes] == [("done", "")] * 3
    assert sum(scene.retries for scene in result.scenes) > 0
    same_rasters(single, tmp_path / "out")
