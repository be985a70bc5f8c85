"""STAC: items of several makers, catalogs, searches; and what a catalog must not do."""

from __future__ import annotations

import datetime as dt
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st

from geocamss.errors import GeocamssWarning, InputError, RunError, SceneError
from geocamss.scene.bundle import Bundle
from geocamss.scene.catalog import StacSearch, find_scenes
from geocamss.scene.gdal import gdal_path, is_remote
from geocamss.scene.items import item_bundle, resolve_href
from geocamss.scene.scene import Scene
from tests.scene import products
from tests.scene.test_products import read
from tests.servers import serving, stac_api

TIFF = "image/tiff; application=geotiff; profile=cloud-optimized"


def item(name: str, assets: dict[str, Any], **properties: Any) -> dict[str, Any]:
    made = pystac.Item(
        id=name,
        geometry={
            "type": "Polygon",
            "coordinates": [[[10, 46], [10.1, 46], [10.1, 46.1], [10, 46.1], [10, 46]]],
        },
        bbox=[10, 46, 10.1, 46.1],
        datetime=dt.datetime(2024, 8, 30, 10, tzinfo=dt.UTC),
        properties=properties,
        collection="scenes",
    ).to_dict()
    made["assets"] = assets
    made["links"] = []
    assert pystac.Item.from_dict(made).id == name
    return made


