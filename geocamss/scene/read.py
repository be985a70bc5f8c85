"""Pixels of a scene, window by window of the grid, with their validity."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from geocamss.scene.gdal import DECODED_BYTES
from geocamss.scene.grid import Grid
from geocamss.scene.scene import Scene, SceneBand
from geocamss.scene.source import Source
from geocamss.scene.warp import Warp
from geocamss.scene.window import Window

__all__ = ["Reader", "SceneReader", "Window"]


class Reader(Protocol):
    """Where pixels come from.

    May be called from several threads at once. Closing it ends all reading.
    """

    def read(self, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Pixels (C, h, w) as stored, and their validity (h, w), True = usable.

        The window is in pixels of the grid and may reach beyond it: where the scene goes on there
        (beyond an area of interest), its pixels come; elsewhere none are valid.
        """

    def close(self) -> None:
        """Give back all handles; reading afterwards is an error."""


class SceneReader:
    """Reads windows of a grid from a scene.

    A pixel is valid where at least one of the bands is, by GDAL's masks (nodata, alpha, internal
    and per-band masks); a band's NaN and infinity are never valid. What is not valid in its band
    holds the band's fill value. Values keep the scene's data type, also when they are warped.

    Every thread gets a handle of its own; the values do not depend on the window they are read in.
    """

    def __init__(
        self,
        scene: Scene,
        bands: tuple[SceneBand, ...],
        grid: Grid,
        fill: Sequence[float],
        decoded: int = DECODED_BYTES,
    ) -> None:
        """Prepare to read; files are opened by the first read of each thread.

        Args:
            scene: what is read.
            bands: in the order of the result, as ``scene.select`` gives them.
            grid: laid over the scene by ``choose_grid``.
            fill: value, in stored units, of what is not valid; one for each band.
            decoded: bytes of decoded tiles that GDAL is to keep.
        """
        if len(fill) != len(bands):
            raise ValueError(f"needs a fill value for each of {len(bands)} bands, got {len(fill)}")
        self.scene = scene
        self.bands = bands
        self.grid = grid
        self.decoded = decoded
        self.dtype = np.result_type(*(band.dtype for band in bands))
        self._fill = _as_stored(fill, self.dtype)[:, None, None]
        self._local = threading.local()
        self._open: list[Source | Warp] = []
        self._lock = threading.Lock()
        self._closed = False

    def read(self, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """See ``Reader.read``.

        Raises:
            ReadError: the file is damaged or out of reach; names file and window.
        """
        handle = self._handle
        if isinstance(handle, Source):
            return self._own_pixels(handle, window)
        values, valid = handle.read(window)
        if valid is None:
            return values, np.ones(window.shape, bool)
        return values, self._filled(values, list(valid))

    def _own_pixels(self, source: Source, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Pixels that need no warping, read to where they stay."""
        place = window.shifted(*(self.grid.aligned or (0, 0)))
        there = place & source.extent
        values = np.empty((len(self.bands), *window.shape), self.dtype)
        valid = np.zeros(window.shape, bool)
        if there.empty:
            values[:] = self._fill
            return values, valid
        rows, cols = there.within(place)
        for beyond in (
            (slice(0, rows.start), slice(None)),
            (slice(rows.stop, None), slice(None)),
            (rows, slice(0, cols.start)),
            (rows, slice(cols.stop, None)),
        ):
            values[(slice(None), *beyond)] = self._fill
        inner = values[:, rows, cols]
        masks = source.read_into(there, inner)
        valid[rows, cols] = True if masks is None else self._filled(inner, masks)
        return values, valid

    def _filled(
        self, values: NDArray[Any], masks: Sequence[NDArray[np.bool_] | None]
    ) -> NDArray[np.bool_]:
        """Give what is not valid in its band the band's fill value; tell where any band is valid.

        Args:
            values: (C, h, w), changed.
            masks: validity (h, w) by band; None where all is valid.
        """
        usable = np.zeros(values.shape[1:], bool)
        for plane, mask, fill in zip(values, masks, self._fill.ravel(), strict=True):
            if mask is None:
                usable[:] = True
            else:
                usable |= mask
                if not mask.all():
                    np.copyto(plane, fill, where=~mask)
        return usable

    def close(self) -> None:
        """Close the handles of all threads."""
        with self._lock:
            self._closed = True
            while self._open:
                self._open.pop().close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def _handle(self) -> Source | Warp:
        """The calling thread's own."""
        handle: Source | Warp | None = getattr(self._local, "handle", None)
        if handle is None:
            with self._lock:
                if self._closed:
                    raise ValueError(f"the reader of {self.scene.path} is closed")
                handle = self._local.handle = self._new_handle()
                self._open.append(handle)
        return handle

    def _new_handle(self) -> Source | Warp:
        if self.grid.aligned is not None:
            return Source(self.scene, self.bands, self.dtype, decoded=self.decoded)
        return Warp(self.scene, self.bands, self.grid, self.dtype)


def _as_stored(fill: Sequence[float], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Fill values in the scene's data type: rounded, and brought into its range."""
    values = np.asarray(fill, np.float64)
    if dtype.kind == "f":
        return values.astype(dtype)
    limits = np.iinfo(dtype)
    return np.array([min(max(round(v), limits.min), limits.max) for v in values.tolist()], dtype)
