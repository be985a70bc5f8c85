from __future__ import annotations

import datetime as dt
import html
import os
import tarfile
import time
import zipfile

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp
from rasterio.rpc import RPC
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from geocamss.errors import BandError, GeocamssWarning, SceneError
from geocamss.scene.catalog import find_scenes
from geocamss.scene.header import MAX_BLOCK_BYTES
from geocamss.scene.scene import Scene, parse_bands
from tests.scene.conftest import UTM

RGB = np.zeros((3, 4, 5), np.uint8)


def test_a_scene_is_what_its_header_says(make):
    path = make(
        RGB.astype(np.uint16),
        nodata=7,
        descriptions=("blue", "red", "nir"),
        scales=(0.5, 1, 1),
        offsets=(0, 0, -3),
    )
    scene = Scene.open(path)
    assert (scene.width, scene.height, scene.driver) == (5, 4, "GTiff")
    assert scene.crs.to_epsg() == 32633
    assert scene.transform == Affine(10, 0, 500_000, 0, -10, 5_000_000)
    assert scene.georeferencing == "transform"
    assert [band.name for band in scene.bands] == ["blue", "red", "nir"]
    assert [(band.scale, band.offset) for band in scene.bands] == [(0.5, 0), (1, 0), (1, -3)]
    assert {(b.dtype, b.nodata, b.mask) for b in scene.bands} == {("uint16", 7.0, "nodata")}
    assert scene.alpha is None
    assert scene.gsd == pytest.approx(10 / 0.9996, rel=1e-4)  # UTM shrinks at its middle


WAITING = """
<VRTDataset rasterXSize="5" rasterYSize="4"><VRTRasterBand dataType="Byte" band="1">
<SimpleSource><SourceFilename relativeToVRT="1">pipe.tif</SourceFilename></SimpleSource>
</VRTRasterBand></VRTDataset>
"""


@pytest.mark.parametrize("name", ["pipe.tif", "scene.vrt", "link.tif"])
def test_nobody_waits_for_a_pipe_or_a_device(tmp_path, name):
    os.mkfifo(tmp_path / "pipe.tif")
    (tmp_path / "scene.vrt").write_text(WAITING)
    (tmp_path / "link.tif").symlink_to("/dev/zero")
    with pytest.raises(SceneError, match=rf"{name}: .*is a pipe, a socket or a device"):
        Scene.open(tmp_path / name)


@pytest.mark.parametrize(
    ("tags", "domain"),
    [
        ({"wavelength": "665", "wavelength_units": "Nanometers"}, None),
        ({"wavelength": "0.665", "wavelength_units": "Micrometers"}, None),
        ({"WAVELENGTH_NANOMETERS": "665"}, None),
        ({"wavelength_um": "0.665"}, None),
        ({"wavelength": "665"}, None),
        ({"CENTRAL_WAVELENGTH_UM": "0.665"}, "IMAGERY"),
    ],
)
def test_wavelengths_in_band_metadata_name_bands(make, tags, domain):
    path = make(RGB[:1].astype(np.uint16))
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(1, ns=domain, **tags)
    (band,) = Scene.open(path).bands
    assert (band.name, band.wavelength) == ("red", pytest.approx(0.665))


def test_wave_numbers_are_no_wavelengths(make):
    path = make(RGB[:1].astype(np.uint16))
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(1, wavelength="15000", wavelength_units="Wavenumber")
    assert Scene.open(path).bands[0].wavelength is None


def test_envi_headers_name_bands(make):
    path = make(np.zeros((3, 2, 2), np.uint16), "cube.img", driver="ENVI")
    header = path.with_suffix(".hdr")
    header.write_text(
        header.read_text() + "wavelength units = Nanometers\nwavelength = {485, 560, 842}\n"
    )
    scene = Scene.open(path)
    assert [band.name for band in scene.bands] == ["blue", "green", "nir"]
    assert [band.wavelength for band in scene.bands] == pytest.approx([0.485, 0.56, 0.842])


def test_a_single_band_is_named_by_its_file(make):
    path = make(RGB[:1].astype(np.uint16), "LC08_L1TP_193026_20200102_20200824_02_T1_B5.TIF")
    (band,) = Scene.open(path).bands
    assert (band.name, band.label) == ("nir", "B5")


