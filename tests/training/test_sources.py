"""Sources: real pictures and simulated landscapes, with labels by channel."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from geocamss.errors import RecipeError
from geocamss.modelcard import ModelCard
from geocamss.simulate import landscape
from geocamss.training.batches import physical
from geocamss.training.recipe import load_recipe
from geocamss.training.sources import LabeledImage, PairSource, SimulatedSource, load_source
from geocamss.training.sources.image import IGNORED, channel_table, look_up
from tests.conftest import ROOT

RECIPE = load_recipe(ROOT / "recipes" / "aerial-landcover.yaml")
CARD = RECIPE.card_without_results()


def pairs(**changes) -> PairSource:
    (source,) = (s for s in RECIPE.sources if isinstance(s, PairSource))
    return source.model_copy(update=changes)


@pytest.mark.parametrize("tile", ["tile2", "tile6"])
def test_real_labels_agree_with_the_masks_colors(shared_data, tile):
    folder = shared_data / "dubai" / tile
    source = pairs(folders=(f"dubai/{tile}",))
    for item, path in zip(
        load_source(source, CARD, shared_data), sorted((folder / "masks").iterdir()), strict=True
    ):
        with Image.open(path) as mask:
            colors = np.asarray(mask.convert("RGB"))
        height, width = item.labels.shape
        colors = colors[:height, :width]
        labels = item.labels.numpy()
        for name, color in source.colors.items():
            rgb = tuple(int(color[i : i + 2], 16) for i in (1, 3, 5))
            where = (colors == np.array(rgb)).all(-1)
            assert (labels[where] == CARD.classes.names.index(name)).all()
            labels = np.where(where, 255, labels)
        assert (labels == 255).all()  # everything else is ignored


def test_images_and_masks_of_different_sizes_are_cut_to_what_they_share(shared_data):
    for item in load_source(pairs(folders=("dubai/tile1",)), CARD, shared_data):
        assert item.image.shape[1:] == item.labels.shape == item.valid.shape


def test_simulated_labels_are_the_landscapes_truth_by_channel():
    classes = list(CARD.classes)[::-1]
    card = ModelCard.model_validate({**CARD.model_dump(), "classes": [vars(c) for c in classes]})
    (item,) = load_source(SimulatedSource(kind="simulated", seeds=(5, 6), size=128), card, ROOT)
    truth = landscape(5, 128, 128, gsd=card.gsd)
    assert torch.equal(item.image, torch.from_numpy(truth.image))
    valid = truth.valid
    values = np.array([c.value for c in classes])
    assert (values[item.labels.numpy()[valid]] == truth.classes[valid]).all()
    assert (item.labels.numpy()[~valid] == 255).all()
    assert (item.valid.numpy() == valid).all()


def test_classes_of_landscapes_are_found_by_name():
    names = ["meadow", "building", "water"]
    card = ModelCard.model_validate({**CARD.model_dump(), "classes": names})
    (item,) = load_source(SimulatedSource(kind="simulated", seeds=(5, 6), size=128), card, ROOT)
    truth = landscape(5, 128, 128, gsd=card.gsd)
    expected = np.full((128, 128), 255)
    for name in names[1:]:
        value = truth.scheme.values[truth.scheme.names.index(name)]
        expected[truth.classes == value] = names.index(name)
    assert (item.labels.numpy() == expected).all()


@pytest.mark.parametrize("scaling", [{"scale": 1e-4}, {"scale": 2e-5, "offset": -0.1}, {}])
def test_landscapes_of_other_bands_are_reflectance_however_the_card_counts(scaling):
    bands = ["NIR", "red"]
    card = ModelCard(bands=bands, gsd=10.0, classes=["land", "water"], **scaling)
    (item,) = load_source(SimulatedSource(kind="simulated", seeds=(5, 6), size=64), card, ROOT)
    truth = landscape(5, 64, 64, gsd=10.0, bands=["nir", "red"])
    found = physical(item.pixels(), card)[:, item.valid]
    expected = torch.from_numpy(truth.image[:, truth.valid] * 1e-4).float()
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_landscapes_are_pictures_in_whatever_order_the_card_has_their_colors():
    card = ModelCard(bands=["blue", "red", "green"], gsd=0.5, scale=1 / 255, classes=["land"])
    (item,) = load_source(SimulatedSource(kind="simulated", seeds=(5, 6), size=64), card, ROOT)
    truth = landscape(5, 64, 64, gsd=0.5).image
    assert torch.equal(item.pixels(), torch.from_numpy(truth[[2, 0, 1]]).float())


def test_bands_that_cannot_be_painted_are_said():
    card = ModelCard(bands=["red", "height"], gsd=0.5, classes=["land"])
    with pytest.raises(RecipeError, match=r"'geocamss simulate': band 'height' cannot be painted"):
        load_source(SimulatedSource(kind="simulated", seeds=(5, 6), size=64), card, ROOT)


def test_a_pictures_bands_come_in_the_cards_order(tmp_path):
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
        flat = np.full((8, 8, 3), (10, 20, 30), np.uint8)
        Image.fromarray(flat).save(tmp_path / folder / "a.png")
    source = pairs(folders=(".",), images="images/*.png", colors={"land": "#0a141e"})

    def card(*bands):
        return ModelCard(bands=list(bands), gsd=1.0, classes=["land"])

    for bands, values in ((("blue", "Green", "red"), [30, 20, 10]), (("green",), [20])):
        (item,) = load_source(source, card(*bands), tmp_path)
        assert item.image[:, 0, 0].tolist() == values
    with pytest.raises(RecipeError, match="no band 'nir'; it has red, green, blue"):
        load_source(source, card("red", "green", "blue", "nir"), tmp_path)


def test_a_missing_mask_or_folder_is_named(shared_data):
    with pytest.raises(RecipeError, match="tile9; check --data and folders"):
        load_source(pairs(folders=("dubai/tile9",)), CARD, shared_data)
    with pytest.raises(RecipeError, match=r"masks/image_part_001\.tif: cannot be read"):
        load_source(pairs(folders=("dubai/tile6",), masks="masks/{stem}.tif"), CARD, shared_data)


def test_masks_of_other_colors_are_an_error(shared_data):
    with pytest.raises(RecipeError, match="no pixel has a label"):
        load_source(pairs(folders=("dubai/tile6",), colors={"land": "#010203"}), CARD, shared_data)


def test_parts_of_different_sizes_are_refused():
    with pytest.raises(ValueError, match=r"odd: image \(3, 4, 4\)"):
        LabeledImage(
            "odd",
            torch.zeros(3, 4, 4),
            torch.zeros(4, 5, dtype=torch.uint8),
            torch.ones(4, 4, dtype=torch.bool),
        )


@pytest.mark.parametrize(
    "dtype", [torch.uint8, torch.int8, torch.int16, torch.int64, torch.float32, torch.float64]
)
def test_labels_of_any_type_are_looked_up(dtype):
    stored = torch.tensor([0, 1, 7, 100]).to(dtype)
    found = look_up(stored, channel_table({0: 3, 7: 1, 100: 0}))
    assert found.tolist() == [3, IGNORED, 1, 0]
