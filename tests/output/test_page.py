"""The page: what it says, that it says it of real pixels, and that nothing gets out of it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from io import BytesIO

import numpy as np
import pyproj
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from rasterio.crs import CRS

from geocamss.classes import NODATA, ClassScheme
from geocamss.hypertext import card, escape
from geocamss.output import page as page_module
from geocamss.output.areas import ClassArea, class_areas
from geocamss.output.classmap import ClassMap
from geocamss.output.lonlat import LonLat
from geocamss.output.page import (
    PAGE_BYTES,
    PAGE_SIDE,
    Page,
    Pixels,
    area_texts,
    share_text,
    write_page,
)
from geocamss.output.png import class_png, gray_png

from .maps import NORTH_UP, SCHEME, UTM, class_maps, landscape, write_map


def written(folder, pixels, *, scheme=SCHEME, crs=UTM, transform=NORTH_UP, scene=None, **fields):
    """A page of a map, as text."""
    classes = write_map(folder / "classes.tif", pixels, crs, transform)
    rng = np.random.default_rng(0)
    percent = rng.integers(0, 101, pixels.shape, dtype=np.uint8)
    percent[pixels == NODATA] = NODATA
    confidence = write_map(folder / "confidence.tif", percent, crs, transform)
    source = ClassMap.open(classes, confidence)
    page = Page(
        title=fields.pop("title", "A map"),
        scheme=scheme,
        areas=class_areas(classes, confidence, scheme),
        crs=source.crs,
        transform=source.transform,
        shape=pixels.shape,
        **fields,
    )
    target = folder / "preview.html"
    write_page(target, page, source, scene, None if scene is None else pixels != NODATA)
    return target.read_text("utf-8")


class Elements(HTMLParser):
    """The elements of a page, as a browser finds them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict]] = []
        self.texts: dict[str, str] = {}
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data):
        tag, attributes = self.found[-1] if self.found else ("", {})
        name = attributes.get("id", tag)
        self.texts[name] = self.texts.get(name, "") + data

    def all(self, tag):
        return [attributes for name, attributes in self.found if name == tag]


def data_of(text: str) -> dict:
    return json.loads(Elements(text).texts["data"])


def picture_of(text: str, layer: str) -> Image.Image:
    uri = next(i for i in Elements(text).all("img") if i["id"] == f"picture-{layer}")["src"]
    return Image.open(BytesIO(base64.b64decode(uri.split(",")[1])))


@given(class_maps())
def test_a_png_of_classes_holds_the_classes_themselves(pixels):
    scheme = ClassScheme.of([{"value": v, "name": str(v)} for v in (0, 1, 2, 4)])
    picture = Image.open(BytesIO(class_png(pixels, scheme)))
    assert picture.mode == "P"
    assert np.array_equal(np.asarray(picture), pixels)
    colors = np.asarray(picture.convert("RGBA"))
    for entry in scheme:
        assert (colors[pixels == entry.value] == (*entry.color, 255)).all()
    assert (colors[pixels == NODATA][:, 3] == 0).all()
    assert np.array_equal(np.asarray(Image.open(BytesIO(gray_png(pixels)))), pixels)


