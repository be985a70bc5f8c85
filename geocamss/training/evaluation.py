"""Scoring a segmenter on labeled images held in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from geocamss.evaluation.scores import Scores, confusion, scores
from geocamss.models.segmenter import Sampling, Segmenter
from geocamss.training.batches import normalize, physical
from geocamss.training.sources import IGNORED, LabeledImage

__all__ = ["map_image", "score_images"]


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
        predicted = map_image(segmenter, item, sampling or Sampling()).argmax(0)
        labels = item.labels.masked_fill(~item.valid, IGNORED)
        total += confusion(predicted.numpy(), labels.numpy(), classes)
    return scores(total)


def map_image(segmenter: Segmenter, item: LabeledImage, sampling: Sampling) -> Tensor:
    """Probabilities of a whole image, chips blended by a ramp over their overlap.

    Returns:
        (K, H, W) float32.
    """
    card = segmenter.card
    height, width = item.labels.shape
    image = normalize(physical(item.image, card), item.valid, card)
    total = torch.zeros(len(card.classes), height, width)
    weights = torch.zeros(height, width)
    ramp = _ramp(card.chip, card.overlap)
    step = card.chip - card.overlap
    for row, rows in _spans(height, card.chip, step, card.halo):
        for col, cols in _spans(width, card.chip, step, card.halo):
            chip = torch.zeros(1, len(card.bands), card.chip, card.chip)
            valid = torch.zeros(1, card.chip, card.chip, dtype=torch.bool)
            inside = (
                slice(rows.start - row, rows.stop - row),
                slice(cols.start - col, cols.stop - col),
            )
            chip[0][(slice(None), *inside)] = image[:, rows, cols]
            valid[0][inside] = item.valid[rows, cols]
            corner = torch.tensor([[row, col]])
            to = segmenter.device
            found = segmenter(chip.to(to), valid.to(to), corner, sampling)[0].float().cpu()
            weight = (ramp[:, None] * ramp[None, :])[inside]
            total[:, rows, cols] += found[(slice(None), *inside)] * weight
            weights[rows, cols] += weight
    return total / weights


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
