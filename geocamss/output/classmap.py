"""ClassMap: a class raster on disk with its confidence, read a few rows at a time."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.transform import Affine
from rasterio.windows import Window

from geocamss.classes import NODATA
from geocamss.errors import ReadError, SceneError

__all__ = ["Band", "ClassMap"]

BAND_PIXELS = 1 << 19
"""Pixels that are read at once: what fits a processor's cache is done in half the time."""


@dataclass(frozen=True)
class Band:
    """Some rows of a class map, over its whole width."""

    row: int
    """The first row."""

    classes: NDArray[np.uint8]
    """(h, width) class values, 255 = nodata."""

    confidence: NDArray[np.uint8] | None
    """(h, width) percent, 255 = none known."""


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

    @classmethod
    def open(cls, classes: Path, confidence: Path | None = None) -> Self:
        """Look at the files.

        Raises:
            SceneError: a file cannot be opened, is no class raster, or their sizes differ.
        """
        with _open(classes) as source:
            if not np.issubdtype(np.dtype(source.dtypes[0]), np.integer):
                raise SceneError(
                    f"{classes}: a class map holds whole numbers, band 1 is {source.dtypes[0]}; "
                    "convert it first, for instance with gdal_translate -ot Byte"
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
                values = _read(classes, window)
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


def _read(source: Any, window: Window) -> NDArray[np.uint8]:
    """Class values of a window, nodata as 255, whatever the raster has for it."""
    values = _read_plain(source, window)
    if values.dtype == np.uint8 and source.nodata == NODATA:
        return np.asarray(values)
    valid = source.read_masks(1, window=window) > 0
    wrong = valid & ((values < 0) | (values >= NODATA))
    if wrong.any():
        raise ReadError(
            f"{source.name}: class values are 0 to {NODATA - 1}, found {values[wrong][0]} in rows "
            f"{window.row_off} to {window.row_off + window.height}; declare it as nodata, or "
            "renumber the classes"
        )
    return np.where(valid, values, NODATA).astype(np.uint8)
