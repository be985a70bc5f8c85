"""Which file it was, and when its picture was taken."""

from __future__ import annotations

import hashlib
import re
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

__all__ = ["acquired", "fingerprint"]

_TIMEOUT = 20.0
"""Seconds that a server has to say what it holds."""

_FILE_HEADERS = ("ETag", "Content-Length", "Last-Modified")
"""What a server says of a file that changes with the file."""

_DATE_TAGS = (
    "ACQUISITIONDATETIME",
    "ACQUISITION_DATETIME",
    "ACQUISITION_DATE",
    "DATE_ACQUIRED",
    "DATETIME",
    "SENSING_TIME",
    "PRODUCT_START_TIME",
)
"""Names of metadata that hold the time of acquisition, upper case. TIFF's own date is left out:
it is the time of the last processing."""

_DATE_IN_NAME = re.compile(
    r"(?:^|_)(20\d{2}|19[789]\d)[-_]?(0[1-9]|1[0-2])[-_]?(0[1-9]|[12]\d|3[01])"
    r"(?:[T_]([01]\d|2[0-3])([0-5]\d)([0-5]\d))?(?=[_.TZ]|$)"
)
"""The date, and maybe the time, in names such as S2A_MSIL2A_20200102T101112_N0213."""


def fingerprint(path: str, files: Iterable[str], *, remote: bool) -> str:
    """SHA-256, in hexadecimal, over where the files are, how large and of when.

    Args:
        path: as the user gave it.
        files: all local files that GDAL reads for it, sidecars and a VRT's sources included.
        remote: ask the server for size, time and ETag instead.
    """
    said = [path]
    if remote:
        said += _ask_server(path)
    for name in sorted(files):
        try:
            stat = Path(name).stat()
        except OSError:
            continue
        said.append(f"{Path(name).resolve()} {stat.st_size} {stat.st_mtime_ns}")
    return hashlib.sha256("\n".join(said).encode()).hexdigest()


def acquired(path: str, tags: Mapping[str, str]) -> datetime | None:
    """When a scene was acquired, UTC, by its metadata, else by its file name; None if unknown."""
    upper = {key.upper(): value for key, value in tags.items()}
    for key in _DATE_TAGS:
        if key in upper and (found := _parse(upper[key])):
            return found
    match = _DATE_IN_NAME.search(Path(path).stem)
    if not match:
        return None
    try:
        year, month, day, hour, minute, second = (int(part or 0) for part in match.groups())
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None


def _parse(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def _ask_server(url: str) -> list[str]:
    if not url.lower().startswith(("http://", "https://")):
        return []
    request = urllib.request.Request(url, method="HEAD")  # noqa: S310 (http only, see above)
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:  # noqa: S310
            return [answer.headers.get(key) or "" for key in _FILE_HEADERS]
    except (urllib.error.URLError, OSError, ValueError):
        return []
