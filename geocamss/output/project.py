"""Project: a map as QGIS opens it, its layers in order over the scene.

A project file is a ZIP archive with one XML file in it. Sources beside the project are relative to
it, so that the folder can go anywhere.
"""

from __future__ import annotations

import os
import re
import uuid
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree as ET

from rasterio.crs import CRS

from geocamss.classes import ClassScheme
from geocamss.output.colors import Ramp
from geocamss.output.markup import add, document
from geocamss.output.renderers import Picture, class_pipe, class_symbols, picture_pipe, ramp_pipe
from geocamss.output.style import QGIS_VERSION

__all__ = [
    "Layer",
    "class_layer",
    "polygon_layer",
    "ramp_layer",
    "scene_layer",
    "scene_source",
    "write_project",
]

Bounds = tuple[float, float, float, float]

_NETWORK = {
    "http": "vsicurl/http:/",
    "https": "vsicurl/https:/",
    "ftp": "vsicurl/ftp:/",
    "s3": "vsis3",
    "gs": "vsigs",
    "az": "vsiaz",
}
"""What GDAL calls the places that a URL's scheme names."""


@dataclass(frozen=True)
class Layer:
    """One layer of a project."""

    name: str
    """What the legend calls it."""

    kind: Literal["raster", "vector"]
    """What it is made of."""

    source: str
    """What QGIS opens; ``./`` stands for the project's folder."""

    crs: CRS | None
    """Its coordinate system; None for pixel space."""

    look: ET.Element | None
    """How it is drawn; None leaves that to QGIS."""

    shown: bool = True
    """Whether it is drawn as the project opens."""

    unfolded: bool = True
    """Whether its legend is."""


def polygon_layer(source: str, scheme: ClassScheme, crs: CRS | None) -> Layer:
    """Polygons by class."""
    return Layer("polygons", "vector", source, crs, class_symbols(scheme), unfolded=False)


def class_layer(source: str, scheme: ClassScheme, crs: CRS | None) -> Layer:
    """A class raster."""
    return Layer("classes", "raster", source, crs, class_pipe(scheme))


def ramp_layer(name: str, source: str, ramp: Ramp, crs: CRS | None) -> Layer:
    """A raster of a quantity, which is not drawn until it is asked for."""
    look = ramp_pipe(ramp)
    return Layer(name, "raster", source, crs, look, shown=False, unfolded=False)


def scene_layer(source: str, picture: Picture | None, crs: CRS | None) -> Layer:
    """The scene; without a picture, as QGIS thinks best."""
    look = None if picture is None else picture_pipe(picture)
    return Layer("scene", "raster", source, crs, look, unfolded=False)


def scene_source(path: str, home: Path) -> str:
    """What QGIS opens for a scene.

    A file beside the project's folder, or further below there, is found from it, so that both can
    move together. Others are found by their whole path, wherever the project goes.

    Args:
        path: what GDAL opens: a file, a URL, a subdataset.
        home: the project's folder.
    """
    scheme, _, place = path.partition("://")
    if place and scheme.lower() in _NETWORK:
        return f"/{_NETWORK[scheme.lower()]}/{place}"
    if re.match(r"[a-zA-Z0-9_]{2,}:|/vsi|\s*<", path):
        return path
    file, folder = Path(os.path.abspath(path)), Path(os.path.abspath(home))  # noqa: PTH100 (links stay)
    near = folder.parent
    if near.parent == near or not file.is_relative_to(near):
        return file.as_posix()
    relative = Path(os.path.relpath(file, folder)).as_posix()
    return relative if relative.startswith("../") else f"./{relative}"


