"""Windows of a scene's own pixels, with the validity of every band."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.windows import Window as RasterWindow

from geocamss.errors import ReadError, SceneError
from geocamss.scene.failures import failures
from geocamss.scene.gdal import (
    DECODED_BYTES,
    GDAL_ERRORS,
    gdal_environment,
    is_remote,
    open_raster,
    url_of,
)
from geocamss.scene.scene import Scene, SceneBand
from geocamss.scene.turns import closing, reading
from geocamss.scene.vrt import read_sources
from geocamss.scene.window import Window

__all__ = ["Source"]

WAITS = (1.0, 2.0, 4.0)
"""Seconds before a server is asked again. With GDAL's own patience of some 20 seconds each time, a
server that has died stops a run after a minute and a half."""


class Source:
    """One open handle on a scene; for one thread.

    Raises:
        SceneError: the scene cannot be opened any more.
    """

    def __init__(
        self,
        scene: Scene,
        bands: tuple[SceneBand, ...],
        dtype: np.dtype[Any],
        overview: int | None = None,
        decoded: int = DECODED_BYTES,
    ) -> None:
        """Open the file.

        Args:
            scene: which.
            bands: in the order of the result.
            dtype: of the result.
            overview: position in ``scene.overviews`` of the reduced copy to read instead.
            decoded: bytes of decoded tiles that GDAL is to keep.
        """
        self.path = scene.path
        self.bands = bands
        self.dtype = dtype
        options: dict[str, Any] = {"overview_level": overview} if overview is not None else {}
        self._opens = scene.opens or scene.path
        if scene.driver == "GTiff":
            options["num_threads"] = "all_cpus"  # TIFF tiles of a window are decoded side by side
        self._decoded = decoded
        self._options = options
        self._turn = reading if scene.jpeg2000 else nullcontext
        self._waits = WAITS if is_remote(self._opens) else ()
        self._spoiled = False
        with gdal_environment(self._opens, self._decoded):
            try:
                self._dataset = open_raster(self._opens, **options)
            except (*GDAL_ERRORS, OSError) as error:
                raise SceneError(f"{self.path}: cannot be opened any more: {error}") from error
            self._palette = _palette(self._dataset, bands)
        self.extent = Window(0, 0, self._dataset.height, self._dataset.width)
        self._alpha = scene.alpha
        self._quality = scene.quality
        self._beside_alpha = ColorInterp.alpha in self._dataset.colorinterp
        # Black, or white, beside other colors is a color and no gap in an 8-bit picture.
        self._is_picture = all(
            band.dtype == "uint8" and band.mask == "nodata" and band.nodata in (0, 255)
            for band in bands
        )

    def close(self) -> None:
        """Give the handle back."""
        with closing():
            self._dataset.close()

    def read(self, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
        """Values (C, h, w) and validity (C, h, w); None for the latter if all are valid.

        The window may reach beyond the scene; there values are 0, and not valid.

        Raises:
            ReadError: the file is damaged or out of reach.
        """
        there = window & self.extent
        shape = (len(self.bands), *window.shape)
        if there.empty:
            return np.zeros(shape, self.dtype), np.zeros(shape, bool)
        if there == window:
            values = np.empty(shape, self.dtype)
            masks = self.read_into(there, values)
            return values, None if masks is None else _stacked(masks, window.shape)
        values, valid = np.zeros(shape, self.dtype), np.zeros(shape, bool)
        part = (slice(None), *there.within(window))
        masks = self.read_into(there, values[part])
        valid[part] = True if masks is None else _stacked(masks, there.shape)
        return values, valid

    def read_into(self, there: Window, out: NDArray[Any]) -> list[NDArray[np.bool_] | None] | None:
        """Read a window that lies in the scene into memory that is there already.

        Args:
            there: not empty, and within ``extent``.
            out: (C, h, w) of this source's data type; may be a view.

        Returns:
            Validity (h, w) by band, None for a band that is all valid; None if all bands are. One
            array may stand for several bands.

        Raises:
            ReadError: the file is damaged or out of reach.
        """
        # GDAL itself asks again for headers, but not for what it fetches in several ranges at once.
        for wait in self._waits:
            try:
                return self._once(there, out)
            except ReadError:
                time.sleep(wait)
        return self._once(there, out)

    def _reopen(self) -> None:
        """Take a new handle: the old one remembers what went wrong, and gives it for pixels."""
        fresh = open_raster(self._opens, **self._options)
        with closing():
            self._dataset.close()
        self._dataset, self._spoiled = fresh, False

    def _once(self, there: Window, out: NDArray[Any]) -> list[NDArray[np.bool_] | None] | None:
        part = RasterWindow(there.col, there.row, there.width, there.height)
        with gdal_environment(self._opens, self._decoded):
            try:
                if self._spoiled:
                    self._reopen()  # not in a turn of reading, for which closing would wait
                with self._turn():
                    return self._whole(part, out)
            except (*GDAL_ERRORS, OSError, MemoryError) as error:
                self._spoiled = bool(self._waits)
                raise ReadError(
                    f"{self.path}: rows {there.row} to {there.stop_row}, columns {there.col} to "
                    f"{there.stop_col} cannot be read: {error.__cause__ or error}; the file is "
                    f"damaged, incomplete or out of reach{self._files_said()}"
                ) from error

    def _whole(
        self, part: RasterWindow, out: NDArray[Any]
    ) -> list[NDArray[np.bool_] | None] | None:
        """Read a window, and notice where GDAL says that it has but has not."""
        before = failures()
        found = self._valid(part, self._stored(part, out))
        if self._waits and failures() > before:
            raise OSError("not all of it was sent")
        return found

    def _files_said(self) -> str:
        """Which files a scene of several is read from, for messages."""
        if self._opens == self.path:
            return ""
        indices = [*(band.index for band in self.bands), *self._quality]
        names = {name for i in indices for name, _ in read_sources(self._dataset, i)}
        return f"; it is one of {', '.join(sorted(map(url_of, names)))}" if names else ""

    def _stored(self, part: RasterWindow, out: NDArray[Any]) -> NDArray[Any]:
        """Read a window; returns what the file holds, (C, h, w), or (1, h, w) behind a palette."""
        indexes = [band.index for band in self.bands]
        if self._palette is None:
            self._dataset.read(indexes, window=part, out=out)
            return out
        index: NDArray[Any] = self._dataset.read(indexes[:1], window=part)
        out[:] = np.moveaxis(self._palette[index[0]], -1, 0)
        return index

    def _valid(
        self, part: RasterWindow, values: NDArray[Any]
    ) -> list[NDArray[np.bool_] | None] | None:
        """Validity by band, or None for all; see ``read_into``."""
        masks = self._masks(part, values)
        if values.dtype.kind == "f":
            finite = np.isfinite(values)
            if not finite.all():
                masks = [f if m is None else f & m for m, f in zip(masks, finite, strict=True)]
        for index in self._quality:
            clear = self._dataset.read(index, window=part) > 0
            masks = [clear if mask is None else mask & clear for mask in masks]
        if all(mask is None for mask in masks):
            return None
        if self._is_picture:
            return [np.asarray(_stacked(masks, values.shape[1:]).any(axis=0))] * len(masks)
        return masks

    def _compares(self, band: SceneBand, dtype: np.dtype[Any]) -> bool:
        """True if a nodata value is best compared with the values that have just been read.

        GDAL, which does the rest, reads them again; it finds floating point values that differ
        from the nodata value by rounding, and warns of an alpha band beside it.
        """
        if dtype.kind == "f":
            return self._beside_alpha
        return _fits(band.nodata, dtype)

    def _masks(self, part: RasterWindow, values: NDArray[Any]) -> list[NDArray[np.bool_] | None]:
        """By band; None where all pixels are valid, or where their values alone will tell."""
        masks: list[NDArray[np.bool_] | None] = []
        shared: NDArray[np.bool_] | None = None
        for i, band in enumerate(self.bands):
            mask = None
            if band.mask == "nodata" and self._compares(band, values.dtype):
                mask = values[min(i, len(values) - 1)] != values.dtype.type(band.nodata or 0)
            elif band.mask in ("nodata", "band"):
                mask = self._dataset.read_masks(band.index, window=part) > 0
            elif band.mask == "alpha":
                shared = (
                    self._dataset.read(self._alpha, window=part) > 0 if shared is None else shared
                )
                mask = shared
            elif band.mask == "dataset":
                if shared is None:
                    shared = self._dataset.read_masks(band.index, window=part) > 0
                mask = shared
            masks.append(mask)
        return masks


def _fits(value: float | None, dtype: np.dtype[Any]) -> bool:
    """True for a whole number that an integer type holds."""
    if value is None or not math.isfinite(value) or value != int(value):
        return False
    return np.iinfo(dtype).min <= int(value) <= np.iinfo(dtype).max


def _palette(dataset: Any, bands: tuple[SceneBand, ...]) -> NDArray[np.uint8] | None:
    """(indices, C) values of the bands by stored index; 0 where the color table ends."""
    columns = [band.color for band in bands if band.color is not None]
    if len(columns) < len(bands):
        return None
    size = 2 ** (8 * np.dtype(dataset.dtypes[bands[0].index - 1]).itemsize)
    colors = np.zeros((size, 4), np.uint8)
    for index, color in dataset.colormap(bands[0].index).items():
        colors[index] = color
    return colors[:, columns]


def _stacked(
    masks: Sequence[NDArray[np.bool_] | None], shape: tuple[int, ...]
) -> NDArray[np.bool_]:
    """(C, h, w) of the masks of all bands, where None stands for all valid."""
    full = np.ones(shape, bool)
    return np.stack([full if mask is None else mask for mask in masks])
