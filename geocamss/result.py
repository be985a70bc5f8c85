"""Result: a finished map, as its folder holds it."""

from __future__ import annotations

import base64
import importlib
import warnings
from collections.abc import Collection
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from PIL import Image

from geocamss import hypertext
from geocamss.classes import NODATA, ClassScheme
from geocamss.errors import GeocamssWarning, InputError
from geocamss.output.areas import ClassArea
from geocamss.output.classmap import ClassMap
from geocamss.output.colors import CONFIDENCE, color_table
from geocamss.output.page import Pixels, area_texts, share_text
from geocamss.output.raster import quiet_gdal
from geocamss.output.scheme import read_scheme
from geocamss.products import ON_REQUEST, PRODUCTS

if TYPE_CHECKING:
    import folium
    import geopandas as gpd
    import pandas as pd
    import xarray as xr
    from matplotlib.axes import Axes

__all__ = ["Result"]

MOST_POLYGONS = 10_000
"""A web map with more polygons is slow."""

THUMBNAIL = 720
"""Width of the picture that a notebook shows, in pixels."""


@dataclass(frozen=True)
class Result:
    """A finished map: where its files are, and what it says."""

    folder: Path
    """The output folder."""

    classes: Path | None
    """Class map, a cloud-optimized GeoTIFF, uint8, 255 = no data."""

    confidence: Path | None
    """Probability of the class in percent, likewise."""

    polygons: Path | None
    """GeoPackage with the layer ``polygons``."""

    uncertainty: Path | None
    """Entropy and mutual information as shares of log K, two bands, uint8 with a scale of 0.004,
    255 = no data."""

    probabilities: Path | None
    """Probability of each class, a band for each, uint8 with a scale of 0.004, 255 = no data."""

    item: Path | None
    """STAC item."""

    preview: Path | None
    """Picture of scene and map side by side."""

    page: Path | None
    """Scene and map as one HTML file to look at."""

    areas: pd.DataFrame
    """One row a class: ``class``, ``name``, ``pixels``, ``area_m2``, ``share``, ``confidence``."""

    @classmethod
    def of(cls, folder: Path, products: Collection[str], areas: Collection[ClassArea]) -> Result:
        """The result in a folder.

        Args:
            folder: where the files are.
            products: names of the outputs that were written.
            areas: what was measured, by class.
        """

        def path(product: str) -> Path | None:
            files = PRODUCTS | ON_REQUEST
            return folder / files[product][0] if product in products else None

        return cls(
            folder=folder,
            classes=path("classes"),
            confidence=path("confidence"),
            polygons=path("polygons"),
            uncertainty=path("uncertainty"),
            probabilities=path("probabilities"),
            item=path("item"),
            preview=path("preview"),
            page=path("page"),
            areas=_table(areas),
        )

    def show(
        self, layer: Literal["classes", "confidence"] = "classes", axes: Axes | None = None
    ) -> Axes:
        """Draw the map with matplotlib, with its legend; large maps thinned out.

        Args:
            layer: ``"classes"`` or ``"confidence"``.
            axes: where to draw; by default in a new figure.

        Raises:
            InputError: matplotlib is not installed, or the map was not written.
        """
        if layer not in ("classes", "confidence"):
            raise InputError(f"a layer is 'classes' or 'confidence', got {layer!r}")
        pyplot = _imported("matplotlib.pyplot", "show", "plot")
        classes, confidence = self._file("classes"), None
        if layer == "confidence":
            confidence = self._file("confidence")
        source = ClassMap.open(classes, confidence)
        pixels = Pixels.of(source)
        if axes is None:
            axes = pyplot.figure(layout="constrained").add_subplot()
        extent = _extent(source)
        if pixels.confidence is not None:
            _draw_confidence(axes, pixels.confidence, extent)
        else:
            _draw_classes(axes, pixels.classes, read_scheme(classes), extent)
        if source.crs is None:
            axes.set(xlabel="column", ylabel="row")
        return axes

    def explore(self, most: int = MOST_POLYGONS, **options: Any) -> folium.Map:
        """The polygons on a web map, in their colors.

        Args:
            most: polygons shown; of more, the largest ones, with a warning.
            options: for ``geopandas.GeoDataFrame.explore``, as in ``tiles="CartoDB positron"``.

        Raises:
            InputError: folium is not installed, or the polygons were not written.
        """
        _imported("folium", "explore", "notebook")
        _imported("mapclassify", "explore", "notebook")
        frame = self.polygons_frame()
        if len(frame) > most:
            warnings.warn(
                f"the largest {most:,} of {len(frame):,} polygons are shown; most= says otherwise",
                GeocamssWarning,
                stacklevel=2,
            )
            frame = frame.sort_values("area_m2", ascending=False).head(most)
        there = set(frame["name"])
        entries = [c for c in read_scheme(self._file("classes")) if c.name in there]
        drawn: dict[str, Any] = {
            "column": "name",
            "categories": [c.name for c in entries],
            "cmap": [c.hex for c in entries],
            "style_kwds": {"weight": 0.5, "fillOpacity": 0.6},
        }
        if frame.crs is None:
            drawn["tiles"] = None
        drawn |= options
        explored: folium.Map = frame.explore(**drawn)
        return explored

    def to_xarray(self) -> xr.Dataset:
        """Classes and confidence as a dataset, read when their values are wanted.

        The variables are uint8 over y and x, 255 where there is no data, and know their CRS.
        ``flag_values``, ``flag_meanings`` and ``flag_colors`` tell of the classes.

        Raises:
            InputError: rioxarray is not installed, or the class map was not written.
        """
        rioxarray = _imported("rioxarray", "to_xarray", "notebook")
        xarray = importlib.import_module("xarray")
        scheme = read_scheme(self._file("classes"))
        layers = {}
        for name in ("classes", "confidence"):
            if getattr(self, name) is not None:
                with quiet_gdal():
                    band = rioxarray.open_rasterio(self._file(name))
                layers[name] = band.squeeze("band", drop=True).rename(name)
        layers["classes"].attrs |= {
            "long_name": "class",
            "flag_values": np.array(scheme.values, np.uint8),
            "flag_meanings": " ".join("_".join(name.split()) for name in scheme.names),
            "flag_colors": " ".join(c.hex for c in scheme),
        }
        if "confidence" in layers:
            layers["confidence"].attrs |= {"long_name": "confidence", "units": "percent"}
        dataset: xr.Dataset = xarray.Dataset(layers)
        return dataset

    def polygons_frame(self) -> gpd.GeoDataFrame:
        """The polygons, one a row.

        Raises:
            InputError: they were not written.
        """
        import geopandas

        return geopandas.read_file(self._file("polygons"), layer="polygons")

    def _repr_html_(self) -> str:
        """What a notebook shows: where the map is, its classes, and a picture."""
        colors = {}
        on_ground = True
        if self.classes is not None and self.classes.is_file():
            colors = {c.value: c.hex for c in read_scheme(self.classes)}
            on_ground = ClassMap.open(self.classes).crs is not None
        columns = ["class", "name", "pixels", "area_m2", "share", "confidence"]
        known = self.areas[columns].itertuples(index=False, name=None)
        areas = [ClassArea(*row) for row in known]
        texts = area_texts(areas, on_ground=on_ground)
        rows = [
            (
                f"{hypertext.swatch(colors.get(a.value, '#888888'))} {hypertext.escape(a.name)}",
                texts[a.value],
                hypertext.escape(share_text(a.share)),
                "" if a.mean_confidence != a.mean_confidence else f"{a.mean_confidence:.0f} %",
            )
            for a in areas
        ]
        written = [
            path
            for name in PRODUCTS | ON_REQUEST
            if (path := getattr(self, name, None)) is not None
        ]
        facts = {"folder": self.folder, "files": ", ".join(path.name for path in written)}
        heads = ("class", "area", "share", "confidence")
        return hypertext.card("Map", facts, heads, rows) + self._thumbnail()

    def _thumbnail(self) -> str:
        if self.preview is None or not self.preview.is_file():
            return ""
        with Image.open(self.preview) as picture:
            small = picture.convert("RGB")
            small.thumbnail((THUMBNAIL, THUMBNAIL))
        packed = BytesIO()
        small.save(packed, "WEBP", quality=80)
        content = base64.b64encode(packed.getvalue()).decode()
        return f'<img alt="Scene beside map" src="data:image/webp;base64,{content}">'

    def _file(self, product: str) -> Path:
        path: Path | None = getattr(self, product)
        if path is None:
            raise InputError(
                f"{self.folder}: {product} is not among the outputs of this map; "
                f"map the scene again with outputs that hold {product!r}"
            )
        return path