def files(folder: Path) -> dict[str, np.ndarray]:
    stored = {}
    for seed, (band, size) in enumerate({"B04": 10, "B03": 10, "B11": 20}.items()):
        values = products.numbers(seed, 400 // size)
        products.write(folder / f"{band}.tif", values, nodata=0, **products.place(size))
        stored[band] = values[0]
    scl = np.random.default_rng(5).integers(0, 12, (1, 20, 20)).astype(np.uint8)
    products.write(folder / "SCL.tif", scl, **products.place(20))
    products.write(folder / "look.tif", np.zeros((3, 40, 40), np.uint8), **products.place(10))
    stored["SCL"] = scl[0]
    return stored


def old_assets(**more: Any) -> dict[str, Any]:
    """As STAC 1.0 has them, with ``eo:bands`` and ``raster:bands``."""
    names = {"red": ("B04", "red"), "green": ("B03", "green"), "swir16": ("B11", "swir16")}
    found: dict[str, Any] = {
        key: {
            "href": f"./{code}.tif",
            "type": TIFF,
            "roles": ["data"],
            "eo:bands": [{"name": code, "common_name": common}],
            "raster:bands": [{"scale": 0.0001, "offset": -0.1, "nodata": 0}],
        }
        for key, (code, common) in names.items()
    }
    return found | {
        "visual": {"href": "./look.tif", "type": TIFF, "roles": ["visual"]},
        "scl": {"href": "./SCL.tif", "type": TIFF, "roles": ["data"]},
        "thumbnail": {"href": "./look.png", "type": "image/png", "roles": ["thumbnail"]},
        "info": {"href": "./x.xml", "type": "application/xml", "roles": ["metadata"]},
        **more,
    }


def new_assets() -> dict[str, Any]:
    """As STAC 1.1 has them, with common ``bands``."""
    names = {"B04": "red", "B03": "green", "B11": "swir16"}
    found: dict[str, Any] = {
        code: {
            "href": f"./{code}.tif",
            "type": TIFF,
            "roles": ["data", "reflectance"],
            "nodata": 0,
            "raster:scale": 0.0001,
            "raster:offset": -0.1,
            "bands": [{"name": code, "eo:common_name": common}],
        }
        for code, common in names.items()
    }
    return found | {"SCL": {"href": "./SCL.tif", "type": TIFF, "roles": ["data"]}}


def saved(folder: Path, found: dict[str, Any], name: str = "item.json") -> Path:
    path = folder / name
    path.write_text(json.dumps(found))
    return path


@pytest.mark.parametrize("assets", [old_assets, new_assets])
def test_an_item_is_a_scene(tmp_path, assets):
    stored = files(tmp_path)
    path = saved(tmp_path, item("S2B_X", assets(), platform="sentinel-2b"))
    scene = Scene.open(path)
    assert scene.id == "S2B_X"
    assert scene.datetime == dt.datetime(2024, 8, 30, 10, tzinfo=dt.UTC)
    assert [band.name for band in scene.bands] == ["red", "green", "swir1"]
    assert {(band.scale, band.offset) for band in scene.bands} == {(1e-4, -0.1)}
    values, valid = read(scene, "red", "green")
    clear = np.isin(stored["SCL"], (2, 4, 5, 6, 7, 11)).repeat(2, 0).repeat(2, 1)
    assert (valid == clear).all()
    assert (values[0][valid] == stored["B04"][valid]).all()


@pytest.mark.parametrize(
    ("properties", "declared", "expected"),
    [
        ({"earthsearch:boa_offset_applied": True}, True, (1e-4, 0.0)),
        ({"earthsearch:boa_offset_applied": False}, True, (1e-4, -0.1)),
        ({"s2:processing_baseline": "05.11"}, False, (1e-4, -0.1)),
        ({"s2:processing_baseline": "02.12"}, False, (1e-4, 0.0)),
        ({}, False, (1.0, 0.0)),
    ],
)
def test_offsets_are_applied_once_whatever_a_catalog_has_done(
    tmp_path, card, properties, declared, expected
):
    files(tmp_path)
    assets = old_assets()
    if not declared:
        for asset in assets.values():
            asset.pop("raster:bands", None)
    path = saved(tmp_path, item("x", assets, **properties))
    with pytest.warns(GeocamssWarning, match="pixels are left out by scl"):
        scene = Scene.open(path, card=card("red", "green"))
    assert {(band.scale, band.offset) for band in scene.bands} == {expected}


@pytest.mark.parametrize(
    "facts",
    [
        {"raster:bands": [{"scale": 1e-4, "offset": -0.1, "nodata": 0}]},
        {"raster:scale": 1e-4, "raster:offset": -0.1, "nodata": 0},
        {
            "raster:scale": 1e-4,
            "raster:offset": -0.1,
            "nodata": 0,
            "bands": [{"data_type": "uint16"}],
        },
        {"bands": [{"raster:scale": 1e-4, "raster:offset": -0.1, "nodata": 0}]},
    ],
)
def test_scaling_holds_for_bands_that_only_their_assets_name(tmp_path, facts):
    for seed, code in enumerate(("B02", "B03", "B04")):
        values = products.numbers(seed, 40)
        values[:, :20] = 0
        products.write(tmp_path / f"{code}.tif", values, **products.place(10))
    assets = {
        code: {"href": f"{code}.tif", "type": TIFF, "roles": ["data"], **facts}
        for code in ("B02", "B03", "B04")
    }
    scene = Scene.open(saved(tmp_path, item("x", assets, platform="sentinel-2a")))
    assert [band.name for band in scene.bands] == ["blue", "green", "red"]
    assert {(b.scale, b.offset, b.nodata) for b in scene.bands} == {(1e-4, -0.1, 0)}
    assert read(scene, "red")[1].sum() == 20 * 40


def test_the_offset_of_a_baseline_holds_for_bands_that_only_their_assets_name(tmp_path):
    files(tmp_path)
    assets = {
        code: {"href": f"{code}.tif", "type": TIFF, "roles": ["data"]} for code in ("B03", "B04")
    }
    assets["SCL"] = {"href": "SCL.tif", "type": TIFF, "roles": ["data"]}
    found = item("x", assets, platform="sentinel-2a", **{"s2:processing_baseline": "05.11"})
    scene = Scene.open(saved(tmp_path, found))
    assert [(b.name, b.scale, b.offset) for b in scene.bands] == [
        ("green", 1e-4, -0.1),
        ("red", 1e-4, -0.1),
    ]


def test_a_scene_classification_is_known_with_its_pixel_size(tmp_path):
    stored = files(tmp_path)
    coarse = np.full((1, 6, 6), 9, np.uint8)  # clouds everywhere, were it taken
    products.write(tmp_path / "SCL60.tif", coarse, **products.place(60))
    assets = {f"{code}_10m": facts for code, facts in new_assets().items() if code != "SCL"}
    assets["SCL_60m"] = {"href": "SCL60.tif", "type": TIFF, "roles": ["data"]}
    assets["SCL_20m"] = {"href": "SCL.tif", "type": TIFF, "roles": ["data"]}
    scene = Scene.open(saved(tmp_path, item("x", assets, platform="sentinel-2a")))
    assert [band.name for band in scene.bands] == ["red", "green", "swir1"]
    assert len(scene.quality) == 1
    clear = np.isin(stored["SCL"], (2, 4, 5, 6, 7, 11)).repeat(2, 0).repeat(2, 1)
    assert (read(scene, "red")[1] == clear).all()


def test_of_two_assets_with_one_band_the_tiff_is_taken(tmp_path):
    files(tmp_path)
    twice = {
        "href": "./B04.jp2",
        "type": "image/jp2",
        "roles": ["data"],
        "eo:bands": [{"name": "B04", "common_name": "red"}],
    }
    assets = {"red-jp2": twice, **old_assets()}
    scene = Scene.open(saved(tmp_path, item("x", assets)))
    assert [band.name for band in scene.bands] == ["red", "green", "swir1"]


@pytest.mark.parametrize("told", ["gsd", "raster:bands", "key", "bare"])
def test_of_two_assets_with_one_band_the_finest_is_taken(tmp_path, told):
    files(tmp_path)
    assets = {}
    for size in (60, 10):
        products.write(
            tmp_path / f"B02_{size}.tif", products.numbers(9, 400 // size), **products.place(size)
        )
        facts: dict[str, Any] = {
            "href": f"B02_{size}.tif",
            "type": TIFF,
            "bands": [{"name": "B02"}],
        }
        if told == "gsd":
            facts["gsd"] = size
        if told == "raster:bands":
            facts["raster:bands"] = [{"spatial_resolution": size}]
        if told == "bare":
            del facts["bands"]
        assets[f"B02_{size}m" if told in ("key", "bare") else f"copy-of-{size}"] = facts
    scene = Scene.open(saved(tmp_path, item("x", assets, platform="sentinel-2a")))
    assert [band.name for band in scene.bands] == ["blue"]
    assert (scene.width, scene.height) == (40, 40)


@pytest.mark.parametrize(
    "media", ["image/x.geotiff", "application/octet-stream", "image/x-jp2", ""]
)
def test_a_media_type_that_nobody_knows_leaves_the_ending(tmp_path, media):
    files(tmp_path)
    assets = {"red": {"href": "B04.tif", "type": media, "eo:bands": [{"name": "red"}]}}
    assert [band.name for band in Scene.open(saved(tmp_path, item("x", assets))).bands] == ["red"]
    assets["red"]["href"] = "B04.html"
    with pytest.raises(SceneError, match="no asset that is a picture"):
        Scene.open(saved(tmp_path, item("x", assets)))


def test_bands_that_only_their_keys_name_lie_beside_those_that_are_described(tmp_path):
    files(tmp_path)
    keys = ("green", "B11", "aot", "B04")
    plain = {key: {"href": f"{key}.tif", "type": TIFF} for key in keys}
    plain["green"]["href"] = "B03.tif"
    assets = {"red": old_assets()["red"], **plain, "visual": old_assets()["visual"]}
    scene = Scene.open(saved(tmp_path, item("x", assets, platform="sentinel-2a")))
    # A second red one would leave open which is meant, and nobody knows what aot is.
    assert [band.name for band in scene.bands] == ["red", "green", "swir1"]
    # Without a sensor B11 may be many things, but none that is there already.
    bundle = item_bundle(item("x", assets), str(tmp_path / "item.json"))
    assert [band.name for band in bundle.bands] == ["red", "green", "B11"]


def test_bands_of_one_common_name_keep_their_own(tmp_path):
    files(tmp_path)
    assets = {
        code: {
            "href": f"./{file}.tif",
            "type": TIFF,
            "eo:bands": [{"name": code, "common_name": "rededge", "center_wavelength": wavelength}],
        }
        for code, file, wavelength in (("B05", "B04", 0.704), ("B06", "B03", 0.74))
    }
    scene = Scene.open(saved(tmp_path, item("x", assets, platform="sentinel-2a")))
    assert [band.name for band in scene.bands] == ["rededge1", "rededge2"]


def test_an_asset_of_several_bands_gives_them_all(tmp_path):
    values = np.concatenate([products.numbers(seed, 12) for seed in range(4)])
    products.write(tmp_path / "image.tif", values, **products.place(10))
    bands = [{"name": n, "common_name": n} for n in ("red", "green", "blue", "nir")]
    assets = {"image": {"href": "image.tif", "type": TIFF, "eo:bands": bands}}
    scene = Scene.open(saved(tmp_path, item("x", assets)))
    assert (read(scene, "nir", "red")[0] == values[[3, 0]]).all()


PLAIN = {"image": {"href": "image.tif", "type": TIFF, "roles": ["data"]}}


def test_an_item_with_one_plain_file_has_the_bands_of_that_file(tmp_path):
    values = np.concatenate([products.numbers(seed, 12) for seed in range(3)])
    names = ("red", "green", "blue")
    products.write(tmp_path / "image.tif", values, descriptions=names, **products.place(10))
    where = saved(tmp_path, item("day-1", PLAIN))
    scene = Scene.open(where)
    assert (scene.id, scene.datetime) == ("day-1", dt.datetime(2024, 8, 30, 10, tzinfo=dt.UTC))
    assert [band.name for band in scene.bands] == list(names)
    assert (read(scene, *names)[0] == values).all()
    (source,) = find_scenes([where])
    assert source.id == "day-1"
    assert Scene.open(source.path).datetime == scene.datetime


def test_the_one_plain_file_of_an_item_is_no_list_of_others(tmp_path):
    secret = products.write(tmp_path / "secret.tif", products.numbers(0, 9), **products.place(10))
    (tmp_path / "image.tif").write_text(
        '<VRTDataset rasterXSize="9" rasterYSize="9"><VRTRasterBand dataType="UInt16" band="1">'
        f"<SimpleSource><SourceFilename>{secret}</SourceFilename><SourceBand>1</SourceBand>"
        "</SimpleSource></VRTRasterBand></VRTDataset>"
    )
    with pytest.raises(SceneError, match=r"image\.tif: cannot be opened"):
        Scene.open(saved(tmp_path, item("x", PLAIN)))


def catalog_of(folder: Path) -> Path:
    """A catalog, its collection and three items, written and validated by pystac."""
    files(folder)
    catalog = pystac.Catalog(id="root", description="all")
    collection = pystac.Collection(
        id="scenes",
        description="scenes",
        extent=pystac.Extent(
            pystac.SpatialExtent([[10, 46, 10.1, 46.1]]),
            pystac.TemporalExtent([[dt.datetime(2024, 1, 1, tzinfo=dt.UTC), None]]),
        ),
    )
    catalog.add_child(collection)
    for name in ("a", "b", "c"):
        found = pystac.Item.from_dict(item(name, {}))
        for key, facts in new_assets().items():
            whole = {**facts, "href": str(folder / facts["href"])}
            found.add_asset(key, pystac.Asset.from_dict(whole))
        collection.add_item(found)
    catalog.normalize_hrefs(str(folder / "catalog"))
    catalog.save(catalog_type=pystac.CatalogType.SELF_CONTAINED)
    return folder / "catalog" / "catalog.json"


def test_a_catalog_is_walked_down_to_its_items(tmp_path):
    path = catalog_of(tmp_path)
    expected = [found.id for found in pystac.Catalog.from_file(path).get_items(recursive=True)]
    for source in (path, path.parent, path.parent / "scenes/collection.json"):
        found = find_scenes([source])
        assert [scene.id for scene in found] == expected
        assert {scene.datetime for scene in found} == {dt.datetime(2024, 8, 30, 10, tzinfo=dt.UTC)}
    # What is found needs the catalog no more.
    (tmp_path / "catalog").rename(tmp_path / "elsewhere")
    assert [band.name for band in Scene.open(found[0].path).bands] == ["red", "green", "swir1"]


def test_an_item_collection_is_its_items(tmp_path):
    files(tmp_path)
    features = [item(name, new_assets()) for name in ("a", "b", "a")]
    collection = {"type": "FeatureCollection", "features": features}
    assert len(pystac.ItemCollection.from_dict(collection)) == 3
    path = saved(tmp_path, collection, "found.json")
    with pytest.warns(GeocamssWarning, match="1 of 3 scenes had been named before"):
        assert [scene.id for scene in find_scenes([path])] == ["a", "b"]
    with pytest.raises(SceneError, match="holds several scenes"):
        Scene.open(path)


def test_a_search_goes_through_all_pages(tmp_path):
    stored = files(tmp_path)
    with serving(tmp_path) as server:
        items = [item(f"s{i}", new_assets(), **{"eo:cloud_cover": 10.0 * i}) for i in range(6)]
        for found in items:
            for asset in found["assets"].values():
                asset["href"] = f"{server.url}/{Path(asset['href']).name}"
        del items[5]["properties"]["eo:cloud_cover"]
        items[0]["collection"] = "other"
        with stac_api(items) as api:
            search = StacSearch(
                api.url,
                ("scenes",),
                (9.0, 45.0, 11.0, 47.0),
                "2024-01-01/2024-12-31",
                max_cloud=30,
            )
            found = find_scenes([], stac=search)
            assert [scene.id for scene in found] == ["s1", "s2", "s3", "s5"]
            assert sum("/search" in path for path in api.asked) == 3
            assert len(find_scenes([], stac=StacSearch(api.url, limit=2))) == 2
            nowhere = StacSearch(api.url, bbox=(100.0, 0.0, 101.0, 1.0))
            with pytest.raises(InputError, match="finds nothing"):
                find_scenes([], stac=nowhere)
        scene = Scene.open(found[0].path)  # the API is gone, the files are there
        values, valid = read(scene, "red")
        assert (values[0][valid] == stored["B04"][valid]).all()


def test_items_of_one_name_in_two_collections_are_two_scenes(tmp_path):
    """And none is taken for another whose address ends alike."""
    features = [item(name, new_assets()) for name in ("a", "a", "stac", "c", "1", "x/stac")]
    features[1]["collection"] = "others"
    expected = ["others-a", "scenes-a", "stac", "c", "1", "x_stac"]
    collection = saved(tmp_path, {"type": "FeatureCollection", "features": features}, "stac.json")
    with stac_api(features) as api:
        for found in (find_scenes([collection]), find_scenes([], stac=StacSearch(api.url))):
            assert sorted(scene.id for scene in found) == sorted(expected)
            assert not any(scene.problem for scene in found)


def test_a_bad_entry_of_a_catalog_spoils_none_of_the_others(tmp_path):
    path = catalog_of(tmp_path)
    collection = path.parent / "scenes/collection.json"
    document = json.loads(collection.read_text())
    links = [{"rel": "item", "href": href} for href in ("./gone.json", "HDF5:x", "./bad.json", 5)]
    document["links"] = [*links[:2], *document["links"], *links[2:]]
    collection.write_text(json.dumps(document))
    (collection.parent / "bad.json").write_text("{")
    found = find_scenes([path])
    assert [scene.id for scene in found if not scene.problem] == ["a", "b", "c"]
    problems = [scene.problem for scene in found if scene.problem]
    told = ("gone.json: cannot be read", "leads to 'HDF5:x'", "is no JSON", "without an address: 5")
    assert all(text in problem for text, problem in zip(told, problems, strict=True)), problems
    assert len({scene.id for scene in found}) == 7
    with pytest.raises(SceneError, match="holds several scenes"):
        Scene.open(path)


def test_what_is_no_item_among_items_spoils_none_of_them(tmp_path):
    files(tmp_path)
    features = [None, item("a", new_assets()), 7]
    path = saved(tmp_path, {"type": "FeatureCollection", "features": features}, "all.json")
    with stac_api(features[:2]) as api:
        asked: list[Any] = [([path], None), ([], StacSearch(api.url, max_cloud=50))]
        for sources, search in asked:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", GeocamssWarning)  # both are nobody
                bad, good = find_scenes(sources, stac=search)
            assert "no sound STAC item" in bad.problem
            assert (good.id, good.problem) == ("a", "")


def test_documents_are_asked_for_again(tmp_path, monkeypatch):
    monkeypatch.setattr("geocamss.scene.documents.WAITS", (0.01, 0.01))
    path = catalog_of(tmp_path)
    troubles = {"a.json": 503, "b.json": "drop", "c.json": "truncate"}
    with serving(tmp_path) as server:

        def fail(name: str, count: int) -> int | str | None:
            return None if count else troubles.get(Path(name).name)

        server.fail = fail
        found = find_scenes([f"{server.url}/{path.relative_to(tmp_path)}"])
        assert [(scene.id, scene.problem) for scene in found] == [(n, "") for n in ("a", "b", "c")]


def test_a_server_that_has_fallen_silent_is_not_waited_for_again(tmp_path, monkeypatch):
    monkeypatch.setattr("geocamss.scene.documents.WAITS", (0.01, 0.01))
    path = catalog_of(tmp_path)
    with serving(tmp_path) as server:
        server.fail = lambda name, _: "drop" if name.endswith(("b.json", "c.json")) else None
        found = find_scenes([f"{server.url}/{path.relative_to(tmp_path)}"])
        asked = [name for _, name, _ in server.asked if name.endswith(("b.json", "c.json"))]
    assert [bool(scene.problem) for scene in found] == [False, True, True]
    assert "fallen silent" in found[2].problem
    assert len(asked) == 3


def test_a_search_outlives_a_server_that_stumbles():
    found = [item(f"s{i}", new_assets()) for i in range(5)]
    with stac_api(found) as api:
        api.stumbles = 2
        assert len(find_scenes([], stac=StacSearch(api.url))) == 5
        assert api.stumbles == 0
        assert "limit=100" in next(path for path in api.asked if "/search" in path)
        api.asked.clear()
        assert len(find_scenes([], stac=StacSearch(api.url, limit=2))) == 2
        assert "limit=2" in next(path for path in api.asked if "/search" in path)


def test_a_search_that_goes_in_circles_ends(monkeypatch):
    monkeypatch.setattr("geocamss.scene.stac.MOST_REPEATED", 10)
    with stac_api([item(f"s{i}", new_assets()) for i in range(5)]) as api:
        api.circles = True
        with pytest.raises(InputError, match="after 5 items the same ones come again"):
            find_scenes([], stac=StacSearch(api.url))
        assert len(find_scenes([], stac=StacSearch(api.url, limit=5))) == 5


def test_an_api_that_does_not_say_what_it_conforms_to_is_searched():
    with stac_api([item("a", new_assets())]) as api:
        api.conforms = False
        assert [scene.id for scene in find_scenes([], stac=StacSearch(api.url))] == ["a"]
        api.searches = False
        with pytest.raises(InputError, match="has no search"):
            find_scenes([], stac=StacSearch(api.url))


@pytest.mark.parametrize(
    "moment",
    ["yesterday", "", "..", "../..", "2024-13", "2023-02-29", "2024/2025/2026", "2024-05-01T10:00"],
)
def test_what_is_no_time_is_refused_before_anyone_is_asked(moment):
    with pytest.raises(InputError, match="a datetime is a moment such as 2024"):
        StacSearch("http://127.0.0.1:9/stac", datetime=moment)


@given(
    start=st.datetimes(timezones=st.just(dt.UTC)),
    end=st.datetimes(timezones=st.just(dt.UTC)),
    lengths=st.tuples(*[st.sampled_from([4, 7, 10, 20, 32])] * 2),
    is_open=st.sampled_from(["", "..", None]),
)
def test_all_times_that_the_client_knows_are_taken(start, end, lengths, is_open):
    """Cut to a year, a month, a day or a second; and, as they are, with a fraction and a zone."""
    texts = []
    for moment, length in zip((start, end), lengths, strict=True):
        text = moment.isoformat()[:length]
        texts.append(f"{text[:19]}Z" if length == 20 else text)
    alone, between = texts[0], "/".join(texts) if is_open is None else f"{texts[0]}/{is_open}"
    for text in (alone, between):
        assert StacSearch("http://x.org", datetime=text).datetime == text


@pytest.mark.parametrize("where", ["", "http://127.0.0.1:99999/stac", "http://"])
def test_a_server_that_is_no_api_is_named(tmp_path, where):
    with serving(tmp_path) as server:
        url = where or server.url
        with pytest.raises(InputError, match=url):
            find_scenes([], stac=StacSearch(url))


def test_an_api_that_is_down_is_no_mistake_of_the_user(monkeypatch):
    """From the first, for good after a page, or out of order: a script may try again later."""
    monkeypatch.setattr("geocamss.scene.stac.WAITS", (0.01, 0.01))
    with pytest.raises(RunError, match=r"the search fails.*refused.*try again later"):
        find_scenes([], stac=StacSearch("http://127.0.0.1:9/stac"))
    with stac_api([item(f"s{i}", new_assets()) for i in range(5)]) as api:
        api.stumbles = 100
        with pytest.raises(RunError, match=r"the search fails.*503.*try again later"):
            find_scenes([], stac=StacSearch(api.url))
        api.broken = True
        with pytest.raises(RunError, match="the search fails"):
            find_scenes([], stac=StacSearch(api.url))


@pytest.mark.parametrize(
    ("found", "error"),
    [
        ({"type": "Feature", "id": "x", "assets": {}}, "no asset that is a picture"),
        ({"type": "Feature", "id": "x"}, "has no assets"),
        ({"type": "Feature", "id": "x", "assets": {"a": {}}}, "has no address"),
        ({"type": "Feature", "id": "x", "assets": {"a": 1}}, "no sound STAC item"),
        ({"type": "Topology"}, "is no STAC item, collection or catalog"),
        ({"type": "FeatureCollection"}, "has no list of items"),
        ({"type": "Catalog", "links": [{"rel": "item"}]}, "a link without an address"),
        ({"type": "Catalog", "links": []}, "leads to no item"),
        ([], "is no STAC item"),
    ],
)
def test_what_is_no_item_is_said(tmp_path, found, error):
    with pytest.raises(SceneError, match=error):
        find_scenes([saved(tmp_path, found)])


@pytest.mark.parametrize(
    "href",
    [
        "/vsicurl/http://x/y.tif",
        "/vsimem/x",
        "/vsizip//etc/x.zip",
        "<VRTDataset/>",
        "HDF5:/etc/passwd",
        "WMS:http://x",
        "NETCDF:x.nc:a",
        "ftp://x/y.tif",
        "a\nb.tif",
        "",
        "x" * 10_000,
    ],
)
def test_a_catalog_leads_to_files_and_urls_only(href):
    with pytest.raises(SceneError, match=r"leads to|without an address"):
        resolve_href(href, "/data/item.json")


def test_a_catalog_on_a_server_leads_to_no_local_file():
    base = "https://example.org/a/item.json"
    with pytest.raises(SceneError, match="leads to this machine's"):
        resolve_href("file:///etc/passwd", base)
    assert resolve_href("/etc/passwd", base) == "https://example.org/etc/passwd"
    assert resolve_href("../b.tif", base) == "https://example.org/b.tif"
    assert resolve_href("/etc/passwd", "s3://bucket/a/item.json") == "s3://bucket/etc/passwd"
    assert resolve_href("../b.tif", "s3://bucket/a/c/item.json") == "s3://bucket/a/b.tif"
    assert resolve_href("./b.tif", "/data/c/item.json") == "/data/c/b.tif"


@settings(max_examples=500)
@given(
    start=st.sampled_from(["", "/", "//", "../", "http:", "s3:", "file:", " ", "\\", "http:///"]),
    rest=st.text("abc/.:?#[]%\\ ", max_size=12),
    base=st.sampled_from(["https://x.org/a/i.json", "https://x.org", "s3://b/i.json", "gs://b/i"]),
)
def test_nothing_that_a_server_says_is_a_file_of_this_machine(start, rest, base):
    try:
        found = resolve_href(start + rest, base)
    except SceneError:
        return
    assert is_remote(found)
    assert gdal_path(found).startswith("/vsi")


SELF_LINKS = ("{here}/item.json", "file://{here}/item.json", "s3://bucket/item.json", "http:/../x")


@pytest.mark.parametrize("link", SELF_LINKS)
@pytest.mark.parametrize("href", ["secret.tif", "{here}/secret.tif", "http:/../../..{here}/x.tif"])
def test_no_item_of_a_server_opens_a_file_of_this_machine(tmp_path, link, href):
    products.write(tmp_path / "secret.tif", products.numbers(0, 9), **products.place(10))
    asset = {"href": href.format(here=tmp_path), "type": TIFF}
    evil = item("x", {"red": {**asset, "eo:bands": [{"name": "red", "common_name": "red"}]}})
    evil["links"] = [{"rel": "self", "href": link.format(here=tmp_path)}]
    collection = saved(tmp_path, {"type": "FeatureCollection", "features": [evil]}, "all.json")
    with stac_api([evil]) as api, serving(tmp_path) as server:
        asked: list[Any] = [([], StacSearch(api.url)), ([f"{server.url}/{collection.name}"], None)]
        for sources, search in asked:
            try:
                (found,) = find_scenes(sources, stac=search)
            except SceneError as error:
                assert "leads to" in str(error)  # noqa: PT017 (either error will do)
                continue
            assert all(is_remote(path) for path in Bundle.from_text(found.path).paths)


def test_an_item_of_a_search_starts_from_its_own_address(tmp_path):
    stored = files(tmp_path)
    found = item("x", new_assets())
    with serving(tmp_path) as server, stac_api([found]) as api:
        found["links"] = [{"rel": "self", "href": f"{server.url}/item.json"}]
        (scene,) = find_scenes([], stac=StacSearch(api.url))
        values, valid = read(Scene.open(scene.path), "red")
        assert (values[0][valid] == stored["B04"][valid]).all()
        # A relative address starts from the server, and not from the folder that we work in.
        found["links"] = [{"rel": "self", "href": "/collections/scenes/items/x"}]
        (scene,) = find_scenes([], stac=StacSearch(api.url))
        paths = Bundle.from_text(scene.path).paths
        start = api.url.removesuffix("stac") + "collections/scenes/items/"
        assert paths[0] == f"{start}B04.tif"


def test_a_file_of_a_catalog_that_names_other_files_is_not_followed(tmp_path):
    """A VRT that calls itself a TIFF would let a catalog read any file of this machine."""
    secret = products.write(tmp_path / "secret.tif", products.numbers(0, 9), **products.place(10))
    with rasterio.open(secret) as file:
        wide, high = file.shape
    (tmp_path / "red.tif").write_text(
        f'<VRTDataset rasterXSize="{wide}" rasterYSize="{high}"><VRTRasterBand dataType="UInt16" '
        f'band="1"><SimpleSource><SourceFilename>{secret}</SourceFilename><SourceBand>1'
        "</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"
    )
    asset = {"href": "red.tif", "type": TIFF, "eo:bands": [{"name": "red", "common_name": "red"}]}
    path = saved(tmp_path, item("x", {"red": asset}))
    with pytest.raises(SceneError, match=r"red\.tif: cannot be opened"):
        Scene.open(path)


def test_a_bundle_says_what_its_item_says(tmp_path):
    bundle = item_bundle(item("x", old_assets()), str(tmp_path / "item.json"))
    assert not isinstance(bundle, str)
    assert [band.path for band in bundle.bands] == [
        str(tmp_path / name) for name in ("B04.tif", "B03.tif", "B11.tif")
    ]
    assert not bundle.trusted
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert bundle.paths[-1] == str(tmp_path / "SCL.tif")
