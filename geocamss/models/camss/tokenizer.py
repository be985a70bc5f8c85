"""The mask tokenizer: class masks to continuous latents, and back to logits.

A KL autoencoder (Kingma and Welling, 2014) over one-hot masks, one latent for 8x8 or 16x16 pixels.
One-hot in and K logits out have none of the faults of colors as a code, where a blend of two
classes may decode to a third.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from geocamss.models.camss.layers import ConvNorm, Residual

__all__ = ["Decoder", "MaskEncoder", "mask_body", "one_hot"]

_LOGVAR_RANGE = (-12.0, 2.0)

_PARTS = ("up", "guide", "body")
"""Of the decoder, at each stride; there may be no guide."""


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


class Decoder(nn.Module):
    """Latents to logits at full resolution, guided by the image's fine features if there are any.

    One latent for 64 pixels or more holds what is there; where exactly an edge runs stands in the
    image. Training drops the guide at random, so that latents alone decode as well.
    """

    def __init__(
        self,
        latent: int,
        channels: Sequence[int],
        guide: Sequence[int],
        classes: int,
        *,
        finest: int,
    ) -> None:
        """Build it.

        Args:
            latent: Channels of a latent.
            channels: By stride, finest first.
            guide: Channels of the image's features at these strides, but the last; 0 for none.
            classes: Channels of the result.
            finest: The first stride, 1 or 2; each one after it is twice the one before.
        """
        super().__init__()
        self.classes = classes
        self.strides = tuple(finest << level for level in range(len(channels) - 1))
        self.enter = nn.Sequential(ConvNorm(latent, channels[-1]), Residual(channels[-1]))
        for level, stride in reversed(list(enumerate(self.strides))):
            inside, width, hint = channels[level + 1], channels[level], guide[level]
            up = nn.Sequential(nn.Conv2d(inside, width * 4, 1), nn.PixelShuffle(2))
            self.add_module(f"up_{stride}", up)
            self.add_module(f"guide_{stride}", nn.Conv2d(hint, width, 1) if hint else None)
            self.add_module(f"body_{stride}", Residual(width))
        self.leave = nn.Sequential(
            nn.Conv2d(channels[0], classes * finest**2, 3, padding=1), nn.PixelShuffle(finest)
        )

    @property
    def last(self) -> nn.Conv2d:
        """The layer that makes the logits: so many in a row for each class."""
        layer = self.leave[0]
        if not isinstance(layer, nn.Conv2d):
            raise TypeError(f"wants a convolution, got {type(layer).__name__}")
        return layer

    def forward(
        self,
        latents: Tensor,
        guide: Sequence[Tensor] | None = None,
        keep: Tensor | None = None,
    ) -> Tensor:
        """Decode latents.

        Args:
            latents: (B, latent, H / stride, W / stride).
            guide: Features of the image, finest first, if any.
            keep: (B,) 1 where a chip's guide is used and 0 where it is not; None uses all.

        Returns:
            (B, K, H, W) logits.
        """
        x = self.enter(latents)  # (B, channels, h, w)
        for level, stride in reversed(list(enumerate(self.strides))):
            up, hint, body = (getattr(self, f"{kind}_{stride}") for kind in _PARTS)
            x = up(x)  # (B, channels, H/stride, W/stride)
            x = body(self._guided(x, hint, guide[level] if guide else None, keep))
        logits: Tensor = self.leave(x)  # (B, K, H, W)
        return logits

    @staticmethod
    def _guided(
        x: Tensor, layer: nn.Module | None, features: Tensor | None, keep: Tensor | None
    ) -> Tensor:
        if layer is None or features is None:
            return functional.relu(x)
        hint = layer(features)  # (B, C, h, w)
        if keep is not None:
            hint = hint * keep.to(hint.dtype)[:, None, None, None]
        return torch.relu_(x + hint)
