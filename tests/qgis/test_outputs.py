"""What QGIS shows of a folder of outputs, with no click."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from PIL import Image

from geocamss.classes import NODATA
from geocamss.output.areas import class_areas
from geocamss.output.attributes import write_pam
from geocamss.output.colors import CONFIDENCE, color_table
from geocamss.output.polygons import polygonize
from geocamss.output.style import write_qml
from tests.output.maps import NORTH_UP, SCHEME, landscape, write_map


def outputs(folder: Path, crs, transform) -> np.ndarray:
    folder.mkdir()
    pixels = landscape(60, 80)
    percent = np.full_like(pixels, 80)
    classes = write_map(folder / "classes.tif", pixels, crs, transform)
    confidence = write_map(folder / "confidence.tif", percent, crs, transform)
    polygonize(classes, confidence, folder / "polygons.gpkg", SCHEME)
    write_qml(folder / "classes.qml", SCHEME)
    write_qml(folder / "confidence.qml", CONFIDENCE)
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
    found = qgis("look_at_outputs.py", folder, tmp_path / "drawn.png")
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
