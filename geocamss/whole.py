"""Files that appear under their name when they are whole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["whole"]


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
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
