"""The segmenter: the one seam between the engine and any network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from geocamss.modelcard import SAMPLERS, ModelCard, Sampler

__all__ = ["Sampling", "Segmenter", "SharedSegmenter", "twins"]


@dataclass(frozen=True)
class Sampling:
    """How a generative segmenter draws its latents; a discriminative one ignores it."""

    steps: int | None = None
    """Sampler steps; None takes the card's."""

    samples: int = 1
    """Latents drawn for each chip; their probabilities are averaged."""

    seed: int = 0
    """Chooses the noise, with each token's position."""

    sampler: Sampler | None = None
    """The algorithm; None takes the card's."""

    rounds: int | None = None
    """Passes over the mask tokens, 1 to 8, each of which sees what the earlier ones drew; None
    takes the card's."""

    guidance: float | None = None
    """How far to go from what is likely without the image to what is likely with it, and past it:
    1 is what the image says; None takes the card's."""

    def __post_init__(self) -> None:
        if self.steps is not None and not 1 <= self.steps <= 1000:
            raise ValueError(f"steps must be 1 to 1000, got {self.steps}")
        if not 1 <= self.samples <= 1000:
            raise ValueError(f"samples must be 1 to 1000, got {self.samples}")
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"seed must be 0 to 2**63 - 1, got {self.seed}")
        if self.sampler is not None and self.sampler not in SAMPLERS:
            raise ValueError(f"sampler must be one of {', '.join(SAMPLERS)}, got {self.sampler!r}")
        if self.rounds is not None and not 1 <= self.rounds <= 8:
            raise ValueError(f"rounds must be 1 to 8, got {self.rounds}")
        if self.guidance is not None and not 0 <= self.guidance <= 20:
            raise ValueError(f"guidance must be 0 to 20, got {self.guidance}")


@runtime_checkable
class Segmenter(Protocol):
    """Chips to class probabilities.

    A pixel's result may depend on the chip's pixels, its validity, its position in the lattice and
    the sampling; never on the other chips of the batch.
    """

    @property
    def card(self) -> ModelCard:
        """What the model says of itself."""

    @property
    def device(self) -> torch.device:
        """Where the weights are, and the chips must be."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 of card and weights, in hexadecimal."""

    def __call__(self, chips: Tensor, valid: Tensor, corners: Tensor, sampling: Sampling) -> Tensor:
        """Segment a batch.

        Args:
            chips: (B, C, H, W) float32, normalized as the card says; 0 where not valid.
            valid: (B, H, W) bool, True = usable.
            corners: (B, 2) int64 on the CPU: row and column of each chip's upper-left pixel in
                the global lattice.
            sampling: how to draw.

        Returns:
            (B, K, H, W) floating point probabilities, 0 to 1, that sum to one over K.
        """


@runtime_checkable
class SharedSegmenter(Protocol):
    """A segmenter that can be asked by several threads at once.

    An option of ``Segmenter``: one without it is asked by one thread after the other.
    """

    def twin(self) -> Segmenter | None:
        """What another thread may ask meanwhile, with the same weights and so the same answers.

        None where there can be no such thing. What twins return is never overwritten.
        """


def twins(segmenter: Segmenter, count: int) -> tuple[Segmenter, ...]:
    """A segmenter and its twins, ``count`` in all; itself alone if it has none."""
    found = [segmenter]
    while len(found) < count and isinstance(segmenter, SharedSegmenter):
        twin = segmenter.twin()
        if twin is None:
            break
        found.append(twin)
    return tuple(found)
