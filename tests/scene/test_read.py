from __future__ import annotations

import http.server
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.enums import ColorInterp
from rasterio.windows import Window as RasterWindow

from geocamss.errors import ReadError, SceneError
from geocamss.scene.gdal import gdal_environment
from geocamss.scene.grid import choose_grid
from geocamss.scene.read import SceneReader
from geocamss.scene.scene import Scene
from geocamss.scene.window import Window
from tests.scene.conftest import UTM, write

DTYPES = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64", "int64"]


PLACE = {"crs": UTM, "transform": Affine(10, 0, 500_000, 0, -10, 5_000_000)}


def noise(count, height, width, dtype="uint8", seed=0):
    random = np.random.default_rng(seed)
    return random.integers(0, 100, (count, height, width)).astype(dtype)


def reader(path, fill=None, bands=None, **options):
    scene = Scene.open(path, bands)
    chosen = scene.bands
    grid = choose_grid(scene, 10, **{"gsd": "native", **options})
    return SceneReader(scene, chosen, grid, fill or [0] * len(chosen))


def whole(path, **options):
    with reader(path, **options) as pixels:
        return pixels.read(pixels.grid.window)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("interleave", ["pixel", "band"])
def test_pixels_are_those_of_the_file(make, dtype, interleave):
    values = noise(3, 37, 41, dtype)
    pixels, valid = whole(
        make(values, interleave=interleave, tiled=True, blockxsize=16, blockysize=16)
    )
    assert pixels.dtype == dtype
    assert (pixels == values).all()
    assert valid.all()


def bytes_read_in_strips(scene, decoded, rows):
    """What the process reads from files while a scene is read so many rows at a time."""

    def read_so_far():
        return int(Path("/proc/self/io").read_text(encoding="ascii").split()[1])

    grid = choose_grid(scene, 10, gsd="native")
    fill = [0] * len(scene.bands)
    with (
        gdal_environment(scene.path, decoded),
        SceneReader(scene, scene.bands, grid, fill, decoded) as pixels,
    ):
        before = read_so_far()
        for row in range(0, grid.height, rows):
            pixels.read(Window(row, 0, min(rows, grid.height - row), grid.width))
        return read_so_far() - before


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="nothing counts what is read")
@pytest.mark.parametrize("interleave", ["pixel", "band"])
def test_every_tile_is_decoded_once(make, interleave):
    values = np.random.default_rng(0).integers(0, 65536, (13, 700, 900)).astype("uint16")
    scene = Scene.open(
        make(values, interleave=interleave, tiled=True, blockxsize=128, blockysize=128)
    )
    enough = scene.decoded_bytes(scene.bands, scene.width)
    assert 128 * 900 * 26 < enough < 2 * 128 * 900 * 26
    once = Path(scene.path).stat().st_size
    assert bytes_read_in_strips(scene, enough, 96) < 1.05 * once
    assert bytes_read_in_strips(scene, enough // 4, 96) > 1.4 * once


@pytest.fixture(scope="module")
def stepped(tmp_path_factory):
    """A scene of two bands, and its values: no two pixels are alike, and none is 0."""
    values = np.arange(1, 2 * 37 * 41 + 1, dtype="int16").reshape(2, 37, 41)
    return write(tmp_path_factory.mktemp("scene") / "scene.tif", values, **PLACE), values


@given(st.integers(-60, 60), st.integers(-60, 60), st.integers(0, 90), st.integers(0, 90))
def test_any_window_is_that_part_of_the_scene(stepped, row, col, height, width):
    path, values = stepped
    with reader(path, fill=[-7, -9]) as pixels:
        found, valid = pixels.read(Window(row, col, height, width))
    around = np.stack(
        [np.pad(v, 200, constant_values=f) for v, f in zip(values, (-7, -9), strict=True)]
    )
    part = around[:, row + 200 : row + 200 + height, col + 200 : col + 200 + width]
    assert (found == part).all()
    assert (valid == (part[0] > 0)).all()


def test_bands_come_in_the_order_asked_for(make, card):
    values = noise(3, 5, 6)
    scene = Scene.open(make(values, descriptions=("green", "blue", "red")))
    bands = scene.select(card("red", "green", "blue"))
    with SceneReader(scene, bands, choose_grid(scene, 10), [0, 0, 0]) as pixels:
        assert (pixels.read(Window(0, 0, 5, 6))[0] == values[[2, 0, 1]]).all()


# --- validity


def gdal_mask(path, indexes):
    with rasterio.open(path) as dataset:
        return (dataset.read_masks(indexes) > 0).any(axis=0)


HOLES = np.zeros((20, 30), bool)
HOLES[3:9, 4:20] = True
HOLES[15, :] = True


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "float64"])
def test_nodata_is_not_valid(make, dtype):
    values = noise(3, 20, 30, dtype) + np.asarray(1, dtype)
    values[:, HOLES] = 0
    values[0, 0, 0] = 0
    path = make(values, nodata=0)
    pixels, valid = whole(path, fill=[50, 51, 52])
    assert (valid == ~HOLES).all()
    assert (valid == gdal_mask(path, [1, 2, 3])).all()
    assert (pixels[:, HOLES] == np.array([[50], [51], [52]])).all()
    # beside other colors, black is a color in a picture; elsewhere it is missing
    assert pixels[0, 0, 0] == (0 if dtype == "uint8" else 50)


