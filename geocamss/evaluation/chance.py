"""Chance by place: random numbers that depend on a seed and a global pixel, and on nothing else.

Tiles that overlap draw the same numbers for the same ground. Integers are mixed as in splitmix64
(Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014), and all that
follows is plain arithmetic: every machine, and every cut of the ground, gives the same bits.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from geocamss.scene.window import Window

__all__ = ["bells", "smooth", "uniforms"]

Floats = NDArray[np.float32]
Words = NDArray[np.uint64]

_MASK = 2**64 - 1
_STEP = np.uint64(0x9E3779B97F4A7C15)
_BELL_WORDS = 8


def uniforms(seed: int, stream: int, window: Window) -> Floats:
    """Numbers in [0, 1), (height, width), one a pixel.

    Args:
        seed: Any whole number.
        stream: Numbers of different streams have nothing in common.
        window: Which pixels, in the global lattice.
    """
    words = _words(seed, stream, _axis(window.row, window.height), _axis(window.col, window.width))
    return (words >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)


def bells(seed: int, stream: int, window: Window) -> Floats:
    """Bell-shaped numbers of mean 0 and standard deviation 1, (height, width).

    Each is the sum of eight uniform ones: nearly normal, and never beyond 4.9.
    """
    rows, cols = _axis(window.row, window.height), _axis(window.col, window.width)
    total = np.zeros(window.shape, np.int64)
    for part in range(_BELL_WORDS // 4):
        words = _words(seed, stream * 2 + part + (1 << 32), rows, cols)
        for shift in (0, 16, 32, 48):
            total += (words >> np.uint64(shift) & np.uint64(0xFFFF)).astype(np.int64)
    middle = _BELL_WORDS * (2**16 - 1) / 2
    deviation = (_BELL_WORDS * (2.0**32 - 1) / 12) ** 0.5
    numbers: Floats = ((total - middle) / deviation).astype(np.float32)
    return numbers


def smooth(seed: int, stream: int, window: Window, spacing: int, octaves: int = 4) -> Floats:
    """A smooth field, (height, width), mostly within 0 to 1, with a mean of one half.

    Values on a lattice, with a smooth curve from one to the next; and again with half the spacing
    and half the strength, ``octaves`` times.

    Args:
        seed: Any whole number.
        stream: As for ``uniforms``.
        window: Which pixels, in the global lattice.
        spacing: Pixels between values of the widest lattice.
        octaves: How many lattices.
    """
    total = np.zeros(window.shape, np.float32)
    weight, weights = 1.0, 0.0
    for octave in range(octaves):
        total += np.float32(weight) * _lattice(
            seed, stream * 64 + octave + (1 << 33), window, spacing
        )
        weights += weight
        weight, spacing = weight / 2, max(1, spacing // 2)
    return total / np.float32(weights)


def _lattice(seed: int, stream: int, window: Window, spacing: int) -> Floats:
    first_row, down = _cells(window.row, window.height, spacing)
    first_col, right = _cells(window.col, window.width, spacing)
    last_row, last_col = int(down[0][-1]) + 2, int(right[0][-1]) + 2
    corners = uniforms(seed, stream, Window(first_row, first_col, last_row, last_col))
    low, rise = down
    lines = corners[low] + (corners[low + 1] - corners[low]) * rise[:, None]
    near, run = right
    field: Floats = lines[:, near] + (lines[:, near + 1] - lines[:, near]) * run[None, :]
    return field


def _cells(start: int, count: int, spacing: int) -> tuple[int, tuple[NDArray[np.int64], Floats]]:
    """First lattice line, and for each pixel its line from there and how far it is to the next."""
    places = np.arange(start, start + count, dtype=np.int64)
    lines = places // spacing
    along = ((places - lines * spacing) / spacing).astype(np.float32)
    curve = along * along * (3 - 2 * along)
    return int(lines[0]), (lines - lines[0], curve.astype(np.float32))


def _axis(start: int, count: int) -> Words:
    """Whole numbers from ``start``, negative ones included, as 64-bit words."""
    return np.arange(start, start + count, dtype=np.int64).view(np.uint64)


def _words(seed: int, stream: int, rows: Words, cols: Words) -> Words:
    """64 random bits a pixel, (rows, cols)."""
    start = np.array([(seed * 0xD1342543DE82EF95 + stream * 0x2545F4914F6CDD1D) & _MASK], np.uint64)
    by_row = _mixed(_mixed(start) + rows)
    return _mixed(by_row[:, None] + cols[None, :] * _STEP)


def _mixed(words: Words) -> Words:
    """Spread each word's bits over all of it; one to one."""
    words = words + _STEP
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
