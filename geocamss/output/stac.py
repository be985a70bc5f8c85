"""STAC: the catalog's item of a map, with what each file is and how it was made."""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyproj
from pystac import Asset, Item, MediaType
from rasterio.crs import CRS
from rasterio.transform import Affine

from geocamss.classes import NODATA, ClassScheme
from geocamss.output.areas import ClassArea
from geocamss.output.footprint import Footprint
from geocamss.whole import whole

__all__ = ["ASSETS", "build_item", "write_item"]

EXTENSIONS = tuple(
    f"https://stac-extensions.github.io/{name}/v{version}/schema.json"
    for name, version in (
        ("projection", "2.0.0"),
        ("raster", "1.1.0"),
        ("classification", "2.0.0"),
        ("processing", "1.1.0"),
    )
)

SOME_TIME = datetime(1858, 1, 1, tzinfo=UTC), datetime(2199, 12, 31, 23, 59, 59, tzinfo=UTC)
"""Stands for a time that nobody knows: from the first photograph of the Earth from the air to past
any search, within what 64 bits of nanoseconds hold. STAC asks for a time, and that of the run would
be none of the scene's, and another in each run."""

_QML = "application/xml"

ASSETS: dict[str, tuple[str, str, str, tuple[str, ...]]] = {
    "classes": ("classes.tif", "Class map", MediaType.COG, ("data",)),
    "confidence": (
        "confidence.tif",
        "Highest class probability, in percent",
        MediaType.COG,
        ("data", "confidence"),
    ),
    "uncertainty": (
        "uncertainty.tif",
        "Entropy of the class probabilities, and mutual information of the samples",
        MediaType.COG,
        ("data",),
    ),
    "probabilities": (
        "probabilities.tif",
        "Probability of each class, a band for each in the order of the classes",
        MediaType.COG,
        ("data",),
    ),
    "polygons": ("polygons.gpkg", "Class map as polygons", MediaType.GEOPACKAGE, ("data",)),
    "preview": ("preview.png", "Scene beside map", MediaType.PNG, ("overview",)),
    "page": ("preview.html", "Scene and map to look at", MediaType.HTML, ("overview",)),
    "classes-style": ("classes.qml", "QGIS style of the class map", _QML, ("metadata",)),
    "confidence-style": ("confidence.qml", "QGIS style of the confidence", _QML, ("metadata",)),
    "project": ("map.qgz", "QGIS project of the map", "application/zip", ("metadata",)),
    "uncertainty-style": (
        "uncertainty.qml",
        "QGIS style of the uncertainty",
        _QML,
        ("metadata",),
    ),
    "classes-attributes": (
        "classes.tif.aux.xml",
        "Class names and attribute table, as GDAL reads them",
        _QML,
        ("metadata",),
    ),
}
"""File, title, media type and roles of each asset."""


