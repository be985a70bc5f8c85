"""Renderers: how QGIS draws classes, quantities and pictures, in its own words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree as ET

from geocamss.classes import Class, ClassScheme
from geocamss.output.colors import Color, Ramp
from geocamss.output.markup import add, add_options

__all__ = ["Picture", "class_pipe", "class_symbols", "picture_pipe", "ramp_pipe"]

_OUTLINE = "35,35,35,110"


@dataclass(frozen=True)
class Picture:
    """How a scene is shown."""

    bands: tuple[int, ...]
    """Bands from 1: red, green and blue, or one for gray."""

    ranges: tuple[tuple[float, float], ...] | None = None
    """The values of each band that are drawn black and full, in units of the scaled band; None
    draws the bands as they are."""

    alpha: int | None = None
    """The band that says where the scene is."""

    def __post_init__(self) -> None:
        if len(self.bands) not in (1, 3):
            raise ValueError(f"a picture has one band or three, got {self.bands!r}")
        if self.ranges is not None and len(self.ranges) != len(self.bands):
            raise ValueError(f"bands {self.bands!r} need a range each, got {self.ranges!r}")


def class_pipe(scheme: ClassScheme) -> ET.Element:
    """Draw a class raster: one color and label a value."""
    pipe, renderer = _pipe("paletted", band=1)
    palette = add(renderer, "colorPalette")
    for entry in scheme:
        add(
            palette,
            "paletteEntry",
            value=entry.value,
            color=entry.hex,
            alpha=255,
            label=entry.name,
        )
    return pipe


def ramp_pipe(ramp: Ramp) -> ET.Element:
    """Draw a raster of a quantity."""
    pipe, renderer = _pipe(
        "singlebandpseudocolor",
        band=ramp.band,
        classificationMin=ramp.low,
        classificationMax=ramp.high,
    )
    shader = add(
        add(renderer, "rastershader"),
        "colorrampshader",
        colorRampType="INTERPOLATED",
        classificationMode=1,
        clip=0,
        minimumValue=ramp.low,
        maximumValue=ramp.high,
        labelPrecision=4,
    )
    shader.append(_color_ramp(ramp))
    for value, color in ramp.stops():
        add(
            shader,
            "item",
            value=value,
            color="#{:02x}{:02x}{:02x}".format(*color[:3]),
            alpha=color[3],
            label=ramp.label(value),
        )
    return pipe


def picture_pipe(picture: Picture) -> ET.Element:
    """Draw a scene."""
    alpha = -1 if picture.alpha is None else picture.alpha
    if len(picture.bands) == 1:
        pipe, renderer = _pipe(
            "singlebandgray", alphaBand=alpha, grayBand=picture.bands[0], gradient="BlackToWhite"
        )
        tags = ["contrastEnhancement"]
    else:
        red, green, blue = picture.bands
        pipe, renderer = _pipe(
            "multibandcolor", alphaBand=alpha, redBand=red, greenBand=green, blueBand=blue
        )
        tags = [f"{color}ContrastEnhancement" for color in ("red", "green", "blue")]
    for tag, (low, high) in zip(tags, picture.ranges or (), strict=picture.ranges is not None):
        enhancement = add(renderer, tag)
        add(enhancement, "minValue", repr(float(low)))
        add(enhancement, "maxValue", repr(float(high)))
        add(enhancement, "algorithm", "StretchToMinimumMaximum")
    return pipe


def class_symbols(scheme: ClassScheme, numbers: Mapping[int, int] | None = None) -> ET.Element:
    """Draw polygons by their field ``class``: its color and a thin outline, one legend line each.

    Args:
        scheme: the classes.
        numbers: by class value, the number that the field has for it, if another.
    """
    renderer = add(
        None,
        "renderer-v2",
        type="categorizedSymbol",
        attr="class",
        enableorderby=0,
        forceraster=0,
        symbollevels=0,
    )
    categories = add(renderer, "categories")
    symbols = add(renderer, "symbols")
    for number, entry in enumerate(scheme):
        add(
            categories,
            "category",
            value=entry.value if numbers is None else numbers[entry.value],
            type="long",
            symbol=number,
            label=entry.name,
            render="true",
        )
        symbols.append(_fill(str(number), entry))
    return renderer


def _pipe(kind: str, *, alphaBand: int = -1, **attributes: Any) -> tuple[ET.Element, ET.Element]:  # noqa: N803 (a name of QGIS)
    """What a raster runs through until it is seen, and the renderer in it, to fill."""
    pipe = add(None, "pipe")
    renderer = add(
        pipe,
        "rasterrenderer",
        type=kind,
        opacity=1,
        alphaBand=alphaBand,
        nodataColor="",
        **attributes,
    )
    add(renderer, "rasterTransparency")
    add(pipe, "brightnesscontrast", brightness=0, contrast=0, gamma=1)
    add(pipe, "huesaturation", saturation=0, grayscaleMode=0, colorizeOn=0)
    add(pipe, "rasterresampler", maxOversampling=2)
    return pipe, renderer


def _color_ramp(ramp: Ramp) -> ET.Element:
    """The ramp as QGIS shows it in its dialog."""
    first, *between, last = ramp.colors
    share = 1 / (len(ramp.colors) - 1)
    stops = ":".join(f"{k * share:g};{_rgba(color)}" for k, color in enumerate(between, start=1))
    made = add(None, "colorramp", type="gradient", name="[source]")
    add_options(made, color1=_rgba(first), color2=_rgba(last), stops=stops, rampType="gradient")
    return made


def _fill(name: str, entry: Class) -> ET.Element:
    symbol = add(None, "symbol", type="fill", name=name, alpha=1, clip_to_extent=1, force_rhr=0)
    layer = add(symbol, "layer", _class="SimpleFill", enabled=1, locked=0, _pass=0)
    add_options(
        layer,
        color=_rgba((*entry.color, 255)),
        style="solid",
        outline_color=_OUTLINE,
        outline_style="solid",
        outline_width="0.1",
        outline_width_unit="MM",
        joinstyle="miter",
    )
    return symbol


def _rgba(color: Color) -> str:
    return ",".join(str(part) for part in color)
