"""Samples: what a generative segmenter says one by one, beside what all of them say."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from geocamss.modelcard import ModelCard
from geocamss.models.segmenter import Sampling, Segmenter

__all__ = ["SPREAD_STEPS", "SampledSegmenter", "entropy", "segment_with_entropy", "spread"]

SPREAD_STEPS = 4
"""Sampler steps with which samples differ, where the model's own way is the one step that gives
their mean."""


@runtime_checkable
class SampledSegmenter(Protocol):
    """A segmenter that can tell what its samples say one by one.

    An option of ``Segmenter``: one without it is taken for a single sample.
    """

    def sampled(self, chips: Tensor, valid: Tensor, corners: Tensor, sampling: Sampling) -> Tensor:
        """Segment a batch, as ``Segmenter`` does, and tell how sure each sample is.

        Returns:
            (B, K + 1, H, W): the probabilities, and behind them the mean of the samples' entropies,
            each as ``entropy`` has it.
        """


def entropy(probabilities: Tensor) -> Tensor:
    """Entropy over the classes, as a share of the largest possible, log K.

    Args:
        probabilities: (B, K, H, W), 0 to 1.

    Returns:
        (B, 1, H, W) float32, 0 to 1; 0 of a single class.
    """
    classes = probabilities.shape[1]
    if classes == 1:
        return torch.zeros_like(probabilities, dtype=torch.float32)
    total: Tensor = torch.special.entr(probabilities.float()).sum(1, keepdim=True)
    return (total / math.log(classes)).clamp(0, 1)


def segment_with_entropy(
    segmenter: Segmenter, chips: Tensor, valid: Tensor, corners: Tensor, sampling: Sampling
) -> Tensor:
    """What ``SampledSegmenter.sampled`` gives, of any segmenter: (B, K + 1, H, W)."""
    if isinstance(segmenter, SampledSegmenter):
        return segmenter.sampled(chips, valid, corners, sampling)
    said = segmenter(chips, valid, corners, sampling)
    return torch.cat([said, entropy(said).to(said.dtype)], dim=1)


def spread(sampling: Sampling, card: ModelCard) -> Sampling:
    """A sampling whose samples differ, if there are several and no steps are asked for."""
    own_way_is_mean = card.steps == 1 and (sampling.sampler or card.sampler) != "one-step"
    if sampling.samples > 1 and sampling.steps is None and own_way_is_mean:
        return replace(sampling, steps=SPREAD_STEPS)
    return sampling