def test_one_valid_band_is_enough(make):
    values = noise(2, 4, 4, "uint16") + 1
    values[0, 1, 1] = values[1, 2, 2] = 0
    values[:, 3, 3] = 0
    pixels, valid = whole(make(values, nodata=0), fill=[7, 8])
    assert not valid[3, 3]
    assert valid.sum() == 15
    assert (pixels[0, 1, 1], pixels[1, 2, 2]) == (7, 8)


@pytest.mark.parametrize("nodata", [None, np.nan, -9999.0])
def test_nan_and_infinity_are_never_valid(make, nodata):
    values = noise(2, 4, 4, "float32")
    values[0, 0, 0], values[1, 0, 1] = np.nan, np.inf
    values[:, 1, 1], values[:, 1, 2] = np.nan, -np.inf
    if nodata is not None:
        values[:, 3, 3] = nodata
    pixels, valid = whole(make(values, nodata=nodata), fill=[7, 8])
    assert np.isfinite(pixels).all()
    assert (pixels[0, 0, 0], pixels[1, 0, 1]) == (7, 8)
    assert set(zip(*np.nonzero(~valid), strict=True)) == {(1, 1), (1, 2)} | (
        {(3, 3)} if nodata is not None else set()
    )


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_alpha_is_heeded(make, dtype):
    values = noise(4, 20, 30, dtype) + np.asarray(1, dtype)
    values[3] = np.where(HOLES, 0, np.iinfo(dtype).max)
    path = make(values, photometric="RGB", alpha="YES")
    pixels, valid = whole(path)
    assert pixels.shape == (3, 20, 30)
    assert (valid == ~HOLES).all()
    assert (valid == gdal_mask(path, [1, 2, 3])).all()


def test_alpha_is_heeded_beside_a_nodata_value(make):
    values = noise(4, 20, 30) + 1
    values[3] = np.where(HOLES, 0, 255)
    values[:3, 10, 10] = 0  # a black pixel that alpha calls valid
    _, valid = whole(make(values, photometric="RGB", alpha="YES", nodata=0))
    assert (valid == ~HOLES).all()


def test_alpha_in_floating_point_is_no_mask(make):
    values = noise(4, 20, 30, "float32") + 1
    values[:3, HOLES] = 0
    path = make(values, photometric="RGB", alpha="YES", nodata=0)
    assert (whole(path)[1] == ~HOLES).all()


def test_alpha_that_the_user_calls_infrared_hides_nothing(make):
    values = noise(4, 20, 30) + 1
    values[3] = np.where(HOLES, 0, 255)
    path = make(values, photometric="RGB", alpha="YES")
    pixels, valid = whole(path, bands={"nir": 4})
    assert valid.all()
    assert (pixels == values).all()


