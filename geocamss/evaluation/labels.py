"""Labels: what people say is there, as class channels over windows of a grid."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj import Transformer
from pyproj.exceptions import CRSError, ProjError
from rasterio.crs import CRS
from rasterio.errors import CRSError as RasterCRSError
from rasterio.windows import Window as RasterWindow
from shapely.errors import ShapelyError

from geocamss.classes import ClassScheme
from geocamss.errors import GeocamssWarning, InputError, ReadError
from geocamss.evaluation.legend import RasterLegend, name_channels, raster_legend
from geocamss.evaluation.scores import IGNORED
from geocamss.scene.aoi import PolygonMask, brought, polygons
from geocamss.scene.gdal import GDAL_ERRORS, gdal_environment, open_raster
from geocamss.scene.grid import Grid
from geocamss.scene.ground import horizontal, transformer
from geocamss.scene.window import Window

__all__ = [
    "LabelFile",
    "Labels",
    "PolygonLabels",
    "RasterLabels",
    "around",
    "label_text",
    "polygon_names",
]

SLACK = 2
"""A mask without georeferencing may be this many rows or columns off its picture's size."""

PART_PIXELS = 1 << 24
"""Labels much finer than the map are read in parts of at most about this many pixels."""

UNLABELED = (0, 255)
"""Values that often stand for no label, where a file does not declare it."""

SHOWN = 12
"""Messages list this many values at most."""

AREAS = ("Polygon", "Surface", "Collection", "Unknown")
"""Words in the geometry types of layers that may hold polygons."""


class Labels(Protocol):
    """Class channels over a grid."""

    def read(self, window: Window) -> NDArray[np.uint8]:
        """Channels (h, w); 255 where nothing is labeled.

        A pixel's answer does not depend on the window.
        """

    def close(self) -> None:
        """Give back the file; warns of values that were met and are no class."""


@dataclass(frozen=True)
class LabelFile:
    """A raster or a vector file of labels, and what it means."""

    path: str
    """Anything that GDAL or OGR opens."""

    meaning: Mapping[str, str] = field(default_factory=dict)
    """Class name by value, by color ``#rrggbb`` or by name in the file; empty where the file's own
    names, colors or values are the model's."""

    column: str | None = None
    """Of polygons: the attribute that says the class."""

    def open(self, grid: Grid, scheme: ClassScheme) -> Labels:
        """Lay the labels over a grid.

        Args:
            grid: Of the map.
            scheme: The model's classes.

        Raises:
            InputError: the file is neither raster nor polygons, does not lie on the grid, or its
                labels are none of the classes.
        """
        if not self.path.startswith("/vsi") and "://" not in self.path:
            if Path(self.path).is_dir():
                raise InputError(f"{self.path}: is a folder; labels are a raster or a vector file")
            if not Path(self.path).exists():
                raise InputError(f"{self.path}: no such file of labels")
        with gdal_environment(self.path):
            try:
                dataset = open_raster(self.path)
            except (*GDAL_ERRORS, OSError, ValueError) as error:
                return PolygonLabels.open(self, grid, scheme, str(error))
            try:
                return RasterLabels.open(self, dataset, grid, scheme)
            except BaseException:
                dataset.close()
                raise


