"""Where a job runs: a cluster on this machine, or one that is there already."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import os
import time
import uuid
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask
from dask.system import CPU_COUNT
from distributed import Client, LocalCluster
from distributed.comm.core import connect as connect_comm
from distributed.system import MEMORY_LIMIT

import geocamss
from geocamss.batch.worker import see
from geocamss.errors import InputError, RunError

__all__ = ["Machine", "check_folder", "check_versions", "connect", "local_cluster", "machine"]

WORKER_BYTES = 2 * 2**30
"""A worker needs about so much: torch, the model, a batch and a block."""

SETTINGS = {
    # Every core is for maps: workers would look at themselves a hundred times a second, and all
    # processes fifty times at how late they are.
    "distributed.worker.profile.enabled": False,
    "distributed.admin.system-monitor.interval": "2s",
    "distributed.admin.tick.interval": "500ms",
    # Workers hold no data to spill, and a paused one would wait for ever; see ``keep_awake``.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
}
"""Of a cluster of our own."""

CONNECT_SECONDS = 20.0
"""That a scheduler has to answer."""

WORKERS_SECONDS = 60.0
"""That a cluster has to bring its first worker."""


@dataclass(frozen=True)
class Machine:
    """How a cluster on one machine is cut."""

    workers: int
    """Processes, each with a model of its own."""

    threads: int
    """Of each one's network."""

    memory: int
    """Bytes that each may take before it is ended."""

    def __post_init__(self) -> None:
        if min(self.workers, self.threads) < 1 or self.memory < 1:
            raise InputError(
                f"workers, threads and memory must be 1 or more, got {self.workers}, "
                f"{self.threads} and {self.memory} bytes"
            )


