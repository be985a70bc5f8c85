"""Training by recipe: data in, a model file out."""

from __future__ import annotations

import json
import logging
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.fabric.utilities.warnings import PossibleUserWarning
from lightning.pytorch.loggers import TensorBoardLogger

from geocamss import __version__
from geocamss.errors import GeocamssWarning, RecipeError
from geocamss.evaluation.scores import Scores
from geocamss.modelcard import ModelCard
from geocamss.models.camss.model import CamssSegmenter
from geocamss.models.camss.network import CamssNetwork, build
from geocamss.models.checkpoint import load_network, save
from geocamss.models.precision import fast_dtype
from geocamss.training.balance import balance
from geocamss.training.batches import Batches, Pool, class_frequencies
from geocamss.training.calibration import Calibrated, calibrate
from geocamss.training.evaluation import score_images
from geocamss.training.loop import Loop
from geocamss.training.objective import CamssObjective, class_weights, shift_classes
from geocamss.training.pretrain.encoder import is_encoder, load_encoder
from geocamss.training.recipe import Recipe, data_folder
from geocamss.training.sources import LabeledImage, load_source
from geocamss.training.sources.ground import check_apart
from geocamss.training.state import SafetensorsIO, alone, check_same, settings_of
from geocamss.training.warmstart import warm_start
from geocamss.whole import whole

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

    All data are read once before any work, those of later stages too. A finished stage leaves its
    model beside ``out`` until the last one ends; a resumed run begins with the first one that is
    not finished. In the end the classes are balanced by the training images, and the model's
    temperature is fitted to the validation images.

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
        RecipeError: the data are missing or unfit, there is no state to resume from, or it is that
            of another run, or the model to start from has other sizes.
        ModelError: the model to start from cannot be read.
        OutputError: another run is writing to ``out``.
        InterruptError: the user stopped it; what was learned is kept for ``resume``.
    """
    folder = data_folder(recipe, path, data)
    parts = recipe.parts()
    _check_later(parts, folder)
    between = [out.with_name(f"{out.stem}.stage{n}{out.suffix}") for n in range(1, len(parts))]
    results = []
    with alone(out):
        stages = list(zip(parts, [*between, out], strict=True))
        if not resume:
            _forget(between)
        first = _finished(stages[:-1]) if resume else 0
        for number, (part, target) in enumerate(stages):
            if number >= first:
                # A run may have been stopped after one stage, before the next had a state to keep.
                left = resume and number == first and (first == 0 or _state_of(target).is_file())
                logs = log if log is None or len(parts) == 1 else log / f"stage{number + 1}"
                if target in between:
                    target.unlink(missing_ok=True)
                    _write_note(part, target)
                results.append(
                    _train(part, folder, target, resume=left, start_from=start_from, log=logs)
                )
            start_from = target
        _forget(between)
    steps = sum(result.steps for result in results)
    losses = tuple(loss for result in results for loss in result.losses)
    return replace(results[-1], steps=steps, losses=losses)


def _check_later(parts: Sequence[Recipe], data: Path) -> None:
    """Read what later stages read otherwise than the first, and throw it away.

    What is missing is missed now, not after hours of training. Painted landscapes take minutes to
    paint, and are never missing.

    Raises:
        RecipeError: as ``load_data``; names the stage.
    """
    checked = [_files(parts[0])]
    for number, part in enumerate(parts[1:], 1):
        if _files(part) not in checked:
            checked.append(_files(part))
            found = tuple(source for source in part.sources if source.kind != "simulated")
            try:
                load_data(part.model_copy(update={"sources": found}), data)
            except RecipeError as error:
                raise RecipeError(f"stages.{number}: {error}") from error


def _files(recipe: Recipe) -> list[dict[str, Any]]:
    """What a recipe reads, and how."""
    said = {"name", "license", "note", "weight"}  # changes nothing that is read
    found = (*recipe.sources, *recipe.validation)
    return [source.model_dump(exclude=said) for source in found if source.kind != "simulated"]


def _finished(stages: Sequence[tuple[Recipe, Path]]) -> int:
    """How many stages an interrupted run of these recipes has finished.

    Raises:
        RecipeError: a stage was finished by another run.
    """
    for number, (part, target) in enumerate(stages):
        note = _note_of(target)
        if not (target.is_file() and note.is_file()):
            return number
        try:
            theirs = json.loads(note.read_text(encoding="utf-8"))
        except ValueError:
            theirs = None
        check_same(settings_of(part), theirs, str(target))
    return len(stages)


def _forget(stages: Sequence[Path]) -> None:
    """Take away what stages have left."""
    for target in stages:
        for file in (target, _note_of(target), _state_of(target)):
            file.unlink(missing_ok=True)


def _write_note(recipe: Recipe, out: Path) -> None:
    """Leave beside the model of a stage what it is made of."""
    with whole(_note_of(out)) as part:
        part.write_text(json.dumps(settings_of(recipe)), encoding="utf-8")


def _note_of(out: Path) -> Path:
    return out.with_name(out.name + ".recipe")


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
    _miss(card.classes.names, frequencies.tolist())
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
        settings={**settings_of(recipe), "labels": _labels(material, card.classes.names)},
    )
    fit(loop, state if resume else None, log)
    network = _trained(loop)
    if training.balanced:
        _balance(network, card, material.pools)
    found, calibrated = _judged(network, card, material.validation)
    card = finished_card(card, found, calibrated)
    _export(network, card, out)
    state.unlink(missing_ok=True)
    return Trained(out, card, found, loop.global_step, tuple(loop.history))


def _balance(network: CamssNetwork, card: ModelCard, pools: Sequence[Pool]) -> None:
    """Have a trained network claim each class as often as the labels have it, in place."""
    shifts = balance(CamssSegmenter(network, card, _device()), pools)
    shift_classes(network.decoder.last, shifts)
    named = zip(card.classes.names, shifts.tolist(), strict=True)
    _log.info("classes balanced: %s", ", ".join(f"{name} {by:+.2f}" for name, by in named))


def _judged(
    network: CamssNetwork, card: ModelCard, images: Sequence[LabeledImage]
) -> tuple[Scores | None, Calibrated | None]:
    """How well a network does, and how sure it may be; None without images."""
    if not images:
        return None, None
    segmenter = CamssSegmenter(network, card, _device())
    return score_images(segmenter, images), calibrate(segmenter, images)


def _device() -> torch.device:
    """Where to train."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _miss(names: Sequence[str], frequencies: Sequence[float]) -> None:
    """Warn of classes that nothing is labeled as."""
    missing = [name for name, share in zip(names, frequencies, strict=True) if not share]
    if missing:
        warnings.warn(
            f"no source has a pixel labeled {', '.join(missing)}: the model cannot learn it",
            GeocamssWarning,
            stacklevel=4,
        )


