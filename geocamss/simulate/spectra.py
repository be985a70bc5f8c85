"""Spectra: what each material reflects in each band."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from geocamss.simulate.dice import Dice
from geocamss.simulate.frame import Floats

__all__ = ["BANDS", "MATERIALS", "PLANTS", "WAVELENGTHS", "Palette"]

WAVELENGTHS = {
    "coastal": 0.443,
    "blue": 0.490,
    "green": 0.560,
    "red": 0.665,
    "rededge1": 0.705,
    "rededge2": 0.740,
    "rededge3": 0.783,
    "nir": 0.842,
    "nir08": 0.865,
    "swir1": 1.610,
    "swir2": 2.190,
}
"""Band centers, in micrometers."""

BANDS = tuple(WAVELENGTHS)
"""The bands that can be painted."""

MATERIALS: dict[str, tuple[float, ...]] = {
    # bare ground: rises with wavelength
    "pale sand": (0.29, 0.34, 0.42, 0.49, 0.51, 0.52, 0.54, 0.55, 0.56, 0.62, 0.56),
    "sand": (0.16, 0.20, 0.28, 0.36, 0.38, 0.40, 0.42, 0.44, 0.45, 0.52, 0.47),
    "soil": (0.06, 0.08, 0.115, 0.155, 0.17, 0.19, 0.21, 0.23, 0.24, 0.33, 0.28),
    "dark soil": (0.04, 0.05, 0.07, 0.09, 0.10, 0.115, 0.13, 0.145, 0.155, 0.22, 0.19),
    "red soil": (0.05, 0.06, 0.10, 0.21, 0.24, 0.26, 0.28, 0.30, 0.31, 0.38, 0.32),
    "gravel": (0.15, 0.17, 0.20, 0.225, 0.235, 0.24, 0.25, 0.26, 0.265, 0.31, 0.29),
    "concrete": (0.24, 0.27, 0.30, 0.325, 0.335, 0.34, 0.35, 0.355, 0.36, 0.38, 0.36),
    "stubble": (0.08, 0.10, 0.16, 0.225, 0.255, 0.28, 0.30, 0.32, 0.33, 0.38, 0.30),
    "dry grass": (0.05, 0.065, 0.12, 0.165, 0.20, 0.235, 0.26, 0.28, 0.29, 0.34, 0.26),
    "wet sand": (0.08, 0.10, 0.14, 0.18, 0.19, 0.20, 0.21, 0.22, 0.22, 0.20, 0.16),
    # plants: dark red, a steep red edge, bright near infrared, water bands in the short wave
    "grass": (0.03, 0.042, 0.092, 0.062, 0.12, 0.28, 0.36, 0.40, 0.41, 0.24, 0.13),
    "lawn": (0.025, 0.033, 0.085, 0.045, 0.10, 0.30, 0.40, 0.45, 0.46, 0.22, 0.11),
    "crop": (0.022, 0.030, 0.072, 0.036, 0.085, 0.31, 0.42, 0.48, 0.49, 0.21, 0.10),
    "young crop": (0.035, 0.048, 0.098, 0.078, 0.13, 0.26, 0.33, 0.37, 0.38, 0.26, 0.17),
    "broadleaf": (0.018, 0.024, 0.052, 0.032, 0.07, 0.24, 0.32, 0.36, 0.37, 0.18, 0.08),
    "conifer": (0.014, 0.019, 0.035, 0.023, 0.045, 0.14, 0.19, 0.22, 0.23, 0.11, 0.05),
    "scrub": (0.035, 0.045, 0.074, 0.066, 0.10, 0.17, 0.22, 0.25, 0.26, 0.20, 0.13),
    # water: dark, and black in the infrared
    "clear water": (0.048, 0.044, 0.034, 0.015, 0.010, 0.007, 0.006, 0.005, 0.005, 0.002, 0.001),
    "black water": (0.018, 0.017, 0.017, 0.013, 0.010, 0.007, 0.006, 0.005, 0.005, 0.002, 0.001),
    "green water": (0.026, 0.030, 0.056, 0.026, 0.020, 0.012, 0.010, 0.008, 0.007, 0.003, 0.002),
    "turbid water": (0.055, 0.068, 0.098, 0.088, 0.068, 0.035, 0.03, 0.025, 0.022, 0.006, 0.004),
    "shallow water": (0.10, 0.115, 0.125, 0.075, 0.05, 0.030, 0.025, 0.020, 0.018, 0.006, 0.004),
    # roads: flat
    "asphalt": (0.065, 0.070, 0.078, 0.085, 0.088, 0.09, 0.095, 0.10, 0.10, 0.125, 0.12),
    "old asphalt": (0.115, 0.125, 0.138, 0.15, 0.155, 0.16, 0.165, 0.17, 0.175, 0.20, 0.19),
    "paint": (0.48, 0.52, 0.55, 0.56, 0.56, 0.56, 0.56, 0.56, 0.56, 0.50, 0.45),
    # roofs
    "red tile": (0.06, 0.07, 0.105, 0.24, 0.27, 0.29, 0.30, 0.31, 0.32, 0.36, 0.34),
    "brown tile": (0.055, 0.065, 0.085, 0.13, 0.15, 0.165, 0.18, 0.19, 0.20, 0.25, 0.24),
    "slate": (0.062, 0.068, 0.074, 0.078, 0.08, 0.083, 0.087, 0.09, 0.09, 0.11, 0.10),
    "bitumen": (0.10, 0.107, 0.114, 0.12, 0.122, 0.125, 0.127, 0.13, 0.13, 0.14, 0.135),
    "gravel roof": (0.21, 0.23, 0.255, 0.27, 0.275, 0.28, 0.285, 0.29, 0.29, 0.31, 0.30),
    "white roof": (0.50, 0.56, 0.59, 0.60, 0.60, 0.60, 0.60, 0.60, 0.60, 0.54, 0.48),
    "cream roof": (0.34, 0.39, 0.45, 0.49, 0.50, 0.51, 0.52, 0.52, 0.53, 0.52, 0.47),
    "metal": (0.30, 0.33, 0.34, 0.345, 0.345, 0.34, 0.34, 0.335, 0.33, 0.30, 0.27),
    "rusty metal": (0.09, 0.10, 0.13, 0.20, 0.22, 0.23, 0.24, 0.25, 0.255, 0.30, 0.28),
    "blue metal": (0.22, 0.28, 0.22, 0.11, 0.10, 0.11, 0.14, 0.18, 0.19, 0.20, 0.17),
    "green metal": (0.07, 0.09, 0.15, 0.09, 0.10, 0.13, 0.16, 0.18, 0.19, 0.20, 0.17),
}
"""Reflectance, 0 to 1, band by band as in ``BANDS``."""


PLANTS = frozenset(("grass", "lawn", "crop", "young crop", "broadleaf", "conifer", "scrub"))
"""Materials that the season changes."""


class Palette:
    """The materials of one landscape: variants of those above, one row each."""

    def __init__(self, dice: Dice) -> None:
        self._dice = dice
        self._rows: list[npt.NDArray[np.float64]] = []
        # Late in a dry season plants are paler; on a poor soil they are darker and grayer.
        self._drought = max(0.0, dice.uniform(-0.25, 0.45))
        self._vigor = dice.uniform(0.7, 1.25)

    def add(self, material: str, *, spread: float = 0.0) -> int:
        """Add a material and give its row; its brightness and slope vary by the spread given."""
        base = np.array(MATERIALS[material])
        if material in PLANTS:
            dry = np.array(MATERIALS["dry grass"])
            base = self._vigor * ((1 - self._drought) * base + 0.6 * self._drought * dry)
        bright = 1.0 + self._dice.uniform(-spread, spread)
        slope = self._dice.uniform(-spread, spread) * 0.4
        tilt = 1.0 + slope * np.linspace(-1.0, 1.0, len(BANDS))
        self._rows.append(np.clip(base * bright * tilt, 0.001, 0.9))
        return len(self._rows) - 1

    def any_of(self, weights: Mapping[str, float], *, spread: float = 0.0) -> int:
        """Add one of several materials, by weight, and give its row."""
        return self.add(self._dice.pick(list(weights), list(weights.values())), spread=spread)

    def variants(
        self, weights: Mapping[str, float], count: int, *, spread: float, kinds: int | None = None
    ) -> list[int]:
        """Add several materials, of a number of kinds that are drawn by weight."""
        names = self._dice.picks(list(weights), kinds or count, list(weights.values()))
        return [self.add(names[k % len(names)], spread=spread) for k in range(count)]

    def blend(self, first: int, second: int, share: float) -> int:
        """Add a mixture of two rows and give its row."""
        self._rows.append((1 - share) * self._rows[first] + share * self._rows[second])
        return len(self._rows) - 1

    def band(self, name: str) -> Floats:
        """Reflectance of each row in one band, float32 (rows,)."""
        column = BANDS.index(name)
        return np.array([row[column] for row in self._rows], dtype=np.float32)
