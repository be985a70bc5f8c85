"""Page: a map as one HTML file to look at, which needs nothing else and asks no network.

The pixels that the page holds are pixels of the map, every so many of them where the map is
large; none is blended from several. A class and a confidence that the page tells are therefore
those of the pixel whose place it tells.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib import resources
from io import BytesIO
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pyproj.exceptions import CRSError, ProjError
from rasterio.crs import CRS
from rasterio.transform import Affine

import geocamss
from geocamss.classes import ClassScheme
from geocamss.errors import RunError
from geocamss.hypertext import escape
from geocamss.output.areas import ClassArea
from geocamss.output.classmap import ClassMap
from geocamss.output.colors import CONFIDENCE
from geocamss.output.lonlat import LonLat
from geocamss.output.png import class_png, gray_png
from geocamss.scene.ground import ground_scale
from geocamss.scene.reduced import centers
from geocamss.whole import whole

__all__ = ["PAGE_BYTES", "PAGE_SIDE", "Level", "Page", "Pixels", "write_page"]

Bytes = NDArray[np.uint8]

PAGE_BYTES = 9_500_000
"""A page is never larger: mail and browsers take it."""

PAGE_SIDE = 2048
"""A page holds at most this many pixels of the map along a side."""

QUALITY = 82
"""Of the scene's picture, as WebP counts."""

SMALL = 512
"""Pictures up to this side are kept without loss: they cost next to nothing."""


@dataclass(frozen=True)
class Level:
    """A resolution in which pixels are there."""

    step: int
    """Pixels of the map, each way, for one of the level; it gives the level its name."""

    columns: int
    rows: int

    def cell(self, shape: tuple[int, int]) -> tuple[float, float]:
        """Width and height of a pixel of the level, where the level has no rest.

        A little less than ``step`` where the map's sides are no multiples of it: as in the
        overviews of rasters, the level's pixels share the map evenly.

        Args:
            shape: height and width of the map, in its pixels.
        """
        return shape[1] / self.columns, shape[0] / self.rows


