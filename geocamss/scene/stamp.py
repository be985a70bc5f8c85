"""Which file it was, and when its picture was taken."""

from __future__ import annotations

import hashlib
import http.client
import re
import urllib.error
import urllib.parse
import warnings
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from geocamss.errors import GeocamssWarning, SceneError
from geocamss.scene.gdal import ask_headers, gdal_path, is_plain_path, is_remote
from geocamss.scene.server import ask

__all__ = [
    "acquired",
    "fingerprint",
    "layout_stamp",
    "parse_time",
    "without_signature",
    "without_signatures",
]

_TIMEOUT = 20.0
"""Seconds that a server has to say what it holds."""

_WAITS = (0.5, 1.0, 2.0)
"""Seconds to wait before a server that stumbled is asked again."""

_STUMBLES = frozenset((429, *range(500, 1000)))
"""What it answers that may answer well a little later."""

MOST_ASKED = 1000
"""Files on servers that are asked after: a mosaic may have ten thousands."""

_GONE = frozenset((404, 410))
"""What a server answers that has no such file."""

_FILE_HEADERS = ("ETag", "Content-Range", "Last-Modified")
"""What a server says of a file that changes with the file."""

_SIGNATURE = re.compile(
    r"(?i)s[a-z]|sig|sk[a-z]+|x-(amz|goog|oss)-.*|expires|signature|key-pair-id|policy|token"
    r"|awsaccesskeyid|googleaccessid|access_token"
)
"""Names of the parts of a URL that sign it: for Azure, Amazon, Google and others."""

_USER = re.compile(r"(?<=://)[^/?#@\s]*@")
"""Whom a URL is for, and the password."""

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+]*://[^\s'\"<>]*[^\s'\"<>.,:;)]")
"""A URL in a sentence, without what comes after it there."""

_PACKED = re.compile(r"(?:/vsi(?:zip|tar|gzip|7z|rar)/)+\{?([^}]*)")
"""GDAL's name of a file in an archive: the archive's name, and the file's."""

_ARCHIVE = re.compile(r"(.+?\.(?:zip|tar|tgz|gz|7z|rar|kmz))(?:/|$)", re.IGNORECASE)
"""The archive's name alone, where it cannot be looked for."""

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


