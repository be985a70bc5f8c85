"""ClassMap: a class raster on disk with its confidence, read a few rows at a time."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.transform import Affine
from rasterio.windows import Window

from geocamss.classes import NODATA
from geocamss.errors import GeocamssWarning, ReadError, SceneError

__all__ = ["Band", "BandSource", "ClassMap"]

BAND_PIXELS = 1 << 19
"""Pixels that are read at once: what fits a processor's cache is done in half the time."""

_LARGEST = int(np.iinfo(np.int64).max)
"""What files can hold in a field of whole numbers."""


@dataclass(frozen=True)
class Band:
    """Some rows of a class map, over its whole width."""

    row: int
    """The first row."""

    classes: NDArray[np.uint8]
    """(h, width) class values, 255 = nodata."""

    confidence: NDArray[np.uint8] | None
    """(h, width) percent, 255 = none known."""


class BandSource(Protocol):
    """What gives a class map band by band, as often as it is asked: always the same pixels."""

    @property
    def width(self) -> int:
        """Of the map, in pixels."""

    def bands(self, pixels: int = BAND_PIXELS) -> Iterator[Band]:
        """Read the map from top to bottom, about ``pixels`` pixels at a time."""


@dataclass(frozen=True)
class ClassMap:
    """Where a class map lies, and how to read it."""

    classes: Path
    """The class raster: one band of whole numbers, 0 to 254 where it has data."""

    confidence: Path | None
    """Its confidence in percent, on the same pixels."""

    width: int
    height: int
    crs: CRS | None
    transform: Affine

    values: tuple[int, ...] | None = None
    """Where a map has other numbers than 0 to 254, the one that each class value stands for."""

    @classmethod
    def open(cls, classes: Path, confidence: Path | None = None) -> Self:
        """Look at the files.

        Warns of ground control points where they are all that says where the map lies.

        Raises:
            SceneError: a file cannot be opened, is no class raster, or their sizes differ.
        """
        with _open(classes) as source:
            if not source.dtypes[0].startswith(("int", "uint")):  # GDAL has types that NumPy lacks
                raise SceneError(
                    f"{classes}: a class map holds whole numbers, band 1 is {source.dtypes[0]}; "
                    "convert it first, for instance with gdal_translate -ot Byte"
                )
            if source.crs is None and source.gcps[0]:
                warnings.warn(
                    f"{classes}: has ground control points, which are not used: its polygons will "
                    "be in pixels; put it on a grid first, for instance with gdalwarp -r near",
                    GeocamssWarning,
                    stacklevel=2,
                )
            found = cls(
                Path(classes),
                None if confidence is None else Path(confidence),
                source.width,
                source.height,
                source.crs,
                source.transform,
            )
        if confidence is not None:
            with _open(confidence) as source:
                if source.shape != (found.height, found.width) or source.dtypes[0] != "uint8":
                    raise SceneError(
                        f"{confidence}: the confidence of {classes} must be uint8 with "
                        f"{found.height} x {found.width} pixels, got {source.dtypes[0]} with "
                        f"{source.height} x {source.width}"
                    )
        return found

    def surveyed(self) -> tuple[Self, tuple[int, ...]]:
        """Read the map once to see which numbers it holds.

        Returns:
            The map, whose class values stand for other numbers if they must; and the class values
            that it has, in ascending order.

        Raises:
            SceneError: it holds more than 255 different numbers.
            ReadError: pixels cannot be read.
        """
        seen = np.zeros(0, dtype=np.int64)
        with _open(self.classes) as source:
            rows = max(1, BAND_PIXELS // self.width)
            for row in range(0, self.height, rows):
                window = Window(0, row, self.width, min(rows, self.height - row))
                seen = np.union1d(seen, _numbers(source, window))
                if len(seen) > NODATA:
                    raise SceneError(
                        f"{self.classes}: holds more than {NODATA} different values in band 1, "
                        f"such as {seen[0]} and {seen[-1]}; is it a class map?"
                    )
        if len(seen) and not 0 <= seen[0] <= seen[-1] < NODATA:
            return replace(self, values=tuple(seen.tolist())), tuple(range(len(seen)))
        return self, tuple(seen.tolist())

    def bands(self, pixels: int = BAND_PIXELS) -> Iterator[Band]:
        """Read the map from top to bottom, about ``pixels`` pixels at a time.

        Raises:
            ReadError: pixels cannot be read, or a class value is none.
        """
        with ExitStack() as stack:
            classes = stack.enter_context(_open(self.classes))
            confidence = self.confidence and stack.enter_context(_open(self.confidence))
            # GDAL keeps the rows of TIFF tiles that a band leaves half read: at most one such row
            # a file, and never the twentieth part of the memory that it takes by itself.
            tiles = sum(s.block_shapes[0][0] * s.width for s in (classes, confidence) if s)
            stack.enter_context(rasterio.Env(GDAL_CACHEMAX=max(64 << 20, 2 * tiles)))
            rows = max(1, pixels // self.width)
            for row in range(0, self.height, rows):
                window = Window(0, row, self.width, min(rows, self.height - row))
                values = _read(classes, window, self.values)
                percent = _read_plain(confidence, window) if confidence else None
                yield Band(row, values, percent)

    def data_window(self) -> tuple[int, int, int, int] | None:
        """First row, first column, row and column after the last with data; None without any.

        Raises:
            ReadError: pixels cannot be read, or a class value is none.
        """
        rows = np.zeros(self.height, dtype=bool)
        columns = np.zeros(self.width, dtype=bool)
        for band in self.bands():
            valid = band.classes != NODATA
            rows[band.row : band.row + len(valid)] = valid.any(axis=1)
            columns |= valid.any(axis=0)
        if not rows.any():
            return None
        top, bottom = np.flatnonzero(rows)[[0, -1]]
        left, right = np.flatnonzero(columns)[[0, -1]]
        return int(top), int(left), int(bottom) + 1, int(right) + 1


def _open(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            # A map in pixel space is one, and was announced when it was made.
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            return rasterio.open(path)
    except (RasterioError, OSError) as error:
        raise SceneError(f"{path}: cannot be opened as a raster: {error}") from error


def _read_plain(source: Any, window: Window) -> Any:
    try:
        return source.read(1, window=window)
    except (RasterioError, OSError) as error:
        raise ReadError(
            f"{source.name}: rows {window.row_off} to {window.row_off + window.height} cannot be "
            f"read: {error}; is the file complete?"
        ) from error


def _numbers(source: Any, window: Window) -> NDArray[np.int64]:
    """The different numbers that a window has but nodata, in ascending order."""
    found = _read_plain(source, window)
    valid = source.read_masks(1, window=window) > 0
    if found.dtype == np.uint8:
        return np.flatnonzero(np.bincount(found[valid], minlength=256))
    numbers = np.unique(found[valid])
    if len(numbers) and int(numbers[-1]) > _LARGEST:
        raise SceneError(
            f"{source.name}: class values are at most {_LARGEST}, found {numbers[-1]}; renumber "
            "the classes"
        )
    return numbers.astype(np.int64)


def _read(source: Any, window: Window, numbers: tuple[int, ...] | None) -> NDArray[np.uint8]:
    """Class values of a window, nodata as 255, whatever the raster has for it."""
    found = _read_plain(source, window)
    if found.dtype == np.uint8 and source.nodata == NODATA and numbers is None:
        return np.asarray(found)
    valid = source.read_masks(1, window=window) > 0
    if numbers is not None:
        values = np.searchsorted(np.array(numbers), found.astype(np.int64))
        return np.where(valid, values, NODATA).astype(np.uint8)
    wrong = valid & ((found < 0) | (found >= NODATA))
    if wrong.any():
        raise ReadError(
            f"{source.name}: class values are 0 to {NODATA - 1}, found {found[wrong][0]} in rows "
            f"{window.row_off} to {window.row_off + window.height}; declare it as nodata, or "
            "renumber the classes"
        )
    return np.where(valid, found, NODATA).astype(np.uint8)
