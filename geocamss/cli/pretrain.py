"""``geocamss pretrain``: unlabeled rasters in, an encoder to begin a training with out."""

from __future__ import annotations

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
    log: Path | None,
) -> None:
    """Pretrain an image encoder on rasters without labels.

    RECIPE says on what, and how. The channels of every chip are duplicated and shuffled, so that
    the encoder learns structure rather than one sensor's bands. geocamss train --start-from takes
    the result, whatever bands the new model has. Needs the extra geocamss[train].
    """
    with need_training():
        from geocamss.training.pretrain.pretrain import pretrain as run
        from geocamss.training.pretrain.recipe import load_pretrain_recipe
        from geocamss.training.recipe import changed_training

    checked = load_pretrain_recipe(recipe)
    changed = changed_training(checked.training, minutes=minutes, max_steps=max_steps)
    checked = checked.model_copy(update={"training": changed})
    target = output or Path(f"{checked.name}.safetensors")
    refuse_existing(target, overwrite=overwrite)
    result = run(checked, recipe, target, data=data, resume=resume, log=log)
    click.echo(f"{result.path}: {result.steps} steps, {checked.slots} channels")
