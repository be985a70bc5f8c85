"""``geocamss models``: what is built in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from geocamss.cli.options import examples, json_option, quiet_meaning

__all__ = ["models"]


@click.command("models", epilog=examples("geocamss models", "geocamss models --json"))
@json_option
@quiet_meaning("Print names alone.")
def models(*, as_json: bool, quiet: bool) -> None:
    """List the built-in models.

    For all that a model says of itself: geocamss info NAME.
    """
    from geocamss.models import registry

    found = [described(name, registry.path(name)) for name in registry.names()]
    if as_json:
        click.echo(json.dumps(found, indent=2))
    elif quiet:
        click.echo("\n".join(registry.names()))
    else:
        _print(found, registry.DEFAULT)


def described(name: str, path: Path) -> dict[str, Any]:
    """What chooses a model: plain values by field."""
    from geocamss.models.header import read_card

    card = read_card(path)
    return {
        "name": name,
        "version": card.version,
        "bands": list(card.band_names),
        "gsd": card.gsd,
        "classes": list(card.classes.names),
        "license": card.license,
        "bytes": path.stat().st_size,
        "description": card.description,
    }


def _print(found: list[dict[str, Any]], default: str) -> None:
    from geocamss.cli.planned import size_text
    from geocamss.cli.tables import plain_console, plain_table

    console = plain_console()
    for model in found:
        table = plain_table("", "", header=False)
        table.add_row(model["name"], "the default" if model["name"] == default else "")
        table.add_row("  bands", f"{', '.join(model['bands'])}, at {model['gsd']:g} m")
        table.add_row("  classes", ", ".join(model["classes"]))
        table.add_row("  license", model["license"])
        table.add_row("  size", size_text(model["bytes"]))
        console.print(table)
