"""Failures that GDAL's own threads report, and that no call of GDAL returns.

Threads that decode the tiles of a TIFF take zeros for what a server has not sent, and the read that
waits for them succeeds. They do report it, to the error handler of the process: here it counts.
"""

from __future__ import annotations

import ctypes
import logging
import threading
from functools import cache

from rasterio import _base

__all__ = ["failures"]

_log = logging.getLogger(__name__)

_FAILURE = 3
"""GDAL's ``CE_Failure``; what is less is a warning."""

_HANDLER = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_int, ctypes.c_char_p)


class _Count:
    """How many there were."""

    def __init__(self) -> None:
        self.value = 0
        self._lock = threading.Lock()

    def heard(self, kind: int, number: int, message: bytes | None) -> None:
        """What GDAL calls, in any of its threads."""
        text = (message or b"").decode(errors="replace")
        _log.debug("GDAL, by a thread of its own: %d: %s", number, text)
        if kind >= _FAILURE:
            with self._lock:
                self.value += 1


@cache
def _listening() -> tuple[_Count, object]:
    """The count, and what must live as long as GDAL may call it.

    rasterio hears what is said in threads that are in an environment of its, and only that.
    """
    found = _Count()
    handler = _HANDLER(found.heard)
    try:
        set_handler = ctypes.CDLL(_base.__file__).CPLSetErrorHandler
    except AttributeError:  # some systems look into this library alone, and not into GDAL's
        return found, handler
    set_handler.argtypes = (ctypes.c_void_p,)
    set_handler.restype = ctypes.c_void_p
    set_handler(ctypes.cast(handler, ctypes.c_void_p))
    return found, handler


def failures() -> int:
    """How many failures GDAL's own threads have reported in this process so far.

    One that rises during a read was this read's, or that of another one at the same time.
    """
    return _listening()[0].value
