"""The page in a real browser: what people see, click, drag, type and hear."""

from __future__ import annotations

import re

import numpy as np
import pyproj
import pytest
import rasterio
from affine import Affine
from selenium.webdriver import ActionChains, Keys
from selenium.webdriver.common.actions.wheel_input import ScrollOrigin

from geocamss.classes import NODATA, ClassScheme
from geocamss.output.raster import quiet_gdal

from .maps import NORTH_UP, SCHEME, UTM, landscape
from .test_page import NASTY, written

PIXELS = landscape(90, 120, seed=3, smooth=4.0)
COLORS = {entry.value: entry.color for entry in SCHEME}
GRAY = (77, 88, 99)


def open_page(browser, folder, pixels=PIXELS, *, window=None, **fields):
    scene = np.empty((*pixels.shape, 3), np.uint8)
    scene[:] = GRAY
    written(folder, pixels, **{"scene": scene} | fields)
    browser.open((folder / "preview.html").as_uri(), **window or {})


def stage(browser):
    """Size of the stage, and CSS pixels for a pixel of a map that fits in it."""
    box = browser.run(
        "const b = document.getElementById('stage').getBoundingClientRect();"
        "return [b.width, b.height];"
    )
    return box[0], box[1]


def place_of(browser, column, row, shape=PIXELS.shape):
    """Where on the stage the center of a pixel is, while the whole map is shown."""
    width, height = stage(browser)
    scale = min(width / shape[1], height / shape[0]) * 0.94
    return (
        (column + 0.5 - shape[1] / 2) * scale + width / 2,
        (row + 0.5 - shape[0] / 2) * scale + height / 2,
    )


def click(browser, x, y):
    width, height = stage(browser)
    canvas = browser.driver.find_element("id", "map")
    mouse = ActionChains(browser.driver, duration=0)
    mouse.move_to_element_with_offset(canvas, round(x - width / 2), round(y - height / 2))
    mouse.click().perform()


def pick(browser, column, row, shape=PIXELS.shape):
    """Click a pixel, and wait for what the page says of it."""
    before = browser.readout()
    click(browser, *place_of(browser, column, row, shape))
    return browser.wait(lambda: (now := browser.readout()) != before and now)


def press(browser, *keys):
    browser.driver.find_element("id", "map").send_keys(*keys)
    browser.frame()


def slide(browser, name, value):
    browser.run(
        "const input = document.getElementById(arguments[0]);"
        "input.value = arguments[1]; input.dispatchEvent(new Event('input', {bubbles: true}));",
        name,
        value,
    )
    browser.frame()


def toggle(browser, value):
    # As people do, on the label: it covers the whole line, its box to tick included.
    label = f'.legend label:has(input[data-value="{value}"])'
    browser.driver.find_element("css selector", label).click()
    browser.frame()


def opaque(colors):
    return [color[:3] if color[3] else None for color in colors]


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        (UTM, NORTH_UP),
        ("EPSG:4326", Affine(1e-4, 0, 8.0, 0, -1e-4, 47.0)),
        ("EPSG:2263", Affine(3.0, 0, 980_000, 0, -3.0, 200_000)),
        (None, Affine.identity()),
    ],
    ids=["utm", "degrees", "feet", "no crs"],
)
def test_a_click_tells_what_rasterio_says(browser, tmp_path, crs, transform):
    open_page(browser, tmp_path, crs=crs, transform=transform)
    with (
        quiet_gdal(),
        rasterio.open(tmp_path / "classes.tif") as classes,
        rasterio.open(tmp_path / "confidence.tif") as confidence,
    ):
        for column, row in ((60, 45), (100, 3), (118, 70), (1, 88)):
            told = pick(browser, column, row)
            assert (int(told["column"]), int(told["row"])) == (column, row)
            assert int(told["class"]) == classes.read(1)[row, column]
            assert int(told["confidence"]) == confidence.read(1)[row, column]
            name = SCHEME.by_value()[int(told["class"])].name
            text = browser.text("#readout")
            assert name in text
            assert f"{told['confidence']} %" in text
            if crs is None:
                assert "x" not in told
                assert "longitude" not in told
                continue
            x, y = classes.xy(row, column)
            assert float(told["x"]) == pytest.approx(x, abs=abs(transform.a) / 100)
            assert float(told["y"]) == pytest.approx(y, abs=abs(transform.a) / 100)
            assert crs in text
            turn = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
            longitude, latitude = turn.transform(x, y)
            assert float(told["longitude"]) == pytest.approx(longitude, abs=1e-6)
            assert float(told["latitude"]) == pytest.approx(latitude, abs=1e-6)
    assert browser.logs() == []


