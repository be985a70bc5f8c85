"""What workers do: open a scene, map one of its blocks, put the map together."""

from __future__ import annotations

import asyncio
import base64
import errno
import os
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from distributed import Worker, WorkerPlugin, get_worker
from distributed.core import Status

import geocamss
from geocamss.ahead import ahead
from geocamss.batch.hearing import Hearing
from geocamss.batch.orders import Failure, Finished, Opened, Order, Outcome
from geocamss.batch.thumbnail import thumbnail
from geocamss.errors import (
    DiskFullError,
    GeocamssError,
    InputError,
    ModelError,
    RunError,
    SceneError,
)
from geocamss.heap import keep_freed_memory
from geocamss.memory import READ_AHEAD
from geocamss.models.segmenter import Segmenter
from geocamss.output.areas import class_areas
from geocamss.output.blocks import BlockMap, BlockStore
from geocamss.output.disk import disk_full_said
from geocamss.output.folder import WORK, read_key
from geocamss.products import write_products
from geocamss.request import Request
from geocamss.room import is_out_of_memory
from geocamss.run import Run
from geocamss.scene.gdal import gdal_environment
from geocamss.scene.resolve import spoken
from geocamss.scene.tiles import Block
from geocamss.strips import read_strips

__all__ = ["ModelPlugin", "finish_scene", "map_block", "open_scene", "see", "sum_up"]

HEARING = Hearing()
"""Of all tasks of this process."""

KEPT_RUNS = 4
"""Scenes that a worker keeps open in mind: blocks of one scene come one after another."""


class UnfitError(RunError):
    """This worker lacks what the job needs; others may have it."""


@dataclass
class ModelPlugin(WorkerPlugin):
    """Loads the model once a worker, and keeps it until the job is over."""

    name: str
    """Its name among the worker's plugins: that of the job."""

    request: Request
    """Which model, and on which device."""

    version: str
    """Version of geocamss that the client runs."""

    threads: int | None = None
    """Of the network; None leaves the worker's own setting."""

    idempotent: bool = True
    """Registered again under its name it is left as it is."""

    problem: str = field(default="", init=False)
    """Why this worker cannot do the job, if it cannot: one that comes late is not refused."""

    _segmenter: Segmenter | None = field(default=None, init=False, repr=False)
    _runs: OrderedDict[str, Run] = field(default_factory=OrderedDict, init=False, repr=False)

    async def setup(self, worker: Worker) -> None:
        """Load the model, aside from the loop in which the worker answers its scheduler.

        Raises:
            InputError: the worker has another version of geocamss.
            ModelError: the worker cannot use the model.
        """
        self._lock = threading.Lock()
        self._ready = threading.Event()
        try:
            self._check_version()
            keep_freed_memory()
            keep_awake(worker)
            self._segmenter = await asyncio.to_thread(self.request.segmenter)
        except Exception as error:
            self.problem = str(error) or type(error).__name__
            raise
        finally:
            self._ready.set()

    def _check_version(self) -> None:
        if geocamss.__version__ != self.version:
            raise InputError(
                f"a worker has geocamss {geocamss.__version__}, and the client has "
                f"{self.version}; install one version everywhere"
            )

    def teardown(self, worker: Worker) -> None:  # noqa: ARG002 (what distributed calls it with)
        """Forget the model."""
        self._segmenter = None
        self._runs.clear()

    def wait(self) -> None:
        """Wait until the model is loaded, or there is a ``problem``."""
        self._ready.wait()

    def run(self, order: Order) -> Run:
        """The run of a scene, opened if it is not in mind.

        Raises:
            RunError: the scene is not what it was when the client reserved its folder.
        """
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        with self._lock:
            if not order.key:
                return self._opened(order)
            found = self._runs.get(order.key)
            if found is None:
                found = self._opened(order)
                if found.key != order.key:
                    raise RunError(
                        f"{spoken(order.path)}: changed while it was being mapped, or workers "
                        f"differ in their devices (here {found.segmenter.device})"
                    )
                self._runs[order.key] = found
            self._runs.move_to_end(order.key)
            while len(self._runs) > KEPT_RUNS:
                self._runs.popitem(last=False)
        return found

    def _opened(self, order: Order) -> Run:
        found = order.request.run(order.path, self._segmenter, order.journal)
        if order.block_tiles is not None:
            found = replace(found, block_tiles=order.block_tiles).manned()
        return found


def keep_awake(worker: Worker) -> None:
    """Have a worker take tasks however much of its memory is in use, for as long as it lives.

    Dask pauses one at 80 percent until it has spilled its data. There is none to spill: libraries,
    model and freed memory that is kept stay where they are, and so would the pause. A nanny still
    ends a worker that takes all that it may.
    """
    worker.memory_manager.memory_pause_fraction = False
    if worker.status == Status.paused:
        worker.status = Status.running


def open_scene(plugin: str, order: Order) -> Outcome:
    """Look at a scene: its grid and its blocks, as ``Opened``."""

    def look(own: ModelPlugin) -> Opened:
        run = own.run(order)
        return Opened(
            key=run.key,
            provenance=run.provenance,
            sizes=run.sizes,
            shaping=repr(run.shaping),
            layout=run.layout,
            work=run.work,
            batch=run.batch,
            datetime=run.scene.datetime,
            device=str(run.segmenter.device),
            confidence=run.confidence,
        )

    return _told(plugin, look)


