"""A recipe from a scene and its labels: training with one command, without writing any YAML."""

from __future__ import annotations

import glob
import logging
import math
import os
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import ValidationError

from geocamss.errors import BandError, GeocamssWarning, InputError, RecipeError
from geocamss.evaluation.labels import LabelFile
from geocamss.scene.band import SceneBand
from geocamss.scene.bands import BandClues, canonical_name
from geocamss.scene.gdal import gdal_environment
from geocamss.scene.grid import Grid, choose_grid
from geocamss.scene.read import SceneReader
from geocamss.scene.scene import Scene
from geocamss.scene.window import Window
from geocamss.training.recipe import Recipe
from geocamss.training.sources.part import choose_part
from geocamss.training.sources.spec import Part
from geocamss.training.survey import Survey, survey

__all__ = ["Own", "own_recipe", "recipe_text"]

_log = logging.getLogger(__name__)

SAMPLE_SIDE = 512
"""Statistics come from at most about this many rows and columns."""

UNKNOWN_GSD = 1.0
"""GSD in a card whose scene does not say it, in meters."""

FAR = 5.0
"""A value that is so many times as far from all others as these spread is no measurement."""

SHOWN = 12
"""Messages list this many things at most."""


@dataclass(frozen=True)
class Own:
    """A user's own scene and labels."""

    scene: Path
    """Anything that GDAL opens as a file."""

    labels: Path
    """A raster of class values, or polygons."""

    column: str | None = None
    """Of polygons: the attribute that says the class."""

    bands: dict[str, int] | None = None
    """Which band of the scene, from 1, is which, where the file does not say."""

    name: str = "own"
    """Of the model."""


def own_recipe(own: Own, *, minutes: float | None = None) -> tuple[Recipe, Path]:
    """Write the recipe that the scene and its labels suggest.

    Bands, their statistics and the GSD come from the scene, the classes from the labels over it.
    One block of ground in five is held out for validation, unless the labels are too few: then
    there is no validation, and a warning.

    Returns:
        The recipe, and the data folder that its paths count from.

    Raises:
        InputError: the scene or the labels cannot be used; says what to give.
    """
    for path in (own.scene, own.labels):
        if not path.exists():
            raise InputError(f"{path}: no such file")
    scene = Scene.open(own.scene, own.bands)
    names, bands = _named(scene)
    grid = choose_grid(scene, scene.gsd or UNKNOWN_GSD)
    labels = survey(LabelFile(str(own.labels), column=own.column), scene, bands, grid)
    _log.info("labeled pixels: %s", ", ".join(f"{k} {n:,}" for k, n in labels.pixels.items()))
    mean, std = _statistics(scene, bands, grid)
    side = 64 if min(grid.shape) < 512 else 128
    card = {
        "name": own.name,
        "description": _description(own, scene),
        "bands": [
            {"name": name, **({"wavelength": band.wavelength} if band.wavelength else {})}
            for name, band in zip(names, bands, strict=True)
        ],
        "gsd": scene.gsd or UNKNOWN_GSD,
        "scale": [_tidy(band.scale) for band in bands],
        "offset": [_tidy(band.offset) for band in bands],
        "mean": mean,
        "std": std,
        "classes": _classes(labels),
        "chip": side * 2,
        "overlap": side // 2,
        "license": "not stated",
    }
    budget = {} if minutes is None else {"minutes": minutes}
    data = Path(os.path.commonpath([own.scene.resolve().parent, own.labels.resolve().parent]))
    content = {
        "card": card,
        **_sources(_origin(own, labels, data), choose_part(labels.counts)),
        "training": {"chip": side, "epoch": 50, "validate_every": 4, **budget},
    }
    try:
        return Recipe.model_validate(content), data
    except ValidationError as error:
        said = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise RecipeError(f"{own.scene}: no recipe can be made of it: {said}") from error


def recipe_text(recipe: Recipe) -> str:
    """A recipe as YAML, to keep beside its model."""
    return yaml.safe_dump(
        recipe.model_dump(mode="json", exclude_defaults=True), sort_keys=False, allow_unicode=True
    )


def _origin(own: Own, labels: Survey, data: Path) -> dict[str, Any]:
    """The source that the scene and its labels are, whole."""
    return {
        "kind": "scenes",
        "name": own.scene.name,
        "scenes": [glob.escape(_below(own.scene, data))],
        "bands": own.bands or {},
        "labels": _below(own.labels, data),
        "column": labels.column,
        "classes": {name: list(called) for name, called in labels.called.items()},
    }


def _sources(origin: dict[str, Any], held_out: Part | None) -> dict[str, Any]:
    """What to learn from, and what to score on if the labels are enough for both."""
    if held_out is None:
        warnings.warn(
            f"{origin['labels']}: too few labels to set some aside: all are learned from, and "
            "there will be no scores; label more places of each class, far from each other",
            GeocamssWarning,
            stacklevel=3,
        )
        return {"sources": [origin], "validation": []}
    part = held_out.model_dump()
    return {
        "sources": [{**origin, "part": {**part, "take": "most"}}],
        "validation": [{**origin, "part": part}],
    }


