"""The process: a command run to its end, its words and its progress passed on, or stopped."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import IO, Any, Protocol

__all__ = ["Feedback", "ProcessError", "run"]

GRACE_S = 60
"""A command that is asked to stop finishes the chips at hand; after so long it is ended."""

POLL_S = 0.1
"""How long a user who cancels may wait until the command hears of it."""

MAP_SHARE = 90.0
"""Percent of the progress that are the mapping itself; the rest are the outputs."""

_END = None


class ProcessError(Exception):
    """The command could not be run, or failed; has its own words."""


class Feedback(Protocol):
    """What is told of a run: the part of ``QgsProcessingFeedback`` that is used here."""

    def isCanceled(self) -> bool:
        """Whether the user wants it to stop."""

    def setProgress(self, progress: float) -> None:
        """Tell how far it is, in percent."""

    def pushConsoleInfo(self, info: str) -> None:
        """Tell what the command prints."""

    def pushWarning(self, warning: str) -> None:
        """Tell what the user should know."""


def run(command: Sequence[str], environment: Mapping[str, str], feedback: Feedback) -> bool:
    """Run a command, and pass on what it tells.

    Args:
        command: the program and its arguments.
        environment: its environment.
        feedback: told of progress, warnings and all that is printed; asked whether to go on.

    Returns:
        True when it is done; False when the user stopped it.

    Raises:
        ProcessError: it could not be started, or failed.
    """
    told: list[str] = []
    progress = _Progress(feedback)
    with _started(command, environment) as process:
        for stream, line in _lines(process, feedback):
            if stream == "stdout":
                feedback.pushConsoleInfo(line)
            elif not progress.told(line):
                told.append(line)
                _tell(line, feedback)
        code = process.wait()
    if feedback.isCanceled():
        return False
    if code:
        raise ProcessError(_reason(told) or f"geocamss ended with the code {code}")
    return True


@contextmanager
def _started(
    command: Sequence[str], environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[str]]:
    try:
        process = subprocess.Popen(  # noqa: S603  (the user's own command)
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environment),
            encoding="utf-8",
            errors="replace",
            # On Windows a command would open a black window.
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
    except OSError as error:
        raise ProcessError(f"{command[0]} cannot be started: {error.strerror or error}") from error
    try:
        with process:
            yield process
    finally:
        if process.poll() is None:
            process.kill()


def _lines(process: subprocess.Popen[str], feedback: Feedback) -> Iterator[tuple[str, str]]:
    """What the process prints, as (stream, line), until it ends; stops it for the user."""
    waiting: SimpleQueue[tuple[str, str | None]] = SimpleQueue()

    def listen(name: str, stream: IO[str]) -> None:
        for line in stream:
            waiting.put((name, line.rstrip("\n")))
        waiting.put((name, _END))

    streams = {"stdout": process.stdout, "stderr": process.stderr}
    for name, stream in streams.items():
        if stream is not None:
            threading.Thread(target=listen, args=(name, stream), daemon=True).start()
    open_streams = len(streams)
    killer: threading.Timer | None = None
    try:
        while open_streams:
            if killer is None and feedback.isCanceled():
                process.terminate()
                killer = threading.Timer(GRACE_S, process.kill)
                killer.start()
            try:
                name, line = waiting.get(timeout=POLL_S)
            except Empty:
                continue
            if line is _END:
                open_streams -= 1
            else:
                yield name, line
    finally:
        if killer is not None:
            killer.cancel()


class _Progress:
    """How far a command is: the mapping, if it maps, and then the outputs one by one."""

    def __init__(self, feedback: Feedback) -> None:
        self._feedback = feedback
        self._stage = ""
        self._mapped = 0.0  # percent that the mapping has taken

    def told(self, line: str) -> bool:
        """Pass a line of progress on; False if it is none."""
        report = _report(line)
        if report is None:
            return False
        share = report["done"] / max(1, report["total"])
        if report["stage"] == "map":
            self._mapped = MAP_SHARE
            self._feedback.setProgress(MAP_SHARE * share)
            return True
        self._feedback.setProgress(self._mapped + (100 - self._mapped) * share)
        if report["stage"] != self._stage:
            self._stage = str(report["stage"])
            self._feedback.pushConsoleInfo(self._stage)
        return True


def _report(line: str) -> dict[str, Any] | None:
    """A line such as ``{"stage": "map", "done": 1, "total": 2}``."""
    if not line.startswith("{"):
        return None
    try:
        report = json.loads(line)
    except ValueError:
        return None
    return report if {"stage", "done", "total"} <= set(report) else None


def _tell(line: str, feedback: Feedback) -> None:
    kind, _, text = line.partition(": ")
    if kind == "warning":
        feedback.pushWarning(text)
    elif line:
        feedback.pushConsoleInfo(line)


def _reason(told: Sequence[str]) -> str:
    """The error that a command ends with, which may have several lines; else all that it said."""
    for number, line in enumerate(told):
        kind, _, text = line.partition(": ")
        if kind in ("error", "unexpected error", "interrupted"):
            return "\n".join([text, *told[number + 1 :]]).strip()
    return "\n".join(told).strip()
