"""The output grid: which pixels a map has, and where they lie."""

from __future__ import annotations

import math
import os
import warnings
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
from affine import Affine
from numpy.typing import ArrayLike, NDArray
from pyproj.exceptions import CRSError, ProjError
from rasterio.crs import CRS
from rasterio.errors import CRSError as RasterCRSError
from shapely.geometry.base import BaseGeometry

from geocamss.errors import GeocamssWarning, GridError
from geocamss.scene.aoi import PolygonMask, read_aoi
from geocamss.scene.gdal import gdal_environment
from geocamss.scene.ground import (
    Points,
    best_utm,
    ground_scale,
    horizontal,
    transformer,
    unit_length,
)
from geocamss.scene.scene import Scene
from geocamss.scene.window import Window

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

__all__ = ["Grid", "choose_grid", "lattice_origin"]

NEAR_ENOUGH = 0.252
"""A scene keeps its own pixels if their size is within this fraction of the model's: 25 %, and what
UTM stretches meters by."""

SAME = 0.01
"""A pixel size asked for in meters is the scene's own within this fraction."""

PHASE = 0.3183
"""Where, within a pixel, the lattice's rounding breaks: far from the phases 0 and 1/2 at which real
grids lie, so that no noise in a transform's last digits moves a pixel."""

MAX_PIXELS = 2**40
"""More output pixels than any run could write."""

TORN = 20.0
"""A map that is so many times as wide as its scene spans a seam of its coordinate system."""

COARSE = 4.0
"""How much coarser than the grid a scene may be before the user is told."""


def lattice_origin(transform: Affine) -> tuple[int, int]:
    """Global (row, column) of the pixel at the upper left of a north-up transform.

    Counted from the coordinate system's origin, rows downward, so that all parts of one lattice of
    pixels agree.
    """
    return (
        math.floor(transform.f / transform.e + PHASE),
        math.floor(transform.c / transform.a + PHASE),
    )


@dataclass(frozen=True)
class Grid:
    """CRS, transform and shape of a map: north-up wherever there is a CRS."""

    crs: CRS | None
    """None in pixel space: a picture without a place on the ground."""

    transform: Affine
    """From (column, row) to coordinates; in pixel space as the scene has it, else rows downward."""

    width: int
    """Columns, in pixels."""

    height: int
    """Rows, in pixels."""

    origin: tuple[int, int]
    """(row, column) of the first pixel in the global lattice."""

    aligned: tuple[int, int] | None
    """(row, column) in the scene of the first pixel, where the grid's pixels are the scene's;
    None where the scene must be warped."""

    aoi: BaseGeometry | None = None
    """Area of interest in the grid's CRS; None maps everything."""

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width)."""
        return self.height, self.width

    @property
    def window(self) -> Window:
        """All its pixels."""
        return Window(0, 0, self.height, self.width)

    @cached_property
    def geobox(self) -> GeoBox:
        """The same for odc-geo."""
        from odc.geo.geobox import GeoBox  # dask comes with it: too slow to import for all

        return GeoBox(self.shape, self.transform, self.crs and self.crs.to_wkt())

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """(left, bottom, right, top) in the grid's CRS."""
        cols, rows = np.array([0, self.width, 0, self.width]), np.array([0, 0, 1, 1]) * self.height
        xs, ys = _apply(self.transform, cols, rows)
        return float(xs.min()), float(ys.min()), float(xs.max()), float(ys.max())

    @cached_property
    def gsd(self) -> float | None:
        """Ground width of the pixel at the center, in meters; None without CRS."""
        if self.crs is None:
            return None
        xs, ys = self.coordinates(self.width / 2, self.height / 2)
        across, along = ground_scale(self.crs, xs, ys)
        area = abs(self.transform.a * self.transform.e) * across.item() * along.item()
        return math.sqrt(area) if math.isfinite(area) else None

    def coordinates(self, cols: ArrayLike, rows: ArrayLike) -> Points:
        """Coordinates of (column, row) positions, whose centers of pixels are at halves.

        Reckoned from global pixels, so that a part of a grid gives the numbers of the whole to
        the last bit.
        """
        cols, rows = np.asarray(cols, np.float64), np.asarray(rows, np.float64)
        if self.crs is None:
            return _apply(self.transform, cols, rows)
        a, e = self.transform.a, self.transform.e
        col_phase = round(self.transform.c / a - self.origin[1], 6)
        row_phase = round(self.transform.f / e - self.origin[0], 6)
        return (self.origin[1] + cols + col_phase) * a, (self.origin[0] + rows + row_phase) * e

    def row_areas(self) -> NDArray[np.float64] | None:
        """Ground area of a pixel in each row, (height,), in square meters; None without CRS.

        Where the CRS is true to scale within 1 % this is the pixel's plane area; where it is not,
        as in web Mercator or in degrees, it is taken on the ellipsoid, at the middle column.
        """
        if self.crs is None:
            return None
        plane = abs(self.transform.a * self.transform.e)
        unit = unit_length(self.crs)
        xs, ys = self.coordinates(
            np.full(self.height, self.width / 2), np.arange(self.height) + 0.5
        )
        across, along = ground_scale(self.crs, xs, ys)
        areas = np.asarray(plane * across * along)
        if unit is not None and np.all(np.abs(areas / (plane * unit**2) - 1) < 0.01):
            return np.full(self.height, plane * unit**2)
        return areas

    def inside(self, window: Window) -> NDArray[np.bool_]:
        """Which pixels are to be mapped, (h, w): centers in the area of interest, if there is one.

        False beyond the grid. A pixel's answer does not depend on the window.
        """
        mask = self._mask
        inside = np.ones(window.shape, bool) if mask is None else mask.inside(window)
        rows = np.arange(window.row, window.stop_row)
        cols = np.arange(window.col, window.stop_col)
        inside[(rows < 0) | (rows >= self.height)] = False
        inside[:, (cols < 0) | (cols >= self.width)] = False
        return inside

    @cached_property
    def _mask(self) -> PolygonMask | None:
        return PolygonMask(self.aoi, self.transform) if self.aoi is not None else None

    def part(self, window: Window) -> Grid:
        """A window of the grid as a grid of its own, on the same lattice."""
        aligned = self.aligned and (self.aligned[0] + window.row, self.aligned[1] + window.col)
        return replace(
            self,
            transform=self.transform * Affine.translation(window.col, window.row),
            width=window.width,
            height=window.height,
            origin=(self.origin[0] + window.row, self.origin[1] + window.col),
            aligned=aligned,
        )


