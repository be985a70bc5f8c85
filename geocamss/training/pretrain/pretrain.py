"""Pretraining by recipe: images without labels in, an encoder file out."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from geocamss import __version__
from geocamss.modelcard import ModelCard, TrainingSource
from geocamss.models.camss.encoder import ImageEncoder
from geocamss.training.batches import Pool
from geocamss.training.loop import Loop
from geocamss.training.objective import Objective
from geocamss.training.pretrain.batches import PretrainBatches
from geocamss.training.pretrain.contrastive import ContrastiveObjective, ProjectingNetwork
from geocamss.training.pretrain.encoder import EncoderCard, save_encoder
from geocamss.training.pretrain.images import load_images, shared_statistics
from geocamss.training.pretrain.masked import MaskedObjective, PaintingNetwork
from geocamss.training.pretrain.recipe import PretrainRecipe
from geocamss.training.recipe import data_folder
from geocamss.training.state import alone, settings_of
from geocamss.training.train import fit

__all__ = ["Pretrained", "encoder_loop", "pretrain", "trained_encoder"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pretrained:
    """The result of a pretraining."""

    path: Path
    """The encoder file."""

    card: EncoderCard
    """Its card."""

    steps: int
    """Steps taken."""

    losses: tuple[float, ...]
    """The loss, by step of this run."""


def pretrain(
    recipe: PretrainRecipe,
    path: Path,
    out: Path,
    *,
    data: Path | None = None,
    resume: bool = False,
    log: Path | None = None,
) -> Pretrained:
    """Pretrain an encoder, and export the moving average of the end.

    Args:
        recipe: What to do.
        path: Where the recipe was read from.
        out: The encoder file to write.
        data: The data folder, if not the recipe's.
        resume: Take up the state that an interrupted run left beside ``out``.
        log: A folder for TensorBoard's logs; None writes none.

    Raises:
        RecipeError: the data are missing or unfit, or there is no state to resume from, or it is
            that of another run.
        OutputError: another run is writing to ``out``.
        InterruptError: the user stopped it; what was learned is kept for ``resume``.
    """
    folder = data_folder(recipe, path, data)
    pools = [Pool(tuple(load_images(source, folder)), source.weight) for source in recipe.sources]
    state = out.with_name(out.name + ".state")
    with alone(out):
        loop = encoder_loop(recipe, pools, state)
        fit(loop, state if resume else None, log)
        card = _card(recipe)
        save_encoder(trained_encoder(loop), card, out)
        state.unlink(missing_ok=True)
    _log.info("wrote %s", out)
    return Pretrained(out, card, loop.global_step, tuple(loop.history))


def encoder_loop(recipe: PretrainRecipe, pools: Sequence[Pool], state: Path | None = None) -> Loop:
    """A loop that pretrains an encoder on images at hand, which are about 0 to 1.

    Args:
        recipe: What to do; its sources are not read.
        pools: The images.
        state: File for the training state; None for no file.
    """
    statistics = shared_statistics([image for pool in pools for image in pool.images])
    torch.manual_seed(recipe.training.seed)  # the initial weights
    network, objective = _parts(recipe)
    return Loop(
        network,
        objective=objective,
        card=ModelCard(bands=["any"], gsd=1.0, classes=["any"]),
        training=recipe.training,
        batches=partial(PretrainBatches, pools, recipe, statistics),
        validation=(),
        state=state,
        settings=settings_of(recipe),
    )


def trained_encoder(loop: Loop) -> dict[str, Tensor]:
    """The weights of a loop's encoder, by name: its moving average."""
    return loop.best.get_submodule("encoder").state_dict()


def _parts(recipe: PretrainRecipe) -> tuple[nn.Module, Objective]:
    sizes = recipe.model
    encoder = ImageEncoder(
        recipe.slots, sizes.pyramid, sizes.blocks, finest=sizes.finest, trunk=sizes.trunk
    )
    if recipe.objective == "contrastive":
        return (
            ProjectingNetwork(encoder, sizes.pyramid[-1]),
            ContrastiveObjective(recipe.temperature),
        )
    return (
        PaintingNetwork(encoder, sizes.pyramid[-1], recipe.slots),
        MaskedObjective(recipe.hidden, recipe.square),
    )


def _card(recipe: PretrainRecipe) -> EncoderCard:
    return EncoderCard(
        name=recipe.name,
        description=recipe.description,
        channels=recipe.slots,
        objective=recipe.objective,
        shuffled=recipe.shuffle,
        training=tuple(
            TrainingSource(name=source.name, license=source.license, note=source.note)
            for source in recipe.sources
        ),
        license=recipe.license,
        geocamss=__version__,
    )
