"""``geocamss train``: a recipe in, a model file out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from geocamss.cli.options import examples
from geocamss.errors import OutputError, RecipeError

if TYPE_CHECKING:
    from geocamss.training.recipe import Recipe

__all__ = ["train"]


@click.command(
    "train",
    epilog=examples(
        "geocamss train recipes/aerial-landcover.yaml --data ../shared/data",
        "geocamss train my.yaml -o my-model.safetensors --minutes 10",
        "geocamss train my.yaml --resume",
    ),
)
@click.argument("recipe", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The model file to write; NAME.safetensors here by default, NAME being the card's.",
)
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    help="The data folder; by default GEOCAMSS_DATA, else the recipe's own.",
)
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), help="Training time.")
@click.option("--max-steps", type=click.IntRange(min=1), help="Training steps at most.")
@click.option("--resume", is_flag=True, help="Go on with a run that was interrupted.")
@click.option(
    "--start-from",
    metavar="NAME|FILE",
    help="A model whose weights to begin with, of the same bands, classes and sizes.",
)
@click.option("--overwrite", is_flag=True, help="Replace an existing model file.")
def train(
    *,
    recipe: Path,
    output: Path | None,
    data: Path | None,
    minutes: float | None,
    max_steps: int | None,
    resume: bool,
    start_from: str | None,
    overwrite: bool,
) -> None:
    """Train a model by a RECIPE, and write it to one file.

    The recipe is checked whole before any work. While training, the state is kept beside the
    model file, as NAME.safetensors.state, for --resume. Needs the extra geocamss[train].
    """
    from geocamss.models import registry
    from geocamss.training.recipe import changed, load_recipe

    checked = changed(load_recipe(recipe), minutes=minutes, max_steps=max_steps)
    target = output or Path(f"{checked.card_without_results().name}.safetensors")
    _refuse_existing(target, overwrite=overwrite)
    first = None if start_from is None else registry.resolve(start_from)
    _train(checked, recipe, target, data=data, resume=resume, start_from=first)


def _refuse_existing(target: Path, *, overwrite: bool) -> None:
    if target.exists() and not overwrite:
        raise OutputError(f"{target} exists; give another file with -o, or --overwrite")


def _train(
    checked: Recipe,
    recipe: Path,
    target: Path,
    *,
    data: Path | None,
    resume: bool,
    start_from: Path | None,
) -> None:
    import logging

    try:
        from geocamss.training.train import train as run
    except ModuleNotFoundError as error:
        raise RecipeError(
            f"training needs the package {error.name!r}: pip install 'geocamss[train]'"
        ) from None
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    result = run(checked, recipe, target, data=data, resume=resume, start_from=start_from)
    click.echo(f"{result.path}: {result.steps} steps")
    for name, value in sorted(result.card.metrics.items()):
        click.echo(f"  {name}: {value:.4f}")
