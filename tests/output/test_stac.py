"""The catalog's item, against STAC's own schema and pystac."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import jsonschema
import numpy as np
import pystac
import pytest
from affine import Affine
from pystac.extensions.classification import ClassificationExtension
from pystac.extensions.projection import ProjectionExtension
from pystac.extensions.raster import RasterExtension
from pystac.validation.local_validator import get_local_schema_cache
from rasterio.crs import CRS
from referencing import Registry, Resource

from geocamss.classes import ClassScheme
from geocamss.output.areas import ClassArea
from geocamss.output.stac import ASSETS, build_item, write_item

from .maps import NORTH_UP, SCHEME

WHEN = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
FILES = [file for file, *_ in ASSETS.values()]


def item(**changes) -> pystac.Item:
    arguments = {
        "crs": CRS.from_epsg(32633),
        "transform": NORTH_UP,
        "shape": (100, 200),
        "scheme": SCHEME,
        "files": FILES,
    }
    return build_item("map", **(arguments | changes))


def as_json(built: pystac.Item, folder: Path) -> dict:
    write_item(built, folder / "item.json")
    return json.loads((folder / "item.json").read_text("utf-8"))


def check(document: dict) -> None:
    """STAC's core schema, which pystac brings along."""
    schemas = get_local_schema_cache()
    registry = Registry().with_resources(
        [(uri, Resource.from_contents(schema)) for uri, schema in schemas.items()]
    )
    schema = next(schema for uri, schema in schemas.items() if uri.endswith("/item.json"))
    jsonschema.Draft7Validator(schema, registry=registry).validate(document)


VARIANTS = {
    "plain": {},
    "no crs": {"crs": None, "transform": Affine.identity()},
    "a crs without a code": {"crs": CRS.from_string("+proj=laea +lat_0=3 +lon_0=7")},
    "from when to when": {"acquired": (WHEN - timedelta(days=3), WHEN - timedelta(days=1))},
    "when": {"acquired": WHEN - timedelta(days=3)},
    "across the antimeridian": {
        "crs": CRS.from_epsg(4326),
        "transform": Affine(0.01, 0, 179.5, 0, -0.01, 3),
    },
    "few files": {"files": ["classes.tif"]},
    "odd provenance": {
        "provenance": {"scene": Path("a b/ü.tif"), "scale": float("nan"), "bands": {"red": 3}}
    },
}


@pytest.mark.parametrize("name", VARIANTS)
def test_the_item_is_valid(tmp_path, name):
    document = as_json(item(**VARIANTS[name]), tmp_path)
    check(document)
    read = pystac.Item.from_file(str(tmp_path / "item.json"))
    assert read.id == "map"
    assert {asset.href for asset in read.assets.values()} == {
        f"./{file}" for file in VARIANTS[name].get("files", FILES)
    }
    for asset in read.assets.values():
        assert asset.get_absolute_href() == str(tmp_path / asset.href[2:])


def test_projection_and_raster_fields_are_what_pystac_reads(tmp_path):
    as_json(item(), tmp_path)
    read = pystac.Item.from_file(str(tmp_path / "item.json"))
    projection = ProjectionExtension.ext(read)
    assert projection.code == "EPSG:32633"
    assert projection.shape == [100, 200]
    assert projection.transform == list(NORTH_UP)[:6]
    (band,) = RasterExtension.ext(read.assets["confidence"]).bands
    assert (band.nodata, band.data_type, band.unit) == (255, "uint8", "percent")
    assert band.spatial_resolution == 10


def test_a_crs_without_a_code_is_written_out():
    properties = item(crs=CRS.from_string("+proj=laea +lat_0=3 +lon_0=7")).properties
    assert properties["proj:code"] is None
    assert properties["proj:wkt2"].startswith("PROJCRS")


def test_spatial_resolution_is_in_meters():
    built = item(crs=CRS.from_epsg(2263), transform=Affine(3, 0, 0, 0, -3, 0))
    (band,) = built.assets["classes"].extra_fields["raster:bands"]
    assert band["spatial_resolution"] == pytest.approx(0.9144, rel=1e-5)


