"""LabeledImage: what every source turns into."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from geocamss.errors import RecipeError
from geocamss.modelcard import ModelCard
from geocamss.scene.bands import spoken_name
from geocamss.scene.grid import Grid
from geocamss.training.sources.places import Places

__all__ = [
    "IGNORED",
    "LabeledImage",
    "as_stored",
    "band_order",
    "channel_table",
    "look_up",
    "named_table",
    "rescaled",
]

IGNORED = 255
"""Label of pixels that count in no loss and no score."""


@dataclass(frozen=True)
class LabeledImage:
    """An image with its labels."""

    name: str
    """Where it came from, for messages."""

    image: Tensor
    """(C, H, W) in the type of the file, which takes least memory; see ``pixels``."""

    labels: Tensor
    """(H, W) uint8, channel numbers of the class scheme; 255 is ignored."""

    valid: Tensor
    """(H, W) bool, True = usable."""

    grid: Grid | None = None
    """Where on the ground it lies, if that is known."""

    units: tuple[tuple[float, float], ...] | None = None
    """Factor and summand by band, of numbers that are stored otherwise than the card describes."""

    def __post_init__(self) -> None:
        size = tuple(self.image.shape[1:])
        if self.image.ndim != 3 or self.labels.shape != size or self.valid.shape != size:
            raise ValueError(
                f"{self.name}: image {tuple(self.image.shape)}, labels "
                f"{tuple(self.labels.shape)} and validity {tuple(self.valid.shape)} must agree"
            )

    def pixels(self) -> Tensor:
        """(C, H, W) float32, as the card's scale and offset describe them."""
        return self.scaled(self.image)

    def scaled(self, stored: Tensor) -> Tensor:
        """Numbers that are stored as the image's are, (C, h, w), as ``pixels`` gives them."""
        pixels = stored.float()
        if self.units is None:
            return pixels
        factor, summand = torch.tensor(self.units).T[:, :, None, None]
        scaled: Tensor = pixels * factor + summand
        return scaled

    def part(self, rows: slice, cols: slice) -> LabeledImage:
        """A window of it, which shares its memory and has no grid."""
        return LabeledImage(
            self.name,
            self.image[:, rows, cols],
            self.labels[rows, cols],
            self.valid[rows, cols],
            units=self.units,
        )

    @cached_property
    def places(self) -> Places:
        """Where its labels lie."""
        return Places.of(self.labels, IGNORED)


def channel_table(values: dict[int, int]) -> Tensor:
    """A table to look labels up in.

    Args:
        values: Channel by stored label, 0 to 255.

    Returns:
        (256,) uint8; 255 for labels that are no class.
    """
    table = torch.full((256,), IGNORED, dtype=torch.uint8)
    for value, channel in values.items():
        table[value] = channel
    return table


def look_up(labels: Tensor, table: Tensor) -> Tensor:
    """Channels of stored labels.

    Args:
        labels: (...) of any type.
        table: As ``channel_table`` makes it.

    Returns:
        (...) uint8; 255 where a label is no class, or beyond 0 to 255.
    """
    if not labels.is_floating_point():
        labels = labels.long()  # no byte is less than 256, which is 0 to it
    known = (labels >= 0) & (labels < len(table))
    return table[torch.where(known, labels, 0).long()].masked_fill(~known, IGNORED)


def named_table(values: Mapping[str, int], card: ModelCard) -> Tensor:
    """A table to look labels up in, as ``channel_table``, from stored labels by class name."""
    names = card.classes.names
    return channel_table({value: names.index(name) for name, value in values.items()})


def band_order(source: str, bands: Sequence[str], card: ModelCard) -> list[int]:
    """Where in a source's bands those of the card stand.

    Raises:
        RecipeError: one is not there.
    """
    known = [spoken_name(name) for name in bands]
    wanted = [spoken_name(name) for name in card.band_names]
    for own, name in zip(card.band_names, wanted, strict=True):
        if name not in known:
            raise RecipeError(f"source {source!r}: has no band {own!r}; it has {', '.join(bands)}")
    return [known.index(name) for name in wanted]


def as_stored(physical: Tensor, card: ModelCard) -> Tensor:
    """Physical values as a file would store them that the card's scale and offset describe.

    Args:
        physical: (C, H, W) float32.
        card: Of the model to train.
    """
    scale = torch.tensor(card.per_band("scale"))[:, None, None]
    offset = torch.tensor(card.per_band("offset"))[:, None, None]
    return (physical - offset) / scale


def rescaled(
    units: Sequence[tuple[float, float] | None], card: ModelCard
) -> tuple[tuple[float, float], ...] | None:
    """What makes of stored values those that the card's scale and offset describe.

    Args:
        units: Scale and offset of the stored values, by band; None where the card's count.
        card: Of the model to train.

    Returns:
        Factor and summand by band; None where all values are already so.
    """
    if not any(units):
        return None
    found = []
    own = zip(card.per_band("scale"), card.per_band("offset"), strict=True)
    for said, (scale, offset) in zip(units, own, strict=True):
        theirs, zero = said or (scale, offset)
        found.append((theirs / scale, (zero - offset) / scale))
    return tuple(found)