def test_a_click_on_nodata_and_one_outside_say_so(browser, tmp_path):
    open_page(browser, tmp_path)
    assert int(pick(browser, 3, 3)["class"]) == NODATA
    assert browser.text("#readout").startswith("No data")
    click(browser, 4, 4)
    browser.wait(lambda: "Outside the map" in browser.text("#readout"))
    assert browser.readout() == {}


def test_a_large_map_tells_of_real_pixels(browser, tmp_path):
    pixels = np.random.default_rng(5).integers(0, 5, (3000, 5001), dtype=np.uint8)
    open_page(browser, tmp_path, pixels, scene=np.zeros((300, 500, 3), np.uint8))
    with rasterio.open(tmp_path / "confidence.tif") as file:
        percent = file.read(1)
    for column, row in ((10, 10), (2500, 1500), (4990, 2990), (1234, 777)):
        told = pick(browser, column, row, pixels.shape)
        x, y = ~NORTH_UP @ (float(told["x"]), float(told["y"]))
        at = int(told["row"]), int(told["column"])
        assert at == (int(y), int(x))
        assert abs(at[0] - row) < 10
        assert abs(at[1] - column) < 10
        assert int(told["class"]) == pixels[at]
        assert int(told["confidence"]) == percent[at]


def test_classes_have_their_colors_right_of_the_swipe_and_the_scene_is_left_of_it(
    browser, tmp_path
):
    open_page(browser, tmp_path)
    middle = stage(browser)[0] / 2
    places = [(c, r) for c in range(5, 120, 9) for r in range(20, 90, 9)]
    at = [place_of(browser, *place) for place in places]
    truth = [COLORS[int(PIXELS[r, c])] for c, r in places]
    shown = opaque(browser.colors(*at))
    assert shown == [GRAY if x < middle else color for (x, _), color in zip(at, truth, strict=True)]
    slide(browser, "swipe", 0)
    assert opaque(browser.colors(*at)) == truth
    slide(browser, "swipe", 100)
    assert opaque(browser.colors(*at)) == [GRAY] * len(at)


