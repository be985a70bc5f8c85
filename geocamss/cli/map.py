"""``geocamss map``: many scenes become maps, on this machine or on a cluster."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from geocamss.cli.options import examples, json_option, mapping_options, quiet_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geocamss.batch.job import BatchResult
    from geocamss.batch.mosaic_grid import Mosaic
    from geocamss.scene.catalog import SceneSource, StacSearch

__all__ = ["map_"]

SHOWN = 20
"""Failed scenes are listed up to this many; the report has them all."""


def _bbox(
    _context: click.Context, _parameter: click.Parameter, text: str | None
) -> tuple[float, ...] | None:
    """Read ``west,south,east,north``."""
    if text is None:
        return None
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != 4:
        raise click.BadParameter(f"{text!r} is not west,south,east,north in degrees")
    return numbers


def _names(
    _context: click.Context, _parameter: click.Parameter, text: str | None
) -> tuple[str, ...]:
    """Read ``one,two``."""
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())


@click.command(
    "map",
    epilog=examples(
        "geocamss map scenes/ -o maps",
        "geocamss map 'scenes/*.tif' -o maps --workers 4 --memory 4GB",
        "geocamss map list.csv -o maps --scheduler tcp://10.0.0.1:8786",
        "geocamss map scenes/ -o maps --mosaic EPSG:3035 --mosaic-gsd 10",
        "geocamss map --stac URL --collections sentinel-2-l2a --bbox 11,48,12,49 -o maps",
    ),
)
@click.argument("sources", nargs=-1, metavar="SOURCE...")
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    metavar="OUT",
    help="Folder for the maps, one folder a scene; it is made.  [required without --plan]",
)
@click.option(
    "--plan", "only_plan", is_flag=True, help="Print blocks, hours and GB of it all; run nothing."
)
@mapping_options
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    metavar="N",
    help="Processes on this machine. Left out: one a core, if there is memory.",
)
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    metavar="N",
    help="Threads of each worker's network. Left out: the cores are shared out.",
)
@click.option(
    "--scheduler",
    metavar="ADDRESS|FILE",
    help="A Dask scheduler that is there already: tcp://HOST:PORT, or its JSON file.",
)
@click.option("--stac", metavar="URL", help="A STAC API to search for scenes.")
@click.option("--collections", callback=_names, metavar="NAME,...", help="Where --stac searches.")
@click.option("--bbox", callback=_bbox, metavar="W,S,E,N", help="In degrees, for --stac.")
@click.option("--datetime", metavar="WHEN", help="A moment or START/END, for --stac.")
@click.option("--max-cloud", type=float, metavar="PERCENT", help="Most clouds, for --stac.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Most scenes of --stac.")
@click.option(
    "--mosaic",
    metavar="CRS|SET/LEVEL",
    help="Lay all maps onto one grid as well: EPSG:3035, or WebMercatorQuad/14.",
)
@click.option(
    "--mosaic-gsd",
    type=float,
    metavar="METERS",
    help="Its pixel size. Left out: that of the finest map.",
)
@click.option(
    "--mosaic-tile", type=int, metavar="PIXELS", help="Side of its tiles. Left out: 4096."
)
@click.option(
    "--mosaic-rule",
    type=click.Choice(["confidence", "newest", "first", "mean"]),
    default="confidence",
    show_default=True,
    help="Which map has its say where several lie; mean averages the probabilities of all, which "
    "each map then keeps in probabilities.tif.",
)
@json_option
@quiet_option
def map_(
    sources: tuple[str, ...],
    out: Path | None,
    *,
    only_plan: bool,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> int:
    """Map many scenes, and report on them.

    A SOURCE is a file, a glob, a folder, a list in a text or CSV file, a product of several files,
    or a STAC catalog. Each scene gets a folder in OUT with what geocamss predict writes;
    report.html tells what became of each, and catalog.json leads to all maps. A scene that fails
    does not keep the others from being mapped; the exit code is then 1, and the same command does
    only what is missing.
    """
    from geocamss.scene.catalog import find_scenes

    search = _search(options)
    mosaic = _mosaic(options)
    found = find_scenes(sources, stac=search)
    if only_plan:
        _show_plan(found, mosaic, options, as_json=as_json)
        return 0
    if out is None:
        raise click.UsageError("Missing option '-o' / '--out'.")
    result = _run(found, out, mosaic, options, quiet=quiet)
    if as_json:
        click.echo((result.report.parent / "report.json").read_text("utf-8"), nl=False)
    elif not quiet:
        _summarize(result)
    return 1 if result.failed else 0


def _search(options: dict[str, Any]) -> StacSearch | None:
    """What to ask a STAC API for; its options are taken out."""
    from geocamss.scene.catalog import StacSearch

    url = options.pop("stac")
    names = ("collections", "bbox", "datetime", "max_cloud", "limit")
    asked = {name: options.pop(name) for name in names}
    if url is not None:
        return StacSearch(url, **asked)
    for name, value in asked.items():
        if value:
            raise click.UsageError(f"--{name.replace('_', '-')} is for a search: give --stac URL")
    return None


def _mosaic(options: dict[str, Any]) -> Mosaic | None:
    """The mosaic that is asked for; its options are taken out."""
    from geocamss.batch.mosaic_grid import Mosaic

    target = options.pop("mosaic")
    gsd, tile, rule = (options.pop(f"mosaic_{name}") for name in ("gsd", "tile", "rule"))
    if target is not None:
        return Mosaic(target, gsd, tile, rule)
    if gsd is not None or tile is not None:
        raise click.UsageError("--mosaic-gsd and --mosaic-tile are for --mosaic")
    return None


def _show_plan(
    found: Sequence[SceneSource], mosaic: Mosaic | None, options: dict[str, Any], *, as_json: bool
) -> None:
    from geocamss.batch.job import for_mosaic
    from geocamss.batch.plan import plan_job
    from geocamss.cli.tables import plain_console, plain_table
    from geocamss.request import Request

    workers = options.pop("workers")
    for name in ("threads", "scheduler", "overwrite"):
        del options[name]
    request = Request(**options)
    plan = plan_job(found, request if mosaic is None else for_mosaic(request, mosaic), mosaic)
    if as_json:
        click.echo(json.dumps(plan.to_dict(), indent=2))
        return
    table = plain_table("", "", right=("",), header=False)
    hours = plan.seconds / 3600
    facts = {
        "scenes": f"{plan.scenes:,}",
        "blocks": f"{plan.blocks:,}",
        "pixels": f"{plan.pixels:,}",
        "read, GB": f"{plan.read / 1e9:,.2f}",
        "disk while it works, GB": f"{plan.work / 1e9:,.2f}",
        "hours, one process on this machine": f"{hours:,.2f}",
    }
    if workers:
        facts[f"hours, {workers} machines like it"] = f"{hours / workers:,.2f}"
    for name, value in facts.items():
        table.add_row(name, value)
    console = plain_console()
    console.print(table)
    console.print(f"not counted: {'; '.join(plan.left_out)}", soft_wrap=True)
    for name, reason in plan.refused[:SHOWN]:
        console.print(f"{name}: {reason}", soft_wrap=True)


def _run(
    found: Sequence[SceneSource],
    out: Path,
    mosaic: Mosaic | None,
    options: dict[str, Any],
    *,
    quiet: bool,
) -> BatchResult:
    from geocamss.batch.job import Place, map_sources
    from geocamss.cli.progress import batch_progress
    from geocamss.request import Request

    place = Place(*(options.pop(name) for name in ("workers", "threads", "scheduler")))
    overwrite = options.pop("overwrite")
    with batch_progress(quiet=quiet) as progress:
        return map_sources(
            found,
            out,
            Request(**options),
            overwrite=overwrite,
            mosaic=mosaic,
            place=place,
            progress=progress,
            say=lambda text: None if quiet else click.echo(text, err=True),
        )


def _summarize(result: BatchResult) -> None:
    """Print how it went, and where everything is."""
    mapped = len(result.scenes) - len(result.failed)
    kept = sum(scene.state == "kept" for scene in result.scenes)
    before = f", {kept} of them before" if kept else ""
    click.echo(f"{mapped} of {len(result.scenes)} scenes mapped{before}")
    for scene in result.failed[:SHOWN]:
        click.echo(f"  {scene.id}: {scene.reason}")
    if len(result.failed) > SHOWN:
        click.echo(f"  and {len(result.failed) - SHOWN} more")
    for path in (result.catalog, result.mosaic, result.report):
        if path is not None:
            click.echo(str(path))
