"""Objectives: what a training step minimizes, and what comes out of it.

The segmenter has three losses, and needs all of them. The head's own loss alone leaves it several
points below a plain network. Cross-entropy through the decoder on the one-step prediction brings it
level, but alone lets the decoder drift out of the latent space, so that more than one step
collapses. The reconstruction loss holds the decoder there: in some of the steps only, for in all of
them it would cost the map what a decoder of that size cannot do at once. A head that predicts noise
has no one-step prediction to speak of, and does without, as in the paper.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Protocol

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from geocamss.modelcard import ModelCard
from geocamss.models.camss.head import flow_loss
from geocamss.models.camss.model import CamssSegmenter
from geocamss.models.camss.network import CamssNetwork, tokens_seen
from geocamss.models.camss.schedule import Level
from geocamss.models.camss.student import mean_flow_loss
from geocamss.models.camss.tokenizer import MaskEncoder, one_hot
from geocamss.models.segmenter import Segmenter
from geocamss.training.batches import Batch
from geocamss.training.recipe import Training
from geocamss.training.sources import IGNORED

__all__ = [
    "CamssObjective",
    "Objective",
    "class_weights",
    "dice_loss",
    "map_loss",
    "shift_classes",
    "unweigh",
]

_PARTS = 4
"""In a step that trains the tokenizer one in so many chips does, and the head at all levels too."""

_UNGUIDED = 0.7
"""Share of true latents decoded without the image's features: a code that needs them is none."""

_COMMITMENT = 0.25
"""Weight of what holds latents to their codes, where there is a codebook."""


class Objective(Protocol):
    """A network's losses, and the segmenter that it becomes."""

    def losses(self, network: nn.Module, batch: Batch, generator: Generator) -> dict[str, Tensor]:
        """Weighted losses by name; their sum is minimized."""

    def finished(self, network: nn.Module) -> nn.Module:
        """A copy whose probabilities are not those of the class weights; see ``unweigh``."""

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


def unweigh(layer: nn.Conv2d, weights: Tensor) -> None:
    """Take class weights out of what a last layer has learned with them, in place.

    Cross-entropy with weights w is least where the probabilities are those of the classes times w
    (Menon et al., "Long-tail learning via logit adjustment", 2021).

    Args:
        layer: Its channels are those of the classes, each so many times in a row.
        weights: (K,).
    """
    shift_classes(layer, -weights.log())


