"""Data sets that torchgeo knows how to read, as labeled images."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from geocamss.errors import RecipeError
from geocamss.modelcard import ModelCard
from geocamss.training.sources.image import (
    IGNORED,
    LabeledImage,
    band_order,
    look_up,
    named_table,
)
from geocamss.training.sources.spec import TorchgeoSource

__all__ = ["load_torchgeo"]


def load_torchgeo(source: TorchgeoSource, card: ModelCard, data: Path) -> list[LabeledImage]:
    """Read a data set from disk; nothing is downloaded.

    Raises:
        RecipeError: torchgeo has no such data set, it is not on the disk, or its samples have no
            image and mask of the bands that the recipe names.
    """
    order = band_order(source.name, source.bands, card)
    table = named_table(source.values, card)
    return [
        _image(f"{source.dataset} {index}", sample, source, order, table)
        for index, sample in _samples(_dataset(source, data), source.limit)
    ]


def _dataset(source: TorchgeoSource, data: Path) -> Any:
    import torchgeo.datasets as known
    from torchgeo.datasets.errors import DatasetNotFoundError

    kind = getattr(known, source.dataset, None)
    if not (inspect.isclass(kind) and issubclass(kind, known.NonGeoDataset)):
        listed = [name for name in known.__all__ if inspect.isclass(getattr(known, name))]
        near = difflib.get_close_matches(source.dataset, listed, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise RecipeError(
            f"source {source.name!r}: torchgeo has no data set of images and masks called "
            f"{source.dataset!r}{hint}"
        )
    build: Any = kind
    try:
        return build(root=str(data / source.root), **source.options)
    except (DatasetNotFoundError, RuntimeError, OSError) as error:
        raise RecipeError(
            f"source {source.name!r}: {source.dataset} is not complete in {data / source.root}; "
            "download it there first"
        ) from error
    except (TypeError, AssertionError, ValueError) as error:
        raise RecipeError(f"source {source.name!r}: options: {error}") from error


def _samples(dataset: Any, limit: int | None) -> Iterator[tuple[int, dict[str, Tensor]]]:
    """Samples spread evenly over a data set."""
    count = len(dataset)
    step = 1 if limit is None else max(1, -(-count // limit))
    for index in range(0, count, step):
        yield index, dataset[index]


def _image(
    name: str, sample: dict[str, Tensor], source: TorchgeoSource, order: list[int], table: Tensor
) -> LabeledImage:
    try:
        image, mask = sample["image"], sample["mask"].squeeze()
    except KeyError as error:
        raise RecipeError(f"source {source.name!r}: its samples have no {error.args[0]}") from None
    if image.ndim != 3 or len(image) != len(source.bands) or mask.shape != image.shape[1:]:
        raise RecipeError(
            f"source {source.name!r}: wants {len(source.bands)} bands and a mask of the image's "
            f"size, {name} has {tuple(image.shape)} and {tuple(mask.shape)}"
        )
    valid = torch.isfinite(image).all(0)
    labels = look_up(mask, table).masked_fill(~valid, IGNORED)
    return LabeledImage(name, _compact(torch.nan_to_num(image[order])), labels, valid)


def _compact(image: Tensor) -> Tensor:
    """Whole numbers up to 255 as bytes: a quarter of the memory."""
    small = bool(((image >= 0) & (image <= 255) & (image == image.round())).all())
    return image.to(torch.uint8) if small else image.float()
