"""Opening rasters: the one place that sets GDAL up."""

from __future__ import annotations

import ctypes
import os
import re
import stat
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import count, takewhile
from pathlib import Path
from typing import Any

import rasterio
from rasterio import _base
from rasterio._err import CPLE_BaseError
from rasterio._path import _parse_path
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader
from rasterio.session import DummySession

__all__ = [
    "DECODED_BYTES",
    "GDAL_ERRORS",
    "IMAGE_DRIVERS",
    "MOST_DECODED_BYTES",
    "ask_headers",
    "gdal_environment",
    "gdal_path",
    "in_words",
    "is_plain_path",
    "is_remote",
    "is_stream",
    "open_raster",
    "quiet",
    "url_of",
]

GDAL_ERRORS = (RasterioError, CPLE_BaseError)
"""What rasterio raises: errors of its own, and GDAL's, which it lets through here and there."""

DECODED_BYTES = 64 * 2**20
"""GDAL keeps so many bytes of decoded TIFF tiles, unless it is told otherwise. Without a bound it
takes 5 % of the machine's memory, and the memory of a run would grow with the scene."""

MOST_DECODED_BYTES = 512 * 2**20
"""Nor is it ever told to keep more."""

_OPTIONS: Mapping[str, str | int] = {
    # Python inside a VRT would let a raster run code.
    "GDAL_VRT_ENABLE_PYTHON": "NO",
    # A server that stumbles is asked again; one that falls silent holds up a run for less than a
    # minute. There is no limit on the whole of a transfer: slow lines are no fault.
    "GDAL_HTTP_MAX_RETRY": "2",
    "GDAL_HTTP_RETRY_DELAY": "1",
    "GDAL_HTTP_CONNECTTIMEOUT": "10",
    "GDAL_HTTP_LOW_SPEED_TIME": "15",
    "GDAL_HTTP_LOW_SPEED_LIMIT": "1000",
    # Neighboring TIFF tiles come in one request.
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
}

_REMOTE_OPTIONS: Mapping[str, str | int] = {
    # Listing a bucket to look for sidecar files costs more than the scene's header.
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    # Header and tile index are read piecemeal: keep what has been fetched, and fetch a whole
    # header at once.
    "VSI_CACHE": "YES",
    "GDAL_INGESTED_BYTES_AT_OPEN": "32768",
    # Many ranges in one request, side by side where the server can.
    "GDAL_HTTP_MULTIRANGE": "YES",
    "GDAL_HTTP_MULTIPLEX": "YES",
    "GDAL_HTTP_VERSION": "2",
}

IMAGE_DRIVERS = ("GTiff", "COG", "JP2OpenJPEG", "JP2KAK", "JP2ECW", "JPEG", "PNG", "WEBP")
"""Formats that hold pixels and cannot name other files: what a catalog may lead to."""

_NETWORK = "curl|curl_streaming|s3|s3_streaming|gs|gs_streaming|az|adls|oss|swift|webhdfs"

_HANDLERS: Mapping[str, str] = {
    "http": "/vsicurl/http://",
    "https": "/vsicurl/https://",
    "s3": "/vsis3/",
    "gs": "/vsigs/",
    "az": "/vsiaz/",
    "oss": "/vsioss/",
}
"""How GDAL calls what URLs lead to, by their scheme."""

_LOCK = threading.RLock()


def in_words(path: str) -> bool:
    """True for the text of a VRT instead of its name."""
    return path.lstrip().startswith("<")


def is_remote(path: str) -> bool:
    """True for URLs and for GDAL's network file systems, and for a VRT in words that names one."""
    if in_words(path):
        return re.search(rf"(>|&gt;)/vsi({_NETWORK})/", path) is not None  # maybe one in another
    return bool(
        re.match(r"(?!file:)[a-z][a-z0-9+]+://", path, re.IGNORECASE)
        or re.match(rf"(/vsi(zip|tar|gzip|7z|rar)/)*\{{?/vsi({_NETWORK})[/?]", path)
    )


def is_plain_path(path: str) -> bool:
    """True for what can only be the name of a file, and is no URL, subdataset or inline VRT."""
    return len(path) < 4096 and not re.match(r"[a-zA-Z0-9_]{2,}:|/vsi|\s*<|.*\0", path)


