"""Recipes: what to train, on what, and how; read from YAML, and checked whole before any work."""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, Protocol, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from geocamss.classes import ClassScheme
from geocamss.errors import RecipeError
from geocamss.modelcard import ModelCard, TrainingSource
from geocamss.models.camss.config import CamssConfig
from geocamss.training.sources.spec import (
    ArraySource,
    PairSource,
    Part,
    ScenesSource,
    SimulatedSource,
    Source,
    TorchgeoSource,
)

__all__ = [
    "Augmentation",
    "Recipe",
    "Stage",
    "Training",
    "changed",
    "changed_training",
    "data_folder",
    "learning_rate",
    "load_recipe",
    "progress",
    "read_recipe",
]

DATA_VARIABLE = "GEOCAMSS_DATA"
"""Environment variable that says where the data folder is."""

MAX_RECIPE_BYTES = 1 << 20
"""No recipe is longer; a file that is has been mistaken for one."""

STAGE_SEED = 7919
"""From the seed of one stage to the next: no stage repeats the random numbers of another."""

_NEAR = 0.6

_WITH_HEAD = ("sampler", "one-step")
"""Field of a card that wants a one-step head."""

Kind = TypeVar("Kind", bound=BaseModel)

_KINDS = ("pairs", "scenes", "arrays", "torchgeo", "simulated")


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Augmentation(_Strict):
    """How chips are varied; strengths of 0 leave them as they are."""

    scale: tuple[float, float] = (0.5, 2.0)
    """Range of the zoom; above 1 things look larger than in the source."""

    stretch: float = Field(default=0.15, ge=0, lt=1)
    """How far width and height may be zoomed apart."""

    rotation: float = Field(default=0.25, ge=0, le=1)
    """Chance that a chip is turned by an angle other than a multiple of 90 degrees."""

    brightness: float = Field(default=0.3, ge=0, lt=1)
    contrast: float = Field(default=0.3, ge=0, lt=1)
    saturation: float = Field(default=0.4, ge=0, le=1)
    tint: float = Field(default=0.1, ge=0, lt=1)
    """Gain of each band by itself."""

    gamma: float = Field(default=0.3, ge=0, lt=1)
    noise: float = Field(default=0.03, ge=0, le=1)
    """Largest standard deviation of added noise; 1 is the whole range of an image."""

    blur: float = Field(default=0.2, ge=0, le=1)
    """Chance of a Gaussian blur."""

    nodata: float = Field(default=0.05, ge=0, le=1)
    """Chance that a corner of a chip is made nodata."""

    corrupted: float = Field(default=0.0, ge=0, le=1)
    """Chance that a chip is spoiled by one of the corruptions of ``evaluate --corrupt``."""

    shuffled: float = Field(default=0.0, ge=0, le=1)
    """Chance that the bands of a chip change places, each standardized by its own statistics: what
    channel-shuffling pretraining does, with labels. Another training may begin with the result."""

    @model_validator(mode="after")
    def _range(self) -> Self:
        low, high = self.scale
        if not 0.1 <= low <= high <= 10:
            raise ValueError(f"scale must be [low, high] within 0.1 to 10, got {self.scale}")
        return self


