"""``geocamss pretrain``: unlabeled rasters in, an encoder to begin a training with out."""

from __future__ import annotations

import json
from pathlib import Path

import click

from geocamss.cli.options import examples
from geocamss.cli.train import log_option, need_training, refuse_existing, training_options

__all__ = ["pretrain"]


@click.command(
    "pretrain",
    epilog=examples(
        "geocamss pretrain recipes/pretrain/structure.yaml --data ../shared/data",
        "geocamss pretrain my.yaml -o encoder.safetensors --minutes 30",
    ),
)
@click.argument("recipe", type=click.Path(dir_okay=False, path_type=Path))
@training_options
@log_option
def pretrain(
    *,
    recipe: Path,
    output: Path | None,
    data: Path | None,
    minutes: float | None,
    max_steps: int | None,
    resume: bool,
    overwrite: bool,
    as_json: bool,
    quiet: bool,
    log: Path | None,
) -> None:
    """Pretrain an image encoder on rasters without labels.

    RECIPE says on what, and how. The channels of every chip are duplicated and shuffled, so that
    the encoder learns structure rather than one sensor's bands. geocamss train --start-from takes
    the result, whatever bands the new model has. Needs the extra geocamss[train].
    """
    with need_training(quiet=quiet):
        from geocamss.training.pretrain.pretrain import pretrain as run
        from geocamss.training.pretrain.recipe import load_pretrain_recipe
        from geocamss.training.recipe import changed_training

    checked = load_pretrain_recipe(recipe)
    changed = changed_training(checked.training, minutes=minutes, max_steps=max_steps)
    checked = checked.model_copy(update={"training": changed})
    target = output or Path(f"{checked.name}.safetensors")
    refuse_existing(target, overwrite=overwrite)
    result = run(checked, recipe, target, data=data, resume=resume, log=log)
    if as_json:
        found = {"path": str(result.path), "steps": result.steps, "channels": checked.slots}
        click.echo(json.dumps(found, indent=2))
    elif not quiet:
        click.echo(f"{result.path}: {result.steps} steps, {checked.slots} channels")
