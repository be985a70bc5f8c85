"""Landscapes with known truth: the oracle of the tests, and a supplement to training data."""

from geocamss.simulate.climate import CLIMATES
from geocamss.simulate.files import DEFAULT_CRS, DEFAULT_ORIGIN, check_write, write
from geocamss.simulate.painter import (
    DEMO_SEED,
    MAX_PIXELS,
    SCHEME,
    TRAINING_SEEDS,
    Landscape,
    landscape,
)
from geocamss.simulate.spectra import BANDS

__all__ = [
    "BANDS",
    "CLIMATES",
    "DEFAULT_CRS",
    "DEFAULT_ORIGIN",
    "DEMO_SEED",
    "MAX_PIXELS",
    "SCHEME",
    "TRAINING_SEEDS",
    "Landscape",
    "check_write",
    "landscape",
    "write",
]
