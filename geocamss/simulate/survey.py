"""Survey: where each pixel lies in the plan."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from geocamss.simulate.frame import Bools, Doubles, Floats, Frame, Ints
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
    """Distance from the quarter's first edge, or from its middle, at right angles to its rows."""

    along: Floats
    """Place along the rows."""

    width_across: Floats
    """Where ``across`` ends."""

    width_along: Floats
    """Where ``along`` ends."""

    stretch: Floats
    """Meters on the ground a meter of ``along``: not 1 on rings."""

    lot_edge: Floats
    """Distance to the nearest edge of the lot."""


def make_survey(frame: Frame, plan: Plan) -> Survey:
    """Find the quarter and the lot of every pixel."""
    p, q = plan.axes.to_plan(frame.x, frame.y)
    p_at, q_at, quarters = plan.p_lines.at, plan.q_lines.at, plan.quarters
    i = np.clip(np.searchsorted(p_at, p, "right") - 1, 0, len(p_at) - 2)
    j = np.clip(np.searchsorted(q_at, q, "right") - 1, 0, len(q_at) - 2)
    quarter = i * quarters.shape[1] + j
    extents = np.array([plan.extent(k) for k in range(len(quarters.use))], dtype=np.float32)
    width_across, width_along = extents[quarter, 0], extents[quarter, 1]
    a, c = (p - p_at[i]).astype(np.float32), (q - q_at[j]).astype(np.float32)
    turned = quarters.turned[quarter]
    across, along = np.where(turned, c, a), np.where(turned, a, c)
    stretch = np.ones(across.shape, dtype=np.float32)
    _bend_circuses(plan, quarter, (p, q), (across, along, stretch))
    lot, edge = _lots(plan, quarter, (across, along), (width_across, width_along), stretch)
    return Survey(
        p=p,
        q=q,
        i=i,
        j=j,
        quarter=quarter,
        lot=lot,
        across=across,
        along=along,
        width_across=width_across,
        width_along=width_along,
        stretch=stretch,
        lot_edge=edge,
    )


def _bend_circuses(
    plan: Plan,
    quarter: Ints,
    at: tuple[Doubles, Doubles],
    into: tuple[Floats, Floats, Floats],
) -> None:
    """Overwrite across, along and stretch where rows are rings."""
    for k in np.nonzero(plan.quarters.circus & plan.quarters.shown)[0].tolist():
        here: Bools = quarter == k
        p0, p1, q0, q1 = plan.bounds(k)
        p, q = at[0][here] - (p0 + p1) / 2, at[1][here] - (q0 + q1) / 2
        reach, length = plan.extent(k)
        radius = np.sqrt(p * p + q * q)
        turn = np.arctan2(q, p) / (2 * math.pi)
        across, along, stretch = into
        across[here] = radius
        along[here] = (turn - np.floor(turn)) * length
        stretch[here] = radius / reach


def _lots(
    plan: Plan,
    quarter: Ints,
    at: tuple[Floats, Floats],
    widths: tuple[Floats, Floats],
    stretch: Floats,
) -> tuple[Ints, Floats]:
    """Number of each pixel's lot, and distance to the lot's edge."""
    rows = plan.quarters.rows[quarter].astype(np.float32)
    lane = at[0] * rows / widths[0]
    row = np.minimum(np.floor(lane), rows - 1)
    number = plan.quarters.row_base[quarter] + row.astype(np.intp)
    lots = plan.row_lots[number].astype(np.float32)
    place = at[1] * lots / widths[1]
    column = np.minimum(np.floor(place), lots - 1)
    half = np.float32(0.5)
    deep = (half - np.abs(lane - row - half)) * widths[0] / rows
    wide = (half - np.abs(place - column - half)) * widths[1] / lots * stretch
    lot: Ints = plan.row_base[number] + column.astype(np.intp)
    edge: Floats = np.minimum(deep, wide)
    return lot, edge
