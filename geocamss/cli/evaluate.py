"""``geocamss evaluate``: maps against labels."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from geocamss.cli.options import examples, model_options, quiet_option, read_by, split
from geocamss.errors import InputError, OutputError

if TYPE_CHECKING:
    from geocamss.evaluation.pairs import Pair
    from geocamss.predict import Progress
    from geocamss.request import Request
    from geocamss.training.recipe import Recipe

__all__ = ["evaluate"]


def _meaning(_context: click.Context, _parameter: click.Parameter, given: Any) -> dict[str, str]:
    """Read ``--map 1=building --map '#e2a929=water'``."""
    meaning = {}
    for text in given:
        key, sign, name = text.rpartition("=")
        if not (sign and key.strip() and name.strip()):
            raise click.BadParameter(f"{text!r} is not of the form VALUE=CLASS")
        meaning[key.strip()] = name.strip()
    return meaning


@click.command(
    "evaluate",
    epilog=examples(
        "geocamss evaluate tiles/demo.tif tiles/demo-truth.tif",
        "geocamss evaluate scene.tif fields.gpkg --class-field crop --map meadow=vegetation",
        "geocamss evaluate images/ masks/ --map '#3C1098=building' --map '#E2A929=water'",
        "geocamss evaluate --recipe recipes/aerial-landcover.yaml --data ../shared/data",
        "geocamss evaluate scene.tif truth.tif --corrupt --figure figures --json scores.json",
        "geocamss evaluate scene.tif truth.tif --calibrate calibrated.safetensors",
    ),
)
@click.argument("files", nargs=-1, metavar="[SCENE LABELS]...")
@click.option(
    "--recipe",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Score on what this recipe sets aside for validation; by default the built-in model of "
    "its name.",
)
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    help="The recipe's data folder; by default GEOCAMSS_DATA, else the recipe's own.",
)
@click.option(
    "--map",
    "meaning",
    multiple=True,
    callback=_meaning,
    metavar="VALUE=CLASS",
    help="What a value, a color #rrggbb or a name in the labels means; may be repeated, and all "
    "that is not listed is then ignored. Left out: the labels' own names, colors or values.",
)
@click.option("--class-field", metavar="NAME", help="Attribute of polygons that says the class.")
@click.option(
    "--tolerance",
    type=click.IntRange(0, 64),
    default=2,
    show_default=True,
    metavar="PIXELS",
    help="Distance within which boundaries agree.",
)
@click.option("--corrupt", is_flag=True, help="Score under corruptions of the scene as well.")
@click.option(
    "--only",
    callback=read_by(split),
    metavar="NAME,...",
    help="With --corrupt: these corruptions alone.",
)
@click.option(
    "--json",
    "json_file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write all numbers here.",
)
@click.option(
    "--figure",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Draw figures here. Needs the extra geocamss[plot].",
)
@click.option(
    "--calibrate",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="First fit the temperature to these labels, and write the model with it here; the scores "
    "are then this model's. The labels should be none that the model was trained on.",
)
@click.option("--overwrite", is_flag=True, help="Replace the file of --calibrate.")
@model_options
@quiet_option
def evaluate(
    *,
    files: tuple[str, ...],
    recipe: Path | None,
    data: Path | None,
    meaning: dict[str, str],
    class_field: str | None,
    tolerance: int,
    corrupt: bool,
    only: tuple[str, ...] | None,
    json_file: Path | None,
    figure: Path | None,
    calibrate: Path | None,
    overwrite: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Map scenes, and score the maps against labels.

    SCENE is anything that predict maps, and is mapped in the same way. LABELS is a raster of
    classes on any grid, or polygons in any CRS; what is not labeled, and where the scene has no
    data, is not scored. Both may be folders, whose files belong together by name, and there may be
    several of both.
    """
    from geocamss.cli.progress import progress_bar
    from geocamss.cli.scores import print_evaluation
    from geocamss.evaluation.corruptions import CORRUPTIONS, chosen_corruptions
    from geocamss.evaluation.evaluate import evaluate_pairs
    from geocamss.evaluation.report import draw, write_json
    from geocamss.request import Request

    if (recipe is None) == (not files):
        raise click.UsageError("give a SCENE and its LABELS, or a --recipe")
    if recipe is not None and (meaning or class_field):
        raise click.UsageError("a --recipe says itself what its labels mean")
    if only is not None and not corrupt:
        raise click.UsageError("--only goes with --corrupt")
    chosen = tuple(only if only is not None else CORRUPTIONS) if corrupt else ()
    chosen_corruptions(chosen)
    _check_writable(json_file, figure)
    if calibrate is not None and calibrate.exists() and not overwrite:
        raise OutputError(f"{calibrate} exists; give another file, or --overwrite")
    chosen_pairs: AbstractContextManager[tuple[Pair, ...]]
    if recipe is None:
        chosen_pairs = nullcontext(_named(files, meaning, class_field))
    else:
        from geocamss.training.recipe import data_folder, load_recipe

        checked = load_recipe(recipe)
        options["model"] = _model_of(checked, options["model"])
        chosen_pairs = _set_aside(checked, data_folder(checked, recipe, data))
    request = Request(**options)
    with (
        chosen_pairs as pairs,
        progress_bar(quiet=quiet) as progress,
    ):
        if calibrate is not None:
            request = _calibrated(pairs, request, calibrate, progress, quiet=quiet)
        found = evaluate_pairs(
            pairs, request, tolerance=tolerance, corruptions=chosen, progress=progress
        )
    if json_file is not None:
        write_json(found, json_file)
    if figure is not None:
        draw(found, figure)
    if not quiet:
        print_evaluation(found)


