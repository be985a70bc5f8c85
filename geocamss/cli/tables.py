"""Tables and lines on stdout, as plain in a file as in a terminal."""

from __future__ import annotations

from typing import Literal

from rich.console import Console
from rich.table import Table

__all__ = ["plain_console", "plain_table"]


def plain_console() -> Console:
    """Prints what it is given: names from files are text, whatever brackets they hold."""
    return Console(markup=False, emoji=False, highlight=False)


def plain_table(*columns: str, right: tuple[str, ...] = (), header: bool = True) -> Table:
    """A table without lines.

    Args:
        columns: their headings.
        right: those whose cells stand flush right.
        header: whether the headings are shown.
    """
    table = Table(
        box=None, padding=(0, 3, 0, 0), pad_edge=False, header_style="bold", show_header=header
    )
    for index, column in enumerate(columns):
        justify: Literal["left", "right"] = "right" if column in right else "left"
        # Where there is little room the first column keeps its names whole.
        table.add_column(column, justify=justify, overflow="fold", no_wrap=index == 0)
    return table
