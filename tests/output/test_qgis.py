"""What QGIS shows of a folder of outputs, with no click."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from PIL import Image

from geocamss.classes import NODATA
from geocamss.output.areas import class_areas
from geocamss.output.polygons import polygonize
from geocamss.output.style import color_table, write_pam, write_qml

from .maps import NORTH_UP, SCHEME, landscape, write_map

PYTHON = os.environ.get("GEOCAMSS_QGIS_PYTHON", "/usr/bin/python3")
CHECK = Path(__file__).with_name("qgis_check.py")


@pytest.fixture(scope="module")
def qgis():
    """Runs the check in the Python that has QGIS."""
    has = (
        Path(PYTHON).exists()
        and not subprocess.run(
            [PYTHON, "-c", "import qgis.core"], capture_output=True, check=False
        ).returncode
    )
    if not has:
        pytest.skip(f"{PYTHON} has no QGIS: install python3-qgis, or set GEOCAMSS_QGIS_PYTHON")

    def run(*arguments):
        done = subprocess.run(
            [PYTHON, str(CHECK), *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        return json.loads(done.stdout.splitlines()[-1])

    return run


def outputs(folder: Path, crs, transform) -> np.ndarray:
    folder.mkdir()
    pixels = landscape(60, 80)
    percent = np.full_like(pixels, 80)
    classes = write_map(folder / "classes.tif", pixels, crs, transform)
    confidence = write_map(folder / "confidence.tif", percent, crs, transform)
    polygonize(classes, confidence, folder / "polygons.gpkg", SCHEME)
    write_qml(folder / "classes.qml", SCHEME)
    write_qml(folder / "confidence.qml")
    write_pam(folder / "classes.tif.aux.xml", SCHEME, class_areas(classes, confidence, SCHEME))
    return pixels


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        ("EPSG:32633", NORTH_UP),
        ("EPSG:4326", Affine(1e-4, 0, 10, 0, -1e-4, 60)),
        (None, Affine(1, 0, 0, 0, -1, 0)),
    ],
)
def test_classes_have_their_names_and_colors(qgis, tmp_path, crs, transform):
    folder = tmp_path / "Ausgabe für Gäste"
    pixels = outputs(folder, crs, transform)
    found = qgis(folder, tmp_path / "drawn.png")
    legend = [[c.value, c.name, c.hex] for c in SCHEME]
    for name in ("classes.tif", "polygons.gpkg", "dropped"):
        assert found[name]["valid"], name
        assert found[name]["crs"] == (crs or ""), name
        assert found[name]["classes"] == legend, name
    assert found["classes.tif"]["renderer"] == "paletted"
    assert found["confidence.tif"]["renderer"] == "singlebandpseudocolor"
    assert found["polygons.gpkg"]["renderer"] == "categorizedSymbol"
    assert found["attributes"]["rows"] == [[c.value, c.name] for c in SCHEME]
    assert found["overlap"] == pytest.approx(1.0)

    drawn = np.asarray(Image.open(tmp_path / "drawn.png").convert("RGB"))
    table = color_table(SCHEME)
    expected = np.array([table[v][:3] if v != NODATA else (255,) * 3 for v in range(256)])[pixels]
    assert np.array_equal(drawn, expected)
