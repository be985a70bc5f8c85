"""Preview: one picture of the scene beside its map, with a legend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from geocamss.classes import NODATA, ClassScheme
from geocamss.output.areas import ClassArea
from geocamss.whole import whole

__all__ = ["render_preview", "stretch", "stretch_range", "stretch_ranges", "stretched"]

Bytes = NDArray[np.uint8]
Bools = NDArray[np.bool_]
RGB = tuple[int, int, int]
Range = tuple[float, float] | None

WIDTH = 1600
"""Of the picture at most, in pixels."""

PANEL_HEIGHT = 1000
"""Of scene and map at most."""

SMALLEST = 12
"""A panel is never thinner, even if the scene is one pixel wide."""

MARGIN = 24
GAP = 16
LINE = 28
COLUMN = 300
"""Width of a legend column, at least."""

MOST_ENTRIES = 40
"""Legend entries; smaller classes are summed up in the last one."""

PAPER: RGB = (255, 255, 255)
INK: RGB = (32, 33, 36)
FAINT: RGB = (110, 113, 118)
NO_DATA: RGB = (226, 228, 231)

Font = ImageFont.FreeTypeFont


def stretch(bands: NDArray[np.generic], valid: Bools) -> Bytes:
    """Make a picture of bands: each from its 2nd to its 98th percentile, over valid pixels.

    Three bands of uint8 are a picture already and are left as they are.

    Args:
        bands: (C, h, w) red, green and blue, or any; the first three, or the first as gray.
        valid: (h, w) True = usable.

    Returns:
        (h, w, 3) uint8, 0 where not valid.
    """
    return stretched(bands, valid, stretch_ranges(bands, valid))


def stretch_ranges(bands: NDArray[np.generic], valid: Bools) -> tuple[Range, ...]:
    """What is black and what is full in a picture of bands, for each band that it shows.

    A picture already, of three bands of uint8, has none; see ``stretch`` for the arguments.
    """
    if bands.ndim != 3 or bands.shape[1:] != valid.shape or not len(bands):
        raise ValueError(f"bands must be (C, h, w) over {valid.shape}, got {bands.shape}")
    if len(bands) < 3:
        return (stretch_range(bands[0], valid),)
    if bands.dtype == np.uint8:
        return ()
    return tuple(stretch_range(band, valid) for band in bands[:3])


def stretched(bands: NDArray[np.generic], valid: Bools, ranges: Sequence[Range]) -> Bytes:
    """Make a picture of bands by ranges that were found before, perhaps in a larger part of them.

    Args:
        bands: (C, h, w), as ``stretch`` takes them.
        valid: (h, w) True = usable.
        ranges: from ``stretch_ranges``.

    Returns:
        (h, w, 3) uint8, 0 where not valid.
    """
    chosen = bands[: len(ranges)] if ranges else bands[:3]
    if ranges:
        shown = (_shown(*pair, valid) for pair in zip(chosen, ranges, strict=True))
        chosen = np.stack(list(shown))
    picture = np.where(valid, chosen, 0).transpose(1, 2, 0)
    if picture.shape[2] == 1:
        picture = picture.repeat(3, axis=2)
    return np.ascontiguousarray(picture, dtype=np.uint8)


def stretch_range(band: NDArray[np.generic], valid: Bools) -> Range:
    """The values of a band that a picture of it shows black and full.

    They are its 2nd and 98th percentile over valid pixels; where these are one, its extremes. None
    without valid pixels, or where all are the same.
    """
    values = np.asarray(band.real, dtype=np.float64)
    usable = values[valid & np.isfinite(values)]
    if not usable.size:
        return None
    low, high = np.percentile(usable, (2, 98))
    if high <= low:
        low, high = usable.min(), usable.max()
    return (float(low), float(high)) if low < high else None


def _shown(band: NDArray[np.generic], shown: Range, valid: Bools) -> Bytes:
    values = np.asarray(band.real, dtype=np.float64)
    usable = valid & np.isfinite(values)
    if shown is None:
        return np.full(band.shape, 128 if usable.any() else 0, dtype=np.uint8)
    low, high = shown
    scaled = (np.where(usable, values, low) - low) * (255 / (high - low))
    return np.asarray(np.clip(np.rint(scaled), 0, 255), dtype=np.uint8)


def render_preview(
    scene: Bytes,
    valid: Bools,
    classes: Bytes,
    scheme: ClassScheme,
    areas: Sequence[ClassArea],
    *,
    target: Path,
) -> None:
    """Draw scene and map side by side, or one above the other if they are wide, as PNG.

    Args:
        scene: (h, w, 3) red, green and blue; see ``stretch``.
        valid: (h, w) True = the scene has data.
        classes: (h, w) class values, 255 = nodata; may have another resolution than the scene.
        scheme: names and colors.
        areas: shares of the legend.
        target: the file; it appears when it is complete.
    """
    panels = _Panels.of(classes.shape[0], classes.shape[1])
    entries = _entries(scheme, areas, has_nodata=bool((classes == NODATA).any()))
    legend = _Legend.of(entries, panels.width)
    width = max(panels.width, legend.width) + 2 * MARGIN
    page = Image.new("RGB", (width, panels.height + legend.height + 2 * MARGIN), PAPER)
    draw = ImageDraw.Draw(page)
    pictures = (
        (
            "Scene",
            np.where(valid[..., None], scene, np.array(NO_DATA, np.uint8)),
            Image.Resampling.BOX,
        ),
        ("Map", _colors(scheme)[classes], Image.Resampling.NEAREST),
    )
    for (name, pixels, resampling), (left, top) in zip(pictures, panels.corners, strict=True):
        draw.text((MARGIN + left, MARGIN + top - LINE), name, INK, _font(18))
        picture = _resized(np.ascontiguousarray(pixels, np.uint8), panels.size, resampling)
        page.paste(picture, (MARGIN + left, MARGIN + top))
    legend.draw(draw, MARGIN, MARGIN + panels.height + GAP)
    _save(page, target)


@dataclass(frozen=True)
class _Panels:
    """Where scene and map lie, within the margins."""

    size: tuple[int, int]
    """Width and height of each."""

    corners: tuple[tuple[int, int], tuple[int, int]]
    """Left and top of each."""

    width: int
    height: int

    @classmethod
    def of(cls, rows: int, columns: int) -> _Panels:
        room = WIDTH - 2 * MARGIN
        stacked = columns > 2 * rows
        widest = room if stacked else (room - GAP) // 2
        highest = (PANEL_HEIGHT - LINE) // 2 if stacked else PANEL_HEIGHT
        scale = min(widest / columns, highest / rows)
        if scale > 1:  # whole pixels, and no posters of a few of them
            scale = min(int(scale), max(1, 480 // max(rows, columns)))
        size = (
            min(max(round(columns * scale), SMALLEST), widest),
            min(max(round(rows * scale), SMALLEST), highest),
        )
        step = (0, size[1] + GAP + LINE) if stacked else (max(size[0], 80) + GAP, 0)
        return cls(
            size,
            ((0, LINE), (step[0], LINE + step[1])),
            step[0] + size[0],
            LINE + step[1] + size[1],
        )


@dataclass(frozen=True)
class _Entry:
    color: RGB
    name: str
    share: str


@dataclass(frozen=True)
class _Legend:
    """Entries in columns, read downward."""

    entries: tuple[_Entry, ...]
    rows: int
    column: int
    width: int
    height: int

    @classmethod
    def of(cls, entries: tuple[_Entry, ...], width: int) -> _Legend:
        width = min(max(width, 2 * COLUMN), WIDTH - 2 * MARGIN)
        columns = max(1, min(width // COLUMN, -(-len(entries) // 3)))
        rows = -(-len(entries) // columns)
        column = min(width // columns, COLUMN + 80)
        return cls(entries, rows, column, column * columns, rows * LINE + GAP)

    def draw(self, draw: ImageDraw.ImageDraw, left: int, top: int) -> None:
        font = _font(15)
        for index, entry in enumerate(self.entries):
            column, row = divmod(index, self.rows)
            x, y = left + column * self.column, top + row * LINE
            draw.rectangle((x, y + 3, x + 24, y + 19), entry.color, FAINT)
            end = x + self.column - 2 * GAP
            share = int(font.getlength(entry.share))
            draw.text((end - share, y + 1), entry.share, FAINT, font)
            name = _shortened(entry.name, end - share - 12 - (x + 34), font)
            draw.text((x + 34, y + 1), name, INK, font)


def _entries(
    scheme: ClassScheme, areas: Sequence[ClassArea], *, has_nodata: bool
) -> tuple[_Entry, ...]:
    """Legend lines: all classes in their order, or of many those that cover most."""
    shares = {area.value: area.share for area in areas}
    classes = list(scheme)
    rest: list[_Entry] = []
    if len(classes) > MOST_ENTRIES:
        seen = [c for c in classes if shares.get(c.value)]
        seen.sort(key=lambda c: -shares[c.value])
        seen = seen[: MOST_ENTRIES - 1]
        others = [c for c in classes if c not in seen]
        classes = seen
        share = sum(shares.get(c.value, 0.0) for c in others)
        rest.append(_Entry(PAPER, f"{len(others)} other classes", _percent(share)))
    if has_nodata:
        rest.append(_Entry(NO_DATA, "no data", ""))
    named = [_Entry(c.color, c.name, _percent(shares.get(c.value, 0.0))) for c in classes]
    return (*named, *rest)


def _percent(share: float) -> str:
    if 0 < share < 0.0005:
        return "< 0.1 %"
    return f"{100 * share:.1f} %"


def _colors(scheme: ClassScheme) -> Bytes:
    colors = np.full((256, 3), NO_DATA, dtype=np.uint8)
    for entry in scheme:
        colors[entry.value] = entry.color
    return colors


def _resized(pixels: Bytes, size: tuple[int, int], resampling: Image.Resampling) -> Image.Image:
    picture = Image.fromarray(pixels)
    larger = size[0] >= picture.width and size[1] >= picture.height
    return picture.resize(size, Image.Resampling.NEAREST if larger else resampling)


def _shortened(text: str, room: int, font: Font) -> str:
    """A text on one line that fits, with an ellipsis if something had to go."""
    text = " ".join(text.split())[:400]
    if font.getlength(text) <= room:
        return text
    while text and font.getlength(text + "…") > room:
        text = text[:-1]
    return text.rstrip() + "…"


@cache
def _font(size: int) -> Font:
    """DejaVu Sans, which comes along: Latin, Greek, Cyrillic and more, and alike everywhere."""
    font = resources.files("geocamss.output").joinpath("fonts/DejaVuSans.ttf").read_bytes()
    return ImageFont.truetype(BytesIO(font), size)


def _save(page: Image.Image, target: Path) -> None:
    with whole(target) as part:
        page.save(part, "PNG", optimize=True)