def test_classes_are_listed_with_their_colors(tmp_path):
    as_json(item(), tmp_path)
    read = pystac.Item.from_file(str(tmp_path / "item.json"))
    classes = ClassificationExtension.ext(read.assets["classes"]).classes
    assert [c.value for c in classes] == list(SCHEME.values)
    assert [c.color_hint for c in classes] == [c.hex[1:].upper() for c in SCHEME]
    assert [c.to_dict()["title"] for c in classes] == list(SCHEME.names)
    assert [c.name for c in classes] == ["water", "Gebaude-Hof", "so-called-land", "road", "woods"]


@pytest.mark.parametrize(
    "names", [["日本", "中国"], ["a b", "a-b", "a.b"], ["x-2", "x", "x!"], ["-", "_", "?"]]
)
def test_class_names_are_letters_that_stac_allows_and_differ(names):
    entries = item(scheme=ClassScheme.of(names)).assets["classes"].extra_fields
    found = [entry["name"] for entry in entries["classification:classes"]]
    assert all(re.fullmatch(r"[0-9A-Za-z_-]+", name) for name in found)
    assert len(set(found)) == len(names)


def test_without_a_place_on_earth_there_is_no_geometry(tmp_path):
    document = as_json(item(crs=None, transform=Affine.identity()), tmp_path)
    assert document["geometry"] is None
    assert "bbox" not in document
    assert document["properties"]["proj:code"] is None


def test_times_are_the_scenes_or_any_time():
    acquired = datetime(2020, 1, 2, 5, tzinfo=timezone(timedelta(hours=2)))
    known = item(acquired=acquired).to_dict()["properties"]
    assert known["datetime"] == "2020-01-02T03:00:00Z"
    assert known["geocamss:datetime_source"] == "scene"
    assert "start_datetime" not in known
    unknown = item().to_dict()["properties"]
    assert unknown["datetime"] is None
    assert unknown["geocamss:datetime_source"] == "unknown"
    for name in ("start_datetime", "end_datetime"):  # what tables of times can hold
        assert np.datetime64(unknown[name][:-1], "ns") == np.datetime64(unknown[name][:-1], "s")
    assert unknown["start_datetime"] < "1900"
    assert unknown["end_datetime"] > "2100"
    span = item(acquired=(acquired, WHEN)).to_dict()["properties"]
    assert span["datetime"] is None
    assert span["start_datetime"] == "2020-01-02T03:00:00Z"
    assert span["end_datetime"] == "2024-05-06T07:08:09Z"


def test_an_item_does_not_say_when_it_was_made(tmp_path):
    """The bytes of a map's files do not depend on the moment."""
    now = datetime.now(UTC)
    for acquired in (None, WHEN, (WHEN, WHEN)):
        text = json.dumps(as_json(item(acquired=acquired), tmp_path))
        assert not {"created", "updated"} & set(json.loads(text)["properties"])
        assert f"{now:%Y-%m}" not in text


def test_provenance_and_areas_are_properties():
    area = ClassArea(0, "water", 5, 12.5, 1.0, None)
    properties = item(
        provenance={"model": "m", "seed": 3, "nested": [{"a": Path("b")}]},
        areas=[area],
        software={"geocamss": "1.0"},
        lineage="made so",
    ).properties
    assert properties["geocamss:model"] == "m"
    assert properties["geocamss:nested"] == [{"a": "b"}]
    assert properties["geocamss:areas"][0]["area_m2"] == 12.5
    assert properties["processing:software"] == {"geocamss": "1.0"}
    assert properties["processing:lineage"] == "made so"
    assert all(re.fullmatch("[a-z_]+", key.split(":")[-1]) for key in properties)


def test_the_footprint_is_that_of_the_part_with_data():
    whole, part = item(), item(window=(10, 20, 30, 40))
    assert np.all(np.array(part.bbox[:2]) > np.array(whole.bbox[:2]))
    assert np.all(np.array(part.bbox[2:]) < np.array(whole.bbox[2:]))


def test_a_failed_write_leaves_the_old_file(tmp_path):
    (tmp_path / "item.json").write_text("before")
    built = item()
    built.properties["bad"] = float("nan")
    with pytest.raises(ValueError, match="JSON"):
        write_item(built, tmp_path / "item.json")
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("item.json", "before")]
