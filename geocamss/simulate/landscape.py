"""Landscape: a painted scene and its truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from geocamss.classes import NODATA, Class, ClassScheme
from geocamss.errors import BandError, GridError, InputError
from geocamss.simulate import buildings, ground, roads, sensor, water, woods
from geocamss.simulate.canvas import BUILDING, ROAD, WATER, Canvas
from geocamss.simulate.climate import CLIMATES
from geocamss.simulate.dice import Dice
from geocamss.simulate.frame import Bools, Bytes, Frame
from geocamss.simulate.light import Light
from geocamss.simulate.plan import make_plan
from geocamss.simulate.spectra import BANDS, Palette
from geocamss.simulate.survey import make_survey

__all__ = ["DEMO_SEED", "MAX_PIXELS", "SCHEME", "TRAINING_SEEDS", "Landscape", "landscape"]

SCHEME = ClassScheme(
    (
        Class(0, "land", (0xD9, 0xC7, 0xA0)),
        Class(1, "water", (0x3D, 0x85, 0xC6)),
        Class(2, "building", (0xC0, 0x39, 0x2B)),
        Class(3, "vegetation", (0x5A, 0x9E, 0x4B)),
        Class(4, "road", (0x6B, 0x6B, 0x6B)),
    )
)
"""The classes of every landscape's truth."""

TRAINING_SEEDS = range(100_000)
"""Seeds that models may be trained on; no other seed is ever in a training set."""

DEMO_SEED = 1_000_003
"""Seed of the demo scene; not among the training seeds."""

MIN_SIDE = 16
"""No landscape is narrower, in pixels."""

MAX_PIXELS = 2**26
"""No landscape has more pixels: painting takes some 150 bytes a pixel."""


@dataclass(frozen=True)
class Landscape:
    """A scene and its truth, pixel for pixel."""

    image: np.ndarray
    """(bands, height, width): uint8 for red, green and blue; uint16 reflectance times 10,000 for
    any other set of bands. 0 = nodata, and nothing else is 0."""

    classes: Bytes
    """The truth, uint8 (height, width): values of the scheme; 255 = nodata."""

    valid: Bools
    """(height, width), True = has data."""

    gsd: float
    """Ground sample distance, in meters."""

    bands: tuple[str, ...]
    """Names of the bands, in the image's order."""

    scheme: ClassScheme
    """What the truth's values mean."""


def landscape(
    seed: int,
    height: int,
    width: int,
    *,
    gsd: float = 0.5,
    bands: Sequence[str] = sensor.RGB,
    nodata_corners: bool = True,
    climate: str | None = None,
) -> Landscape:
    """Paint a landscape: a pure function of its arguments.

    Everything is laid out in meters, so that a larger GSD shows more ground in less detail. Above
    a GSD of 2 m things are drawn larger than they are, as on a map of small scale.

    Args:
        seed: At least 0; each seed is another place, season, sun and sensor.
        height: Rows.
        width: Columns.
        gsd: Ground sample distance, in meters.
        bands: Names of ``BANDS``. Red, green and blue alone give a picture (uint8); any other set
            gives reflectance (uint16).
        nodata_corners: Whether the corners are cut off, as those of a warped scene are.
        climate: A name of ``CLIMATES``; None = drawn by the seed.

    Raises:
        BandError: A band is not known, or named twice.
        GridError: The size or the GSD is out of range.
        InputError: The seed or the climate is out of range.
    """
    _check(seed, height, width, gsd, bands, climate)
    frame = Frame(height, width, gsd)
    names = tuple(climate for climate in CLIMATES)
    kind = CLIMATES[climate or Dice(seed, "climate").pick(names, (3, 3, 2, 2))]
    palette = Palette(Dice(seed, "palette"))
    light = Light.draw(seed)
    plan = make_plan(seed, frame, kind)
    survey = make_survey(frame, plan)
    canvas = Canvas(frame)
    ground.paint_ground(seed, canvas, palette, kind, plan, survey)
    flood = water.paint_water(seed, canvas, palette, kind, plan, survey)
    woods.paint_woods(seed, canvas, palette, kind, plan, survey, light, ~flood.near)
    taken = roads.paint_roads(seed, canvas, palette, kind, plan, survey, flood) | flood.near
    buildings.paint_buildings(seed, canvas, palette, kind, plan, light, taken)
    free = (canvas.classes != WATER) & (canvas.classes != BUILDING) & (canvas.classes != ROAD)
    woods.paint_trees(seed, canvas, palette, kind, plan, survey, light, free)
    image = _observe(seed, canvas, palette, light, tuple(bands))
    valid = _valid(seed, frame) if nodata_corners else np.ones((height, width), dtype=np.bool_)
    image[:, ~valid] = 0
    return Landscape(
        image=image,
        classes=np.where(valid, canvas.classes, np.uint8(NODATA)),
        valid=valid,
        gsd=gsd,
        bands=tuple(bands),
        scheme=SCHEME,
    )


def _check(
    seed: int, height: int, width: int, gsd: float, bands: Sequence[str], climate: str | None
) -> None:
    if seed < 0:
        raise InputError(f"seed must be at least 0, got {seed}")
    if min(height, width) < MIN_SIDE or height * width > MAX_PIXELS:
        raise GridError(
            f"a landscape has sides of at least {MIN_SIDE} pixels and at most {MAX_PIXELS:,} "
            f"pixels in all, got {width}x{height}; paint several with different seeds"
        )
    if not 0.05 <= gsd <= 1000:
        raise GridError(f"gsd must be 0.05 to 1000 m, got {gsd}")
    for name in bands:
        if name not in BANDS:
            raise BandError(f"band {name!r} cannot be painted; choose from {', '.join(BANDS)}")
    if not bands or len(set(bands)) != len(bands):
        raise BandError(f"bands must be one or more different names, got {', '.join(bands)!r}")
    if climate is not None and climate not in CLIMATES:
        raise InputError(f"climate {climate!r} is not known; choose from {', '.join(CLIMATES)}")


def _observe(
    seed: int, canvas: Canvas, palette: Palette, light: Light, bands: tuple[str, ...]
) -> np.ndarray:
    scenes = [sensor.reflectance(canvas, palette, light, band) for band in bands]
    # A picture is exposed for its brightest tenth: sand needs less light than woods.
    bright = float(np.sort(scenes[0][::8, ::8], axis=None)[-max(1, scenes[0][::8, ::8].size // 4)])
    how = sensor.Sensor.draw(seed, bright / 2)
    seen = [
        sensor.observe(seed, canvas.frame, how, band, scene)
        for band, scene in zip(bands, scenes, strict=True)
    ]
    if bands == sensor.RGB:
        return sensor.to_picture(how, seen)
    return sensor.to_stored(seen)


def _valid(seed: int, frame: Frame) -> Bools:
    """Cut one to four corners by slanted lines, at most a twentieth of the frame in all."""
    dice = Dice(seed, "corners")
    x, y = frame.x / frame.size[0], frame.y / frame.size[1]
    valid: Bools = np.ones((frame.height, frame.width), dtype=np.bool_)
    sure = dice.integer(0, 3)
    for corner in range(4):
        a, b = dice.uniform(0.06, 0.22), dice.uniform(0.06, 0.22)
        if corner != sure and dice.chance(0.6):
            continue
        from_x = x if corner % 2 == 0 else 1 - x
        from_y = y if corner < 2 else 1 - y
        valid &= from_x / a + from_y / b > 1
    return valid