def test_bands_of_a_vrt_are_named_by_their_files(make, tmp_path):
    for code in ("B02", "B08"):
        make(RGB[:1].astype(np.uint16), f"T32TPS_20200101T101010_{code}_10m.tif")
    bands = "".join(
        f'<VRTRasterBand dataType="UInt16" band="{i}"><SimpleSource><SourceFilename '
        f'relativeToVRT="1">T32TPS_20200101T101010_{code}_10m.tif</SourceFilename>'
        "<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand>"
        for i, code in enumerate(("B08", "B02"), 1)
    )
    path = tmp_path / "stack.vrt"
    path.write_text(f'<VRTDataset rasterXSize="5" rasterYSize="4">{bands}</VRTDataset>')
    assert [band.name for band in Scene.open(path).bands] == ["nir", "blue"]


def test_meaningless_scales_are_left_out_with_a_warning(make):
    path = make(RGB, scales=(0, 1, 1))
    with pytest.warns(GeocamssWarning, match="band 1 declares scale 0"):
        scene = Scene.open(path)
    assert scene.bands[0].scale == 1.0


def test_alpha_is_no_image_band(make):
    path = make(np.zeros((4, 2, 2), np.uint8), photometric="RGB", alpha="YES")
    scene = Scene.open(path)
    assert scene.alpha == 4
    assert [band.index for band in scene.bands] == [1, 2, 3]


def test_a_band_that_the_user_names_is_not_alpha(make, card):
    # writers mark the fourth of four 8-bit bands as alpha unless told otherwise
    path = make(np.zeros((4, 2, 2), np.uint8), photometric="RGB", alpha="YES")
    scene = Scene.open(path, {"nir": 4})
    assert scene.alpha is None
    assert [b.index for b in scene.select(card("nir", "red"))] == [4, 1]
    assert {b.mask for b in scene.bands} == {"none"}
    with pytest.raises(BandError, match=r"band 4 is marked as alpha; .* --bands nir=4"):
        Scene.open(path).select(card("nir", "red"))


@pytest.mark.parametrize(
    ("names", "tags"),
    [
        (("Red", "Green", "Blue", "NIR"), {}),
        (("B04", "B03", "B02", "B08"), {}),
        (("Red", "Green", "Blue", ""), {"wavelength": "842", "wavelength_units": "nm"}),
    ],
)
def test_a_band_that_its_file_names_is_not_alpha(make, card, names, tags):
    words = {"descriptions": names, "band_tags": {4: tags}}
    path = make(np.zeros((4, 2, 2), np.uint8), photometric="RGB", alpha="YES", **words)
    with rasterio.open(path) as dataset:
        assert dataset.colorinterp[3] == ColorInterp.alpha
    scene = Scene.open(path)
    assert scene.alpha is None
    assert [b.index for b in scene.select(card("nir", "red"))] == [4, 1]
    assert {b.mask for b in scene.bands} == {"none"}


@pytest.mark.parametrize("description", ["", "alpha", "Band 4", "B4", "mask"])
def test_alpha_that_its_file_counts_or_calls_so_stays_alpha(make, description):
    names = ("Red", "Green", "Blue", description)
    path = make(np.zeros((4, 2, 2), np.uint8), photometric="RGB", alpha="YES", descriptions=names)
    assert Scene.open(path).alpha == 4


@pytest.mark.parametrize(
    ("profile", "mask"),
    [
        ({}, "none"),
        ({"nodata": 0}, "nodata"),
        ({"mask": np.zeros((2, 2), bool)}, "dataset"),
        ({"photometric": "RGB", "alpha": "YES"}, "dataset"),
        ({"photometric": "RGB", "alpha": "YES", "nodata": 0}, "alpha"),
    ],
)
def test_what_tells_valid_pixels(make, profile, mask):
    path = make(np.ones((4, 2, 2), np.uint8), **{"photometric": "MINISBLACK", **profile})
    assert {band.mask for band in Scene.open(path).bands} == {mask}


def test_a_palette_has_three_bands(make, card):
    path = make(RGB[:1], colormap={0: (1, 2, 3, 255)})
    scene = Scene.open(path)
    assert [(b.index, b.name, b.color) for b in scene.select(card("blue", "red"))] == [
        (1, "blue", 2),
        (1, "red", 0),
    ]


def test_a_palette_can_be_read_as_it_is_stored(make, card):
    path = make(RGB[:1], colormap={0: (1, 2, 3, 255)})
    (band,) = Scene.open(path, {"elevation": 1}).select(card("elevation"))
    assert band.color is None


