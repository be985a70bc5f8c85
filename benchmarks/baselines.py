"""Networks that people use for land cover today, trained as the segmenter is.

Nothing is pretrained, on either side: all begin with random weights. Those of
segmentation-models-pytorch come with the extra ``bench``.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Generator, Tensor, nn

from geocamss.modelcard import ModelCard
from geocamss.models.camss.layers import ConvNorm, fold_norms
from geocamss.models.module import from_module
from geocamss.models.precision import fast_dtype
from geocamss.models.segmenter import Segmenter
from geocamss.training.batches import Batch
from geocamss.training.objective import map_loss, unweigh
from geocamss.training.recipe import Training

__all__ = ["BASELINES", "PlainObjective", "UNet"]

WIDTHS = (16, 32, 64, 160, 304)
"""Channels by level: multiples of 16, and as many parameters as the segmenter has (2.7 M)."""


class UNet(nn.Module):
    """Five levels, two convolutions a level on the way down and on the way up.

    As in Ronneberger et al., 2015, with batch normalization.
    """

    def __init__(self, bands: int, widths: Sequence[int], classes: int) -> None:
        super().__init__()
        inside = (bands, *widths[:-1])
        self.down = nn.ModuleList(_double(i, o) for i, o in zip(inside, widths, strict=True))
        pairs = list(zip(widths[::-1][:-1], widths[::-1][1:], strict=True))
        self.grow = nn.ModuleList(nn.ConvTranspose2d(i, o, 2, stride=2) for i, o in pairs)
        self.up = nn.ModuleList(_double(2 * o, o) for _, o in pairs)
        self.leave = nn.Conv2d(widths[0], classes, 1)
        self.pool = nn.MaxPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, K, H, W) logits; H and W are multiples of 16."""
        x = x.contiguous(memory_format=torch.channels_last)
        skips: list[Tensor] = []
        for level, block in enumerate(self.down):
            x = block(x if level == 0 else self.pool(x))  # (B, widths[level], H/2^l, W/2^l)
            skips.append(x)
        for grow, block, skip in zip(self.grow, self.up, skips[-2::-1], strict=True):
            x = block(torch.cat([skip, grow(x)], dim=1))
        logits: Tensor = self.leave(x)  # (B, K, H, W)
        return logits


def _double(inside: int, outside: int) -> nn.Sequential:
    return nn.Sequential(ConvNorm(inside, outside), ConvNorm(outside, outside))


def _unet(bands: int, classes: int) -> nn.Module:
    from segmentation_models_pytorch import Unet

    made: nn.Module = Unet("resnet18", encoder_weights=None, in_channels=bands, classes=classes)
    return made


def _deeplab(bands: int, classes: int) -> nn.Module:
    from segmentation_models_pytorch import DeepLabV3Plus

    made: nn.Module = DeepLabV3Plus(
        "mobilenet_v2", encoder_weights=None, in_channels=bands, classes=classes
    )
    return made


def _segformer(bands: int, classes: int) -> nn.Module:
    from segmentation_models_pytorch import Segformer

    made: nn.Module = Segformer("mit_b0", encoder_weights=None, in_channels=bands, classes=classes)
    return made


BASELINES: dict[str, Callable[[int, int], nn.Module]] = {
    "U-Net": lambda bands, classes: UNet(bands, WIDTHS, classes),
    "U-Net-ResNet18": _unet,
    "DeepLabV3+": _deeplab,
    "SegFormer": _segformer,
}
"""By name: bands and classes to a network of random weights.

The first is the one above. The others are those of segmentation-models-pytorch: a U-Net on
ResNet-18, as most people would begin, DeepLabV3+ on MobileNetV2 and SegFormer on MiT-B0, the sizes
nearest to the segmenter's.
"""


def last_layer(network: nn.Module) -> nn.Conv2d:
    """The layer of a baseline whose channels are the classes."""
    found: nn.Conv2d = network.leave if isinstance(network, UNet) else network.segmentation_head[0]
    return found


class PlainObjective:
    """Cross-entropy and Dice, weighted as the segmenter's map loss is."""

    def __init__(self, training: Training, weights: Tensor) -> None:
        self._training = training
        self._weights = weights

    def losses(self, network: nn.Module, batch: Batch, generator: Generator) -> dict[str, Tensor]:
        """The map loss."""
        del generator
        weights = self._weights.to(batch.chips.device)
        return {"map": map_loss(network(batch.chips), batch.labels, weights, self._training.dice)}

    def finished(self, network: nn.Module) -> nn.Module:
        """A copy whose probabilities are not those of the class weights."""
        found = copy.deepcopy(network)
        unweigh(last_layer(found), self._weights)
        return found

    def segmenter(self, network: nn.Module, card: ModelCard) -> Segmenter:
        """The network folded, in the fastest number format, as the segmenter's is."""
        fast = copy.deepcopy(network).eval()
        fold_norms(fast)
        device = next(network.parameters()).device
        return from_module(
            fast.to(dtype=fast_dtype(device), memory_format=torch.channels_last), card
        )
