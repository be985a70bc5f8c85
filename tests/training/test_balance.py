"""Classes are claimed as often as they are labeled, after whatever training."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import softmax

from geocamss.modelcard import ModelCard
from geocamss.models.module import from_module
from geocamss.training import balance as module
from geocamss.training.balance import balance, class_shifts
from geocamss.training.batches import Pool
from geocamss.training.sources import IGNORED, LabeledImage

CARD = ModelCard(bands=["a", "b", "c"], gsd=1.0, classes=["a", "b", "c"], chip=64, overlap=0)


def drawn(shifts: list[float], seed: int = 0, side: int = 96) -> LabeledImage:
    """Logits as an image, and labels drawn from them after a shift of the classes."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(3, side, side, generator=generator) * 2
    chances = torch.softmax(logits + torch.tensor(shifts)[:, None, None], 0).reshape(3, -1).T
    labels = torch.multinomial(chances, 1, generator=generator).reshape(side, side).byte()
    labels[: side // 4] = IGNORED
    return LabeledImage(f"drawn {seed}", logits, labels, labels >= 0)


@pytest.mark.parametrize("shifts", [[0.0, 0.0, 0.0], [0.5, 0.3, -0.8], [-1.0, 2.0, -1.0]])
def test_what_was_taken_away_is_added(shifts):
    images = [drawn(shifts, seed) for seed in range(3)]
    found = balance(from_module(torch.nn.Identity(), CARD), [Pool(images, 1.0)])
    torch.testing.assert_close(found, torch.tensor(shifts), atol=0.1, rtol=0)


def test_sources_count_by_their_weight_however_large_they_are():
    one, other = [0.9, 0.0, -0.9], [-0.9, 0.0, 0.9]
    model = from_module(torch.nn.Identity(), CARD)
    large, small = drawn(one, 0, 192), drawn(other, 1, 64)
    even = balance(model, [Pool([large], 0.5), Pool([small], 0.5)])
    assert abs(even[0] - even[2]) < 0.1  # by pixels, nine tenths speak for the first
    uneven = balance(model, [Pool([large], 0.99), Pool([small], 0.01)])
    torch.testing.assert_close(uneven, torch.tensor(one), atol=0.1, rtol=0)


def test_only_so_much_is_mapped(monkeypatch):
    images = [drawn([0.0, 0.0, 0.0], seed, 64) for seed in range(9)]
    seen = []
    monkeypatch.setattr(module, "MAPPED", 3 * 64 * 64)
    answers = module.answers
    monkeypatch.setattr(module, "answers", lambda *given: seen.extend(given[1]) or answers(*given))
    balance(from_module(torch.nn.Identity(), CARD), [Pool(images, 1.0)])
    assert [image.name for image in seen] == ["drawn 0", "drawn 3", "drawn 6"]


@given(
    logits=arrays(np.float32, (60, 4), elements=st.floats(-4, 4, width=32)),
    labels=arrays(np.int64, 60, elements=st.integers(0, 2)),
    weights=arrays(np.float64, 60, elements=st.floats(0.5, 2)),
)
def test_each_class_is_as_likely_as_it_is_frequent(logits, labels, weights):
    """Where that takes no shift that nobody would believe."""
    shifts = class_shifts(logits, labels, weights)
    there = np.unique(labels)
    assert shifts[there].mean() == pytest.approx(0, abs=1e-9)
    assert not np.delete(shifts, there).any()
    if np.abs(shifts).max() < module.MOST / 2:
        likely = np.average(softmax(logits[:, there] + shifts[there], axis=1), 0, weights)
        frequent = [np.average(labels == each, weights=weights) for each in there]
        np.testing.assert_allclose(likely, frequent, atol=1e-3)


def test_one_class_alone_or_none_says_nothing():
    image = drawn([0.0, 0.0, 0.0])
    model = from_module(torch.nn.Identity(), CARD)
    for label in (1, IGNORED):
        labels = torch.full_like(image.labels, label)
        alone = LabeledImage("alone", image.image, labels, image.valid)
        assert not balance(model, [Pool([alone], 1.0)]).any()