def test_select_gives_bands_in_the_models_order(make, card):
    path = make(RGB, descriptions=("green", "blue", "red"))
    bands = Scene.open(path).select(card("red", "green", "blue"))
    assert [band.index for band in bands] == [3, 1, 2]


def test_the_users_choice_wins(make, card):
    scene = Scene.open(
        make(RGB, descriptions=("green", "blue", "red")), {"Red": 1, "green": 2, "blue": 2}
    )
    bands = scene.select(card())
    assert [(b.index, b.name) for b in bands] == [(1, "red"), (2, "green"), (2, "blue")]


def test_a_band_that_the_user_named_loses_its_old_name(make, card):
    scene = Scene.open(make(RGB, descriptions=("green", "blue", "red")), {"red": 2})
    with pytest.raises(BandError, match="no band is known to be blue"):
        scene.select(card())


def test_names_of_the_users_own_are_found_by_label(make, card):
    path = make(RGB.astype(np.float32), descriptions=("VV", "VH", "slope"))
    assert [b.index for b in Scene.open(path).select(card("slope", "vv"))] == [3, 1]


def test_a_missing_band_is_told_with_all_that_helps(make, card):
    path = make(RGB.astype(np.uint16), descriptions=("B5", "B4", "B3"))
    with pytest.raises(BandError) as caught:
        Scene.open(path).select(card("red", "nir"))
    message = str(caught.value)
    assert str(path) in message
    assert "no band is known to be red, nir" in message
    assert "the model wants  red, nir" in message
    assert "2: unknown ('B4')" in message
    assert "B4 is red on Sentinel-2, red on Landsat 8 or 9, nir on Landsat 4, 5 or 7" in message
    assert "--bands red=1,nir=2" in message


def test_one_band_is_not_enough_for_three(make, card):
    said = r"(?s)1: unknown.*too few.*--bands red=1,green=1,blue=1$"
    path = make(RGB[:1])
    with pytest.raises(BandError, match=said):
        Scene.open(path).select(card())
    gray = Scene.open(path, {"red": 1, "green": 1, "blue": 1})
    assert [b.index for b in gray.select(card())] == [1, 1, 1]


def test_bands_that_are_free_are_offered_for_what_is_missing(make, card):
    path = make(RGB.astype(np.uint16), descriptions=("red", "unheard of", "green"))
    with pytest.raises(BandError, match=r"--bands blue=2$"):
        Scene.open(path).select(card())


def test_a_name_that_two_bands_have_is_asked_for(make, card):
    path = make(RGB.astype(np.uint16), descriptions=("red", "red", "green"))
    with pytest.raises(BandError, match=r"red may be band 1: red or band 2: red; .*--bands red=1"):
        Scene.open(path).select(card("red"))
    assert Scene.open(path, {"red": 2}).select(card("red"))[0].index == 2


def test_a_near_relative_stands_in_with_a_warning(make, card):
    path = make(RGB.astype(np.uint16), descriptions=("B8A", "B04", "B12"))
    scene = Scene.open(path)
    with pytest.warns(GeocamssWarning, match="no band is called nir; band 1: nir08"):
        assert scene.select(card("red", "nir"))[1].index == 1
    with pytest.raises(BandError, match="known to be nir"):
        scene.select(card("nir08", "nir"))  # it cannot be both


def test_a_wavelength_in_the_card_finds_a_band(make, card):
    path = make(RGB[:2].astype(np.uint16), descriptions=("1234 nm", "900 nm"))
    with pytest.warns(GeocamssWarning, match="took|taken"):
        bands = Scene.open(path).select(card({"name": "x", "wavelength": 1.24}))
    assert bands[0].index == 1


def test_custom_is_followed_with_a_warning(make, card):
    path = make(RGB, photometric="MINISBLACK")
    with pytest.warns(GeocamssWarning, match="took bands 1, 2, 3 for red, green, blue"):
        Scene.open(path).select(card())


@pytest.mark.parametrize("index", [0, 4, -1])
def test_an_index_that_is_not_there_is_refused(make, index):
    with pytest.raises(BandError, match=f"red={index} is not there; the scene has bands 1 to 3"):
        Scene.open(make(RGB), {"red": index})


@pytest.mark.parametrize("index", [True, 1.0, "1"])
def test_an_index_is_a_whole_number(make, index):
    with pytest.raises(BandError, match="by its index"):
        Scene.open(make(RGB), {"red": index})


