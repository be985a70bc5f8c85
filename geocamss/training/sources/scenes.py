"""Scenes on the ground as labeled images: read as ``geocamss predict`` reads them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from geocamss.errors import InputError, RecipeError
from geocamss.evaluation.labels import LabelFile
from geocamss.modelcard import ModelCard
from geocamss.models.normalize import Normalizer
from geocamss.scene.bundle import Bundle, BundleBand
from geocamss.scene.gdal import gdal_environment
from geocamss.scene.grid import Grid, choose_grid
from geocamss.scene.scene import Scene
from geocamss.scene.units import units_of
from geocamss.scene.window import Window
from geocamss.training.sources.image import IGNORED, LabeledImage, rescaled
from geocamss.training.sources.part import keep_part
from geocamss.training.sources.pixels import STRIP, read_pixels
from geocamss.training.sources.spec import ScenesSource

__all__ = ["load_scenes"]


def load_scenes(source: ScenesSource, card: ModelCard, data: Path) -> list[LabeledImage]:
    """Read a source's scenes onto the grids that a map of them would have.

    Raises:
        RecipeError: a file is missing or cannot be used, or labels and scene do not meet.
    """
    try:
        return [
            _load(
                name,
                Scene.open(scene, source.bands, card),
                LabelFile(labels, source.meaning, source.column),
                card,
                source,
            )
            for name, scene, labels in _pairs(source, data)
        ]
    except RecipeError:  # names its source already
        raise
    except InputError as error:
        raise RecipeError(f"source {source.name!r}: {error}") from error


def _load(
    name: str, scene: Scene, labels: LabelFile, card: ModelCard, source: ScenesSource
) -> LabeledImage:
    """Read one scene and what is known of it.

    Raises:
        InputError: the scene lacks a band, or the labels cannot be laid over it.
        RecipeError: no pixel of the scene has a label.
    """
    bands = scene.select(card)
    grid = choose_grid(scene, card.gsd)
    with gdal_environment(scene.path):
        units = units_of(scene, bands, card)
        normalizer = Normalizer.of(card, units)
        pixels, valid = read_pixels(scene, bands, grid, normalizer.fill)
        known = _labels(labels, grid, card)
    known = known.masked_fill(~valid, IGNORED)
    if not bool((known != IGNORED).any()):
        raise RecipeError(
            f"source {source.name!r}: no pixel of {name} has a label of {labels.path}; "
            "do they show the same ground?"
        )
    part = keep_part(known, source.part)
    return LabeledImage(name, pixels, part, valid, grid, rescaled(units, card))


def _pairs(source: ScenesSource, data: Path) -> Iterator[tuple[str, str, str]]:
    """Each scene: its name, what ``Scene.open`` takes, and the file of its labels."""
    if source.files:
        bands = tuple(
            BundleBand(name, str(data / file), scale=source.scale, offset=source.offset)
            for name, file in source.files.items()
        )
        bundle = Bundle(source.name, source.name, bands)
        yield source.name, bundle.to_text(), str(data / source.labels)
        return
    for pattern in source.scenes:
        found = sorted(data.glob(pattern))
        if not found:
            raise RecipeError(
                f"source {source.name!r}: no file {pattern} in {data}; check --data and scenes"
            )
        for path in found:
            labels = data / source.labels.replace("{stem}", path.stem)
            yield str(path), str(path), str(labels)


def _labels(labels: LabelFile, grid: Grid, card: ModelCard) -> Tensor:
    """Channels of the whole grid, (H, W) uint8."""
    height, width = grid.shape
    opened = labels.open(grid, card.classes)
    try:
        strips = [
            opened.read(Window(row, 0, min(STRIP, height - row), width))
            for row in range(0, height, STRIP)
        ]
    finally:
        opened.close()
    return torch.from_numpy(np.concatenate(strips))
