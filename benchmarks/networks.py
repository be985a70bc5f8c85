"""Networks to map with: one that costs nothing, one of the usual size, and the default model.

And chips to time any segmenter with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from geocamss.models.segmenter import Segmenter

__all__ = ["NAMES", "ResNetUNet", "chips_for", "free", "module"]

NAMES = ("free", "resnet18", "default")


def free(bands: int, classes: int) -> nn.Module:
    """A single 3x3 convolution: what is left of the time is the framework's own."""
    return nn.Conv2d(bands, classes, 3, padding=1)


class ResNetUNet(nn.Module):
    """A U-Net on the ResNet-18 of torchvision, as most people would begin."""

    def __init__(self, bands: int, classes: int) -> None:
        from torchvision.models import resnet18

        super().__init__()
        net = resnet18(weights=None)
        first = nn.Conv2d(bands, 64, 7, stride=2, padding=3, bias=False)
        self.stem = nn.Sequential(first, net.bn1, net.relu)
        self.pool = net.maxpool
        self.stages = nn.ModuleList([net.layer1, net.layer2, net.layer3, net.layer4])
        widths = ((512, 256, 256), (256, 128, 128), (128, 64, 64), (64, 64, 32), (32, 0, 16))
        self.rise = nn.ModuleList(_rise(i, skip, o) for i, skip, o in widths)
        self.leave = nn.Conv2d(16, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, K, H, W); H and W are multiples of 32."""
        skips = [self.stem(x)]  # (B, 64, H/2, W/2)
        x = self.pool(skips[0])
        for stage in self.stages:
            x = stage(x)  # (B, 64 ... 512, H/4 ... H/32)
            skips.append(x)
        skips.pop()
        for block in self.rise:
            x = nn.functional.interpolate(x, scale_factor=2.0, mode="nearest")
            x = block(torch.cat([x, skips.pop()], dim=1) if skips else x)
        logits: Tensor = self.leave(x)
        return logits


def _rise(inside: int, skip: int, outside: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in (inside + skip, outside):
        layers += [nn.Conv2d(width, outside, 3, padding=1, bias=False), nn.BatchNorm2d(outside)]
        layers += [nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def module(name: str, bands: int, classes: int) -> nn.Module:
    """A network by name, with the same random weights each time, in eval mode."""
    torch.manual_seed(0)
    made = free(bands, classes) if name == "free" else ResNetUNet(bands, classes)
    return made.eval()


def chips_for(segmenter: Segmenter, count: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    """Chips of noise, valid all over, as a segmenter is asked about them: chips, valid, corners."""
    side, device = segmenter.card.chip, segmenter.device
    chips = torch.randn(count, len(segmenter.card.bands), side, side, device=device)
    valid = torch.ones(count, side, side, dtype=torch.bool, device=device)
    return chips, valid, torch.zeros(count, 2, dtype=torch.int64)
