"""Progress on stderr: a bar for people, or lines of JSON for programs."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

import click
from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.text import Text

if TYPE_CHECKING:
    from geocamss.batch.run import BatchProgress
    from geocamss.batch.scenes import SceneResult
    from geocamss.progress import Progress

__all__ = ["batch_progress", "progress_bar", "progress_lines", "told_progress"]

LINES = 1000
"""A stage is told of in that many lines at most."""

MINUTE = 60.0
"""Seconds between lines about blocks in a log."""


class Pace:
    """How fast a stage goes, all the time since its first report.

    rich's own estimate looks at the time between reports alone. But those of a batch of chips come
    all at once, and small scenes have no other.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._first = self._last = (0.0, 0)
        self._begun = False

    def add(self, done: int) -> float | None:
        """Hear of a report; gives what is done a second, None while nothing is known."""
        now = self._clock(), done
        if not self._begun or done < self._last[1]:  # the next scene begins
            self._begun, self._first = True, now
        self._last = now
        seconds, more = now[0] - self._first[0], done - self._first[1]
        return more / seconds if seconds > 0 and more else None


class PixelRate(ProgressColumn):
    """Pixels a second, as a person says it."""

    def render(self, task: Task) -> Text:
        """Text such as ``3.2 Mpx/s``; a dash while nothing is known."""
        rate = task.fields.get("rate")
        return Text(pixel_rate(rate) if rate else "-", style="progress.data.speed")


class TimeLeft(ProgressColumn):
    """Hours, minutes and seconds that are left, and in the end those that it took."""

    def render(self, task: Task) -> Text:
        """Text such as ``0:12:34``."""
        rate, left = task.fields.get("rate"), task.remaining
        seconds = task.finished_time if task.finished else left / rate if rate and left else None
        text = "-:--:--" if seconds is None else str(timedelta(seconds=round(seconds)))
        return Text(text, style="progress.remaining")


def pixel_rate(pixels_per_second: float) -> str:
    """Pixels a second in the unit that leaves one to three digits before the point."""
    for unit, size in (("Gpx/s", 1e9), ("Mpx/s", 1e6), ("kpx/s", 1e3)):
        if pixels_per_second >= size:
            return f"{pixels_per_second / size:.1f} {unit}"
    return f"{pixels_per_second:.0f} px/s"


@contextmanager
def progress_bar(*, quiet: bool, stage: str = "map") -> Iterator[Callable[[Progress], None] | None]:
    """Draw a bar on stderr while the block runs: pixels of a stage, then other stages by name.

    Args:
        quiet: draw nothing.
        stage: the one that takes its time.

    Yields:
        What a run reports to; None where nothing is drawn: if quiet, or stderr is no terminal.
    """
    if quiet or not sys.stderr.isatty():
        yield None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        PixelRate(),
        TimeLeft(),
    )
    pace = Pace()
    with Bars(*columns, console=Console(stderr=True)) as bars:
        task = bars.add_task(stage, total=None)

        def show(report: Progress) -> None:
            if report.stage == stage:
                rate = pace.add(report.done)
                bars.update(task, completed=report.done, total=report.total, rate=rate)
            else:
                bars.update(task, description=f"{stage}, {report.stage}")

        yield show


@contextmanager
def progress_lines() -> Iterator[Callable[[Progress], None]]:
    """Print a line of JSON to stderr for each thousandth of a stage, and for its end.

    Yields:
        What a run reports to.
    """
    last: tuple[str, int] | None = None

    def tell(report: Progress) -> None:
        nonlocal last
        now = report.stage, LINES * report.done // max(1, report.total)
        if now != last:
            last = now
            line = {"stage": report.stage, "done": report.done, "total": report.total}
            click.echo(json.dumps(line), err=True)

    yield tell


def told_progress(
    form: Literal["bar", "json"], *, quiet: bool, stage: str = "map"
) -> AbstractContextManager[Callable[[Progress], None] | None]:
    """How a run's progress is told: drawn, or printed line by line; not at all if quiet."""
    if quiet or form == "bar":
        return progress_bar(quiet=quiet, stage=stage)
    return progress_lines()


@contextmanager
def batch_progress(*, quiet: bool) -> Iterator[Callable[[BatchProgress], None]]:
    """Tell on stderr how far a job has come: bars of scenes and of blocks, or lines for a log.

    Args:
        quiet: tell nothing.

    Yields:
        What a job reports to.
    """
    if quiet:
        yield lambda _: None
        return
    if not sys.stderr.isatty():
        yield BatchLog()
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f}"),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    with Bars(*columns, console=Console(stderr=True)) as bars:
        scenes, blocks = bars.add_task("scenes", total=0), bars.add_task("blocks", total=0)

        def show(report: BatchProgress) -> None:
            failed = f", {report.failed} failed" if report.failed else ""
            bars.update(
                scenes,
                completed=report.ended,
                total=report.scenes,
                description=f"scenes{failed}",
            )
            bars.update(blocks, completed=report.blocks_done, total=report.blocks)

        yield show


class BatchLog:
    """Tells a job's progress for logs: a line a scene, and each minute one about the blocks."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._told = clock()

    def __call__(self, report: BatchProgress) -> None:
        """Print what is new, if it is worth a line."""
        if report.ending is not None:
            _tell_ending(report, report.ending)
        elif self._clock() - self._told >= MINUTE:
            self._told = self._clock()
            blocks = f"{report.blocks_done:,} of {report.blocks:,} blocks known so far"
            click.echo(f"{blocks}, {report.ended:,} of {report.scenes:,} scenes", err=True)


def _tell_ending(report: BatchProgress, scene: SceneResult) -> None:
    what = {"done": "mapped", "kept": "mapped before"}.get(scene.state, scene.state)
    why = f": {scene.reason}" if scene.reason else ""
    click.echo(f"{report.ended} of {report.scenes}: {scene.id} {what}{why}", err=True)