def choose_grid(
    scene: Scene,
    model_gsd: float,
    *,
    gsd: Literal["auto", "native"] | float = "auto",
    crs: str | None = None,
    aoi: str | os.PathLike[str] | None = None,
) -> Grid:
    """Lay the output grid over a scene.

    Args:
        scene: what is mapped.
        model_gsd: ground sample distance that the model wants, in meters.
        gsd: ``"auto"`` keeps the scene's pixels if they are within 25 % of the model's size, and
            takes the model's size otherwise; ``"native"`` keeps the scene's size anyway; a number
            is the pixel size in meters on the ground.
        crs: coordinate system of the map; by default the scene's, or UTM where that counts
            degrees and its pixels cannot be kept.
        aoi: vector file; the grid covers its polygons, and pixels outside them are not mapped.

    Raises:
        GridError: no such grid can be laid; says why.
    """
    _check_gsd(gsd)
    with gdal_environment(scene.path):
        if scene.crs is None:
            grid = _pixel_grid(scene, model_gsd, gsd, crs)
        else:
            target = _parse_crs(crs) if crs is not None else None
            own = _own_pixels(scene, model_gsd, gsd, target)
            grid = own or _new_pixels(scene, scene.crs, target, _wanted_size(scene, model_gsd, gsd))
        if aoi is None:
            return grid
        if grid.crs is None:
            raise GridError(
                f"{scene.path}: is not georeferenced, so no area of interest can be found in it; "
                "give it a place, as with gdal_translate -a_srs CRS -a_ullr LEFT TOP RIGHT BOTTOM"
            )
        return _crop(grid, read_aoi(aoi, grid.crs, grid.bounds), os.fspath(aoi))


def _check_gsd(gsd: object) -> None:
    if gsd in ("auto", "native"):
        return
    if isinstance(gsd, bool) or not isinstance(gsd, (int, float)) or not 0 < gsd < 1e7:
        raise GridError(f"gsd is auto, native, or a pixel size in meters, got {gsd!r}")


def _parse_crs(text: str) -> CRS:
    try:
        crs = CRS.from_user_input(text)
        vertical = horizontal(crs.to_wkt()).is_vertical
    except (RasterCRSError, CRSError, ValueError, TypeError) as error:
        raise GridError(f"crs {text!r} is not known: {error}; give it as in EPSG:32633") from error
    if not crs:
        raise GridError(f"crs {text!r} is not known; give it as in EPSG:32633")
    if vertical:
        raise GridError(f"crs {text!r} has heights only and no places; give one as EPSG:32633")
    return crs


