"""The image encoder: chips of any number of bands to features at strides 2, 4 and 8."""

from __future__ import annotations

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
        self, bands: int, channels: tuple[int, int, int], blocks: tuple[int, int, int]
    ) -> None:
        super().__init__()
        at_2, at_4, at_8 = channels
        # Pixels fold into channels: stride 2 loses nothing, and no convolution runs at stride 1.
        self.stem = nn.Sequential(nn.PixelUnshuffle(2), ConvNorm((bands + 1) * 4, at_2))
        self.stage_2 = nn.Sequential(*(Residual(at_2) for _ in range(blocks[0])))
        self.stage_4 = nn.Sequential(
            ConvNorm(at_2, at_4, stride=2), *(Residual(at_4) for _ in range(blocks[1]))
        )
        self.stage_8 = nn.Sequential(
            ConvNorm(at_4, at_8, stride=2), *(Residual(at_8) for _ in range(blocks[2]))
        )

    def forward(self, chips: Tensor, valid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Encode chips.

        Args:
            chips: (B, C, H, W), 0 where not valid.
            valid: (B, H, W) bool, True = usable.

        Returns:
            Features at strides 2, 4 and 8, each (B, channels, H / stride, W / stride).
        """
        x = torch.cat([chips, valid[:, None].to(chips.dtype)], dim=1)  # (B, C+1, H, W)
        x = x.contiguous(memory_format=torch.channels_last)
        fine = self.stage_2(self.stem(x))  # (B, at_2, H/2, W/2)
        middle = self.stage_4(fine)  # (B, at_4, H/4, W/4)
        coarse = self.stage_8(middle)  # (B, at_8, H/8, W/8)
        return fine, middle, coarse
