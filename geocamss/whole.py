"""Files that appear under their name when they are whole."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["settle", "whole"]

NO_SYNC = (errno.EINVAL, errno.ENOTSUP)
"""What a file system says that cannot settle a folder, as some on networks cannot."""


@contextmanager
def whole(target: Path) -> Iterator[Path]:
    """Write a file beside its place, and put it there at the end.

    Args:
        target: The file's final name; what is there already stays until the new one is whole.

    Yields:
        Where to write to: a hidden name of the same ending, in the same folder. When the block
        ends with an error the file goes away, and ``target`` is as it was before.
    """
    part = target.with_name(f".{target.stem}.part{target.suffix}")
    try:
        yield part
        settle(part)
        part.replace(target)
        settle(target.parent)
    finally:
        part.unlink(missing_ok=True)


def settle(path: Path) -> None:
    """Wait until a file's content, or a folder's names, would outlive a power cut.

    A rename may reach the disk before the content of what is renamed: the name would then stand
    for an empty file.

    Raises:
        OSError: it is not there, or the disk does not take it.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in NO_SYNC:
            raise
    finally:
        os.close(handle)