def machine(
    workers: int | None = None,
    threads: int | None = None,
    memory: int | None = None,
    *,
    cores: int = CPU_COUNT,
    total: int = MEMORY_LIMIT,
    accelerated: bool = False,
) -> Machine:
    """Cut a machine into workers: a process a core, as long as each has memory enough.

    Args:
        workers: processes, if they are given.
        threads: of each one's network, if they are given; together no more than there are cores.
        memory: bytes of each, if they are given.
        cores: that may be used.
        total: bytes of memory that may be used.
        accelerated: the network runs on a GPU, which one process keeps busy.
    """
    if workers is None:
        at_once = 1 if accelerated else max(1, cores // (threads or 1))
        workers = max(1, min(at_once, total // (memory or WORKER_BYTES)))
    # A worker that keeps to its memory is not to be ended for a little more.
    share = int(1.1 * memory) if memory is not None else int(0.95 * total) // max(1, workers)
    return Machine(workers, threads or max(1, cores // max(1, workers)), share)


@contextlib.contextmanager
def connect(
    scheduler: str | Client | None,
    size: Machine | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Iterator[Client]:
    """A client of a cluster that has workers.

    Args:
        scheduler: address, or a scheduler file, or a client, which is left open; None starts a
            cluster on this machine.
        size: of that.
        tell: told where the dashboard is, or how to get one.

    Raises:
        InputError: there is no such scheduler, or it has no worker.
    """
    with contextlib.ExitStack() as stack:
        if isinstance(scheduler, Client):
            client = scheduler
        elif scheduler is None:
            client = stack.enter_context(_local(size or machine()))
        else:
            client = stack.enter_context(_remote(scheduler))
        _wait_for_workers(client, client.scheduler_info(n_workers=1)["address"])
        tell(_dashboard(client, own=scheduler is None))
        yield client


@contextlib.contextmanager
def local_cluster(size: Machine, **options: Any) -> Iterator[LocalCluster]:
    """A cluster of processes on this machine.

    Args:
        size: how many, and how large.
        options: more of what ``LocalCluster`` takes.
    """
    threads = str(size.threads)
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "GDAL_NUM_THREADS")
    with warnings.catch_warnings(), dask.config.set(SETTINGS):
        # A busy machine is slow to make a folder; nothing is wrong with where it lies.
        warnings.filterwarnings("ignore", "Creating scratch directories", UserWarning)
        cluster = LocalCluster(
            n_workers=size.workers,
            threads_per_worker=1,
            processes=True,
            memory_limit=size.memory,
            dashboard_address="127.0.0.1:0",  # whichever port is free
            env=dict.fromkeys(names, threads),
            silence_logs="CRITICAL",
            **options,
        )
    with cluster:
        yield cluster


@contextlib.contextmanager
def _local(size: Machine) -> Iterator[Client]:
    with local_cluster(size) as cluster, Client(cluster, set_as_default=False) as client:
        yield client


@contextlib.contextmanager
def _remote(scheduler: str) -> Iterator[Client]:
    is_file = scheduler.endswith(".json") or ("://" not in scheduler and Path(scheduler).exists())
    if is_file and not Path(scheduler).is_file():
        raise InputError(f"{scheduler}: there is no such scheduler file; is the scheduler running?")
    if not is_file and ":" not in scheduler:
        raise InputError(
            f"{scheduler!r} is neither the address of a scheduler, as in tcp://10.0.0.1:8786, nor "
            "a scheduler file"
        )
    address = _address_in(Path(scheduler)) if is_file else scheduler
    _call(address, scheduler)
    with Client(address, timeout=CONNECT_SECONDS, set_as_default=False) as client:
        yield client


def _address_in(file: Path) -> str:
    """What a scheduler file says."""
    try:
        said = json.loads(file.read_text("utf-8"))
        return str(said["address"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _no_scheduler(os.fspath(file), error) from error


def _call(address: str, scheduler: str) -> None:
    """See that a scheduler answers, before a client is made.

    A client that fails to start is left to the garbage collector. Should that come while the next
    one starts, each of them waits for the other.

    Args:
        address: of the scheduler.
        scheduler: what the user has given.

    Raises:
        InputError: nobody answers there.
    """

    async def call() -> None:
        comm = await connect_comm(address, timeout=CONNECT_SECONDS)
        await comm.close()

    try:
        with ThreadPoolExecutor(1) as pool:  # the caller's thread may have a loop of its own
            pool.submit(asyncio.run, call()).result()
    except (OSError, TimeoutError) as error:
        raise InputError(
            f"the scheduler at {scheduler} does not answer within {CONNECT_SECONDS:.0f} s "
            f"({error}); is it running, and can it be reached from here?"
        ) from error
    except (TypeError, ValueError, RuntimeError, ImportError) as error:
        raise _no_scheduler(scheduler, error) from error


def _no_scheduler(scheduler: str, why: Exception) -> InputError:
    return InputError(
        f"{scheduler!r} leads to no scheduler that can be reached from here "
        f"({type(why).__name__}: {why}); give an address as in tcp://10.0.0.1:8786, or the file "
        "that the scheduler has written"
    )


def _dashboard(client: Client, *, own: bool) -> str:
    """Where the dashboard is, or why there is none; ``own`` is a cluster of this machine."""
    # Without bokeh a scheduler answers there as well, but has nothing to show.
    if own and importlib.util.find_spec("bokeh") is None:
        return "no dashboard, which takes bokeh: pip install bokeh"
    return f"dashboard: {client.dashboard_link}" if client.dashboard_link else "no dashboard"


def _wait_for_workers(client: Client, where: str) -> None:
    try:
        client.wait_for_workers(1, timeout=WORKERS_SECONDS)
    except TimeoutError as error:
        there = client.scheduler_info(n_workers=-1)["workers"].values()
        if any(worker["status"] == "paused" for worker in there):
            raise InputError(
                f"the scheduler at {where} has paused all its workers, since most of their memory "
                "is in use; start them anew, with more --memory-limit"
            ) from error
        raise InputError(
            f"the scheduler at {where} has no worker, and none came within "
            f"{WORKERS_SECONDS:.0f} s; start some, as with: dask worker ADDRESS --nthreads 1"
        ) from error


def check_versions(client: Client) -> None:
    """See that all workers have this version of geocamss.

    Raises:
        InputError: one has another, or none; says both.
    """
    own = geocamss.__version__
    versions: Any = client.get_versions(packages=["geocamss"])
    found = versions["workers"]
    others = {
        address: said["packages"].get("geocamss") or "none"
        for address, said in found.items()
        if said["packages"].get("geocamss") != own
    }
    if others:
        address, version = next(iter(others.items()))
        more = f", and {len(others) - 1} more like it" if len(others) > 1 else ""
        raise InputError(
            f"this is geocamss {own}, and worker {address} has {version}{more}; install the same "
            "version for client and workers"
        )


def check_folder(client: Client, folder: Path) -> bool:
    """See that all workers can write into a folder.

    Returns:
        Whether all of them work in the client's own directory, so that relative names of files
        mean the same to them.

    Raises:
        InputError: one cannot see it, or not write there.
        RunError: no worker answers.
    """
    probe = folder / f".probe-{uuid.uuid4().hex}"
    try:
        probe.write_text(probe.name, "utf-8")
        seen = _answers(client, probe, folder)
    except OSError as error:
        raise InputError(
            f"cannot write into {folder}: {error.strerror or error}; choose another folder with -o"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()
    return all(where == os.getcwd() for _, where in seen.values())  # noqa: PTH109 (texts)


def _answers(client: Client, probe: Path, folder: Path) -> dict[str, tuple[str, str]]:
    deadline = time.monotonic() + WORKERS_SECONDS
    seen: dict[str, tuple[str, str]] = {}
    while not seen:
        if time.monotonic() > deadline:
            raise RunError("no worker answers")
        seen = dict(client.run(see, os.fspath(probe), on_error="ignore"))
    for address, (said, _) in seen.items():
        if said != probe.name:
            raise InputError(
                f"worker {address} cannot use the output folder {folder}: {said}; choose one with "
                "-o that client and workers share, by the same name"
            )
    return seen
