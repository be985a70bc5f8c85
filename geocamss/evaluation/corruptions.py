"""Corruptions: what spoils an image, each at several strengths, as pure functions of the ground.

They work on values from 0 (as dark as it gets) to 1 (as bright as it gets). A pixel's result
depends on the pixels around it, on its place in the global lattice and on the seed, so that chips
which overlap see the same spoiled ground.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geocamss.errors import InputError
from geocamss.evaluation.chance import bells, smooth, uniforms
from geocamss.scene.bands import canonical_name
from geocamss.scene.window import Window

__all__ = ["CORRUPTIONS", "Corruption", "Patch", "chosen_corruptions"]

Floats = NDArray[np.float32]

FIELD_SPACING = 128
"""Clouds and their shadows are about this many pixels across."""

MOTION_ANGLE = math.radians(30)
"""Direction of motion, against the rows."""

LUMA = (0.299, 0.587, 0.114)
"""How much red, green and blue add to brightness (ITU-R BT.601)."""


@dataclass(frozen=True)
class Patch:
    """Pixels to be spoiled."""

    values: Floats
    """(C, height, width), 0 to 1 where the data are what the model knows; 0 where not valid."""

    valid: NDArray[np.bool_]
    """(height, width), True = usable."""

    window: Window
    """Where they lie, in the global lattice."""

    bands: tuple[str, ...]
    """Names of the bands."""

    seed: int
    """Chooses all that is random."""

    @property
    def rgb(self) -> list[int] | None:
        """Which bands are red, green and blue; None unless all are there."""
        return _rgb(self.bands)


@dataclass(frozen=True)
class Corruption:
    """A way to spoil an image."""

    name: str
    """What it is called."""

    unit: str
    """What its strength counts."""

    strengths: tuple[float, ...]
    """Those of the sweep; empty where they count bands."""

    apply: Callable[[Patch, float], Floats]
    """Gives the spoiled values, shaped as the patch's."""

    reach: Callable[[float], int] = lambda _: 0
    """Pixels around that a result depends on, by strength."""

    least_bands: int = 1
    """Bands that it takes."""

    colors: bool = False
    """Whether it takes red, green and blue."""

    def levels(self, bands: Sequence[str]) -> tuple[float, ...]:
        """The strengths for a model of these bands; empty where it makes no sense there."""
        if len(bands) < self.least_bands:
            return ()
        if self.colors and _rgb(bands) is None:
            return ()
        return self.strengths or tuple(float(i + 1) for i in range(len(bands)))


def _rgb(bands: Sequence[str]) -> list[int] | None:
    """Which bands are red, green and blue, however they are spelled; None unless all are there."""
    names = [canonical_name(name) for name in bands]
    colors = ("red", "green", "blue")
    return [names.index(color) for color in colors] if set(colors) <= set(names) else None


def gaussian_noise(patch: Patch, strength: float) -> Floats:
    """Add noise of a standard deviation, by itself in each band."""
    noise = [bells(patch.seed, band, patch.window) for band in range(len(patch.values))]
    return patch.values + np.float32(strength) * np.stack(noise)


def salt_and_pepper(patch: Patch, strength: float) -> Floats:
    """Turn a share of the pixels black or white, half of them each."""
    drawn = uniforms(patch.seed, 0, patch.window)
    spoiled = np.where(drawn < strength / 2, np.float32(0), patch.values)
    spoiled[:, (drawn >= strength / 2) & (drawn < strength)] = 1
    return spoiled


def gaussian_blur(patch: Patch, strength: float) -> Floats:
    """Blur with a Gaussian of a standard deviation in pixels, cut at three of them."""
    radius = _gaussian_reach(strength)
    offsets = range(-radius, radius + 1)
    weights = [math.exp(-0.5 * (k / strength) ** 2) for k in offsets]
    taps = [(k, w / sum(weights)) for k, w in zip(offsets, weights, strict=True)]
    return _blurred(patch, [[(k, 0, w) for k, w in taps], [(0, k, w) for k, w in taps]])


def motion_blur(patch: Patch, strength: float) -> Floats:
    """Blur along a line of a length in pixels."""
    return _blurred(patch, [_line(strength)])


def brightness(patch: Patch, strength: float) -> Floats:
    """Add to all values."""
    return patch.values + np.float32(strength)


def contrast(patch: Patch, strength: float) -> Floats:
    """Multiply the distance from middle gray."""
    return (patch.values - np.float32(0.5)) * np.float32(strength) + np.float32(0.5)


def saturation(patch: Patch, strength: float) -> Floats:
    """Multiply the distance from gray of the same brightness.

    Without red, green and blue, gray is the mean of all bands.
    """
    rgb = patch.rgb
    chosen = rgb if rgb is not None else list(range(len(patch.values)))
    weights = LUMA if rgb is not None else (1 / len(chosen),) * len(chosen)
    gray = np.zeros(patch.window.shape, np.float32)
    for band, weight in zip(chosen, weights, strict=True):
        gray += np.float32(weight) * patch.values[band]
    spoiled = patch.values.copy()
    for band in chosen:
        spoiled[band] = gray + np.float32(strength) * (patch.values[band] - gray)
    return spoiled


