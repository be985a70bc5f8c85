"""Survey: where each pixel lies in the plan."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geocamss.simulate.frame import Doubles, Floats, Frame, Ints
from geocamss.simulate.plan import Plan

__all__ = ["Survey", "make_survey"]


@dataclass(frozen=True)
class Survey:
    """Plan coordinates pixel by pixel; arrays (height, width), lengths in meters."""

    p: Doubles
    q: Doubles

    i: Ints
    """Interval of p."""

    j: Ints
    """Interval of q."""

    quarter: Ints
    lot: Ints

    across: Floats
    """Distance from the quarter's first edge, at right angles to its streets."""

    along: Floats
    """Distance from its other edge, along its streets."""

    width_across: Floats
    """The quarter's whole width, at right angles to its streets."""

    width_along: Floats
    """The quarter's whole length, along its streets."""

    lot_edge: Floats
    """Distance to the nearest edge of the lot."""


def make_survey(frame: Frame, plan: Plan) -> Survey:
    """Find the quarter and the lot of every pixel."""
    p, q = plan.axes.to_plan(frame.x, frame.y)
    p_at, q_at = plan.p_lines.at, plan.q_lines.at
    i = np.clip(np.searchsorted(p_at, p, "right") - 1, 0, len(p_at) - 2)
    j = np.clip(np.searchsorted(q_at, q, "right") - 1, 0, len(q_at) - 2)
    quarters = plan.quarters
    quarter = i * quarters.shape[1] + j
    a, c = (p - p_at[i]).astype(np.float32), (q - q_at[j]).astype(np.float32)
    p_width = np.diff(p_at).astype(np.float32)[i]
    q_width = np.diff(q_at).astype(np.float32)[j]
    turned = quarters.turned[quarter]
    across, along = np.where(turned, c, a), np.where(turned, a, c)
    width_across, width_along = (
        np.where(turned, q_width, p_width),
        np.where(turned, p_width, q_width),
    )
    rows = quarters.rows[quarter]
    lane = across * rows / width_across
    row = np.clip(lane.astype(np.intp), 0, rows - 1)
    row_number = quarters.row_base[quarter] + row
    lots = plan.row_lots[row_number]
    place = along * lots / width_along
    number = np.clip(place.astype(np.intp), 0, lots - 1)
    off_row, off_lot = np.abs(lane - row - 0.5), np.abs(place - number - 0.5)
    edge = np.minimum((0.5 - off_row) * width_across / rows, (0.5 - off_lot) * width_along / lots)
    return Survey(
        p=p,
        q=q,
        i=i,
        j=j,
        quarter=quarter,
        lot=plan.row_base[row_number] + number,
        across=across,
        along=along,
        width_across=width_across,
        width_along=width_along,
        lot_edge=edge.astype(np.float32),
    )
