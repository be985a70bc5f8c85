"""What a recipe sets aside comes to an evaluation as it comes to training."""

from __future__ import annotations

import warnings
from contextlib import closing

import numpy as np
import pytest

from geocamss.errors import GeocamssWarning, RecipeError
from geocamss.scene.grid import choose_grid
from geocamss.scene.read import SceneReader
from geocamss.scene.scene import Scene
from geocamss.training.recipe import Recipe
from geocamss.training.sources import load_source
from geocamss.training.validation import validation_pairs

CARD = {
    "name": "test",
    "bands": ["red", "green", "blue"],
    "gsd": 0.5,
    "scale": 0.01,
    "classes": ["land", "water", "building", "vegetation", "road"],
}
SIMULATED = {"kind": "simulated", "seeds": [400, 402], "size": 64}


def recipe(*validation):
    train = {"kind": "simulated", "seeds": [0, 1], "size": 64}
    return Recipe.model_validate({"card": CARD, "sources": [train], "validation": validation})


def arrays(folder):
    rng = np.random.default_rng(0)
    image = rng.random((40, 50, 4)).astype(np.float32)
    image[5:9, 5:9] = np.nan
    np.savez(folder / "a.npz", image=image, labels=rng.integers(0, 4, (40, 50)))
    return {
        "kind": "arrays",
        "name": "arrays",
        "files": ["a.npz"],
        "bands": ["blue", "green", "red", "nir"],
        "values": {"water": 1, "road": 3},
        "part": {"block": 16, "take": "held-out"},
    }


@pytest.mark.parametrize("kind", ["simulated", "arrays"])
def test_pixels_and_labels_are_those_of_training(tmp_path, kind):
    source = arrays(tmp_path) if kind == "arrays" else SIMULATED
    asked = recipe(source)
    card = asked.card_without_results()
    images = load_source(asked.validation[0], card, tmp_path)
    pairs = validation_pairs(asked, tmp_path, tmp_path / "work")
    assert len(pairs) == len(images)
    for pair, image in zip(pairs, images, strict=True):
        scene = Scene.open(pair.scene)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", GeocamssWarning)  # it has no place on the ground
            grid = choose_grid(scene, card.gsd)
        with SceneReader(scene, scene.select(card), grid, (0.0,) * 3) as reader:
            pixels, valid = reader.read(grid.window)
        np.testing.assert_array_equal(valid, image.valid.numpy())
        np.testing.assert_array_equal(pixels[:, valid], image.image.numpy()[:, valid])
        with closing(pair.labels.open(grid, card.classes)) as labels:
            np.testing.assert_array_equal(labels.read(grid.window), image.labels.numpy())


def test_a_recipe_that_validates_on_nothing_is_refused(tmp_path):
    with pytest.raises(RecipeError, match="no validation"):
        validation_pairs(recipe(), tmp_path, tmp_path)