def test_bands_are_parsed():
    assert parse_bands(" red=3, green=2,NIR=4") == {"red": 3, "green": 2, "nir": 4}


@pytest.mark.parametrize("text", ["", "red", "red=", "red=x", "red=1,,", "=1", "red=1;green=2"])
def test_bands_of_another_form_are_refused(text):
    with pytest.raises(BandError, match="red=3,green=2,blue=1"):
        parse_bands(text)


def test_a_band_is_given_once():
    with pytest.raises(BandError, match="'red' is given twice"):
        parse_bands("red=1,RED=2")


def test_complex_numbers_are_refused(make):
    with pytest.raises(SceneError, match="band 1 holds complex numbers"):
        Scene.open(make(np.zeros((1, 2, 2), np.complex64)))


def test_alpha_alone_is_nothing_to_map(make):
    path = make(RGB[:1])
    with rasterio.open(path, "r+") as dataset:
        dataset.colorinterp = [ColorInterp.alpha]
    with pytest.raises(SceneError, match="only band is alpha"):
        Scene.open(path)


def test_what_is_no_raster_is_refused(tmp_path):
    (tmp_path / "empty.tif").touch()
    (tmp_path / "text.tif").write_text("not a raster")
    for name, match in (
        ("none.tif", "no such file"),
        ("empty.tif", "is empty"),
        ("text.tif", "cannot be opened as a raster"),
        (".", "is a folder"),
    ):
        with pytest.raises(SceneError, match=match) as caught:
            Scene.open(tmp_path / name)
        assert str(tmp_path) in str(caught.value)
        assert caught.value.exit_code == 2


def test_descriptions_of_another_encoding_are_passed_over(make):
    path = make(RGB, descriptions=("rXXt", "", ""))
    path.write_bytes(path.read_bytes().replace(b"rXXt", "röt ".encode("latin-1")))
    assert [band.name for band in Scene.open(path).bands] == ["red", "green", "blue"]


@pytest.mark.parametrize(
    "path", ["a" * 5000, "nul\0", "", "<VRTDataset/>", "NETCDF:x:y", "/vsizip/x"]
)
def test_names_of_no_raster_are_refused(path):
    with pytest.raises(SceneError):
        Scene.open(path)


def test_a_name_that_is_too_long_is_no_file(tmp_path):
    for name in ("a" * 300 + ".tif", "a" * 300, "a" * 300 + "_{band}.tif"):
        with pytest.raises(SceneError, match=r"cannot be read|no file matches"):
            Scene.open(tmp_path / name)
        with pytest.raises(SceneError, match=r"cannot be read|no file matches"):
            find_scenes([tmp_path / name])


def test_a_folder_that_must_not_be_entered_is_told_of(make):
    path = make(RGB)
    (path.parent / "closed").mkdir()
    hidden = path.rename(path.parent / "closed" / path.name)
    hidden.parent.chmod(0)
    try:
        if os.access(hidden, os.F_OK):
            pytest.skip("this user enters every folder")
        with pytest.raises(SceneError, match=r"scene\.tif"):
            Scene.open(hidden)
    finally:
        hidden.parent.chmod(0o700)


@pytest.mark.parametrize("way", ["file://{}/v.vrt", "/vsizip/{}/all.zip/v.vrt"])
def test_sources_of_a_vrt_are_found_from_where_it_lies(make, tmp_path, way):
    source = make(RGB)
    with rasterio.open(source) as dataset:
        wide, high = dataset.width, dataset.height
    (tmp_path / "v.vrt").write_text(
        f'<VRTDataset rasterXSize="{wide}" rasterYSize="{high}"><VRTRasterBand dataType="Byte" '
        'band="1"><SimpleSource><SourceFilename relativeToVRT="1">scene.tif</SourceFilename>'
        "<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"
    )
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for name in ("v.vrt", "scene.tif"):
            archive.write(tmp_path / name, name)
    scene = Scene.open(way.format(tmp_path))
    assert (scene.width, scene.height) == (wide, high)


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_the_fingerprint_follows_an_archive(make, tmp_path, kind):
    archive = tmp_path / f"all.{kind}"
    found = set()
    for number, when in ((1, 1_000_000_000), (2, 1_100_000_000)):
        path = make(RGB + number)
        if kind == "zip":
            with zipfile.ZipFile(archive, "w") as packed:
                packed.write(path, "inner/scene.tif")
        else:
            with tarfile.open(archive, "w") as packed:
                packed.add(path, "inner/scene.tif")
        os.utime(archive, (when, when))
        found.add(Scene.open(f"/vsi{kind}/{archive}/inner/scene.tif").fingerprint)
    assert len(found) == 2


