"""Noise: smooth random fields over the ground, the same at every GSD."""

from __future__ import annotations

import numpy as np

from geocamss.simulate.dice import Dice
from geocamss.simulate.frame import Doubles, Floats, Frame

__all__ = ["fractal", "wave"]


def wave(phase: Doubles) -> Doubles:
    """A sine-like wave of period 1 and range [-1, 1], from parabolas.

    Its derivative is at most 8 (at phase 0). Unlike a sine it is plain arithmetic, which every
    processor rounds alike.
    """
    g = phase - np.floor(phase)
    g *= 2
    g -= 1
    result: Doubles = np.abs(g)
    result -= 1
    result *= 4 * g
    return result


def fractal(
    seed: int,
    name: str,
    frame: Frame,
    longest: float,
    shortest: float = 0.0,
    *,
    roughness: float = 0.5,
) -> Floats:
    """Fractal noise: random lattices, each half as wide as the last, added up.

    Args:
        seed: The landscape's seed.
        name: The field's name; each name has its own noise.
        frame: Where to evaluate it.
        longest: Spacing of the widest lattice, in meters at true size.
        shortest: Spacing of the finest lattice; never finer than a pixel.
        roughness: Amplitude of a lattice against that of the next wider one.

    Returns:
        float32 (height, width), mean near 0, standard deviation near 1.
    """
    spacing = longest * frame.unit
    finest = max(shortest * frame.unit, frame.gsd)
    origin = -spacing
    width, height = frame.size
    rows, columns = (int(np.ceil(side / spacing)) + 4 for side in (height, width))
    field = Dice(seed, f"{name} 0").lattice(rows, columns)
    amplitude, power, level = 1.0, 1.0, 0
    while spacing > 1.5 * frame.gsd:
        field = _halve(_halve(field).T).T
        origin += spacing / 4
        spacing /= 2
        # A lattice reaches only as far as the frame needs; the rest would be thrown away.
        need = (int(np.ceil((side - origin) / spacing)) + 3 for side in (height, width))
        rows, columns = (min(n, have) for n, have in zip(need, field.shape, strict=True))
        field = field[:rows, :columns]
        level += 1
        if spacing >= finest:
            amplitude *= roughness
            power += amplitude**2
            field = field + np.float32(amplitude) * Dice(seed, f"{name} {level}").lattice(
                rows, columns
            )
    # A uniform number has variance 1/3; smoothing between lattice points takes off about half.
    scale = np.float32(1.0 / np.sqrt(power / 3 * 0.45))
    return _sample(
        field * scale, (frame.y[:, 0] - origin) / spacing, (frame.x[0] - origin) / spacing
    )


def _halve(field: Floats) -> Floats:
    """Halve a lattice's row spacing by corner cutting: its limit is a quadratic B-spline."""
    result = np.empty((2 * (field.shape[0] - 1), field.shape[1]), dtype=np.float32)
    quarter, rest = np.float32(0.25), np.float32(0.75)
    near, far = field[:-1], field[1:]
    result[0::2] = rest * near + quarter * far
    result[1::2] = quarter * near + rest * far
    return result


def _sample(field: Floats, rows: Doubles, columns: Doubles) -> Floats:
    """Bilinear values at fractional rows and columns of a lattice."""
    top = np.clip(np.floor(rows).astype(np.intp), 0, field.shape[0] - 2)
    left = np.clip(np.floor(columns).astype(np.intp), 0, field.shape[1] - 2)
    down = (rows - top).astype(np.float32)[:, None]
    right = (columns - left).astype(np.float32)[None, :]
    lines = field[top + 1]
    lines -= field[top]
    lines *= down
    lines += field[top]
    near: Floats = np.take(lines, left, axis=1)
    result: Floats = np.take(lines, left + 1, axis=1)
    result -= near
    result *= right
    result += near
    return result
