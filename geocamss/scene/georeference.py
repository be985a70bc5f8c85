"""Where a scene's pixels lie: by an affine transform, ground control points or an RPC model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from affine import Affine, AffineError
from numpy.typing import ArrayLike, NDArray
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.rpc import RPC
from rasterio.transform import GCPTransformer, RPCTransformer

from geocamss.scene.gdal import GDAL_ERRORS

__all__ = ["Georeference"]

Points = tuple[NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True)
class Georeference:
    """The way between pixels and coordinates.

    Pixel coordinates are (column, row) from the upper left corner of the upper left pixel, whose
    center is (0.5, 0.5).
    """

    kind: Literal["transform", "gcps", "rpcs", "none"]
    """Which of the fields below tells; with ``none`` coordinates are pixel coordinates."""

    crs: CRS | None
    """Of the coordinates; None if unknown."""

    transform: Affine | None = None
    """From (column, row) to (x, y)."""

    gcps: Sequence[GroundControlPoint] = field(default=(), compare=False, repr=False)
    """Ground control points; a polynomial through them tells."""

    rpcs: RPC | None = field(default=None, compare=False, repr=False)
    """Rational polynomial coefficients, used at the scene's mean height."""

    def to_crs(self, cols: ArrayLike, rows: ArrayLike) -> Points:
        """Coordinates (x, y) of pixel coordinates; not finite where there are none."""
        cols, rows = np.asarray(cols, np.float64), np.asarray(rows, np.float64)
        if self.kind in ("gcps", "rpcs"):
            with self._transformer() as turn:
                xs, ys = turn.xy(rows.ravel(), cols.ravel(), offset="ul")
            return np.reshape(xs, cols.shape), np.reshape(ys, cols.shape)
        return _apply(self.transform or Affine.identity(), cols, rows)

    def to_pixels(self, xs: ArrayLike, ys: ArrayLike) -> Points:
        """Pixel coordinates (column, row) of coordinates; not finite where there are none."""
        xs, ys = np.asarray(xs, np.float64), np.asarray(ys, np.float64)
        if self.kind in ("gcps", "rpcs"):
            with self._transformer() as turn:
                rows, cols = turn.rowcol(xs.ravel(), ys.ravel(), op=np.positive)
            return np.reshape(cols, xs.shape), np.reshape(rows, xs.shape)
        return _apply(~(self.transform or Affine.identity()), xs, ys)

    def check(self) -> None:
        """Make sure that it can be used at all.

        Raises:
            ValueError: the transform cannot be inverted, or no polynomial goes through the points.
        """
        try:
            cols, rows = self.to_pixels(*self.to_crs([0.0, 1.0], [0.0, 1.0]))
        except (*GDAL_ERRORS, AffineError) as error:
            raise ValueError(f"the {self.kind} cannot be used: {error}") from error
        if not (np.isfinite(cols).any() and np.isfinite(rows).any()):
            raise ValueError(f"the {self.kind} lead nowhere")

    def _transformer(self) -> Any:
        if self.rpcs is not None:
            return RPCTransformer(self.rpcs, rpc_height=self.rpcs.height_off)
        return GCPTransformer(self.gcps)


def _apply(transform: Affine, xs: NDArray[np.float64], ys: NDArray[np.float64]) -> Points:
    a, b, c, d, e, f = transform[:6]
    with np.errstate(invalid="ignore"):  # infinity stands where there is no ground
        return a * xs + b * ys + c, d * xs + e * ys + f
