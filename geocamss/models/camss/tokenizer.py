"""The mask tokenizer: class masks to continuous latents; ``decoder`` is the way back.

A KL autoencoder (Kingma and Welling, 2014) over one-hot masks, one latent for 8x8 or 16x16 pixels.
One-hot in and K logits out have none of the faults of colors as a code, where a blend of two
classes may decode to a third.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Generator, Tensor, nn

from geocamss.models.camss.layers import ConvNorm, Residual

__all__ = ["MaskEncoder", "mask_body", "one_hot"]

_LOGVAR_RANGE = (-12.0, 2.0)


def one_hot(labels: Tensor, classes: int) -> Tensor:
    """Spell out a mask; anything but a channel number is ignored, and becomes zeros.

    Args:
        labels: (B, H, W) integers, channel numbers.
        classes: How many channels.

    Returns:
        (B, classes, H, W) float32.
    """
    numbers = torch.arange(classes, device=labels.device)[:, None, None]
    return (labels[:, None] == numbers).float()


def mask_body(classes: int, channels: Sequence[int]) -> nn.Sequential:
    """Convolutions from one-hot masks to features at stride 8, or 16 with three widths.

    Pixels fold into channels first: stride 4 loses nothing of a one-hot mask.
    """
    enter = ConvNorm(classes * 16, channels[0])
    down = (ConvNorm(a, b, stride=2) for a, b in pairwise(channels))
    return nn.Sequential(nn.PixelUnshuffle(4), enter, *down, Residual(channels[-1]))


class MaskEncoder(nn.Module):
    """One-hot masks to the mean and the log variance of their latents.

    The means are standardized channel by channel (batch normalization without weights), so that
    noise of unit variance fits whatever scale training drifts to.
    """

    def __init__(self, classes: int, channels: Sequence[int], latent: int) -> None:
        super().__init__()
        self.body = mask_body(classes, channels)
        self.mean = nn.Conv2d(channels[-1], latent, 1)
        self.logvar = nn.Conv2d(channels[-1], latent, 1)
        nn.init.zeros_(self.logvar.weight)
        if self.logvar.bias is not None:  # a new encoder is fairly sure of itself
            nn.init.constant_(self.logvar.bias, -4.0)
        self.standardize = nn.BatchNorm2d(latent, affine=False)

    def forward(self, masks: Tensor) -> tuple[Tensor, Tensor]:
        """Encode masks.

        Args:
            masks: (B, K, H, W) one-hot, zeros where there is no label.

        Returns:
            Mean and log variance, each (B, latent, H / stride, W / stride) float32.
        """
        features = self.body(masks)  # (B, channels, h, w)
        mean = self.standardize(self.mean(features).float())  # (B, latent, h, w)
        logvar = self.logvar(features).float().clamp(*_LOGVAR_RANGE)  # (B, latent, h, w)
        return mean, logvar

    def draw(self, masks: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """Draw latents from the posteriors of masks.

        Args:
            masks: As for ``forward``.
            generator: Of the noise, on the CPU.

        Returns:
            Latents (B, latent, h, w) float32, and the posteriors' Kullback-Leibler divergence from
            a standard normal, by channel, a scalar.
        """
        mean, logvar = self(masks)
        noise = torch.randn(mean.shape, generator=generator).to(mean.device)
        divergence = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()
        return mean + torch.exp(logvar / 2) * noise, divergence

    def snap(self, latents: Tensor) -> Tensor:
        """The nearest latents that are a code: every latent is one."""
        return latents
