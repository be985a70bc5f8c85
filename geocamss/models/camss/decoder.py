"""The decoder: mask latents to logits at full resolution, guided by the image's features."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from geocamss.models.camss.config import Trunk
from geocamss.models.camss.layers import ConvNorm, Residual

__all__ = ["Decoder"]

_PARTS = ("up", "guide", "body")
"""Of the decoder, at each stride; there may be no guide."""


class Decoder(nn.Module):
    """Latents to logits at full resolution, guided by the image's features if there are any.

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
        trunk: Trunk = "residual",
    ) -> None:
        """Build it.

        Args:
            latent: Channels of a latent.
            channels: By stride, finest first.
            guide: Channels of the image's features at these strides, 0 for none. Those at the last
                stride guide a ``unet`` only.
            classes: Channels of the result.
            finest: The first stride, 1 or 2; each one after it is twice the one before.
            trunk: How features and what comes from below are joined: see ``CamssConfig.trunk``.
        """
        super().__init__()
        self.classes = classes
        self.strides = tuple(finest << level for level in range(len(channels) - 1))
        coarsest = guide[-1] if trunk == "unet" else 0
        self.enter = _enter(latent, channels[-1], trunk)
        self.enter_guide = _Beside(coarsest) if coarsest else None
        inside = channels[-1] + coarsest
        for level, stride in reversed(list(enumerate(self.strides))):
            width = channels[level]
            up = nn.Sequential(nn.Conv2d(inside, width * 4, 1), nn.PixelShuffle(2))
            hint, body = _join(width, guide[level], trunk)
            for kind, part in zip(_PARTS, (up, hint, body), strict=True):
                self.add_module(f"{kind}_{stride}", part)
            inside = width
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
        if self.enter_guide is not None:
            x = _guided(x, self.enter_guide, guide[-1] if guide else None, keep)
        for level, stride in reversed(list(enumerate(self.strides))):
            up, hint, body = (getattr(self, f"{kind}_{stride}") for kind in _PARTS)
            x = up(x)  # (B, channels, H/stride, W/stride)
            x = body(_guided(x, hint, guide[level] if guide else None, keep))
        logits: Tensor = self.leave(x)  # (B, K, H, W)
        return logits


class _Beside(nn.Module):
    """Marks features that stand beside what comes from below; zeros where there are none."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, x: Tensor, features: Tensor | None) -> Tensor:
        """(B, C, h, w) to (B, channels + C, h, w)."""
        if features is None:
            features = x.new_zeros(len(x), self.channels, *x.shape[2:])
        return torch.cat([features, x], dim=1)


def _enter(latent: int, channels: int, trunk: Trunk) -> nn.Sequential:
    first = ConvNorm(latent, channels)
    return nn.Sequential(first) if trunk == "unet" else nn.Sequential(first, Residual(channels))


def _join(width: int, hint: int, trunk: Trunk) -> tuple[nn.Module | None, nn.Module]:
    """What takes up the image's features at one stride, if there are any, and what follows it."""
    if trunk == "unet":
        body = nn.Sequential(ConvNorm(width + hint, width), ConvNorm(width, width))
        return _Beside(hint) if hint else None, body
    return nn.Conv2d(hint, width, 1) if hint else None, Residual(width)


def _guided(
    x: Tensor, layer: nn.Module | None, features: Tensor | None, keep: Tensor | None
) -> Tensor:
    shown = None if keep is None else keep.to(x.dtype)[:, None, None, None]  # (B, 1, 1, 1)
    if isinstance(layer, _Beside):
        if features is not None and shown is not None:
            features = features * shown
        beside: Tensor = layer(x, features)
        return beside
    if layer is None or features is None:
        return functional.relu(x)
    hint = layer(features)  # (B, C, h, w)
    return torch.relu_(x + (hint if shown is None else hint * shown))
