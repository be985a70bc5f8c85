"""Scenes with labels on the ground, arrays, parts of the ground, and ground in common."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from pyproj import Transformer
from rasterio.crs import CRS
from rasterio.features import rasterize
from rasterio.transform import from_origin
from rasterio.warp import transform_bounds
from shapely.geometry import box

from geocamss.errors import GeocamssWarning, RecipeError
from geocamss.modelcard import ModelCard
from geocamss.models.module import from_module
from geocamss.request import Request
from geocamss.training.batches import normalize, physical
from geocamss.training.sources import (
    IGNORED,
    ArraySource,
    LabeledImage,
    Part,
    ScenesSource,
    load_source,
)
from geocamss.training.sources.ground import check_apart, share_ground
from geocamss.training.sources.part import choose_part, keep_part

CARD = ModelCard(
    bands=["blue", "nir"], gsd=30.0, scale=2e-5, offset=-0.1, classes=["water", "wood", "field"]
)
TRANSFORM = from_origin(300_000, 4_100_000, 30, 30)


@pytest.fixture
def scene(tmp_path):
    """Two bands over 96 x 128 pixels, some of them without data."""
    pixels = np.random.default_rng(0).integers(1, 20_000, (2, 96, 128)).astype(np.uint16)
    pixels[:, :10, :20] = 0
    path = tmp_path / "scene.tif"
    shape = {"width": 128, "height": 96, "count": 2}
    with rasterio.open(
        path, "w", dtype="uint16", crs="EPSG:32612", transform=TRANSFORM, nodata=0, **shape
    ) as file:
        file.write(pixels)
        file.descriptions = ("nir", "blue")
    return path


def source(**changes) -> ScenesSource:
    given_ = {"kind": "scenes", "name": "test", "scenes": ["scene.tif"], "labels": "labels.tif"}
    return ScenesSource.model_validate(given_ | changes)


def write_labels(path, values, crs="EPSG:32612", transform=TRANSFORM):
    height, width = values.shape
    shape = {"width": width, "height": height, "count": 1, "dtype": "uint8"}
    with rasterio.open(path, "w", crs=crs, transform=transform, **shape) as file:
        file.write(values, 1)


def test_bands_come_in_the_cards_order_and_nodata_is_neither_seen_nor_labeled(scene, tmp_path):
    values = np.random.default_rng(1).integers(40, 44, (96, 128)).astype(np.uint8)
    write_labels(tmp_path / "labels.tif", values)
    meaning = {"water": 41, "wood": [42, 43]}
    (item,) = load_source(source(classes=meaning), CARD, tmp_path)
    with rasterio.open(scene) as file:
        nir, blue = file.read().astype(np.float32)
    valid = blue > 0
    np.testing.assert_array_equal(item.valid.numpy(), valid)
    np.testing.assert_array_equal(item.image.numpy()[:, valid], np.stack([blue, nir])[:, valid])
    expected = np.choose(values - 40, [IGNORED, 0, 1, 1])
    np.testing.assert_array_equal(item.labels.numpy(), np.where(valid, expected, IGNORED))


@pytest.mark.parametrize("scales", [(1.0, 1.0), (1.0, 1e-4), (1e-4, 1e-4)])
def test_a_network_sees_in_training_what_it_sees_in_prediction(scene, tmp_path, scales):
    with rasterio.open(scene, "r+") as file:
        nir = file.read(1)
        nir[:, 64:] = 0  # nodata where the other band has some
        file.write(nir, 1)
        file.scales, file.offsets = scales, (0.0, 0.0)
    write_labels(tmp_path / "labels.tif", np.zeros((96, 128), np.uint8))
    card = ModelCard.model_validate(
        {**CARD.model_dump(), "mean": [0.1, 0.2], "std": [0.05, 0.1], "chip": 64, "overlap": 32}
    )
    (item,) = load_source(source(), card, tmp_path)
    assert item.image.dtype is torch.uint16  # no larger than in the file
    trained = normalize(physical(item.pixels(), card), item.valid, card)
    run = Request(model=from_module(torch.nn.Conv2d(2, 3, 1), card)).run(scene)
    with closing(run.reader()) as reader:
        pixels, valid = (torch.from_numpy(part)[None] for part in reader.read(run.grid.window))
    predicted = run.engine.normalizer(pixels.float(), valid)[0]
    np.testing.assert_array_equal(item.valid.numpy(), valid[0].numpy())
    torch.testing.assert_close(trained, predicted, rtol=1e-4, atol=1e-3)


def test_real_numbers_are_reflectance_in_training_as_in_prediction(tmp_path):
    units = {"mean": [0.1, 0.2], "std": [0.05, 0.1], "chip": 64, "overlap": 32}
    card = ModelCard.model_validate({**CARD.model_dump(), **units})
    values = np.random.default_rng(0).normal(0.15, 0.05, (2, 96, 128)).astype(np.float32)
    shape = {"width": 128, "height": 96, "count": 2}
    path = tmp_path / "scene.tif"
    with rasterio.open(
        path, "w", dtype="float32", crs="EPSG:32612", transform=TRANSFORM, **shape
    ) as file:
        file.write(values)
        file.descriptions = ("blue", "nir")
    write_labels(tmp_path / "labels.tif", np.zeros((96, 128), np.uint8))
    with pytest.warns(GeocamssWarning, match="real numbers"):
        (item,) = load_source(source(), card, tmp_path)
    trained = normalize(physical(item.pixels(), card), item.valid, card)
    with pytest.warns(GeocamssWarning, match="real numbers"):
        run = Request(model=from_module(torch.nn.Conv2d(2, 3, 1), card)).run(path)
    predicted = run.engine.normalizer(torch.from_numpy(values)[None], item.valid[None])[0]
    torch.testing.assert_close(trained, predicted, rtol=1e-4, atol=1e-3)
    expected = (values - np.float32([0.1, 0.2])[:, None, None]) / np.float32([0.05, 0.1])[
        :, None, None
    ]
    np.testing.assert_allclose(trained.numpy(), expected, atol=1e-3)


def test_labels_of_another_grid_are_the_nearest_ones(scene, tmp_path):
    with rasterio.open(scene) as file:
        left, bottom, right, top = transform_bounds(file.crs, 4326, *file.bounds)
    theirs = from_origin(left - 0.002, top + 0.002, 0.0005, 0.0004)
    shape = int((top - bottom + 0.004) / 0.0004), int((right - left + 0.004) / 0.0005)
    values = np.random.default_rng(2).integers(0, 3, shape).astype(np.uint8)
    write_labels(tmp_path / "labels.tif", values, "EPSG:4326", theirs)
    (item,) = load_source(source(), CARD, tmp_path)
    cols, rows = np.meshgrid(np.arange(128) + 0.5, np.arange(96) + 0.5)
    to_degrees = Transformer.from_crs(32612, 4326, always_xy=True)
    xs, ys = to_degrees.transform(300_000 + 30 * cols, 4_100_000 - 30 * rows)
    near = ((theirs.f - ys) / 0.0004).astype(int), ((xs - theirs.c) / 0.0005).astype(int)
    valid = item.valid.numpy()
    assert (item.labels.numpy() == values[near])[valid].mean() > 0.999  # ties at pixel borders


@pytest.mark.usefixtures("scene")
def test_polygons_of_another_crs_label_what_lies_within(tmp_path):
    shapes = [
        box(300_600, 4_097_700, 301_500, 4_099_200),
        box(302_000, 4_097_500, 303_100, 4_099_900),
    ]
    frame = gpd.GeoDataFrame({"what": ["lake", "wood"]}, geometry=shapes, crs="EPSG:32612")
    frame.to_crs(4326).to_file(tmp_path / "labels.gpkg")
    wanted = source(labels="labels.gpkg", column="what", classes={"water": "lake", "wood": "wood"})
    (item,) = load_source(wanted, CARD, tmp_path)
    oracle = rasterize(
        zip(shapes, (0, 1), strict=True), (96, 128), fill=IGNORED, transform=TRANSFORM
    )
    valid = item.valid.numpy()
    wrong = (item.labels.numpy() != oracle) & valid
    assert wrong.mean() < 0.002  # the way to degrees and back moves a border pixel or two
    assert (item.labels.numpy()[~valid] == IGNORED).all()


@pytest.mark.usefixtures("scene")
def test_labels_elsewhere_are_an_error_that_says_so(tmp_path):
    values = np.ones((8, 8), np.uint8)
    write_labels(tmp_path / "labels.tif", values, transform=from_origin(400_000, 4_100_000, 30, 30))
    with pytest.raises(RecipeError, match=r"scene.tif.*labels.tif"):
        load_source(source(), CARD, tmp_path)


def test_arrays_are_taken_by_name_and_stored_as_the_card_would(tmp_path):
    image = np.random.default_rng(3).random((20, 30, 3)).astype(np.float32)
    image[4, 5, 0] = np.nan
    labels = np.random.default_rng(4).integers(0, 5, (20, 30, 1))
    labels[4, 5] = 3
    np.savez(tmp_path / "a.npz", img=image, msk=labels)
    given_ = ArraySource(
        kind="arrays", name="a", files=("a.npz",), image="img", labels="msk",
        bands=("nir", "red", "blue"), values={"water": 3, "field": 1},
    )  # fmt: skip
    (item,) = load_source(given_, CARD, tmp_path)
    assert not item.valid[4, 5]
    valid = item.valid.numpy()
    physical = item.image.numpy() * 2e-5 - 0.1
    np.testing.assert_allclose(
        physical[:, valid], np.moveaxis(image[:, :, [2, 0]], -1, 0)[:, valid], atol=1e-6
    )
    expected = np.select([labels[..., 0] == 3, labels[..., 0] == 1], [0, 2], IGNORED)
    np.testing.assert_array_equal(item.labels.numpy(), np.where(valid, expected, IGNORED))
    np.savez(tmp_path / "a.npz", img=image * np.nan, msk=labels)
    with pytest.raises(RecipeError, match="no pixel has a label"):
        load_source(given_, CARD, tmp_path)
    with pytest.raises(RecipeError, match="truth"):
        load_source(given_.model_copy(update={"labels": "truth"}), CARD, tmp_path)


def test_labels_beyond_a_byte_are_no_class(tmp_path):
    stored = np.array([[-1, 0, 254, 255, 256, 2**40]])
    np.savez(tmp_path / "a.npz", image=np.zeros((1, 6, 2)), labels=stored)
    given_ = {"kind": "arrays", "name": "a", "files": ["a.npz"], "bands": ["nir", "blue"]}
    values = {"water": 255, "wood": 0}
    wanted = ArraySource.model_validate({**given_, "values": values})
    (item,) = load_source(wanted, CARD, tmp_path)
    assert item.labels.tolist() == [[IGNORED, 1, IGNORED, 0, IGNORED, IGNORED]]
    for value in (-1, 256):
        with pytest.raises(ValidationError, match=r"values\.water"):
            ArraySource.model_validate({**given_, "values": {"water": value}})


@given(
    block=st.integers(16, 40),
    every=st.integers(2, 7),
    first=st.integers(0, 6),
    size=st.integers(1, 150),
)
def test_parts_share_nothing_and_leave_nothing_out(block, every, first, size):
    labels = torch.zeros(size, 97, dtype=torch.uint8)
    parts = [
        keep_part(labels, Part(block=block, every=every, first=first % every, take=take)) == 0
        for take in ("most", "held-out")
    ]
    assert not (parts[0] & parts[1]).any()
    assert (parts[0] | parts[1]).all()
    assert parts[1][0, :block].all() == (first % every == 0)


def sides(labels, block, first):
    """Classes for training, and classes that are held out."""
    return [
        set(keep_part(labels, Part(block=block, first=first, take=take)).unique().tolist())
        - {IGNORED}
        for take in ("most", "held-out")
    ]


@given(
    places=st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 15), st.integers(0, 15), st.integers(1, 9)),
        min_size=1,
        max_size=30,
    )
)
def test_what_is_held_out_has_every_class_on_both_sides_wherever_that_can_be(places):
    classes = sorted({place[0] for place in places})
    counts = np.zeros((len(classes), 16, 16), np.int64)
    labels = torch.full((256, 256), IGNORED, dtype=torch.uint8)
    for name, row, col, pixels in places:
        channel = classes.index(name)
        counts[channel, row, col] = pixels
        labels[row * 16 + channel, col * 16 : col * 16 + pixels] = channel
    wanted = [set(range(len(classes)))] * 2
    part = choose_part(counts)
    if part is None:
        tries = [sides(labels, block, k) for block in (128, 64, 32, 16) for k in range(5)]
        assert wanted not in tries
    else:
        assert part.take == "held-out"
        assert sides(labels, part.block, part.first) == wanted


def test_blocks_are_as_large_as_the_labels_allow():
    dense = np.ones((2, 80, 80), np.int64)
    part = choose_part(dense)
    assert (part.block, part.every) == (128, 5)
    lone = np.zeros((1, 80, 80), np.int64)
    lone[0, 40:44, 40:44] = (
        256  # 64 pixels wide, in one block of 64: a quarter of it is in one of 32
    )
    assert choose_part(lone).block == 32
    lone[0, 40:44, 40:44] = 0
    lone[0, 40, 40] = 256
    assert choose_part(lone) is None


@pytest.mark.usefixtures("scene")
def test_a_part_without_a_label_is_named_and_so_is_its_source_once(tmp_path):
    values = np.zeros((96, 128), np.uint8)
    values[48:64, 96:112] = 1
    write_labels(tmp_path / "labels.tif", values)
    part = {"block": 16, "first": (3 * 2 + 6 + 1) % 5, "take": "held-out"}
    with pytest.raises(RecipeError, match=r"blocks that are held out .*first 3") as caught:
        load_source(source(classes={"wood": 1}, part=part), CARD, tmp_path)
    assert str(caught.value).count("source 'test'") == 1
    with pytest.raises(RecipeError) as caught:
        load_source(source(classes={"wood": 9}), CARD, tmp_path)
    assert str(caught.value).count("source 'test'") == 1
    with pytest.raises(ValidationError, match="got 5"):
        source(part={"first": 5, "take": "most"})


@pytest.mark.usefixtures("scene")
def test_ground_in_training_and_validation_is_an_error(tmp_path):
    write_labels(tmp_path / "labels.tif", np.ones((96, 128), np.uint8))
    whole, most, held = (
        load_source(source(part=part), CARD, tmp_path)
        for part in (
            None,
            {"block": 16, "every": 3, "take": "most"},
            {"block": 16, "every": 3, "take": "held-out"},
        )
    )
    assert not share_ground(most[0], held[0])
    check_apart(most, held)
    # A large scene is in memory once.
    assert most[0].image is held[0].image is whole[0].image
    assert most[0].valid is held[0].valid
    with pytest.raises(RecipeError, match="same ground"):
        check_apart(whole, held)
    away = replace(whole[0].grid, transform=from_origin(400_000, 4_100_000, 30, 30))
    elsewhere = replace(held[0], image=held[0].image.flip(-1), grid=away)
    check_apart(whole, [elsewhere])
    with rasterio.open(tmp_path / "scene.tif") as file:
        left, bottom, right, top = transform_bounds(file.crs, 32613, *file.bounds)
    for off in (0, 20_000):  # in the zone beside it
        place = from_origin(left + off, top, (right - left) / 128, (top - bottom) / 96)
        grid = replace(whole[0].grid, crs=CRS.from_epsg(32613), transform=place)
        assert share_ground(whole[0], replace(whole[0], grid=grid)) == (off == 0)
    pixels = replace(whole[0].grid, crs=None)
    unplaced = [replace(image, grid=pixels) for image in (whole[0], most[0], held[0])]
    assert not share_ground(*unplaced[1:])
    with pytest.raises(RecipeError, match="same ground"):
        check_apart(unplaced[:1], unplaced[2:])
    assert not share_ground(unplaced[0], replace(unplaced[0], name="another file"))
    nowhere = LabeledImage("x", whole[0].image, whole[0].labels, whole[0].valid)
    assert not share_ground(nowhere, held[0])


@pytest.mark.parametrize(
    "changes",
    [
        {"scenes": ["../secret.tif"]},
        {"labels": "/etc/passwd"},
        {"scenes": []},
        {"files": {"blue": "b.tif"}},
        {"scale": 2.0},
        {"scenes": ["https://example.com/x.tif"]},
    ],
)
def test_a_source_that_makes_no_sense_is_refused(changes):
    with pytest.raises(ValidationError):
        source(**changes)
