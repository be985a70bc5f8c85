"""What the tasks of a process warn of, each to its own."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from geocamss.errors import GeocamssWarning

__all__ = ["Hearing"]


class Hearing:
    """Listens to warnings while there are tasks in threads.

    ``warnings.catch_warnings`` is for all threads at once, and the first that leaves takes it from
    the others: here the first that comes sets it up, and the last that leaves ends it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._heard: dict[int, list[str]] = {}
        self._before = warnings.catch_warnings()

    @contextmanager
    def of_task(self) -> Iterator[list[str]]:
        """Collect what a task, in the thread that calls this, warns of; other warnings are lost."""
        messages: list[str] = []
        thread = threading.get_ident()
        with self._lock:
            if not self._heard:
                self._listen()
            self._heard[thread] = messages
        try:
            yield messages
        finally:
            with self._lock:
                del self._heard[thread]
                if not self._heard:
                    self._before.__exit__(None, None, None)

    def _listen(self) -> None:
        self._before = warnings.catch_warnings()
        self._before.__enter__()
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", GeocamssWarning)
        warnings.showwarning = self._hear

    def _hear(self, message: Warning | str, *_: Any, **__: Any) -> None:
        own = self._heard.get(threading.get_ident())
        # Of a thread that a task has started nobody knows whose it is: all hear of it.
        for messages in [own] if own is not None else list(self._heard.values()):
            messages.append(str(message))