def write_vrt(path, *sources):
    """One band of 5 by 4 pixels from several files, one above the other."""
    text = "".join(
        f'<SimpleSource><SourceFilename relativeToVRT="{int(name[0] not in "/&")}">{name}'
        "</SourceFilename><SourceBand>1</SourceBand></SimpleSource>"
        for name in sources
    )
    path.write_text(
        '<VRTDataset rasterXSize="5" rasterYSize="4"><SRS>EPSG:32633</SRS>'
        "<GeoTransform>500000, 10, 0, 5000000, 0, -10</GeoTransform>"
        f'<VRTRasterBand dataType="Byte" band="1">{text}</VRTRasterBand></VRTDataset>'
    )
    return path


def test_a_file_that_is_missing_in_a_vrt_within_a_vrt_is_told(make, tmp_path):
    inner = write_vrt(tmp_path / "inner.vrt", "gone.tif")
    outer = write_vrt(tmp_path / "outer.vrt", "inner.vrt")
    with pytest.raises(SceneError, match=r"outer\.vrt: refers to files that are missing: /.*gone"):
        Scene.open(outer)
    make(RGB, "gone.tif")
    assert Scene.open(outer).width == 5
    inner.write_text("<VRTDataset> this is none")
    with pytest.raises(SceneError, match=r"outer\.vrt: refers to .*inner\.vrt, which cannot be op"):
        Scene.open(outer)


def test_a_vrt_whose_sources_are_missing_is_refused(make, tmp_path):
    path = tmp_path / "stack.vrt"
    source = (
        '<VRTRasterBand dataType="Byte" band="{}"><SimpleSource><SourceFilename '
        'relativeToVRT="1">{}</SourceFilename><SourceBand>1</SourceBand>'
        "</SimpleSource></VRTRasterBand>"
    )
    bands = source.format(1, "scene.tif") + source.format(2, "gone.tif")
    path.write_text(f'<VRTDataset rasterXSize="5" rasterYSize="4">{bands}</VRTDataset>')
    make(RGB)
    with pytest.raises(SceneError, match=r"refers to files that are missing: gone\.tif$"):
        Scene.open(path)
    make(RGB, "gone.tif")
    assert len(Scene.open(path).bands) == 2


def test_a_file_of_several_rasters_lists_them(shared_data):
    with pytest.raises(SceneError, match=r"give one of them:\n  netcdf:.*:Band1"):
        Scene.open(shared_data / "faults/rasterio/data/RGB.nc")


def vrt(tmp_path, width, height, bands=1):
    band = '<VRTRasterBand dataType="Byte" band="{}"/>'
    text = "".join(band.format(i) for i in range(1, bands + 1))
    path = tmp_path / "header.vrt"
    path.write_text(f'<VRTDataset rasterXSize="{width}" rasterYSize="{height}">{text}</VRTDataset>')
    return path


def test_a_header_that_claims_absurd_sizes_is_refused(tmp_path):
    with pytest.raises(SceneError, match=r"claims 2,097,152 by 1,048,576 pixels"):
        Scene.open(vrt(tmp_path, 2**21, 2**20))
    for side in (2**26 + 1, 2**31 - 1):
        with pytest.raises(SceneError, match=rf"claims 1 by {side:,} pixels; sides of more than"):
            Scene.open(vrt(tmp_path, 1, side))
    with pytest.raises(SceneError, match=r"claims 10,001 bands"):
        Scene.open(vrt(tmp_path, 2, 2, 10_001))


def test_a_header_of_many_bands_is_read_in_a_time_that_grows_with_them(tmp_path):
    path = vrt(tmp_path, 4, 4, 5_000)
    before = time.process_time()
    scene = Scene.open(path)
    assert time.process_time() - before < 10  # lists of all bands, made for each, took minutes
    assert [band.index for band in scene.bands] == list(range(1, 5_001))


@pytest.mark.parametrize("side", [1_000_000, 50_000])
def test_a_large_scene_is_opened(make, tmp_path, side):
    make(RGB[:1])
    path = write_vrt(tmp_path / "large.vrt", "scene.tif")
    path.write_text(path.read_text().replace("5", str(side), 1).replace("4", str(side), 1))
    assert Scene.open(path).width == side


