"""The last words of a run: area by class, and the files."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from geocamss.cli.tables import plain_console, plain_table

if TYPE_CHECKING:
    from geocamss.result import Result

__all__ = ["area_text", "print_summary"]

SMALL = 1e4
"""Square meters below which a map's areas are told in square meters."""


def area_text(square_meters: float, largest: float) -> str:
    """An area in the unit that suits the largest one of its table; a dash where it is unknown.

    In square kilometers there are three decimals, or as many as give the largest four digits.
    """
    if not math.isfinite(square_meters):
        return "-"
    if largest < SMALL:
        return f"{square_meters:,.0f} m²"
    decimals = max(3, 3 - math.floor(math.log10(largest / 1e6)))
    return f"{square_meters / 1e6:,.{decimals}f} km²"


def print_summary(result: Result) -> None:
    """Print what has been mapped, and where it is."""
    from geocamss.output.areas import are_counts

    console = plain_console()
    rows = result.areas.to_dict("records")
    largest = max((row["area_m2"] for row in rows), default=0.0)
    counted = are_counts((row["area_m2"], row["pixels"]) for row in rows)
    table = plain_table(
        "class", "area", "share", "confidence", right=("area", "share", "confidence")
    )
    for row in rows:
        confidence = f"{row['confidence']:.0f} %" if math.isfinite(row["confidence"]) else "-"
        area = f"{row['pixels']:,} pixels" if counted else area_text(row["area_m2"], largest)
        table.add_row(row["name"], area, f"{100 * row['share']:.1f} %", confidence)
    console.print(table)
    console.print()
    for path in sorted(result.folder.iterdir()):
        console.print(str(path), soft_wrap=True)