@torch.no_grad()
def shift_classes(layer: nn.Conv2d, shifts: Tensor) -> None:
    """Add to the logits that a last layer makes, in place.

    Args:
        layer: Its channels are those of the classes, each so many times in a row.
        shifts: (K,), by class.
    """
    if layer.bias is None:
        raise TypeError("the last layer has no bias to shift classes by")
    layer.bias += shifts.to(layer.bias).repeat_interleave(len(layer.bias) // len(shifts))


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
    """The losses of the segmenter."""

    def __init__(self, training: Training, weights: Tensor) -> None:
        """Take the recipe's settings and the class weights, (K,)."""
        self._training = training
        self._weights = weights

    def finished(self, network: nn.Module) -> CamssNetwork:
        """A copy whose probabilities are not those of the class weights."""
        found = copy.deepcopy(_ours(network))
        unweigh(found.decoder.last, self._weights)
        return found

    def segmenter(self, network: nn.Module, card: ModelCard) -> Segmenter:
        """The network, ready for use."""
        return CamssSegmenter(_ours(network), card)

    def losses(self, network: nn.Module, batch: Batch, generator: Generator) -> dict[str, Tensor]:
        """Weighted losses by name."""
        network = _ours(network)
        labels = batch.labels
        masks = one_hot(labels, len(self._weights)).contiguous(memory_format=torch.channels_last)
        latents, penalty = network.mask_encoder.draw(masks, generator)  # (B, L, h, w)
        guide = network.encoder(batch.chips, batch.valid)
        tokens = latents.detach().permute(0, 2, 3, 1)  # (B, h, w, L)
        rehearsed = self._rehearsed(network, generator)
        drop, guided, known = (
            told.to(labels.device) for told in self._told(tokens, generator, rehearsed=rehearsed)
        )  # 2 x (B,), (B, h, w)
        seen = tokens_seen(batch.valid, network.stride)  # (B, h, w)
        condition = network.transformer(
            guide[-1],
            seen=None if bool(seen.all()) else seen,
            latents=tokens,
            known=known,
            drop=drop,
        )  # (B, h, w, width)
        weight = _labeled(labels, network.stride) * ~known
        part = -(-len(labels) // _PARTS) if rehearsed else 0
        losses = self._head_losses(network, part, (tokens, condition, weight), generator)
        if part:
            kl = isinstance(network.mask_encoder, MaskEncoder)
            losses["code"] = (self._training.kl if kl else _COMMITMENT) * penalty
            losses["reconstruction"] = self._reconstruction(
                network,
                latents[:part],
                [features[:part] for features in guide],
                labels[:part],
                generator,
            )
        if network.head.predicts_mean:
            noise = torch.zeros_like(tokens)  # it makes no difference
            guess = network.head.clean(noise, Level(0, 1), condition)  # (B, h, w, L)
            losses["mean"] = self._training.flow * flow_loss(guess, tokens, weight)
            guess = torch.where(known[..., None], tokens, guess)
            # What is decoded is a code, where there are codes; the gradient goes straight through.
            guess = guess + (network.mask_encoder.snap(guess) - guess).detach()
            logits = network.decoder(guess.permute(0, 3, 1, 2), guide, guided.float())
            imaged = labels.masked_fill(drop[:, None, None], IGNORED)
            weights = self._weights.to(labels.device)
            losses["map"] = map_loss(logits, imaged, weights, self._training.dice)
        return losses

    def _rehearsed(self, network: CamssNetwork, generator: Generator) -> bool:
        """Whether a step also trains what makes samples.

        That is the tokenizer, the head at all levels, and what does without the image or knows a
        part of the mask. The one-step prediction makes the map, and gets the whole batch in every
        step.
        """
        drawn = bool(_coins(self._training.rehearsed, (1,), generator))
        return drawn or not network.head.predicts_mean

    def _head_losses(
        self,
        network: CamssNetwork,
        part: int,
        given: tuple[Tensor, Tensor, Tensor],
        generator: Generator,
    ) -> dict[str, Tensor]:
        """Losses of the heads, given latents, conditions and weights of the whole batch."""
        # Where the head alone makes the map, all chips train it.
        few = slice(part if network.head.predicts_mean else None)
        tokens, condition, weight = (tensor[few] for tensor in given)
        if not len(tokens):
            return {}
        drawn = network.head.loss(tokens, condition, weight, generator)
        losses = {"head": self._training.flow * drawn}
        if network.student is not None:
            fixed = condition.detach()  # the trunk is not the student's to change
            drawn = mean_flow_loss(network.student, tokens, fixed, weight, generator)
            losses["one_step"] = self._training.flow * drawn
        return losses

    def _reconstruction(
        self,
        network: CamssNetwork,
        latents: Tensor,
        guide: Sequence[Tensor],
        labels: Tensor,
        generator: Generator,
    ) -> Tensor:
        """The loss of true latents that are decoded, most of them without the image's features."""
        keep = (~_coins(_UNGUIDED, (len(labels),), generator)).float().to(labels.device)
        steady = _steady(network.decoder) if network.head.predicts_mean else nullcontext()
        with steady:
            logits = network.decoder(latents, guide, keep)
        weights = self._weights.to(labels.device)
        return self._training.reconstruction * map_loss(logits, labels, weights, dice=0)

    def _told(
        self, tokens: Tensor, generator: Generator, *, rehearsed: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """What the network is told of each chip.

        Args:
            tokens: (B, h, w, L), the mask's latents.
            generator: Of the choices.
            rehearsed: Whether there are any; else every chip has its whole image, and nothing of
                its mask.

        Returns:
            Which chips lose their image, and which are decoded with its features, (B,); and which
            mask tokens are known, (B, h, w).
        """
        settings, batch = self._training, (len(tokens),)
        if not rehearsed:
            none = torch.zeros(batch, dtype=torch.bool)
            return none, ~none, torch.zeros(tokens.shape[:3], dtype=torch.bool)
        drop = _coins(settings.null_image, batch, generator)
        guided = ~_coins(settings.guide_dropout, batch, generator) & ~drop
        return drop, guided, self._known(tokens, generator)

    def _known(self, tokens: Tensor, generator: Generator) -> Tensor:
        """Which mask tokens are told: none in most chips, up to 70 % of them in the others."""
        batch, height, width, _ = tokens.shape
        told = _coins(self._training.revealed, (batch,), generator)
        share = torch.rand(batch, generator=generator) * 0.7 * told
        return torch.rand(batch, height, width, generator=generator) < share[:, None, None]


def _ours(network: nn.Module) -> CamssNetwork:
    if not isinstance(network, CamssNetwork):
        raise TypeError(f"wants a CamssNetwork, got {type(network).__name__}")
    return network


@contextmanager
def _steady(decoder: nn.Module) -> Iterator[None]:
    """Let a decoder's normalizations go by their running statistics, and leave these alone.

    Those of the batch are the map's. True latents have others: mixed in, they would spoil the
    map's, in training and afterwards.
    """
    norms = [module for module in decoder.modules() if isinstance(module, nn.BatchNorm2d)]
    training = [norm for norm in norms if norm.training]
    for norm in training:
        norm.eval()
    try:
        yield
    finally:
        for norm in training:
            norm.train()


def _coins(share: float, shape: tuple[int, ...], generator: Generator) -> Tensor:
    return torch.rand(shape, generator=generator) < share


def _labeled(labels: Tensor, stride: int) -> Tensor:
    """Share of labeled pixels of each token, (B, h, w)."""
    return functional.avg_pool2d((labels != IGNORED).float(), stride)
