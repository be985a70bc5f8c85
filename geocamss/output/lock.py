"""A lock on a file: one process at a time, and none that has died."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from pathlib import Path
from typing import TextIO

from geocamss.errors import OutputError

__all__ = ["take_lock"]

HELD = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)
"""What the kernel says when another process holds a lock."""


def take_lock(file: Path, folder: Path, who: str) -> TextIO:
    """Lock a file; closing it gives the lock back.

    The kernel drops the lock when the process ends, however it ends. A file that was taken away
    between being opened and being locked protects nothing: then it is the one that is there now.

    Args:
        file: What is locked; it is made.
        folder: What is protected, for the message.
        who: What else may hold it, for the message: a run, a job.

    Raises:
        FileNotFoundError: its folder is not there, or no longer.
        OSError: the file cannot be made.
        OutputError: another process holds the lock, or the file system knows none.
    """
    lock = _locked(file, folder, who)
    while not _is_there(lock, file):
        lock.close()
        lock = _locked(file, folder, who)
    lock.truncate(0)
    lock.write(f"{os.getpid()} on {socket.gethostname()}")
    lock.flush()
    return lock


def _is_there(lock: TextIO, file: Path) -> bool:
    """Whether what is locked still has its name."""
    try:
        return os.path.samestat(os.fstat(lock.fileno()), file.stat())
    except FileNotFoundError:
        return False


def _locked(file: Path, folder: Path, who: str) -> TextIO:
    lock = file.open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in HELD:
            lock.close()
            raise OutputError(
                f"the file system of {folder} has no locks ({error.strerror or error}), which keep "
                "two runs from writing there at once; choose another folder with -o"
            ) from error
        lock.seek(0)
        holder = lock.read().strip() or "unknown"
        lock.close()
        raise OutputError(
            f"another {who} (process {holder}) is writing into {folder}; "
            "wait for it, or choose another folder with -o"
        ) from error
    return lock
