"""Makes the pictures of the demo scene anew, for a new model: ``python -m docs.pictures``.

Needs Chromium and its driver, and QGIS in the system's Python. A folder that ``geocamss predict
tiles/demo.tif`` has written may be given; left out, the demo scene is mapped.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from base64 import b64decode
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image
from selenium.webdriver import ActionChains

from geocamss.doctor import SYSTEM_PYTHON
from tests.chromium import chromium

DOCS = Path(__file__).resolve().parent

SIZE = 1200, 760
"""Of the window, in pixels."""

PLACE = 150, -60
"""What is clicked, in pixels right of the map's middle and below it."""

QUALITY = 80
"""Of a WebP picture, in percent."""

MOST_BYTES = 300_000
"""A picture of a window is never larger."""


def draw(out: Path) -> None:
    """Take the pictures from a folder of outputs."""
    shutil.copy(out / "preview.png", DOCS / "demo.png")
    for target, draw_window in ((DOCS / "page.webp", draw_page), (DOCS / "qgis.webp", draw_qgis)):
        draw_window(out, target)
        if target.stat().st_size > MOST_BYTES:
            raise ValueError(f"{target}: larger than {MOST_BYTES:,} bytes")


def draw_page(out: Path, target: Path) -> None:
    """The page in a browser, after a click."""
    with TemporaryDirectory() as folder, chromium(Path(folder)) as browser:
        browser.open((out / "preview.html").resolve().as_uri(), size=SIZE)
        canvas = browser.driver.find_element("id", "map")
        mouse = ActionChains(browser.driver)
        mouse.move_to_element_with_offset(canvas, *PLACE).click().perform()
        browser.wait(browser.readout)  # the classes are there by then
        browser.frame()
        kind = {"format": "webp", "quality": QUALITY}
        shot = browser.driver.execute_cdp_cmd("Page.captureScreenshot", kind)
    target.write_bytes(b64decode(shot["data"]))


def draw_qgis(out: Path, target: Path) -> None:
    """The project in QGIS."""
    with TemporaryDirectory() as folder:
        picture = Path(folder) / "qgis.png"
        command = [SYSTEM_PYTHON, DOCS / "qgis_picture.py", out / "map.qgz", picture]
        subprocess.run(command, check=True)  # noqa: S603  (our own script)
        Image.open(picture).save(target, quality=QUALITY)


def main() -> None:
    """Map the demo scene unless a map is given, and take the pictures."""
    if len(sys.argv) > 1:
        draw(Path(sys.argv[1]))
        return
    import geocamss

    os.chdir(DOCS.parent)  # the page tells the scene's name as it was given
    with TemporaryDirectory() as folder:
        geocamss.predict("tiles/demo.tif", folder)
        draw(Path(folder))


if __name__ == "__main__":
    main()