def test_an_internal_mask_is_heeded(make):
    path = make(noise(3, 20, 30), mask=~HOLES)
    _, valid = whole(path)
    assert (valid == ~HOLES).all()


def test_a_mask_beside_the_file_is_heeded(make, tmp_path):
    path = make(noise(1, 20, 30))
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(path, "r+") as dataset:
        dataset.write_mask(~HOLES)
    assert (tmp_path / "scene.tif.msk").exists()
    assert (whole(path)[1] == ~HOLES).all()


@pytest.mark.parametrize("nodata", [0.5, 254.0])
def test_odd_nodata_values_are_read_as_gdal_reads_them(make, nodata):
    path = make(noise(1, 20, 30), nodata=nodata)
    assert (whole(path)[1] == gdal_mask(path, [1])).all()


def test_a_scene_without_valid_pixels_is_read(make):
    pixels, valid = whole(make(np.zeros((3, 9, 9), np.uint8), nodata=0), fill=[1, 2, 3])
    assert not valid.any()
    assert (pixels == np.array([1, 2, 3])[:, None, None]).all()


@pytest.mark.parametrize("shape", [(1, 1), (30_000, 3), (3, 30_000)])
def test_scenes_of_odd_shapes_are_read(make, shape):
    values = noise(3, *shape)
    pixels, valid = whole(make(values))
    assert (pixels == values).all()
    assert valid.all()


def test_fill_values_fit_the_data_type(make):
    path = make(np.zeros((3, 2, 2), np.uint8), nodata=0)
    pixels, _ = whole(path, fill=[-5, 12.6, 1e9])
    assert pixels[:, 0, 0].tolist() == [0, 13, 255]
    with pytest.raises(ValueError, match="a fill value for each of 3 bands, got 2"):
        reader(path, fill=[0, 1])


# --- palettes