@dataclass(frozen=True)
class Pixels:
    """What a page holds of a map."""

    step: int
    """Pixels of the map, each way, for one of these."""

    offset: int
    """Which of them it is, from 0; at the map's far edges it may be an earlier one."""

    classes: Bytes
    """(h, w) class values, 255 = nodata."""

    confidence: Bytes | None
    """(h, w) percent, 255 = none known."""

    @classmethod
    def of(cls, source: ClassMap, side: int = PAGE_SIDE) -> Self:
        """Take every so many pixels of a map, until no side has more than ``side``.

        Raises:
            ReadError: pixels cannot be read.
        """
        step = -(-max(source.height, source.width) // side)
        wanted, columns = centers(source.height, step), centers(source.width, step)
        kinds, percents = [], []
        for band in source.bands():
            inside = wanted[(wanted >= band.row) & (wanted < band.row + len(band.classes))]
            kinds.append(band.classes[inside - band.row][:, columns])
            if band.confidence is not None:
                percents.append(band.confidence[inside - band.row][:, columns])
        confidence = np.concatenate(percents) if percents else None
        return cls(step, step // 2, np.concatenate(kinds), confidence)


@dataclass(frozen=True)
class Page:
    """What a page says of a map, whichever way the pixels come to it."""

    title: str
    """Stands on top."""

    scheme: ClassScheme
    """Names and colors."""

    areas: Sequence[ClassArea]
    """Of the classes, for the legend."""

    crs: CRS | None
    """Of the map; None in pixel space."""

    transform: Affine
    """Pixel to coordinates."""

    shape: tuple[int, int]
    """Height and width of the map, in pixels."""

    facts: Mapping[str, object] = field(default_factory=dict)
    """What else to tell, by name."""

    subtitle: str = ""
    """Stands beneath the title, before the size."""

    def embedded(self, pixels: Pixels, scene: Image.Image | None) -> str:
        """The page with its pixels inside, as HTML.

        Args:
            pixels: of the map.
            scene: picture of the same extent; its resolution may be another.
        """
        height, width = pixels.classes.shape
        pictures = {"classes": _uri("png", class_png(pixels.classes, self.scheme))}
        if pixels.confidence is not None:
            pictures["confidence"] = _uri("png", gray_png(pixels.confidence))
        if scene is not None:
            pictures = {"scene": _uri("webp", _webp(scene))} | pictures
        names = {"scene": "The scene", "classes": "The class map", "confidence": "The confidence"}
        shown = "".join(
            f'<img id="picture-{layer}" alt="{names[layer]}" src="{uri}">'
            for layer, uri in pictures.items()
        )
        level = asdict_level(Level(pixels.step, width, height))
        level |= {"cell": (pixels.step, pixels.step), "offset": pixels.offset}
        note = {}
        if pixels.step > 1:
            note["Detail"] = (
                f"one pixel in {pixels.step} of the map is shown, each way; areas count them all"
            )
        data = {"served": False, "levels": [level], "tile": max(height, width)}
        return self._html(data, shown, tuple(pictures), note)

    def served(self, levels: Sequence[Level], tile: int, layers: Sequence[str]) -> str:
        """The page for a server that hands out tiles, as HTML.

        Args:
            levels: in which there are tiles, from step 1 on.
            tile: side of a tile, in its own pixels.
            layers: what there are tiles of: ``scene``, ``classes``, ``confidence``.
        """
        data = {
            "served": True,
            "levels": [
                asdict_level(level) | {"cell": level.cell(self.shape), "offset": 0}
                for level in levels
            ],
            "tile": tile,
        }
        return self._html(data, "", tuple(layers), {})

    @property
    def policy(self) -> str:
        """What the page may load, as browsers are told: its own style and script alone."""
        return self._policy(served=False)

    def _policy(self, *, served: bool) -> str:
        style, script = (_digest(_asset(name)) for name in ("page.css", "page.js"))
        own = " 'self'" if served else ""
        rules = [
            "default-src 'none'",
            f"img-src data:{own}",
            f"style-src '{style}'",
            f"script-src '{script}'",
            "base-uri 'none'",
            "form-action 'none'",
        ]
        if served:
            rules.append("connect-src 'self'")
        return "; ".join(rules)

    def _html(
        self, data: dict[str, Any], pictures: str, layers: tuple[str, ...], note: dict[str, str]
    ) -> str:
        present, absent, blank = self._legend()
        parts = {
            "policy": escape(self._policy(served=data["served"])),
            "generator": escape(f"geocamss {geocamss.__version__}"),
            "title": escape(self.title),
            "subtitle": escape(self._subtitle()),
            "style": _asset("page.css"),
            "script": _asset("page.js"),
            "pictures": pictures,
            "without_confidence": "" if "confidence" in layers else " hidden",
            "without_scene": "" if "scene" in layers else " hidden",
            "ramp": _ramp(),
            "legend": present,
            "absent": absent,
            "nodata": blank,
            "facts": "".join(
                f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>"
                for name, value in {**self.facts, **note}.items()
                if value not in (None, "")
            ),
            "data": _json(self._data() | data | {n: n in layers for n in ("scene", "confidence")}),
        }
        # In one pass, so that nothing that is put in is taken for a place to put something in.
        return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], _asset("page.html"))

    def _data(self) -> dict[str, Any]:
        height, width = self.shape
        return {
            "width": width,
            "height": height,
            "classes": [{"value": c.value, "name": c.name, "color": c.hex} for c in self.scheme],
            "ramp": [
                [value, "#{:02x}{:02x}{:02x}".format(*color[:3])]
                for value, color in CONFIDENCE.stops()
            ],
            "transform": [float(part) for part in self.transform[:6]],
            "crs": None if self.crs is None else crs_name(self.crs),
            "digits": self._digits,
            "meters": self._meters,
            "lonlat": self._lonlat,
        }

    @property
    def _digits(self) -> int:
        """Decimals of a coordinate that tell a twentieth of a pixel."""
        pixel = min(
            math.hypot(self.transform.a, self.transform.d),
            math.hypot(self.transform.b, self.transform.e),
        )
        return max(0, min(12, math.ceil(1 - math.log10(pixel)))) if pixel > 0 else 6

    @cached_property
    def _meters(self) -> float | None:
        """Ground width of the pixel at the center; None where that is unknown."""
        if self.crs is None:
            return None
        height, width = self.shape
        x, y = self.transform @ (width / 2, height / 2)
        try:
            across, along = ground_scale(self.crs, x, y)
        except (CRSError, ProjError):
            return None
        meters = math.sqrt(abs(self.transform.determinant) * float(across[0]) * float(along[0]))
        return meters if math.isfinite(meters) and meters > 0 else None

    @cached_property
    def _lonlat(self) -> dict[str, Any] | None:
        height, width = self.shape
        lattice = LonLat.of(self.crs, self.transform, width, height)
        if lattice is None:
            return None
        rows, columns = lattice.longitudes.shape
        return {
            "rows": rows,
            "columns": columns,
            "longitudes": _plain(lattice.longitudes),
            "latitudes": _plain(lattice.latitudes),
            "digits": lattice.digits,
        }

    def _subtitle(self) -> str:
        height, width = self.shape
        size = f"{width:,} \u00d7 {height:,}\u00a0pixels"
        if self._meters is not None:
            size += f" of\u00a0{_length(self._meters)}"
        return " · ".join(part for part in (self.subtitle, size) if part)

    def _legend(self) -> tuple[str, str, str]:
        """Lines of the classes that occur, of those that do not, and of what has no data."""
        found = {area.value: area for area in self.areas}
        texts = area_texts(self.areas, on_ground=self.crs is not None)
        lines: dict[bool, list[str]] = {True: [], False: []}
        for entry in self.scheme:
            area = found.get(entry.value)
            there = area is None or area.pixels > 0
            share = 0.0 if area is None else area.share
            percent = "" if area is None else share_text(share)
            lines[there].append(
                f'<li><label><input type="checkbox" checked data-value="{entry.value}">'
                '<svg class="swatch" viewBox="0 0 18 18" aria-hidden="true">'
                f'<rect width="18" height="18" rx="5" fill="{entry.hex}"/></svg>'
                f'<span class="name">{escape(entry.name)}</span></label>'
                f'<span class="area">{escape(texts.get(entry.value, ""))}</span>'
                f'<span class="share">{escape(percent)}</span>'
                '<svg class="bar" aria-hidden="true">'
                f'<rect width="{100 * share:.2f}%" height="3" fill="{entry.hex}"/></svg></li>'
            )
        absent, blank = "", ""
        if lines[False]:
            count = len(lines[False])
            noun = "1 class does" if count == 1 else f"{count} classes do"
            absent = (
                f'<details class="absent"><summary>{noun} not occur</summary>'
                f'<ul class="legend">{"".join(lines[False])}</ul></details>'
            )
        counted = sum(area.pixels for area in self.areas)
        missing = self.shape[0] * self.shape[1] - counted
        if self.areas and missing > 0:
            share = missing / (self.shape[0] * self.shape[1])
            blank = f'<p class="blank">No data in {share_text(share)} of the pixels.</p>'
        return "".join(lines[True]), absent, blank