def build_item(
    name: str,
    *,
    crs: CRS | None,
    transform: Affine,
    shape: tuple[int, int],
    scheme: ClassScheme,
    files: Collection[str],
    acquired: datetime | tuple[datetime, datetime] | None = None,
    window: tuple[int, int, int, int] | None = None,
    areas: Iterable[ClassArea] = (),
    provenance: Mapping[str, Any] | None = None,
    software: Mapping[str, str] | None = None,
    lineage: str = "",
) -> Item:
    """Describe a map: the same map is described in the same words whenever it is made.

    Args:
        name: the item's identifier.
        crs: coordinate system; without one the item has no geometry.
        transform: pixel to coordinates.
        shape: height and width, in pixels.
        scheme: the classes.
        files: names of the files that lie beside the item, of those in ``ASSETS``.
        acquired: when the scene was, or from when to when; times without a zone are UTC. Unknown,
            ``SOME_TIME`` stands for it, and ``geocamss:datetime_source`` says so.
        window: the part with data: first row, first column, row and column after the last.
        areas: of the classes.
        provenance: what made the map, in plain values; each becomes ``geocamss:<key>``.
        software: versions by name.
        lineage: how the map was made, in a sentence.
    """
    footprint = Footprint.of(crs, transform, window or (0, 0, *shape))
    areas = tuple(areas)
    properties = {
        **_times(acquired),
        **_projection(crs, transform, shape),
        "processing:software": dict(software or {}),
        "processing:lineage": lineage or "Segmented by geocamss",
        **{f"geocamss:{key}": _plain(value) for key, value in (provenance or {}).items()},
    }
    if areas:
        properties["geocamss:areas"] = [_plain(asdict(area)) for area in areas]
    moment = acquired if isinstance(acquired, datetime) else None
    item = Item(
        name,
        geometry=footprint.geometry if footprint else None,
        bbox=list(footprint.bbox) if footprint else None,
        datetime=None if moment is None else _utc(moment),
        properties=properties,
        stac_extensions=list(EXTENSIONS),
    )
    bands = {
        "classes": {"nodata": NODATA, "data_type": "uint8", "sampling": "area"},
        "confidence": {
            "nodata": NODATA,
            "data_type": "uint8",
            "unit": "percent",
            "sampling": "area",
        },
        "uncertainty": {
            "nodata": NODATA,
            "data_type": "uint8",
            "scale": 0.004,
            "unit": "share of log K",
            "sampling": "area",
        },
        "probabilities": {
            "nodata": NODATA,
            "data_type": "uint8",
            "scale": 0.004,
            "unit": "probability",
            "sampling": "area",
        },
    }
    counts = {"uncertainty": 2, "probabilities": len(scheme.names)}
    for key, (file, title, media, roles) in ASSETS.items():
        if file not in files:
            continue
        extra: dict[str, Any] = {}
        if key in bands:
            described = bands[key] | _resolution(crs, transform)
            extra["raster:bands"] = [described] * counts.get(key, 1)
        if key == "classes":
            extra["classification:classes"] = _classes(scheme, areas)
        item.add_asset(
            key,
            Asset(
                f"./{file}", title=title, media_type=media, roles=list(roles), extra_fields=extra
            ),
        )
    return item


def write_item(item: Item, target: Path) -> None:
    """Write an item as JSON; it appears under its name when it is complete."""
    text = json.dumps(
        item.to_dict(include_self_link=False, transform_hrefs=False),
        indent=2,
        ensure_ascii=False,
        allow_nan=False,
    )
    with whole(target) as part:
        part.write_text(text + "\n", "utf-8")


def _times(acquired: datetime | tuple[datetime, datetime] | None) -> dict[str, Any]:
    times = {"geocamss:datetime_source": "unknown" if acquired is None else "scene"}
    if not isinstance(acquired, datetime):
        start, end = acquired or SOME_TIME
        times |= {"start_datetime": _moment(start), "end_datetime": _moment(end)}
    return times


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _moment(moment: datetime) -> str:
    return _utc(moment).isoformat(timespec="seconds").replace("+00:00", "Z")


def _projection(crs: CRS | None, transform: Affine, shape: tuple[int, int]) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "proj:code": None,
        "proj:shape": [int(size) for size in shape],
        "proj:transform": [float(value) for value in tuple(transform)[:6]],
    }
    if crs is not None:
        authority = crs.to_authority()
        if authority:
            fields["proj:code"] = ":".join(authority)
        else:
            fields["proj:wkt2"] = pyproj.CRS.from_wkt(crs.to_wkt()).to_wkt()
    return fields


def _resolution(crs: CRS | None, transform: Affine) -> dict[str, float]:
    """Pixel size in meters, where that has a meaning."""
    if crs is None or not crs.is_projected:
        return {}
    meters = math.sqrt(abs(transform.determinant)) * float(crs.linear_units_factor[1])
    return {"spatial_resolution": meters}


def _classes(scheme: ClassScheme, areas: tuple[ClassArea, ...]) -> list[dict[str, Any]]:
    """The classes, in the order of the scheme."""
    pixels = {area.value: area.pixels for area in areas}
    entries = []
    taken: set[str] = set()
    for entry in scheme:
        name = _identifier(entry.name)
        if not name or name in taken:
            name = f"{name or 'class'}-{entry.value}"
        while name in taken:
            name += "_"
        taken.add(name)
        counted = {"count": pixels[entry.value]} if entry.value in pixels else {}
        entries.append(
            {
                "value": entry.value,
                "name": name,
                "title": entry.name,
                "color_hint": entry.hex[1:].upper(),
                **counted,
            }
        )
    return entries


def _identifier(name: str) -> str:
    """A name in the letters that STAC allows for one: ``Gebäude (neu)`` is ``Gebaude-neu``."""
    letters = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return re.sub(r"[^0-9A-Za-z_-]+", "-", letters).strip("-")


def _plain(value: Any) -> Any:
    """What JSON can hold of a value."""
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)
