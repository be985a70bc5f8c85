"""The segmenter: chips in, probabilities out."""

from __future__ import annotations

import copy
from functools import partial

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
        cores busy.

        Raises:
            ModelError: the chips' bands or size are not what the card says, or the network has no
                part that the sampling needs.
        """
        return self._batch(chips, valid, corners, sampling, entropies=False)

    def sampled(self, chips: Tensor, valid: Tensor, corners: Tensor, sampling: Sampling) -> Tensor:
        """Segment a batch, with the samples' mean entropy; see ``SampledSegmenter``."""
        return self._batch(chips, valid, corners, sampling, entropies=True)

    def _batch(
        self, chips: Tensor, valid: Tensor, corners: Tensor, sampling: Sampling, *, entropies: bool
    ) -> Tensor:
        self._check(chips, valid)
        Draw.of(sampling, self._card).check(self._fast, f"model {self._card.name!r}")
        group = 1 if self._device.type == "cpu" else len(chips)
        with torch.inference_mode():
            parts = [slice(first, first + group) for first in range(0, len(chips), group)]
            return torch.cat(
                [
                    self._segment(chips[p], valid[p], corners[p], sampling, entropies=entropies)
                    for p in parts
                ]
            )

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
        total = chips.new_zeros((), dtype=torch.float32)
        for sample in range(samples):
            noise = partial(_noise, tokens, size, sampling.seed, sample)
            latents = draw(self._fast, guide[-1], seen, how, noise=noise, turns=order)
            logits = self._fast.decode(latents, guide)  # (B, K, H, W)
            said = torch.softmax(logits.float() / self._card.temperature, dim=1)
            if entropies:
                said = torch.cat([said, entropy(said)], dim=1)
            total = total + said
        return total / samples  # (B, K, H, W), or K + 1 with the entropies


def _noise(tokens: Tensor, size: tuple[int, int, int], seed: int, sample: int, step: int) -> Tensor:
    """Noise of a batch of token grids, (B, h, w, latent), where ``size`` is (h, w, latent)."""
    return gaussian(tokens, *size, seed=seed, sample=sample, step=step)
