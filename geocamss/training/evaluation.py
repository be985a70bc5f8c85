"""Scoring a segmenter on labeled images held in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from geocamss.evaluation.scores import Scores, confusion, scores
from geocamss.models.samples import segment_with_entropy
from geocamss.models.segmenter import Sampling, Segmenter
from geocamss.training.batches import normalize, physical
from geocamss.training.sources import IGNORED, LabeledImage

__all__ = ["map_image", "map_labeled", "score_images"]

LEAST_WEIGHT = 1e-12
"""Far below the weight of any chip over its pixels: what no chip has seen stays 0."""


def score_images(
    segmenter: Segmenter, images: Sequence[LabeledImage], sampling: Sampling | None = None
) -> Scores:
    """Map images and compare them with their labels.

    Args:
        segmenter: The model.
        images: What to map; labels are channel numbers of the model's classes.
        sampling: How to draw; None is the card's way.
    """
    classes = len(segmenter.card.classes)
    total = np.zeros((classes, classes + 1), np.int64)
    for item in images:
        for found, labels in map_labeled(segmenter, item, sampling or Sampling()):
            total += confusion(found.argmax(0).numpy(), labels.numpy(), classes)
    return scores(total)


def map_labeled(
    segmenter: Segmenter, item: LabeledImage, sampling: Sampling, *, entropies: bool = False
) -> Iterator[tuple[Tensor, Tensor]]:
    """Map what an image has labels of: chips without any are left out.

    Args:
        segmenter: The model.
        item: What to map.
        sampling: How to draw.
        entropies: Whether the samples' mean entropy is wanted too, as ``segment_with_entropy`` has
            it.

    Yields:
        Strips from above to below: probabilities (K, h, W) float32, or (K + 1, h, W) with the
        entropies last, right wherever there is a label, and labels (h, W) uint8, 255 where they do
        not count.
    """
    labels = item.labels.masked_fill(~item.valid, IGNORED)
    for rows, found in _strips(segmenter, item, sampling, labels != IGNORED, entropies=entropies):
        yield found, labels[rows]


def map_image(segmenter: Segmenter, item: LabeledImage, sampling: Sampling) -> Tensor:
    """Probabilities of a whole image, chips blended by a ramp over their overlap.

    Returns:
        (K, H, W) float32.
    """
    everywhere = torch.ones_like(item.valid)
    return torch.cat([f for _, f in _strips(segmenter, item, sampling, everywhere)], dim=1)


def _strips(
    segmenter: Segmenter,
    item: LabeledImage,
    sampling: Sampling,
    wanted: Tensor,
    *,
    entropies: bool = False,
) -> Iterator[tuple[slice, Tensor]]:
    """Map the chips that hold a wanted pixel; one row of chips is held in memory.

    Args:
        segmenter: The model.
        item: What to map.
        sampling: How to draw.
        wanted: (H, W) bool.
        entropies: Whether one plane more is wanted, the samples' mean entropy.

    Yields:
        Rows, without a gap, and their probabilities (K, h, W) float32: 0 outside the chips.
    """
    card = segmenter.card
    height, width = item.labels.shape
    ramp = _ramp(card.chip, card.overlap)
    step = card.chip - card.overlap
    planes = len(card.classes) + entropies
    total = torch.zeros(planes, card.chip, width)  # of the chips' rows
    weights = torch.zeros(card.chip, width)
    for row, rows in _spans(height, card.chip, step, card.halo):
        for col, cols in _spans(width, card.chip, step, card.halo):
            if not bool(wanted[rows, cols].any()):
                continue
            inside = (
                slice(rows.start - row, rows.stop - row),
                slice(cols.start - col, cols.stop - col),
            )
            part = item.part(rows, cols)
            found = _map_chip(segmenter, part, (row, col), inside, sampling, entropies=entropies)
            weight = (ramp[:, None] * ramp[None, :])[inside]
            total[:, inside[0], cols] += found * weight
            weights[inside[0], cols] += weight
        # What the next row of chips does not reach is finished.
        last = row + step >= height - card.halo
        done = slice(max(-row, 0), min(card.chip if last else step, height - row))
        yield (
            slice(row + done.start, row + done.stop),
            total[:, done] / weights[done].clamp(min=LEAST_WEIGHT),
        )
        total, weights = _shifted(total, step), _shifted(weights, step)


def _map_chip(
    segmenter: Segmenter,
    part: LabeledImage,
    corner: tuple[int, int],
    inside: tuple[slice, slice],
    sampling: Sampling,
    *,
    entropies: bool,
) -> Tensor:
    """Probabilities of a part of an image, (K, h, w) float32, or (K + 1, h, w) with entropies.

    Args:
        segmenter: The model.
        part: No larger than a chip.
        corner: Row and column of the chip, in the image.
        inside: Where in the chip the part lies.
        sampling: How to draw.
        entropies: Whether the samples' mean entropy is wanted too.
    """
    card = segmenter.card
    chip = torch.zeros(1, len(card.bands), card.chip, card.chip)
    valid = torch.zeros(1, card.chip, card.chip, dtype=torch.bool)
    chip[0][(slice(None), *inside)] = normalize(physical(part.pixels(), card), part.valid, card)
    valid[0][inside] = part.valid
    to = segmenter.device
    given = chip.to(to), valid.to(to), torch.tensor([corner]), sampling
    found = segment_with_entropy(segmenter, *given) if entropies else segmenter(*given)
    return found[0].float().cpu()[(slice(None), *inside)]


def _shifted(rows: Tensor, step: int) -> Tensor:
    """Rows (..., h, W) moved up by a step, with 0 below."""
    return torch.cat([rows[..., step:, :], torch.zeros_like(rows[..., :step, :])], dim=-2)


def _ramp(chip: int, overlap: int) -> Tensor:
    """Weight along a chip's side: rises over the overlap, falls over it at the other end."""
    if overlap == 0:
        return torch.ones(chip)
    rise = (torch.arange(chip) + 0.5) / overlap
    return torch.minimum(rise, rise.flip(0)).clamp(max=1.0)


def _spans(length: int, chip: int, step: int, halo: int) -> Iterator[tuple[int, slice]]:
    """Chip starts over an image's side, the first one a halo before it, and what lies inside."""
    for start in range(-halo, length - halo, step):
        yield start, slice(max(start, 0), min(start + chip, length))
