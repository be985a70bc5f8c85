"""The masked objective: squares are hidden, and painted from what is around them.

As masked autoencoders do (He et al., "Masked Autoencoders Are Scalable Vision Learners", 2022), but
through a pyramid of convolutions. A hidden square is said to be without data, so that the encoder
learns on the way what to make of nodata.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn

from geocamss.modelcard import ModelCard
from geocamss.models.camss.encoder import ImageEncoder
from geocamss.models.camss.layers import ConvNorm
from geocamss.models.segmenter import Segmenter
from geocamss.training.batches import Batch

__all__ = ["MaskedObjective", "PaintingNetwork", "hide_squares"]


class PaintingNetwork(nn.Module):
    """An image encoder, and a light decoder that is thrown away afterwards."""

    def __init__(self, encoder: ImageEncoder, features: int, channels: int) -> None:
        """Put the parts together.

        Args:
            encoder: What is trained for.
            features: Channels of its coarsest features.
            channels: Of a chip.
        """
        super().__init__()
        self.encoder = encoder
        self.paint = nn.Sequential(
            ConvNorm(features, features),
            nn.Conv2d(features, channels * encoder.stride**2, 1),
            nn.PixelShuffle(encoder.stride),
        )

    def forward(self, chips: Tensor, valid: Tensor) -> Tensor:
        """(B, C, H, W) with its validity (B, H, W) to the painted chips, (B, C, H, W)."""
        painted: Tensor = self.paint(self.encoder(chips, valid)[-1])
        return painted


class MaskedObjective:
    """Mean squared error on what is hidden."""

    def __init__(self, share: float, square: int) -> None:
        """Take the share of hidden squares, and their side in pixels."""
        self._share, self._square = share, square

    def losses(self, network: nn.Module, batch: Batch, generator: Generator) -> dict[str, Tensor]:
        """Loss of a batch."""
        hidden = hide_squares(batch.valid, self._share, self._square, generator)  # (B, H, W)
        valid = batch.valid & ~hidden
        painted = network(batch.chips.masked_fill(~valid[:, None], 0), valid).float()
        judged = hidden & batch.valid
        error = (painted - batch.chips).square().mean(1)  # (B, H, W)
        return {"painting": (error * judged).sum() / judged.sum().clamp(min=1)}

    def finished(self, network: nn.Module) -> nn.Module:
        """As it is."""
        return network

    def segmenter(self, network: nn.Module, card: ModelCard) -> Segmenter:
        """There is none."""
        raise TypeError(f"an encoder is no segmenter: {type(network).__name__} of {card.name}")


def hide_squares(valid: Tensor, share: float, square: int, generator: Generator) -> Tensor:
    """Choose squares to hide.

    Args:
        valid: (B, H, W) bool; H and W are multiples of ``square``.
        share: Of the squares of each chip, rounded.
        square: Side, in pixels.
        generator: Source of randomness.

    Returns:
        (B, H, W) bool, True = hidden.
    """
    batch, height, width = valid.shape
    down, across = height // square, width // square
    ranks = torch.rand(batch, down * across, generator=generator).argsort(1).argsort(1)
    chosen = (ranks < round(share * down * across)).view(batch, down, across)
    whole = chosen.repeat_interleave(square, 1).repeat_interleave(square, 2)
    return whole.to(valid.device)
