from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geocamss.scene.bands import (
    COMMON_BANDS,
    SENSORS,
    BandClues,
    canonical_name,
    find_sensor,
    identify_bands,
    meanings_of,
    name_of_wavelength,
)

SENTINEL2, LANDSAT8, LANDSAT7, SCANNER, OLD_SCANNER = SENSORS


def named(*descriptions: str, sensor=None, colors=None, dtype="uint16"):
    colors = colors or ["undefined"] * len(descriptions)
    clues = [
        BandClues(i, d, c, None, dtype)
        for i, (d, c) in enumerate(zip(descriptions, colors, strict=True), 1)
    ]
    return [identity.name for identity in identify_bands(clues, sensor)]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Red", "red"),
        ("near-infrared", "nir"),
        ("Near Infrared (NIR)", "nir"),
        ("NIR narrow", "nir08"),
        ("B4 - red", "red"),
        ("Band 4 (Red)", "red"),
        ("Red (665 nm)", "red"),
        ("Vegetation red edge 1", "rededge1"),
        ("coastal_blue", "coastal"),
        ("SWIR 1", "swir1"),
        ("swir16", "swir1"),
        ("swir22", "swir2"),
        ("SWIR - Cirrus", "cirrus"),
        ("Short-wave infrared 2", "swir2"),
        ("water vapour", "water_vapor"),
        ("b", "blue"),
        ("red / blue", None),
        ("blue cloud mask", None),
        ("redness", None),
        ("B04", None),
        ("", None),
    ],
)
def test_a_text_spells_a_common_name_or_none(text, name):
    assert canonical_name(text) == name


@pytest.mark.parametrize("band", COMMON_BANDS.values(), ids=lambda band: band.name)
def test_every_name_and_alias_is_canonical(band):
    assert canonical_name(band.name) == band.name
    assert {canonical_name(alias) for alias in band.aliases} <= {band.name}
    assert band.shortest <= band.center < band.longest


def test_ranges_that_wavelengths_are_read_by_do_not_overlap():
    bands = [band for band in COMMON_BANDS.values() if band.by_wavelength]
    overlaps = [
        {one.name, two.name}
        for one, two in itertools.combinations(bands, 2)
        if one.shortest < two.longest and two.shortest < one.longest
    ]
    assert overlaps == [{"rededge3", "nir"}]  # the shorter end of nir, read as rededge3


@pytest.mark.parametrize("sensor", SENSORS, ids=lambda sensor: sensor.name)
def test_wavelengths_of_sensors_lie_in_the_bands_they_are_named(sensor):
    for name, wavelength in sensor.bands.values():
        assert name == "pan" or wavelength in COMMON_BANDS[name]


@given(st.floats(0.1, 15))
def test_a_wavelength_has_the_name_of_a_band_it_lies_in(wavelength):
    name = name_of_wavelength(wavelength)
    assert name is None or wavelength in COMMON_BANDS[name]


@pytest.mark.parametrize(
    ("text", "sensor"),
    [
        ("T32TPS_20200101T101010_B04_10m.jp2", SENTINEL2),
        ("S2A_MSIL2A_20200101T101010_N0213_R022_T32TPS.tif", SENTINEL2),
        ("sentinel-2_stack.tif", SENTINEL2),
        ("LC08_L2SP_193026_20200101_20200824_02_T1_SR_B4.TIF", LANDSAT8),
        ("HLS.L30.T32TPS.2020001T101010.v2.0.B04.tif", LANDSAT8),
        ("HLS.S30.T32TPS.2020001T101010.v2.0.B04.tif", SENTINEL2),
        ("LE07_L1TP_193026_20000101.tif", LANDSAT7),
        ("LT05_L1TP_193026_20000101.tif", LANDSAT7),
        ("LM05_L1TP_193027_19840601_20200101_02_T1", SCANNER),
        ("Landsat 5 MSS", SCANNER),
        ("LANDSAT_5 | MSS", SCANNER),
        ("LM03_L1TP_193027_19790601_20200101_02_T2", OLD_SCANNER),
        ("landsat_b4.tif", None),
        ("class2b_site8.tif", None),
        ("sentinel2_vs_landsat8.tif", None),
    ],
)
def test_a_file_name_tells_the_sensor_if_only_one(text, sensor):
    assert find_sensor([text]) is sensor


def test_codes_of_a_full_set_tell_the_sensor():
    codes = ["B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B9", "B11", "B12"]
    assert named(*codes) == [SENTINEL2.bands[code[1:]][0] for code in codes]


def test_a_code_that_sensors_disagree_on_has_no_name():
    assert named("B5", "B4", "B3") == [None, None, None]


def test_a_code_that_all_possible_sensors_agree_on_has_a_name():
    # padded codes are of Sentinel-2 or of harmonized Landsat 8, and both call these alike
    assert named("B02", "B03", "B04") == ["blue", "green", "red"]
    assert named("B05", "B04", "B03") == [None, "red", "green"]
    assert named("SR_B2", "SR_B6", "SR_B5", "SR_B10") == ["blue", "swir1", "nir", "thermal1"]


