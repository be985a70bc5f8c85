"""``geocamss vectorize``: a class raster becomes polygons."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import click

from geocamss.cli.options import (
    Command,
    examples,
    json_option,
    progress_option,
    quiet_option,
    shaping_options,
)

__all__ = ["vectorize"]


def shaped(command: Command) -> Command:
    """The options that say how polygons are made."""
    for option in reversed(shaping_options):
        command = option(command)
    return command


@click.command(
    "vectorize",
    epilog=examples(
        "geocamss vectorize classes.tif -o polygons.gpkg",
        "geocamss vectorize landcover.tif -o landcover.parquet --min-area 5000 --smooth",
        "geocamss vectorize landcover.tif -o landcover.fgb --simplify 30",
        "geocamss vectorize buildings.tif -o buildings.gpkg --simplify 1 --square building",
    ),
)
@click.argument("classmap", type=click.Path())
@click.option(
    "-o",
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Vector file; its ending says the format: .gpkg, .parquet or .fgb.",
)
@click.option(
    "--band",
    type=click.IntRange(min=1),
    metavar="N",
    help="Band of the raster, from 1. Left out: the first that is no alpha; others are warned of, "
    "and a picture of red, green and blue is refused.",
)
@shaped
@click.option(
    "--confidence",
    type=click.Path(),
    metavar="FILE",
    help="Raster of percent on the same pixels; each polygon gets its mean.",
)
@click.option("--overwrite", is_flag=True, help="Replace the file if it is there.")
@json_option
@progress_option
@quiet_option
def vectorize(
    classmap: str,
    out: Path,
    *,
    as_json: bool,
    progress_form: Literal["bar", "json"],
    quiet: bool,
    **options: Any,
) -> None:
    """Turn a class raster into polygons.

    CLASSMAP is any raster of classes, at most 255 different whole numbers: class names and colors
    are taken from its tags, attribute table, category names or color table. What is asked for is
    done in this order: --min-area, --smooth, --simplify, --square. Without any, the polygons are
    exactly the raster. Without a CRS and a place they are in pixels, rows downward: y is 0 at the
    top, and -1 below the first row.
    """
    from geocamss.cli.progress import told_progress
    from geocamss.vectorize import vectorize as run

    with told_progress(progress_form, quiet=quiet, stage="polygons") as progress:
        done = run(classmap, out, progress=progress, **options)
    if as_json:
        found = {"path": str(done.path), "polygons": done.polygons, "classes": list(done.classes)}
        click.echo(json.dumps(found, indent=2))
    elif not quiet:
        polygons = f"{done.polygons:,} polygon{'s' * (done.polygons != 1)}"
        classes = f"{len(done.classes)} class{'es' * (len(done.classes) != 1)}"
        click.echo(f"{done.path}: {polygons} of {classes}")
