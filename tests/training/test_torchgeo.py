"""Data sets that torchgeo reads, against files that the test paints in their layout."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from geocamss.errors import RecipeError
from geocamss.modelcard import ModelCard
from geocamss.training.sources import TorchgeoSource, load_source

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
