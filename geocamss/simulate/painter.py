"""Painter: a seed in, a landscape and its truth out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from geocamss.classes import NODATA, Class, ClassScheme
from geocamss.errors import BandError, GridError, InputError
from geocamss.simulate import sensor
from geocamss.simulate.buildings import paint_buildings
from geocamss.simulate.canvas import Canvas
from geocamss.simulate.climate import CLIMATES, Climate
from geocamss.simulate.dice import Dice
from geocamss.simulate.frame import Bools, Bytes, Frame
from geocamss.simulate.ground import paint_ground
from geocamss.simulate.light import Light
from geocamss.simulate.place import Place
from geocamss.simulate.plan import make_plan
from geocamss.simulate.roads import paint_roads
from geocamss.simulate.spectra import BANDS, Palette
from geocamss.simulate.survey import make_survey
from geocamss.simulate.traffic import paint_traffic
from geocamss.simulate.trees import paint_trees
from geocamss.simulate.water import paint_water
from geocamss.simulate.woods import paint_woods

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

DEMO_SEED = 1_000_013
"""Seed of the demo scene; not among the training seeds."""

MIN_SIDE = 16
"""No landscape is narrower, in pixels."""

MIN_GSD, MAX_GSD = 0.05, 1000.0
"""Meters."""

MAX_PIXELS = 2**25
"""No landscape has more pixels: painting takes some 200 bytes a pixel."""


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
    _check_size(height, width, gsd)
    _check_bands(bands)
    frame = Frame(height, width, gsd)
    kind = _climate(seed, climate)
    plan = make_plan(seed, frame, kind)
    survey = make_survey(frame, plan)
    place = Place(seed, frame, kind, Light.draw(seed), plan, survey)
    canvas = _paint(place)
    image = _observe(place, canvas, tuple(bands))
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


def _check_size(height: int, width: int, gsd: float) -> None:
    if min(height, width) < MIN_SIDE or height * width > MAX_PIXELS:
        raise GridError(
            f"a landscape has sides of at least {MIN_SIDE} pixels and at most {MAX_PIXELS:,} "
            f"pixels in all, got {width}x{height}; paint several with different seeds"
        )
    if not MIN_GSD <= gsd <= MAX_GSD:
        raise GridError(f"the GSD of a landscape is {MIN_GSD} to {MAX_GSD} m, got {gsd}")


def _check_bands(bands: Sequence[str]) -> None:
    for name in bands:
        if name not in BANDS:
            raise BandError(f"band {name!r} cannot be painted; choose from {', '.join(BANDS)}")
    if not bands or len(set(bands)) != len(bands):
        raise BandError(f"bands must be one or more different names, got {', '.join(bands)!r}")


def _climate(seed: int, name: str | None) -> Climate:
    if seed < 0:
        raise InputError(f"seed must be at least 0, got {seed}")
    if name is None:
        return CLIMATES[Dice(seed, "climate").pick(tuple(CLIMATES), (3, 3, 2, 2))]
    if name not in CLIMATES:
        raise InputError(f"climate {name!r} is not known; choose from {', '.join(CLIMATES)}")
    return CLIMATES[name]


def _paint(place: Place) -> Canvas:
    """Ground first, then what stands on it."""
    canvas = Canvas(place.frame, Palette(place.dice("palette")))
    paint_ground(place, canvas)
    water = paint_water(place, canvas)
    paint_woods(place, canvas, ~water.near)
    roads = paint_roads(place, canvas, water)
    buildings = paint_buildings(place, canvas, roads.taken | water.near)
    paint_traffic(place, canvas, roads.surface, buildings)
    paint_trees(place, canvas)
    return canvas


def _observe(place: Place, canvas: Canvas, bands: tuple[str, ...]) -> np.ndarray:
    scenes = [sensor.reflectance(canvas, place.light, band) for band in bands]
    how = sensor.Sensor.draw(place.seed, _brightness(place, canvas))
    seen = [
        sensor.observe(place.seed, place.frame, how, band, scene)
        for band, scene in zip(bands, scenes, strict=True)
    ]
    if bands == sensor.RGB:
        return sensor.to_picture(how, seen)
    return sensor.to_stored(seen)


def _brightness(place: Place, canvas: Canvas) -> float:
    """Reflectance below which nine tenths of the ground are: sand needs less light than woods."""
    step = max(1, round(2 / place.frame.gsd))
    green = np.sort(sensor.reflectance(canvas, place.light, "green")[::step, ::step], axis=None)
    return float(green[int(0.9 * len(green))])


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
