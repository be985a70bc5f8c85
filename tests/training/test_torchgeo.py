"""Data sets that torchgeo reads, against files that the test paints in their layout."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
import torch
from PIL import Image
from rasterio.transform import Affine, from_origin

from geocamss.errors import RecipeError
from geocamss.modelcard import ModelCard
from geocamss.training.sources import LabeledImage, TorchgeoSource, load_source
from geocamss.training.sources.ground import check_apart
from geocamss.training.sources.torchgeo import _placed

pytest.importorskip("torchgeo", reason="torchgeo is in the extra geocamss[train]")

CARD = ModelCard(bands=["blue", "red"], gsd=0.3, classes=["building", "water"], scale=1 / 255)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two pictures as LoveDA lays them out."""
    folder = tmp_path_factory.mktemp("torchgeo")
    rng = np.random.default_rng(0)
    for index in range(2):
        for kind, shape, most in (("images_png", (24, 32, 3), 256), ("masks_png", (24, 32), 8)):
            path = folder / "loveda" / "Val" / "Urban" / kind / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, most, shape, dtype=np.uint8)).save(path)
    return folder


def source(**changes) -> TorchgeoSource:
    given = {
        "kind": "torchgeo",
        "name": "LoveDA",
        "dataset": "LoveDA",
        "root": "loveda",
        "options": {"split": "val", "scene": ["urban"]},
        "bands": ["red", "green", "blue"],
        "values": {"building": 2, "water": 4},
    }
    return TorchgeoSource.model_validate(given | changes)


def test_pictures_and_masks_are_those_of_the_files(folder):
    found = load_source(source(), CARD, folder)
    assert len(found) == 2
    for index, item in enumerate(found):
        parts = folder / "loveda" / "Val" / "Urban"
        with Image.open(parts / "images_png" / f"{index}.png") as image:
            rgb = np.asarray(image)
        with Image.open(parts / "masks_png" / f"{index}.png") as mask:
            values = np.asarray(mask)
        np.testing.assert_array_equal(item.image.numpy(), np.moveaxis(rgb[..., [2, 0]], -1, 0))
        expected = np.select([values == 2, values == 4], [0, 1], 255)
        np.testing.assert_array_equal(item.labels.numpy(), expected)


def test_a_limit_takes_fewer(folder):
    assert len(load_source(source(limit=1), CARD, folder)) == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dataset": "LovDA"}, "did you mean 'LoveDA'"),
        ({"root": "nothing"}, "not complete"),
        ({"options": {"split": "vall"}}, "options"),
        ({"bands": ["red", "blue"]}, "wants 2 bands"),
        ({"bands": ["red", "green", "nir"]}, "no band 'blue'"),
    ],
)
def test_mistakes_are_said(folder, changes, words):
    with pytest.raises(RecipeError, match=words):
        load_source(source(**changes), CARD, folder)


LEFT, TOP, PIXEL = 500_000, 4_100_000, 10
HEIGHT, WIDTH = 40, 56
NAIP = "naip/m_1234567_ne_12_060_20200101.tif"
AROUND = 8
"""The masks reach so many pixels farther, on all sides."""


@pytest.fixture(scope="module")
def ground(tmp_path_factory):
    """An image as NAIP names it, and a mask of that day as Esri does."""
    folder = tmp_path_factory.mktemp("ground")
    rng = np.random.default_rng(0)
    sides = {NAIP: (4, 0, 256), "esri/12S_20200101-20210101.tif": (1, AROUND, 6)}
    for name, (bands, more, most) in sides.items():
        shape = (bands, HEIGHT + 2 * more, WIDTH + 2 * more)
        write(folder / name, rng.integers(0, most, shape, dtype=np.uint8), -more, -more)
    return folder


