"""Batches: a pure function of the recipe, the data and the number of the step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Generator, Tensor
from torch.utils.data import Dataset

from geocamss.modelcard import ModelCard
from geocamss.training.augment import Chip, chance, colorize, cut, hide_corner
from geocamss.training.channels import draw_channels
from geocamss.training.corrupt import corrupt
from geocamss.training.recipe import Training
from geocamss.training.sources import LabeledImage

__all__ = [
    "Batch",
    "Batches",
    "Pool",
    "choose_image",
    "class_frequencies",
    "image_chances",
    "normalize",
    "physical",
    "statistics",
    "step_generator",
    "tones",
]


MOST_APART = 10.0
"""The brightest band of one kind of light is at most so many times as bright as the darkest."""


class Batch(NamedTuple):
    """What one training step sees; a tuple, because Lightning moves no frozen dataclass."""

    chips: Tensor
    """(B, C, H, W) float32, normalized; 0 where not valid."""

    labels: Tensor
    """(B, H, W) int64, channel numbers; 255 is ignored."""

    valid: Tensor
    """(B, H, W) bool, True = usable."""


@dataclass(frozen=True)
class Pool:
    """The images of one source, and how often it is drawn from."""

    images: Sequence[LabeledImage]
    weight: float


def step_generator(seed: int, step: int, purpose: int) -> Generator:
    """Randomness of one step for one purpose, whatever came before."""
    mixed = (seed * 1_000_003 + step) * 16 + purpose
    return Generator().manual_seed(mixed % (1 << 63))


def normalize(image: Tensor, valid: Tensor, card: ModelCard) -> Tensor:
    """Physical values to network inputs: less the mean, by the deviation, 0 where not valid.

    Args:
        image: (..., C, H, W) float32 in physical units.
        valid: (..., H, W) bool.
        card: Whose mean and deviation to use.
    """
    mean, std = statistics(card)
    return ((image - mean) / std).masked_fill(~valid.unsqueeze(-3), 0)


def physical(image: Tensor, card: ModelCard) -> Tensor:
    """Stored values to physical ones; (..., C, H, W)."""
    scale = torch.tensor(card.per_band("scale"))[:, None, None]
    offset = torch.tensor(card.per_band("offset"))[:, None, None]
    return image.float() * scale + offset


class Batches(Dataset[Batch]):
    """Batch ``index`` of a run; images are drawn by labeled area, sources by weight."""

    def __init__(
        self, pools: Sequence[Pool], card: ModelCard, training: Training, first: int, count: int
    ) -> None:
        """Take the batches from number ``first`` on, ``count`` of them."""
        self._images = [image for pool in pools for image in pool.images]
        self._chances = image_chances(pools)
        self._card = card
        self._black, self._white = tones(card)
        self._mean, self._std = statistics(card)
        self._training = training
        self._first = first
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Batch:
        """Make a batch."""
        if not 0 <= index < self._count:
            raise IndexError(index)
        generator = step_generator(self._training.seed, self._first + index, purpose=0)
        chips = [self._chip(generator) for _ in range(self._training.batch)]
        valid = torch.stack([chip.valid for chip in chips])
        images = torch.stack([chip.image for chip in chips])
        labels = torch.stack([chip.labels for chip in chips])
        return Batch(normalize(images, valid, self._card), labels, valid)

    def _chip(self, generator: Generator) -> Chip:
        how = self._training.augmentation
        source = choose_image(self._images, self._chances, generator)
        chip = cut(source, self._training.chip, how, generator)
        chip = hide_corner(chip, how, generator)
        # Gamma and noise are meant for values from 0 to 1, whatever the units of the card.
        image = (physical(chip.image, self._card) - self._black) / (self._white - self._black)
        image = colorize(image, how, generator)
        if chance(how.corrupted, generator):
            image = corrupt(image, chip.valid, self._card.band_names, generator)
        image = image * (self._white - self._black) + self._black
        if how.shuffled and chance(how.shuffled, generator):
            image = self._shuffled(image, generator)
        return Chip(image, chip.labels, chip.valid)

    def _shuffled(self, image: Tensor, generator: Generator) -> Tensor:
        """Bands in random places, in the units of those that stood there: nothing tells them."""
        order = draw_channels(len(image), len(image), generator)
        return ((image - self._mean) / self._std)[order] * self._std + self._mean


def statistics(card: ModelCard) -> tuple[Tensor, Tensor]:
    """Mean and deviation of the bands in physical units, each (C, 1, 1) float32."""
    mean = torch.tensor(card.per_band("mean"))[:, None, None]
    return mean, torch.tensor(card.per_band("std"))[:, None, None]


def tones(card: ModelCard) -> tuple[Tensor, Tensor]:
    """A dark and a bright value of each band, in physical units.

    Bands of one kind of light share them, so that colors stay what they are: nothing, and two
    deviations above the mean of the brightest band. Heights, decibels or indices beside them have
    no such zero and other units: each band then has its own, two deviations around its mean.

    Returns:
        Black and white, each (C, 1, 1) float32.
    """
    mean, std = statistics(card)
    white = mean + 2 * std
    if bool((mean > std).all()) and float(white.max()) <= MOST_APART * float(white.min()):
        return torch.zeros_like(white), white.max().expand_as(white)
    return mean - 2 * std, white


def image_chances(pools: Sequence[Pool]) -> Tensor:
    """How often each image of all pools is drawn, by its source's weight and its area.

    What counts of the area is the ground near labels; all of it where no image has any.
    """
    return torch.cat([_chances(pool) for pool in pools])


def choose_image(
    images: Sequence[LabeledImage], chances: Tensor, generator: Generator
) -> LabeledImage:
    """Draw an image."""
    return images[int(torch.multinomial(chances, 1, generator=generator))]


def _chances(pool: Pool) -> Tensor:
    labeled = [item.places.area for item in pool.images]
    counted = labeled if any(labeled) else [item.labels.numel() for item in pool.images]
    areas = torch.tensor([float(area) ** 0.5 for area in counted])
    return areas / areas.sum() * pool.weight


def class_frequencies(pools: Sequence[Pool], classes: int) -> Tensor:
    """Share of each class among the labeled pixels as they are drawn, (K,) float32."""
    total = torch.zeros(classes)
    for pool in pools:
        for item, share in zip(pool.images, _chances(pool), strict=True):
            counts = torch.bincount(item.labels.reshape(-1), minlength=256)[:classes].float()
            total += counts / counts.sum().clamp(min=1) * share
    return total / total.sum().clamp(min=1e-9)
