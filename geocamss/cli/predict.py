"""``geocamss predict``: one scene becomes a map."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import click

from geocamss.cli.options import examples, mapping_options, progress_option, quiet_option

__all__ = ["predict"]


@click.command(
    "predict",
    epilog=examples(
        "geocamss predict scene.tif -o out",
        "geocamss predict scene.tif -o out --bands red=4,green=3,blue=2 --gsd native",
        "geocamss predict scene.tif -o out --aoi district.gpkg --outputs classes,polygons",
        "geocamss predict scene.tif -o out --model my-model.safetensors --device cuda",
    ),
)
@click.argument("scene")
@click.option(
    "-o",
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    metavar="OUT",
    help="Folder for the map; it is made.",
)
@mapping_options
@progress_option
@quiet_option
def predict(
    scene: str, out: Path, *, progress_form: Literal["bar", "json"], quiet: bool, **options: Any
) -> None:
    """Map a scene: classes, confidence, polygons and their styles.

    SCENE is anything that GDAL opens: a file, a URL, a VRT. Into OUT go classes.tif,
    confidence.tif, polygons.gpkg, map.qgz to open in QGIS, styles, item.json, preview.png and
    preview.html, a page to look at. An existing map is refused unless --overwrite is given.
    """
    from geocamss.cli.progress import told_progress
    from geocamss.cli.summary import print_summary
    from geocamss.predict import predict as run

    with told_progress(progress_form, quiet=quiet) as progress:
        result = run(scene, out, progress=progress, **options)
    if not quiet:
        print_summary(result)
