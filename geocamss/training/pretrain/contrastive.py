"""The contrastive objective: the same place in two views is told from all other places.

InfoNCE (van den Oord et al., "Representation Learning with Contrastive Predictive Coding", 2018)
over the tokens of a batch, as in dense contrastive learning (Wang et al., 2021): segmentation needs
features that differ within an image.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from geocamss.modelcard import ModelCard
from geocamss.models.camss.encoder import ImageEncoder
from geocamss.models.segmenter import Segmenter
from geocamss.training.batches import Batch

__all__ = ["ContrastiveObjective", "ProjectingNetwork", "info_nce"]

PLACES = 256
"""Tokens that are compared, over the whole batch."""

PROJECTION = 64
"""Channels in which they are compared."""


class ProjectingNetwork(nn.Module):
    """An image encoder, and a projection that is thrown away afterwards."""

    def __init__(self, encoder: ImageEncoder, features: int) -> None:
        """Put the parts together.

        Args:
            encoder: What is trained for.
            features: Channels of its coarsest features.
        """
        super().__init__()
        self.encoder = encoder
        self.project = nn.Sequential(
            nn.Conv2d(features, features, 1), nn.ReLU(), nn.Conv2d(features, PROJECTION, 1)
        )

    def forward(self, chips: Tensor, valid: Tensor) -> Tensor:
        """(B, C, H, W) with its validity (B, H, W) to (B, h, w, projection)."""
        projected: Tensor = self.project(self.encoder(chips, valid)[-1])
        return projected.permute(0, 2, 3, 1)


class ContrastiveObjective:
    """InfoNCE between the views of a batch, whose second half are the second views."""

    def __init__(self, temperature: float) -> None:
        """Take the temperature."""
        self._temperature = temperature

    def losses(self, network: nn.Module, batch: Batch, generator: Generator) -> dict[str, Tensor]:
        """Loss of a batch."""
        found = network(batch.chips, batch.valid).float()  # (2 B, h, w, projection)
        first, second = found.flatten(1, 2).chunk(2)  # 2 x (B, h w, projection)
        flat = first.flatten(0, 1), second.flatten(0, 1)
        chosen = torch.randperm(len(flat[0]), generator=generator)[:PLACES].to(found.device)
        return {"contrast": info_nce(flat[0][chosen], flat[1][chosen], self._temperature)}

    def finished(self, network: nn.Module) -> nn.Module:
        """As it is."""
        return network

    def segmenter(self, network: nn.Module, card: ModelCard) -> Segmenter:
        """There is none."""
        raise TypeError(f"an encoder is no segmenter: {type(network).__name__} of {card.name}")


def info_nce(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Cross-entropy of finding each place of one view in the other, both ways; a scalar.

    Args:
        first: (N, D), any length.
        second: (N, D), the same places.
        temperature: Divides the cosines.
    """
    cosines = functional.normalize(first, dim=1) @ functional.normalize(second, dim=1).T  # (N, N)
    places = torch.arange(len(first), device=first.device)
    logits = cosines / temperature
    there = functional.cross_entropy(logits, places)
    return (there + functional.cross_entropy(logits.T, places)) / 2
