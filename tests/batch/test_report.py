"""The report and the catalog: nothing of a user's becomes markup, and programs can read both."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import jsonschema
import pystac
import pytest
import rasterio
from pystac.validation.local_validator import get_local_schema_cache
from referencing import Registry, Resource

from geocamss.batch.catalog import write_catalog
from geocamss.batch.report import report, write_report
from geocamss.batch.scenes import SceneResult
from geocamss.output.areas import ClassArea
from geocamss.output.stac import write_item
from geocamss.request import Request
from geocamss.scene.bundle import Bundle, BundleBand
from tests.output.test_stac import item

HOSTILE = "<script>alert(1)</script>\"'&\x00\x1b</td><img src=http://a.example/x onerror=alert(1)>"
PICTURE = base64.b64encode(b"\x89PNG").decode()


def result(folder: Path, name: str, state: str = "done", **changes) -> SceneResult:
    fields = {
        "id": name,
        "source": f"/data/{name}.tif",
        "key": "k",
        "state": state,
        "reason": "",
        "folder": folder / name,
        "pixels": 200,
        "blocks": 2,
        "seconds": 1.5,
        "retries": 0,
        "batch": 4,
        "datetime": datetime(2024, 5, 6, tzinfo=UTC),
        "areas": (
            ClassArea(0, "land", 150, 1500.0, 0.75, 80.0),
            ClassArea(1, "water", 50, 500.0, 0.25, None),
        ),
        "thumbnail": PICTURE,
    }
    return SceneResult(**(fields | changes))


def failed(folder: Path, name: str, reason: str) -> SceneResult:
    nothing = {"pixels": 0, "blocks": 0, "areas": (), "thumbnail": "", "datetime": None}
    return result(folder, name, "failed", reason=reason, batch=None, **nothing)


class Page(HTMLParser):
    """What a browser would make of a page: elements, addresses and text."""

    VOID = frozenset(("meta", "img", "br"))

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.addresses, self.text, self.open = [], [], "", []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href", "action")]
        assert not any(name.startswith("on") for name, _ in attrs)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def page(tmp_path) -> tuple[Page, dict]:
    scenes = [
        result(tmp_path, "one"),
        result(tmp_path, "two", "kept", source=HOSTILE),
        failed(tmp_path, "three", HOSTILE),
    ]
    content = report(scenes, Request(), datetime(2024, 5, 6, 7, tzinfo=UTC), 3725.2)
    path = write_report(tmp_path, content, scenes)
    return Page(path.read_text("utf-8")), json.loads((tmp_path / "report.json").read_text("utf-8"))


def test_nothing_of_a_scene_becomes_markup(page):
    shown, _ = page
    assert not shown.open
    assert "script" not in shown.tags
    assert all(address.startswith("data:image/png;base64,") for address in shown.addresses)
    assert "<script>alert(1)</script>" in shown.text


def test_the_page_tells_states_reasons_and_areas(page):
    shown, _ = page
    for text in ("2 of 3 scenes mapped", "mapped before", "failed", "1 h 2 min", "land 75.0 %"):
        assert text in shown.text, text


def test_the_page_tells_all_classes_of_each_scene_in_square_kilometers(tmp_path):
    classes = tuple(ClassArea(n, f"class{n}", n, n * 1e6, n / 45, None) for n in range(10))
    photo = tuple(ClassArea(n, f"class{n}", n, float(n), n / 45, None) for n in range(10))
    scenes = [
        result(tmp_path, "one", areas=classes),
        result(tmp_path, "photo", areas=photo),
        failed(tmp_path, "three", "why"),
    ]
    content = report(scenes, Request(), datetime.now(UTC), 1.0)
    text = Page(write_report(tmp_path, content, scenes).read_text("utf-8")).text
    table = text.split("Areas by scene, km²")[1].split("Scenes")[0]
    one, photo = table.removeprefix("Scene").split("one")[1].split("photo")
    assert one == "".join(f"{n}.000" for n in range(10))
    assert photo == "".join(f"{100 * n / 45:.1f} %" for n in range(10))


def test_the_page_tells_where_the_job_ran(tmp_path):
    place = {"scheduler": "tcp://10.0.0.1:8786", "workers": "7, of 9 threads", "device": "cpu"}
    content = report([], Request(), datetime.now(UTC), 1.0, place=place)
    page = Page(write_report(tmp_path, content, []).read_text("utf-8"))
    for text in (*place.values(), rasterio.__gdal_version__):
        assert text in page.text
        assert text in json.loads((tmp_path / "report.json").read_text())["environment"].values()


def test_a_report_lets_nobody_into_a_server(tmp_path):
    """It is handed on, where a signed URL is its bearer's."""
    signed = "https://me:secret@x.org/red.tif?id=3&sig=secret"
    bundle = Bundle("items.json#one", "one", (BundleBand("red", signed),))
    scenes = [
        failed(tmp_path, "one", f"{signed}: out of reach"),
        result(tmp_path, "two", source=bundle.to_text()),
        result(tmp_path, "three", source=signed),
    ]
    content = report(scenes, Request(), datetime.now(UTC), 1.0)
    sources = [scene["source"] for scene in content["scenes"]]
    assert sources == ["/data/one.tif", "items.json#one", "https://x.org/red.tif?id=3"]
    assert content["scenes"][0]["reason"] == "https://x.org/red.tif?id=3: out of reach"
    write_report(tmp_path, content, scenes)
    for path in tmp_path.iterdir():
        assert "secret" not in path.read_text("utf-8"), path