def write_page(
    target: Path,
    page: Page,
    source: ClassMap,
    scene: Bytes | None = None,
    valid: NDArray[np.bool_] | None = None,
) -> None:
    """Write a map as a page.

    Args:
        target: the file; it appears when it is complete.
        page: what it says.
        source: the map's pixels.
        scene: (h, w, 3) picture of the map's extent, of any resolution.
        valid: (h, w) True = the scene has data; elsewhere it is transparent.

    Raises:
        ReadError: pixels cannot be read.
        RunError: no page within the size can be made.
    """
    picture = None
    if scene is not None:
        picture = Image.fromarray(np.ascontiguousarray(scene))
        if valid is not None and not valid.all():
            picture.putalpha(Image.fromarray(valid.astype(np.uint8) * np.uint8(255)))
    side = PAGE_SIDE
    while len(text := page.embedded(Pixels.of(source, side), picture).encode()) > PAGE_BYTES:
        if side < SMALL:
            raise RunError(f"{target.name}: is larger than {PAGE_BYTES:,} bytes, got {len(text):,}")
        side = side * 2 // 3
        if picture is not None:
            picture.thumbnail((side, side))
    with whole(target) as part:
        part.write_bytes(text)


def crs_name(crs: CRS) -> str:
    """A short name of a CRS: its code if it has one."""
    authority = crs.to_authority()
    if authority:
        return ":".join(authority)
    found = re.search(r'\["([^"]+)"', crs.to_wkt())
    return found[1][:48] if found else "x, y"