@dataclass(frozen=True)
class RasterLabels:
    """Labels of a raster on any grid, nearest pixel."""

    path: str
    """Of the raster, for messages."""

    dataset: Any
    """The open raster."""

    legend: RasterLegend
    """What its pixels mean."""

    grid: Grid
    """Of the map."""

    inverse: Affine | None
    """From coordinates to (column, row) of the raster; None where pixels match one to one."""

    turn: Any
    """Turns coordinates of the grid into those of the raster; None where they are the same."""

    strange: set[float] = field(default_factory=set, compare=False)
    """Values met so far that are no class, where they are taken for the model's own."""

    @classmethod
    def open(cls, file: LabelFile, dataset: Any, grid: Grid, scheme: ClassScheme) -> RasterLabels:
        """Match an open raster with a grid; see ``LabelFile.open``."""
        legend = raster_legend(file.path, dataset, scheme, file.meaning)
        inverse, turn = None, None
        if grid.crs is not None and dataset.crs is not None:
            inverse = ~dataset.transform
            if dataset.crs != grid.crs:
                turn = transformer(grid.crs, dataset.crs)
        else:
            _check_pixels(file.path, dataset, grid)
        return cls(file.path, dataset, legend, grid, inverse, turn)

    def read(self, window: Window) -> NDArray[np.uint8]:
        """See ``Labels.read``.

        Raises:
            ReadError: the file is damaged.
        """
        rows, cols = self._places(window)
        there = (rows >= 0) & (rows < self.dataset.height)
        there = there & (cols >= 0) & (cols < self.dataset.width)  # (h, w)
        if not there.any():
            return np.full(window.shape, IGNORED, np.uint8)
        rows, cols = np.broadcast_arrays(rows, cols)
        near_rows, near_cols = rows[there], cols[there]
        top, left = int(near_rows.min()), int(near_cols.min())
        part = Window.between(top, left, int(near_rows.max()) + 1, int(near_cols.max()) + 1)
        if part.area > PART_PIXELS and window.height > 1:
            half = window.height // 2
            upper = Window(window.row, window.col, half, window.width)
            lower = Window(window.row + half, window.col, window.height - half, window.width)
            return np.concatenate([self.read(upper), self.read(lower)])
        found = np.full(window.shape, IGNORED, np.uint8)
        found[there] = self._channels(part)[near_rows - top, near_cols - left]
        return found

    def close(self) -> None:
        """Close the raster; warn of values that were met and are no class."""
        self.dataset.close()
        if self.strange:
            listed = ", ".join(f"{value:g}" for value in sorted(self.strange)[:SHOWN])
            warnings.warn(
                f"{self.path}: values that are no class of the model are ignored: {listed}; say "
                "which class they are, as in --map VALUE=CLASS",
                GeocamssWarning,
                stacklevel=2,
            )

    def _places(self, window: Window) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Row and column in the raster of each pixel's center; they broadcast to (h, w)."""
        rows = np.arange(window.row, window.stop_row)[:, None]
        cols = np.arange(window.col, window.stop_col)[None, :]
        if self.inverse is None:
            return rows, cols
        xs, ys = self.grid.coordinates(cols + 0.5, rows + 0.5)
        if self.turn is not None:
            xs, ys = self.turn.transform(*(v.copy() for v in np.broadcast_arrays(xs, ys)))
        a, b, c, d, e, f = self.inverse[:6]
        down = e * ys + f + (d * xs if d else 0.0)
        right = a * xs + c + (b * ys if b else 0.0)
        noise = 1e-6  # of a pixel: centers that fall on an edge go one way, all of them
        return _whole(down + noise), _whole(right + noise)

    def _channels(self, part: Window) -> NDArray[np.uint8]:
        place = RasterWindow(part.col, part.row, part.width, part.height)
        with gdal_environment(self.path):
            try:
                values = self.dataset.read(self.legend.bands, window=place)
                usable = self.dataset.read_masks(self.legend.bands[0], window=place) > 0
            except (*GDAL_ERRORS, OSError) as error:
                raise ReadError(
                    f"{self.path}: labels in rows {part.row} to {part.stop_row} cannot be read: "
                    f"{error}; is the file complete?"
                ) from error
        found = self.legend.read(values)
        if len(self.legend.bands) == 1:  # in a picture, black is a color and no gap
            found[~usable] = IGNORED
        if self.legend.taken and len(self.strange) <= SHOWN:
            others = values[0][(found == IGNORED) & usable & ~np.isin(values[0], UNLABELED)]
            self.strange.update(np.unique(others[np.isfinite(others)]).tolist())
        return found


