"""The map as rasters: windows in, one cloud-optimized GeoTIFF out."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import rasterio
import rasterio.shutil
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.errors import NotGeoreferencedWarning
from rasterio.windows import Window as RasterioWindow

from geocamss.classes import NODATA
from geocamss.errors import RunError
from geocamss.output.disk import no_room
from geocamss.scene.gdal import GDAL_ERRORS
from geocamss.scene.turns import closing
from geocamss.scene.window import Window

__all__ = ["RasterSpec", "RasterWriter", "quiet_gdal"]

TIFF_TILE = 512
"""Side of the GeoTIFF's internal tiles, in pixels."""


@dataclass(frozen=True)
class RasterSpec:
    """What a raster of the map looks like, whatever its pixels."""

    crs: CRS | None
    """Coordinate system; None for a map in pixel space."""

    transform: Affine
    """Pixel to coordinates."""

    shape: tuple[int, int]
    """Height and width, in pixels."""

    description: str
    """Name of the band, or of the first one."""

    overviews: str
    """Resampling of the overviews: ``MODE`` for classes, ``AVERAGE`` for quantities."""

    tags: Mapping[str, str]
    """Provenance, for the file's metadata."""

    unit: str = ""
    """Unit of the pixel values."""

    colors: Mapping[int, tuple[int, int, int, int]] | None = None
    """Color table: value to red, green, blue, alpha."""

    more: tuple[str, ...] = ()
    """Names of further bands."""

    scale: float = 1.0
    """What a stored value is multiplied by to give the quantity."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all bands."""
        return (self.description, *self.more)


@contextmanager
def quiet_gdal() -> Iterator[None]:
    """Open and write rasters without a place on the ground: that they have none is no news here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


class RasterWriter:
    """Collects windows in a plain tiled GeoTIFF, then copies that to a cloud-optimized one.

    GDAL makes a COG only as a copy of a whole raster, so the windows need a place to wait. It lies
    beside the result, and goes when the writer is left.
    """

    def __init__(self, spec: RasterSpec, target: Path) -> None:
        self.spec = spec
        self.target = target
        self.waiting = target.with_suffix(".strips.tif")
        with quiet_gdal():
            self._file = rasterio.open(self.waiting, "w", **self._profile())
        self._describe()

    def _profile(self) -> dict[str, Any]:
        height, width = self.spec.shape
        profile: dict[str, Any] = {
            "driver": "GTiff",
            "dtype": "uint8",
            "count": len(self.spec.names),
            "height": height,
            "width": width,
            "nodata": NODATA,
            "crs": self.spec.crs,
            "tiled": True,
            "blockxsize": TIFF_TILE,
            "blockysize": TIFF_TILE,
            "bigtiff": "IF_SAFER",
        }
        if self.spec.more:
            profile["photometric"] = "MINISBLACK"  # else three bands would be taken for colors
        if self.spec.crs is not None or not self.spec.transform.is_identity:
            profile["transform"] = self.spec.transform
        return profile

    def write(self, window: Window, pixels: NDArray[np.uint8]) -> None:
        """Write a window of the map, (height, width), or (bands, height, width) of several.

        Raises:
            DiskFullError: there is no room for it.
            RunError: GDAL could not write it.
        """
        place = RasterioWindow(window.col, window.row, window.width, window.height)
        with self._told():
            if pixels.ndim == 2:
                self._file.write(pixels, 1, window=place)
            else:
                self._file.write(pixels, window=place)

    def seal(self) -> Path:
        """Take no more windows.

        Returns:
            The plain raster, which can be read until the writer is left.

        Raises:
            DiskFullError: there is no room for it.
            RunError: GDAL could not write it.
        """
        with self._told():
            self._file.close()
        return self.waiting

    def finish(self) -> None:
        """Write the cloud-optimized GeoTIFF, and check that it can be read.

        Raises:
            DiskFullError: there is no room for it.
            RunError: GDAL could not write it.
        """
        plain = self.seal()
        with self._told(), quiet_gdal():
            rasterio.shutil.copy(
                plain,
                self.target,
                driver="COG",
                BLOCKSIZE=TIFF_TILE,
                COMPRESS="DEFLATE",
                OVERVIEWS="AUTO",
                OVERVIEW_RESAMPLING=self.spec.overviews,
                BIGTIFF="IF_SAFER",
                NUM_THREADS="ALL_CPUS",
            )
            _check(self.target)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Say what a failed write means, before anything is taken away to make room."""
        try:
            with closing():
                yield
        except GDAL_ERRORS as error:
            height, width = self.spec.shape
            full = no_room(self.target, len(self.spec.names) * height * width)
            if full is not None:
                raise full from error
            raise RunError(f"{self.target.name} could not be written: {error}") from error

    def _describe(self) -> None:
        self._file.update_tags(**self.spec.tags)
        for index, name in enumerate(self.spec.names, 1):
            self._file.set_band_description(index, name)
            if self.spec.unit:
                self._file.set_band_unit(index, self.spec.unit)
        if self.spec.scale != 1.0:
            self._file.scales = (self.spec.scale,) * len(self.spec.names)
        if self.spec.colors is not None:
            self._file.write_colormap(1, dict(self.spec.colors))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with ExitStack() as stack:
            stack.callback(self.waiting.unlink, missing_ok=True)
            if not self._file.closed:
                with closing():
                    self._file.close()


def _check(path: Path) -> None:
    """Read the corners of the raster and of its overviews: a disk that filled up shows there."""
    with rasterio.open(path) as whole:
        levels = [None, *range(len(whole.overviews(1)))]
    for level in levels:
        with rasterio.open(path, **({} if level is None else {"overview_level": level})) as file:
            for row in (0, file.height - 1):
                for col in (0, file.width - 1):
                    file.read(1, window=RasterioWindow(col, row, 1, 1))
