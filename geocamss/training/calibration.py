"""Calibration at the end of a training: the temperature, from the labels that were held out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from geocamss.evaluation.calibrate import best_temperature
from geocamss.evaluation.reliability import calibration, level_counts
from geocamss.models.segmenter import Segmenter
from geocamss.training.answers import answers
from geocamss.training.sources import LabeledImage

__all__ = ["Calibrated", "calibrate"]

TRUSTED = (0.5, 5.0)
"""No temperature beyond these is believed: pixels that were held out lie beside those that were
learned from, and few of them say little."""


@dataclass(frozen=True)
class Calibrated:
    """What was found."""

    temperature: float
    """For the card."""

    ece: float
    """Expected calibration error with it, 0 to 1."""

    ece_before: float
    """The same with the card's temperature of before."""


def calibrate(segmenter: Segmenter, images: Sequence[LabeledImage]) -> Calibrated:
    """Fit a temperature to labeled images that the model was not trained on.

    Args:
        segmenter: The model.
        images: At least one of them has a label.
    """
    before = segmenter.card.temperature
    logs, labels = answers(segmenter, images)
    logits = logs * before
    temperature = best_temperature(logits, labels, TRUSTED)
    return Calibrated(temperature, _ece(logits, labels, temperature), _ece(logits, labels, before))


def _ece(logits: NDArray[np.float32], labels: NDArray[np.int64], temperature: float) -> float:
    """Expected calibration error of a temperature."""
    scaled = logits.astype(np.float64) / temperature
    sure = softmax(scaled, axis=1).max(1)
    right = scaled.argmax(1) == labels
    levels = np.rint(sure * 100).astype(np.uint8)
    return calibration(level_counts(levels, right, np.ones_like(right))).ece
