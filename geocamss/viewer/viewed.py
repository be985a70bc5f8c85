"""ViewedMap: a folder of outputs, opened to be looked at."""

from __future__ import annotations

import ast
import json
import math
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rasterio

from geocamss.classes import ClassScheme
from geocamss.errors import GeocamssWarning, InputError
from geocamss.output.areas import ClassArea, class_areas
from geocamss.output.classmap import ClassMap
from geocamss.output.page import Page
from geocamss.output.raster import quiet_gdal
from geocamss.output.scheme import read_scheme
from geocamss.scene.band import SceneBand
from geocamss.scene.gdal import is_plain_path
from geocamss.scene.grid import Grid, lattice_origin
from geocamss.scene.scene import Scene

__all__ = ["ViewedMap"]


@dataclass(frozen=True)
class ViewedMap:
    """What there is to be seen."""

    source: ClassMap
    """Classes, and confidence if the folder holds it."""

    scheme: ClassScheme
    """Names and colors of the classes."""

    areas: tuple[ClassArea, ...]
    """Of the classes."""

    scene: Scene | None
    """What was mapped; None where it is not to be found."""

    provenance: Mapping[str, str]
    """What the class map says of how it was made."""

    @classmethod
    def open(cls, folder: Path, scene: str | os.PathLike[str] | None = None) -> ViewedMap:
        """Look into a folder.

        Warns when the scene is not where it was when it was mapped.

        Args:
            folder: holds ``classes.tif``, and ``confidence.tif`` and ``item.json`` or not.
            scene: what was mapped, where the map does not tell, or tells a place it has left.

        Raises:
            InputError: there is no class map in the folder, or what is there cannot be read.
        """
        classes, confidence = folder / "classes.tif", folder / "confidence.tif"
        if not classes.is_file():
            raise InputError(
                f"{folder}: holds no classes.tif; give the folder that geocamss predict wrote, "
                "with classes among its outputs"
            )
        source = ClassMap.open(classes, confidence if confidence.is_file() else None)
        scheme = read_scheme(classes)
        with quiet_gdal(), rasterio.open(classes) as file:
            tags = file.tags()
        provenance = {
            key.removeprefix("GEOCAMSS_").lower(): value
            for key, value in tags.items()
            if key.startswith("GEOCAMSS_")
        }
        areas = _told_areas(folder / "item.json", scheme)
        if areas is None:
            areas = class_areas(source.classes, source.confidence, scheme)
        found = _scene(folder, provenance) if scene is None else Scene.open(scene)
        return cls(source, scheme, areas, found, provenance)

    @property
    def title(self) -> str:
        """What it is called."""
        path = self.scene.path if self.scene else self.provenance.get("scene", "")
        return Path(path).stem or self.source.classes.resolve().parent.name or "map"

    @property
    def layers(self) -> tuple[str, ...]:
        """What there is of scene, classes and confidence."""
        there = {
            "scene": self.scene is not None,
            "classes": True,
            "confidence": self.source.confidence is not None,
        }
        return tuple(name for name, is_there in there.items() if is_there)

    @property
    def page(self) -> Page:
        """What a page says of it."""
        told = self.provenance
        return Page(
            title=self.title,
            subtitle=told.get("model", ""),
            scheme=self.scheme,
            areas=self.areas,
            crs=self.source.crs,
            transform=self.source.transform,
            shape=(self.source.height, self.source.width),
            facts={
                "Folder": self.source.classes.resolve().parent,
                "Scene": self.scene.path if self.scene else told.get("scene"),
                "Model": " ".join((told.get("model", ""), told.get("model_version", ""))).strip(),
                "Steps": told.get("steps"),
                "Samples": told.get("samples"),
                "Seed": told.get("seed"),
                "Made by": told.get("software"),
            },
        )

    @property
    def grid(self) -> Grid:
        """The map's pixels, as the scene is to be read on them."""
        source = self.source
        origin = lattice_origin(source.transform) if source.crs is not None else (0, 0)
        return Grid(
            source.crs,
            source.transform,
            source.width,
            source.height,
            origin,
            None if self.scene is None else _aligned(self.scene, source),
        )

    @property
    def display_bands(self) -> tuple[SceneBand, ...]:
        """Red, green and blue, where the scene has them; else its first three bands, or one."""
        if self.scene is None:
            return ()
        bands = self.scene.bands
        named = {band.name: band for band in reversed(bands)}
        if {"red", "green", "blue"} <= set(named):
            return named["red"], named["green"], named["blue"]
        return bands[:3] if len(bands) >= 3 else bands[:1]


def _told_areas(item: Path, scheme: ClassScheme) -> tuple[ClassArea, ...] | None:
    """The areas that a STAC item tells; None where there is none that fits."""
    try:
        told = json.loads(item.read_text("utf-8"))["properties"]["geocamss:areas"]
        areas = tuple(ClassArea(**entry) for entry in told)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    names = {(entry.value, entry.name) for entry in scheme}
    return areas if {(area.value, area.name) for area in areas} == names else None


def _scene(folder: Path, provenance: Mapping[str, str]) -> Scene | None:
    """The scene that a map was made from, where it was, or in the folders above the map."""
    told = provenance.get("scene")
    if not told:
        return None
    places = [told]
    if is_plain_path(told):
        above = folder.resolve().parents
        places += [str(place / told) for place in (folder, *above)]
        places += [str(place / Path(told).name) for place in (folder, *above[:1])]
        places = [place for place in places if Path(place).exists()]
    if not places:
        _say_missing(told)
        return None
    try:
        return Scene.open(places[0], _bands(provenance))
    except InputError as error:
        _say_missing(told, str(error))
        return None


def _say_missing(told: str, why: str = "") -> None:
    warnings.warn(
        f"the scene of this map is not shown: {why or f'{told} is not there any more'}; "
        "say where it is with --scene",
        GeocamssWarning,
        stacklevel=5,
    )


def _bands(provenance: Mapping[str, str]) -> dict[str, int]:
    """Which band was which when the scene was mapped."""
    try:
        told: Any = ast.literal_eval(provenance.get("bands", "{}"))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return {}
    if not isinstance(told, dict):
        return {}
    return {k: v for k, v in told.items() if isinstance(k, str) and isinstance(v, int)}


def _aligned(scene: Scene, source: ClassMap) -> tuple[int, int] | None:
    """Where in the scene the map begins, if its pixels are the scene's."""
    if scene.crs != source.crs:
        return None
    if source.crs is None:
        same = (scene.height, scene.width) == (source.height, source.width)
        return (0, 0) if same else None
    if scene.transform is None or scene.georeferencing != "transform":
        return None
    own = ~scene.transform @ source.transform  # the map's pixels among the scene's
    column, row = round(own.c), round(own.f)
    far = own @ (source.width, source.height)
    there = (column + source.width, row + source.height)
    off = math.hypot(own.c - column, own.f - row) + math.dist(far, there)
    return (row, column) if off < 0.01 else None
