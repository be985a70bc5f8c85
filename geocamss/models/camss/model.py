"""The segmenter: chips in, probabilities out."""

from __future__ import annotations

import copy
from functools import partial

import torch
from torch import Tensor

from geocamss.errors import ModelError
from geocamss.modelcard import ModelCard
from geocamss.models.camss.config import STRIDE
from geocamss.models.camss.layers import fold_norms
from geocamss.models.camss.network import CamssNetwork, tokens_seen
from geocamss.models.camss.noise import gaussian
from geocamss.models.camss.sampler import euler
from geocamss.models.fingerprint import fingerprint
from geocamss.models.precision import fast_dtype
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
            ModelError: the chips' bands or size are not what the card says.
        """
        self._check(chips, valid)
        group = 1 if self._device.type == "cpu" else len(chips)
        with torch.inference_mode():
            parts = [slice(first, first + group) for first in range(0, len(chips), group)]
            return torch.cat(
                [self._segment(chips[p], valid[p], corners[p], sampling) for p in parts]
            )

    def _check(self, chips: Tensor, valid: Tensor) -> None:
        bands = len(self._card.bands)
        _, channels, height, width = chips.shape
        if channels != bands:
            raise ModelError(
                f"model {self._card.name!r} wants chips of {bands} bands "
                f"({', '.join(self._card.band_names)}), got {channels}"
            )
        if height % STRIDE or width % STRIDE:
            raise ModelError(
                f"model {self._card.name!r} wants chips of a multiple of {STRIDE} pixels, "
                f"got {height} x {width}"
            )
        if valid.shape != (len(chips), height, width):
            raise ModelError(
                f"validity must have shape {(len(chips), height, width)}, got {tuple(valid.shape)}"
            )

    def _segment(self, chips: Tensor, valid: Tensor, corners: Tensor, sampling: Sampling) -> Tensor:
        steps = sampling.steps or self._card.steps
        # One step does not depend on the noise, so that all its samples are the same.
        samples = 1 if steps == 1 else sampling.samples
        chips = chips.masked_fill(~valid[:, None], 0).to(self._dtype)  # (B, C, H, W)
        seen = tokens_seen(valid, STRIDE)  # (B, h, w)
        fine, middle, coarse = self._fast.encoder(chips, valid)
        condition = self._fast.transformer(
            coarse, seen=None if bool(seen.all()) else seen
        )  # (B, h, w, width)
        total = chips.new_zeros((), dtype=torch.float32)
        for sample in range(samples):
            noise = self._noise(corners, seen, sampling.seed, sample)
            latents = euler(partial(self._denoise, condition), noise, steps)  # (B, h, w, latent)
            planes = latents.permute(0, 3, 1, 2).to(self._dtype)  # (B, latent, h, w)
            logits = self._fast.decoder(planes, (fine, middle))  # (B, K, H, W)
            total = total + torch.softmax(logits.float() / self._card.temperature, dim=1)
        return total / samples  # (B, K, H, W)

    def _noise(self, corners: Tensor, seen: Tensor, seed: int, sample: int) -> Tensor:
        height, width = seen.shape[1:]
        tokens = (corners // STRIDE).to(self._device)
        channels = self._fast.head.out.out_features
        return gaussian(tokens, height, width, channels, seed=seed, sample=sample)

    def _denoise(self, condition: Tensor, noisy: Tensor, t: float) -> Tensor:
        time = torch.full((), t, device=condition.device)
        result: Tensor = self._fast.head(noisy, time, condition)
        return result.float()