def area_texts(areas: Sequence[ClassArea], *, on_ground: bool) -> dict[int, str]:
    """What a legend says of the area of each class, by its value, all in one unit.

    Args:
        areas: of the classes.
        on_ground: False where they count pixels.
    """
    largest = max((area.area_m2 for area in areas), default=0.0)
    if not on_ground:
        return {area.value: f"{area.pixels:,} px" for area in areas}
    size, unit = next(
        (pair for pair in ((1e6, "km²"), (1e4, "ha")) if largest >= 10 * pair[0]), (1.0, "m²")
    )
    return {area.value: f"{_number(area.area_m2 / size)} {unit}" for area in areas}


def share_text(share: float) -> str:
    """A share in percent; what is little is not rounded to nothing, or to all."""
    if 0 < share < 0.0005:
        return "< 0.1 %"
    if 0.9995 <= share < 1:
        return "> 99.9 %"
    return f"{100 * share:.1f} %"


def _number(value: float) -> str:
    if value >= 100 or value == 0:
        return f"{value:,.0f}"
    return f"{value:.2g}" if value < 0.1 else f"{value:.2f}" if value < 10 else f"{value:.1f}"


def _length(meters: float) -> str:
    if meters >= 1000:
        return f"{meters / 1000:.3g}\u00a0km"
    return f"{meters:.3g}\u00a0m" if meters >= 0.995 else f"{100 * meters:.3g}\u00a0cm"


def asdict_level(level: Level) -> dict[str, Any]:
    """A level in plain values."""
    return {"step": level.step, "columns": level.columns, "rows": level.rows}


def _asset(name: str) -> str:
    return resources.files("geocamss.output").joinpath("assets", name).read_text("utf-8")


def _digest(text: str) -> str:
    """How a policy names a style or script that stands in the page itself."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _json(value: Any) -> str:
    """JSON that cannot end the element it stands in."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", r"\u003c").replace(">", r"\u003e").replace("&", r"\u0026")


def _plain(values: NDArray[np.float64]) -> list[float | None]:
    """Numbers for JSON, row after row; None where there are none."""
    return [round(v, 9) if math.isfinite(v) else None for v in values.ravel().tolist()]


def _uri(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _webp(picture: Image.Image) -> bytes:
    packed = BytesIO()
    lossless = max(picture.size) <= SMALL
    picture.save(packed, "WEBP", lossless=lossless, quality=QUALITY, method=4)
    return packed.getvalue()


def _ramp() -> str:
    """The colors of the confidence, as a picture."""
    stops = "".join(
        '<stop offset="{:g}%" stop-color="#{:02x}{:02x}{:02x}"/>'.format(value, *color[:3])
        for value, color in CONFIDENCE.stops()
    )
    return (
        '<svg aria-hidden="true" preserveAspectRatio="none" viewBox="0 0 100 12">'
        f'<defs><linearGradient id="ramp-colors">{stops}</linearGradient></defs>'
        '<rect width="100" height="12" fill="url(#ramp-colors)"/></svg>'
    )