@pytest.mark.parametrize("part", [0.5, 2.0])
def test_a_scene_of_any_resolution_covers_the_map(browser, tmp_path, part):
    """A page that would be too large shrinks map and scene, and not both alike."""
    pixels = np.where(PIXELS == NODATA, 0, PIXELS).astype(np.uint8)
    scene = np.empty((round(90 * part), round(120 * part), 3), np.uint8)
    quarters = [(200, 30, 30), (30, 160, 30), (30, 30, 200), (160, 160, 30)]
    for index, color in enumerate(quarters):
        rows, columns = np.array_split(scene, 2)[index // 2], index % 2
        np.array_split(rows, 2, axis=1)[columns][:] = color
    open_page(browser, tmp_path, pixels, scene=scene)
    slide(browser, "swipe", 100)
    places = [(4, 4), (55, 40), (65, 4), (115, 40), (4, 50), (55, 85), (65, 50), (115, 85)]
    shown = browser.colors(*[place_of(browser, *place) for place in places])
    for index, color in enumerate(shown):
        assert color[3] == 255
        assert np.abs(np.subtract(color[:3], quarters[index // 2])).max() < 30


def test_opacity_mixes_map_and_scene(browser, tmp_path):
    open_page(browser, tmp_path)
    slide(browser, "swipe", 0)
    slide(browser, "opacity", 50)
    at = place_of(browser, 60, 45)
    color = COLORS[int(PIXELS[45, 60])]
    mixed = [(a + b) / 2 for a, b in zip(color, GRAY, strict=True)]
    assert browser.colors(at)[0][:3] == pytest.approx(mixed, abs=2)
    slide(browser, "opacity", 0)
    assert opaque(browser.colors(at)) == [GRAY]


def test_a_class_that_is_hidden_shows_the_scene_and_comes_back(browser, tmp_path):
    open_page(browser, tmp_path)
    slide(browser, "swipe", 0)
    places = [place_of(browser, c, r) for c in range(30, 120, 9) for r in range(20, 90, 9)]
    values = [int(PIXELS[r, c]) for c in range(30, 120, 9) for r in range(20, 90, 9)]
    all_shown = [COLORS[value] for value in values]
    toggle(browser, 2)
    hidden = [GRAY if value == 2 else COLORS[value] for value in values]
    assert hidden != all_shown
    assert opaque(browser.colors(*places)) == hidden
    toggle(browser, 2)
    assert opaque(browser.colors(*places)) == all_shown
    browser.driver.find_element("id", "none").click()
    assert set(opaque(browser.colors(*places))) == {GRAY}
    browser.driver.find_element("id", "all").click()
    assert opaque(browser.colors(*places)) == all_shown


def test_the_confidence_is_drawn_by_its_ramp(browser, tmp_path):
    open_page(browser, tmp_path)
    slide(browser, "swipe", 0)
    browser.driver.find_element("css selector", "#layers input[value=confidence]").click()
    with rasterio.open(tmp_path / "confidence.tif") as file:
        percent = file.read(1)
    places = [(c, r) for c in range(30, 120, 13) for r in range(20, 90, 13)]
    browser.wait(
        lambda: (
            browser.colors(place_of(browser, *places[0]))[0][:3]
            != COLORS[int(PIXELS[places[0][1], places[0][0]])]
        )
    )
    shown = browser.colors(*(place_of(browser, *place) for place in places))
    bright = [0.3 * r + 0.6 * g + 0.1 * b for r, g, b, _ in shown]
    order = np.argsort([percent[r, c] for c, r in places], kind="stable")
    sorted_brightness = np.array(bright)[order]
    assert (np.diff(sorted_brightness) >= -1).all()
    assert sorted_brightness[-1] - sorted_brightness[0] > 100


def test_the_keyboard_does_all_that_the_mouse_does(browser, tmp_path):
    open_page(browser, tmp_path)
    press(browser, Keys.ENTER)
    told = browser.wait(browser.readout)
    assert (int(told["column"]), int(told["row"])) == (60, 45)
    assert int(told["class"]) == PIXELS[45, 60]
    press(browser, Keys.SHIFT, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_DOWN, Keys.NULL)
    press(browser, Keys.ENTER)
    browser.wait(lambda: browser.readout().get("column") == "62")
    assert browser.readout()["row"] == "46"
    slide(browser, "swipe", 0)
    whole = browser.painted()
    press(browser, "-")
    smaller = browser.painted()
    assert smaller < 0.6 * whole
    press(browser, "+", "+")
    assert browser.painted() > 1.5 * smaller
    press(browser, *[Keys.ARROW_LEFT] * 60)
    press(browser, Keys.ENTER)
    browser.wait(lambda: browser.readout().get("column") == "0")
    press(browser, "0")
    assert browser.painted() == pytest.approx(whole, rel=0.01)
    press(browser, "c")
    assert browser.run("return document.querySelector('#layers input:checked').value;") == (
        "confidence"
    )
    press(browser, ".", ".")
    assert browser.run("return document.getElementById('swipe').value;") == "10"
    press(browser, Keys.ESCAPE)
    assert browser.run("return document.getElementById('marker').hidden;")


def test_tab_reaches_every_control_and_each_has_a_name(browser, tmp_path):
    open_page(browser, tmp_path)
    reached = []
    for _ in range(40):
        ActionChains(browser.driver, duration=0).send_keys(Keys.TAB).perform()
        name = browser.run(
            "const e = document.activeElement;"
            "const label = e.labels && e.labels[0] ? e.labels[0].innerText : '';"
            "return e === document.body ? null : [e.id || e.value || e.tagName,"
            " (e.getAttribute('aria-label') || label || e.innerText).trim()];"
        )
        if name is None:
            break
        reached.append(name)
    assert all(label for _, label in reached), reached
    names = [name for name, _ in reached]
    for wanted in ("map", "zoom-in", "zoom-out", "fit", "theme", "swipe", "opacity", "all", "none"):
        assert wanted in names
    assert len([name for name in names if name == "on"]) == len(SCHEME)
    readout = browser.driver.find_element("id", "readout")
    assert readout.get_attribute("aria-live") == "polite"


def test_the_mouse_drags_and_the_wheel_zooms_to_what_is_under_it(browser, tmp_path):
    open_page(browser, tmp_path)
    canvas = browser.driver.find_element("id", "map")
    place = place_of(browser, 80, 30)
    width, height = stage(browser)
    offset = round(place[0] - width / 2), round(place[1] - height / 2)
    origin = ScrollOrigin.from_element(canvas, *offset)
    before = browser.run("return document.getElementById('scale').style.width;")
    ActionChains(browser.driver, duration=0).scroll_from_origin(origin, 0, -300).perform()
    browser.wait(
        lambda: browser.run("return document.getElementById('scale').style.width;") != before
    )
    click(browser, *place)
    told = browser.wait(browser.readout)
    assert (int(told["column"]), int(told["row"])) == (80, 30)
    mouse = ActionChains(browser.driver, duration=50)
    mouse.move_to_element_with_offset(canvas, *offset).click_and_hold()
    mouse.move_by_offset(-100, 60).release().perform()
    assert browser.readout() == told  # a drag is no click
    click(browser, place[0] - 100, place[1] + 60)
    browser.frame()
    assert browser.readout() == told


def test_the_handle_on_the_map_moves_the_swipe(browser, tmp_path):
    open_page(browser, tmp_path)
    grip = browser.driver.find_element("css selector", ".grip")
    width, _ = stage(browser)
    mouse = ActionChains(browser.driver, duration=50)
    mouse.move_to_element(grip).click_and_hold().move_by_offset(-round(width / 4), 0)
    mouse.release().perform()
    assert int(browser.run("return document.getElementById('swipe').value;")) in (24, 25, 26)


def test_a_click_on_the_handle_tells_of_the_pixel_beneath(browser, tmp_path):
    open_page(browser, tmp_path)
    grip = browser.driver.find_element("css selector", ".grip")
    box = grip.rect
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    ActionChains(browser.driver, duration=0).move_to_element(grip).click().perform()
    told = browser.wait(browser.readout)
    left, top = place_of(browser, int(told["column"]), int(told["row"]))
    side = place_of(browser, 1, 0)[0] - place_of(browser, 0, 0)[0]
    assert abs(left - x) <= side / 2 + 1
    assert abs(top - y) <= side / 2 + 1
    assert int(told["class"]) == PIXELS[int(told["row"]), int(told["column"])]
    assert browser.run("return document.getElementById('swipe').value;") == "50"


def test_the_handle_does_not_cover_what_enter_reads(browser, tmp_path):
    for size in ((320, 420), (390, 844), (844, 300), (1280, 860)):
        open_page(browser, tmp_path, window={"size": size})
        apart = browser.run(
            "const [a, b] = ['.grip', '.reticle'].map((name) =>"
            " document.querySelector(name).getBoundingClientRect());"
            "return b.top - a.bottom;"
        )
        assert apart >= 0, size


def test_fingers_pan_and_pinch(browser, tmp_path):
    open_page(browser, tmp_path, window={"size": (390, 844), "phone": True})
    browser.driver.execute_cdp_cmd(
        "Emulation.setTouchEmulationEnabled", {"enabled": True, "maxTouchPoints": 2}
    )

    def touch(kind, *points):
        touches = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(points)]
        browser.driver.execute_cdp_cmd(
            "Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches}
        )

    def scale():
        browser.frame()
        return browser.run(
            "return parseFloat(document.getElementById('scale-text').innerText) /"
            " parseFloat(document.getElementById('scale').style.width);"
        )

    try:
        before = scale()
        touch("touchStart", (150, 200), (240, 200))
        for step in range(1, 10):
            touch("touchMove", (150 - 10 * step, 200), (240 + 10 * step, 200))
        touch("touchEnd")
        assert before / scale() == pytest.approx(3, rel=0.05)
        touch("touchStart", (100, 300))
        touch("touchEnd")
        told = browser.wait(browser.readout)
        touch("touchStart", (100, 300))
        for step in range(1, 10):
            touch("touchMove", (100 + 5 * step, 300 - 5 * step))
        touch("touchEnd")
        touch("touchStart", (145, 255))
        touch("touchEnd")
        browser.frame()
        assert browser.readout() == told
    finally:
        browser.driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": False})


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [(320, 568), (390, 844), (844, 390), (1280, 860)])
def test_everything_fits_in_any_window_and_can_be_read(browser, tmp_path, size, dark):
    scheme = ClassScheme.of([*NASTY[:4], "a very long name of a class " * 4])
    window = {"size": size, "dark": dark, "phone": size[0] < 900}
    open_page(browser, tmp_path, scheme=scheme, window=window)
    pick(browser, 90, 60)
    assert browser.run("return document.documentElement.scrollWidth <= innerWidth;")
    width, height = stage(browser)
    assert width >= 0.5 * size[0]
    assert height >= 200
    unreadable = browser.run(CONTRAST)
    assert unreadable == []
    assert (browser.run("return getComputedStyle(document.body).colorScheme;")) is not None
    assert browser.logs() == []


CONTRAST = """
const light = ([r, g, b]) => {
  const [x, y, z] = [r, g, b].map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
  return 0.2126 * x + 0.7152 * y + 0.0722 * z;
};
const numbers = (color) => color.match(/[\\d.]+/g).map(Number);
const ground = (element) => {
  for (let e = element; e; e = e.parentElement) {
    const color = numbers(getComputedStyle(e).backgroundColor);
    if (color.length < 4 || color[3] > 0.5) return color;
  }
  return [255, 255, 255];
};
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
const bad = [];
while (walker.nextNode()) {
  const element = walker.currentNode.parentElement;
  if (!walker.currentNode.data.trim() || !element.checkVisibility()) continue;
  if (element.closest("script, style, noscript")) continue;
  const [a, b] = [numbers(getComputedStyle(element).color), ground(element)].map(light);
  const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  if (ratio < 4.5) bad.push([walker.currentNode.data, ratio]);
}
return bad;
"""


def test_the_page_asks_for_nothing_and_complains_of_nothing(browser, tmp_path):
    scheme = ClassScheme.of(NASTY[:5])
    browser.requests()
    open_page(browser, tmp_path, scheme=scheme, title=NASTY[0])
    pick(browser, 90, 60)
    press(browser, "c")
    browser.driver.find_element("id", "theme").click()
    assert browser.requests() == [(tmp_path / "preview.html").as_uri()]
    assert browser.logs() == []
    assert NASTY[0] in browser.text(".legend")
    assert browser.run("return document.images.length;") == 3


def test_the_theme_can_be_switched(browser, tmp_path):
    open_page(browser, tmp_path)
    color = "return getComputedStyle(document.querySelector('.panel')).backgroundColor;"
    light = browser.run(color)
    browser.driver.find_element("id", "theme").click()
    dark = browser.run(color)
    assert sum(map(int, re.findall(r"\d+", light))) > 600
    assert sum(map(int, re.findall(r"\d+", dark))) < 150


@pytest.mark.parametrize(
    "shape", [(1, 400), (400, 1), (1, 1), (2, 9000)], ids=["row", "column", "pixel", "strip"]
)
def test_thin_maps_can_be_read(browser, tmp_path, shape):
    pixels = np.random.default_rng(0).integers(0, 5, shape, dtype=np.uint8)
    open_page(browser, tmp_path, pixels)
    press(browser, Keys.ENTER)
    told = browser.wait(browser.readout)
    assert int(told["class"]) == pixels[int(told["row"]), int(told["column"])]


def test_a_map_of_nothing_but_nodata_is_a_page_without_complaint(browser, tmp_path):
    pixels = np.full((30, 40), NODATA, np.uint8)
    written(tmp_path, pixels)
    browser.driver.get((tmp_path / "preview.html").as_uri())
    press(browser, Keys.ENTER)
    assert int(browser.wait(browser.readout)["class"]) == NODATA
    assert "No data in 100.0 % of the pixels" in browser.text("aside")
    assert browser.painted() == 0


def test_without_a_scene_there_is_no_swipe(browser, tmp_path):
    open_page(browser, tmp_path, scene=None)
    at = place_of(browser, 30, 45)
    assert opaque(browser.colors(at)) == [COLORS[int(PIXELS[45, 30])]]
    assert not browser.driver.find_element("id", "swipe").is_displayed()
    assert not browser.driver.find_element("id", "divider").is_displayed()


def test_255_classes_fit_in_the_legend(browser, tmp_path):
    scheme = ClassScheme.of([f"class number {v}" for v in range(255)])
    pixels = np.arange(255, dtype=np.uint8).repeat(4).reshape(30, 34)
    open_page(browser, tmp_path, pixels, scheme=scheme)
    slide(browser, "swipe", 0)
    toggle(browser, 254)
    at = place_of(browser, 33, 29, pixels.shape)
    assert opaque(browser.colors(at)) == [GRAY]
    assert browser.run("return document.documentElement.scrollWidth <= innerWidth;")


def test_without_scripts_the_pictures_are_there(browser, tmp_path):
    written(tmp_path, PIXELS)
    switch = "Emulation.setScriptExecutionDisabled"
    browser.driver.execute_cdp_cmd(switch, {"value": True})
    try:
        browser.driver.get((tmp_path / "preview.html").as_uri())
        picture = browser.driver.find_element("id", "picture-classes")
        assert picture.is_displayed()
        assert not browser.driver.find_element("id", "map").is_displayed()
        assert "runs no scripts" in browser.driver.find_element("css selector", "aside").text
    finally:
        browser.driver.execute_cdp_cmd(switch, {"value": False})