def write_project(
    target: Path, layers: Sequence[Layer], *, title: str, crs: CRS | None, bounds: Bounds
) -> None:
    """Write a project that QGIS 3.22 and later open.

    Args:
        target: the file, with the ending ``.qgz``.
        layers: from the uppermost to the one beneath all others.
        title: what the window shows.
        crs: coordinate system of the view; None for pixel space.
        bounds: (left, bottom, right, top) of the view, in that system.
    """
    text = _project(layers, title, crs, bounds)
    # An entry of a fixed date: one map always gives the same bytes.
    entry = zipfile.ZipInfo(f"{target.stem}.qgs", (2000, 1, 1, 0, 0, 0))
    entry.external_attr = 0o644 << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr(entry, text)


def _project(layers: Sequence[Layer], title: str, crs: CRS | None, bounds: Bounds) -> str:
    root = add(None, "qgis", version=QGIS_VERSION, projectname=title)
    add(root, "homePath", path="")
    add(root, "title", title)
    add(root, "projectCrs").append(_reference(crs))
    # QGIS takes no name of ten letters or less.
    names = [f"{layer.name}_{uuid.uuid5(uuid.NAMESPACE_URL, layer.source)}" for layer in layers]
    _add_legend(root, layers, names)
    canvas = add(root, "mapcanvas", name="theMapCanvas", annotationsVisible=1)
    _add_extent(canvas, bounds)
    add(canvas, "rotation", "0")
    add(canvas, "destinationsrs").append(_reference(crs))
    all_layers = add(root, "projectlayers")
    for layer, name in zip(layers, names, strict=True):
        _add_layer(all_layers, layer, name)
    order = add(root, "layerorder")
    for name in names:
        add(order, "layer", id=name)
    properties = add(root, "properties")
    add(add(properties, "Paths"), "Absolute", "false", type="bool")
    enabled = int(crs is not None)
    add(add(properties, "SpatialRefSys"), "ProjectionsEnabled", str(enabled), type="int")
    view = add(root, "ProjectViewSettings", UseProjectScales=0, rotation=0)
    left, bottom, right, top = (repr(float(edge)) for edge in bounds)
    extent = add(view, "DefaultViewExtent", xmin=left, ymin=bottom, xmax=right, ymax=top)
    extent.append(_reference(crs))
    return document(root)


def _add_legend(root: ET.Element, layers: Sequence[Layer], names: Sequence[str]) -> None:
    tree = add(root, "layer-tree-group")
    for layer, name in zip(layers, names, strict=True):
        add(
            tree,
            "layer-tree-layer",
            id=name,
            name=layer.name,
            source=layer.source,
            providerKey=_provider(layer),
            checked="Qt::Checked" if layer.shown else "Qt::Unchecked",
            expanded=int(layer.unfolded),
        )
    order = add(tree, "custom-order", enabled=0)
    for name in names:
        add(order, "item", name)


def _add_layer(parent: ET.Element, layer: Layer, name: str) -> None:
    made = add(parent, "maplayer", type=layer.kind, styleCategories="AllStyleCategories")
    if layer.kind == "vector":
        made.set("geometry", "Polygon")
        made.set("wkbType", "Polygon")
    add(made, "id", name)
    add(made, "datasource", layer.source)
    add(made, "layername", layer.name)
    add(made, "srs").append(_reference(layer.crs))
    add(made, "provider", _provider(layer), encoding="UTF-8")
    if layer.look is not None:
        made.append(layer.look)
    add(made, "blendMode", "0")
    if layer.kind == "vector":
        add(made, "layerOpacity", "1")
        add(made, "previewExpression", '"name"')


def _provider(layer: Layer) -> str:
    return "gdal" if layer.kind == "raster" else "ogr"


def _reference(crs: CRS | None) -> ET.Element:
    """A coordinate system in full, so that QGIS need not know it by a number."""
    made = add(None, "spatialrefsys", nativeFormat="Wkt")
    add(made, "wkt", "" if crs is None else crs.to_wkt(version="WKT2_2019"))
    return made


def _add_extent(parent: ET.Element, bounds: Bounds) -> None:
    extent = add(parent, "extent")
    for tag, edge in zip(("xmin", "ymin", "xmax", "ymax"), bounds, strict=True):
        add(extent, tag, repr(float(edge)))
