"""``geocamss train``: a recipe, or a scene and its labels, in; a model file out."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from geocamss.cli.options import band_option, examples, json_option, quiet_option
from geocamss.errors import OutputError, RecipeError

if TYPE_CHECKING:
    from geocamss.training.adhoc import Own

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
    json_option,
    quiet_option,
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
def need_training(*, quiet: bool) -> Iterator[None]:
    """Say what to install where a training library is missing; let the log speak.

    Args:
        quiet: let it tell of warnings alone.

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
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("geocamss").setLevel(logging.WARNING if quiet else logging.INFO)
    # GDAL signals each format that a file is not: no news where labels may be of any.
    logging.getLogger("rasterio").setLevel(logging.CRITICAL)


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
    "--class-field",
    metavar="FIELD",
    help="Which attribute of the polygons is the class; can be left out where there is one.",
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
    as_json: bool,
    quiet: bool,
    start_from: str | None,
    log: Path | None,
) -> None:
    """Train a model by a RECIPE, or on a scene and its labels.

    Everything is checked before any work. While training, the state is kept beside the model file,
    as NAME.safetensors.state, for --resume, and so is the model of each finished stage. With
    --scene and --labels, bands and statistics come from the scene, classes from the labels, one
    block of ground in five is held out where the labels are enough, and the recipe is written
    beside the model. Needs the extra geocamss[train].
    """
    with need_training(quiet=quiet):
        from geocamss.models import registry
        from geocamss.training.adhoc import Own
        from geocamss.training.recipe import changed, load_recipe
        from geocamss.training.train import train as run

    output = None if output is None else _model_file(output)
    written: AbstractContextManager[tuple[Path, Path | None]]
    if recipe is not None:
        _refuse(
            {"--scene": scene, "--labels": labels, "--class-field": class_field, "--bands": bands}
        )
        written = nullcontext((recipe, data))
    elif scene is not None and labels is not None:
        target = output or Path(f"{scene.stem}.safetensors")
        own = Own(scene, labels, class_field, bands, _card_name(target.stem))
        written = _written_recipe(own, target, overwrite=overwrite, resume=resume)
    else:
        raise click.UsageError("give a recipe, or both --scene and --labels")
    with written as (file, folder):
        checked = changed(load_recipe(file), minutes=minutes, max_steps=max_steps)
        target = output or Path(f"{checked.card_without_results().name}.safetensors")
        refuse_existing(target, overwrite=overwrite)
        first = None if start_from is None else registry.resolve(start_from)
        result = run(checked, file, target, data=folder, resume=resume, start_from=first, log=log)
    metrics = dict(sorted(result.card.metrics.items()))
    if as_json:
        found = {"path": str(result.path), "steps": result.steps, "metrics": metrics}
        click.echo(json.dumps(found, indent=2))
    elif not quiet:
        click.echo(f"{result.path}: {result.steps} steps")
        for name, value in metrics.items():
            click.echo(f"  {name}: {value:.4f}")
        if result.scores is None:
            click.echo("  no scores: nothing was held out")


def _refuse(options: Mapping[str, object]) -> None:
    """Options that a recipe leaves no room for.

    Raises:
        UsageError: one is given.
    """
    for option, value in options.items():
        if value is not None:
            raise click.UsageError(f"{option} is for training without a recipe; leave one away")


@contextmanager
def _written_recipe(
    own: Own, target: Path, *, overwrite: bool, resume: bool
) -> Iterator[tuple[Path, Path]]:
    """Write the recipe of a scene and its labels; the file, and the folder of its data.

    Where training fails before it has anything to resume from, the file is taken away again, so
    that the command can be corrected.
    """
    from geocamss.training.adhoc import own_recipe, recipe_text

    file = target.with_suffix(".yaml")
    refuse_existing(target, overwrite=overwrite)
    refuse_existing(file, overwrite=overwrite or resume)  # an interrupted run has left its own
    checked, data = own_recipe(own)
    before = file.read_bytes() if file.exists() else None
    file.parent.mkdir(parents=True, exist_ok=True)
    below = Path(os.path.relpath(data, file.resolve().parent)).as_posix()
    text = recipe_text(checked.model_copy(update={"data": below}))
    file.write_text(text, encoding="utf-8")
    try:
        yield file, data
    except BaseException:
        if not Path(f"{target}.state").exists():
            file.unlink() if before is None else file.write_bytes(before)
        raise


def _model_file(output: Path) -> Path:
    """The file that ``-o`` means.

    Raises:
        UsageError: it is a recipe's.
    """
    if output.suffix.lower() in (".yaml", ".yml"):
        raise click.UsageError(
            f"-o names the model file, and {output} is a recipe's; as in -o {output.stem}"
        )
    return output if output.suffix else output.with_name(f"{output.name}.safetensors")


def _card_name(stem: str) -> str:
    """A name that a card may have."""
    kept = "".join(letter if letter.isalnum() and letter.isascii() else "-" for letter in stem)
    return kept.strip("-")[:64] or "own"