def _labels(data: Data, names: Sequence[str]) -> dict[str, dict[str, int]]:
    """Labeled pixels by class: a resumed run must not go on with other labels."""
    training = [image for pool in data.pools for image in pool.images]
    found = {}
    for what, images in (("training", training), ("validation", data.validation)):
        counts = sum(
            (torch.bincount(image.labels.reshape(-1), minlength=256) for image in images),
            start=torch.zeros(256, dtype=torch.int64),
        )
        found[what] = dict(zip(names, counts.tolist(), strict=False))
    return found


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
    """Run a loop to its end on the device at hand.

    Raises:
        RecipeError: the state to resume from is none, or that of another run.
        InterruptError: Ctrl-C or SIGTERM came.
    """
    logger = None if log is None else TensorBoardLogger(str(log), name=None, version="")
    device = _device()
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
        try:
            trainer.fit(loop, ckpt_path=None if resume_from is None else str(resume_from))
        except SystemExit:  # what Lightning makes of Ctrl-C and of SIGTERM
            raise loop.interrupted from None


def finished_card(
    card: ModelCard, found: Scores | None, calibrated: Calibrated | None = None
) -> ModelCard:
    """The card with its scores, its temperature, and the version that wrote it."""
    named = {} if found is None else _scores(card.classes.names, found)
    temperature = card.temperature
    if calibrated is not None:
        temperature = calibrated.temperature
        named["validation_ece"] = calibrated.ece
        named["validation_ece_before"] = calibrated.ece_before
    fields = {"metrics": _rounded(named), "temperature": temperature, "geocamss": __version__}
    return ModelCard.model_validate({**card.model_dump(), **fields})


def _scores(names: Sequence[str], found: Scores) -> dict[str, float]:
    named = {"validation_miou": found.miou, "validation_accuracy": found.accuracy}
    ious = {f"validation_iou_{name}": iou for name, iou in zip(names, found.iou, strict=True)}
    return named | ious


def _rounded(named: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in named.items() if not math.isnan(value)}


def _trained(loop: Loop) -> CamssNetwork:
    if not isinstance(loop.best, CamssNetwork):
        raise TypeError(f"wants a CamssNetwork, got {type(loop.best).__name__}")
    return loop.best


def _export(network: CamssNetwork, card: ModelCard, out: Path) -> None:
    save(network.state_dict(), card, out)
    _log.info("wrote %s", out)
