"""The image encoder: chips of any number of bands to features at strides 1 or 2, 4, 8 and so on."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from geocamss.models.camss.layers import ConvNorm, Residual

__all__ = ["ImageEncoder"]


class ImageEncoder(nn.Module):
    """A pyramid of dense 3x3 convolutions.

    Validity goes in as one more channel, so that the zeros under nodata are not taken for dark
    ground. Dense, not depthwise: depthwise convolutions in bf16 are slow on CPUs.
    """

    def __init__(
        self, bands: int, channels: Sequence[int], blocks: Sequence[int], *, finest: int
    ) -> None:
        """Build it.

        Args:
            bands: Channels of a chip.
            channels: Of the features, by stride.
            blocks: Residual blocks, by stride.
            finest: The first stride, 1 or 2; each one after it is twice the one before.
        """
        super().__init__()
        self.strides = tuple(finest << level for level in range(len(channels)))
        # Pixels fold into channels: stride 2 loses nothing, and no convolution runs at stride 1.
        self.stem = nn.Sequential(
            nn.PixelUnshuffle(finest), ConvNorm((bands + 1) * finest**2, channels[0])
        )
        for level, stride in enumerate(self.strides):
            enter = [ConvNorm(channels[level - 1], channels[level], stride=2)] if level else []
            rest = (Residual(channels[level]) for _ in range(blocks[level]))
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
