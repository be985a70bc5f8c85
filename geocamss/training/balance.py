"""Class balance: each class claimed as often as the labels have it.

Class weights and the Dice loss make a network claim rare classes more often than they are there.
One number a class, added to its logit, takes that back: those of the least negative log-likelihood
of the training images, mapped as any scene is (the bias of bias-corrected temperature scaling;
Alexandari et al., "Maximum Likelihood with Bias-Corrected Calibration is Hard-To-Beat at Label
Shift Adaptation", 2020). With them the mean probability of a class is its share of the labels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax

from geocamss.models.segmenter import Segmenter
from geocamss.training.answers import answers
from geocamss.training.batches import Pool
from geocamss.training.sources import LabeledImage

__all__ = ["balance", "class_shifts"]

MAPPED = 1 << 26
"""Pixels of each source that are mapped, about; more if its first image has more."""

MOST = 3.0
"""No shift is believed beyond: a few images say little of a class that hardly any of them holds."""


def balance(segmenter: Segmenter, pools: Sequence[Pool]) -> torch.Tensor:
    """What to add to a segmenter's logits, from the images that it was trained on.

    Args:
        segmenter: The model.
        pools: The images, and what each source weighs; within one all pixels count alike.

    Returns:
        (K,) float32 with mean zero; 0 for classes that no pixel has.
    """
    logs, labels, weights = [], [], []
    for pool in pools:
        images = _spread(pool.images)
        if images:
            said, known = answers(segmenter, images)
            logs.append(said)
            labels.append(known)
            weights.append(np.full(len(known), pool.weight / max(1, len(known))))
    if not logs:
        return torch.zeros(len(segmenter.card.classes))
    shifts = class_shifts(np.concatenate(logs), np.concatenate(labels), np.concatenate(weights))
    return torch.from_numpy(shifts).float()


def class_shifts(
    logits: NDArray[np.floating], labels: NDArray[np.integer], weights: NDArray[np.floating]
) -> NDArray[np.float64]:
    """What to add to logits for the least negative log-likelihood.

    Args:
        logits: (pixels, K).
        labels: (pixels,) channel numbers.
        weights: (pixels,), how much each pixel counts.

    Returns:
        (K,) with mean zero; 0 for classes that no pixel has.
    """
    shifts = np.zeros(logits.shape[1])
    classes, channels = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        return shifts
    known = logits[:, classes].astype(np.float64)
    weights = weights / weights.sum()
    shares = np.bincount(channels, weights)
    pixels = np.arange(len(labels))

    def surprise(added: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        logs = log_softmax(known + added, axis=1)
        return -(weights @ logs[pixels, channels]), weights @ np.exp(logs) - shares

    limits = [(-MOST, MOST)] * len(classes)
    best = minimize(surprise, np.zeros(len(classes)), jac=True, bounds=limits)
    shifts[classes] = best.x - best.x.mean()
    return shifts


def _spread(images: Sequence[LabeledImage]) -> Sequence[LabeledImage]:
    """Labeled images at even distances, as many as are mapped."""
    labeled = [image for image in images if image.places.total]
    step = -(-sum(image.labels.numel() for image in labeled) // MAPPED)
    return labeled[:: max(1, step)]
