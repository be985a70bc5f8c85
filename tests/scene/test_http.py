"""Scenes on servers: what is asked for, and what happens when they fail, stall or cut short."""

from __future__ import annotations

import json
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import rasterio

from geocamss.errors import GeocamssWarning, ReadError, SceneError
from geocamss.scene import gdal, source, stamp, turns
from geocamss.scene.gdal import gdal_path, is_remote, url_of
from geocamss.scene.grid import choose_grid
from geocamss.scene.read import SceneReader
from geocamss.scene.scene import Scene
from geocamss.scene.source import Source
from geocamss.scene.stamp import without_signature, without_signatures
from geocamss.scene.window import Window
from tests.scene import products
from tests.scene.test_items import TIFF, item
from tests.servers import FileServer, serving, serving_apart

SIDE = 1024
TILE = 256


@pytest.fixture(scope="module")
def cog(tmp_path_factory) -> tuple[bytes, np.ndarray]:
    """A cloud-optimized GeoTIFF of 16 tiles a band, and its pixels."""
    values = np.concatenate([products.numbers(seed, SIDE, 60_000) for seed in range(2)])
    path = tmp_path_factory.mktemp("cog") / "scene.tif"
    products.write(
        path, values, driver="COG", BLOCKSIZE=TILE, COMPRESS="DEFLATE", **products.place(10)
    )
    return path.read_bytes(), values


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    """With patience cut short, so that the tests do not take minutes."""
    monkeypatch.setattr(source, "WAITS", (0.05, 0.1, 0.2))
    monkeypatch.setattr(stamp, "_WAITS", (0.05, 0.1))
    monkeypatch.setitem(gdal._OPTIONS, "GDAL_HTTP_LOW_SPEED_TIME", "1")
    monkeypatch.setitem(gdal._OPTIONS, "GDAL_HTTP_RETRY_DELAY", "0.1")
    with serving(tmp_path) as running:
        yield running


def put(server: FileServer, data: bytes, name: str) -> str:
    """Names are never used twice: GDAL remembers what it has seen of a URL."""
    (server.folder / name).write_bytes(data)
    return f"{server.url}/{name}"


def pixels(scene: Scene, window: Window) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        grid = choose_grid(scene, 1.0, gsd="native")
        with SceneReader(scene, scene.bands, grid, [0] * len(scene.bands)) as reader:
            return reader.read(window)[0]


def test_opening_reads_the_header_and_a_window_its_tiles(server, cog):
    data, values = cog
    scene = Scene.open(put(server, data, "count.tif"))
    assert len(server.asked) <= 4  # HEAD, header, and what the stamp asks
    assert server.sent < 70_000
    assert not [path for _, path, _ in server.asked if path != "/count.tif"]  # no sidecars
    server.asked.clear()
    before = server.sent
    found = pixels(scene, Window(0, 0, TILE, TILE))
    assert (found == values[:, :TILE, :TILE]).all()
    tile = len(data) / 2 / (SIDE / TILE) ** 2
    assert len(server.ranges("count.tif")) <= 3
    assert server.sent - before < 2 * tile + 70_000
    server.asked.clear()
    assert (pixels(scene, Window(0, 0, TILE, SIDE)) == values[:, :TILE]).all()
    assert len(server.ranges("count.tif")) <= 4  # neighbors come in one request


@pytest.mark.parametrize("trouble", [503, 429, "truncate", "drop", "stall"])
def test_a_server_that_stumbles_is_asked_again(server, cog, trouble):
    data, values = cog
    scene = Scene.open(put(server, data, f"once-{trouble}.tif"))
    opened = len(server.asked)
    server.fail = lambda _, count: trouble if count in (opened, opened + 1) else None
    found = pixels(scene, Window(0, 0, SIDE, SIDE))
    assert (found == values).all()
    assert len(server.asked) > opened + 2


@pytest.mark.parametrize("trouble", [503, "truncate", "drop"])
def test_what_a_dead_server_has_not_sent_is_never_taken_for_pixels(server, tmp_path, trouble):
    """Without compression nothing else would tell; threads that decode swallow the error."""
    name = f"plain-{trouble}.tif"
    values = np.maximum(products.numbers(3, SIDE, 60_000), 1)
    plain = {"tiled": True, "blockxsize": TILE, "blockysize": TILE, **products.place(10)}
    products.write(tmp_path / name, values, **plain)
    scene = Scene.open(f"{server.url}/{name}")
    with closing(Source(scene, scene.bands, np.dtype("uint16"))) as opened:
        row = Window(0, 0, 100, SIDE)
        assert (opened.read(row)[0] == values[:, :100]).all()
        server.fail = lambda _path, _count: trouble
        straddling = [Window(top, 0, 80, SIDE) for top in (200, 240, 500)]
        for window in straddling:
            with pytest.raises(ReadError, match="out of reach"):
                opened.read(window)
        server.fail = lambda _path, _count: None
        for window in straddling:
            top = window.row
            assert (opened.read(window)[0] == values[:, top : top + 80]).all(), top