def hue(patch: Patch, strength: float) -> Floats:
    """Turn the hue by an angle in degrees; saturation and value of HSV stay."""
    rgb = patch.rgb
    if rgb is None:
        return patch.values
    spoiled = patch.values.copy()
    spoiled[rgb] = _turned(np.clip(patch.values[rgb], 0, 1), strength / 360)
    return spoiled


def haze(patch: Patch, strength: float) -> Floats:
    """Mix with bright, even light: strength is the share of the ground's own light that is lost."""
    share = np.float32(strength)
    return patch.values * (1 - share) + share * np.float32(0.85)


def thin_cloud(patch: Patch, strength: float) -> Floats:
    """Lay thin clouds over about half of the ground: strength is how dense they are at most."""
    field = smooth(patch.seed, 1, patch.window, FIELD_SPACING, octaves=6)
    density: Floats = np.float32(strength) * _rise(field, 0.42, 0.68)
    return patch.values * (1 - density) + density


def shadow(patch: Patch, strength: float) -> Floats:
    """Darken patches of the ground, as clouds do: strength is the share of light that is lost."""
    field = smooth(patch.seed, 2, patch.window, FIELD_SPACING, octaves=3)
    return patch.values * (1 - np.float32(strength) * _rise(field, 0.52, 0.58))


def dropped_band(patch: Patch, strength: float) -> Floats:
    """Make a band, counted from 1, one even gray."""
    spoiled = patch.values.copy()
    spoiled[int(strength) - 1] = 0.5
    return spoiled


def swapped_bands(patch: Patch, strength: float) -> Floats:
    """Swap a band, counted from 1, with the next one; the last one: all in reverse order."""
    order = list(range(len(patch.values)))
    band = int(strength) - 1
    if band == len(order) - 1:
        order.reverse()
    else:
        order[band], order[band + 1] = order[band + 1], order[band]
    return patch.values[order]


def coarser_gsd(patch: Patch, strength: float) -> Floats:
    """Take means of squares of pixels, and draw straight lines between their centers.

    The squares lie where the global lattice has them. Ground without a valid pixel adds nothing.
    """
    side = int(strength)
    weight = patch.valid.astype(np.float32)
    layers = np.concatenate([patch.values * weight, weight[None]])
    rows, down = _squares(patch.window.row, patch.window.height, side)
    cols, right = _squares(patch.window.col, patch.window.width, side)
    layers = _sum_by(_sum_by(layers, rows, 1), cols, 2)
    mean = layers[:-1] / np.maximum(layers[-1], np.float32(1))
    known = (layers[-1] > 0).astype(np.float32)
    field = np.concatenate([mean * known, known[None]])
    field = _between(_between(field, down, 1), right, 2)
    return np.where(
        field[-1] > 0, field[:-1] / np.maximum(field[-1], np.float32(1e-6)), patch.values
    )


def _gaussian_reach(strength: float) -> int:
    return max(1, math.ceil(3 * strength))


def _blurred(patch: Patch, passes: list[list[tuple[int, int, float]]]) -> Floats:
    """Weighted means of valid neighbors: (rows down, columns right, weight), pass by pass.

    Terms are added in the same order for every pixel.
    """
    weight = patch.valid.astype(np.float32)
    layers = np.concatenate([patch.values * weight, weight[None]])
    for taps in passes:
        layers = _shifted_sum(layers, taps)
    return np.where(patch.valid, layers[:-1] / np.maximum(layers[-1], np.float32(1e-6)), 0)


def _shifted_sum(layers: Floats, taps: list[tuple[int, int, float]]) -> Floats:
    radius = max(max(abs(down), abs(right)) for down, right, _ in taps)
    _, height, width = layers.shape
    wide = np.pad(layers, ((0, 0), (radius, radius), (radius, radius)))
    total = np.zeros_like(layers)
    for down, right, weight in taps:
        rows = slice(radius + down, radius + down + height)
        cols = slice(radius + right, radius + right + width)
        total += np.float32(weight) * wide[:, rows, cols]
    return total


def _line(length: float) -> list[tuple[int, int, float]]:
    """Weights of the pixels under a line through the center, each point shared by its four."""
    points = max(2, round(length * 4))
    weights: dict[tuple[int, int], float] = {}
    for index in range(points):
        along = (index / (points - 1) - 0.5) * (length - 1)
        down, right = along * math.sin(MOTION_ANGLE), along * math.cos(MOTION_ANGLE)
        row, col = math.floor(down), math.floor(right)
        for r, share_r in ((row, row + 1 - down), (row + 1, down - row)):
            for c, share_c in ((col, col + 1 - right), (col + 1, right - col)):
                weights[r, c] = weights.get((r, c), 0.0) + share_r * share_c / points
    return [(r, c, w) for (r, c), w in sorted(weights.items()) if w > 0]