@pytest.mark.parametrize("width", [46_341, 65_536])
def test_a_file_that_is_far_too_small_for_its_pixels_is_refused(tmp_path, width):
    with pytest.raises(SceneError, match=r"claims .* pixels, and refers to no file"):
        Scene.open(vrt(tmp_path, width, 46_341))
    sparse = tmp_path / "sparse.tif"
    profile = {"driver": "GTiff", "width": width, "height": 46_341, "dtype": "uint8"}
    profile |= {"sparse_ok": True, "tiled": True, "crs": UTM, "transform": Affine.scale(10)}
    options = {"blockxsize": 1024, "blockysize": 1024, "compress": "deflate"}
    with rasterio.open(sparse, "w", count=3, **profile, **options):
        pass
    size = sparse.stat().st_size
    with pytest.raises(SceneError, match=rf"46,341 pixels in 3 bands, .* holds {size:,} bytes"):
        Scene.open(sparse)
    with rasterio.open(sparse, "r+") as dataset:  # one part of it is there
        there = np.random.default_rng(1).integers(0, 255, (3, 1024, 1024), np.uint8)
        dataset.write(there, window=Window(1024, 2048, 1024, 1024))
    assert Scene.open(sparse).width == width


def test_the_emptiest_picture_of_billions_of_pixels_is_opened(tmp_path):
    """One color throughout, as dense as DEFLATE can be."""
    path = tmp_path / "black.tif"
    profile = {"driver": "GTiff", "width": 65_536, "height": 32_768, "dtype": "uint8"}
    profile |= {"tiled": True, "crs": UTM, "transform": Affine.scale(10), "compress": "deflate"}
    options = {"blockxsize": 8192, "blockysize": 8192, "sparse_ok": True}
    with rasterio.open(path, "w", count=1, **profile, **options) as dataset:
        dataset.write(np.ones((1, 8192, 8192), np.uint8), window=Window(0, 0, 8192, 8192))
    with path.open("ab") as file:  # the other tiles, which are the same
        file.write(bytes(31 * path.stat().st_size))
    assert Scene.open(path).width == 65_536


def test_blocks_that_do_not_fit_into_memory_are_refused(tmp_path):
    path = tmp_path / "block.tif"
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 3, "crs": UTM}
    place = {"transform": Affine(1, 0, 1, 0, -1, 1), "compress": "DEFLATE", "sparse_ok": True}
    side = 16 * round((MAX_BLOCK_BYTES / 3) ** 0.5 / 16)
    for size, refused in ((side + 16, True), (side - 16, False)):
        with rasterio.open(
            path,
            "w",
            **profile,
            **place,
            width=size,
            height=size,
            tiled=True,
            blockxsize=size,
            blockysize=size,
        ):
            pass
        if refused:
            with pytest.raises(SceneError, match="TILED=YES"):
                Scene.open(path)
        else:
            assert Scene.open(path).width == size


GCPS = [
    GroundControlPoint(row, col, 500_000 + 10 * col, 5_000_000 - 10 * row)
    for row, col in ((0, 0), (0, 5), (4, 0), (4, 5))
]


def test_ground_control_points_tell_where_a_scene_is(make):
    scene = Scene.open(make(RGB, crs=None, gcps=(GCPS, UTM)))
    assert (scene.georeferencing, scene.transform) == ("gcps", None)
    assert scene.crs.to_epsg() == 32633
    assert scene.gsd == pytest.approx(10 / 0.9996, rel=1e-4)


def test_control_points_on_both_sides_of_the_antimeridian_are_neighbors(make):
    def at(row, col):
        lon = (179.99 + 0.0001 * col + 180) % 360 - 180
        return GroundControlPoint(row, col, lon, -17 - 0.0001 * row)

    points = [at(row, col) for row in (0, 100, 200) for col in (0, 100, 200)]
    values = np.zeros((1, 200, 200), np.uint8)
    scene = Scene.open(make(values, crs=None, gcps=(points, "EPSG:4326")))
    assert scene.gsd == pytest.approx(10.8, rel=0.02)
    xs, ys = scene.georeference.to_crs([0, 200], [0, 200])
    assert xs == pytest.approx([179.99, 180.01])
    assert ys == pytest.approx([-17, -17.02])


