"""Objectives: what a training step minimizes, and what comes out of it.

The segmenter has three losses, and needs all of them. The flow loss alone leaves it several points
below a plain network. Cross-entropy through the decoder on the one-step prediction brings it level,
but alone lets the decoder drift out of the latent space, so that more than one step collapses. The
reconstruction loss holds the decoder there.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from geocamss.modelcard import ModelCard
from geocamss.models.camss.config import STRIDE
from geocamss.models.camss.head import flow_loss, logit_normal
from geocamss.models.camss.model import CamssSegmenter
from geocamss.models.camss.network import CamssNetwork, tokens_seen
from geocamss.models.camss.tokenizer import one_hot
from geocamss.models.segmenter import Segmenter
from geocamss.training.batches import Batch
from geocamss.training.recipe import Training
from geocamss.training.sources import IGNORED

__all__ = ["CamssObjective", "Objective", "class_weights", "dice_loss", "map_loss"]

_PARTS = 4
"""One in so many chips of a batch trains the tokenizer, and the flow at times after 0."""

_UNGUIDED = 0.7
"""Share of true latents decoded without the image's features: a code that needs them is none."""


class Objective(Protocol):
    """A network's losses, and the segmenter that it becomes."""

    def losses(self, network: nn.Module, batch: Batch, generator: Generator) -> dict[str, Tensor]:
        """Weighted losses by name; their sum is minimized."""

    def segmenter(self, network: nn.Module, card: ModelCard) -> Segmenter:
        """The network, ready for use."""


def class_weights(frequencies: Tensor, power: float) -> Tensor:
    """Weights that favor rare classes, with mean one over the pixels.

    Args:
        frequencies: (K,) shares of the labeled pixels.
        power: 0 weighs all pixels alike, 1 all classes.
    """
    weights = frequencies.clamp(min=1e-3) ** -power
    return weights / (weights * frequencies).sum().clamp(min=1e-9)


def dice_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """One minus the mean Dice overlap of the classes that are labeled in the batch; a scalar.

    Args:
        logits: (B, K, H, W).
        labels: (B, H, W) int64; 255 is ignored.
    """
    truth = one_hot(labels, logits.shape[1])  # (B, K, H, W)
    chances = torch.softmax(logits, dim=1) * (labels != IGNORED)[:, None]
    both = (truth * chances).sum((0, 2, 3))  # (K,)
    either = truth.sum((0, 2, 3)) + chances.sum((0, 2, 3))
    present = (truth.sum((0, 2, 3)) > 0).float()
    missing = (1 - 2 * both / either.clamp(min=1.0)) * present
    return missing.sum() / present.sum().clamp(min=1.0)


def map_loss(logits: Tensor, labels: Tensor, weights: Tensor, dice: float) -> Tensor:
    """Weighted cross-entropy plus ``dice`` times the Dice loss; zero where nothing is labeled."""
    if not bool((labels != IGNORED).any()):
        return logits.sum() * 0
    logits = logits.float()
    entropy = functional.cross_entropy(logits, labels, weights, ignore_index=IGNORED)
    return entropy + dice * dice_loss(logits, labels) if dice else entropy


