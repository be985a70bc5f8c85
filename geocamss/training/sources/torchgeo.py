"""Data sets that torchgeo knows how to read, as labeled images."""

from __future__ import annotations

import difflib
import inspect
import io
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rasterio.crs import CRS
from rasterio.features import geometry_mask
from rasterio.transform import from_origin
from torch import Tensor

from geocamss.errors import RecipeError
from geocamss.modelcard import ModelCard
from geocamss.scene.grid import Grid, lattice_origin
from geocamss.training.sources.image import (
    IGNORED,
    LabeledImage,
    band_order,
    look_up,
    named_table,
)
from geocamss.training.sources.part import keep_part
from geocamss.training.sources.spec import Part, TorchgeoData, TorchgeoSource

__all__ = ["load_torchgeo"]

SEED = 0
"""Chooses random windows: a recipe has the same ones every time."""


def load_torchgeo(source: TorchgeoSource, card: ModelCard, data: Path) -> list[LabeledImage]:
    """Read a data set from disk; nothing is downloaded.

    Raises:
        RecipeError: torchgeo has no such data set, it is not on the disk, or its samples have no
            image and mask of the bands that the recipe names.
    """
    order = band_order(source.name, source.bands, card)
    table = named_table(source.values, card)
    dataset = _dataset(source, source, data)
    if source.masks is not None:
        dataset = _both(source, dataset, _dataset(source, source.masks, data))
    if _is_on_the_ground(dataset):
        found = [
            _placed(
                _image(f"{source.dataset} {number}", dataset[window], source, order, table),
                dataset,
                window,
            )
            for number, window in enumerate(_windows(dataset, source))
        ]
    else:
        found = [
            _image(f"{source.dataset} {index}", sample, source, order, table)
            for index, sample in _samples(dataset, source.limit)
        ]
    return [_part_of(item, source.part) for item in found]


def _dataset(source: TorchgeoSource, wanted: TorchgeoData, data: Path) -> Any:
    import torchgeo.datasets as known
    from torchgeo.datasets.errors import DatasetNotFoundError

    kind = getattr(known, wanted.dataset, None)
    kinds = (known.NonGeoDataset, known.GeoDataset)
    if not (inspect.isclass(kind) and issubclass(kind, kinds)):
        listed = [name for name in known.__all__ if inspect.isclass(getattr(known, name))]
        near = difflib.get_close_matches(wanted.dataset, listed, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise RecipeError(
            f"source {source.name!r}: torchgeo has no data set of images and masks called "
            f"{wanted.dataset!r}{hint}"
        )
    build: Any = kind
    place = "root" if "root" in inspect.signature(build).parameters else "paths"
    try:
        return build(**{place: str(data / wanted.root)}, **wanted.options)
    except (DatasetNotFoundError, RuntimeError, OSError) as error:
        raise RecipeError(
            f"source {source.name!r}: {wanted.dataset} is not complete in {data / wanted.root}; "
            "download it there first"
        ) from error
    except (TypeError, AssertionError, ValueError) as error:
        raise RecipeError(f"source {source.name!r}: options: {error}") from error


def _is_on_the_ground(dataset: Any) -> bool:
    from torchgeo.datasets import GeoDataset

    return isinstance(dataset, GeoDataset)


def _both(source: TorchgeoSource, images: Any, masks: Any) -> Any:
    """Images with the masks of another data set, brought onto the images' grid.

    Raises:
        RecipeError: one of them has no place on the ground, or they share no ground.
    """
    from torchgeo.datasets import IntersectionDataset

    if not (_is_on_the_ground(images) and _is_on_the_ground(masks)):
        raise RecipeError(
            f"source {source.name!r}: masks goes with data sets on the ground; torchgeo's pictures "
            "bring their masks along"
        )
    try:
        with redirect_stdout(io.StringIO()):  # it prints that it brings one onto the other's grid
            return IntersectionDataset(images, masks)
    except RuntimeError as error:
        raise RecipeError(f"source {source.name!r}: {error}") from error


def _samples(dataset: Any, limit: int | None) -> Iterator[tuple[int, dict[str, Tensor]]]:
    """Samples spread evenly over a data set."""
    count = len(dataset)
    step = 1 if limit is None else max(1, -(-count // limit))
    for index in range(0, count, step):
        yield index, dataset[index]


def _windows(dataset: Any, source: TorchgeoSource) -> list[Any]:
    """Windows of a data set on the ground, as torchgeo indexes it.

    Raises:
        RecipeError: all images are smaller than a window.
    """
    from torchgeo.samplers import GridGeoSampler, RandomGeoSampler

    grid = list(GridGeoSampler(dataset, source.window))
    if not grid:
        raise RecipeError(
            f"source {source.name!r}: no image has {source.window} by {source.window} pixels; give "
            "a smaller window"
        )
    if source.windows == "random":
        # The sampler draws some of its numbers from the global generator.
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(SEED)
            return list(RandomGeoSampler(dataset, source.window, source.limit or len(grid)))
    step = 1 if source.limit is None else max(1, -(-len(grid) // source.limit))
    return grid[::step]


def _placed(item: LabeledImage, dataset: Any, window: Any) -> LabeledImage:
    """An image of a window, with its place on the ground.

    What lies in no file of the window's time is not valid.
    """
    across, down, time = window
    height, width = item.labels.shape
    sides = ((across.stop - across.start) / width, (down.stop - down.start) / height)
    transform = from_origin(across.start, down.stop, *sides)
    crs = CRS.from_wkt(dataset.crs.to_wkt())
    grid = Grid(crs, transform, width, height, lattice_origin(transform), aligned=(0, 0))
    files = dataset.index
    files = files[(files.index.left <= time.stop) & (files.index.right > time.start)]
    files = files.cx[across.start : across.stop, down.start : down.stop]
    outside = geometry_mask(files.geometry, grid.shape, transform)
    valid = item.valid & ~torch.from_numpy(outside)
    labels = item.labels.masked_fill(~valid, IGNORED)
    return replace(item, labels=labels, valid=valid, grid=grid)


def _part_of(item: LabeledImage, part: Part | None) -> LabeledImage:
    """An image with the labels of a part alone; of windows that overlap, the same ground."""
    corner = (0, 0) if item.grid is None else item.grid.origin
    return replace(item, labels=keep_part(item.labels, part, corner))


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
    if source.nodata is not None:
        valid &= (image != source.nodata).any(0)
    labels = look_up(mask, table).masked_fill(~valid, IGNORED)
    return LabeledImage(name, _compact(torch.nan_to_num(image[order])), labels, valid)


def _compact(image: Tensor) -> Tensor:
    """Whole numbers up to 255 as bytes: a quarter of the memory."""
    small = bool(((image >= 0) & (image <= 255) & (image == image.round())).all())
    return image.to(torch.uint8) if small else image.float()
