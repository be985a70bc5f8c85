"""The image encoder: chips of any number of bands to features at strides 1 or 2, 4, 8 and so on."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from geocamss.models.camss.config import Trunk
from geocamss.models.camss.layers import ConvNorm, Residual

__all__ = ["ImageEncoder"]


class ImageEncoder(nn.Module):
    """A pyramid of dense 3x3 convolutions.

    Validity goes in as one more channel, so that the zeros under nodata are not taken for dark
    ground. Dense, not depthwise: depthwise convolutions in bf16 are slow on CPUs.
    """

    def __init__(
        self,
        bands: int,
        channels: Sequence[int],
        blocks: Sequence[int],
        *,
        finest: int,
        trunk: Trunk = "residual",
    ) -> None:
        """Build it.

        Args:
            bands: Channels of a chip.
            channels: Of the features, by stride.
            blocks: Of each stride, after the convolution that begins it.
            finest: The first stride, 1 or 2; each one after it is twice the one before.
            trunk: What goes down and what a block is: see ``CamssConfig.trunk``.
        """
        super().__init__()
        self.strides = tuple(finest << level for level in range(len(channels)))
        # Pixels fold into channels: stride 2 loses nothing, and no convolution runs at stride 1.
        self.stem = nn.Sequential(
            nn.PixelUnshuffle(finest), ConvNorm((bands + 1) * finest**2, channels[0])
        )
        for level, stride in enumerate(self.strides):
            enter = _down(channels[level - 1], channels[level], trunk) if level else ()
            rest = (_block(channels[level], trunk) for _ in range(blocks[level]))
            self.add_module(f"stage_{stride}", nn.Sequential(*enter, *rest))

    @property
    def stride(self) -> int:
        """Pixels a token, in both directions."""
        return self.strides[-1]

    def forward(self, chips: Tensor, valid: Tensor) -> tuple[Tensor, ...]:
        """Encode chips.

        Args:
            chips: (B, C, H, W), 0 where not valid.
            valid: (B, H, W) bool, True = usable.

        Returns:
            Features, finest first, each (B, channels, H / stride, W / stride).
        """
        x = torch.cat([chips, valid[:, None].to(chips.dtype)], dim=1)  # (B, C+1, H, W)
        x = self.stem(x.contiguous(memory_format=torch.channels_last))  # (B, channels, H, W)/finest
        found = []
        for stride in self.strides:
            x = self.get_submodule(f"stage_{stride}")(x)  # (B, channels, H/stride, W/stride)
            found.append(x)
        return tuple(found)


def _down(inside: int, outside: int, trunk: Trunk) -> tuple[nn.Module, ...]:
    if trunk == "unet":
        return nn.MaxPool2d(2), ConvNorm(inside, outside)
    return (ConvNorm(inside, outside, stride=2),)


def _block(channels: int, trunk: Trunk) -> nn.Module:
    return ConvNorm(channels, channels) if trunk == "unet" else Residual(channels)
