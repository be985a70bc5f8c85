"""The mask tokenizer: class masks to continuous latents, and back to logits.

A KL autoencoder (Kingma and Welling, 2014) over one-hot masks, one latent for 8x8 pixels. One-hot
in and K logits out have none of the faults of colors as a code, where a blend of two classes may
decode to a third.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from geocamss.models.camss.layers import ConvNorm, Residual

__all__ = ["Decoder", "MaskEncoder", "one_hot"]

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


class MaskEncoder(nn.Module):
    """One-hot masks to the mean and the log variance of their latents.

    The means are standardized channel by channel (batch normalization without weights), so that
    noise of unit variance fits whatever scale training drifts to.
    """

    def __init__(self, classes: int, channels: tuple[int, int], latent: int) -> None:
        super().__init__()
        at_4, at_8 = channels
        # Pixels fold into channels: stride 4 loses nothing of a one-hot mask.
        self.body = nn.Sequential(
            nn.PixelUnshuffle(4),
            ConvNorm(classes * 16, at_4),
            ConvNorm(at_4, at_8, stride=2),
            Residual(at_8),
        )
        self.mean = nn.Conv2d(at_8, latent, 1)
        self.logvar = nn.Conv2d(at_8, latent, 1)
        nn.init.zeros_(self.logvar.weight)
        if self.logvar.bias is not None:  # a new encoder is fairly sure of itself
            nn.init.constant_(self.logvar.bias, -4.0)
        self.standardize = nn.BatchNorm2d(latent, affine=False)

    def forward(self, masks: Tensor) -> tuple[Tensor, Tensor]:
        """Encode masks.

        Args:
            masks: (B, K, H, W) one-hot, zeros where there is no label.

        Returns:
            Mean and log variance, each (B, latent, H / 8, W / 8) float32.
        """
        features = self.body(masks)  # (B, at_8, H/8, W/8)
        mean = self.standardize(self.mean(features).float())  # (B, latent, H/8, W/8)
        logvar = self.logvar(features).float().clamp(*_LOGVAR_RANGE)  # (B, latent, H/8, W/8)
        return mean, logvar


class Decoder(nn.Module):
    """Latents to logits at full resolution, guided by the image's fine features if there are any.

    One latent for 64 pixels holds what is there; where exactly an edge runs stands in the image.
    Training drops the guide at random, so that latents alone decode as well.
    """

    def __init__(
        self, latent: int, channels: tuple[int, int, int], guide: tuple[int, int], classes: int
    ) -> None:
        super().__init__()
        at_2, at_4, at_8 = channels
        self.enter = nn.Sequential(ConvNorm(latent, at_8), Residual(at_8))
        self.up_4 = nn.Sequential(nn.Conv2d(at_8, at_4 * 4, 1), nn.PixelShuffle(2))
        self.guide_4 = nn.Conv2d(guide[1], at_4, 1) if guide[1] else None
        self.body_4 = Residual(at_4)
        self.up_2 = nn.Sequential(nn.Conv2d(at_4, at_2 * 4, 1), nn.PixelShuffle(2))
        self.guide_2 = nn.Conv2d(guide[0], at_2, 1) if guide[0] else None
        self.body_2 = Residual(at_2)
        self.leave = nn.Sequential(nn.Conv2d(at_2, classes * 4, 3, padding=1), nn.PixelShuffle(2))

    def forward(
        self,
        latents: Tensor,
        guide: tuple[Tensor, Tensor] | None = None,
        keep: Tensor | None = None,
    ) -> Tensor:
        """Decode latents.

        Args:
            latents: (B, latent, H / 8, W / 8).
            guide: Features of the image at strides 2 and 4, if any.
            keep: (B,) 1 where a chip's guide is used and 0 where it is not; None uses all.

        Returns:
            (B, K, H, W) logits.
        """
        x = self.up_4(self.enter(latents))  # (B, at_4, H/4, W/4)
        x = self.body_4(self._guided(x, self.guide_4, guide and guide[1], keep))
        x = self.up_2(x)  # (B, at_2, H/2, W/2)
        x = self.body_2(self._guided(x, self.guide_2, guide and guide[0], keep))
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
        return functional.relu(x + hint)
