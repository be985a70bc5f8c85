"""``geocamss view``: a finished map in the browser, at full resolution."""

from __future__ import annotations

import json
import webbrowser
from pathlib import Path

import click

from geocamss.cli.options import examples, json_option, quiet_meaning

__all__ = ["view"]


@click.command(
    "view",
    epilog=examples(
        "geocamss view out",
        "geocamss view out --port 8765 --no-browser",
        "geocamss view out --scene moved/scene.tif",
    ),
)
@click.argument("out", type=click.Path(path_type=Path), metavar="OUT")
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    metavar="N",
    help="Port on this machine. Left out: a free one.",
)
@click.option(
    "--scene",
    metavar="FILE",
    help="The scene that was mapped. Left out: where it was then, or near OUT.",
)
@click.option("--no-browser", is_flag=True, help="Print the address, and open no browser.")
@json_option
@quiet_meaning("Do not print the address.")
def view(
    out: Path,
    *,
    port: int | None,
    scene: str | None,
    no_browser: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Look at a map in the browser, at full resolution.

    OUT is a folder that geocamss predict wrote. The map is served on this machine and to it alone,
    until Ctrl-C. Needs pip install 'geocamss[view]'; preview.html in OUT needs nothing.
    """
    from geocamss.viewer.server import MapServer
    from geocamss.viewer.tiles import Tiles
    from geocamss.viewer.viewed import ViewedMap

    with Tiles(ViewedMap.open(out, scene)) as tiles, MapServer(tiles, port or 0) as server:
        try:
            if as_json:
                click.echo(json.dumps({"url": server.url, "folder": str(out)}))
            elif not quiet:
                click.echo(f"{server.url} shows {out}; Ctrl-C ends it")
            if not no_browser:
                webbrowser.open(server.url)
            server.serve_forever()
        except KeyboardInterrupt:  # the way to end it
            if not (quiet or as_json):
                click.echo()
