"""The heap: memory that is freed stays at hand for the next batch."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from functools import cache

__all__ = ["give_back_freed_memory", "keep_freed_memory"]

KEPT_BYTES = 256 * 2**20
"""So much freed memory may wait at the end of the heap."""

MAPPED_BYTES = 32 * 2**20
"""Larger pieces go back to the operating system at once; the C library allows no more here."""

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
"""Numbers of these options in malloc.h."""

DASKS_OWN = ("MALLOC_TRIM_THRESHOLD_", "65536")
"""What Dask sets for its workers, asked or not: nobody's wish for these maps."""


@cache
def keep_freed_memory() -> bool:
    """Ask the C library not to give freed memory back after every batch.

    What a network computes for a chip takes the same memory each time. By itself the C library
    returns most of it in between, and the operating system has to clear each page again, which
    can take as long as a small network's own sums. And threads that have not begun yet share the
    first one's heap: what one has freed another can use. It holds for the whole process, and is
    asked for once; whoever has set such options in the environment keeps them.

    Returns:
        Whether the C library was asked and agreed; only that of GNU knows the options.
    """
    if any(_chosen(name, value) for name, value in os.environ.items()):
        return False
    mallopt = _from_c("mallopt")
    asked = {_TRIM_THRESHOLD: KEPT_BYTES, _MMAP_THRESHOLD: MAPPED_BYTES, _ARENA_MAX: 1}
    agreed = [mallopt is not None and bool(mallopt(*option)) for option in asked.items()]
    return all(agreed)


def _chosen(name: str, value: str) -> bool:
    """Whether an environment variable is somebody's choice of how the heap behaves."""
    option = name.startswith("MALLOC_") or name == "GLIBC_TUNABLES"
    return option and (name, value) != DASKS_OWN


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