def test_a_broad_infrared_beside_others_is_no_panchromatic_band():
    assert named("B2", "B3", "B4", "B8") == ["blue", "green", "red", "nir"]
    assert named("B2", "B3", "B4", "B8", sensor=LANDSAT8) == ["blue", "green", "red", "pan"]


def test_codes_follow_the_sensor_that_is_known():
    assert named("B4", "B3", "B2", sensor=LANDSAT7) == ["nir", "red", "green"]
    assert named("B4", "B3", "B2", sensor=LANDSAT8) == ["red", "green", "blue"]


def test_bands_that_are_counted_are_not_taken_for_codes():
    assert named("B1", "B2", "B3") == [None, None, None]
    assert named("B1", "B2", "B3", sensor=SENTINEL2) == ["coastal", "blue", "green"]


def test_a_description_wins_over_the_color():
    # 8-bit pictures of three bands are marked red, green, blue by default
    colors = ["red", "green", "blue"]
    assert named("nir", "red", "green", colors=colors) == ["nir", "red", "green"]
    assert named("B5", "B4", "B3", colors=colors) == [None, None, None]
    assert named("ndvi", "ndwi", "evi", colors=colors) == [None, None, None]


def test_a_color_names_bands_that_nothing_else_names():
    assert named("", "", "", colors=["blue", "green", "red"]) == ["blue", "green", "red"]
    assert named("Band 1", "lyr.2", "3", colors=["red", "green", "blue"]) == [
        "red",
        "green",
        "blue",
    ]


def test_a_name_in_two_descriptions_stays_on_both():
    assert named("red", "red", "green") == ["red", "red", "green"]


def test_the_band_of_a_spectrometer_nearest_to_the_center_has_the_name():
    clues = [BandClues(i, "", "undefined", w) for i, w in enumerate([0.63, 0.655, 0.68, 0.85], 1)]
    assert [b.name for b in identify_bands(clues)] == [None, "red", None, "nir"]


def test_a_wavelength_in_the_description_is_read():
    clues = [BandClues(1, "842 nm"), BandClues(2, "0.56 um")]
    assert [(b.name, b.wavelength) for b in identify_bands(clues)] == [
        ("nir", 0.842),
        ("green", 0.56),
    ]


@pytest.mark.parametrize("colors", [["gray", *["undefined"] * 3], ["gray"] * 4])
def test_a_silent_picture_is_assumed_to_be_red_green_blue(colors):
    for count in (3, 4):
        clues = [BandClues(i + 1, "", c) for i, c in enumerate(colors[:count])]
        found = identify_bands(clues)
        assert [b.name for b in found] == ["red", "green", "blue", "nir"][:count]
        assert all(b.assumed for b in found)


def test_nothing_is_assumed_of_what_is_no_picture():
    silent = [BandClues(i, "", "undefined", None, "uint16") for i in (1, 2, 3)]
    five = [BandClues(i) for i in range(1, 6)]
    printed = [BandClues(i, "", c) for i, c in enumerate(["cyan", "magenta", "yellow", "black"])]
    for clues in (silent, five, printed):
        assert [b.name for b in identify_bands(clues)] == [None] * len(clues)


def test_meanings_say_what_a_code_is_by_sensor():
    assert meanings_of("B4") == {
        "Sentinel-2": "red",
        "Landsat 8 or 9": "red",
        "Landsat 4, 5 or 7": "nir",
        "Landsat 4 or 5 MSS": "nir",
        "Landsat 1, 2 or 3 MSS": "green",
    }
    assert meanings_of("ndvi") == {}


@given(
    st.lists(st.sampled_from(["", "red", "B4", "B8A", "842 nm", "ndvi", "Band 1"]), max_size=6),
    st.sampled_from([None, *SENSORS]),
)
def test_each_band_gets_one_identity(descriptions, sensor):
    clues = [BandClues(i, d) for i, d in enumerate(descriptions, 1)]
    found = identify_bands(clues, sensor)
    assert len(found) == len(clues)
    assert all(b.name is None or b.name in COMMON_BANDS for b in found)


def test_the_multispectral_scanner_has_its_own_bands():
    """Its first bands are green, red and two in the near infrared, and not blue, green, red."""
    codes = ("B1", "B2", "B3", "B4")
    assert named(*codes, sensor=SCANNER) == ["green", "red", None, "nir"]
    codes = ("B4", "B5", "B6", "B7")
    assert named(*codes, sensor=OLD_SCANNER) == ["green", "red", None, "nir"]


@pytest.mark.parametrize("sensor", SENSORS[:3])
def test_bands_counted_in_words_are_no_codes_even_if_the_sensor_is_known(sensor):
    """So GDAL's ENVI driver describes bands without names."""
    assert named("Band 1", "Band 2", "Band 3", "Band 4", sensor=sensor) == [None] * 4
    counted = named("Band 1", "Band 2", "Band 3", dtype="uint8", sensor=sensor)
    assert counted == ["red", "green", "blue"]
    assert named("B1", "B2", "B3", sensor=sensor) != [None] * 3
    assert named("Band 4", "Band 3", "Band 2", sensor=sensor) != [None] * 3