@dataclass(frozen=True)
class PolygonLabels:
    """Labels of polygons: a pixel is what its center lies in."""

    masks: Mapping[int, PolygonMask]
    """By channel."""

    @classmethod
    def open(cls, file: LabelFile, grid: Grid, scheme: ClassScheme, why: str) -> PolygonLabels:
        """Read the polygons that lie on a grid; see ``LabelFile.open``.

        Args:
            file: The vector file.
            grid: Of the map.
            scheme: The model's classes.
            why: Why the file is no raster, for messages.
        """
        shapes, names = _polygons_on(file, grid, _ground_of(file, grid), why)
        channels = name_channels(file.path, sorted(set(names) - {""}), scheme, file.meaning)
        masks = {}
        for channel in sorted(set(channels.values())):
            mine = [channels.get(name) == channel for name in names]
            area = polygons(shapely.union_all(shapes[mine]))
            masks[channel] = PolygonMask(area, grid.transform)
        return cls(masks)

    def read(self, window: Window) -> NDArray[np.uint8]:
        """See ``Labels.read``; where polygons of two classes overlap, nothing is labeled."""
        found = np.full(window.shape, IGNORED, np.uint8)
        claims = np.zeros(window.shape, np.uint8)
        for channel, mask in self.masks.items():
            inside = mask.inside(window)
            found[inside] = channel
            claims += inside
        found[claims > 1] = IGNORED
        return found

    def close(self) -> None:
        """Nothing is open."""


