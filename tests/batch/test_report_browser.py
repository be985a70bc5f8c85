"""The report in a real browser: whole, quiet, and nothing of a user's comes alive in it."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from geocamss.batch.report import report, write_report
from geocamss.request import Request
from tests.batch.test_report import HOSTILE, failed, result

PHONE, DESK = (360, 740), (1280, 860)


def picture(width: int, height: int) -> str:
    target = BytesIO()
    Image.new("RGB", (width, height), (20, 120, 60)).save(target, "PNG")
    return base64.b64encode(target.getvalue()).decode("ascii")


def show(browser, page: Path, size=DESK, *, dark=False) -> None:
    """Open a page that has no map."""
    browser.driver.get("about:blank")
    browser.logs()
    browser.requests()
    width, height = size
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    browser.driver.get(page.as_uri())


@pytest.fixture
def page(tmp_path) -> Path:
    scenes = [
        result(tmp_path, "one", thumbnail=picture(96, 40)),
        result(tmp_path, "two", "kept", source=HOSTILE, thumbnail=picture(30, 96)),
        failed(tmp_path, "three", HOSTILE),
        failed(tmp_path, "a" * 100, "no such file: " + "/very/long/name" * 40),
    ]
    content = report(scenes, Request(), datetime(2024, 5, 6, 7, tzinfo=UTC), 3725.2)
    return write_report(tmp_path, content, scenes)


def test_it_is_shown_whole_and_asks_for_nothing(browser, page):
    show(browser, page)
    assert browser.driver.title == "geocamss: 2 of 4 scenes mapped"
    assert browser.text("h1") == "2 of 4 scenes mapped"
    heads = browser.run("return [...document.querySelectorAll('h2')].map(e => e.innerText);")
    assert heads == [
        "Without a map",
        "Areas",
        "Areas by scene, km²",
        "Scenes",
        "How, and with what",
    ]
    rows = browser.run(
        "return [...document.querySelectorAll('table')].map(t => t.tBodies[0].rows.length);"
    )
    assert rows[:4] == [2, 2, 2, 4]
    sizes = browser.run(
        "return [...document.images].map(i => [i.complete, i.naturalWidth, i.naturalHeight]);"
    )
    assert sizes == [[True, 96, 40], [True, 30, 96]]
    assert browser.logs() == []
    assert {url.split(":")[0] for url in browser.requests()} == {"file"}


def test_what_a_user_wrote_stays_text(browser, page):
    show(browser, page)
    shown = browser.text("body")
    assert "<script>alert(1)</script>" in shown
    assert "<img src=http://a.example/x onerror=alert(1)>" in shown
    assert browser.run("return document.scripts.length;") == 0
    assert browser.run("return document.images.length;") == 2


@pytest.mark.parametrize("size", [PHONE, DESK])
def test_it_fits_into_the_window(browser, page, size):
    show(browser, page, size)
    assert browser.run("return document.documentElement.scrollWidth <= innerWidth;")


def test_it_follows_dark_and_light(browser, page):
    colors = []
    for dark in (False, True):
        show(browser, page, dark=dark)
        colors.append(browser.run("return getComputedStyle(document.body).backgroundColor;"))
    assert colors == ["rgb(255, 255, 255)", "rgb(32, 33, 36)"]


def test_its_numbers_are_those_for_programs(browser, page):
    content = json.loads(page.with_name("report.json").read_text("utf-8"))
    show(browser, page)
    cells = "document.querySelectorAll('table')[1].tBodies[0].rows"
    shown = browser.run(f"return [...{cells}].map(r => [...r.cells].map(c => c.innerText));")
    assert shown == [
        [a["name"], f"{a['area_m2'] / 1e6:,.3f}", f"{100 * a['share']:.1f} %", f"{a['pixels']:,}"]
        for a in content["totals"]["areas"]
    ]
