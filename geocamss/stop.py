"""Stop: a wish to end that is granted at the next good place."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

__all__ = ["Stop", "heeding_sigterm"]


@dataclass
class Stop:
    """Whether somebody has asked for the end."""

    wanted: bool = False
    """True after SIGTERM."""


@contextmanager
def heeding_sigterm() -> Iterator[Stop]:
    """Let SIGTERM ask for the end instead of ending the process; a second one ends it as before.

    Only the main thread hears signals; in others nothing changes.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def ask(_signal: int, _frame: FrameType | None) -> None:
        stop.wanted = True
        signal.signal(signal.SIGTERM, before)

    before = signal.getsignal(signal.SIGTERM) or signal.SIG_DFL
    signal.signal(signal.SIGTERM, ask)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGTERM, before)
