"""A result in Python and in notebooks."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio

import geocamss
from geocamss.classes import NODATA
from geocamss.errors import GeocamssWarning, InputError
from geocamss.output.areas import class_areas
from geocamss.output.colors import color_table
from geocamss.output.polygons import polygonize
from geocamss.result import Result

from .output.maps import NORTH_UP, SCHEME, UTM, landscape, write_map

PIXELS = landscape(60, 80, seed=2, smooth=4.0)


EXTRA = "is in the extra geocamss[notebook]"


@pytest.fixture
def result(tmp_path) -> Result:
    classes = write_map(tmp_path / "classes.tif", PIXELS, UTM, NORTH_UP)
    with rasterio.open(classes, "r+") as file:
        file.write_colormap(1, color_table(SCHEME))
        file.update_tags(**{f"CLASS_{c.value}": c.name for c in SCHEME})
    percent = np.where(PIXELS == NODATA, NODATA, 80).astype(np.uint8)
    confidence = write_map(tmp_path / "confidence.tif", percent, UTM, NORTH_UP)
    polygonize(classes, confidence, tmp_path / "polygons.gpkg", SCHEME)
    areas = class_areas(classes, confidence, SCHEME)
    return Result.of(tmp_path, ("classes", "confidence", "polygons"), areas)


def test_xarray_holds_the_map(result):
    pytest.importorskip("rioxarray", reason=EXTRA)
    found = result.to_xarray()
    assert found["classes"].dtype == np.uint8
    assert np.array_equal(found["classes"].values, PIXELS)
    assert found["classes"].rio.nodata == NODATA
    assert found.rio.crs.to_epsg() == 32633
    assert found["classes"].attrs["flag_values"].tolist() == list(SCHEME.values)
    assert len(found["classes"].attrs["flag_meanings"].split()) == len(SCHEME)
    assert found["confidence"].attrs["units"] == "percent"


def test_polygons_cover_the_map(result):
    frame = result.polygons_frame()
    assert frame.crs.to_epsg() == 32633
    assert frame.area.sum() == pytest.approx((PIXELS != NODATA).sum() * 100)


def test_show_draws_the_colors_of_the_classes(result):
    matplotlib = pytest.importorskip("matplotlib", reason=EXTRA)
    matplotlib.use("Agg")
    axes = result.show()
    drawn = np.asarray(axes.images[0].get_array())
    for entry in SCHEME:
        assert (drawn[entry.value == PIXELS] == (*entry.color, 255)).all()
    assert {text.get_text() for text in axes.get_legend().get_texts()} == set(SCHEME.names)
    percent = result.show("confidence").images[0].get_array()
    assert (percent.compressed() == 80).all()
    matplotlib.pyplot.close("all")


def test_explore_shows_the_largest_polygons(result):
    pytest.importorskip("folium", reason=EXTRA)
    pytest.importorskip("mapclassify", reason=EXTRA)
    with pytest.warns(GeocamssWarning, match="the largest 3 of"):
        assert result.explore(most=3, tiles=None) is not None


def test_a_notebook_shows_areas_and_escapes_names(result):
    text = result._repr_html_()
    assert "Gebäude &amp; &lt;Hof&gt;" in text
    assert "80 %" in text


def test_a_scene_shows_what_it_is_and_escapes_names(tmp_path):
    path = write_map(tmp_path / "here & <there>.tif", PIXELS.astype(np.uint16))
    with rasterio.open(path, "r+") as file:
        file.set_band_description(1, "<i>near infrared</i>")
    text = geocamss.Scene.open(path)._repr_html_()
    for told in ("here &amp; &lt;there&gt;.tif", "GTiff", "80 x 60 pixels", UTM, "10 m", "uint16"):
        assert told in text
    assert "&lt;i&gt;near infrared" in text
    assert "<i>" not in text


def test_a_model_card_shows_bands_classes_and_scores_and_escapes_names():
    card = geocamss.ModelCard(
        name="fields",
        description="of <one> summer",
        bands=["red", "nir"],
        gsd=2.5,
        classes=SCHEME,
        chip=128,
        overlap=32,
        metrics={"miou": 0.5},
    )
    text = card._repr_html_()
    for told in ("fields, version", "of &lt;one&gt; summer", "red, nir", "2.5 m", "0.500"):
        assert told in text
    for entry in SCHEME:
        assert f">{entry.value}<" in text
        assert entry.hex in text
    assert "Gebäude &amp; &lt;Hof&gt;" in text
    assert "<Hof>" not in text


def test_what_was_not_written_is_told(tmp_path):
    empty = Result.of(tmp_path, (), ())
    for method in (empty.polygons_frame, empty.show, empty.to_xarray):
        with pytest.raises(InputError, match="not among the outputs"):
            method()


@pytest.mark.parametrize(
    ("method", "library", "extra"),
    [("show", "matplotlib", "plot"), ("explore", "folium", "notebook"),
     ("to_xarray", "rioxarray", "notebook")],
)  # fmt: skip
def test_a_missing_library_is_told(result, monkeypatch, method, library, extra):
    import sys

    for name in [name for name in sys.modules if name.split(".")[0] == library]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(InputError, match=rf"{method}\(\) needs {library}.*geocamss\[{extra}\]"):
        getattr(result, method)()