def _classes(labels: Survey) -> list[str | dict[str, Any]]:
    """The classes as a card has them: by name alone where their numbers merely count."""
    if labels.scheme.values == tuple(range(len(labels.scheme))):
        return list(labels.scheme.names)
    return [{"value": entry.value, "name": entry.name} for entry in labels.scheme]


def _description(own: Own, scene: Scene) -> str:
    said = f"Trained on {own.scene.name} with {own.labels.name}."
    if not scene.gsd:
        said += f" The scene does not say how large its pixels are: {UNKNOWN_GSD:g} m is made up."
    return said


def _named(scene: Scene) -> tuple[tuple[str, ...], tuple[SceneBand, ...]]:
    """The bands to learn from, and what the model calls them.

    Bands without a name go by what the file calls them, or by their position, as ``band4``: they
    are found by it again. Those of a spectrometer without a name lie beside others that have one,
    and those that the user did not name are not wanted: they are left out.
    """
    known = [band for band in scene.bands if band.name]
    others = [band for band in scene.bands if not band.name]
    if scene.chosen or known:
        passed = [b for b in others if scene.chosen or b.wavelength is not None]
        others = [b for b in others if b not in passed]
        if passed:
            listed = ", ".join(str(band.index) for band in passed[:SHOWN])
            more = f" and {len(passed) - SHOWN} more" if len(passed) > SHOWN else ""
            _warn(
                f"{scene.path}: bands {listed}{more} have no name and are left out; name those "
                "that are wanted, as in --bands red=1,other=4"
            )
    bands = tuple(band for band in scene.bands if band in known or band in others)
    names = tuple(band.name or _own_name(band, scene) for band in bands)
    if len(set(names)) < len(names):
        raise BandError(
            f"{scene.path}: several of its bands have one name; say which is which, as in "
            "--bands red=1,green=2,blue=3"
        )
    if others:
        listed = ", ".join(name for name, band in zip(names, bands, strict=True) if band in others)
        _warn(
            f"{scene.path}: does not say what all its bands are; the model calls them {listed}, "
            "and finds them so in other scenes. --bands names them, as in --bands red=1,nir=4"
        )
    return names, bands


def _own_name(band: SceneBand, scene: Scene) -> str:
    """What a band without a common name is found by: the file's word for it, else its position."""
    label = band.label.strip().lower()
    alike = [other for other in scene.bands if other.label.strip().lower() == label]
    plain = re.fullmatch(r"[^=,\s](?:[^=,]{0,62}[^=,\s])?", label)
    counts = BandClues(band.index, label).counts
    if counts or not plain or len(alike) > 1 or canonical_name(label):
        return f"band{band.index}"
    return label


def _warn(what: str) -> None:
    warnings.warn(what, GeocamssWarning, stacklevel=4)


def _below(path: Path, folder: Path) -> str:
    return path.resolve().relative_to(folder).as_posix()


def _tidy(number: float) -> float:
    return float(f"{number:.9g}")


def _statistics(
    scene: Scene, bands: tuple[SceneBand, ...], grid: Grid
) -> tuple[list[float], list[float]]:
    """Mean and deviation by band, in physical units."""
    with gdal_environment(scene.path):
        values, valid = _sample(scene, bands, grid)
    if not valid.any():
        raise RecipeError(f"{scene.path}: has no valid pixel")
    _tell_undeclared(scene, bands, values[:, valid])
    scale = np.array([band.scale for band in bands])[:, None]
    offset = np.array([band.offset for band in bands])[:, None]
    physical = values[:, valid].astype(np.float64) * scale + offset  # (C, N)
    mean = [_tidy(value) for value in physical.mean(1)]
    return mean, [_tidy(max(value, 1e-6)) for value in physical.std(1)]


def _tell_undeclared(
    scene: Scene, bands: tuple[SceneBand, ...], values: NDArray[np.generic]
) -> None:
    """Warn of a value that looks like missing data which the file does not declare.

    It would be learned as any other, and all real values would look the same beside it.
    """
    for band, stored in zip(bands, values.astype(np.float64), strict=True):
        for extreme in (stored.min(), stored.max()):
            others = stored[stored != extreme]
            if len(others) and np.abs(others - extreme).min() > FAR * np.ptp(others) > 0:
                _warn(
                    f"{scene.path}: band {band.index} holds {extreme:g}, far from all its other "
                    f"values ({others.min():g} to {others.max():g}); if that stands for missing "
                    f"data, say so: gdal_edit.py -a_nodata {extreme:.17g} {scene.path}"
                )
                return


def _sample(
    scene: Scene, bands: tuple[SceneBand, ...], grid: Grid
) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
    """Rows spread over the grid, and of these some columns: (C, h, w) and (h, w)."""
    height, width = grid.shape
    values, valid = [], []
    with SceneReader(scene, bands, grid, (0.0,) * len(bands)) as reader:
        for row in range(0, height, math.ceil(height / SAMPLE_SIDE)):
            some, usable = reader.read(Window(row, 0, 1, width))
            step = math.ceil(width / SAMPLE_SIDE)
            values.append(some[:, :, ::step])
            valid.append(usable[:, ::step])
    return np.concatenate(values, axis=1), np.concatenate(valid)
