"""Training by recipe: data in, a model file out."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import lightning.pytorch as pl
import torch
from lightning.fabric.utilities.warnings import PossibleUserWarning
from torch import nn

from geocamss import __version__
from geocamss.errors import RecipeError
from geocamss.evaluation.scores import Scores
from geocamss.modelcard import ModelCard
from geocamss.models.camss.config import CamssConfig
from geocamss.models.camss.network import CamssNetwork, build
from geocamss.models.checkpoint import load_network, save
from geocamss.models.precision import fast_dtype
from geocamss.training.batches import Pool, class_frequencies
from geocamss.training.loop import Loop
from geocamss.training.objective import CamssObjective, class_weights
from geocamss.training.recipe import Recipe, data_folder
from geocamss.training.sources import LabeledImage, load_source
from geocamss.training.state import SafetensorsIO

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
        RecipeError: something is missing, or cannot be read.
    """
    card = recipe.card_without_results()
    pools = tuple(
        Pool(tuple(load_source(source, card, folder)), source.weight) for source in recipe.sources
    )
    validation = tuple(
        item for source in recipe.validation for item in load_source(source, card, folder)
    )
    return Data(pools, validation)


def train(
    recipe: Recipe,
    path: Path,
    out: Path,
    *,
    data: Path | None = None,
    resume: bool = False,
    start_from: Path | None = None,
) -> Trained:
    """Train, and export the best moving average.

    Args:
        recipe: What to do.
        path: Where the recipe was read from: messages name it, its data folder is relative to it.
        out: The model file to write.
        data: The data folder, if not the recipe's.
        resume: Take up the state that an interrupted run left beside ``out``.
        start_from: A model file whose weights to begin with; None begins with random ones.

    Raises:
        RecipeError: the data are missing or unfit, there is no state to resume from, or the
            model to start from has another shape.
        ModelError: the model to start from cannot be read.
    """
    card = recipe.card_without_results()
    training = recipe.training
    torch.manual_seed(training.seed)  # the initial weights
    network = _initial(recipe, card, start_from)
    folder = data_folder(recipe, path, data)
    material = load_data(recipe, folder)
    frequencies = class_frequencies(material.pools, len(card.classes))
    objective = CamssObjective(training, class_weights(frequencies, training.class_power))
    state = out.with_name(out.name + ".state")
    loop = Loop(
        network,
        objective=objective,
        card=card,
        training=training,
        pools=material.pools,
        validation=material.validation,
        state=state,
    )
    fit(loop, state if resume else None)
    card = finished_card(card, loop.best_scores)
    _export(loop.best, card, out)
    state.unlink(missing_ok=True)
    return Trained(out, card, loop.best_scores, loop.global_step, tuple(loop.history))


def _initial(recipe: Recipe, card: ModelCard, start_from: Path | None) -> CamssNetwork:
    """A new network, or that of a model file of the same sizes."""
    if start_from is None:
        return build(recipe.model, len(card.bands), len(card.classes))
    network, other = load_network(start_from)
    for what, theirs, ours in (
        ("sizes", CamssConfig.of(other.parameters, str(start_from)), recipe.model),
        ("bands", other.band_names, card.band_names),
        ("classes", other.classes.names, card.classes.names),
    ):
        if theirs != ours:
            raise RecipeError(
                f"{start_from}: cannot start from it: its {what} are not the recipe's"
            )
    return network.train()


def fit(loop: Loop, resume_from: Path | None = None) -> None:
    """Run a loop to its end on the device at hand."""
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
            logger=False,
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
