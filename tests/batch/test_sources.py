"""What ``map`` takes: searches of a server that is not ours, products of several files, lists."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import rasterio

import geocamss
from geocamss.cli.main import main
from geocamss.errors import SceneError
from geocamss.scene.catalog import StacSearch, find_scenes
from tests.scene import products
from tests.servers import serving
from tests.test_predict import texture, write_scene

OUTPUTS = ("classes", "confidence")
BANDS = {"B04": "red", "B03": "green", "B02": "blue"}
TIFF = "image/tiff; application=geotiff; profile=cloud-optimized"
RUSTAC = Path(sys.executable).with_name("rustac")
"""A command with a STAC API in it, in Rust, that keeps its items in memory."""


def mapped(sources, out: Path, model: Path, cluster, **options):
    """Map on the cluster; the result, and what was said."""
    options = {"outputs": OUTPUTS, "gsd": "native"} | options
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", geocamss.GeocamssWarning)
        result = geocamss.map_scenes(
            sources, out, model=model, scheduler=cluster.scheduler_address, **options
        )
    return result, " ".join(str(warning.message) for warning in said)


def same_as_predict(result, sources, folder: Path, model: Path) -> None:
    """Each map holds the bytes that ``predict`` writes for its scene."""
    for scene, source in zip(result.scenes, sources, strict=True):
        assert (scene.id, scene.state) == (source.id, "done"), scene.reason
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", geocamss.GeocamssWarning)
            alone = geocamss.predict(
                source.path, folder / source.id, model=model, outputs=OUTPUTS, gsd="native"
            )
        for raster in (alone.classes, alone.confidence):
            assert (scene.folder / raster.name).read_bytes() == raster.read_bytes(), scene.id


# A STAC API.


@contextlib.contextmanager
def stac_server(items: Path) -> Iterator[str]:
    """The address of a STAC API over some items."""
    if not RUSTAC.exists():
        pytest.skip("needs a STAC API: pip install rustac")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{free.getsockname()[1]}"
    command = [RUSTAC, "serve", "--addr", place, "--create-collections", items]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen(command, **quiet)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen(f"http://{place}/", timeout=5):
                    break
            except OSError:
                assert time.monotonic() < deadline, "the STAC API does not begin"
                time.sleep(0.1)
        yield f"http://{place}"
    finally:
        server.kill()
        server.wait()


def stac_item(name: str, folder: Path, url: str, *, clouds: float, day: int, seed: int) -> Any:
    """An item with a file for each band, served at an address."""
    assets = {}
    for number, (code, common) in enumerate(BANDS.items()):
        values = products.numbers(10 * seed + number, 90)
        products.write(folder / f"{name}_{code}.tif", values, nodata=0, **products.place(10))
        assets[code] = {
            "href": f"{url}/{name}_{code}.tif",
            "type": TIFF,
            "roles": ["data"],
            "eo:bands": [{"name": code, "common_name": common}],
            "raster:bands": [{"scale": 0.0001, "offset": -0.1, "nodata": 0}],
        }
    corners = [[10.0, 46.0], [10.1, 46.0], [10.1, 46.1], [10.0, 46.1], [10.0, 46.0]]
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": [],
        "id": name,
        "collection": "scenes",
        "geometry": {"type": "Polygon", "coordinates": [corners]},
        "bbox": [10.0, 46.0, 10.1, 46.1],
        "properties": {"datetime": f"2024-08-{day:02}T10:00:00Z", "eo:cloud_cover": clouds},
        "links": [],
        "assets": assets,
    }


@pytest.fixture
def catalog(tmp_path) -> Iterator[Path]:
    """An item collection of thirteen items, whose files are served; one of them has no assets.

    By day: three that are clear, one below clouds, one without assets, and eight of another month.
    """
    folder = tmp_path / "files"
    folder.mkdir()
    with serving(folder) as server:
        items = [
            stac_item(name, folder, server.url, clouds=clouds, day=day, seed=day)
            for name, clouds, day in (("a", 0, 1), ("b", 10, 2), ("c", 20, 3), ("d", 90, 4))
        ]
        bare = stac_item("bare", folder, server.url, clouds=5, day=5, seed=5) | {"assets": {}}
        later = [
            items[0]
            | {"id": f"later{n}", "properties": {"datetime": f"2025-01-{n + 1:02}T10:00:00Z"}}
            for n in range(8)
        ]
        path = tmp_path / "items.json"
        collection = {"type": "FeatureCollection", "features": [*items, bare, *later]}
        path.write_text(json.dumps(collection))
        yield path


def test_a_search_pages_and_filters(catalog, monkeypatch):
    monkeypatch.setattr("geocamss.scene.stac.PAGE", 5)
    with stac_server(catalog) as url:
        everything = find_scenes([], stac=StacSearch(url))
        assert len(everything) == 13  # three pages
        where = StacSearch(url, ("scenes",), (9.0, 45.0, 11.0, 47.0), "2024-08-01/2024-08-31")
        assert sorted(s.id for s in find_scenes([], stac=where)) == ["a", "b", "bare", "c", "d"]
        found = {source.id: source for source in everything}
        assert found["b"].datetime == dt.datetime(2024, 8, 2, 10, tzinfo=dt.UTC)
        assert "no asset" in found["bare"].problem
        assert not found["a"].problem


@pytest.mark.slow
def test_a_search_is_mapped(tmp_path, catalog, model, cluster, capsys):
    with stac_server(catalog) as url:
        search = ["--stac", url, "--collections", "scenes", "--bbox", "9,45,11,47"]
        search += ["--datetime", "2024-08-01/2024-08-31", "--max-cloud", "50"]
        how = ["--model", str(model), "--gsd", "native", "--outputs", ",".join(OUTPUTS)]
        where = ["--scheduler", cluster.scheduler_address, "-o", str(tmp_path / "out")]
        assert main(["map", *search, *how, *where]) == 1
        asked = StacSearch(
            url, ("scenes",), (9.0, 45.0, 11.0, 47.0), "2024-08-01/2024-08-31", max_cloud=50
        )
        sources = find_scenes([], stac=asked)
    said = capsys.readouterr()
    assert "3 of 4 scenes mapped" in said.out
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    states = {scene["id"]: (scene["state"], scene["reason"]) for scene in report["scenes"]}
    assert {name for name, (state, _) in states.items() if state == "done"} == {"a", "b", "c"}
    state, reason = states["bare"]
    assert state == "failed"
    assert "no asset" in reason
    # The API is gone, and the maps are those of the files.
    for source in sources:
        if source.problem:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", geocamss.GeocamssWarning)
            alone = geocamss.predict(
                source.path, tmp_path / source.id, model=model, outputs=OUTPUTS, gsd="native"
            )
        there = tmp_path / "out" / source.id / "classes.tif"
        assert there.read_bytes() == alone.classes.read_bytes()


def test_an_item_without_assets_alone_is_refused(tmp_path, catalog, capsys):
    features = [f for f in json.loads(catalog.read_text())["features"] if f["id"] == "bare"]
    path = tmp_path / "bare.json"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    with pytest.raises(SceneError, match="has no asset"):
        find_scenes([path])
    assert main(["map", str(path), "-o", str(tmp_path / "out")]) == 2
    assert "bare" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


# A URL.


@pytest.mark.slow
def test_a_url_that_dies_half_way_costs_its_scene_alone(tmp_path, model, cluster):
    folder, gone = tmp_path / "files", threading.Event()
    blocks = tmp_path / "out" / "a_dies" / ".geocamss" / "blocks"
    folder.mkdir()
    # Four internal tiles in a column. The blocks that are under way when two are done lie in the
    # first one; GDAL fetches no more ahead than it asks for.
    tiled = {"tiled": True, "blockxsize": 256, "blockysize": 256, "res": 1.0}
    write_scene(folder / "a_dies.tif", texture(1024, 256, seed=8), **tiled)
    write_scene(folder / "b_lives.tif", texture(80, 90, seed=9), res=1.0)

    def times():
        """When each block was finished; all are gone when the last one is."""
        with contextlib.suppress(FileNotFoundError):
            return {file: file.stat().st_mtime_ns for file in blocks.glob("*.npz")}
        return {}

    def die(_report):
        if len(list(blocks.glob("*.npz"))) >= 2:
            gone.set()

    with serving(folder) as server:
        server.fail = lambda path, _: "drop" if gone.is_set() and "dies" in path else None
        urls = [f"{server.url}/{name}.tif" for name in ("a_dies", "b_lives")]
        result, _ = mapped(urls, tmp_path / "out", model, cluster, progress=die)
        assert [scene.state for scene in result.scenes] == ["failed", "done"]
        dead = result.scenes[0]
        assert urls[0] in dead.reason
        assert dead.retries >= 2
        assert not list(dead.folder.glob("*.tif"))
        done = times()
        assert 2 <= len(done) < dead.blocks
        gone.clear()  # it is there again, and the same command does what is missing
        told = []
        again, _ = mapped(
            urls, tmp_path / "out", model, cluster, progress=lambda _: told.append(times())
        )
        assert [scene.state for scene in again.scenes] == ["done", "kept"]
        assert any(len(now) > len(done) for now in told)
        assert all(now.get(file, then) == then for now in told for file, then in done.items())
        for url, scene in zip(urls, again.scenes, strict=True):
            alone = geocamss.predict(
                url, tmp_path / scene.id, model=model, outputs=OUTPUTS, gsd="native"
            )
            for raster in (alone.classes, alone.confidence):
                assert (scene.folder / raster.name).read_bytes() == raster.read_bytes(), url


# Products of several files.


def bundles(folder: Path) -> list[str]:
    """A SAFE folder, another as an archive, a Landsat folder, and two scenes by a pattern."""
    safe, _ = products.sentinel2(folder / "one")
    packed, _ = products.sentinel2(folder / "two", baseline="03.01", offset=None)
    archive = products.packed(packed)
    shutil.rmtree(packed)
    landsat, _ = products.landsat(folder)
    for scene in ("north", "south"):
        for seed, band in enumerate(BANDS.values()):
            values, size = products.numbers(seed + len(scene), 80), 20 if band == "blue" else 10
            path = folder / f"scene_{scene}_{band}.tif"
            products.write(path, values[:, :: size // 10, :: size // 10], **products.place(size))
    return [str(safe), str(archive), str(landsat), f"{folder}/scene_*_{{band}}.tif"]


@pytest.mark.slow
def test_products_of_several_files_are_mapped(tmp_path, model, cluster):
    for name in ("one", "two"):
        (tmp_path / "in" / name).mkdir(parents=True)
    sources = bundles(tmp_path / "in")
    found = find_scenes(sources)
    assert len(found) == 5
    result, said = mapped(sources, tmp_path / "out", model, cluster)
    same_as_predict(result, found, tmp_path / "alone", model)
    for told in ("the offset -1000", "no offset", "SCL", "QA_PIXEL"):
        assert told in said, told
    with rasterio.open(result.scenes[0].folder / "classes.tif") as file:
        assert file.res == (10.0, 10.0)
        left_out = file.read(1) == 255
    assert 0.2 < left_out.mean() < 0.9  # clouds and shadows, by its SCL


# Lists, and names.


@pytest.mark.slow
def test_scenes_of_one_name_and_one_named_twice(tmp_path, model, cluster):
    for number, name in enumerate(("east", "west")):
        (tmp_path / name).mkdir()
        pixels = texture(80, 90, seed=number)
        write_scene(tmp_path / name / "scene.tif", pixels, res=1.0)
    (tmp_path / "list.txt").write_text("# evening\neast/scene.tif\nwest/../west/scene.tif\n")
    sources = [tmp_path / "list.txt", tmp_path / "east" / "scene.tif", tmp_path / "west"]
    with pytest.warns(geocamss.GeocamssWarning, match="2 of 4 scenes had been named before"):
        found = find_scenes(sources)
    result, said = mapped(sources, tmp_path / "out", model, cluster)
    assert "2 of 4 scenes had been named before" in said
    assert len(result.scenes) == 2
    folders = {scene.folder for scene in result.scenes}
    assert len(folders) == 2
    same_as_predict(result, found, tmp_path / "alone", model)
    one, two = ((folder / "classes.tif").read_bytes() for folder in folders)
    assert one != two


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda _: [], "no scene is named"),
        (lambda folder: [folder / "nothing-*.tif"], "no file matches"),
        (lambda folder: [folder / "nothing.tif"], "no such file"),
        (lambda folder: [folder / "nothing.tif", folder / "none.tif"], "nor can any of 1 more"),
        (lambda folder: [written(folder / "broken.zip", "PK").parent], "no sound archive"),
        (lambda folder: [folder], "holds neither a raster"),
        (lambda folder: [written(folder / "list.txt", "# only a comment\n")], "list is empty"),
        (lambda folder: [written(folder / "list.csv", "path\ngone.tif\n")], "line 2.*no such file"),
        (lambda folder: [written(folder / "x.json", "{}")], "no STAC item"),
        (lambda folder: [written(folder / "i.json", '{"type":"Feature"}')], "has no assets"),
        (lambda folder: [f"{folder}/scene_*_{{band}}.tif"], "scene_"),
        (lambda _: ["--stac", "http://127.0.0.1:9", "--datetime", "yesterday"], "a moment such as"),
    ],
)
def test_what_names_no_scene_is_refused_before_anything_starts(tmp_path, capsys, make, message):
    (tmp_path / "in").mkdir()
    sources = [os.fspath(source) for source in make(tmp_path / "in")]
    assert main(["map", *sources, "-o", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert re.search(message, said), said
    assert not (tmp_path / "out").exists()


def test_a_search_whose_server_is_down_is_a_failed_run(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("geocamss.scene.stac.WAITS", (0.01,))
    assert main(["map", "--stac", "http://127.0.0.1:9", "-o", str(tmp_path / "out")]) == 1
    assert "try again later" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.mark.slow
def test_what_cannot_be_used_has_failed_and_the_rest_is_mapped(tmp_path, model, cluster, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    write_scene(folder / "good.tif", texture(80, 90, seed=3), res=1.0)
    (folder / "broken.zip").write_bytes(b"PK, and no archive")
    sources = [str(folder), str(tmp_path / "gone.tif")]
    how = ["--model", str(model), "--gsd", "native", "--outputs", ",".join(OUTPUTS)]
    where = ["--scheduler", cluster.scheduler_address, "-o", str(tmp_path / "out")]
    assert main(["map", *sources, *how, *where]) == 1
    assert "1 of 3 scenes mapped" in capsys.readouterr().out
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    states = {scene["id"]: (scene["state"], scene["reason"]) for scene in report["scenes"]}
    assert {name: state for name, (state, _) in states.items()} == {
        "broken": "failed",
        "good": "done",
        "gone": "failed",
    }
    page = (tmp_path / "out" / "report.html").read_text()
    for name, reason in (("broken", "is no sound archive"), ("gone", "no such file")):
        assert reason in states[name][1]
        assert reason in page


# A disk that fills up.


@pytest.mark.slow
def test_a_disk_that_fills_up_ends_the_job_which_goes_on_after(
    tmp_path, small_disk, scenes, model, cluster
):
    ballast, out = small_disk / "ballast", small_disk / "out"

    def fill(report):
        if report.blocks_done >= 2 and not ballast.exists():
            with pytest.raises(OSError, match="space"), ballast.open("wb") as file:  # noqa: PT012 (all of it fills the disk)
                while True:
                    file.write(bytes(4096))
                    file.flush()

    options = {"gsd": "auto", "outputs": (*OUTPUTS, "item")}
    with pytest.raises(geocamss.errors.DiskFullError, match="make room and run the same command"):
        mapped([scenes], out, model, cluster, progress=fill, **options)
    assert ballast.exists()
    assert not list(out.glob("*/classes.tif"))
    assert not [path for path in out.rglob("*.part*") if path.parent == out]
    ballast.unlink()
    result, _ = mapped([scenes], out, model, cluster, **options)
    assert [scene.state for scene in result.scenes] == ["done"] * 3
    for scene in result.scenes:
        alone = geocamss.predict(
            scene.source, tmp_path / scene.id, model=model, outputs=("classes", "item")
        )
        assert (scene.folder / "classes.tif").read_bytes() == alone.classes.read_bytes()
