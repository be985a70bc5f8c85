"""Corrupted chips: something happens to the picture, nothing to what it is of."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Generator

from geocamss.evaluation.corruptions import CORRUPTIONS
from geocamss.modelcard import ModelCard
from geocamss.training.batches import Batches, Pool
from geocamss.training.corrupt import corrupt
from geocamss.training.recipe import Training
from geocamss.training.sources import LabeledImage
from tests.training.test_augment import PLAIN


def scene(bands: int, size: int = 40) -> torch.Tensor:
    return torch.rand(bands, size, size, generator=Generator().manual_seed(3))


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.sampled_from([("red", "green", "blue"), ("nir",), ("a", "b")]))
def test_a_chip_is_spoiled_within_its_range_and_again_alike(seed, bands):
    image, valid = scene(len(bands)), torch.ones(40, 40, dtype=torch.bool)
    valid[:3] = False
    first = corrupt(image, valid, bands, Generator().manual_seed(seed))
    again = corrupt(image, valid, bands, Generator().manual_seed(seed))
    assert first.shape == image.shape
    assert first.dtype == torch.float32
    assert 0 <= float(first.min()) <= float(first.max()) <= 1
    assert torch.equal(first, again)


def test_every_corruption_is_drawn():
    bands, valid = ("red", "green", "blue"), torch.ones(40, 40, dtype=torch.bool)
    image = scene(3)
    made = {
        corrupt(image, valid, bands, Generator().manual_seed(seed)).numpy().tobytes()
        for seed in range(300)
    }
    # Those that count bands have three results each, all others a new one at each draw.
    assert len(made) > 300 * (len(CORRUPTIONS) - 2) / len(CORRUPTIONS) * 0.8


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_that_share_of_the_chips_is_spoiled_and_labels_stay(share):
    card = ModelCard(bands=["red", "green", "blue"], gsd=1, scale=1 / 255, classes=["a", "b"])
    pixels = (scene(3, 32) * 255).to(torch.uint8)  # a chip is all of it, turned and flipped
    labels = (pixels[0] > 127).to(torch.uint8)
    source = LabeledImage("one", pixels, labels, torch.ones(32, 32, dtype=torch.bool))
    how = PLAIN.model_copy(update={"corrupted": share})
    plain = Training(batch=200, chip=32, augmentation=PLAIN)
    spoiled = Training(batch=200, chip=32, augmentation=how)
    pool = [Pool((source,), 1.0)]
    before = Batches(pool, card, plain, 0, 1)[0]
    after = Batches(pool, card, spoiled, 0, 1)[0]
    known = {chip.numpy().tobytes() for chip in before.chips}
    assert len(known) == 8
    unspoiled = [chip.numpy().tobytes() in known for chip in after.chips]
    if share == 0:
        assert torch.equal(before.chips, after.chips)
    assert sum(unspoiled) / 200 == pytest.approx(1 - share, abs=0.15)
    assert bool(((after.labels == 0) | (after.labels == 1)).all())
