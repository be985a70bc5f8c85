"""``geocamss predict``: one scene becomes a map."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import click

from geocamss.cli.options import (
    examples,
    json_option,
    mapping_options,
    progress_option,
    quiet_option,
)

__all__ = ["predict"]


@click.command(
    "predict",
    epilog=examples(
        "geocamss predict scene.tif -o out",
        "geocamss predict scene.tif -o out --bands red=4,green=3,blue=2 --gsd native",
        "geocamss predict scene.tif -o out --aoi district.gpkg --outputs classes,polygons",
        "geocamss predict scene.tif --plan --memory 2GB",
        "geocamss predict scene.tif -o out --model my-model.safetensors --device cuda",
    ),
)
@click.argument("scene")
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    metavar="OUT",
    help="Folder for the map; it is made.  [required without --plan]",
)
@click.option(
    "--plan",
    "only_plan",
    is_flag=True,
    help="Print blocks, tiles, memory, disk and time, from the time of a few chips; run nothing.",
)
@mapping_options
@json_option
@progress_option
@quiet_option
def predict(
    scene: str,
    out: Path | None,
    *,
    only_plan: bool,
    progress_form: Literal["bar", "json"],
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Map a scene: classes, confidence, polygons and their styles.

    SCENE is anything that GDAL opens: a file, a URL, a VRT; or a Sentinel-2 or Landsat product, a
    STAC item, or a pattern such as scene_{band}.tif. Into OUT go classes.tif,
    confidence.tif, polygons.gpkg, map.qgz to open in QGIS, styles, item.json, preview.png and
    preview.html, a page to look at. An existing map is refused unless --overwrite is given.
    """
    if only_plan:
        show_plan(scene, as_json=as_json, **options)
        return
    if out is None:
        raise click.UsageError("Missing option '-o' / '--out'.")
    from geocamss.cli.progress import told_progress
    from geocamss.cli.summary import print_summary
    from geocamss.predict import predict as run

    with told_progress(progress_form, quiet=quiet) as progress:
        result = run(scene, out, progress=progress, **options)
    if as_json:
        areas = result.areas.astype(object).where(result.areas.notna(), None)
        found = {"folder": str(result.folder), "areas": areas.to_dict("records")}
        click.echo(json.dumps(found, indent=2))
    elif not quiet:
        print_summary(result)


def show_plan(scene: str, *, as_json: bool, overwrite: bool, **options: Any) -> None:
    """Print what a run would do and take."""
    from geocamss.cli.planned import print_plan
    from geocamss.plan import plan

    del overwrite
    for name in ("min_area", "smooth", "simplify", "square"):  # how polygons look
        options.pop(name)
    planned = plan(scene, **options)
    if as_json:
        click.echo(json.dumps(planned.to_dict(), indent=2))
    else:
        print_plan(planned)
