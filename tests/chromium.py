"""A real browser for tests: Debian's Chromium without a screen, and what it complained of."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.ui import WebDriverWait

ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--force-device-scale-factor=1",
)

PATIENCE = 30
"""Seconds that a page may take on a busy machine."""

COPY = (
    "(() => { const map = document.getElementById('map'), copy = document.createElement('canvas');"
    " [copy.width, copy.height] = [map.width, map.height];"
    " const pen = copy.getContext('2d', {willReadFrequently: true});"
    " pen.drawImage(map, 0, 0); return pen; })()"
)
"""A copy of the map to read pixels of: Chromium complains of a canvas that is read often."""


class Browser:
    """One window, and what a test asks of it."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def open(self, url: str, *, size=(1280, 860), dark=False, phone=False) -> None:
        """Show a page in a window of a size, and wait until its map is drawn."""
        self.driver.get("about:blank")
        self.logs()
        width, height = size
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone},
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        self.driver.get(url)
        self.wait(lambda: self.painted() > 0)

    def wait(self, until: Callable[[], Any]) -> Any:
        return WebDriverWait(self.driver, PATIENCE, 0.05).until(lambda _: until())

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def frame(self) -> None:
        """Wait until what is waiting to be drawn is drawn."""
        self.driver.execute_async_script(
            "const done = arguments[0];"
            "requestAnimationFrame(() => requestAnimationFrame(() => done()));"
        )

    def colors(self, *places: tuple[float, float]) -> list[tuple[int, ...]]:
        """Red, green, blue and alpha that the map's canvas has at places of the stage."""
        self.frame()
        found = self.run(
            f"const pen = {COPY};"
            "return arguments[0].map(([x, y]) => [...pen.getImageData(x, y, 1, 1).data]);",
            [[int(x), int(y)] for x, y in places],
        )
        return [tuple(color) for color in found]

    def painted(self) -> int:
        """How many pixels of the canvas show something."""
        return self.run(
            f"const pen = {COPY};"
            "const data = pen.getImageData(0, 0, pen.canvas.width, pen.canvas.height).data;"
            "let count = 0; for (let i = 3; i < data.length; i += 4) count += data[i] > 0;"
            "return count;"
        )

    def readout(self) -> dict[str, str]:
        """What the page says of the last pixel, for programs."""
        return self.run("return {...document.getElementById('readout').dataset};")

    def text(self, selector: str) -> str:
        return self.run(f"return document.querySelector({json.dumps(selector)}).innerText;")

    def logs(self) -> list[str]:
        """Complaints on the console since the last call."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """Addresses that were asked for since the last call, but for what a page holds itself."""
        events = [json.loads(e["message"])["message"] for e in self.driver.get_log("performance")]
        asked = [
            e["params"]["request"]["url"]
            for e in events
            if e["method"] == "Network.requestWillBeSent"
        ]
        return [url for url in asked if not url.startswith(("data:", "blob:", "about:"))]


@contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    """Start Chromium with an empty profile.

    Skips the test where Chromium or its driver is not installed.
    """
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("needs Chromium: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for argument in (*ARGUMENTS, f"--user-data-dir={profile}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    window = webdriver.Chrome(options=options, service=Service(driver))
    try:
        window.set_script_timeout(PATIENCE)
        yield Browser(window)
    finally:
        window.quit()
