"""Room on disk: what a run will need, and words for when there is too little."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from geocamss.errors import DiskFullError, OutputError, RunError
from geocamss.scene.tiles import Layout

__all__ = ["check_room", "disk_full_said", "free_bytes", "megabytes", "no_room", "work_bytes"]

FULL = 2**20
"""With fewer bytes left than this a failed write is put down to a full disk."""


def work_bytes(layout: Layout, planes: int, layers: int) -> int:
    """Bytes that a run's block files and uncompressed rasters take, before it cleans up.

    Each of the ``layers``, a byte a pixel, is written twice: in the block files, and in the plain
    rasters that GDAL makes the final ones of. Seams hold int16 sums, ``planes`` of them.
    """
    pixels = layout.shape[0] * layout.shape[1]
    seams = sum(seam.area for block in layout.blocks() for seam in layout.seams(block))
    return 2 * layers * pixels + 2 * planes * seams


def check_room(folder: Path, needed: int, scene: str) -> None:
    """Refuse to begin what cannot end.

    Args:
        folder: where the room is needed.
        needed: how much, in bytes.
        scene: whose map it is for.

    Raises:
        DiskFullError: fewer than ``needed`` bytes are free where ``folder`` is.
    """
    free = free_bytes(folder)
    if free < needed:
        raise DiskFullError(
            f"{folder}: mapping {scene} needs {megabytes(needed)} while it works, and "
            f"{megabytes(free)} are free; make room, choose another folder with -o, or map less "
            "of it (--aoi) or at coarser pixels (--gsd)"
        )


def no_room(what: Path, needed: int) -> DiskFullError | None:
    """What to raise for a file that could not be written; None if that is not for want of room.

    Args:
        what: the file, whose folder is there.
        needed: bytes that it may have needed beyond those that it had, about.
    """
    free = free_bytes(what.parent)
    if free >= needed:
        return None
    return DiskFullError(
        f"{what}: the disk is full: about {megabytes(needed)} more are needed, and "
        f"{megabytes(free)} are free; make room and run the same command again"
    )


@contextmanager
def disk_full_said(folder: Path, needed: int = 0) -> Iterator[None]:
    """Say plainly when a write fails because the disk is full.

    Args:
        folder: what is filled.
        needed: bytes that the run takes there while it works, those included that it has written;
            0 if that is not known.

    Raises:
        DiskFullError: instead of the error that it caused.
        RunError: instead of any other error of the operating system.
    """
    try:
        yield
    except OSError as error:
        if _no_space(error) or _full(folder):
            raise DiskFullError(_no_room(folder, needed)) from error
        raise RunError(f"{folder}: {error}") from error
    except OutputError as error:
        if not _no_space(error.__cause__):
            raise
        raise DiskFullError(_no_room(folder, needed)) from error
    except RunError as error:
        if isinstance(error, DiskFullError) or not _full(folder):
            raise
        raise DiskFullError(_no_room(folder, needed)) from error


def _no_space(error: BaseException | None) -> bool:
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def _full(folder: Path) -> bool:
    return folder.exists() and free_bytes(folder) < FULL


def _no_room(folder: Path, needed: int) -> str:
    free = free_bytes(folder)
    left = needed and needed - sum(file.stat().st_size for file in folder.glob(".*/blocks/*.npz"))
    more = f"about {megabytes(left)} more are needed" if left > free else "more is needed"
    return (
        f"{folder}: the disk is full: {more}, and {megabytes(free)} are free; make room and run "
        "the same command again: finished blocks are kept"
    )


def free_bytes(folder: Path) -> int:
    """What may still be written where a folder is."""
    return shutil.disk_usage(folder).free


def megabytes(count: int) -> str:
    """A number of bytes, for people."""
    return f"{count / 1e6:,.1f} MB"
