"""Reading JPEG 2000 and closing GeoTIFFs, by turns: at once, GDAL may crash the process.

Several threads read JPEG 2000 side by side. Whoever closes GeoTIFFs waits for them, and those who
come later wait for it; other reading goes on.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager

__all__ = ["closing", "is_jpeg2000", "reading"]

_ENDINGS = (".jp2", ".j2k", ".jpx", ".jpf", ".j2c", ".jpc", ".jph")
"""Of files in this format."""

_DRIVERS = ("JP2", "SENTINEL2", "NITF")
"""How GDAL's names of formats begin that hold it."""


def is_jpeg2000(driver: str, files: Collection[str]) -> bool:
    """True if JPEG 2000 is decoded where a raster is read.

    Args:
        driver: GDAL's short name of its format.
        files: what it refers to, if it is a VRT.
    """
    names = (name.partition("?")[0].lower() for name in files)
    return driver.startswith(_DRIVERS) or any(name.endswith(_ENDINGS) for name in names)


class _Turns:
    """Readers side by side, or closers side by side, and not both."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._readers = self._closers = self._waiting = 0

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Read JPEG 2000; nothing is closed meanwhile. Not to be entered within itself."""
        with self._changed:
            self._changed.wait_for(lambda: not (self._closers or self._waiting))
            self._readers += 1
        try:
            yield
        finally:
            with self._changed:
                self._readers -= 1
                self._changed.notify_all()

    @contextmanager
    def closing(self) -> Iterator[None]:
        """Close, or write and close, GeoTIFFs; no JPEG 2000 is read meanwhile."""
        with self._changed:
            self._waiting += 1  # readers that come now wait, or there would always be some
            try:
                self._changed.wait_for(lambda: not self._readers)
            finally:
                self._waiting -= 1
                self._changed.notify_all()
            self._closers += 1
        try:
            yield
        finally:
            with self._changed:
                self._closers -= 1
                self._changed.notify_all()


_turns = _Turns()  # GDAL is the whole process's, and so is this
reading = _turns.reading
closing = _turns.closing
