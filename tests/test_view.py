"""The viewer: tiles that are the map's own pixels, and a server that gives nothing else."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.enums import Resampling
from selenium.webdriver import Keys

from geocamss.classes import NODATA
from geocamss.errors import GeocamssWarning, InputError
from geocamss.output.colors import color_table
from geocamss.viewer.server import MapServer
from geocamss.viewer.tiles import SIDE, WORKERS, Tiles
from geocamss.viewer.viewed import ViewedMap

from .output.maps import NORTH_UP, SCHEME, UTM, landscape, write_map
from .output.test_page_browser import opaque, pick, place_of, press, slide, stage, toggle

PIXELS = landscape(700, 1100, seed=1, smooth=6.0)


def make_folder(folder: Path, pixels=PIXELS, crs=UTM, scene=True) -> Path:
    """Outputs, and the scene beside them, in places with blanks and umlauts."""
    out = folder / "Ergebnis für Zürich"
    out.mkdir()
    percent = (np.arange(pixels.size).reshape(pixels.shape) % 101).astype(np.uint8)
    percent[pixels == NODATA] = NODATA
    write_map(out / "classes.tif", pixels, crs, NORTH_UP)
    write_map(out / "confidence.tif", percent, crs, NORTH_UP)
    with rasterio.open(out / "classes.tif", "r+") as file:
        file.write_colormap(1, color_table(SCHEME))
        file.update_tags(**{f"CLASS_{c.value}": c.name for c in SCHEME})
        if scene:
            file.update_tags(GEOCAMSS_SCENE="scene.tif", GEOCAMSS_BANDS="{'red': 1}")
    if scene:
        write_map(folder / "scene.tif", pixels.astype(np.uint16) * 100 + 7, crs, NORTH_UP, None)
    return out


@contextmanager
def serving(out: Path):
    with Tiles(ViewedMap.open(out)) as tiles, MapServer(tiles) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def ask(server, path, host=None):
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=60)
    try:
        connection.putrequest("GET", path, skip_host=True)
        connection.putheader("Host", host or server.hosts[0])
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_tiles_of_full_resolution_are_the_map(tmp_path):
    with serving(make_folder(tmp_path)) as server:
        for layer in ("classes", "confidence"):
            with rasterio.open(
                server.tiles.viewed.source.classes.with_name(f"{layer}.tif")
            ) as file:
                whole = file.read(1)
            found = np.zeros_like(whole)
            for row in range(-(-whole.shape[0] // SIDE)):
                for column in range(-(-whole.shape[1] // SIDE)):
                    status, tile = ask(server, f"/tiles/{layer}/1/{column}/{row}.png")
                    assert status == 200
                    values = np.asarray(Image.open(BytesIO(tile)))
                    top, left = row * SIDE, column * SIDE
                    found[top : top + SIDE, left : left + SIDE] = values
            assert np.array_equal(found, whole)


def test_a_pixel_is_what_rasterio_reads(tmp_path):
    out = make_folder(tmp_path)
    with rasterio.open(out / "confidence.tif") as file:
        percent = file.read(1)
    with serving(out) as server:
        for column, row in ((0, 0), (1099, 699), (500, 300)):
            status, text = ask(server, f"/pixel?column={column}&row={row}")
            assert status == 200
            told = json.loads(text)
            assert told["class"] == PIXELS[row, column]
            assert told["confidence"] == percent[row, column]


def test_tiles_that_are_zoomed_out_lie_where_the_map_does(tmp_path):
    """Also where its sides are no multiples of a level's step, up to its far edges."""
    height, width = 1037, 1501
    rows, columns = np.ogrid[:height, :width]
    pixels = ((rows // 16 + columns // 16) % 2).astype(np.uint8)
    out = make_folder(tmp_path, pixels)
    for path in (out / "classes.tif", tmp_path / "scene.tif"):
        with rasterio.open(path, "r+") as file:
            file.build_overviews([2, 4], Resampling.mode)
    with Tiles(ViewedMap.open(out)) as tiles:
        assert [level.step for level in tiles.levels] == [1, 2, 4]
        for level in tiles.levels:
            wide, high = level.cell((height, width))
            left, top = np.arange(level.columns) * wide, np.arange(level.rows) * high
            # Pixels within one square, an overview's own rounding aside, show that square.
            clear = (left // 16 == (left + wide) // 16) & (left % 16 >= 1)
            clear &= (left + wide) % 16 <= 15
            clear_rows = (top // 16 == (top + high) // 16) & (top % 16 >= 1)
            clear_rows &= (top + high) % 16 <= 15
            truth = pixels[np.ix_(top.astype(int), left.astype(int))]
            inside = np.ix_(clear_rows, clear)
            assert np.array_equal(mosaic(tiles, "classes", level)[inside], truth[inside])
            gray = mosaic(tiles, "scene", level)[inside]
            assert (gray[truth[inside] == 0] < 60).all()
            assert (gray[truth[inside] == 1] > 195).all()


def mosaic(tiles, layer, level):
    """All tiles of a level: class values, or how bright the scene is."""
    found = np.zeros((level.rows, level.columns), np.uint8)
    for row in range(-(-level.rows // SIDE)):
        for column in range(-(-level.columns // SIDE)):
            picture = Image.open(BytesIO(tiles.tile(layer, level.step, column, row)))
            values = np.asarray(picture if layer == "classes" else picture.convert("L"))
            top, left = row * SIDE, column * SIDE
            found[top : top + SIDE, left : left + SIDE] = values
    return found


def test_the_page_draws_tiles_near_and_far_and_tells_of_pixels(browser, tmp_path):
    pixels = landscape(701, 1099, seed=4, smooth=12.0)
    out = make_folder(tmp_path, pixels)
    colors = {entry.value: entry.color for entry in SCHEME}
    values, even = pixels.astype(int), np.ones(pixels.shape, bool)
    for shift in range(-6, 7):  # away from borders, where pixels of the screen hold several
        even &= (np.roll(values, shift, 0) == values) & (np.roll(values, shift, 1) == values)
    grid = [(c, r) for c in range(60, 1060, 31) for r in range(60, 660, 29)]
    places = [(c, r) for c, r in grid if even[r, c] and pixels[r, c] != NODATA]
    truth = [colors[int(pixels[r, c])] for c, r in places]
    with serving(out) as server:
        browser.requests()
        browser.open(server.url)
        slide(browser, "swipe", 0)
        at = [place_of(browser, *place, pixels.shape) for place in places]
        browser.wait(lambda: opaque(browser.colors(*at)) == truth)

        with rasterio.open(out / "confidence.tif") as file:
            percent = file.read(1)
        for place in places[:: len(places) // 4]:
            told = pick(browser, *place, pixels.shape)
            column, row = int(told["column"]), int(told["row"])
            assert max(abs(column - place[0]), abs(row - place[1])) <= 1
            assert int(told["class"]) == pixels[row, column]
            assert int(told["confidence"]) == percent[row, column]

        toggle(browser, 2)
        shown = opaque(browser.colors(*at))
        hidden = [value == colors[2] for value in truth]
        assert any(hidden)
        for color, class_color, is_hidden in zip(shown, truth, hidden, strict=True):
            assert len(set(color)) == 1 if is_hidden else color == class_color
        toggle(browser, 2)

        press(browser, Keys.ESCAPE, "-")  # a level of halves comes in
        width, height = stage(browser)
        middle = np.array((width / 2, height / 2))
        far = (np.array(at) - middle) / 1.5 + middle
        browser.wait(lambda: opaque(browser.colors(*far)) == truth)
        asked = browser.requests()
        assert any("/tiles/classes/2/" in url for url in asked)
        assert all(url.startswith(server.url) for url in asked)

        press(browser, *["+"] * 8, Keys.ENTER)
        browser.wait(lambda: browser.readout().get("column") == "549")
        assert int(browser.readout()["class"]) == pixels[350, 549]
        browser.wait(lambda: opaque(browser.colors(middle)) == [colors[int(pixels[350, 549])]])
        assert browser.logs() == []


def test_the_scene_lies_on_the_map(tmp_path):
    with serving(make_folder(tmp_path)) as server:
        status, tile = ask(server, "/tiles/scene/1/0/0.png")
        assert status == 200
        gray = np.asarray(Image.open(BytesIO(tile)).convert("L"))
        part = PIXELS[:SIDE, :SIDE]
        shades = [np.unique(gray[part == value]) for value in range(5)]
        assert [len(found) for found in shades] == [1] * 5
        assert (np.diff(np.concatenate(shades).astype(int)) > 0).all()


@pytest.mark.parametrize(
    "path",
    ["/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/classes.tif", "/tiles/classes/1/9/9.png",
     "/tiles/classes/3/0/0.png", "/tiles/../1/0/0.png", "/pixel?column=99999&row=0", "//etc/passwd",
     "/x"],
)  # fmt: skip
def test_there_is_nothing_else_to_be_had(tmp_path, path):
    with serving(make_folder(tmp_path, PIXELS[:40, :40])) as server:
        assert ask(server, path)[0] == 404


def test_other_names_and_odd_questions_are_refused(tmp_path):
    with serving(make_folder(tmp_path, PIXELS[:40, :40])) as server:
        assert ask(server, "/", host="evil.example")[0] == 403
        assert ask(server, "/pixel?column=a&row=-1")[0] == 400
        assert ask(server, "/")[0] == 200
        assert server.server_address[0] == "127.0.0.1"


def test_a_port_in_use_is_told(tmp_path):
    with serving(make_folder(tmp_path, PIXELS[:40, :40])) as server:  # noqa: SIM117 (the server comes first)
        with pytest.raises(
            InputError, match=f"port {server.server_port} is in use; choose another"
        ):
            MapServer(server.tiles, server.server_port)


def test_a_folder_without_a_map_is_told(tmp_path):
    with pytest.raises(InputError, match=r"holds no classes.tif; give the folder"):
        ViewedMap.open(tmp_path)


def test_a_scene_that_has_moved_is_told_and_the_map_shown(tmp_path):
    out = make_folder(tmp_path, PIXELS[:40, :40])
    (tmp_path / "scene.tif").rename(tmp_path / "elsewhere.tif")
    with pytest.warns(GeocamssWarning, match="say where it is with --scene"):
        assert ViewedMap.open(out).layers == ("classes", "confidence")
    assert ViewedMap.open(out, tmp_path / "elsewhere.tif").layers[0] == "scene"


@pytest.mark.parametrize("shape", [(1, 1500), (1500, 1), (1, 1)])
def test_thin_maps_without_crs_have_tiles(tmp_path, shape):
    pixels = np.random.default_rng(0).integers(0, 5, shape, dtype=np.uint8)
    out = make_folder(tmp_path, pixels, crs=None, scene=False)
    with serving(out) as server:
        status, tile = ask(server, "/tiles/classes/1/0/0.png")
        assert status == 200
        assert np.array_equal(np.asarray(Image.open(BytesIO(tile))), pixels[:SIDE, :SIDE])


def test_closing_while_tiles_are_asked_for_drops_the_connections(tmp_path, capfd):
    with serving(make_folder(tmp_path, PIXELS[:40, :40])) as server:
        go_on = threading.Event()
        for _ in range(WORKERS):
            server.tiles._pool.submit(go_on.wait)
        answers = []

        def wait_for_a_tile():
            try:
                answers.append(ask(server, "/tiles/classes/1/0/0.png"))
            except ConnectionError as error:
                answers.append(error)

        asking = threading.Thread(target=wait_for_a_tile)
        asking.start()
        while not server.tiles._pool._work_queue.qsize():
            time.sleep(0.01)
        closing = threading.Thread(target=server.tiles.close)
        closing.start()
        asking.join(60)
        go_on.set()
        closing.join(60)
        wait_for_a_tile()
    assert [type(answer) for answer in answers] == [http.client.RemoteDisconnected] * 2
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("as_json", [False, True])
def test_interrupting_the_command_ends_it_well(tmp_path, as_json):
    out = make_folder(tmp_path, PIXELS[:40, :40])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "geocamss", "view", str(out)]
    with subprocess.Popen(
        [*command, "--port", str(port), "--no-browser", *(["--json"] if as_json else [])],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509 (no threads yet)
    ) as process:
        told, url = process.stdout.readline(), f"http://127.0.0.1:{port}/"
        assert url in told
        assert not as_json or json.loads(told) == {"url": url, "folder": str(out)}
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=120)
        assert process.returncode in (0, 130)
        assert errors == ""
