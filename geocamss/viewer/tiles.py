"""Tiles: parts of a map in its own pixels, at full resolution and at halves of it.

The tiles lie on the map's own grid and not on that of web maps: nothing is warped, a class is
never anything but one of the map's, and maps without a place on the ground have tiles as well.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from concurrent.futures import CancelledError, ThreadPoolExecutor
from functools import cached_property
from types import TracebackType
from typing import Any, Self, TypeVar

import numpy as np
import rasterio
from numpy.typing import NDArray

from geocamss.classes import NODATA
from geocamss.errors import InputError, ReadError
from geocamss.output.page import Level
from geocamss.output.png import class_png, gray_png
from geocamss.output.preview import stretch_ranges, stretched
from geocamss.scene.read import SceneReader
from geocamss.scene.reduced import fitted_grid, read_reduced
from geocamss.scene.window import Window
from geocamss.viewer.viewed import ViewedMap

__all__ = ["SIDE", "Tiles"]

Made = TypeVar("Made")

SIDE = 512
"""Of a tile, in its own pixels."""

WORKERS = 4
"""Tiles made at once; each worker keeps its files open."""

OVERLOOK = 512
"""Pixels along a side of the scene that are looked at for its brightness."""


class Tiles:
    """Makes the tiles of a map; may be asked from several threads at once."""

    def __init__(self, viewed: ViewedMap) -> None:
        """Prepare; files are opened by the first tile of each worker.

        Raises:
            InputError: rio-tiler, which reads the tiles, is not installed.
        """
        try:
            import rio_tiler.io  # noqa: F401 (is it there?)
        except ImportError as error:
            raise InputError(
                "tiles need rio-tiler: install it with pip install 'geocamss[view]'"
            ) from error
        self.viewed = viewed
        self._pool = ThreadPoolExecutor(WORKERS, "geocamss-tiles")
        self._closed = False
        self._local = threading.local()
        self._opening = threading.Lock()
        self._open: list[Any] = []
        self._scenes: dict[int, SceneReader] = {}

    @cached_property
    def levels(self) -> tuple[Level, ...]:
        """Resolutions, from the map's own to one that a tile holds whole, or nearly."""
        height, width = self.viewed.source.height, self.viewed.source.width
        steps = [1]
        # Beneath a few pixels in height or width there is nothing left to be averaged.
        while max(height, width) > SIDE * steps[-1] and min(height, width) >= 8 * steps[-1]:
            steps.append(2 * steps[-1])
        return tuple(Level(step, -(-width // step), -(-height // step)) for step in steps)

    def tile(self, layer: str, step: int, column: int, row: int) -> bytes | None:
        """A tile as PNG: scene in color, classes by palette, confidence in gray.

        Args:
            layer: ``scene``, ``classes`` or ``confidence``.
            step: of one of the levels.
            column: of the tile, from 0.
            row: of the tile, from 0.

        Returns:
            None where there is no such tile.

        Raises:
            ReadError: pixels cannot be read.
            ConnectionAbortedError: all has been closed.
        """
        level = next((level for level in self.levels if level.step == step), None)
        if level is None or layer not in self.viewed.layers:
            return None
        top, left = row * SIDE, column * SIDE
        if not (0 <= top < level.rows and 0 <= left < level.columns):
            return None
        part = Window(top, left, min(SIDE, level.rows - top), min(SIDE, level.columns - left))
        make = self._scene_tile if layer == "scene" else self._map_tile
        return self._made(make, layer, level, part)

    def pixel(self, column: int, row: int) -> dict[str, int] | None:
        """Class and confidence of a pixel of the map, 255 for none; None outside of it.

        Raises:
            ReadError: it cannot be read.
            ConnectionAbortedError: all has been closed.
        """
        source = self.viewed.source
        if not (0 <= column < source.width and 0 <= row < source.height):
            return None
        found = self._made(self._point, column, row)
        return {"column": column, "row": row} | found

    def close(self) -> None:
        """Close all files; whoever waits for a tile is told."""
        self._closed = True
        self._pool.shutdown(cancel_futures=True)
        for reader in (*self._open, *self._scenes.values()):
            reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _made(self, make: Callable[..., Made], *arguments: Any) -> Made:
        """What a worker makes."""
        try:
            return self._pool.submit(make, *arguments).result()
        except (CancelledError, RuntimeError) as error:
            if not self._closed:
                raise
            raise ConnectionAbortedError("the map is not shown any more") from error

    def _point(self, column: int, row: int) -> dict[str, int]:
        found = {"class": NODATA, "confidence": NODATA}
        for name, layer in (("class", "classes"), ("confidence", "confidence")):
            if layer in self.viewed.layers:
                values = self._values(layer, self.levels[0], Window(row, column, 1, 1))
                found[name] = int(values[0, 0])
        return found

    def _map_tile(self, layer: str, level: Level, part: Window) -> bytes:
        values = self._values(layer, level, part)
        return class_png(values, self.viewed.scheme) if layer == "classes" else gray_png(values)

    def _values(self, layer: str, level: Level, part: Window) -> NDArray[np.uint8]:
        """Pixels of the map or of its overviews, (h, w); never a mean of classes."""
        from rio_tiler.errors import RioTilerError

        source = self.viewed.source
        columns, rows = (part.col, part.stop_col), (part.row, part.stop_row)
        # Multiplied first: the level's end is then the map's, to the last bit.
        left, right = (column * source.width / level.columns for column in columns)
        top, bottom = (row * source.height / level.rows for row in rows)
        try:
            found = self._reader(layer).part(
                (left, bottom, right, top),
                height=part.height,
                width=part.width,
                indexes=1,
                resampling_method="nearest",
            )
        except (RioTilerError, OSError) as error:
            raise ReadError(f"{layer}.tif: a part of it cannot be read: {error}") from error
        return np.asarray(found.array[0].filled(NODATA), dtype=np.uint8)

    def _reader(self, layer: str) -> Any:
        """The worker's own handle, which sees pixels only and no coordinates."""
        reader = getattr(self._local, layer, None)
        if reader is None:
            from rio_tiler.io import ImageReader

            source = self.viewed.source
            path = source.classes if layer == "classes" else source.confidence
            # One at a time, since Python silences warnings for all threads at once.
            # A dataset opened outside of an Env begins its own, which only this thread can end.
            with self._opening, warnings.catch_warnings(), rasterio.Env():
                warnings.simplefilter("ignore")  # a map without CRS or overviews is shown too
                reader = ImageReader(str(path))
                # Its own close() wants the thread that opened it.
                self._open.append(reader.dataset)
            setattr(self._local, layer, reader)
        return reader

    def _scene_tile(self, _: str, level: Level, part: Window) -> bytes:
        from rio_tiler.models import ImageData

        values, valid = self._scene_reader(level).read(part)
        picture = stretched(values, valid, self._ranges)
        masked = np.ma.MaskedArray(np.moveaxis(picture, -1, 0), np.repeat(~valid[None], 3, 0))
        packed: bytes = ImageData(masked).render(img_format="PNG", ZLEVEL=1)
        return packed

    def _scene_reader(self, level: Level) -> SceneReader:
        with self._opening:
            if level.step not in self._scenes:
                viewed = self.viewed
                if viewed.scene is None:
                    raise ReadError("there is no scene")
                bands = viewed.display_bands
                grid = fitted_grid(viewed.grid, level.rows, level.columns)
                reader = SceneReader(viewed.scene, bands, grid, (0.0,) * len(bands))
                self._scenes[level.step] = reader
            return self._scenes[level.step]

    @cached_property
    def _ranges(self) -> tuple[tuple[float, float] | None, ...]:
        """What is black and what is full, for all tiles alike."""
        viewed = self.viewed
        if viewed.scene is None:
            return ()
        step = -(-max(viewed.grid.shape) // OVERLOOK)
        values, valid = read_reduced(viewed.scene, viewed.display_bands, viewed.grid, step)
        return stretch_ranges(values, valid)