def _model_of(recipe: Recipe, given: str) -> str:
    """The model that a recipe makes, if it is built in and no other is asked for."""
    from geocamss.models import registry

    source = click.get_current_context().get_parameter_source("model")
    name = recipe.card_without_results().name
    return name if source is ParameterSource.DEFAULT and name in registry.names() else given


def _calibrated(
    pairs: tuple[Pair, ...],
    request: Request,
    out: Path,
    progress: Callable[[Progress], None] | None,
    *,
    quiet: bool,
) -> Request:
    """Fit the temperature, write the model, and ask for that one from here on."""
    from geocamss.evaluation.calibrate import fit_temperature, write_calibrated
    from geocamss.models.registry import resolve

    fit = fit_temperature(pairs, request, progress)
    write_calibrated(resolve(str(request.model)), fit.temperature, out)
    if not quiet:
        click.echo(
            f"{out}: temperature {fit.temperature:g}, was {fit.before:g}; negative log-likelihood "
            f"{fit.nll:.4f}, was {fit.nll_before:.4f}, of {fit.pixels:,} labeled pixels\n"
        )
    return replace(request, model=out)


def _named(
    files: tuple[str, ...], meaning: dict[str, str], class_field: str | None
) -> tuple[Pair, ...]:
    """Scenes and labels from the command line."""
    from geocamss.evaluation.pairs import pairs_of

    if len(files) % 2:
        raise click.UsageError("give the LABELS behind each SCENE")
    couples = zip(files[::2], files[1::2], strict=True)
    return tuple(pair for a, b in couples for pair in pairs_of(a, b, meaning, class_field))


@contextmanager
def _set_aside(recipe: Recipe, data: Path) -> Iterator[tuple[Pair, ...]]:
    """Scenes and labels that a recipe keeps for validation."""
    from geocamss.training.validation import validation_pairs

    with tempfile.TemporaryDirectory(prefix="geocamss-") as work:
        yield validation_pairs(recipe, data, Path(work))


def _check_writable(json_file: Path | None, figure: Path | None) -> None:
    """Refuse before the work what would fail behind it."""
    if json_file is not None and not json_file.absolute().parent.is_dir():
        raise OutputError(f"{json_file} cannot be written: there is no folder {json_file.parent}")
    if figure is not None and find_spec("matplotlib") is None:
        raise InputError("figures need the package 'matplotlib': pip install 'geocamss[plot]'")