def write(path, pixels, row=0, col=0) -> None:
    """A raster whose first pixel lies in this row and column of the ground."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = pixels.shape
    with rasterio.open(
        path, "w", driver="GTiff", count=count, height=height, width=width, dtype="uint8",
        crs="EPSG:32612", photometric="MINISBLACK",  # the fourth of NAIP is no alpha
        transform=from_origin(LEFT + col * PIXEL, TOP - row * PIXEL, PIXEL, PIXEL),
    ) as file:  # fmt: skip
        file.write(pixels)


def ground_source(**changes) -> TorchgeoSource:
    given = {
        "dataset": "NAIP",
        "root": "naip",
        "options": {},
        "masks": {"dataset": "Esri2020", "root": "esri"},
        "bands": ["red", "green", "blue", "nir"],
        "values": {"building": 2, "water": 4},
        "window": 16,
    }
    return source(**given | changes)


def truth(folder) -> tuple[np.ndarray, np.ndarray]:
    (image,), (mask,) = (list(folder.glob(f"{name}/*.tif")) for name in ("naip", "esri"))
    with rasterio.open(image) as file:
        pixels = file.read([3, 1])
    inside = slice(AROUND, AROUND + HEIGHT), slice(AROUND, AROUND + WIDTH)
    with rasterio.open(mask) as file:
        values = file.read(1)[inside]
    return pixels, np.select([values == 2, values == 4], [0, 1], 255)


def test_windows_of_a_grid_show_all_of_the_ground_once(ground):
    found = load_source(ground_source(), CARD, ground)
    pixels, labels = truth(ground)
    seen = np.zeros(labels.shape, int)
    for item in found:
        transform = item.grid.transform
        row, col = round((TOP - transform.f) / PIXEL), round((transform.c - LEFT) / PIXEL)
        assert transform.almost_equals(
            Affine(PIXEL, 0, LEFT + col * PIXEL, 0, -PIXEL, TOP - row * PIXEL)
        )
        assert item.grid.crs.to_epsg() == 32612
        rows, cols = row + np.arange(16), col + np.arange(16)
        inside = np.ix_((rows >= 0) & (rows < HEIGHT), (cols >= 0) & (cols < WIDTH))
        expected = np.zeros((16, 16), bool)
        expected[inside] = True
        np.testing.assert_array_equal(item.valid.numpy(), expected)
        where = np.ix_(rows[(rows >= 0) & (rows < HEIGHT)], cols[(cols >= 0) & (cols < WIDTH)])
        np.testing.assert_array_equal(item.labels.numpy()[inside], labels[where])
        for mine, theirs in zip(item.image.numpy(), pixels, strict=True):
            np.testing.assert_array_equal(mine[inside], theirs[where])
        seen[where] += 1
    assert (seen == 1).all()


def test_random_windows_are_as_many_as_asked_for_and_the_same_every_time(ground):
    first, again = (
        load_source(ground_source(windows="random", limit=5), CARD, ground) for _ in range(2)
    )
    assert len(first) == 5
    assert len({item.grid.transform for item in first}) > 1
    for mine, theirs in zip(first, again, strict=True):
        assert mine.grid == theirs.grid
        assert bool(mine.valid.all())  # they lie within the image


def test_pictures_of_other_days_do_not_count(tmp_path):
    """Where the windows of one reach over its side, there is nothing, whatever lies there later."""
    from torchgeo import datasets, samplers

    bright = np.full((4, HEIGHT, WIDTH), 200, np.uint8)
    for day, col in (("20200101", 0), ("20200601", WIDTH)):
        write(tmp_path / NAIP.replace("20200101", day), bright, col=col)
    dataset = datasets.NAIP(str(tmp_path / "naip"))
    windows = list(samplers.GridGeoSampler(dataset, 16))
    assert len(windows) == 24
    for window in windows:
        image = dataset[window]["image"]
        everywhere = torch.ones(image.shape[1:], dtype=torch.bool)
        item = LabeledImage("day", image, everywhere.byte(), everywhere)
        shown = _placed(item, dataset, window)
        assert torch.equal(shown.valid, (image == 200).all(0))


@pytest.mark.parametrize("windows", ["grid", "random"])
def test_parts_are_apart_on_the_ground(ground, windows):
    part = {"block": 16, "every": 2}
    most, held_out = (
        load_source(ground_source(**how, part={**part, "take": take}), CARD, ground)
        for take, how in (
            ("most", {"window": 32}),
            ("held-out", {"window": 24, "windows": windows, "limit": 9}),
        )
    )
    assert all(any(bool((item.labels != 255).any()) for item in side) for side in (most, held_out))
    check_apart(most, held_out)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"window": 64}, "no image has 64 by 64 pixels"),
        ({"masks": None}, "no mask"),
        ({"masks": {"dataset": "LoveDA", "root": "loveda"}}, "not complete"),
        ({"masks": {"dataset": "Esri2020", "root": "nowhere"}}, "not complete"),
    ],
)
def test_mistakes_about_the_ground_are_said(ground, changes, words):
    with pytest.raises(RecipeError, match=words):
        load_source(ground_source(**changes), CARD, ground)
