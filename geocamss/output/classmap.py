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
from rasterio.enums import ColorInterp, Interleaving
from rasterio.errors import NotGeoreferencedWarning
from rasterio.transform import Affine
from rasterio.windows import Window

from geocamss.classes import NODATA
from geocamss.errors import BandError, GeocamssWarning, ReadError, SceneError
from geocamss.scene.gdal import GDAL_ERRORS

__all__ = ["Band", "BandSource", "ClassMap"]

BAND_PIXELS = 1 << 19
"""Pixels that are read at once: what fits a processor's cache is done in half the time."""

_LARGEST = int(np.iinfo(np.int64).max)
"""What files can hold in a field of whole numbers."""

_PICTURE = {ColorInterp.red, ColorInterp.green, ColorInterp.blue}
"""What bands of a picture are, and those of a class map are not."""


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
    """The class raster: a band of whole numbers, 0 to 254 where it has data."""

    confidence: Path | None
    """Its confidence in percent, on the same pixels."""

    width: int
    height: int
    crs: CRS | None
    transform: Affine

    values: tuple[int, ...] | None = None
    """Where a map has other numbers than 0 to 254, the one that each class value stands for."""

    band: int = 1
    """Which band of the class raster it is."""

    @classmethod
    def open(cls, classes: Path, confidence: Path | None = None, band: int | None = None) -> Self:
        """Look at the files.

        Warns of ground control points where they are all that says where the map lies, and of
        several bands where none is chosen.

        Args:
            classes: the class raster.
            confidence: its confidence.
            band: of the class raster, from 1; the first one that is no alpha if left out.

        Raises:
            SceneError: a file cannot be opened, is no class raster, or their sizes differ.
            BandError: there is no such band.
        """
        with _open(classes) as source:
            band = _chosen(source, classes, band)
            kind = source.dtypes[band - 1]
            if not kind.startswith(("int", "uint", "float")):  # GDAL has types that NumPy lacks
                raise SceneError(
                    f"{classes}: a class map holds whole numbers, band {band} is {kind}; convert "
                    "it first, for instance with gdal_translate -ot Byte"
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
                band=band,
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
            SceneError: it holds more than 255 different numbers, or one that is not whole.
            ReadError: pixels cannot be read.
        """
        seen = np.zeros(0, dtype=np.int64)
        with _open(self.classes) as source:
            rows = max(1, BAND_PIXELS // self.width)
            for row in range(0, self.height, rows):
                window = Window(0, row, self.width, min(rows, self.height - row))
                seen = np.union1d(seen, _numbers(source, self.band, window))
                if len(seen) > NODATA:
                    raise SceneError(
                        f"{self.classes}: holds more than {NODATA} different values in band "
                        f"{self.band}, such as {seen[0]} and {seen[-1]}; is it a class map?"
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
            tiles = sum(_row_bytes(source) for source in (classes, confidence) if source)
            stack.enter_context(rasterio.Env(GDAL_CACHEMAX=max(64 << 20, 2 * tiles)))
            rows = max(1, pixels // self.width)
            for row in range(0, self.height, rows):
                window = Window(0, row, self.width, min(rows, self.height - row))
                values = _read(classes, self.band, window, self.values)
                percent = _read_plain(confidence, 1, window) if confidence else None
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
    except (*GDAL_ERRORS, OSError) as error:
        raise SceneError(f"{path}: cannot be opened as a raster: {error}") from error


def _chosen(source: Any, path: Path, band: int | None) -> int:
    """The band that is asked for, or the first that is no alpha.

    Raises:
        BandError: there is no such band.
        SceneError: none is asked for, and the raster is a picture.
    """
    if band is not None:
        if isinstance(band, bool) or band not in range(1, source.count + 1):
            raise BandError(f"{path}: has {source.count} bands, counted from 1; got band {band!r}")
        return int(band)
    kinds = source.colorinterp
    if set(kinds) >= _PICTURE:
        raise SceneError(
            f"{path}: is a picture with bands of red, green and blue, and no class map; if one of "
            "its bands holds classes, say which: --band N (band=N)"
        )
    others = [k for k, kind in enumerate(kinds, 1) if kind != ColorInterp.alpha]
    if len(others) > 1:
        warnings.warn(
            f"{path}: has {len(others)} bands, of which band {others[0]} is taken for the class "
            "map; choose another with --band N (band=N)",
            GeocamssWarning,
            stacklevel=3,
        )
    return others[0] if others else 1


def _row_bytes(source: Any) -> int:
    """What a row of TIFF tiles takes, all bands included where they lie together."""
    together = source.count if source.interleaving == Interleaving.pixel else 1
    size = max(np.dtype(kind).itemsize for kind in source.dtypes) * together
    return int(source.block_shapes[0][0] * source.width * size)


def _read_plain(source: Any, band: int, window: Window) -> Any:
    try:
        return source.read(band, window=window)
    except (*GDAL_ERRORS, OSError) as error:
        raise ReadError(
            f"{source.name}: rows {window.row_off} to {window.row_off + window.height} cannot be "
            f"read: {error}; is the file complete?"
        ) from error


def _valid(source: Any, band: int, window: Window, found: NDArray[Any]) -> NDArray[np.bool_]:
    """Where a window has data; NaN and infinity are none."""
    valid = np.asarray(source.read_masks(band, window=window) > 0)
    return valid & np.isfinite(found) if found.dtype.kind == "f" else valid


def _numbers(source: Any, band: int, window: Window) -> NDArray[np.int64]:
    """The different numbers that a window has but nodata, in ascending order."""
    found = _read_plain(source, band, window)
    valid = _valid(source, band, window, found)
    if found.dtype == np.uint8:
        return np.flatnonzero(np.bincount(found[valid], minlength=256))
    numbers = np.unique(found[valid])
    broken = numbers[numbers != np.rint(numbers)] if numbers.dtype.kind == "f" else []
    if len(broken):
        raise SceneError(
            f"{source.name}: class values are whole numbers, found {broken[0]} in band {band}; if "
            "it is a class map, round it, for instance with gdal_translate -ot Byte"
        )
    for number in numbers[:1], numbers[-1:]:
        if len(number) and abs(int(number[0])) > _LARGEST:
            raise SceneError(
                f"{source.name}: class values are at most {_LARGEST}, found {number[0]}; declare "
                "it as nodata, or renumber the classes"
            )
    return numbers.astype(np.int64)


def _read(
    source: Any, band: int, window: Window, numbers: tuple[int, ...] | None
) -> NDArray[np.uint8]:
    """Class values of a window, nodata as 255, whatever the raster has for it."""
    found = _read_plain(source, band, window)
    nodata = source.nodatavals[band - 1]
    if found.dtype == np.uint8 and nodata == NODATA and numbers is None:
        return np.asarray(found)
    valid = _valid(source, band, window, found)
    if numbers is not None:
        known = np.where(valid, found, 0).astype(np.int64)
        return np.where(valid, np.searchsorted(np.array(numbers), known), NODATA).astype(np.uint8)
    wrong = valid & ((found < 0) | (found >= NODATA))
    if found.dtype.kind == "f":
        wrong |= valid & (found != np.rint(found))
    if wrong.any():
        raise ReadError(
            f"{source.name}: class values are 0 to {NODATA - 1}, found {found[wrong][0]} in rows "
            f"{window.row_off} to {window.row_off + window.height}; declare it as nodata, or "
            "renumber the classes"
        )
    return np.where(valid, found, NODATA).astype(np.uint8)