def test_control_points_that_lead_nowhere_are_refused(make):
    points = [GroundControlPoint(0, col, 500_000 + col, 5_000_000) for col in range(3)]
    with pytest.raises(SceneError, match="gcps cannot be used"):
        Scene.open(make(RGB, crs=None, gcps=(points, UTM)))


def test_a_transform_that_has_no_area_is_refused(make):
    with pytest.raises(SceneError, match="transform cannot be used"):
        Scene.open(make(RGB, transform=Affine(1, 1, 0, 1, 1, 0)))


def rpc() -> RPC:
    """A satellite that looks straight down on 0.01 degrees a pixel, at 15 E 45 N."""
    one = [1.0] + [0.0] * 19
    return RPC(
        height_off=100.0,
        height_scale=500.0,
        lat_off=45.0,
        lat_scale=1.0,
        line_off=50.0,
        line_scale=100.0,
        long_off=15.0,
        long_scale=1.0,
        samp_off=50.0,
        samp_scale=100.0,
        line_num_coeff=[0.0, 0.0, -1.0] + [0.0] * 17,
        line_den_coeff=one,
        samp_num_coeff=[0.0, 1.0, 0.0] + [0.0] * 17,
        samp_den_coeff=one,
    )


def test_rational_polynomials_tell_where_a_scene_is(make):
    scene = Scene.open(make(np.zeros((1, 100, 100), np.uint8), crs=None, rpcs=rpc()))
    assert (scene.georeferencing, scene.transform) == ("rpcs", None)
    assert scene.crs.to_epsg() == 4326
    assert scene.pixel_size == pytest.approx((788.5, 1111.3), rel=1e-3)
    xs, ys = scene.georeference.to_crs(50.5, 50.5)
    assert (float(xs), float(ys)) == pytest.approx((15.0, 45.0), abs=1e-6)


def test_a_picture_has_no_place(make):
    scene = Scene.open(make(RGB, crs=None))
    assert (scene.georeferencing, scene.crs, scene.transform) == ("none", None, None)
    assert scene.gsd is None


@pytest.mark.parametrize(
    ("crs", "place", "size"),
    [
        ("EPSG:3857", (0, 8_399_737.89, 1.0), 0.5),  # 60 N: web Mercator doubles there
        ("EPSG:4326", (15, 0, 1 / 3600), 30.9),
        ("EPSG:2263", (1_000_000, 200_000, 1.0), 0.3048),  # New York, in feet
        ("EPSG:32633", (500_000, 5_000_000, 10.0), 10 / 0.9996),
    ],
)
def test_gsd_is_in_true_meters(make, crs, place, size):
    x, y, unit = place
    scene = Scene.open(make(RGB, crs=crs, transform=Affine(unit, 0, x, 0, -unit, y)))
    assert scene.gsd == pytest.approx(size, rel=5e-3)


def test_gsd_does_not_depend_on_rotation(make):
    turned = Affine.translation(500_000, 5_000_000) * Affine.rotation(30) * Affine.scale(10, -10)
    assert Scene.open(make(RGB, transform=turned)).gsd == pytest.approx(10 / 0.9996, rel=1e-4)


def test_a_pixel_may_span_the_earth(make):
    path = make(RGB[:1, :1, :1], crs="EPSG:4326", transform=Affine(360, 0, -180, 0, -180, 90))
    assert Scene.open(path).pixel_size == pytest.approx((40_075_000, 19_900_000), rel=0.01)


def test_the_fingerprint_follows_the_file(make):
    path = make(RGB)
    first = Scene.open(path).fingerprint
    assert Scene.open(path).fingerprint == first
    assert len(first) == 64
    os.utime(path, (1, 1))
    assert Scene.open(path).fingerprint != first


def test_the_fingerprint_of_a_vrt_follows_its_sources(make, tmp_path):
    source = make(RGB[:1])
    path = tmp_path / "one.vrt"
    path.write_text(
        '<VRTDataset rasterXSize="5" rasterYSize="4"><VRTRasterBand dataType="Byte" band="1">'
        '<SimpleSource><SourceFilename relativeToVRT="1">scene.tif</SourceFilename>'
        "<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"
    )
    first = Scene.open(path).fingerprint
    os.utime(source, (1, 1))
    assert Scene.open(path).fingerprint != first