def _pixel_grid(scene: Scene, model_gsd: float, gsd: object, crs: str | None) -> Grid:
    """The scene's pixels, whatever they are on the ground."""
    if crs is not None or gsd not in ("auto", "native"):
        raise GridError(
            f"{scene.path}: is not georeferenced, so its pixels have no size in meters; leave gsd "
            "and crs away, or give it a place, as with "
            "gdal_translate -a_srs CRS -a_ullr LEFT TOP RIGHT BOTTOM"
        )
    warnings.warn(
        f"{scene.path}: is not georeferenced; it is mapped in pixels, each taken for "
        f"{model_gsd:g} m, and the map is not georeferenced either",
        GeocamssWarning,
        stacklevel=3,
    )
    # Rows go down, as viewers lay pixels without a place: so polygons lie on the raster.
    transform = scene.transform or Affine.scale(1.0, -1.0)
    return Grid(None, transform, scene.width, scene.height, (0, 0), (0, 0))


def _own_pixels(
    scene: Scene, model_gsd: float, gsd: Literal["auto", "native"] | float, crs: CRS | None
) -> Grid | None:
    """The scene's own pixels, the right side up; None if they do not serve."""
    transform, size = scene.transform, scene.pixel_size
    if transform is None or size is None or (crs is not None and crs != scene.crs):
        return None
    drift = abs(transform.b / transform.a) * scene.height if transform.a else math.inf
    drift += abs(transform.d / transform.e) * scene.width if transform.e else math.inf
    if drift > 0.01:  # pixels, from one side of the scene to the other
        return None
    if gsd != "native":
        wanted, leeway = (model_gsd, NEAR_ENOUGH) if gsd == "auto" else (float(gsd), SAME)
        if any(abs(s - wanted) > leeway * wanted for s in size):
            return None
    a, e = abs(transform.a), -abs(transform.e)
    left = min(transform.c, transform.c + transform.a * scene.width)
    top = max(transform.f, transform.f + transform.e * scene.height)
    upright = Affine(a, 0.0, left, 0.0, e, top)
    aligned = (0, 0) if transform.a > 0 > transform.e else None
    return Grid(scene.crs, upright, scene.width, scene.height, lattice_origin(upright), aligned)


def _wanted_size(scene: Scene, model_gsd: float, gsd: Literal["auto", "native"] | float) -> float:
    """Meters that new pixels shall have."""
    if scene.gsd is None:
        raise GridError(
            f"{scene.path}: lies outside of its own coordinate system "
            f"({_short(scene.crs)}), so where it is, and how large its pixels are, is unknown"
        )
    meters = scene.gsd if gsd == "native" else model_gsd if gsd == "auto" else float(gsd)
    if scene.gsd > COARSE * meters:
        warnings.warn(
            f"{scene.path}: its pixels of {scene.gsd:.3g} m are much coarser than the map's, of "
            f"{meters:g} m; gsd=native keeps the scene's",
            GeocamssWarning,
            stacklevel=3,
        )
    sides = _ground_size(scene)
    if gsd not in ("auto", "native") and sides is not None and meters > max(sides):
        raise GridError(
            f"{scene.path}: pixels of {meters:g} m are larger than the scene, of "
            f"{sides[0]:.3g} by {sides[1]:.3g} m; choose smaller ones with gsd"
        )
    return meters


def _ground_size(scene: Scene) -> tuple[float, float] | None:
    """Width and height of a scene in meters, as its pixel at the center tells."""
    size = scene.pixel_size
    return (scene.width * size[0], scene.height * size[1]) if size is not None else None


def _new_pixels(scene: Scene, own: CRS, crs: CRS | None, meters: float) -> Grid:
    """Pixels of the wanted size, on lines at multiples of it, over all of the scene."""
    try:
        crs = crs or _plain_crs(scene, own)
        xs, ys = _footprint(scene, own, crs)
        if not xs.size:
            raise GridError(f"{scene.path}: lies outside of {_short(crs)}")
        middle = (xs.min() + xs.max()) / 2, (ys.min() + ys.max()) / 2
        across, along = _steady(crs, *ground_scale(crs, *middle))
    except (CRSError, ProjError, RasterCRSError) as error:
        raise GridError(f"{scene.path}: cannot be brought into {_short(crs)}: {error}") from error
    if not (math.isfinite(across) and math.isfinite(along)):
        raise GridError(f"{scene.path}: {_short(crs)} has no scale at {middle}; choose another crs")
    sides = _ground_size(scene)
    if sides is not None and np.ptp(xs) * across > TORN * math.hypot(*sides):
        raise GridError(
            f"{scene.path}: lies at both ends of {_short(crs)}, and a map of it would be empty in "
            "between; choose another crs, such as the UTM zone of the scene"
        )
    grid = _cover(crs, meters / across, meters / along, xs, ys)
    if grid.width * grid.height > MAX_PIXELS or max(grid.shape) >= 2**31:
        raise GridError(
            f"{scene.path}: {meters:g} m pixels make a map of {grid.width:,} by {grid.height:,}; "
            "choose larger ones with gsd, or a smaller scene"
        )
    return grid