class CamssObjective:
    """The three losses of the segmenter."""

    def __init__(self, training: Training, weights: Tensor) -> None:
        """Take the recipe's settings and the class weights, (K,)."""
        self._training = training
        self._weights = weights

    def segmenter(self, network: nn.Module, card: ModelCard) -> Segmenter:
        """The network, ready for use."""
        if not isinstance(network, CamssNetwork):
            raise TypeError(f"wants a CamssNetwork, got {type(network).__name__}")
        return CamssSegmenter(network, card)

    def losses(self, network: nn.Module, batch: Batch, generator: Generator) -> dict[str, Tensor]:
        """Weighted losses by name."""
        if not isinstance(network, CamssNetwork):
            raise TypeError(f"wants a CamssNetwork, got {type(network).__name__}")
        training = self._training
        labels, device = batch.labels, batch.chips.device
        masks = one_hot(labels, len(self._weights)).contiguous(memory_format=torch.channels_last)
        mean, logvar = network.mask_encoder(masks)  # (B, L, h, w)
        latents = mean + torch.exp(logvar / 2) * _normal(mean, generator)
        fine, middle, coarse = network.encoder(batch.chips, batch.valid)
        tokens = latents.detach().permute(0, 2, 3, 1)  # (B, h, w, L)
        drop = _coins(training.null_image, (len(labels),), generator).to(device)
        known = self._known(tokens, generator).to(device)  # (B, h, w)
        seen = tokens_seen(batch.valid, STRIDE)  # (B, h, w)
        condition = network.transformer(
            coarse,
            seen=None if bool(seen.all()) else seen,
            latents=tokens,
            known=known,
            drop=drop,
        )  # (B, h, w, width)
        # A part of the batch is enough for the flow at later times, and for the tokenizer, which
        # learns fast; the one-step prediction makes the map, and gets all of it.
        part = -(-len(labels) // _PARTS)
        noisy, time = self._noised(tokens, part, generator)
        given = torch.cat([condition[:part], condition])
        found = network.head(noisy, time, given)  # (part + B, h, w, L)
        later, guess = found[:part], found[part:]
        weight = _labeled(labels) * ~known
        flow = flow_loss(later, tokens[:part], weight[:part]) + flow_loss(guess, tokens, weight)
        guess = torch.where(known[..., None], tokens, guess.float()).permute(0, 3, 1, 2)
        logits = network.decoder(
            torch.cat([latents[:part], guess]),
            (torch.cat([fine[:part], fine]), torch.cat([middle[:part], middle])),
            self._keep(part, drop, generator),
        )  # (part + B, K, H, W)
        rebuilt, mapped = logits[:part], logits[part:]
        weights = self._weights.to(device)
        imaged = labels.masked_fill(drop[:, None, None], IGNORED)
        return {
            "map": map_loss(mapped, imaged, weights, training.dice),
            "reconstruction": training.reconstruction
            * map_loss(rebuilt, labels[:part], weights, dice=0),
            "flow": training.flow * flow,
            "kl": training.kl * _divergence(mean, logvar),
        }

    def _known(self, tokens: Tensor, generator: Generator) -> Tensor:
        """Which mask tokens are told: none in most chips, up to 70 % of them in the others."""
        batch, height, width, _ = tokens.shape
        told = _coins(self._training.revealed, (batch,), generator)
        share = torch.rand(batch, generator=generator) * 0.7 * told
        return torch.rand(batch, height, width, generator=generator) < share[:, None, None]

    def _noised(self, tokens: Tensor, part: int, generator: Generator) -> tuple[Tensor, Tensor]:
        """A part of the latents at random times, then pure noise at t = 0 for all.

        Returns:
            (part + B, h, w, L) and (part + B,).
        """
        normal = torch.randn(part, generator=generator)
        time = torch.cat([logit_normal(normal), torch.zeros(len(tokens))]).to(tokens.device)
        at = time[:, None, None, None]
        data = torch.cat([tokens[:part], tokens])
        return data * at + _normal(data, generator) * (1 - at), time

    def _keep(self, part: int, drop: Tensor, generator: Generator) -> Tensor:
        """For true latents, then for predicted ones: 1 where the decoder may see the image."""
        guided = ~_coins(_UNGUIDED, (part,), generator).to(drop.device)
        mapped = ~_coins(self._training.guide_dropout, drop.shape, generator).to(drop.device)
        return torch.cat([guided, mapped & ~drop]).float()


def _normal(like: Tensor, generator: Generator) -> Tensor:
    return torch.randn(like.shape, generator=generator).to(like.device)


def _coins(share: float, shape: tuple[int, ...], generator: Generator) -> Tensor:
    return torch.rand(shape, generator=generator) < share


def _labeled(labels: Tensor) -> Tensor:
    """Share of labeled pixels of each token, (B, h, w)."""
    return functional.avg_pool2d((labels != IGNORED).float(), STRIDE)


def _divergence(mean: Tensor, logvar: Tensor) -> Tensor:
    """Kullback-Leibler divergence of the posterior from a standard normal, by channel."""
    return 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()