def test_the_fingerprint_of_a_vrt_follows_the_files_of_vrts_within_it(make, tmp_path):
    source = make(RGB[:1])
    (tmp_path / "deep").mkdir()
    write_vrt(tmp_path / "deep/inner.vrt", "../scene.tif")
    path = write_vrt(tmp_path / "outer.vrt", "deep/inner.vrt")
    first = Scene.open(path).fingerprint
    assert Scene.open(path).fingerprint == first
    os.utime(source, (1, 1))
    second = Scene.open(path).fingerprint
    assert second != first
    os.utime(tmp_path / "deep/inner.vrt", (1, 1))
    assert Scene.open(path).fingerprint != second


@pytest.mark.parametrize("kind", ["words", "warped", "mask"])
def test_the_fingerprint_follows_all_that_a_vrt_may_refer_to(make, tmp_path, kind):
    source = make(RGB[:1])
    path = tmp_path / "one.vrt"
    if kind == "words":
        inner = write_vrt(tmp_path / "inner.vrt", str(source)).read_text()
        write_vrt(path, html.escape(inner))
    elif kind == "warped":
        with rasterio.open(source) as dataset, WarpedVRT(dataset, crs="EPSG:4326") as warped:
            rasterio.shutil.copy(warped, path, driver="VRT")
    else:
        mask = make(RGB[:1] + 255, "mask.tif")
        text = write_vrt(path, "scene.tif").read_text()
        beside = text[text.index("<VRTRasterBand") : text.index("</VRTDataset>")]
        beside = beside.replace("scene.tif", "mask.tif").replace(' band="1"', "")
        end = "</VRTRasterBand></VRTDataset>"
        path.write_text(text.replace(end, f"<MaskBand>{beside}</MaskBand>{end}"))
        source = mask
    first = Scene.open(path).fingerprint
    os.utime(source, (1, 1))
    assert Scene.open(path).fingerprint != first


def test_vrts_that_refer_to_each_other_are_gone_through_once(make, tmp_path):
    make(RGB[:1])
    one = write_vrt(tmp_path / "one.vrt", "two.vrt", "scene.tif")
    write_vrt(tmp_path / "two.vrt", "./one.vrt", "two.vrt")
    assert Scene.open(one).fingerprint == Scene.open(one).fingerprint
    for i in range(40):
        write_vrt(tmp_path / f"{i}.vrt", f"{i + 1}.vrt")
    write_vrt(tmp_path / "40.vrt", "scene.tif")
    with pytest.raises(SceneError, match=r"0\.vrt: its VRTs refer to others more than 32 deep"):
        Scene.open(tmp_path / "0.vrt")


@pytest.mark.parametrize(
    ("name", "tags", "when"),
    [
        ("scene.tif", {}, None),
        ("scene.tif", {"TIFFTAG_DATETIME": "2020:01:02 03:04:05"}, None),  # of processing
        ("scene.tif", {"ACQUISITION_DATE": "2020-01-02"}, (2020, 1, 2)),
        ("scene.tif", {"DATETIME": "2020-01-02T05:04:05+02:00"}, (2020, 1, 2, 3, 4, 5)),
        ("scene.tif", {"DATETIME": "soon"}, None),
        ("S2A_MSIL2A_20200102T030405_N0213.tif", {}, (2020, 1, 2, 3, 4, 5)),
        ("LC08_L1TP_193026_20200102_20200824_02_T1.tif", {}, (2020, 1, 2)),
        ("m_4709963_se_14_1_20150926.tif", {}, (2015, 9, 26)),
        ("area_20201350.tif", {}, None),
        ("tile_20200231.tif", {}, None),
    ],
)
def test_the_time_of_acquisition_is_read(make, name, tags, when):
    scene = Scene.open(make(RGB, name, tags=tags))
    assert scene.datetime == (when and dt.datetime(*when, tzinfo=dt.UTC))


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("fair/kampala_aoi0_z19_rgb.tif", ["red", "green", "blue"]),
        ("naip/m_4709963_se_14_1_20150926.tif", ["red", "green", "blue", "nir"]),
        ("zion/landsat_b4.tif", [None]),  # red on Landsat 8, near infrared before
        (
            "rstoolbox/sen2.tif",
            [
                *("coastal", "blue", "green", "red", "rededge1", "rededge2", "rededge3"),
                *("nir", "nir08", "water_vapor", "swir1", "swir2"),
            ],
        ),
    ],
)
def test_bands_of_real_scenes(shared_data, path, names):
    assert [band.name for band in Scene.open(shared_data / path).bands] == names