def _turned(rgb: Floats, turn: float) -> Floats:
    """Hue turned by a share of the circle, (3, h, w) 0 to 1."""
    most, least = rgb.max(0), rgb.min(0)
    chroma = most - least
    divisor = np.where(chroma > 0, chroma, 1)
    red, green, blue = rgb
    place = np.where(
        most == red,
        (green - blue) / divisor % 6,
        np.where(most == green, (blue - red) / divisor + 2, (red - green) / divisor + 4),
    )  # of six sectors of the circle
    turned = []
    for start in (5, 3, 1):
        k = (start + place + 6 * turn) % 6
        turned.append(most - chroma * np.clip(np.minimum(k, 4 - k), 0, 1))
    return np.stack(turned).astype(np.float32)


def _rise(field: Floats, low: float, high: float) -> Floats:
    """A smooth step: 0 below ``low``, 1 above ``high``."""
    along: Floats = np.clip((field - np.float32(low)) / np.float32(high - low), 0, 1)
    return along * along * (3 - 2 * along)


def _squares(
    start: int, count: int, side: int
) -> tuple[NDArray[np.int64], tuple[NDArray[np.int64], NDArray[np.int64], Floats]]:
    """Along one axis: each pixel's square, the two whose centers it lies between, and how far."""
    places = np.arange(start, start + count, dtype=np.int64)
    first = start // side
    squares = places // side - first
    # Twice the place, in whole numbers: centers of squares of even sides fall between pixels.
    double = 2 * (places - first * side) + 1 - side
    low = double // (2 * side)
    along = ((double - low * 2 * side) / (2 * side)).astype(np.float32)
    last = int(squares[-1])
    return squares, (np.clip(low, 0, last), np.clip(low + 1, 0, last), along)


def _sum_by(layers: Floats, groups: NDArray[np.int64], axis: int) -> Floats:
    """Sums of runs of equal groups along an axis."""
    starts = np.flatnonzero(np.diff(groups, prepend=-1))
    return np.add.reduceat(layers, starts, axis=axis)


def _between(
    field: Floats, places: tuple[NDArray[np.int64], NDArray[np.int64], Floats], axis: int
) -> Floats:
    low, high, along = places
    share = along[:, None] if axis == 1 else along[None, :]
    near, far = np.take(field, low, axis=axis), np.take(field, high, axis=axis)
    result: Floats = near * (1 - share) + far * share
    return result


CORRUPTIONS: dict[str, Corruption] = {
    corruption.name: corruption
    for corruption in (
        Corruption("gaussian-noise", "standard deviation", (0.02, 0.05, 0.1, 0.2), gaussian_noise),
        Corruption(
            "motion-blur",
            "pixels",
            (3, 7, 11, 21),
            motion_blur,
            lambda strength: math.ceil(strength / 2) + 1,
        ),
        Corruption(
            "gaussian-blur", "sigma, pixels", (0.5, 1, 2, 4), gaussian_blur, _gaussian_reach
        ),
        Corruption("brightness", "added", (-0.3, -0.15, 0.15, 0.3), brightness),
        Corruption("contrast", "factor", (0.3, 0.6, 1.5, 2.5), contrast),
        Corruption("saturation", "factor", (0, 0.5, 1.5, 2.5), saturation, least_bands=2),
        Corruption("hue", "degrees", (15, 45, 90, 180), hue, colors=True),
        Corruption("salt-and-pepper", "share", (0.02, 0.1, 0.3, 0.5), salt_and_pepper),
        Corruption("haze", "light lost", (0.2, 0.4, 0.6), haze),
        Corruption("thin-cloud", "density", (0.3, 0.6, 0.9), thin_cloud),
        Corruption("shadow", "light lost", (0.3, 0.5, 0.7), shadow),
        Corruption("dropped-band", "band", (), dropped_band),
        Corruption("swapped-bands", "band", (), swapped_bands, least_bands=2),
        Corruption(
            "coarser-gsd", "times", (2, 4, 8), coarser_gsd, lambda strength: 2 * int(strength)
        ),
    )
}
"""By name, in the order of the report."""


def chosen_corruptions(names: Sequence[str]) -> tuple[Corruption, ...]:
    """Corruptions by name.

    Raises:
        InputError: one of them does not exist.
    """
    for name in names:
        if name not in CORRUPTIONS:
            raise InputError(
                f"no corruption is called {name!r}; there are {', '.join(CORRUPTIONS)}"
            )
    return tuple(corruption for name, corruption in CORRUPTIONS.items() if name in names)