@pytest.mark.parametrize("trouble", [503, 404, "truncate", "drop", "stall"])
def test_a_server_that_stays_out_of_order_is_named_in_bounded_time(server, cog, trouble):
    data, _ = cog
    url = put(server, data, f"dead-{trouble}.tif")
    scene = Scene.open(url)
    opened = len(server.asked)
    server.fail = lambda _, count: trouble if count >= opened else None
    start = time.monotonic()
    with pytest.raises(ReadError, match="out of reach") as caught:
        pixels(scene, Window(0, 0, SIDE, SIDE))
    assert url in str(caught.value)
    assert time.monotonic() - start < 60
    assert 2 <= len(server.asked) - opened < 40


@pytest.mark.parametrize("trouble", [503, 404, "drop"])
def test_a_scene_that_does_not_open_is_named(server, cog, trouble):
    url = put(server, cog[0], f"shut-{trouble}.tif")
    server.fail = lambda _path, _count: trouble
    with pytest.raises(SceneError) as caught:
        Scene.open(url)
    assert url in str(caught.value)


def test_pixels_of_several_files_come_from_all_servers_and_the_dead_one_is_named(server, cog):
    data, values = cog
    assets = {}
    for name in ("red", "nir"):
        href = put(server, data, f"several-{name}.tif")
        bands = [{"name": name, "common_name": name}]
        assets[name] = {"href": href, "type": TIFF, "eo:bands": bands}
    put(server, json.dumps(item("x", assets)).encode(), "item.json")
    scene = Scene.open(f"{server.url}/item.json")
    assert (pixels(scene, Window(300, 300, 100, 100)) == values[0, 300:400, 300:400]).all()
    server.fail = lambda path, _: 503 if "nir" in path else None
    with pytest.raises(ReadError, match=f"{server.url}/several-nir.tif"):
        pixels(scene, Window(600, 600, 200, 200))


def test_a_file_that_changes_on_its_server_changes_the_fingerprint(server, cog):
    data, _ = cog
    url = put(server, data, "changes.tif")
    first = Scene.open(url).fingerprint
    assert Scene.open(url).fingerprint == first
    changed = bytearray(data)
    changed[-1] ^= 1
    put(server, bytes(changed), "changes.tif")
    assert Scene.open(url).fingerprint != first


