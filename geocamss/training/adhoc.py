"""A recipe from a scene and its labels: training with one command, without writing any YAML."""

from __future__ import annotations

import glob
import math
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import yaml
from numpy.typing import NDArray

from geocamss.errors import BandError, InputError, RecipeError
from geocamss.evaluation.labels import label_text
from geocamss.scene.band import SceneBand
from geocamss.scene.gdal import GDAL_ERRORS, gdal_environment, open_raster
from geocamss.scene.grid import choose_grid
from geocamss.scene.read import SceneReader
from geocamss.scene.scene import Scene
from geocamss.scene.window import Window
from geocamss.training.recipe import Recipe

__all__ = ["Own", "own_recipe", "recipe_text"]

SAMPLE_SIDE = 512
"""Statistics come from at most about this many rows and columns."""

MOST_CLASSES = 64
"""More values than these are measurements, not classes."""

BLOCK = 128
"""Width of the blocks of ground of which every fifth is held out, in pixels."""


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

    Bands, their statistics and the GSD come from the scene, the classes from the labels; every
    fifth block of ground is held out for validation.

    Returns:
        The recipe, and the data folder that its paths count from.

    Raises:
        InputError: the scene or the labels cannot be used; says what to give.
    """
    for path in (own.scene, own.labels):
        if not path.exists():
            raise InputError(f"{path}: no such file")
    scene = Scene.open(own.scene, own.bands)
    bands = _named(scene)
    data = Path(os.path.commonpath([own.scene.resolve().parent, own.labels.resolve().parent]))
    classes = _classes(own)
    mean, std, whole = _statistics(scene, bands)
    side = 64 if min(whole) < 512 else 128
    origin: dict[str, Any] = {
        "kind": "scenes",
        "name": own.scene.name,
        "scenes": [glob.escape(_below(own.scene, data))],
        "bands": own.bands or {},
        "labels": _below(own.labels, data),
        "column": own.column,
        "classes": {name: list(values) for name, values in classes.items()},
    }
    block = max(16, min(BLOCK, min(whole) // 5))
    budget = {} if minutes is None else {"minutes": minutes}
    recipe = Recipe.model_validate(
        {
            "card": {
                "name": own.name,
                "description": f"Trained on {own.scene.name} with {own.labels.name}.",
                "bands": [{"name": band.name} for band in bands],
                "gsd": scene.gsd or 1.0,
                "scale": [_tidy(band.scale) for band in bands],
                "offset": [_tidy(band.offset) for band in bands],
                "mean": mean,
                "std": std,
                "classes": list(classes),
                "chip": side * 2,
                "overlap": side // 2,
            },
            "sources": [{**origin, "part": {"block": block, "take": "most"}}],
            "validation": [{**origin, "part": {"block": block, "take": "held-out"}}],
            "training": {"chip": side, "epoch": 50, "validate_every": 4, **budget},
        }
    )
    return recipe, data


def recipe_text(recipe: Recipe) -> str:
    """A recipe as YAML, to keep beside its model."""
    return yaml.safe_dump(
        recipe.model_dump(mode="json", exclude_defaults=True), sort_keys=False, allow_unicode=True
    )


def _named(scene: Scene) -> tuple[SceneBand, ...]:
    named = tuple(band for band in scene.bands if band.name)
    if not named:
        raise BandError(
            f"{scene.path}: its {len(scene.bands)} band(s) have no names; say which is which, "
            "as in --bands red=1,green=2,blue=3"
        )
    return named


def _below(path: Path, folder: Path) -> str:
    return path.resolve().relative_to(folder).as_posix()


def _tidy(number: float) -> float:
    return float(f"{number:.9g}")


def _statistics(
    scene: Scene, bands: tuple[SceneBand, ...]
) -> tuple[list[float], list[float], tuple[int, int]]:
    """Mean and deviation by band in physical units, and the size of the scene's grid."""
    with gdal_environment(scene.path):
        grid = choose_grid(scene, 1.0, gsd="native")
        values, valid = _sample(scene, bands, grid)
    if not valid.any():
        raise RecipeError(f"{scene.path}: has no valid pixel")
    scale = np.array([band.scale for band in bands])[:, None]
    offset = np.array([band.offset for band in bands])[:, None]
    physical = values[:, valid].astype(np.float64) * scale + offset  # (C, N)
    mean = [_tidy(value) for value in physical.mean(1)]
    std = [_tidy(max(value, 1e-6)) for value in physical.std(1)]
    return mean, std, grid.shape


def _sample(
    scene: Scene, bands: tuple[SceneBand, ...], grid: Any
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


def _classes(own: Own) -> dict[str, tuple[str | int, ...]]:
    """What the labels call each class, by a name that a card may have."""
    try:
        with gdal_environment(str(own.labels)), open_raster(str(own.labels)) as dataset:
            values = _raster_values(dataset, own.labels)
    except (*GDAL_ERRORS, OSError, ValueError):
        return _polygon_classes(own)
    return {f"class {value}": (value,) for value in values}


def _raster_values(dataset: Any, path: Path) -> list[int]:
    if dataset.count != 1 or np.dtype(dataset.dtypes[0]).kind not in "iu":
        raise RecipeError(f"{path}: labels are one band of whole numbers, or polygons")
    found: set[int] = set()
    for _, window in dataset.block_windows(1):
        found |= set(np.unique(dataset.read(1, window=window)).tolist())
        if len(found) > MOST_CLASSES + 1:
            raise RecipeError(f"{path}: more than {MOST_CLASSES} values; these are no classes")
    found.discard(int(dataset.nodata) if dataset.nodata is not None else 255)
    if not found:
        raise RecipeError(f"{path}: no pixel has a label")
    return sorted(found)


def _polygon_classes(own: Own) -> dict[str, tuple[str | int, ...]]:
    try:
        info = pyogrio.read_info(own.labels)
    except pyogrio.errors.DataSourceError as error:
        raise InputError(
            f"{own.labels}: labels are neither a raster nor a vector file that can be read: {error}"
        ) from error
    fields = list(info["fields"])
    if own.column not in fields:
        asked = "" if own.column is None else f"no field {own.column!r}; "
        raise InputError(
            f"{own.labels}: {asked}say which field holds the class with --class-field: "
            f"{', '.join(fields) or 'it has none'}"
        )
    frame = pyogrio.read_dataframe(own.labels, columns=[own.column], read_geometry=False)
    values = sorted(set(frame[own.column].map(label_text)) - {""})
    if not values or len(values) > MOST_CLASSES:
        raise RecipeError(f"{own.labels}: field {own.column!r} has {len(values)} classes")
    classes: dict[str, tuple[str | int, ...]] = {}
    for value in values:
        name = re.sub(r"\s+", " ", value).strip() or "class"
        classes[name] = (*classes.get(name, ()), value)
    return classes
