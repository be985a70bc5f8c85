"""Calibration: the temperature that makes a model as sure as it may be.

Logits are divided by one number, which changes no class of a chip, chosen for the least negative
log-likelihood of labels that the model has not seen (Guo et al., "On Calibration of Modern Neural
Networks", 2017). It is fitted to what the model says of single chips, before they are blended.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp
from torch import Tensor

from geocamss.errors import InputError
from geocamss.evaluation.chance import uniforms
from geocamss.evaluation.labels import Labels
from geocamss.evaluation.pairs import Pair
from geocamss.evaluation.scores import IGNORED
from geocamss.modelcard import ModelCard
from geocamss.models.checkpoint import load_network, save
from geocamss.models.segmenter import Sampling, Segmenter
from geocamss.output.blocks import BlockStore
from geocamss.predict import Progress, map_blocks
from geocamss.request import Request
from geocamss.run import Run
from geocamss.scene.window import Window

__all__ = [
    "LEAST",
    "TemperatureFit",
    "best_temperature",
    "fit_temperature",
    "negative_log_likelihood",
    "write_calibrated",
]

SAMPLE_BYTES = 128 << 20
"""What is kept of the model's answers takes at most about this much memory."""

RANGE = (0.05, 20.0)
"""Temperatures beyond these make a map of even, or of blind, confidence."""

LEAST = 1e-30
"""No probability is smaller, so that its logarithm exists."""


@dataclass(frozen=True)
class TemperatureFit:
    """What was found."""

    temperature: float
    """The best one."""

    before: float
    """The card's."""

    nll: float
    """Mean negative log-likelihood of the labels with the best one, in nats a pixel."""

    nll_before: float
    """The same with the card's."""

    pixels: int
    """Labeled pixels that it was fitted to."""


def fit_temperature(
    pairs: Sequence[Pair], request: Request, progress: Callable[[Progress], None] | None = None
) -> TemperatureFit:
    """Fit a temperature to labels that the model was not trained on.

    Args:
        pairs: Scenes and labels.
        request: How to map; one sample is drawn, whatever it says.
        progress: Called now and then with how far the mapping has come.

    Raises:
        InputError: something given cannot be used, or nothing is labeled.
        RunError: a scene could not be mapped.
    """
    segmenter = request.segmenter()
    # Before the run is made: several samples would be drawn otherwise than one alone.
    single = replace(request, samples=1)
    runs = [single.run(pair.scene, segmenter) for pair in pairs]
    classes = len(segmenter.card.classes)
    share = min(1.0, SAMPLE_BYTES / 4 / classes / sum(r.grid.height * r.grid.width for r in runs))
    logs, labels = [], []
    for pair, run in zip(pairs, runs, strict=True):
        with closing(pair.labels.open(run.grid, segmenter.card.classes)) as known:
            listener = _Listener(segmenter, known, run.grid.origin, share, request.seed)
            _map(replace(run, segmenter=listener), progress or (lambda _: None))
        logs += listener.logs
        labels += listener.labels
    if not sum(map(len, labels)):
        raise InputError("nothing that the model maps has a label: there is nothing to fit to")
    before = segmenter.card.temperature
    logits = np.concatenate(logs) * before
    truth = np.concatenate(labels)
    temperature = best_temperature(logits, truth)
    return TemperatureFit(
        temperature=temperature,
        before=before,
        nll=negative_log_likelihood(logits, truth, temperature),
        nll_before=negative_log_likelihood(logits, truth, before),
        pixels=len(truth),
    )


def best_temperature(
    logits: NDArray[np.floating],
    labels: NDArray[np.integer],
    bounds: tuple[float, float] = RANGE,
) -> float:
    """The temperature with the least negative log-likelihood.

    Args:
        logits: (pixels, K), of temperature one.
        labels: (pixels,) channel numbers.
        bounds: Lowest and highest.
    """
    best = minimize_scalar(
        lambda log: negative_log_likelihood(logits, labels, math.exp(log)),
        bounds=(math.log(bounds[0]), math.log(bounds[1])),
        method="bounded",
        options={"xatol": 1e-4},
    )
    return round(math.exp(best.x), 4)


def negative_log_likelihood(
    logits: NDArray[np.floating], labels: NDArray[np.integer], temperature: float
) -> float:
    """Mean surprise at the labels, in nats.

    Args:
        logits: (pixels, K).
        labels: (pixels,) channel numbers.
        temperature: Divides the logits.
    """
    scaled = logits.astype(np.float64) / temperature
    total = logsumexp(scaled, axis=1)
    return float((total - scaled[np.arange(len(labels)), labels]).mean())


def write_calibrated(model: Path, temperature: float, out: Path) -> ModelCard:
    """Write a model file that differs in its temperature alone.

    Args:
        model: The file to start from.
        temperature: The new one.
        out: The file to write.

    Returns:
        The new card.

    Raises:
        ModelError: the model cannot be read.
    """
    network, card = load_network(model)
    fitted = ModelCard.model_validate({**card.model_dump(), "temperature": temperature})
    save(network.state_dict(), fitted, out)
    return fitted


def _map(run: Run, tell: Callable[[Progress], None]) -> None:
    """Let the segmenter see every chip; what it says of them is thrown away."""
    with tempfile.TemporaryDirectory(prefix="geocamss-") as folder:
        map_blocks(run, BlockStore(Path(folder)), tell)


@dataclass
class _Listener:
    """A segmenter that keeps what another one says of labeled pixels, each pixel once."""

    inner: Segmenter
    """The model."""

    known: Labels
    """The labels, on the grid."""

    origin: tuple[int, int]
    """Global row and column of the grid's first pixel."""

    share: float
    """Of the pixels that are kept."""

    seed: int
    """Chooses which."""

    logs: list[NDArray[np.float32]] = field(default_factory=list)
    """(pixels, K) logarithms of probabilities."""

    labels: list[NDArray[np.int64]] = field(default_factory=list)
    """(pixels,) channel numbers."""

    seen: set[tuple[int, int]] = field(default_factory=set)
    """Corners of the chips so far."""

    @property
    def card(self) -> ModelCard:
        """The model's."""
        return self.inner.card

    @property
    def device(self) -> torch.device:
        """The model's."""
        return self.inner.device

    @property
    def fingerprint(self) -> str:
        """The model's."""
        return self.inner.fingerprint

    def __call__(self, chips: Tensor, valid: Tensor, corners: Tensor, sampling: Sampling) -> Tensor:
        """Segment as the model does, and keep what is said within the chips' cores."""
        said = self.inner(chips, valid, corners, sampling)
        halo, size = self.card.halo, self.card.chip
        core = slice(halo, size - halo)
        for chip, usable, (row, col) in zip(said, valid, corners.tolist(), strict=True):
            # Batches are filled up with chips that were there before.
            if (row, col) not in self.seen and bool(usable.any()):
                self.seen.add((row, col))
                place = Window(row + halo, col + halo, size - 2 * halo, size - 2 * halo)
                self._keep(chip[:, core, core], usable[core, core].cpu().numpy(), place)
        return said

    def _keep(self, said: Tensor, usable: NDArray[np.bool_], place: Window) -> None:
        truth = self.known.read(place.shifted(-self.origin[0], -self.origin[1]))
        chosen = usable & (truth != IGNORED) & (uniforms(self.seed, 99, place) < self.share)
        where = torch.from_numpy(chosen).to(said.device)
        probabilities = said[:, where].float().cpu().numpy().T  # (pixels, K)
        self.logs.append(np.log(np.maximum(probabilities, LEAST)))
        self.labels.append(truth[chosen].astype(np.int64))
