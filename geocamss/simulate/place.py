"""Place: everything that is settled before the first pixel is painted."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from geocamss.simulate.climate import Climate
from geocamss.simulate.dice import Dice
from geocamss.simulate.fabric import FABRICS
from geocamss.simulate.frame import Bools, Floats, Frame
from geocamss.simulate.light import Light
from geocamss.simulate.noise import fractal
from geocamss.simulate.plan import Plan
from geocamss.simulate.survey import Survey

__all__ = ["Place"]


@dataclass(frozen=True)
class Place:
    """What the painters share."""

    seed: int
    frame: Frame
    climate: Climate
    light: Light
    plan: Plan
    survey: Survey

    @property
    def unit(self) -> float:
        """How many times its true size a thing is drawn."""
        return self.frame.unit

    def dice(self, name: str) -> Dice:
        """The random numbers of one painter."""
        return Dice(self.seed, name)

    def noise(
        self, name: str, longest: float, shortest: float = 0.0, roughness: float = 0.5
    ) -> Floats:
        """A field of fractal noise, as ``fractal`` says."""
        return fractal(self.seed, name, self.frame, longest, shortest, roughness=roughness)

    def by_use(self, values: dict[str, float], otherwise: float) -> Floats:
        """A number for each quarter by its use, float32 (quarters,)."""
        uses = self.plan.quarters.use
        return np.array([values.get(use, otherwise) for use in uses], dtype=np.float32)

    @cached_property
    def grain(self) -> Floats:
        """The fine noise of bare and grown ground."""
        return self.noise("grain", 8.0, 0.0, 0.8)

    @cached_property
    def leaves(self) -> Floats:
        """The fine noise of crowns."""
        return self.noise("leaves", 3.0, 0.0, 0.8)

    @property
    def town(self) -> Bools:
        """(height, width), True = in a built quarter."""
        return (self.by_use(dict.fromkeys(FABRICS, 1.0), 0.0) > 0)[self.survey.quarter]
