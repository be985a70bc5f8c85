"""Training by recipe: data in, a model file out."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import lightning.pytorch as pl
import torch
from lightning.fabric.utilities.warnings import PossibleUserWarning
from lightning.pytorch.loggers import TensorBoardLogger
from torch import nn

from geocamss import __version__
from geocamss.evaluation.scores import Scores
from geocamss.modelcard import ModelCard
from geocamss.models.camss.network import CamssNetwork, build
from geocamss.models.checkpoint import load_network, save
from geocamss.models.precision import fast_dtype
from geocamss.training.batches import Batches, Pool, class_frequencies
from geocamss.training.loop import Loop
from geocamss.training.objective import CamssObjective, class_weights
from geocamss.training.pretrain.encoder import is_encoder, load_encoder
from geocamss.training.recipe import Recipe, data_folder
from geocamss.training.sources import LabeledImage, load_source
from geocamss.training.sources.ground import check_apart
from geocamss.training.state import SafetensorsIO
from geocamss.training.warmstart import warm_start

__all__ = ["Data", "Trained", "fit", "load_data", "train"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Data:
    """All that a recipe reads."""

    pools: tuple[Pool, ...]
    """Where training chips come from."""

    validation: tuple[LabeledImage, ...]
    """What scores are measured on."""


@dataclass(frozen=True)
class Trained:
    """The result of a training run."""

    path: Path
    """The model file."""

    card: ModelCard
    """Its card."""

    scores: Scores | None
    """Of the exported weights on the validation images; None without any."""

    steps: int
    """Steps taken."""

    losses: tuple[float, ...]
    """Sum of the losses, by step of this run."""


def load_data(recipe: Recipe, folder: Path) -> Data:
    """Read everything that a recipe names.

    Raises:
        RecipeError: something is missing, cannot be read, or is labeled on the same ground for
            training and for validation.
    """
    card = recipe.card_without_results()
    pools = tuple(
        Pool(tuple(load_source(source, card, folder)), source.weight) for source in recipe.sources
    )
    validation = tuple(
        item for source in recipe.validation for item in load_source(source, card, folder)
    )
    check_apart([image for pool in pools for image in pool.images], validation)
    return Data(pools, validation)


def train(
    recipe: Recipe,
    path: Path,
    out: Path,
    *,
    data: Path | None = None,
    resume: bool = False,
    start_from: Path | None = None,
    log: Path | None = None,
) -> Trained:
    """Train, stage after stage, and export the moving average that the recipe keeps.

    A finished stage leaves its model beside ``out`` until the last one ends; a resumed run begins
    with the first one that is not finished.

    Args:
        recipe: What to do.
        path: Where the recipe was read from: messages name it, its data folder is relative to it.
        out: The model file to write.
        data: The data folder, if not the recipe's.
        resume: Take up the state that an interrupted run left beside ``out``.
        start_from: A model file, or a pretrained encoder, whose weights to begin with; None
            begins with random ones. Its bands and classes may be others.
        log: A folder for TensorBoard's logs; None writes none.

    Raises:
        RecipeError: the data are missing or unfit, there is no state to resume from, or the
            model to start from has other sizes.
        ModelError: the model to start from cannot be read.
    """
    folder = data_folder(recipe, path, data)
    parts = recipe.parts()
    between = [out.with_name(f"{out.stem}.stage{n}{out.suffix}") for n in range(1, len(parts))]
    targets = [*between, out]
    finished = [target.is_file() for target in between] if resume else []
    first = (*finished, False).index(False)
    results = []
    for number, (part, target) in enumerate(zip(parts, targets, strict=True)):
        if number >= first:
            # A run may have been stopped after one stage, before the next had a state to keep.
            left = resume and number == first and (first == 0 or _state_of(target).is_file())
            logs = log if log is None or len(parts) == 1 else log / f"stage{number + 1}"
            results.append(
                _train(part, folder, target, resume=left, start_from=start_from, log=logs)
            )
        start_from = target
    for target in between:
        target.unlink(missing_ok=True)
    steps = sum(result.steps for result in results)
    losses = tuple(loss for result in results for loss in result.losses)
    return replace(results[-1], steps=steps, losses=losses)


def _state_of(out: Path) -> Path:
    return out.with_name(out.name + ".state")


def _train(
    recipe: Recipe,
    data: Path,
    out: Path,
    *,
    resume: bool,
    start_from: Path | None,
    log: Path | None,
) -> Trained:
    """One stage; see ``train``."""
    card = recipe.card_without_results()
    training = recipe.training
    torch.manual_seed(training.seed)  # the initial weights
    network = _initial(recipe, card, start_from)
    material = load_data(recipe, data)
    frequencies = class_frequencies(material.pools, len(card.classes))
    objective = CamssObjective(training, class_weights(frequencies, training.class_power))
    state = _state_of(out)
    loop = Loop(
        network,
        objective=objective,
        card=card,
        training=training,
        batches=partial(Batches, material.pools, card, training),
        validation=material.validation,
        state=state,
    )
    fit(loop, state if resume else None, log)
    card = finished_card(card, loop.best_scores)
    _export(loop.best, card, out)
    state.unlink(missing_ok=True)
    return Trained(out, card, loop.best_scores, loop.global_step, tuple(loop.history))


def _initial(recipe: Recipe, card: ModelCard, start_from: Path | None) -> CamssNetwork:
    """A new network, with the weights of another file as far as they fit."""
    network = build(recipe.model, len(card.bands), len(card.classes))
    if start_from is None:
        return network
    if is_encoder(start_from):
        encoder, bands = load_encoder(start_from)
        state = {f"encoder.{name}": tensor for name, tensor in encoder.items()}
    else:
        other, their_card = load_network(start_from)
        state, bands = other.state_dict(), their_card.band_names
    new = warm_start(network, state, (bands, card.band_names), start_from)
    _log.info("began with the weights of %s; %d tensors are new", start_from, len(new))
    return network


def fit(loop: Loop, resume_from: Path | None = None, log: Path | None = None) -> None:
    """Run a loop to its end on the device at hand."""
    logger = None if log is None else TensorBoardLogger(str(log), name=None, version="")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    half = fast_dtype(device) is torch.bfloat16
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # no tips, no advertisements
    with warnings.catch_warnings():
        # Lightning advises worker processes and a progress bar; both were decided against.
        warnings.simplefilter("ignore", PossibleUserWarning)
        # It also calls what newer releases of torch call by another name.
        warnings.filterwarnings("ignore", ".*LeafSpec", FutureWarning)
        trainer = pl.Trainer(
            accelerator=device.type,
            devices=1,
            precision="bf16-mixed" if half else "32-true",
            max_epochs=-1,
            reload_dataloaders_every_n_epochs=1,
            gradient_clip_val=loop.clip,
            logger=logger if logger is not None else False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            plugins=[SafetensorsIO()],
        )
        trainer.fit(loop, ckpt_path=None if resume_from is None else str(resume_from))


def finished_card(card: ModelCard, found: Scores | None) -> ModelCard:
    """The card with its scores and the version that wrote it."""
    metrics = {} if found is None else _metrics(card.classes.names, found)
    return ModelCard.model_validate(
        {**card.model_dump(), "metrics": metrics, "geocamss": __version__}
    )


def _metrics(names: Sequence[str], found: Scores) -> dict[str, float]:
    named = {"validation_miou": found.miou, "validation_accuracy": found.accuracy}
    named |= {f"validation_iou_{name}": iou for name, iou in zip(names, found.iou, strict=True)}
    return {name: round(value, 4) for name, value in named.items() if not math.isnan(value)}


def _export(network: nn.Module, card: ModelCard, out: Path) -> None:
    if not isinstance(network, CamssNetwork):
        raise TypeError(f"wants a CamssNetwork, got {type(network).__name__}")
    save(network.state_dict(), card, out)
    _log.info("wrote %s", out)
