"""A job on a cluster: which task goes when, and what to do when one fails.

A scene goes through three kinds of tasks. ``open-scene`` lays its grid and counts its blocks; the
client then reserves its folder. ``map-block`` maps a block and leaves it in the folder, in the
files that a run on one machine leaves. ``finish-scene`` makes the outputs of the blocks; the
client gives them their final names. Only so many tasks are under way that every worker has its
next one at hand: a scheduler with a hundred thousand waiting tasks is a slow one, and earlier
scenes shall end first.

What a task says comes as an ``Outcome``, also when it fails. It is then tried again after a while,
on another worker; one that has run out of memory makes the whole scene begin anew with smaller
batches, since the batch is part of what fixes a map.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import queue
import shutil
import time
import warnings
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from distributed import Client, Future
from distributed.scheduler import KilledWorker

from geocamss.batch.ledger import Ledger, Record
from geocamss.batch.orders import Failure, Finished, Opened, Order, Outcome
from geocamss.batch.scenes import SceneResult, SceneState
from geocamss.batch.watch import GONE, PATIENCE, Watch
from geocamss.batch.worker import ModelPlugin, finish_scene, map_block, open_scene, sum_up
from geocamss.errors import DiskFullError, GeocamssError, GeocamssWarning, ModelError, RunError
from geocamss.output.blocks import BlockStore
from geocamss.output.disk import check_room, disk_full_said
from geocamss.output.folder import WORK, OutputFolder, read_journal
from geocamss.products import ALL_FILES, files_of
from geocamss.scene.resolve import spoken

__all__ = ["BatchProgress", "BatchRun"]

TRIES = 3
"""A task that has failed so often has failed."""

DEATHS = 2
"""Tasks that are given up because their workers die, before that is put down to memory. Each
stands for as many dead workers as the scheduler allows, four by default."""

SHRINKS = 5
"""A scene begins anew, each time with less at once, at most so often."""

FIRST_WAIT = 1.0
"""Seconds until a task is tried again; doubled each time."""

TASKS_A_THREAD = 3
"""Tasks under way for each thread of the cluster."""

TICK = 1.0
"""Seconds between looks at the cluster while nothing comes."""


@dataclass(frozen=True)
class BatchProgress:
    """How far a job has come."""

    scenes: int
    """Of the job."""

    ended: int
    """Of those."""

    failed: int
    """Of those."""

    blocks: int
    """Of all scenes that have been opened."""

    blocks_done: int
    """Of those."""

    pixels_done: int
    """Pixels mapped by this run, about."""

    ending: SceneResult | None = None
    """The scene that has just come to its end, if one has."""


@dataclass(frozen=True)
class Ticket:
    """A task under way."""

    scene: SceneState
    """Whose it is."""

    generation: int
    """Of the scene, when the task was given."""

    name: str
    """Of the task, without what tells its tries apart."""

    call: Callable[..., Outcome]
    """What the worker does."""

    where: tuple[int, ...] = ()
    """Row and column of a block."""

    priority: int = 0
    """Higher ones go first."""

    shunned: frozenset[str] = frozenset()
    """Addresses of workers that have tried it in vain."""

    @property
    def current(self) -> bool:
        """Whether anybody still wants to hear of it."""
        return self.generation == self.scene.generation and self.scene.result is None


class BatchRun:
    """Takes the scenes of a job through a cluster."""

    def __init__(
        self,
        client: Client,
        plugin: ModelPlugin,
        ledger: Ledger,
        orders: Sequence[Order],
        *,
        overwrite: bool = False,
        tell: Callable[[BatchProgress], None] = lambda _: None,
    ) -> None:
        self.client = client
        self.plugin = plugin
        self.ledger = ledger
        self.overwrite = overwrite
        self.scenes = [SceneState(order, number) for number, order in enumerate(orders)]
        self._tell = tell
        self._waiting = deque(scene for scene in self.scenes if not scene.order.problem)
        self._mapping: list[SceneState] = []
        self._flying: dict[Future[Outcome], Ticket] = {}
        self._ended: queue.SimpleQueue[Future[Outcome]] = queue.SimpleQueue()
        self._later: list[tuple[float, int, Ticket]] = []
        self._count = itertools.count()
        self._blocks = self._blocks_done = self._pixels_done = 0
        self._scenes_ended = self._scenes_failed = 0
        self._window = 0
        self._looked = 0.0
        self._watch = Watch(client)
        self._devices: set[str] = set()
        self._scheduler = str(client.scheduler_info(n_workers=1)["address"])

    @property
    def place(self) -> dict[str, str]:
        """Where the job has run so far, in words."""
        return {
            "scheduler": self._scheduler,
            "workers": f"{self._watch.most_workers}, of {self._watch.most_threads} threads in all",
            "device": ", ".join(sorted(self._devices)),
        }

    def go(self) -> None:
        """Do what there is to do; ``scenes`` then have their results.

        Raises:
            ModelError: workers cannot use the model.
            DiskFullError: the disk is full.
            RunError: the cluster has gone.
        """
        try:
            self._register()
            self._show()
            for scene in self.scenes:
                if scene.order.problem:
                    self._end(scene, "failed", scene.order.problem)
            while self._fill():
                self._await()
        except BaseException as error:
            self._give_up(error)
            raise
        finally:
            self._unregister()

    def _register(self) -> None:
        """Have the model loaded by all workers, and by those that are still to come."""
        for chance in range(TRIES):
            try:
                self.client.register_plugin(self.plugin, self.plugin.name)
            except GeocamssError:
                raise
            except Exception as error:
                # One that dies meanwhile keeps the others from being heard, not from loading.
                if isinstance(error, OSError) and chance < TRIES - 1:
                    time.sleep(FIRST_WAIT)
                    continue
                # Whatever a worker stumbles over while it loads the model reaches us here.
                raise RunError(f"workers cannot load the model: {error}") from error
            return

    def _unregister(self) -> None:
        if self.client.status == "running":
            for future in self._flying:
                future.cancel()
            self._flying.clear()
            # A worker that has died since, or has just come, need not forget anything.
            with contextlib.suppress(OSError, TimeoutError, KeyError):
                self.client.unregister_worker_plugin(self.plugin.name)

    # What to give to the cluster.

    def _fill(self) -> bool:
        """Give the cluster tasks until it has enough; False when nothing is left to do."""
        self._look()
        while self._later and self._later[0][0] <= time.monotonic():
            _, _, ticket = heapq.heappop(self._later)
            if ticket.current:
                self._submit(ticket)
        while len(self._flying) < self._window:
            if not self._submit_block() and not self._open_next():
                break
        return self._scenes_ended < len(self.scenes)

    def _submit_block(self) -> bool:
        """Give the next block of the earliest scene that has one."""
        for scene in self._mapping:
            if scene.todo:
                row, col = scene.todo.popleft()
                name = f"map-block-{scene.order.id}-{row}-{col}"
                self._submit(self._ticket(scene, name, map_block, (row, col)))
                return True
        return False

    def _open_next(self) -> bool:
        if not self._waiting:
            return False
        scene = self._waiting.popleft()
        scene.order = replace(scene.order, journal=self._before(scene.order))
        self._submit(self._ticket(scene, f"open-scene-{scene.order.id}", open_scene, ahead=1))
        return True

    def _before(self, order: Order) -> Mapping[str, Any]:
        """What an earlier run left behind of a scene: unfinished or else finished; may be empty."""
        unfinished = read_journal(order.folder / WORK)
        record = None if unfinished else self.ledger.read(order.id)
        return unfinished if record is None else {"key": record.key, **record.sizes}

    def _ticket(
        self,
        scene: SceneState,
        name: str,
        call: Callable[..., Outcome],
        where: tuple[int, ...] = (),
        *,
        ahead: int = 0,
    ) -> Ticket:
        """A task, with its scene's priority or that of a scene ``ahead`` of it."""
        priority = ahead - scene.number
        return Ticket(scene, scene.generation, name, call, where, priority)

    def _submit(self, ticket: Ticket) -> None:
        """Give a task, to any worker but those that it shuns, if there is another."""
        others = self._others(ticket) if ticket.shunned else []
        future = self.client.submit(
            ticket.call,
            self.plugin.name,
            ticket.scene.order,
            *ticket.where,
            # Tries and jobs get results of their own; the scheduler knows a task by its name.
            key=f"{ticket.name}-{self.plugin.name[-6:]}-{next(self._count)}",
            priority=ticket.priority,
            workers=others or None,
            allow_other_workers=bool(others),
            pure=False,
        )
        self._flying[future] = ticket
        future.add_done_callback(self._ended.put)

    # What comes back.

    def _await(self) -> None:
        """Hear of a task that has ended, if one does soon."""
        due = self._later[0][0] - time.monotonic() if self._later else TICK
        try:
            future = self._ended.get(timeout=min(TICK, max(0.01, due)))
        except queue.Empty:
            return
        ticket = self._flying.pop(future, None)
        if ticket is None or not ticket.current:
            return
        try:
            outcome = future.result(timeout=PATIENCE)
        except KilledWorker as error:
            self._died(ticket, error)
        except (CancelledError, TimeoutError, OSError):
            self._lost(ticket)
        except Exception as error:  # noqa: BLE001 (whatever it is: the task has said nothing)
            self._failed(ticket, Failure("other", f"{type(error).__name__}: {error}"), "")
        else:
            self._heard(ticket, outcome)

    def _heard(self, ticket: Ticket, outcome: Outcome) -> None:
        scene = ticket.scene
        scene.seconds += outcome.seconds
        for message in outcome.warnings:
            warnings.warn(message, GeocamssWarning, stacklevel=2)
        if outcome.failure is not None:
            self._failed(ticket, outcome.failure, outcome.worker)
            return
        try:
            with disk_full_said(scene.order.folder):
                if ticket.call is open_scene:
                    self._begin(scene, outcome.value)
                elif ticket.call is map_block:
                    self._block_done(scene)
                else:
                    self._finish(scene, outcome.value)
        except DiskFullError:
            raise
        except GeocamssError as error:
            self._end(scene, "failed", str(error))

    def _begin(self, scene: SceneState, opened: Opened) -> None:
        """Reserve an opened scene's folder, and count what is left to map."""
        scene.opened = opened
        self._devices.add(opened.device)
        # What a worker made of the memory that it has holds for all of them from here.
        request = replace(scene.order.request, batch_size=opened.batch)
        journal = {"key": opened.key, **opened.sizes}
        scene.order = replace(
            scene.order, request=request, block_tiles=None, journal=journal, key=opened.key
        )
        self._blocks += scene.blocks
        asked = opened.key, request.outputs, opened.shaping
        record = self.ledger.finished(scene.order.id, *asked)
        if record is not None:
            self._blocks_done += scene.blocks
            self._end(
                scene,
                "kept",
                areas=record.areas,
                thumbnail=record.thumbnail,
                seconds=record.seconds,
            )
            return
        about = opened.provenance | scene.sizes
        folder = OutputFolder(scene.order.folder, ALL_FILES, opened.key, about, self.overwrite)
        scene.folder = folder.__enter__()
        if folder.replaced and not scene.shrunk:
            warnings.warn(
                f"{folder.path} held {folder.replaced}: it starts over",
                GeocamssWarning,
                stacklevel=2,
            )
        if folder.complete:
            self._submit(self._ticket(scene, f"sum-up-{scene.order.id}", sum_up, ahead=1))
            return
        store = BlockStore(folder.work / "blocks")
        store.folder.mkdir(exist_ok=True)
        check_room(folder.work, opened.work - store.bytes, scene.order.id)
        left = store.missing(opened.layout, confidence=opened.confidence)
        self._blocks_done += scene.blocks - len(left)
        scene.todo = deque((block.row, block.col) for block in left)
        scene.open_blocks = len(left)
        if left:
            self._mapping.append(scene)
            self._mapping.sort(key=lambda s: s.number)
        else:
            self._put_together(scene)
        self._show()

    def _block_done(self, scene: SceneState) -> None:
        scene.open_blocks -= 1
        self._blocks_done += 1
        self._pixels_done += scene.pixels // max(1, scene.blocks)
        if not scene.open_blocks:
            self._mapping.remove(scene)
            self._put_together(scene)
        self._show()

    def _put_together(self, scene: SceneState) -> None:
        self._submit(self._ticket(scene, f"finish-scene-{scene.order.id}", finish_scene, ahead=1))

    def _finish(self, scene: SceneState, finished: Finished) -> None:
        """Give a scene's files their final names."""
        folder, opened = scene.folder, scene.opened
        if folder is None or opened is None:
            raise RunError(f"{scene.order.folder}: is not reserved")
        outputs = tuple(scene.order.request.outputs)
        if not finished.folder:  # an earlier run's, which may have wanted less
            outputs = tuple(name for name in outputs if _there(folder.path, name))
        record = Record(
            key=opened.key,
            shaping=opened.shaping,
            outputs=outputs,
            pixels=scene.pixels,
            blocks=scene.blocks,
            seconds=scene.seconds,
            batch=opened.batch,
            sizes=scene.sizes,
            datetime=opened.datetime.isoformat() if opened.datetime else None,
            areas=finished.areas,
            thumbnail=finished.thumbnail,
        )
        self.ledger.write(scene.order.id, record)
        if finished.folder:
            made = folder.path / finished.folder
            for name in files_of(outputs):
                (made / name).replace(folder.work / name)
            folder.publish(files_of(outputs))
        self._end(scene, "done", areas=finished.areas, thumbnail=finished.thumbnail)

    def _end(self, scene: SceneState, state: Any, reason: str = "", **found: Any) -> None:
        """A scene has come to its end, good or bad: give its folder back."""
        result = scene.end(state, reason, **found)
        self._scenes_ended += 1
        self._scenes_failed += state == "failed"
        self._release(scene, RunError(reason) if reason else None)
        if scene in self._mapping:
            self._mapping.remove(scene)
        self._show(result)

    def _release(self, scene: SceneState, error: BaseException | None = None) -> None:
        """Give a scene's folder back, and take away what workers left beside its work folder."""
        for future, ticket in list(self._flying.items()):
            if ticket.scene is scene:
                self._flying.pop(future)
                if self.client.status == "running":
                    future.cancel()
        folder, scene.folder = scene.folder, None
        if folder is None:
            return
        for path in folder.path.glob(f"{WORK}-*"):
            shutil.rmtree(path, ignore_errors=True)
        folder.__exit__(type(error) if error else None, error, None)

    # What goes wrong.

    def _failed(self, ticket: Ticket, failure: Failure, worker: str) -> None:
        """Try again, begin anew with less, or give up, as the failure has it."""
        scene = ticket.scene
        if failure.kind == "job":
            raise ModelError(failure.message)
        if failure.kind == "disk":
            raise DiskFullError(failure.message)
        if failure.kind == "memory" and self._shrink(scene, failure.message):
            return
        if worker:
            ticket = replace(ticket, shunned=ticket.shunned | {worker})
        tries = scene.tries.get(ticket.name, 0)
        # A worker that has nothing to do takes what is meant for others: that does not count.
        if failure.kind != "worker" or not self._others(ticket):
            scene.tries[ticket.name] = tries = tries + 1
        if failure.kind not in ("worker", "other") or tries >= TRIES:
            self._end(scene, "failed", failure.message)
            return
        scene.retries += 1
        due = time.monotonic() + FIRST_WAIT * 2 ** max(0, tries - 1)
        heapq.heappush(self._later, (due, next(self._count), ticket))

    def _died(self, ticket: Ticket, error: KilledWorker) -> None:
        """The workers died that did a task: by chance, or because it takes too much memory."""
        scene = ticket.scene
        scene.deaths += 1
        message = f"{error.allowed_failures + 1} workers died while they did {ticket.name}"
        if scene.deaths < DEATHS:
            self._failed(ticket, Failure("other", message), error.last_worker.address)
        elif not self._shrink(scene, message):
            self._end(scene, "failed", f"{message}; do they have memory enough?")

    def _shrink(self, scene: SceneState, why: str) -> bool:
        """Begin a scene anew with less at once; False when that cannot be.

        Blocks go first, since they change no pixel; if that is not enough, batches as well.
        """
        opened = scene.opened
        if opened is None or scene.shrunk >= SHRINKS:
            return False
        rows, cols = opened.layout.block_tiles
        tiles = (max(1, rows // 2), max(1, cols // 2))
        batch = max(1, opened.batch // 2) if scene.shrunk else opened.batch
        if (tiles, batch) == (opened.layout.block_tiles, opened.batch):
            batch = max(1, opened.batch // 2)
        if (tiles, batch) == (opened.layout.block_tiles, opened.batch):
            return False
        warnings.warn(
            f"{spoken(scene.order.path)}: {why}; it begins anew with blocks of {tiles[0]} by "
            f"{tiles[1]} tiles, {batch} at once",
            GeocamssWarning,
            stacklevel=2,
        )
        self._blocks -= scene.blocks
        self._blocks_done -= scene.blocks - scene.open_blocks
        if scene in self._mapping:
            self._mapping.remove(scene)
        self._release(scene)
        scene.begin_anew()
        request = replace(scene.order.request, batch_size=batch)
        scene.order = replace(scene.order, request=request, block_tiles=tiles, journal={}, key="")
        self._submit(self._ticket(scene, f"open-scene-{scene.order.id}", open_scene, ahead=1))
        return True

    def _lost(self, ticket: Ticket) -> None:
        """The scheduler does not know a task any more: it went away, or was begun anew."""
        deadline = time.monotonic() + PATIENCE
        while self.client.status == "connecting" and time.monotonic() < deadline:
            time.sleep(0.1)
        if self.client.status != "running":
            raise RunError(GONE)
        lost = [ticket, *(t for f, t in self._flying.items() if f.status in ("cancelled", "lost"))]
        for future in [f for f in self._flying if f.status in ("cancelled", "lost")]:
            self._flying.pop(future)
        self._register()
        for again in lost:
            if again.current:
                again.scene.retries += 1
                self._submit(again)

    def _give_up(self, error: BaseException) -> None:
        """Leave what is under way as it is, for the next run to go on from."""
        reason = str(error) if isinstance(error, GeocamssError) else "interrupted"
        for scene in self.scenes:
            if scene.result is None:
                scene.end("left", reason)
                self._release(scene, error)

    def _look(self) -> None:
        """See now and then how many workers there are.

        Raises:
            RunError: there has been none for long.
        """
        now = time.monotonic()
        if now - self._looked < 2 * TICK and self._window:
            return
        self._looked = now
        if threads := self._watch.threads():
            self._window = max(4, TASKS_A_THREAD * threads)

    def _others(self, ticket: Ticket) -> list[str]:
        """Workers that have not tried a task in vain."""
        try:
            workers = self.client.scheduler_info(n_workers=-1)["workers"]
            return [worker for worker in workers if worker not in ticket.shunned]
        except (OSError, TimeoutError):
            return []

    def _show(self, ending: SceneResult | None = None) -> None:
        self._tell(
            BatchProgress(
                scenes=len(self.scenes),
                ended=self._scenes_ended,
                failed=self._scenes_failed,
                blocks=self._blocks,
                blocks_done=self._blocks_done,
                pixels_done=self._pixels_done,
                ending=ending,
            )
        )


def _there(folder: Path, output: str) -> bool:
    return all((folder / name).exists() for name in files_of([output]))
