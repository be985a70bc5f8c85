"""Small building blocks that several parts of the segmenter share.

No layer here takes statistics over space at inference: what lies under nodata must not leak into
its surroundings, and overlapping chips must agree.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

__all__ = ["ConvNorm", "Residual", "fold_norms"]


class ConvNorm(nn.Module):
    """3x3 convolution, batch normalization and, unless told otherwise, ReLU."""

    def __init__(self, inside: int, outside: int, stride: int = 1, *, act: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inside, outside, 3, stride, padding=1, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(outside)
        self.act = nn.ReLU() if act else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H / stride, W / stride)."""
        result: Tensor = self.act(self.norm(self.conv(x)))
        return result

    def fold(self) -> None:
        """Put the normalization's running statistics into the convolution, for inference."""
        if isinstance(self.norm, nn.BatchNorm2d):
            self.conv = fuse_conv_bn_eval(self.conv, self.norm)
            self.norm = nn.Identity()


class Residual(nn.Module):
    """Two convolutions around a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = ConvNorm(channels, channels)
        self.second = ConvNorm(channels, channels, act=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        return torch.relu(x + self.second(self.first(x)))


def fold_norms(network: nn.Module) -> None:
    """Fold every batch normalization of a network in eval mode, in place."""
    for module in network.modules():
        if isinstance(module, ConvNorm):
            module.fold()