def test_totals_are_sums_over_maps(page):
    _, content = page
    totals = content["totals"]
    assert (totals["done"], totals["kept"], totals["failed"], totals["left"]) == (1, 1, 1, 0)
    assert totals["pixels"] == 400
    assert [(a["name"], a["area_m2"], a["share"]) for a in totals["areas"]] == [
        ("land", 3000.0, 0.75),
        ("water", 1000.0, 0.25),
    ]


def test_programs_find_all_of_a_scene(page):
    _, content = page
    one, _, three = content["scenes"]
    assert (one["seconds"], one["batch"], one["datetime"]) == (1.5, 4, "2024-05-06T00:00:00+00:00")
    assert one["areas"][1]["confidence"] is None
    assert three["reason"] == HOSTILE
    assert content["environment"]["geocamss"]
    assert content["request"]["model"] == "aerial-landcover"


def check(document: dict, kind: str) -> None:
    """STAC's core schema, which pystac brings along."""
    schemas = get_local_schema_cache()
    registry = Registry().with_resources(
        [(uri, Resource.from_contents(schema)) for uri, schema in schemas.items()]
    )
    schema = next(schema for uri, schema in schemas.items() if uri.endswith(f"/{kind}.json"))
    jsonschema.Draft7Validator(schema, registry=registry).validate(document)


def test_the_catalog_leads_to_the_items_of_all_maps(tmp_path):
    scenes = [result(tmp_path, "one"), result(tmp_path, "two", "kept")]
    for scene in scenes:
        scene.folder.mkdir()
        write_item(item(), scene.folder / "item.json")
    path = write_catalog(tmp_path, [*scenes, failed(tmp_path, "three", "why")])
    check(json.loads(path.read_text()), "catalog")
    moved = tmp_path / "moved"
    moved.mkdir()
    for child in ("one", "two", "catalog.json"):
        (tmp_path / child).rename(moved / child)
    read = pystac.Catalog.from_file(str(moved / "catalog.json"))
    found = list(read.get_items())
    assert len(found) == 2
    for one in found:
        assert str(moved) in one.assets["classes"].get_absolute_href()


def test_without_maps_there_is_no_catalog(tmp_path):
    (tmp_path / "catalog.json").write_text("{}")
    assert write_catalog(tmp_path, [failed(tmp_path, "three", "why")]) is None
    assert not (tmp_path / "catalog.json").exists()


def test_pixels_without_a_place_are_no_square_meters(tmp_path):
    counted = (
        ClassArea(0, "land", 900, 900.0, 0.9, None),
        ClassArea(1, "water", 100, 100.0, 0.1, None),
    )
    photo = result(tmp_path, "photo", areas=counted)
    said = report([photo, result(tmp_path, "s")], Request(), datetime.now(UTC), 1.0)
    land, water = said["totals"]["areas"]
    assert (land["pixels"], land["area_m2"], land["share"]) == (1050, 1500.0, 0.75)
    assert (water["pixels"], water["area_m2"], water["share"]) == (150, 500.0, 0.25)
    assert [area["area_m2"] for area in said["scenes"][0]["areas"]] == [None, None]
    alone = report([photo], Request(), datetime.now(UTC), 1.0)
    assert [area["area_m2"] for area in alone["totals"]["areas"]] == [None, None]
    assert [area["share"] for area in alone["totals"]["areas"]] == [0.9, 0.1]
    page = Page(write_report(tmp_path, alone, [photo]).read_text("utf-8"))
    assert "90.0 %" in page.text
