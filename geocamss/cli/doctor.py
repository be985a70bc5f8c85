"""``geocamss doctor``: what is on this machine, and what to do about what is not."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from geocamss.cli.options import examples, json_option, quiet_meaning

__all__ = ["doctor"]

MARKS = {"good": "ok", "missing": "-", "bad": "!!"}


@click.command("doctor", epilog=examples("geocamss doctor", "geocamss doctor --json"))
@json_option
@quiet_meaning("Print only what is not as it should be.")
@click.pass_context
def doctor(context: click.Context, *, as_json: bool, quiet: bool) -> None:
    """Look at GDAL, torch, GPU, models, extras, QGIS and disks.

    Says what to do about what is missing. Ends with exit code 1 where maps cannot be made.
    """
    from geocamss.doctor import examine

    findings = [finding for finding in examine() if not quiet or finding.state != "good"]
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        from geocamss.cli.tables import plain_console, plain_table

        table = plain_table("", "", "", header=False)
        for finding in findings:
            table.add_row(MARKS[finding.state], finding.name, finding.found)
            if finding.advice:
                table.add_row("", "", finding.advice)
        plain_console().print(table)
    if any(finding.state == "bad" for finding in findings):
        context.exit(1)
