"""Ground in training and validation: found across kinds of sources, and in copies."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
import rasterio
import torch
from rasterio.transform import from_origin

from geocamss.errors import RecipeError
from geocamss.modelcard import ModelCard
from geocamss.training.sources import (
    IGNORED,
    ArraySource,
    LabeledImage,
    PairSource,
    Part,
    ScenesSource,
    load_source,
)
from geocamss.training.sources.ground import check_apart
from geocamss.training.sources.part import keep_part

BANDS = ("red", "green", "blue")
CARD = ModelCard(bands=BANDS, gsd=10.0, classes=["sand", "sea"])
SAND, SEA = (10, 20, 30), (200, 100, 0)
PLACE = from_origin(500_000, 5_200_000, 10, 10)


def write(path, pixels, **place):
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = {"count": 3, "height": pixels.shape[1], "width": pixels.shape[2], "dtype": "uint8"}
    with rasterio.open(path, "w", **shape, **place) as file:
        file.write(pixels)


@pytest.fixture
def folder(tmp_path):
    """A picture and its painted mask, on the ground; and a copy without a place."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(1, 255, (3, 40, 50), np.uint8)
    sea = rng.random((40, 50)) < 0.5
    mask = np.where(sea, np.array(SEA)[:, None, None], np.array(SAND)[:, None, None])
    place = {"crs": "EPSG:32633", "transform": PLACE}
    write(tmp_path / "placed" / "images" / "a.tif", pixels, **place)
    write(tmp_path / "placed" / "masks" / "a.png", mask.astype(np.uint8), transform=PLACE)
    write(tmp_path / "plain" / "images" / "b.png", pixels, transform=PLACE)
    shutil.copytree(tmp_path / "placed" / "masks", tmp_path / "plain" / "masks")
    (tmp_path / "plain" / "masks" / "a.png").rename(tmp_path / "plain" / "masks" / "b.png")
    np.savez(tmp_path / "c.npz", image=np.moveaxis(pixels, 0, -1), labels=sea.astype(np.uint8))
    with rasterio.open(
        tmp_path / "labels.tif", "w", count=1, height=40, width=50, dtype="uint8", **place
    ) as file:
        file.write(sea.astype(np.uint8), 1)
    return tmp_path


def pairs(name, suffix):
    colors = {"sand": "#{:02x}{:02x}{:02x}".format(*SAND), "sea": "#c86400"}
    return PairSource(
        kind="pairs", name=name, folders=(name,), images=f"images/*.{suffix}", colors=colors
    )


def every_kind():
    part = Part(block=16, every=3, take="most")
    scene = {"kind": "scenes", "name": "scene", "labels": "labels.tif", "part": part}
    array = {"kind": "arrays", "name": "array", "files": ("c.npz",), "bands": BANDS}
    return {
        "placed": pairs("placed", "tif"),
        "plain": pairs("plain", "png"),
        "scene": ScenesSource.model_validate({**scene, "scenes": ("placed/images/a.tif",)}),
        "array": ArraySource.model_validate({**array, "values": {"sand": 0, "sea": 1}}),
    }


@pytest.mark.parametrize("one", every_kind())
@pytest.mark.parametrize("other", every_kind())
def test_a_picture_is_found_again_whatever_reads_it(folder, one, other):
    training, validation = (load_source(every_kind()[k], CARD, folder) for k in (one, other))
    with pytest.raises(RecipeError, match=r"is in training and .* in validation"):
        check_apart(training, validation)


def test_a_picture_knows_its_place_by_its_file(folder):
    (placed,) = load_source(every_kind()["placed"], CARD, folder)
    (plain,) = load_source(every_kind()["plain"], CARD, folder)
    assert placed.grid.transform == PLACE
    assert placed.grid.crs == rasterio.CRS.from_epsg(32633)
    assert plain.grid is None
    # The same ground on another day: other pixels.
    later = replace(placed, image=placed.image.flip(0), grid=placed.grid)
    with pytest.raises(RecipeError, match="same ground"):
        check_apart([placed], [later])


def test_copies_that_are_labeled_elsewhere_are_no_leak(folder):
    (item,) = load_source(every_kind()["array"], CARD, folder)
    most, held = (
        replace(item, name=take, labels=keep_part(item.labels, Part(block=16, every=3, take=take)))
        for take in ("most", "held-out")
    )
    check_apart([most], [held])
    other = replace(item, image=item.image + 1)
    check_apart([item], [other])
    with pytest.raises(RecipeError, match="same picture"):
        check_apart([other, item], [held])
    shifted = LabeledImage(
        "other units", item.image * 2 - 5, item.labels, item.valid, units=((0.5, 2.5),) * 3
    )
    with pytest.raises(RecipeError, match="same picture"):
        check_apart([item], [shifted])
    unlabeled = replace(item, labels=torch.full_like(item.labels, IGNORED))
    check_apart([item], [unlabeled])