class Training(_Strict):
    """How long, how fast, and with which losses."""

    minutes: float = Field(default=30.0, gt=0, le=100_000)
    """Wall-clock time after which training ends; the learning rate is at zero then."""

    max_steps: int = Field(default=1_000_000, ge=1)
    """Steps after which training ends, if that is earlier."""

    batch: int = Field(default=8, ge=1, le=4096)
    chip: int = Field(default=256, ge=16, le=4096, multiple_of=16)
    """Width and height of a training chip, in pixels."""

    epoch: int = Field(default=100, ge=1)
    """Steps between two checkpoints."""

    validate_every: int = Field(default=1, ge=1)
    """Epochs between two validations."""

    keep: Literal["best", "last"] = "best"
    """Which moving average is exported: the best on the validation images, or that of the end,
    which leaves these images untouched by any choice."""

    patience: int | None = Field(default=None, ge=1)
    """Validations without a better score after which training ends early; None waits for ever."""

    learning_rate: float = Field(default=1.5e-3, gt=0, le=1)
    weight_decay: float = Field(default=0.02, ge=0, le=1)
    warmup: int = Field(default=50, ge=0)
    """Steps over which the learning rate rises."""

    ema: float = Field(default=0.99, ge=0, lt=1)
    """Decay of the moving average of the weights, by step."""

    clip: float = Field(default=1.0, gt=0)
    """Largest norm of the gradient."""

    class_power: float = Field(default=0.5, ge=0, le=1)
    """Class weights are frequencies to minus this power; 0 weighs all pixels alike."""

    balanced: bool = True
    """Whether the finished model claims each class as often as the training labels have it: areas
    are right then. Without, it claims rare classes more often, and finds more of them."""

    dice: float = Field(default=0.5, ge=0)
    """Weight of the Dice loss of the map."""

    reconstruction: float = Field(default=0.5, ge=0)
    """Weight of the tokenizer's cross-entropy, which keeps the decoder in the latent space."""

    rehearsed: float = Field(default=0.25, ge=0, le=1)
    """Share of the steps that also train the tokenizer, the head at all noise levels, and what does
    without the image or knows some of the mask; all do where the head makes no map in one step."""

    flow: float = Field(default=0.1, ge=0)
    """Weight of the flow-matching loss."""

    kl: float = Field(default=1e-4, ge=0)
    """Weight of the posterior's divergence from a standard normal."""

    null_image: float = Field(default=0.15, ge=0, lt=1)
    """Of these steps, share of chips whose image is replaced by the null image."""

    revealed: float = Field(default=0.2, ge=0, lt=1)
    """Of these steps, share of chips of which some mask tokens are known."""

    guide_dropout: float = Field(default=0.15, ge=0, lt=1)
    """Of these steps, share of maps decoded without the image's fine features."""

    seed: int = Field(default=0, ge=0)
    augmentation: Augmentation = Augmentation()


class Stage(_Strict):
    """What one part of a training does otherwise; it begins with the weights of the one before."""

    training: dict[str, Any] = {}
    """Fields of ``training``, and of its ``augmentation``, with other values."""

    sources: dict[str, dict[str, Any]] = {}
    """By the name of a source: fields of it with other values."""

    one_step: bool | None = None
    """Whether there is, from here on, a second head that draws samples in one step, as ``one_step``
    under ``model`` says from the beginning; None leaves it. It learns in the steps that are
    ``rehearsed``, from a trunk that it does not change."""