def _imported(module: str, method: str, extra: str) -> Any:
    """A library that is there on request only.

    Raises:
        InputError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise InputError(
            f"result.{method}() needs {module.partition('.')[0]}: install it with "
            f"pip install 'geocamss[{extra}]'"
        ) from error


def _extent(source: ClassMap) -> tuple[float, float, float, float]:
    """Left, right, bottom and top for matplotlib: coordinates, or pixels where there are none."""
    if source.crs is None:
        return 0.0, source.width, source.height, 0.0
    left, top = source.transform.c, source.transform.f
    right, bottom = source.transform @ (source.width, source.height)
    return left, right, bottom, top


def _draw_classes(
    axes: Axes,
    classes: np.ndarray[Any, np.dtype[np.uint8]],
    scheme: ClassScheme,
    extent: tuple[float, float, float, float],
) -> None:
    from matplotlib.patches import Patch

    table = np.array([color for _, color in sorted(color_table(scheme).items())], np.uint8)
    axes.imshow(table[classes], extent=extent, interpolation="nearest")
    there = set(np.unique(classes).tolist())
    handles = [Patch(color=c.hex, label=c.name) for c in scheme if c.value in there]
    if handles:
        axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False)


def _draw_confidence(
    axes: Axes,
    confidence: np.ndarray[Any, np.dtype[np.uint8]],
    extent: tuple[float, float, float, float],
) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    colors = [[part / 255 for part in color] for color in CONFIDENCE.colors]
    ramp = LinearSegmentedColormap.from_list("confidence", colors)
    known = np.ma.masked_equal(confidence, NODATA)
    drawn = axes.imshow(known, cmap=ramp, vmin=0, vmax=100, extent=extent, interpolation="nearest")
    axes.figure.colorbar(drawn, ax=axes, label="confidence in percent")


def _table(areas: Collection[ClassArea]) -> pd.DataFrame:
    import pandas as pd

    rows = [(a.value, a.name, a.pixels, a.area_m2, a.share, a.mean_confidence) for a in areas]
    columns = ["class", "name", "pixels", "area_m2", "share", "confidence"]
    return pd.DataFrame(rows, columns=columns).astype({"confidence": "float64"})
