"""Arrays in ``.npz`` files as labeled images."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from geocamss.errors import RecipeError
from geocamss.modelcard import ModelCard
from geocamss.training.sources.image import (
    IGNORED,
    LabeledImage,
    as_stored,
    band_order,
    look_up,
    named_table,
)
from geocamss.training.sources.part import keep_part
from geocamss.training.sources.spec import ArraySource

__all__ = ["load_arrays"]


def load_arrays(source: ArraySource, card: ModelCard, data: Path) -> list[LabeledImage]:
    """Read a source's files, the card's bands in the card's order.

    Raises:
        RecipeError: a file is missing or damaged, or lacks an array or a band.
    """
    order = band_order(source.name, source.bands, card)
    table = named_table(source.values, card)
    return [_load(data / file, source, card, order, table) for file in source.files]


def _load(
    path: Path, source: ArraySource, card: ModelCard, order: list[int], table: torch.Tensor
) -> LabeledImage:
    image, values = _arrays(path, source)
    if image.ndim != 3 or image.shape[2] != len(source.bands):
        raise RecipeError(
            f"{path}: {source.image} must be (H, W, {len(source.bands)}), got {image.shape}"
        )
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[:, :, 0]
    if values.shape != image.shape[:2]:
        raise RecipeError(f"{path}: {source.labels} must be {image.shape[:2]}, got {values.shape}")
    pixels = torch.from_numpy(np.moveaxis(image[:, :, order], -1, 0).astype(np.float32))
    valid = torch.isfinite(pixels).all(0)  # (H, W)
    stored = as_stored(torch.nan_to_num(pixels), card)
    labels = look_up(torch.from_numpy(values.astype(np.int64)), table).masked_fill(~valid, IGNORED)
    return LabeledImage(str(path), stored, keep_part(labels, source.part), valid)


def _arrays(path: Path, source: ArraySource) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return file[source.image], file[source.labels]
    except KeyError as error:
        raise RecipeError(f"{path}: {error.args[0]}") from None
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise RecipeError(f"{path}: cannot be read: {error}") from None
