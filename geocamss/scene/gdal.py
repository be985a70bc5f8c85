"""Opening rasters: the one place that sets GDAL up."""

from __future__ import annotations

import re
import threading
import warnings
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.session import DummySession

__all__ = ["GDAL_ERRORS", "gdal_environment", "is_plain_path", "is_remote", "open_raster"]

GDAL_ERRORS = (RasterioError, CPLE_BaseError)
"""What rasterio raises: errors of its own, and GDAL's, which it lets through here and there."""

_OPTIONS: Mapping[str, str | int] = {
    # Python inside a VRT would let a raster run code.
    "GDAL_VRT_ENABLE_PYTHON": "NO",
    # Decoded TIFF tiles, in bytes. Without a bound GDAL takes 5 % of the machine's memory, and the
    # memory of a run would grow with the scene; a row of 512-pixel TIFF tiles of an RGB scene
    # 40,000 pixels wide still fits in.
    "GDAL_CACHEMAX": 64 * 2**20,
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
    # Header and tile index are read piecemeal: keep what has been fetched.
    "VSI_CACHE": "YES",
}

_LOCK = threading.Lock()


def is_remote(path: str) -> bool:
    """True for URLs and for GDAL's network file systems."""
    return bool(
        re.match(r"(?!file:)[a-z][a-z0-9+]+://", path, re.IGNORECASE)
        or re.match(r"/vsi(curl|s3|gs|az|adls|oss|swift|webhdfs)", path)
    )


def is_plain_path(path: str) -> bool:
    """True for what can only be the name of a file, and is no URL, subdataset or inline VRT."""
    return len(path) < 4096 and not re.match(r"[a-zA-Z0-9_]{2,}:|/vsi|\s*<|.*\0", path)


def gdal_environment(path: str) -> AbstractContextManager[Any]:
    """The GDAL options under which the raster at ``path`` is opened and read.

    They hold in the calling thread, so every thread that reads enters its own.
    """
    options = {**_OPTIONS, **_REMOTE_OPTIONS} if is_remote(path) else _OPTIONS
    # GDAL finds credentials of cloud storage itself; a session would import vendors' packages.
    environment: AbstractContextManager[Any] = rasterio.Env(session=DummySession(), **options)
    return environment


def open_raster(path: str, **options: Any) -> Any:
    """Open a raster for reading, with a handle of its own.

    A scene without georeferencing is met with a warning of this package's, once, and not with
    one of rasterio's for each handle. Filters of warnings belong to the whole process, hence the
    lock.
    """
    with _LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        return rasterio.open(path, sharing=False, **options)
