"""Small building blocks that several parts of the segmenter share.

No layer here takes statistics over space at inference: what lies under nodata must not leak into
its surroundings, and overlapping chips must agree.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

__all__ = ["ConvNorm", "ModulatedLayer", "Residual", "fold_norms", "waves"]


class ConvNorm(nn.Module):
    """3x3 convolution, batch normalization and, unless told otherwise, ReLU."""

    def __init__(self, inside: int, outside: int, stride: int = 1, *, act: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inside, outside, 3, stride, padding=1, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(outside)
        self.act = nn.ReLU(inplace=True) if act else nn.Identity()

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
        return torch.relu_(x + self.second(self.first(x)))


class ModulatedLayer(nn.Module):
    """A perceptron whose scale, shift and gate depend on the condition (AdaLN-Zero, DiT, 2023)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulate = nn.Linear(width, 3 * width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )
        nn.init.zeros_(self.modulate.weight)
        nn.init.zeros_(self.modulate.bias)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Both (..., width), to the same shape."""
        scale, shift, gate = self.modulate(condition).chunk(3, dim=-1)  # 3 x (..., width)
        result: Tensor = x + gate * self.mlp(self.norm(x) * (1 + scale) + shift)
        return result


def fold_norms(network: nn.Module) -> None:
    """Fold every batch normalization of a network in eval mode, in place."""
    for module in network.modules():
        if isinstance(module, ConvNorm):
            module.fold()


def waves(time: Tensor, count: int, span: float) -> Tensor:
    """Cosines and sines of a time at growing frequencies (Vaswani et al., 2017).

    Args:
        time: (...) float32.
        count: Frequencies.
        span: They run from 1 up to nearly this; below 1 they fall.

    Returns:
        (..., 2 * count) float32.
    """
    steps = torch.arange(count, device=time.device, dtype=torch.float32)
    angles = time[..., None] * torch.exp(steps / count * math.log(span))
    return torch.cat([angles.cos(), angles.sin()], dim=-1)
