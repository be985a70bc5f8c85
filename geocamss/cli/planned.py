"""What a run would do and take, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from geocamss.cli.tables import plain_console, plain_table

if TYPE_CHECKING:
    from geocamss.plan import Plan

__all__ = ["print_plan", "size_text"]

PARTS = {
    "process": "Python, libraries, model",
    "network": "network",
    "inputs": "chips for the network",
    "strips": "pixels read ahead",
    "decoded": "decoded TIFF tiles",
    "sums": "sums of a strip",
    "blocks": "finished blocks",
    "files": "writing the outputs",
}
"""Parts of a plan's memory, as people call them."""


def size_text(size: int) -> str:
    """Bytes in the unit that leaves one to three digits before the point."""
    for unit, scale in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if size >= scale:
            return f"{size / scale:.1f} {unit}"
    return f"{size / 1e3:.0f} kB"


def time_text(seconds: float) -> str:
    """Seconds, minutes or hours."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def print_plan(plan: Plan) -> None:
    """Print a plan."""
    rows, cols = plan.blocks
    high, wide = plan.block
    about = "" if plan.exact else "at least "
    table = plain_table("", "", header=False)
    table.add_row("map", f"{plan.width:,} x {plan.height:,} pixels")
    table.add_row(
        "blocks", f"{rows * cols:,} ({rows} x {cols}), of up to {wide:,} x {high:,} pixels"
    )
    table.add_row(
        "tiles",
        f"{plan.tiles:,}, of which {about}{plan.skipped:,} hold nothing to map; "
        f"{plan.chip} pixels with an overlap of {plan.overlap}, {plan.batch} at a time",
    )
    table.add_row("time", f"{'' if plan.exact else 'up to '}about {time_text(plan.seconds)}")
    table.add_row(
        "disk", f"{size_text(plan.disk)} while it works, and what files and polygons take"
    )
    if plan.device_memory is not None:
        table.add_row(f"memory of {plan.device}", size_text(plan.device_memory))
    table.add_row("memory", size_text(plan.memory))
    for name, size in plan.parts.items():
        table.add_row(f"  {PARTS[name]}", size_text(size))
    plain_console().print(table)