def fingerprint(said: Iterable[str], files: Iterable[str], known: Collection[str] = ()) -> str:
    """SHA-256, in hexadecimal, over what a scene is made of.

    Warns of files on servers whose changes would not be noticed.

    Args:
        said: what is known of it besides, such as the name that the user gave it.
        files: all that GDAL reads for it, sidecars and a VRT's sources included: local files by
            size and time, those on servers by size, time and ETag.
        known: those among them that ``said`` tells from other versions of them.

    Raises:
        SceneError: a server does not answer, or has no such file.
    """
    names = sorted(set(files))
    remote = [name for name in names if is_remote(name)]
    beyond = set(remote[MOST_ASKED:])
    with ThreadPoolExecutor(8, "geocamss-stamps") as pool:
        found = pool.map(lambda name: (name, "") if name in beyond else _stamp(name), names)
        stamps = dict(zip(names, found, strict=True))
    _warn([name for name in remote if not stamps[name][1] and name not in known])
    lines = [*map(without_signature, said), *(" ".join(stamps[name]) for name in names)]
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def layout_stamp(dataset: Any) -> str:
    """Where the pixels lie in a TIFF file: it tells apart versions where a server tells nothing."""
    if dataset.driver not in ("GTiff", "COG"):
        return ""
    rows, cols = dataset.block_shapes[0]
    last = (-(-dataset.width // cols) - 1, -(-dataset.height // rows) - 1)
    said = []
    for x, y in {(0, 0), (last[0] // 2, last[1] // 2), last}:
        for kind in ("OFFSET", "SIZE"):
            item = f"BLOCK_{kind}_{x}_{y}"
            said.append(f"{item}={dataset.get_tag_item(item, 'TIFF', bidx=1)}")
    return " ".join(sorted(said))


def without_signature(url: str) -> str:
    """A URL without what lets its bearer in: passwords, and signatures, which soon change."""
    if "://" not in url:
        return url
    url = _USER.sub("", url)
    if "?" not in url:
        return url
    parts = urllib.parse.urlsplit(url)
    kept = [
        part for part in parts.query.split("&") if not _SIGNATURE.fullmatch(part.partition("=")[0])
    ]
    return urllib.parse.urlunsplit(parts._replace(query="&".join(kept)))


def without_signatures(text: str) -> str:
    """A text whose URLs let none of its readers in."""
    return _URL.sub(lambda found: without_signature(found[0]), text)


def acquired(path: str, tags: Mapping[str, str]) -> datetime | None:
    """When a scene was acquired, UTC, by its metadata, else by its file name; None if unknown."""
    upper = {key.upper(): value for key, value in tags.items()}
    for key in _DATE_TAGS:
        if key in upper and (found := parse_time(upper[key])):
            return found
    match = _DATE_IN_NAME.search(Path(path).stem)
    if not match:
        return None
    try:
        year, month, day, hour, minute, second = (int(part or 0) for part in match.groups())
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None


def parse_time(text: str) -> datetime | None:
    """A moment in ISO 8601, UTC unless it says otherwise; None for other text."""
    try:
        found = datetime.fromisoformat(text.strip())
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _stamp(name: str) -> tuple[str, str]:
    """A file's name, and what changes when the file does; nothing where that cannot be told."""
    url = re.sub(r"^/vsicurl(_streaming)?/", "", name)
    if re.match(r"https?://", url, re.IGNORECASE):
        return without_signature(url), _ask_server(url)
    packed = _PACKED.match(name)
    if packed and is_remote(packed[1]):
        archive = _ARCHIVE.match(packed[1])
        return without_signature(name), _stamp(archive[1])[1] if archive else ""
    if is_remote(name):
        return without_signature(name), _ask_storage(name)
    try:
        stat = (_archive(packed[1]) if packed else _file(name)).stat()
    except (OSError, ValueError):
        return name, ""
    where = name if packed else str(Path(name).resolve())
    return where, f"{stat.st_size} {stat.st_mtime_ns}"


def _warn(names: list[str]) -> None:
    """Say whose changes would not be noticed."""
    if names:
        more = f" and {len(names) - 1:,} more" if len(names) > 1 else ""
        warnings.warn(
            f"{without_signature(names[0])}{more}: nothing tells whether it has changed; if it "
            "has, map it anew in another folder rather than take a run up again",
            GeocamssWarning,
            stacklevel=3,
        )


def _file(name: str) -> Path:
    """The file of a name; some name one of several rasters in it."""
    if is_plain_path(name):
        return Path(name)
    parts = [Path(part) for part in re.split(r'[":]', name) if part]
    return next((part for part in parts if part.is_file()), Path(name))


def _archive(inner: str) -> Path:
    """The archive that a name leads into."""
    path = Path(inner)
    return next((place for place in (path, *path.parents) if place.is_file()), path)


def _ask_server(url: str) -> str:
    """Size, time and ETag of a file, as its server tells them; nothing where it does not.

    One byte is asked for, and not the headers alone: signatures are for reading.

    Raises:
        SceneError: it does not answer, is out of order, or has no such file.
    """
    try:
        return ask(
            url,
            lambda answer: " ".join(answer.headers.get(key) or "" for key in _FILE_HEADERS).strip(),
            timeout=_TIMEOUT,
            waits=_WAITS,
            stumbles=_STUMBLES,
            headers={"Range": "bytes=0-0", "Accept-Encoding": "identity"},
        )
    except (OSError, ValueError, http.client.HTTPException) as error:
        if isinstance(error, urllib.error.HTTPError) and error.code in _GONE:
            raise SceneError(f"{without_signature(url)}: its server has no such file") from error
        if isinstance(error, urllib.error.HTTPError) and error.code not in _STUMBLES:
            return ""
        raise SceneError(f"{url}: its server does not answer: {error}") from error


def _ask_storage(name: str) -> str:
    """The same of a file in cloud storage."""
    said = ask_headers(gdal_path(name))
    size = said.get("content-range", "").rpartition("/")[2] or said.get("content-length", "")
    return " ".join(filter(None, (said.get("etag"), said.get("last-modified"), size)))
