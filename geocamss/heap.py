"""The heap: memory that is freed stays at hand for the next batch."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from functools import cache

__all__ = ["ENVIRONMENT", "give_back_freed_memory", "keep_freed_memory"]

KEPT_BYTES = 256 * 2**20
"""So much freed memory may wait at the end of the heap."""

MAPPED_BYTES = 32 * 2**20
"""Larger pieces go back to the operating system at once; the C library allows no more here."""

ENVIRONMENT = {
    "MALLOC_TRIM_THRESHOLD_": KEPT_BYTES,
    "MALLOC_MMAP_THRESHOLD_": MAPPED_BYTES,
    "MALLOC_ARENA_MAX": 1,
}
"""The same for a process that is still to begin, and for whichever thread of it maps: threads other
than the first have heaps of their own, which do not grow so large."""

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Numbers of these options in malloc.h."""


@cache
def keep_freed_memory() -> bool:
    """Ask the C library not to give freed memory back after every batch.

    What a network computes for a chip takes the same memory each time. By itself the C library
    returns most of it in between, and the operating system has to clear each page again, which
    can take as long as a small network's own sums. It holds for the whole process, and is asked for
    once; whoever has set such options in the environment keeps them.

    Returns:
        Whether the C library was asked and agreed; only that of GNU knows the options.
    """
    if any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ):
        return False
    mallopt = _from_c("mallopt")
    asked = ((_TRIM_THRESHOLD, KEPT_BYTES), (_MMAP_THRESHOLD, MAPPED_BYTES))
    agreed = [mallopt is not None and bool(mallopt(option, size)) for option, size in asked]
    return all(agreed)


def give_back_freed_memory() -> None:
    """Let the operating system have what is free: what comes next works with other pieces."""
    malloc_trim = _from_c("malloc_trim")
    if malloc_trim is not None:
        malloc_trim(0)


def _from_c(name: str) -> Callable[..., int] | None:
    """A function of the C library; None where it has none of that name."""
    try:
        function: Callable[..., int] = getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError, TypeError):
        return None
    return function
