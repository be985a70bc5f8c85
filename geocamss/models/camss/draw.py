"""From features to latents: rounds of the transformer, and in each a sampler over the head."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from geocamss.errors import ModelError
from geocamss.modelcard import ModelCard, Sampler
from geocamss.models.camss import sampler as samplers
from geocamss.models.camss.network import CamssNetwork
from geocamss.models.camss.rounds import drawn_before
from geocamss.models.camss.schedule import LAST_SAFE, Level, cosine, straight
from geocamss.models.segmenter import Sampling

__all__ = ["Draw", "draw", "levels"]

Noise = Callable[[int], Tensor]
"""Standard normal noise of a sampler's step by its number, 0 at the start; (B, h, w, latent)."""


@dataclass(frozen=True)
class Draw:
    """How latents are drawn, nothing left open."""

    sampler: Sampler
    """The algorithm."""

    steps: int
    """Of the sampler, from 1."""

    rounds: int
    """Passes of the transformer, from 1."""

    guidance: float
    """1 is what the image says."""

    @classmethod
    def of(cls, sampling: Sampling, card: ModelCard) -> Draw:
        """What was asked for, and the card's word where nothing was."""
        return cls(
            sampling.sampler or card.sampler,
            sampling.steps or card.steps,
            sampling.rounds or card.rounds,
            card.guidance if sampling.guidance is None else sampling.guidance,
        )

    def is_certain(self, network: CamssNetwork) -> bool:
        """Whether all draws are the same: one step gives the mean, whatever the noise."""
        random = self.sampler in ("ddpm", "one-step")
        return self.steps == 1 and network.head.predicts_mean and not random

    def on_cosine(self, network: CamssNetwork) -> bool:
        """Whether the way runs along the cosine schedule, and not straight."""
        learned_there = not network.head.predicts_mean and self.sampler in ("ddim", "dpm++")
        return self.sampler == "ddpm" or learned_there

    def check(self, network: CamssNetwork, where: str) -> None:
        """See that a network can draw so.

        Raises:
            ModelError: the sampler wants a part that the network lacks, or fewer steps.
        """
        if self.sampler == "one-step" and network.student is None:
            raise ModelError(
                f"{where}: has no one-step head, which the sampler 'one-step' wants; take another "
                "sampler, or train with one_step: true"
            )
        if self.on_cosine(network) and self.steps > LAST_SAFE + 1:
            raise ModelError(f"{where}: draws in at most {LAST_SAFE + 1} steps, got {self.steps}")


def levels(how: Draw, network: CamssNetwork) -> list[Level]:
    """The noise levels on a sampler's way.

    On the cosine schedule all start a little before its end. The paper does not; but there the
    data are divided by almost nothing, and the least error of the head grows a thousandfold.
    """
    return cosine(how.steps, LAST_SAFE) if how.on_cosine(network) else straight(how.steps)


def draw(
    network: CamssNetwork,
    features: Tensor,
    seen: Tensor,
    how: Draw,
    *,
    noise: Noise,
    turns: Tensor,
) -> Tensor:
    """Draw the mask latents of a batch.

    In each round the tokens whose turn it is are drawn, given the image and the latents of earlier
    rounds; the head runs on these alone.

    Args:
        network: Transformer and heads.
        features: (B, C, h, w) of the image, coarsest stride.
        seen: (B, h, w) bool, True where a token has a valid pixel.
        how: Sampler, rounds and guidance.
        noise: By step.
        turns: (B, h, w), 0 to 1: see ``rounds.turns``.

    Returns:
        (B, h, w, latent) float32.
    """
    visible = None if bool(seen.all()) else seen
    if how.rounds == 1:
        given = _conditions(network, features, how, {"seen": visible})
        return _sample(network, how, given, noise)
    latents = torch.zeros(*seen.shape, network.head.latent, device=features.device)
    for number in range(how.rounds):
        first, end = (drawn_before(n, how.rounds) for n in (number, number + 1))
        now = (turns >= first) & (turns < end)  # (B, h, w)
        if not bool(now.any()):
            continue
        # What lies under nodata is drawn, to have something to decode, but told to no one.
        told = {"seen": visible, "latents": latents, "known": (turns < first) & seen}
        given = [x[now] for x in _conditions(network, features, how, told)]  # (N, width)
        latents[now] = _sample(network, how, given, partial(_of, noise, now))
    return latents


def _of(noise: Noise, chosen: Tensor, step: int) -> Tensor:
    """Noise of the chosen tokens, (N, latent)."""
    return noise(step)[chosen]


def _conditions(
    network: CamssNetwork, features: Tensor, how: Draw, told: dict[str, Tensor | None]
) -> list[Tensor]:
    """Conditions with the image; with guidance, then also those without."""
    given = [network.transformer(features, **told)]
    if how.guidance != 1:
        drop = torch.ones(len(features), dtype=torch.bool, device=features.device)
        given.append(network.transformer(features, drop=drop, **told))
    return given


def _sample(network: CamssNetwork, how: Draw, given: list[Tensor], noise: Noise) -> Tensor:
    """Run a sampler, whose predictions are guided if there are conditions without the image."""

    def guided(found: list[Tensor]) -> Tensor:
        return found[0] if len(found) == 1 else torch.lerp(found[1], found[0], how.guidance)

    def denoise(x: Tensor, level: Level) -> Tensor:
        return guided([network.head.clean(x, level, condition) for condition in given])

    def posterior(x: Tensor, level: Level) -> tuple[Tensor, Tensor | None]:
        found = [network.head.posterior(x, level, condition) for condition in given]
        return guided([data for data, _ in found]), found[0][1]

    def average(x: Tensor, t: float, r: float) -> Tensor:
        if network.student is None:
            raise AssertionError("checked before: there is a one-step head")
        times = [torch.full((), time, device=x.device) for time in (t, r)]
        return guided([network.student(x, *times, condition) for condition in given])

    # Numbers that make no difference would be a thirtieth of the work.
    shape = (*given[0].shape[:-1], network.head.latent)
    start = torch.zeros(shape, device=given[0].device) if how.is_certain(network) else noise(0)
    if how.sampler == "one-step":
        return samplers.mean_flow(average, start, how.steps)
    path = levels(how, network)
    if how.sampler == "ddpm":
        return samplers.ddpm(posterior, start, path, noise)
    deterministic = {
        "euler": samplers.euler,
        "heun": samplers.heun,
        "ddim": samplers.ddim,
        "dpm++": samplers.dpm_solver,
    }
    return deterministic[how.sampler](denoise, start, path)
