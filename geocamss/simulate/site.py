"""Site: the pixels around a thing, and where they lie in the thing's own coordinates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geocamss.simulate.frame import Bools, Doubles, Frame

__all__ = ["Part", "Pose", "Site", "find_site"]

Part = tuple[float, float, float, float]
"""A rectangle: middle u and v, half length along u and half depth along v, in meters."""


@dataclass(frozen=True)
class Pose:
    """Where a thing stands, and which way it faces."""

    x: float
    y: float
    """Its middle on the ground, in meters."""

    cos: float
    sin: float
    """Ground direction of u; v is a quarter turn on."""

    def turn(self, x: float, y: float) -> tuple[float, float]:
        """A ground direction in the thing's coordinates."""
        return x * self.cos + y * self.sin, y * self.cos - x * self.sin


@dataclass(frozen=True)
class Site:
    """A window of the frame."""

    window: tuple[slice, slice]
    u: Doubles
    v: Doubles

    def inside(self, parts: tuple[Part, ...], margin: float = 0.0) -> Bools:
        """Pixels whose centers lie in one of the rectangles, widened by a margin."""
        result: Bools = np.zeros(self.u.shape, dtype=np.bool_)
        for u, v, a, b in parts:
            result |= (np.abs(self.u - u) <= a + margin) & (np.abs(self.v - v) <= b + margin)
        return result

    def swept(self, parts: tuple[Part, ...], step: tuple[float, float]) -> Bools:
        """Pixels that the rectangles pass over on their way by a step (u, v)."""
        result: Bools = np.zeros(self.u.shape, dtype=np.bool_)
        for u, v, a, b in parts:
            # Passed over: some t of [0, 1] puts the point, moved back by t, into the rectangle.
            u_from, u_to = _crossing(self.u - u, a, step[0])
            v_from, v_to = _crossing(self.v - v, b, step[1])
            start = np.maximum(np.maximum(u_from, v_from), 0)
            result |= start <= np.minimum(np.minimum(u_to, v_to), 1)
        return result


def _crossing(offset: Doubles, half: float, step: float) -> tuple[Doubles, Doubles]:
    """When a slab that moves by a step reaches a point, and when it leaves it."""
    step = step if abs(step) > 1e-9 else 1e-9
    ends = (offset - half) / step, (offset + half) / step
    return np.minimum(*ends), np.maximum(*ends)


def find_site(frame: Frame, pose: Pose, reach: float) -> Site | None:
    """The site within a reach of a thing's middle; None where that is outside the frame."""
    rows, columns = frame.window(pose.x, pose.y, reach)
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return None
    x, y = frame.x[:, columns] - pose.x, frame.y[rows] - pose.y
    return Site((rows, columns), *_turned(pose, x, y))


def _turned(pose: Pose, x: Doubles, y: Doubles) -> tuple[Doubles, Doubles]:
    return x * pose.cos + y * pose.sin, y * pose.cos - x * pose.sin