class Recipe(_Strict):
    """A training run that anyone can repeat."""

    card: dict[str, Any]
    """The model card of the result, less what training fills in."""

    data: str | None = None
    """The data folder, relative to the recipe's and within it. ``--data`` and GEOCAMSS_DATA come
    first, and may lie anywhere."""

    model: CamssConfig = CamssConfig()
    sources: tuple[Source, ...] = Field(min_length=1)
    validation: tuple[Source, ...] = ()
    training: Training = Training()

    stages: tuple[Stage, ...] = ()
    """Parts of the training, one after another; none is a training in one part."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        card = self.card_without_results()
        names = set(card.classes.names)
        for source in (*self.sources, *self.validation):
            for name in sorted(source.class_names - names):
                raise ValueError(
                    f"source {source.name!r} speaks of {name!r}, which is no class"
                    f"{_suggest(name, names)}"
                )
        self._check_card(card)
        self._check_leaks()
        self.parts()
        return self

    def parts(self) -> tuple[Recipe, ...]:
        """The stages as recipes of their own, in their order; the recipe itself without any.

        Raises:
            ValueError: a stage speaks of what is not there.
        """
        return tuple(map(self._part, range(len(self.stages)))) or (self,)

    def _part(self, number: int) -> Recipe:
        stage = self.stages[number]
        known = {source.name for source in self.sources}
        for name in stage.sources:
            if name not in known:
                raise ValueError(f"stages.{number}: no source {name!r}{_suggest(name, known)}")
        whole = self.model_dump(exclude={"stages"}, exclude_unset=True)
        own_numbers = {"seed": self.training.seed + STAGE_SEED * number}
        whole["training"] = _merged(whole.get("training", {}), own_numbers | stage.training)
        said = [s.one_step for s in self.stages[: number + 1] if s.one_step is not None]
        one_step = said[-1] if said else self.model.one_step
        whole["model"] = {**whole.get("model", {}), "one_step": one_step}
        if not one_step and any(s.one_step for s in self.stages[number + 1 :]):
            # Nothing can be drawn with a head before there is one.
            whole["card"] = {n: v for n, v in self.card.items() if (n, v) != _WITH_HEAD}
        whole["sources"] = [
            {**dumped, **stage.sources.get(source.name, {})}
            for dumped, source in zip(whole["sources"], self.sources, strict=True)
        ]
        try:
            return Recipe.model_validate(whole)
        except ValidationError as error:
            raise ValueError(f"stages.{number}: {_first_problem(error, Recipe)}") from None

    def _check_card(self, card: ModelCard) -> None:
        """A card that contradicts the model makes a file that cannot be read after the training."""
        model = {"stride": self.model.stride, "parameters": self.model.model_dump(mode="json")}
        for name, value in {"architecture": "camss", **model}.items():
            if getattr(card, name) != value:
                raise ValueError(
                    f"card.{name}: contradicts model, from which it follows: leave it out"
                )
        learned = self.model.one_step or any(stage.one_step for stage in self.stages)
        if card.sampler == "one-step" and not learned:
            raise ValueError("card.sampler: 'one-step' wants a model with one_step: true")

    def _check_leaks(self) -> None:
        """The same ground in training and validation makes every score a lie."""
        for source, other in ((a, b) for a in self.sources for b in self.validation):
            if isinstance(source, PairSource) and isinstance(other, PairSource):
                shared = _both(source.folders, other.folders)
                if shared:
                    raise ValueError(f"{min(shared)} is both in sources and in validation")
            if isinstance(source, ArraySource) and isinstance(other, ArraySource):
                both = _both(source.files, other.files)
                if both and not _apart(source.part, other.part):
                    raise ValueError(f"{min(both)} is both in sources and in validation")
            if isinstance(source, TorchgeoSource) and isinstance(other, TorchgeoSource):
                chosen = [(s.dataset, Path(s.root), s.options) for s in (source, other)]
                if chosen[0] == chosen[1] and not _apart(source.part, other.part):
                    raise ValueError(
                        f"{source.dataset} is both in sources and in validation, with the same "
                        "options; take another split"
                    )
            if isinstance(source, SimulatedSource) and isinstance(other, SimulatedSource):
                low = max(source.seeds[0], other.seeds[0])
                if low < min(source.seeds[1], other.seeds[1]):
                    raise ValueError(f"simulated seed {low} is both in sources and in validation")

    def card_without_results(self) -> ModelCard:
        """The card as it stands before training.

        Raises:
            ValueError: the card is not valid.
        """
        sources = [
            TrainingSource(name=source.name, license=source.license, note=source.note)
            for source in self.sources
        ]
        return ModelCard.model_validate(
            {
                "architecture": "camss",
                **self.model.card_fields(),
                "training": sources,
                **self.card,
            }
        )

    @property
    def classes(self) -> ClassScheme:
        """The classes, by channel."""
        return self.card_without_results().classes


class HasData(Protocol):
    """A recipe of any kind."""

    @property
    def data(self) -> str | None:
        """The data folder, relative to the recipe."""


def load_recipe(path: Path) -> Recipe:
    """Read and check a recipe.

    Raises:
        RecipeError: the file cannot be read, is not YAML, or a field is unknown or wrong.
    """
    return read_recipe(path, Recipe)


def read_recipe(path: Path, kind: type[Kind]) -> Kind:
    """Read a recipe of any kind.

    Raises:
        RecipeError: as ``load_recipe``.
    """
    try:
        if path.stat().st_size > MAX_RECIPE_BYTES:
            raise RecipeError(f"{path}: a recipe is a short YAML file, this one is too long")
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # a date may be none
        raise RecipeError(f"{path}: is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise RecipeError(f"{path}: a recipe is a mapping of fields, got {type(content).__name__}")
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        raise RecipeError(f"{path}: {_first_problem(error, kind)}") from None


def data_folder(recipe: HasData, path: Path, given: Path | None) -> Path:
    """Where the recipe's data lie: ``given``, else GEOCAMSS_DATA, else the recipe's own word.

    A recipe may come from anyone. What it names itself lies in its folder, links and all; whoever
    runs it says where else there is something to read.

    Raises:
        RecipeError: there is no such folder, or the recipe's own is not in the recipe's folder.
    """
    from_environment = os.environ.get(DATA_VARIABLE)
    own = None if recipe.data is None else path.parent / recipe.data
    folder = given or (Path(from_environment) if from_environment else own)
    if folder is None:
        raise RecipeError(
            f"{path}: no data folder; give --data DIR, set {DATA_VARIABLE}, or write data: DIR"
        )
    if folder is own and not folder.resolve().is_relative_to(path.parent.resolve()):
        raise RecipeError(
            f"{path}: its data folder, {recipe.data}, is not within the recipe's own; to read from "
            f"there, say so with --data {folder}"
        )
    if not folder.is_dir():
        raise RecipeError(f"{path}: data folder {folder} is not there; give another with --data")
    return folder


def _first_problem(error: ValidationError, kind: type[BaseModel]) -> str:
    """One line: the field, what is wrong with it, and the nearest known field."""
    # An unknown field is most often a misspelled one, which then is missing as well: say it first.
    problems = sorted(error.errors(), key=lambda item: item["type"] != "extra_forbidden")
    first = problems[0]
    where = [part for part in first["loc"] if part not in _KINDS]
    field = ".".join(str(part) for part in where) or "recipe"
    if first["type"] == "extra_forbidden":
        return f"{field}: no such field{_suggest(str(where[-1]), set(_fields(kind)))}"
    message = first["msg"].removeprefix("Value error, ")
    return f"{field}: {' '.join(message.split())}"


def _fields(model: type[BaseModel]) -> Iterator[str]:
    """Names of the fields of a recipe, at any depth."""
    parts = (PairSource, ScenesSource, ArraySource, TorchgeoSource, SimulatedSource, Part)
    for owner in (model, *parts, Stage, Training, Augmentation, CamssConfig):
        yield from owner.model_fields


def _apart(part: Part | None, other: Part | None) -> bool:
    """Whether two parts of the same image have no ground in common."""
    if part is None or other is None or part.take == other.take:
        return False
    return (part.block, part.every, part.first) == (other.block, other.every, other.first)


def _both(paths: Iterable[str], others: Iterable[str]) -> set[str]:
    """What is in both, however it is written."""
    return {Path(path).as_posix() for path in paths} & {Path(path).as_posix() for path in others}


def _suggest(name: str, known: set[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=_NEAR)
    return f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(sorted(known))}"


def _merged(fields: dict[str, Any], others: dict[str, Any]) -> dict[str, Any]:
    """Fields, with others in their place; what stands inside of both is merged likewise."""
    both = {name for name in others if isinstance(fields.get(name), dict)}
    deep = {
        name: _merged(fields[name], others[name]) for name in both if isinstance(others[name], dict)
    }
    return {**fields, **others, **deep}


def changed(recipe: Recipe, *, minutes: float | None, max_steps: int | None) -> Recipe:
    """The recipe with another budget, for each stage if it has any; None leaves its own."""
    wanted = {"minutes": minutes, "max_steps": max_steps}
    given = {name: value for name, value in wanted.items() if value is not None}
    stages = tuple(
        stage.model_copy(update={"training": {**stage.training, **given}})
        for stage in recipe.stages
    )
    training = changed_training(recipe.training, minutes=minutes, max_steps=max_steps)
    return recipe.model_copy(update={"training": training, "stages": stages})


def changed_training(
    training: Training, *, minutes: float | None, max_steps: int | None
) -> Training:
    """The training with another budget; None leaves its own."""
    wanted = {"minutes": minutes, "max_steps": max_steps}
    given = {name: value for name, value in wanted.items() if value is not None}
    return training.model_copy(update=given)


def progress(step: int, seconds: float, training: Training) -> float:
    """How much of a run is done, 0 to 1: by steps or by time, whichever is further."""
    return min(1.0, max(step / training.max_steps, seconds / (training.minutes * 60)))


def learning_rate(step: int, done: float, training: Training) -> float:
    """A linear rise over the warm-up, then half a cosine down to zero.

    Args:
        step: Steps taken.
        done: What ``progress`` says.
        training: The recipe's part.
    """
    rise = min(1.0, (step + 1) / max(training.warmup, 1))
    return training.learning_rate * rise * 0.5 * (1 + math.cos(math.pi * done))