@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (3000, 1), (63, 64), (64, 64), (65, 200)])
@pytest.mark.parametrize("side", [1, 7, 64, 2048])
def test_every_pixel_of_a_page_is_the_pixel_of_the_map_whose_place_it_has(tmp_path, shape, side):
    pixels = np.random.default_rng(1).integers(0, 5, shape, dtype=np.uint8)
    percent = np.random.default_rng(2).integers(0, 101, shape, dtype=np.uint8)
    classes = write_map(tmp_path / "c.tif", pixels)
    confidence = write_map(tmp_path / "p.tif", percent)
    found = Pixels.of(ClassMap.open(classes, confidence), side)
    height, width = found.classes.shape
    assert max(height, width) <= side
    assert (height, width) == tuple(-(-s // found.step) for s in shape)
    rows = np.minimum(np.arange(height) * found.step + found.offset, shape[0] - 1)
    columns = np.minimum(np.arange(width) * found.step + found.offset, shape[1] - 1)
    assert (rows // found.step == np.arange(height)).all()
    assert np.array_equal(found.classes, pixels[np.ix_(rows, columns)])
    assert np.array_equal(found.confidence, percent[np.ix_(rows, columns)])


def test_a_page_asks_no_network_and_runs_nothing_but_its_own(tmp_path):
    text = written(tmp_path, landscape(60, 80), scene=np.zeros((60, 80, 3), np.uint8))
    elements = Elements(text)
    for _, attributes in elements.found:
        assert not {"onclick", "onload", "onerror", "style"} & set(attributes)
        for name in ("src", "href"):
            assert attributes.get(name, "data:").startswith(("data:", "#"))
    policy = next(
        m["content"] for m in elements.all("meta") if "content" in m and "http-equiv" in m
    )
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"
    for kind, name in (("style-src", "style"), ("script-src", "script")):
        inside = re.findall(rf"<{name}>(.*?)</{name}>", text, re.DOTALL)
        assert len(inside) == 1
        digest = base64.b64encode(hashlib.sha256(inside[0].encode()).digest()).decode()
        assert rules[kind] == f"'sha256-{digest}'"


NASTY = [
    "<script>alert(1)</script>",
    "</script><script>alert(2)</script>",
    '"><img src=x onerror=alert(3)>',
    "{{script}} {{data}}",
    "a & b < c",
    "\u2028 line \u202e turned",
    "\x00 nul \ud800 lone",
    "x" * 500,
]


def test_names_cannot_break_out(tmp_path):
    plain = Elements(written(tmp_path, np.zeros((4, 4), np.uint8)))
    scheme = ClassScheme.of([f"{name}" for name in NASTY])
    text = written(
        tmp_path,
        np.arange(16, dtype=np.uint8).reshape(4, 4) % len(NASTY),
        scheme=scheme,
        title=NASTY[1],
        subtitle=NASTY[2],
        facts={name: name for name in NASTY},
    )
    found = Elements(text)
    for tag in ("script", "img", "style", "meta"):
        assert len(found.all(tag)) == len(plain.all(tag))
    assert [entry["name"] for entry in data_of(text)["classes"]] == list(NASTY)


@given(st.text())
def test_escaped_text_is_the_text(text):
    parts = Elements(f'<p id="p" title="{escape(text)}">x</p>')
    shown = "".join(c if c.isprintable() or c in "\n\t\u00a0" else "\ufffd" for c in text)
    assert parts.all("p")[0]["title"] == shown


def test_tables_leave_out_what_is_not_known():
    table = card("A <b>", {"one": 1, "none": None, "empty": ""}, ["head"], [["<i>cell</i>"]])
    assert "A &lt;b&gt;" in table
    assert "none" not in table
    assert "empty" not in table
    assert "<i>cell</i>" in table


def test_the_largest_page_stays_within_its_size(tmp_path):
    rng = np.random.default_rng(0)
    side = 2 * PAGE_SIDE + 100
    scheme = ClassScheme.of([f"class {v}" for v in range(255)])
    noise = rng.integers(0, 255, (side, side), dtype=np.uint8)
    scene = rng.integers(0, 256, (PAGE_SIDE, PAGE_SIDE, 3), dtype=np.uint8)
    classes = write_map(tmp_path / "c.tif", noise)
    confidence = write_map(tmp_path / "p.tif", noise % 101)
    source = ClassMap.open(classes, confidence)
    page = Page("Noise", scheme, (), source.crs, source.transform, noise.shape)
    write_page(tmp_path / "preview.html", page, source, scene)
    text = (tmp_path / "preview.html").read_text("utf-8")
    assert len(text) <= PAGE_BYTES < 10_000_000
    level = data_of(text)["levels"][0]
    at = np.minimum(np.arange(level["rows"]) * level["step"] + level["offset"], side - 1)
    assert np.array_equal(np.asarray(picture_of(text, "classes")), noise[np.ix_(at, at)])
    assert np.array_equal(np.asarray(picture_of(text, "confidence")), noise[np.ix_(at, at)] % 101)


@pytest.mark.parametrize(
    ("crs", "transform", "shape"),
    [
        ("EPSG:32633", Affine(10, 0, 500_000, 0, -10, 5_000_000), (5000, 7000)),
        ("EPSG:32601", Affine(10, 0, 150_000, 0, -10, 7_000_000), (9000, 9000)),  # antimeridian
        ("EPSG:4326", Affine(1e-4, 0, 8, 0, -1e-4, 47), (3000, 3000)),
        ("EPSG:3857", Affine(40, 0, 1e6, 0, -40, 6e6), (4000, 4000)),
        ("EPSG:2056", Affine(0.1, 0, 2_600_000, 0, -0.1, 1_200_000), (1, 20_000)),
        ("EPSG:2263", Affine(1, 0, 980_000, 0, -1, 200_000), (1000, 1000)),  # feet
        ("EPSG:3031", Affine(1000, 0, -2e6, 0, -1000, 2e6), (4000, 4000)),  # around the pole
    ],
)
def test_longitude_and_latitude_are_as_right_as_they_say(crs, transform, shape):
    lattice = LonLat.of(CRS.from_string(crs), transform, shape[1], shape[0])
    rng = np.random.default_rng(0)
    columns, rows = rng.uniform(0, shape[1], 400), rng.uniform(0, shape[0], 400)
    xs, ys = transform @ (columns, rows)
    turn = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    count = len(lattice.longitudes) - 1
    u, v = columns / shape[1] * count, rows / shape[0] * count
    j, i = np.minimum(u.astype(int), count - 1), np.minimum(v.astype(int), count - 1)
    right, down = u - j, v - i
    for values, truth in zip(
        (lattice.longitudes, lattice.latitudes), turn.transform(xs, ys), strict=True
    ):
        upper = values[i, j] * (1 - right) + values[i, j + 1] * right
        lower = values[i + 1, j] * (1 - right) + values[i + 1, j + 1] * right
        off = (upper * (1 - down) + lower * down - truth + 180) % 360 - 180
        if crs == "EPSG:3031":  # no lattice has the pole; elsewhere it serves
            off = off[np.hypot(xs, ys) > 1e6]
            assert np.median(abs(off)) < 0.01
        else:
            assert abs(off).max() <= 1.5 * 10.0**-lattice.digits
            assert lattice.digits >= 5


@pytest.mark.parametrize(
    "crs", [None, 'LOCAL_CS["somewhere",UNIT["metre",1]]'], ids=["none", "local"]
)
def test_a_map_without_a_place_on_earth_tells_pixels(tmp_path, crs):
    text = written(tmp_path, landscape(40, 30), crs=crs)
    data = data_of(text)
    assert data["lonlat"] is None
    assert (data["crs"] is None) == (crs is None)
    if crs is None:
        assert data["meters"] is None
        assert " px</span>" in text


@pytest.mark.parametrize(
    "pixels",
    [
        np.full((20, 30), NODATA, np.uint8),
        np.zeros((1, 3000), np.uint8),
        np.zeros((3000, 1), np.uint8),
        np.zeros((1, 1), np.uint8),
    ],
    ids=["all nodata", "a row", "a column", "a pixel"],
)
@pytest.mark.parametrize("with_scene", [True, False])
def test_odd_maps_have_pages_too(tmp_path, pixels, with_scene):
    scene = np.full((*pixels.shape, 3), 9, np.uint8) if with_scene else None
    text = written(tmp_path, pixels, scene=scene)
    assert data_of(text)["scene"] is with_scene
    step = data_of(text)["levels"][0]["step"]
    assert picture_of(text, "classes").size == tuple(-(-s // step) for s in pixels.shape[::-1])


def test_the_legend_has_every_class_once_and_tells_of_absent_ones(tmp_path):
    scheme = ClassScheme.of([f"class {v}" for v in range(255)])
    text = written(tmp_path, np.arange(100, dtype=np.uint8).reshape(10, 10), scheme=scheme)
    boxes = [i for i in Elements(text).all("input") if i["type"] == "checkbox"]
    assert [int(box["data-value"]) for box in boxes] == list(range(255))
    assert "155 classes do not occur" in text


@pytest.mark.parametrize(
    ("square_meters", "text"),
    [(0, "0 m²"), (12.3, "12.3 m²"), (99_000, "99,000 m²"), (123_400, "12.3 ha"),
     (9_990_000, "999 ha"), (12_300_000, "12.3 km²"), (3.4e11, "340,000 km²")],
)  # fmt: skip
def test_areas_have_units_that_suit_them(square_meters, text):
    area = ClassArea(3, "x", 10, square_meters, 1.0, None)
    assert area_texts([area], on_ground=True) == {3: text}
    assert area_texts([area], on_ground=False) == {3: "10 px"}


def test_what_is_little_is_not_rounded_to_nothing():
    areas = [ClassArea(0, "a", 1, 5e8, 0.9999999, None), ClassArea(1, "b", 1, 12.0, 1e-7, None)]
    assert area_texts(areas, on_ground=True) == {0: "500 km²", 1: "1.2e-05 km²"}
    assert [share_text(s) for s in (0, 1e-7, 0.5, 0.9999999, 1)] == [
        "0.0 %", "< 0.1 %", "50.0 %", "> 99.9 %", "100.0 %",
    ]  # fmt: skip


def test_a_page_that_fails_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(page_module, "PAGE_BYTES", 100)
    with pytest.raises(page_module.RunError, match=r"preview.html: is larger than 100 bytes"):
        written(tmp_path, np.zeros((4, 4), np.uint8))
    assert not list(tmp_path.glob("*.html*"))


def test_the_same_map_has_the_same_page(tmp_path):
    pixels = landscape(50, 60)
    assert written(tmp_path, pixels) == written(tmp_path, pixels)


def test_places_of_pixels_are_told_finely_enough(tmp_path):
    for size in (0.05, 0.3, 10, 1e-5, 1000):
        transform = Affine(size, 0, 10, 0, -size, 20)
        data = data_of(written(tmp_path, np.zeros((3, 3), np.uint8), transform=transform))
        assert data["digits"] == 0 or size / 200 <= 10.0 ** -data["digits"]
        assert 10.0 ** -data["digits"] <= size / 10
        with rasterio.open(tmp_path / "classes.tif") as file:
            assert data["transform"] == list(file.transform)[:6]
