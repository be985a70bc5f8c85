"""The segmenter: chips in, probabilities out."""

from __future__ import annotations

import copy
from functools import partial
from typing import Self

import torch
from torch import Tensor

from geocamss.errors import ModelError
from geocamss.modelcard import ModelCard
from geocamss.models.camss.draw import Draw, draw
from geocamss.models.camss.layers import fold_norms
from geocamss.models.camss.network import CamssNetwork, tokens_seen
from geocamss.models.camss.noise import gaussian
from geocamss.models.camss.rounds import turns
from geocamss.models.fingerprint import fingerprint
from geocamss.models.normalize import surely_all
from geocamss.models.precision import fast_dtype
from geocamss.models.samples import entropy
from geocamss.models.segmenter import Sampling

__all__ = ["CamssSegmenter"]

GRAIN = 8
"""The part of a chip that holds data is cut out in steps of so many tokens: processors prepare
themselves for every shape anew."""


class CamssSegmenter:
    """CAM-Seg behind the ``Segmenter`` protocol.

    The map is the one-step prediction: the decoded mean of the latents. More steps draw samples of
    the posterior, each of which scores worse than their mean, but whose spread tells of doubt.
    """

    def __init__(
        self,
        network: CamssNetwork,
        card: ModelCard,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Take a trained network; it is copied, and not changed.

        Args:
            network: With float32 weights.
            card: What the model says of itself.
            device: Where to run; None is where the network is.
            dtype: What to compute in; None is bfloat16 where the processor multiplies in it.
        """
        self._card = card
        self._network = copy.deepcopy(network).eval().requires_grad_(requires_grad=False)
        self._device = device or next(network.parameters()).device
        self._dtype = dtype or fast_dtype(self._device)
        self._fingerprint = fingerprint(card, self._network.state_dict())
        fast = copy.deepcopy(self._network)
        fold_norms(fast)
        self._fast = fast.to(self._device, self._dtype).to(memory_format=torch.channels_last)
        if not fast.head.predicts_mean:
            # It predicts noise, which is divided by a small number to give the data: bfloat16's
            # rounding would grow a thousandfold.
            self._fast.head.float().load_state_dict(self._network.head.state_dict())

    @property
    def card(self) -> ModelCard:
        """What the model says of itself."""
        return self._card

    @property
    def device(self) -> torch.device:
        """Where the weights are, and the chips must be."""
        return self._device

    @property
    def fingerprint(self) -> str:
        """SHA-256 of card and weights, in hexadecimal."""
        return self._fingerprint

    @property
    def network(self) -> CamssNetwork:
        """The network as it was trained, float32, in eval mode."""
        return self._network

    def __call__(self, chips: Tensor, valid: Tensor, corners: Tensor, sampling: Sampling) -> Tensor:
        """Segment a batch; see ``Segmenter``.

        Chips go through one by one on a CPU: matrix products of different heights may differ in
        their last bits, a chip's result must not depend on its company, and one chip keeps the
        cores busy. Its sides are then left out where they hold no data, and all classes are equally
        likely there; on a GPU they go along, and pixels beside them come out a little otherwise.

        Raises:
            ModelError: the chips' bands or size are not what the card says, or the network has no
                part that the sampling needs.
        """
        return self._batch(chips, valid, corners, sampling, entropies=False)

    def sampled(self, chips: Tensor, valid: Tensor, corners: Tensor, sampling: Sampling) -> Tensor:
        """Segment a batch, with the samples' mean entropy; see ``SampledSegmenter``."""
        return self._batch(chips, valid, corners, sampling, entropies=True)

    def twin(self) -> Self:
        """Itself: asking it changes nothing in it."""
        return self

    def _batch(
        self, chips: Tensor, valid: Tensor, corners: Tensor, sampling: Sampling, *, entropies: bool
    ) -> Tensor:
        self._check(chips, valid)
        Draw.of(sampling, self._card).check(self._fast, f"model {self._card.name!r}")
        with torch.inference_mode():
            if self._device.type != "cpu":
                return self._segment(chips, valid, corners, sampling, entropies=entropies)
            said = [
                self._with_data(chips[at], valid[at], corners[at], sampling, entropies=entropies)
                for at in (slice(n, n + 1) for n in range(len(chips)))
            ]
            return said[0] if len(said) == 1 else torch.cat(said)

    def _with_data(
        self, chip: Tensor, valid: Tensor, corner: Tensor, sampling: Sampling, *, entropies: bool
    ) -> Tensor:
        """Segment one chip, of which only the part that holds data is looked at.

        At the edge of a scene that can be a small part; what lies beyond is nobody's business.
        """
        rows, cols = _extent(valid[0], GRAIN * self._fast.stride)
        if (rows.stop - rows.start, cols.stop - cols.start) == valid.shape[1:]:
            return self._segment(chip, valid, corner, sampling, entropies=entropies)
        corner = corner + torch.tensor([rows.start, cols.start])
        said = self._segment(
            chip[:, :, rows, cols], valid[:, rows, cols], corner, sampling, entropies=entropies
        )
        classes = len(self._card.classes)
        nothing = said.new_full((1, classes, 1, 1), 1 / classes)
        if entropies:
            nothing = torch.cat([nothing, entropy(nothing)], dim=1)
        whole = nothing.repeat(1, 1, *valid.shape[1:])  # (1, K, H, W), or K + 1 with the entropies
        whole[:, :, rows, cols] = said
        return whole

    def _check(self, chips: Tensor, valid: Tensor) -> None:
        bands = len(self._card.bands)
        _, channels, height, width = chips.shape
        if channels != bands:
            raise ModelError(
                f"model {self._card.name!r} wants chips of {bands} bands "
                f"({', '.join(self._card.band_names)}), got {channels}"
            )
        stride = self._network.stride
        if height % stride or width % stride:
            raise ModelError(
                f"model {self._card.name!r} wants chips of a multiple of {stride} pixels, "
                f"got {height} x {width}"
            )
        if valid.shape != (len(chips), height, width):
            raise ModelError(
                f"validity must have shape {(len(chips), height, width)}, got {tuple(valid.shape)}"
            )

    def _segment(
        self, chips: Tensor, valid: Tensor, corners: Tensor, sampling: Sampling, *, entropies: bool
    ) -> Tensor:
        how = Draw.of(sampling, self._card)
        samples = 1 if how.is_certain(self._fast) else sampling.samples
        if not surely_all(valid):
            chips = chips.masked_fill(~valid[:, None], 0)
        seen = tokens_seen(valid, self._fast.stride)  # (B, h, w)
        guide = self._fast.encoder(chips.to(self._dtype), valid)  # (B, C, H, W)
        tokens = (corners // self._fast.stride).to(self._device)
        size = (seen.shape[1], seen.shape[2], self._fast.head.latent)
        order = turns(tokens, *size[:2])

        def say(sample: int) -> Tensor:
            noise = partial(_noise, tokens, size, sampling.seed, sample)
            latents = draw(self._fast, guide[-1], seen, how, noise=noise, turns=order)
            logits = self._fast.decode(latents, guide)  # (B, K, H, W)
            said = torch.softmax(logits.float() / self._card.temperature, dim=1)
            return torch.cat([said, entropy(said)], dim=1) if entropies else said

        total = say(0)  # (B, K, H, W), or K + 1 with the entropies
        for sample in range(1, samples):
            total = total + say(sample)
        return total / samples if samples > 1 else total


def _extent(valid: Tensor, grain: int) -> tuple[slice, slice]:
    """Rows and columns of a chip, in steps of ``grain``, that hold all its data; all if none."""
    sides = []
    for axis in (1, 0):
        size = valid.shape[1 - axis]
        found = torch.nonzero(valid.any(dim=axis)).flatten().tolist() or [0, size - 1]
        sides.append(slice(found[0] // grain * grain, min(size, (found[-1] // grain + 1) * grain)))
    return sides[0], sides[1]


def _noise(tokens: Tensor, size: tuple[int, int, int], seed: int, sample: int, step: int) -> Tensor:
    """Noise of a batch of token grids, (B, h, w, latent), where ``size`` is (h, w, latent)."""
    return gaussian(tokens, *size, seed=seed, sample=sample, step=step)
