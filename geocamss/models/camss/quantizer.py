"""The other mask tokenizer: latents from a codebook, as in VQ-VAE (van den Oord et al., 2017).

It has the size of the continuous one, to measure what quantized latents cost. The codebook follows
the encoder by moving averages; gradients go straight through.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from geocamss.models.camss.tokenizer import mask_body

__all__ = ["Codebook", "QuantizedMaskEncoder"]

_DECAY = 0.99
_DEAD = 0.02
"""A code that stands for fewer latents a batch than this, on average, is put elsewhere."""


class Codebook(nn.Module):
    """Codes, and which of them is nearest."""

    codes: Tensor
    counts: Tensor
    sums: Tensor

    def __init__(self, size: int, latent: int) -> None:
        super().__init__()
        self.register_buffer("codes", torch.randn(size, latent))
        self.register_buffer("counts", torch.ones(size))
        self.register_buffer("sums", self.codes.clone())

    def forward(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Quantize latents; in training, the codes move toward them.

        Args:
            latents: (N, latent) float32.

        Returns:
            Codes (N, latent), whose gradient is that of the latents, and the mean squared distance
            that the latents should give up, a scalar.
        """
        nearest = self.nearest(latents.detach())  # (N,)
        if self.training:
            self._follow(latents.detach(), nearest)
        codes = self.codes[nearest]
        commitment = functional.mse_loss(latents, codes)
        return latents + (codes - latents).detach(), commitment

    def nearest(self, latents: Tensor) -> Tensor:
        """Numbers of the nearest codes, (N,) int64."""
        return torch.cdist(latents.float(), self.codes.float()).argmin(1)

    @torch.no_grad()
    def _follow(self, latents: Tensor, nearest: Tensor) -> None:
        # Sums without matrix products, which autocast would do in half precision.
        hits = torch.bincount(nearest, minlength=len(self.codes)).float()
        sums = torch.zeros_like(self.sums).index_add_(0, nearest, latents.float())
        self.counts.lerp_(hits, 1 - _DECAY)
        self.sums.lerp_(sums, 1 - _DECAY)
        self.codes.copy_(self.sums / self.counts.clamp(min=1e-5)[:, None])
        dead = torch.nonzero(self.counts < _DEAD)[:, 0][: len(latents)]
        if len(dead):
            # To latents evenly spread over the batch; nothing random, so that runs resume.
            found = latents[:: len(latents) // len(dead)][: len(dead)].float()
            self.codes[dead], self.sums[dead], self.counts[dead] = found, found, 1.0


class QuantizedMaskEncoder(nn.Module):
    """One-hot masks to codes; takes the place of ``MaskEncoder``."""

    def __init__(self, classes: int, channels: Sequence[int], latent: int, codes: int) -> None:
        super().__init__()
        self.body = mask_body(classes, channels)
        self.mean = nn.Conv2d(channels[-1], latent, 1)
        self.standardize = nn.BatchNorm2d(latent, affine=False)
        self.codebook = Codebook(codes, latent)

    def forward(self, masks: Tensor) -> tuple[Tensor, Tensor]:
        """Encode masks.

        Args:
            masks: (B, K, H, W) one-hot, zeros where there is no label.

        Returns:
            Codes (B, latent, H / stride, W / stride) float32, and the commitment loss, a scalar.
        """
        features = self.body(masks)  # (B, channels, h, w)
        latents = self.standardize(self.mean(features).float())  # (B, latent, h, w)
        flat = latents.permute(0, 2, 3, 1)  # (B, h, w, latent)
        codes, commitment = self.codebook(flat.flatten(0, 2))
        return codes.view(flat.shape).permute(0, 3, 1, 2), commitment

    def draw(self, masks: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """Codes and commitment loss of masks; nothing here is random. See ``MaskEncoder.draw``."""
        del generator
        codes, commitment = self(masks)
        return codes, commitment

    def snap(self, latents: Tensor) -> Tensor:
        """The nearest codes of latents, (..., latent)."""
        codes: Tensor = self.codebook.codes[self.codebook.nearest(latents.flatten(0, -2))]
        return codes.view(latents.shape).to(latents.dtype)