def _whole(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Rounded down; far outside where there is no value."""
    return np.floor(np.nan_to_num(values, nan=-1.0, posinf=-1.0, neginf=-1.0)).astype(np.int64)


def _check_pixels(path: str, dataset: Any, grid: Grid) -> None:
    """Labels or scene have no place on the ground: their pixels must be the same."""
    if grid.aligned != (0, 0):
        raise InputError(
            f"{path}: has no place on the ground, so its pixels must be the map's, which is "
            "resampled; give labels with a CRS, or --gsd native"
        )
    off = max(abs(dataset.height - grid.height), abs(dataset.width - grid.width))
    if off > SLACK:
        raise InputError(
            f"{path}: has {dataset.width} x {dataset.height} pixels, the map {grid.width} x "
            f"{grid.height}, and one of them no place on the ground to match them by"
        )


def polygon_names(file: LabelFile, grid: Grid, why: str = "it is none") -> tuple[str, ...]:
    """What the polygons over a grid are called, in order, each name once.

    Args:
        file: The vector file.
        grid: Of the map.
        why: Why the file is no raster, for messages.

    Raises:
        InputError: the file holds no polygons, or not what their classes are.
    """
    with gdal_environment(file.path):
        shapes, names = _polygons_on(file, grid, _ground_of(file, grid), why)
    left, bottom, right, top = grid.bounds
    west, south, east, north = shapely.bounds(shapes).T  # NaN, which is nowhere, of empty ones
    near = (west < right) & (east > left) & (south < top) & (north > bottom)
    return tuple(sorted({name for name, there in zip(names, near, strict=True) if there} - {""}))


def _ground_of(file: LabelFile, grid: Grid) -> CRS:
    if grid.crs is None:
        raise InputError(
            f"{file.path}: polygons need a scene with a place on the ground, or a raster of "
            "labels with the scene's pixels"
        )
    return grid.crs


def _polygons_on(
    file: LabelFile, grid: Grid, crs: CRS, why: str
) -> tuple[NDArray[np.object_], list[str]]:
    """The polygons around a grid, in its CRS, and what each is called."""
    frame, column = _read_polygons(file, grid, why)
    shapes = frame.geometry.to_numpy()
    if not np.isfinite(shapely.get_coordinates(shapes)).all():
        raise InputError(f"{file.path}: has corners whose coordinates are no numbers")
    try:
        own = CRS.from_user_input(frame.crs.to_wkt())
        shapes = brought(shapely.make_valid(shapes), own, crs, grid.bounds)
    except (RasterCRSError, CRSError, ProjError) as error:
        raise InputError(f"{file.path}: cannot be brought into the map's CRS: {error}") from error
    return shapes, [label_text(value) for value in frame[column]]


def _read_polygons(file: LabelFile, grid: Grid, why: str) -> tuple[Any, str]:
    """The polygons around a grid, all of the file where there are none, and the attribute."""
    import pyogrio  # pandas comes with it: too slow to import where labels are rasters
    from pyogrio.errors import DataLayerError, DataSourceError

    try:
        layer = _layer(file)
        info = pyogrio.read_info(file.path, layer=layer)
        column = _column(file, [str(name) for name in info["fields"]])
        near = around(grid, info["crs"])
        how = {"layer": layer, "columns": [column], "force_2d": True}
        with np.errstate(invalid="ignore"):  # corners that are no numbers are said below
            frame = pyogrio.read_dataframe(file.path, **how, bbox=near)
            if near is not None and not len(frame):
                frame = pyogrio.read_dataframe(file.path, **how)
    except (DataSourceError, DataLayerError, OSError, ValueError, ShapelyError) as error:
        raise InputError(
            f"{file.path}: cannot be read as labels, neither as a raster ({why}) nor as polygons "
            f"({error})"
        ) from error
    areas = frame[frame.geom_type.isin(["Polygon", "MultiPolygon"]).to_numpy()]
    if not len(areas):
        kinds = ", ".join(sorted(set(frame.geom_type.dropna()))) or "nothing at all"
        raise InputError(
            f"{file.path}: layer {layer!r} holds no polygons, but {kinds}; labels are areas: "
            "polygons, or a raster"
        )
    if frame.crs is None:
        raise InputError(f"{file.path}: does not say its CRS, so where it lies is unknown")
    return areas, column


def _layer(file: LabelFile) -> str:
    """The layer of a file that holds the labels: one that may have polygons, and the attribute."""
    import pyogrio

    layers = [(str(name), str(kind)) for name, kind in pyogrio.list_layers(file.path) if kind]
    if not layers:
        raise InputError(f"{file.path}: has no layer with geometries")
    areas = [name for name, kind in layers if any(word in kind for word in AREAS)]
    found = areas or [name for name, _ in layers]
    if file.column is not None and len(found) > 1:
        fields = {name: list(pyogrio.read_info(file.path, layer=name)["fields"]) for name in found}
        found = [name for name in found if file.column in fields[name]]
        if not found:
            listed = "; ".join(f"{name} has {', '.join(own)}" for name, own in fields.items())
            raise InputError(
                f"{file.path}: no layer has an attribute {file.column!r}, which --class-field "
                f"names: {listed}"
            )
    if len(found) > 1:
        warnings.warn(
            f"{file.path}: layers {', '.join(found)} may all hold the labels; {found[0]!r}, the "
            "first, is taken",
            GeocamssWarning,
            stacklevel=8,
        )
    return found[0]


def around(grid: Grid, crs: str | None) -> tuple[float, float, float, float] | None:
    """(left, bottom, right, top) of a grid and what is near, in another CRS; None if unknown."""
    if crs is None or grid.crs is None:
        return None
    try:
        turn = Transformer.from_crs(horizontal(grid.crs.to_wkt()), crs, always_xy=True)
        left, bottom, right, top = turn.transform_bounds(*grid.bounds)
    except (CRSError, ProjError):
        return None
    if not (np.isfinite([left, bottom, right, top]).all() and left < right and bottom < top):
        return None
    margin = 0.1 * max(right - left, top - bottom)  # edges bend between the points looked at
    left, bottom, right, top = left - margin, bottom - margin, right + margin, top + margin
    degrees = turn.target_crs is not None and turn.target_crs.is_geographic
    if degrees and not -180 <= left < right <= 180:
        return None  # what is near may be a whole turn away
    return left, bottom, right, top


def _column(file: LabelFile, columns: list[str]) -> str:
    if file.column in columns:
        return str(file.column)
    if file.column is None and len(columns) == 1:
        return columns[0]
    missing = "" if file.column is None else f"there is no {file.column!r}; "
    raise InputError(
        f"{file.path}: {missing}say which of its attributes is the class, with --class-field; it "
        f"has {', '.join(columns) or 'none'}"
    )


def label_text(value: Any) -> str:
    """A class as text: names as they are, 3.0 as 3, nothing as nothing."""
    if value is None or value != value:  # noqa: PLR0124  (NaN is not itself)
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