def test_a_server_that_tells_nothing_is_stamped_by_the_layout_of_the_file(server, cog):
    server.etags = False
    data, values = cog
    first = Scene.open(put(server, data, "silent-1.tif")).fingerprint
    assert Scene.open(f"{server.url}/silent-1.tif").fingerprint == first
    with rasterio.MemoryFile(data) as memory, memory.open() as file:
        said = stamp.layout_stamp(file)
    other = server.folder / "other.tif"
    products.write(other, values // 2, driver="COG", BLOCKSIZE=TILE, **products.place(10))
    with rasterio.open(other) as file:
        assert stamp.layout_stamp(file) != said


def pretend(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a server in place of Amazon's and Google's, without credentials."""
    for name, value in {
        "AWS_S3_ENDPOINT": url.removeprefix("http://"),
        "AWS_HTTPS": "NO",
        "AWS_VIRTUAL_HOSTING": "FALSE",
        "AWS_NO_SIGN_REQUEST": "YES",
        "CPL_GS_ENDPOINT": f"{url}/",
        "GS_NO_SIGN_REQUEST": "YES",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def storage(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> FileServer:
    pretend(server.url, monkeypatch)
    return server


@pytest.mark.parametrize("scheme", ["s3", "gs"])
def test_cloud_storage_is_read_and_asked_after_changes(storage, cog, scheme):
    data, values = cog
    bucket = f"bucket-{scheme}"
    (storage.folder / bucket).mkdir()
    put(storage, data, f"{bucket}/a.tif")
    scene = Scene.open(f"{scheme}://{bucket}/a.tif")
    assert len(storage.asked) <= 5  # header, and what the stamp asks
    assert {path for _, path, _ in storage.asked} == {f"/{bucket}/a.tif"}  # no listing, no sidecars
    assert (pixels(scene, Window(0, 0, TILE, SIDE)) == values[:, :TILE]).all()
    assert Scene.open(f"{scheme}://{bucket}/a.tif").fingerprint == scene.fingerprint
    changed = bytearray(data)
    changed[-1] ^= 1  # of the same size and layout
    put(storage, bytes(changed), f"{bucket}/a.tif")
    assert Scene.open(f"{scheme}://{bucket}/a.tif").fingerprint != scene.fingerprint
    with pytest.raises(SceneError, match=rf"{scheme}://{bucket}/gone\.tif: cannot be opened"):
        Scene.open(f"{scheme}://{bucket}/gone.tif")


def test_jpeg_2000_in_cloud_storage_has_a_stamp(storage, tmp_path):
    root, _ = products.sentinel2(tmp_path / "product", side=240)
    data = next(root.rglob("*_B04_10m.jp2")).read_bytes()
    (storage.folder / "images").mkdir()
    found = set()
    for last in (0, 1):
        put(storage, data + bytes([last]), "images/b.jp2")
        found.add(Scene.open("s3://images/b.jp2").fingerprint)
    assert len(found) == 2


def test_storage_that_does_not_tell_when_a_file_changes_is_warned_of(storage, tmp_path):
    root, _ = products.sentinel2(tmp_path / "product", side=240)
    (storage.folder / "silent").mkdir()
    put(storage, next(root.rglob("*_B04_10m.jp2")).read_bytes(), "silent/b.jp2")
    Scene.open("s3://silent/b.jp2")
    opened = len(storage.asked)
    storage.fail = lambda _path, count: 403 if count >= opened else None
    with pytest.warns(
        GeocamssWarning, match=r"s3://silent/b\.jp2: nothing tells whether it has ch"
    ):
        Scene.open("s3://silent/b.jp2")  # GDAL remembers what it has read of it


def mosaic(*names: str) -> bytes:
    """A VRT that lays files of the size of ``cog`` over each other."""
    sources = "".join(
        f'<SimpleSource><SourceFilename relativeToVRT="1">{name}</SourceFilename>'
        "<SourceBand>1</SourceBand></SimpleSource>"
        for name in names
    )
    return (
        f'<VRTDataset rasterXSize="{SIDE}" rasterYSize="{SIDE}"><SRS>EPSG:32633</SRS>'
        "<GeoTransform>600000, 10, 0, 4900020, 0, -10</GeoTransform>"
        f'<VRTRasterBand dataType="UInt16" band="1">{sources}</VRTRasterBand></VRTDataset>'
    ).encode()


@pytest.mark.parametrize("start", ["http", "s3"])
def test_a_vrt_on_a_server_follows_the_files_of_vrts_within_it(tmp_path, monkeypatch, cog, start):
    """Their names start from the folder of the VRT that names them."""
    folder = tmp_path / "bucket"
    (folder / "deep").mkdir(parents=True)
    (folder / f"deep/{start}.tif").write_bytes(cog[0])
    (folder / f"deep/inner-{start}.vrt").write_bytes(mosaic(f"{start}.tif"))
    (folder / f"outer-{start}.vrt").write_bytes(mosaic(f"deep/inner-{start}.vrt"))
    with serving_apart(tmp_path) as address:
        pretend(address, monkeypatch)
        url = f"{address if start == 'http' else 's3:/'}/bucket/outer-{start}.vrt"
        first = Scene.open(url)
        assert (pixels(first, Window(0, 0, 9, 9)) == cog[1][:1, :9, :9]).all()
        assert Scene.open(url).fingerprint == first.fingerprint
        changed = bytearray(cog[0])
        changed[-1] ^= 1
        (folder / f"deep/{start}.tif").write_bytes(changed)
        assert Scene.open(url).fingerprint != first.fingerprint


def test_a_vrt_on_a_server_whose_file_is_gone_is_refused(server):
    put(server, mosaic("nowhere.tif"), "alone.vrt")
    with pytest.raises(SceneError, match=r"/nowhere\.tif: its server has no such file"):
        Scene.open(f"{server.url}/alone.vrt")


def test_a_signed_vrt_hands_its_signature_on(tmp_path, cog):
    """As GDAL does; and it is no part of the fingerprint."""
    (tmp_path / "handed.tif").write_bytes(cog[0])
    (tmp_path / "hands.vrt").write_bytes(mosaic("handed.tif"))
    with serving_apart(tmp_path) as url:
        prints = {Scene.open(f"{url}/hands.vrt?sig={sign}").fingerprint for sign in ("a", "b")}
    assert len(prints) == 1


def test_a_signature_is_no_part_of_a_scene():
    plain = "https://x.org/a/b.tif?id=3"
    assert without_signature(f"{plain}&sv=1&sig=a%3D&se=2024") == plain
    assert without_signature(f"{plain}&X-Amz-Signature=abc&X-Amz-Date=1") == plain
    assert without_signature("/data/what?.tif") == "/data/what?.tif"
    assert without_signature("https://me:secret@x.org/a/b.tif?id=3") == plain
    assert without_signature("/vsicurl/https://me@x.org/b@c") == "/vsicurl/https://x.org/b@c"
    said = f"a: https://me:secret@x.org/a.tif?sig=abc, and '{plain}&token=d': out of reach"
    assert without_signatures(said) == f"a: https://x.org/a.tif, and '{plain}': out of reach"


def test_a_signed_url_has_one_fingerprint(server, cog):
    url = put(server, cog[0], "signed.tif")
    prints = {Scene.open(f"{url}?sig={sign}").fingerprint for sign in ("abc", "def")}
    assert len(prints) == 1


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://x.org/a.tif?b=1&c=2", "/vsicurl/https://x.org/a.tif?b=1&c=2"),
        ("s3://bucket/key/a.tif", "/vsis3/bucket/key/a.tif"),
        ("gs://bucket/a.tif", "/vsigs/bucket/a.tif"),
        ("az://container/a.tif", "/vsiaz/container/a.tif"),
    ],
)
def test_urls_have_their_names_in_gdal(url, name):
    assert gdal_path(url) == name
    assert url_of(name) == url
    assert is_remote(url)
    assert is_remote(name)
    assert is_remote(f"<VRTDataset><SourceFilename>{name}</SourceFilename></VRTDataset>")
    assert not is_remote("/data/a.tif")


def started(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_jpeg_2000_is_not_read_while_a_geotiff_is_closed(tmp_path, cog):
    root, _ = products.sentinel2(tmp_path, side=240)
    (tmp_path / "plain.tif").write_bytes(cog[0])
    whole, alone = Scene.open(root), Scene.open(next(root.rglob("*_B04_10m.jp2")))
    plain = Scene.open(tmp_path / "plain.tif")
    assert [scene.jpeg2000 for scene in (whole, alone, plain)] == [True, True, False]
    for scene in (whole, alone):
        grid = choose_grid(scene, 1.0, gsd="native")
        bands = scene.bands[:1]
        with SceneReader(scene, bands, grid, [0]) as reader:
            expected = reader.read(grid.window)[0]
            found: list[np.ndarray] = []

            def work(reader=reader, window=grid.window, found=found) -> None:
                found.append(reader.read(window)[0])

            with turns.closing():
                thread = started(work)
                thread.join(0.5)
                assert not found
            thread.join(60)
        assert (found[0] == expected).all()
    with turns.closing():  # other scenes do not wait
        handle = Source(plain, plain.bands[:1], np.dtype("uint16"))
        thread = started(lambda: handle.read(Window(0, 0, 9, 9)))
        thread.join(60)
        assert not thread.is_alive()
    with turns.reading():
        closer = started(handle.close)
        closer.join(0.5)
        assert closer.is_alive()
    closer.join(60)
    assert not closer.is_alive()


def test_jpeg_2000_is_opened_anew_where_a_server_has_stumbled(server, tmp_path, monkeypatch):
    """Whoever reads it may close nothing: the old handle is given back before."""
    root, _ = products.sentinel2(tmp_path / "product", side=480)
    local = next(root.rglob("*_B04_10m.jp2"))
    scene = Scene.open(put(server, local.read_bytes(), "stumbles.jp2"))
    opened, whole = [], Source._whole

    def stumble(self, *given):
        opened.append(self._dataset)
        if len(opened) == 1:
            raise OSError("not all of it was sent")
        return whole(self, *given)

    monkeypatch.setattr(Source, "_whole", stumble)
    with (
        closing(Source(scene, scene.bands, np.dtype("uint16"))) as source,
        rasterio.open(local) as file,
    ):
        assert (source.read(Window(0, 0, 480, 480))[0] == file.read()).all()
    assert opened[0] is not opened[1]
    assert opened[0].closed


def test_jpeg_2000_is_read_from_many_threads_as_from_one(tmp_path):
    """Each thread has handles of its own, also on the files within a stack."""
    root, _ = products.sentinel2(tmp_path, side=240)
    scene = Scene.open(root)
    grid = choose_grid(scene, 1.0, gsd="native")
    bands = scene.bands[1:8]
    windows = [Window(r, c, 60, 60) for r in range(0, 240, 60) for c in range(0, 240, 60)]
    with SceneReader(scene, bands, grid, [0] * len(bands)) as reader:
        whole, valid = reader.read(grid.window)
        barrier = threading.Barrier(4)

        def work(share: int) -> list[tuple[Window, np.ndarray, np.ndarray]]:
            barrier.wait(30)
            chosen = windows[share:] + windows[:share]
            return [(window, *reader.read(window)) for window in chosen]

        with ThreadPoolExecutor(4) as pool:
            for window, found, usable in (one for part in pool.map(work, range(4)) for one in part):
                rows = slice(window.row, window.stop_row)
                cols = slice(window.col, window.stop_col)
                assert (found == whole[:, rows, cols]).all()
                assert (usable == valid[rows, cols]).all()