def test_a_palette_is_expanded(make):
    index = np.random.default_rng(1).integers(0, 200, (1, 20, 30)).astype(np.uint8)
    table = {i: (i, 255 - i, i // 2, 255) for i in range(150)}
    pixels, valid = whole(make(index, colormap=table))
    colors = np.array([table.get(i, (0, 0, 0, 255))[:3] for i in range(200)])
    assert (pixels == np.moveaxis(colors[index[0]], -1, 0)).all()
    assert valid.all()


def test_nodata_of_a_palette_is_not_valid(make):
    index = np.where(HOLES, 9, 1).astype(np.uint8)[None]
    _, valid = whole(make(index, colormap={1: (5, 6, 7, 255)}, nodata=9))
    assert (valid == ~HOLES).all()


# --- areas of interest


def test_a_part_of_a_grid_reads_the_scene_around_it(make):
    values = noise(3, 40, 50) + 1
    scene = Scene.open(make(values))
    grid = choose_grid(scene, 10).part(Window(10, 20, 5, 6))
    with SceneReader(scene, scene.bands, grid, [0, 0, 0]) as pixels:
        found, valid = pixels.read(Window(-10, -20, 40, 50))
    assert (found == values).all()
    assert valid.all()


# --- what goes wrong


def test_a_truncated_file_tells_where(make, tmp_path):
    values = np.random.default_rng(0).integers(0, 255, (3, 400, 400)).astype(np.uint8)
    path = tmp_path / "cut.tif"
    rasterio.shutil.copy(make(values), path, driver="COG", blocksize=128)  # with its header first
    path.write_bytes(path.read_bytes()[:-100_000])
    with reader(path) as pixels:
        assert pixels.read(Window(0, 0, 10, 10))[1].all()
        with pytest.raises(ReadError, match=r"cut\.tif: rows 390 to 400, columns 380 to 400"):
            pixels.read(Window(390, 380, 20, 50))


def test_a_file_that_is_gone_tells_so(make):
    path = make(noise(3, 4, 4))
    pixels = reader(path)
    path.unlink()
    with pytest.raises(SceneError, match="cannot be opened any more"):
        pixels.read(Window(0, 0, 4, 4))


def test_a_closed_reader_does_not_read(make):
    with reader(make(noise(3, 4, 4))) as pixels:
        pixels.read(Window(0, 0, 4, 4))
    with (
        ThreadPoolExecutor(1) as pool,
        pytest.raises(ValueError, match=r"reader of .* is closed"),
    ):
        pool.submit(pixels.read, Window(0, 0, 4, 4)).result()


# --- threads and servers


@pytest.mark.parametrize("gsd", ["native", 7.0])
def test_threads_read_what_one_reads(make, gsd):
    values = noise(3, 300, 300, "uint16")
    path = make(values, tiled=True, blockxsize=32, blockysize=32, compress="DEFLATE", nodata=3)
    windows = [Window(r, c, 70, 90) for r in range(-30, 400, 50) for c in range(-30, 400, 50)]
    with reader(path, gsd=gsd) as pixels:
        alone = [pixels.read(window) for window in windows]
        with ThreadPoolExecutor(6) as pool:
            together = list(pool.map(pixels.read, windows * 3))
    for (found, valid), (same, also) in zip(together, alone * 3, strict=True):
        assert (found == same).all()
        assert (valid == also).all()


class RangeHandler(http.server.SimpleHTTPRequestHandler):
    """Serves ranges, as every server of scenes does, and remembers what it was asked for."""

    asked: list[str]

    def do_GET(self):
        self.asked.append(self.path)
        data = self.translate_path(self.path)
        try:
            content = Path(data).read_bytes()
        except OSError:
            self.send_error(404)
            return
        start, stop = 0, len(content)
        if "Range" in self.headers:
            first, last = self.headers["Range"].removeprefix("bytes=").split("-")
            start, stop = int(first), min(stop, int(last) + 1)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(content)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(stop - start))
        self.send_header("ETag", '"one"')
        self.end_headers()
        self.wfile.write(content[start:stop])

    def log_message(self, *args):
        """Stay quiet."""


@pytest.fixture
def server(tmp_path):
    """A folder on the local machine's web: its address, and the paths asked for."""
    asked = []

    class Handler(RangeHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(tmp_path))

    Handler.asked = asked
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}", asked
        running.shutdown()


def test_a_scene_is_read_from_a_server(make, server, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    address, asked = server
    values = noise(3, 300, 300)
    make(values, "remote.tif", tiled=True, blockxsize=64, blockysize=64)
    url = f"{address}/remote.tif"
    pixels, valid = whole(url)
    assert (pixels == values).all()
    assert valid.all()
    assert set(asked) == {"/remote.tif"}  # no listing, no sidecars
    assert Scene.open(url).fingerprint == Scene.open(url).fingerprint


def test_a_scene_that_a_server_lacks_is_refused(server, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(SceneError, match=r"missing\.tif: cannot be opened"):
        Scene.open(f"{server[0]}/missing.tif")


# --- real scenes


def test_real_scenes_are_read_as_rasterio_reads_them(shared_data):
    for path in (
        "fair/zanzibar_aoi0_z19_rgb.tif",
        "naip/m_4709963_se_14_1_20190904.tif",
        "landsat/2020.tif",
        "zion/landsat_b4.tif",
        "rstoolbox/sen2.tif",
        "faults/rasterio/data/RGBA.byte.tif",
        "faults/rasterio/data/alpha.tif",
        "faults/rasterio/data/cogeo.tif",
    ):
        with reader(shared_data / path) as pixels:
            found, valid = pixels.read(Window(17, 23, 180, 150))
        with rasterio.open(shared_data / path) as dataset:
            indexes = [i for i, c in enumerate(dataset.colorinterp, 1) if c != ColorInterp.alpha]
            part = RasterWindow(23, 17, 150, 180)
            expected = dataset.read(indexes, window=part)
            assert (valid == (dataset.read_masks(indexes, window=part) > 0).any(axis=0)).all()
        assert (found[:, valid] == expected[:, valid]).all()
