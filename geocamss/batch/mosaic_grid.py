"""The grid of a mosaic: one lattice of pixels for all maps, cut into tiles."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from pyproj import Transformer
from pyproj.enums import TransformDirection
from pyproj.exceptions import CRSError, ProjError
from rasterio.crs import CRS
from rasterio.errors import CRSError as RasterCRSError

from geocamss.errors import GridError, InputError
from geocamss.scene.ground import horizontal, unit_length

__all__ = ["NEEDS", "Mosaic", "Rule", "TileLattice"]

Rule = Literal["confidence", "newest", "first", "mean"]
"""Which of several maps has its say: the surest, the latest, the first that was named, or all of
them, by the mean of their probabilities."""

NEEDS: dict[Rule, str] = {"confidence": "confidence", "mean": "probabilities"}
"""The output of each map that a rule asks, beside the classes."""

TILE = 4096
"""Side of a tile, in pixels, where nobody says otherwise."""

DEGREE = 111_319.49
"""Meters of a degree on the equator."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Mosaic:
    """A mosaic as it is asked for."""

    target: str
    """A CRS, as in ``EPSG:3035``, or a tile-matrix set and its level, as in
    ``WebMercatorQuad/14``."""

    gsd: float | None = None
    """Pixel size in meters, or on the equator for a CRS in degrees; None is that of the finest
    map. A tile-matrix set has its own."""

    tile: int | None = None
    """Side of a tile in pixels; None is 4096. A tile-matrix set has its own."""

    rule: Rule = "confidence"
    """Which map has its say where several lie."""

    def __post_init__(self) -> None:
        """Check.

        Raises:
            InputError: something is out of range, or of no use.
            GridError: there is no such CRS or tile-matrix set.
        """
        if self.rule not in get_args(Rule):
            rules = ", ".join(get_args(Rule))
            raise InputError(f"the mosaic's rule is one of {rules}, got {self.rule!r}")
        if self.gsd is not None and not 0 < self.gsd < 1e7:
            raise InputError(f"the mosaic's gsd is a pixel size in meters, got {self.gsd!r}")
        if self.tile is not None and not 16 <= self.tile <= 65_536:
            raise InputError(f"the mosaic's tiles have 16 to 65536 pixels, got {self.tile!r}")
        if self._is_matrix and (self.gsd is not None or self.tile is not None):
            raise InputError(
                f"the tile-matrix set {self.target} has its own pixels and tiles; leave gsd and "
                "tile away"
            )
        self.lattice(self.gsd or 1.0)

    @property
    def _is_matrix(self) -> bool:
        name, slash, level = self.target.rpartition("/")
        return bool(slash and level.isdigit() and name.replace("_", "").isalnum())

    @property
    def words(self) -> dict[str, Any]:
        """What is asked for, in plain values."""
        return {
            "target": self.target,
            "gsd": self.gsd,
            "tile": self.tile,
            "rule": self.rule,
        }

    def lattice(self, gsd: float) -> TileLattice:
        """The pixels and tiles.

        Args:
            gsd: pixel size in meters, where none is asked for.

        Raises:
            GridError: there is no such CRS or tile-matrix set.
        """
        if self._is_matrix:
            return _matrix_lattice(self.target)
        try:
            crs = CRS.from_user_input(self.target)
            unit = unit_length(crs)
        except (RasterCRSError, CRSError, ProjError, ValueError, TypeError) as error:
            raise GridError(
                f"{self.target!r} is no CRS, as in EPSG:3035, and no tile-matrix set with its "
                f"level, as in WebMercatorQuad/14: {error}"
            ) from error
        size = (self.gsd or gsd) / (DEGREE if unit is None else unit)
        tile = self.tile or TILE
        return TileLattice(crs, 0.0, 0.0, size, size, tile, tile)


