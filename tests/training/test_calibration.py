"""The temperature at the end of a training is the one that the labels were drawn with."""

from __future__ import annotations

import pytest
import torch

from geocamss.modelcard import ModelCard
from geocamss.models.module import from_module
from geocamss.training import answers, calibration
from geocamss.training.calibration import calibrate
from geocamss.training.sources import IGNORED, LabeledImage

CARD = ModelCard(bands=["a", "b", "c"], gsd=1.0, classes=["a", "b", "c"], chip=64, overlap=0)


def drawn(temperature: float, seed: int = 0) -> LabeledImage:
    """Logits as an image, and labels drawn from them at a temperature; half of it unlabeled."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(3, 128, 128, generator=generator) * 3
    chances = torch.softmax(logits / temperature, 0).reshape(3, -1).T
    labels = torch.multinomial(chances, 1, generator=generator).reshape(128, 128).to(torch.uint8)
    labels[:64] = IGNORED
    return LabeledImage("drawn", logits, labels, labels >= 0)


@pytest.mark.parametrize("most", [answers.MOST_PIXELS, 5000])
@pytest.mark.parametrize("temperature", [0.7, 1.0, 3.0])
def test_it_is_found_again(monkeypatch, temperature, most):
    monkeypatch.setattr(answers, "MOST_PIXELS", most)
    images = [drawn(temperature, seed) for seed in range(2)]
    found = calibrate(from_module(torch.nn.Identity(), CARD), images)
    assert found.temperature == pytest.approx(temperature, rel=0.05)
    assert found.ece < 0.02
    assert (found.ece_before > 0.05) == (temperature != 1)


def test_what_no_few_labels_can_tell_is_not_believed():
    sure = drawn(1.0)
    right = LabeledImage("right", sure.image, sure.image.argmax(0).to(torch.uint8), sure.valid)
    found = calibrate(from_module(torch.nn.Identity(), CARD), [right])
    assert found.temperature == pytest.approx(calibration.TRUSTED[0], rel=0.01)