def is_stream(path: str) -> bool:
    """True for a pipe, a socket or a device: whoever opens one may wait there forever."""
    if not is_plain_path(path):
        return False
    try:
        kind = Path(path).stat().st_mode
    except (OSError, ValueError):  # it is not there, or its name is none
        return False
    return not (stat.S_ISREG(kind) or stat.S_ISDIR(kind))


def gdal_path(path: str) -> str:
    """A file's or a URL's name as a VRT gives it: nothing that GDAL could take for another thing.

    Local names become absolute, so that none looks like a driver's prefix.
    """
    scheme, colon, rest = path.partition("://")
    if colon and scheme.lower() in _HANDLERS:
        return _HANDLERS[scheme.lower()] + rest
    if path.startswith("/vsi"):
        return path
    if colon and scheme.lower() == "file":
        path = "/" + rest.lstrip("/")
    return os.path.abspath(path)  # noqa: PTH100 (Path.absolute keeps "..")


def url_of(name: str) -> str:
    """The URL of what GDAL calls by one of its file systems' names; other names as they are."""
    for scheme, handler in _HANDLERS.items():
        if name.startswith(handler):
            return f"{scheme}://{name.removeprefix(handler)}"
    return name


def gdal_environment(path: str, decoded: int = DECODED_BYTES) -> AbstractContextManager[Any]:
    """The GDAL options under which the raster at ``path`` is opened and read.

    They hold in the calling thread, so every thread that reads enters its own.

    Args:
        path: what is opened.
        decoded: bytes of decoded TIFF tiles to keep. This one is the whole process's: within an
            environment that asks for less, what is more is thrown away at the end.
    """
    options = {**_OPTIONS, "GDAL_CACHEMAX": decoded}
    if is_remote(path):
        options |= _REMOTE_OPTIONS
    # GDAL finds credentials of cloud storage itself; a session would import vendors' packages.
    environment: AbstractContextManager[Any] = rasterio.Env(session=DummySession(), **options)
    return environment


def ask_headers(name: str) -> dict[str, str]:
    """What a server says of a file, by HTTP's names in lower case; nothing where it does not.

    GDAL asks, since it knows how cloud storage wants to be asked. rasterio has no way to it, so it
    is called in the library that rasterio itself has loaded.

    Args:
        name: one of GDAL's names, such as ``/vsis3/bucket/key``.
    """
    library = ctypes.CDLL(_base.__file__)
    try:
        ask, free = library.VSIGetFileMetadata, library.CSLDestroy
    except AttributeError:  # some systems look into this library alone, and not into GDAL's
        return {}
    ask.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p)
    ask.restype = ctypes.POINTER(ctypes.c_char_p)
    free.argtypes = (ctypes.POINTER(ctypes.c_char_p),)
    free.restype = None
    with gdal_environment(name):
        answer = ask(os.fsencode(name), b"HEADERS", None)
    words = list(takewhile(bool, (answer[i] for i in count()))) if answer else []
    free(answer)
    pairs = (word.decode("latin-1").partition("=") for word in words if word is not None)
    return {key.lower(): value for key, _, value in pairs}


@contextmanager
def quiet(category: type[Warning] = Warning) -> Iterator[None]:
    """No warnings of a kind; one thread at a time, since filters belong to the whole process."""
    with _LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore", category)
        yield


def open_raster(path: str, *, drivers: Sequence[str] = (), **options: Any) -> Any:
    """Open a raster for reading, with a handle of its own.

    Only in one of the formats that ``drivers`` names, if it names any.

    A scene without georeferencing is met with a warning of this package's, once, and not with
    one of rasterio's for each handle. Filters of warnings belong to the whole process, hence the
    lock.

    Raises:
        OSError: it is a pipe, a socket or a device.
    """
    if is_stream(path):
        raise OSError("this is a pipe, a socket or a device; write what comes out of it to a file")
    with quiet(NotGeoreferencedWarning):
        if drivers:
            return DatasetReader(_parse_path(path), driver=list(drivers), sharing=False, **options)
        return rasterio.open(path, sharing=False, **options)