@dataclass(frozen=True)
class TileLattice:
    """Pixels counted from one point of a CRS, and tiles of so many of them.

    Where a tile lies depends on nothing but its row and column.
    """

    crs: CRS
    """Of the mosaic."""

    left: float
    """Where column 0 begins, in the CRS."""

    top: float
    """Where row 0 begins, in the CRS; rows count downward."""

    across: float
    """Width of a pixel, in CRS units."""

    down: float
    """Height of a pixel, in CRS units, positive."""

    width: int
    """Columns of a tile."""

    height: int
    """Rows of a tile."""

    level: str = ""
    """Of a tile-matrix set, which stands in the names of tiles."""

    def transform(self, row: int, col: int) -> Affine:
        """From (column, row) in a tile to coordinates."""
        return Affine(
            self.across,
            0.0,
            self.left + col * self.width * self.across,
            0.0,
            -self.down,
            self.top - row * self.height * self.down,
        )

    def name(self, row: int, col: int) -> str:
        """What a tile is called: ``r12c-3``, or ``14-8600-5600``: level, column and row."""
        return f"{self.level}-{col}-{row}" if self.level else f"r{row}c{col}"

    def tiles_at(self, xs: Floats, ys: Floats) -> set[tuple[int, int]]:
        """Row and column of the tiles in which points lie; points without coordinates are left."""
        good = np.isfinite(xs) & np.isfinite(ys)
        cols = np.floor((xs[good] - self.left) / (self.width * self.across)).astype(np.int64)
        rows = np.floor((self.top - ys[good]) / (self.height * self.down)).astype(np.int64)
        return set(zip(rows.tolist(), cols.tolist(), strict=True))

    def on_earth(self, xs: Floats, ys: Floats) -> NDArray[np.bool_]:
        """Which points the CRS has once: there is none beyond the antimeridian of a world map."""
        if self.crs.is_geographic:
            half = 180.0 / _degrees(self.crs)
            return np.asarray((xs >= -half) & (xs < half) & (abs(ys) <= half / 2))
        # By its own longitudes: the way to those of another datum may lead back elsewhere.
        system = horizontal(self.crs.to_wkt())
        if system.geodetic_crs is None:
            raise GridError(f"{self.crs.to_string()} is tied to no place on a globe")
        turn = Transformer.from_crs(system, system.geodetic_crs.to_2d(), always_xy=True)
        there = turn.transform(xs, ys)
        back = turn.transform(*there, direction=TransformDirection.INVERSE)
        near = 0.5 * max(self.across, self.down)
        with np.errstate(invalid="ignore"):
            return np.asarray((abs(back[0] - xs) < near) & (abs(back[1] - ys) < near))


def _degrees(crs: CRS) -> float:
    """Degrees in the unit of a geographic CRS."""
    return math.degrees(float(crs.units_factor[1]))


def _matrix_lattice(target: str) -> TileLattice:
    import morecantile
    from morecantile.errors import InvalidIdentifier

    name, _, level = target.rpartition("/")
    try:
        tms = morecantile.tms.get(name)
    except InvalidIdentifier as error:
        known = ", ".join(sorted(morecantile.tms.list()))
        raise GridError(f"no tile-matrix set is called {name!r}; there are {known}") from error
    zoom = int(level)
    if not tms.minzoom <= zoom <= tms.maxzoom:
        raise GridError(
            f"the tile-matrix set {name} has the levels {tms.minzoom} to {tms.maxzoom}, got {level}"
        )
    matrix = tms.matrix(zoom)
    if matrix.variableMatrixWidths:
        raise GridError(
            f"the tiles of {name} are of several widths; a mosaic wants a set of equal ones"
        )
    # Bounds name x first, whatever the axes of the CRS.
    first = tms.xy_bounds(morecantile.Tile(0, 0, zoom))
    size = float(matrix.cellSize)
    crs = CRS.from_wkt(tms.crs.to_wkt())
    width, height = matrix.tileWidth, matrix.tileHeight
    return TileLattice(crs, first.left, first.top, size, size, width, height, level)
