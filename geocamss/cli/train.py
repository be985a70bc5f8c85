"""``geocamss train``: a recipe, or a scene and its labels, in; a model file out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from geocamss.cli.options import band_option, examples
from geocamss.errors import OutputError, RecipeError

__all__ = ["log_option", "need_training", "refuse_existing", "train", "training_options"]

Command = TypeVar("Command", bound=Callable[..., Any])

_SHARED = (
    click.option(
        "-o",
        "--output",
        type=click.Path(dir_okay=False, path_type=Path),
        help="The file to write; NAME.safetensors here by default, NAME being the recipe's.",
    ),
    click.option(
        "--data",
        type=click.Path(file_okay=False, path_type=Path),
        help="The data folder; by default GEOCAMSS_DATA, else the recipe's own.",
    ),
    click.option("--minutes", type=click.FloatRange(min=0, min_open=True), help="Training time."),
    click.option("--max-steps", type=click.IntRange(min=1), help="Training steps at most."),
    click.option("--resume", is_flag=True, help="Go on with a run that was interrupted."),
    click.option("--overwrite", is_flag=True, help="Replace an existing file."),
)

log_option = click.option(
    "--log",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Write losses and scores for TensorBoard there.",
)


def training_options(command: Command) -> Command:
    """What every training can be told."""
    for option in reversed(_SHARED):
        command = option(command)
    return command


@contextmanager
def need_training() -> Iterator[None]:
    """Say what to install where a training library is missing; let the log speak.

    Raises:
        RecipeError: a package is missing.
    """
    import logging

    try:
        yield
    except ModuleNotFoundError as error:
        raise RecipeError(
            f"training needs the package {error.name!r}: pip install 'geocamss[train]'"
        ) from None
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")


def refuse_existing(target: Path, *, overwrite: bool) -> None:
    """Protect a file that is there.

    Raises:
        OutputError: it is there, and may not be replaced.
    """
    if target.exists() and not overwrite:
        raise OutputError(f"{target} exists; give another file with -o, or --overwrite")


@click.command(
    "train",
    epilog=examples(
        "geocamss train recipes/aerial-landcover.yaml --data ../shared/data",
        "geocamss train --scene scene.tif --labels fields.gpkg --class-field crop -o crops",
        "geocamss train my.yaml -o my-model.safetensors --minutes 10",
        "geocamss train my.yaml --resume",
    ),
)
@click.argument("recipe", required=False, type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--scene",
    type=click.Path(path_type=Path),
    help="Instead of a recipe: your own scene.",
)
@click.option(
    "--labels",
    type=click.Path(path_type=Path),
    help="What is where in it: a raster of class values, or polygons, in any CRS.",
)
@click.option(
    "--class-field", metavar="FIELD", help="Which attribute of the polygons is the class."
)
@band_option
@training_options
@click.option(
    "--start-from",
    metavar="NAME|FILE",
    help="A model, or a pretrained encoder, of the same sizes, whose weights to begin with.",
)
@log_option
def train(
    *,
    recipe: Path | None,
    scene: Path | None,
    labels: Path | None,
    class_field: str | None,
    bands: dict[str, int] | None,
    output: Path | None,
    data: Path | None,
    minutes: float | None,
    max_steps: int | None,
    resume: bool,
    overwrite: bool,
    start_from: str | None,
    log: Path | None,
) -> None:
    """Train a model by a RECIPE, or on a scene and its labels.

    Everything is checked before any work. While training, the state is kept beside the model file,
    as NAME.safetensors.state, for --resume, and so is the model of each finished stage. With
    --scene and --labels, bands and statistics come from the scene, classes from the labels, every
    fifth block of ground is held out, and the recipe is written beside the model. Needs the extra
    geocamss[train].
    """
    with need_training():
        from geocamss.models import registry
        from geocamss.training.recipe import changed, load_recipe
        from geocamss.training.train import train as run

    if recipe is not None and (scene or labels):
        raise click.UsageError("give a recipe, or --scene and --labels, and not both")
    if recipe is None:
        own = (scene, labels, class_field, bands, output)
        recipe, data = _write_own(*own, overwrite=overwrite, resume=resume)
    checked = changed(load_recipe(recipe), minutes=minutes, max_steps=max_steps)
    target = output or Path(f"{checked.card_without_results().name}.safetensors")
    refuse_existing(target, overwrite=overwrite)
    first = None if start_from is None else registry.resolve(start_from)
    result = run(checked, recipe, target, data=data, resume=resume, start_from=first, log=log)
    click.echo(f"{result.path}: {result.steps} steps")
    for name, value in sorted(result.card.metrics.items()):
        click.echo(f"  {name}: {value:.4f}")


def _write_own(
    scene: Path | None,
    labels: Path | None,
    column: str | None,
    bands: dict[str, int] | None,
    output: Path | None,
    *,
    overwrite: bool,
    resume: bool,
) -> tuple[Path, Path]:
    """Write the recipe of a scene and its labels; the file, and the folder of its data."""
    from geocamss.training.adhoc import Own, own_recipe, recipe_text

    if scene is None or labels is None:
        raise click.UsageError("give a recipe, or both --scene and --labels")
    target = output or Path(f"{scene.stem}.safetensors")
    file = target.with_suffix(".yaml")
    refuse_existing(target, overwrite=overwrite)
    refuse_existing(file, overwrite=overwrite or resume)  # an interrupted run has left its own
    own = Own(scene, labels, column, bands, _card_name(target.stem))
    checked, data = own_recipe(own)
    file.parent.mkdir(parents=True, exist_ok=True)
    below = Path(os.path.relpath(data, file.resolve().parent)).as_posix()
    text = recipe_text(checked.model_copy(update={"data": below}))
    file.write_text(text, encoding="utf-8")
    return file, data


def _card_name(stem: str) -> str:
    """A name that a card may have."""
    kept = "".join(letter if letter.isalnum() and letter.isascii() else "-" for letter in stem)
    return kept.strip("-")[:64] or "own"