def map_block(plugin: str, order: Order, row: int, col: int) -> Outcome:
    """Map a block of a scene, and leave it in the scene's work folder."""

    def work(own: ModelPlugin) -> None:
        run = own.run(order)
        block = run.layout.block(row, col)
        with (
            disk_full_said(order.folder, run.work),
            gdal_environment(run.scene.path, run.decoded),
            run.reader() as reader,
            closing(
                ahead(read_strips(run.pixels(reader), run.layout, block), READ_AHEAD)
            ) as strips,
        ):
            _save(order, block, run.engine.map_block(block, strips))

    return _told(plugin, work)


def finish_scene(plugin: str, order: Order) -> Outcome:
    """Make the files of a map whose blocks are all there, as ``Finished``.

    They are made in a folder of their own, so that a worker which only seems dead, and one that
    does the same in its place, do not write the same files.
    """

    def work(own: ModelPlugin) -> Finished:
        run = own.run(order)
        store = BlockStore(order.folder / WORK / "blocks")
        with disk_full_said(order.folder, run.work), gdal_environment(run.scene.path):
            folder = Path(tempfile.mkdtemp(prefix=f"{WORK}-", dir=order.folder))
            areas = write_products(run, store, folder, order.request.outputs)
        return Finished(folder.name, areas, _thumbnail(folder / "classes.tif"))

    return _told(plugin, work)


def sum_up(plugin: str, order: Order) -> Outcome:
    """Say of a map that is there already what ``finish_scene`` says, without making a file."""

    def work(own: ModelPlugin) -> Finished:
        run = own.run(order)
        classes, confidence = (order.folder / f"{name}.tif" for name in ("classes", "confidence"))
        if not classes.exists():
            return Finished("", (), "")
        areas = class_areas(
            classes, confidence if confidence.exists() else None, run.segmenter.card.classes
        )
        return Finished("", areas, _thumbnail(classes))

    return _told(plugin, work)


def see(path: str) -> tuple[str, str]:
    """What a worker sees of the output folder: a probe's text, or why not; and where it works."""
    try:
        text = Path(path).read_text("utf-8")
        with tempfile.TemporaryDirectory(dir=Path(path).parent) as folder:
            own = Path(folder, "probe")
            own.write_bytes(b"x")
            own.replace(own.with_name("renamed"))  # as all that is made is, once it is whole
    except OSError as error:
        text = error.strerror or str(error)
    return text, os.getcwd()  # noqa: PTH109 (a text for the client)


def _thumbnail(classes: Path) -> str:
    return base64.b64encode(thumbnail(classes)).decode("ascii")


def _save(order: Order, block: Block, result: BlockMap) -> None:
    """Put a block where it belongs, unless the folder is no longer this run's.

    It is written in a folder of its own and then moved, so that two workers may do the same block.
    """
    work = order.folder / WORK
    with tempfile.TemporaryDirectory(prefix="block-", dir=work) as private:
        own = BlockStore(Path(private))
        own.save(block, result)
        if read_key(work) != order.key:
            raise RunError(f"{order.folder}: another run has taken the folder over")
        own.path(block).replace(BlockStore(work / "blocks").path(block))


def _told(plugin: str, work: Callable[[ModelPlugin], Any]) -> Outcome:
    """Do it, and say how it went in values that travel."""
    worker = get_worker()
    start = time.monotonic()
    value, failure = None, None
    with HEARING.of_task() as heard:
        try:
            value = work(_own(worker, plugin))
        except Exception as error:  # noqa: BLE001 (whatever it is, the client must hear of it)
            failure = failure_of(error)
    return Outcome(
        worker.address,
        time.monotonic() - start,
        value,
        failure,
        tuple(dict.fromkeys(heard)),
    )


def _own(worker: Worker, plugin: str) -> ModelPlugin:
    """What the worker has loaded for the job."""
    found = worker.plugins.get(plugin)
    if not isinstance(found, ModelPlugin):
        raise UnfitError(f"worker {worker.address} has not loaded the model")
    found.wait()
    if found.problem:
        raise UnfitError(f"worker {worker.address}: {found.problem}")
    return found


def failure_of(error: Exception) -> Failure:
    """What an error means for the job."""
    message = str(error) or type(error).__name__
    if isinstance(error, UnfitError):
        return Failure("worker", message)
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    if isinstance(error, DiskFullError) or full:
        return Failure("disk", message)
    if isinstance(error, ModelError):
        return Failure("job", message)
    if isinstance(error, InputError) and not isinstance(error, SceneError):
        return Failure("scene", message)
    if is_out_of_memory(error):
        return Failure("memory", f"out of memory: {message.splitlines()[0][:300]}")
    # A scene that cannot be opened may be there again in a while, if it is not on this machine.
    known = isinstance(error, (GeocamssError, OSError))
    return Failure("other", message if known else f"{type(error).__name__}: {message}")
