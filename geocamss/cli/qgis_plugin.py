"""``geocamss qgis-plugin``: the plugin that brings geocamss into QGIS."""

from __future__ import annotations

import json
from pathlib import Path

import click

from geocamss.cli.options import examples, json_option, quiet_option

__all__ = ["qgis_plugin"]


@click.command(
    "qgis-plugin",
    epilog=examples(
        "geocamss qgis-plugin -o geocamss_qgis.zip",
        after="In QGIS: Plugins, Manage and Install Plugins, Install from ZIP. The algorithms are "
        "in the Processing toolbox under geocamss.",
    ),
)
@click.option(
    "-o",
    "--out",
    default=Path("geocamss_qgis.zip"),
    show_default=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The ZIP file.",
)
@click.option("--overwrite", is_flag=True, help="Replace a file that is there.")
@json_option
@quiet_option
def qgis_plugin(*, out: Path, overwrite: bool, as_json: bool, quiet: bool) -> None:
    """Pack the plugin for the Processing toolbox of QGIS.

    It brings "Map a scene" and "Vectorize" there. The plugin calls the geocamss that is installed,
    in its own environment, and leaves QGIS's Python alone.
    """
    from geocamss.plugin import write_plugin

    files = write_plugin(out, overwrite=overwrite)
    if as_json:
        click.echo(json.dumps({"path": str(out), "files": files}, indent=2))
    elif not quiet:
        click.echo(f"{out}: in QGIS, Plugins, Manage and Install Plugins, Install from ZIP")
