"""Sensor: from reflectance to stored numbers, by way of air, optics and electronics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from geocamss.simulate.canvas import Canvas
from geocamss.simulate.dice import Dice
from geocamss.simulate.frame import Bytes, Floats, Frame
from geocamss.simulate.light import Light
from geocamss.simulate.spectra import WAVELENGTHS

__all__ = ["RGB", "Sensor", "observe", "reflectance", "to_picture", "to_stored"]

RGB = ("red", "green", "blue")
"""The bands that are stored as a picture; any other set is stored as reflectance."""


@dataclass(frozen=True)
class Sensor:
    """How a landscape is seen."""

    blur: float
    """Standard deviation of the point spread, in pixels."""

    noise: float
    """Standard deviation of the noise at reflectance 0.25."""

    haze: float
    """Reflectance that the air adds at 0.56 micrometers."""

    vignette: float
    """Loss of light in the corners, 0 to 1."""

    black: float
    """Reflectance that a picture shows as black."""

    white: float
    """Reflectance that a picture shows as white."""

    gamma: float
    """Exponent of a picture's tone curve."""

    tint: tuple[float, float, float]
    """Gain of a picture's red, green and blue."""

    saturation: float
    """Strength of a picture's colors; 1 = as they are."""

    @classmethod
    def draw(cls, seed: int, brightness: float) -> Sensor:
        """Draw a sensor, exposed for a landscape of the brightness given, as a reflectance."""
        dice = Dice(seed, "sensor")
        haze = dice.uniform(0.0, 0.035)
        return cls(
            blur=dice.uniform(0.45, 0.85),
            noise=dice.uniform(0.002, 0.010),
            haze=haze,
            vignette=dice.uniform(0.0, 0.12),
            black=haze * dice.uniform(0.2, 1.0) + dice.uniform(0.0, 0.02),
            white=min(0.8, max(0.16, brightness * dice.uniform(1.05, 1.9))),
            gamma=dice.uniform(0.5, 1.0),
            tint=(dice.uniform(0.92, 1.08), 1.0, dice.uniform(0.9, 1.1)),
            saturation=dice.uniform(0.6, 1.3),
        )


def reflectance(canvas: Canvas, light: Light, band: str) -> Floats:
    """Reflectance of the lit landscape in one band, float32 (height, width)."""
    table = canvas.palette.band(band)
    ground = table[canvas.cover]
    ground += canvas.share * (table[canvas.other] - ground)
    # Skylight is blue: shadows are darker at longer wavelengths.
    skylight = light.shade * min(1.35, max(0.6, (0.56 / WAVELENGTHS[band]) ** 0.5))
    ground *= canvas.gain * (1 - canvas.shadow * np.float32(1 - skylight))
    return ground


def observe(seed: int, frame: Frame, sensor: Sensor, band: str, scene: Floats) -> Floats:
    """What the sensor measures: blurred, veiled, and noisy."""
    seen = _blur(scene, sensor.blur)
    if sensor.vignette:
        x = (frame.x / frame.size[0] - 0.5).astype(np.float32)
        y = (frame.y / frame.size[1] - 0.5).astype(np.float32)
        seen *= 1 - np.float32(2 * sensor.vignette) * (x * x + y * y)
    veil = sensor.haze * (0.56 / WAVELENGTHS[band]) ** 2.5
    seen *= np.float32(1 - veil)
    seen += np.float32(veil)
    spread = np.float32(2 * sensor.noise) * np.sqrt(np.maximum(seen, np.float32(0.01)))
    seen += spread * Dice(seed, f"noise {band}").bells(seen.shape)
    return seen


def to_stored(seen: Sequence[Floats]) -> np.ndarray:
    """Reflectance times 10,000, uint16 (bands, height, width), 1 to 65,535."""
    return np.stack(
        [np.clip(band * 10_000 + np.float32(0.5), 1, 65_535).astype(np.uint16) for band in seen]
    )


def to_picture(sensor: Sensor, seen: Sequence[Floats]) -> Bytes:
    """A picture, uint8 (3, height, width), 1 to 255, by the sensor's tone curve."""
    gray = (seen[0] + seen[1] + seen[2]) * np.float32(1 / 3)
    steps = 4096
    curve = np.clip(np.arange(steps) / (steps - 1), 0, 1) ** sensor.gamma
    tones = np.clip(np.rint(255 * curve), 1, 255).astype(np.uint8)
    result = []
    for band, tint in zip(seen, sensor.tint, strict=True):
        vivid = gray + np.float32(sensor.saturation) * (band - gray)
        scale = np.float32(tint * (steps - 1) / (sensor.white - sensor.black))
        level = np.clip((vivid - np.float32(sensor.black)) * scale, 0, steps - 1)
        result.append(tones[level.astype(np.intp)])
    return np.stack(result)


def _blur(values: Floats, sigma: float) -> Floats:
    """Separable blur with a five-pixel bell; edges repeat."""
    weights = np.exp(-0.5 * (np.arange(3) / sigma) ** 2)
    weights = (weights / (weights[0] + 2 * weights[1] + 2 * weights[2])).astype(np.float32)
    for _ in range(2):
        padded = np.pad(values, ((2, 2), (0, 0)), mode="edge")
        count = len(values)
        result = padded[2 : 2 + count] * weights[0]
        for k in (1, 2):
            result += (padded[2 - k : 2 - k + count] + padded[2 + k : 2 + k + count]) * weights[k]
        values = result.T
    return np.ascontiguousarray(values)
