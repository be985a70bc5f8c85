"""What a model says of labeled pixels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from geocamss.evaluation.calibrate import LEAST
from geocamss.models.segmenter import Sampling, Segmenter
from geocamss.training.evaluation import map_labeled
from geocamss.training.sources import IGNORED, LabeledImage

__all__ = ["answers"]

MOST_PIXELS = 1 << 19
"""At most about this many labeled pixels are looked at, spread over all of them."""


def answers(
    segmenter: Segmenter, images: Sequence[LabeledImage]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Map images, and keep what is said of labeled pixels.

    Args:
        segmenter: The model.
        images: At least one of them has a label.

    Returns:
        Logarithms of probabilities, (pixels, K), and channel numbers, (pixels,).
    """
    step = max(1, sum(image.places.total for image in images) // MOST_PIXELS)
    logs, truth, seen = [], [], 0
    for image in images:
        for found, labels in map_labeled(segmenter, image, Sampling()):
            known = labels != IGNORED
            chosen = slice(-seen % step, None, step)
            logs.append(np.log(np.maximum(found[:, known].numpy().T[chosen], LEAST)))
            truth.append(labels[known].numpy()[chosen].astype(np.int64))
            seen += int(known.sum())
    return np.concatenate(logs), np.concatenate(truth)