def _short(crs: CRS | None) -> str:
    return crs.to_string()[:80] if crs is not None else "UTM"


def _plain_crs(scene: Scene, own: CRS) -> CRS:
    """The scene's CRS, or UTM instead of degrees."""
    if not own.is_geographic:
        return own
    return best_utm(own, *_footprint(scene, own, own)) or own


def _footprint(scene: Scene, own: CRS, crs: CRS) -> Points:
    """Coordinates of points all over the scene, its edges and corners included.

    In degrees all lie on one side of the antimeridian, beyond 180 if need be.
    """
    edge = np.linspace(0.0, 1.0, 33)
    cols, rows = np.meshgrid(edge * scene.width, edge * scene.height)
    xs, ys = scene.georeference.to_crs(cols.ravel(), rows.ravel())
    if crs != own:
        xs, ys = map(np.asarray, transformer(own, crs).transform(xs, ys))
    good = np.isfinite(xs) & np.isfinite(ys)
    xs, ys = xs[good], ys[good]
    if crs != own and crs.is_geographic and xs.size:
        xs = xs[0] + (xs - xs[0] + 180.0) % 360.0 - 180.0
    return xs, ys


def _steady(crs: CRS, across: ArrayLike, along: ArrayLike) -> tuple[float, float]:
    """Meters a unit, rounded to steps of 2 %; nearly equal ones are made equal.

    So pixels are square where the CRS allows it, exactly the wanted number of meters where the
    CRS is true to scale, and the same in neighboring scenes of a CRS that is not.
    """
    unit = unit_length(crs) or 1.0
    scale = float(np.squeeze(across)) / unit, float(np.squeeze(along)) / unit
    if not all(math.isfinite(s) and s > 0 for s in scale):
        return math.nan, math.nan
    if max(scale) < 1.1 * min(scale):
        scale = (math.sqrt(math.prod(scale)),) * 2
    steps = [2.0 ** (round(32 * math.log2(s)) / 32) * unit for s in scale]
    return steps[0], steps[1]


def _cover(
    crs: CRS, width: float, height: float, xs: NDArray[np.float64], ys: NDArray[np.float64]
) -> Grid:
    """The smallest grid, on lines at multiples of the pixel's size, that covers the points."""
    noise = 1e-6  # of a pixel: a point on a line does not need the next pixel
    col, stop_col = math.floor(xs.min() / width + noise), math.ceil(xs.max() / width - noise)
    row, stop_row = math.floor(-ys.max() / height + noise), math.ceil(-ys.min() / height - noise)
    transform = Affine(width, 0.0, col * width, 0.0, -height, -row * height)
    size = max(1, stop_col - col), max(1, stop_row - row)
    return Grid(crs, transform, *size, origin=(row, col), aligned=None)


def _crop(grid: Grid, area: BaseGeometry, path: str) -> Grid:
    """The part of a grid that covers an area, in whole pixels."""
    left, bottom, right, top = area.bounds
    noise = 1e-6
    cols, rows = _apply(~grid.transform, np.array([left, right]), np.array([top, bottom]))
    window = grid.window & Window.between(
        math.floor(rows[0] + noise),
        math.floor(cols[0] + noise),
        math.ceil(rows[1] - noise),
        math.ceil(cols[1] - noise),
    )
    part = replace(grid.part(window), aoi=area)
    if window.empty or (window.area < 4096 and not part.inside(part.window).any()):
        raise GridError(f"{path}: the area of interest covers the center of no pixel of the map")
    return part


def _apply(transform: Affine, cols: NDArray[np.float64], rows: NDArray[np.float64]) -> Points:
    a, b, c, d, e, f = transform[:6]
    return a * cols + b * rows + c, d * cols + e * rows + f
