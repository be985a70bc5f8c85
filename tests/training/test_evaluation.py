"""Whole images are mapped chip by chip, as if at once."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from geocamss.modelcard import ModelCard
from geocamss.models.module import from_module
from geocamss.models.segmenter import Sampling
from geocamss.training.evaluation import map_image, score_images
from geocamss.training.sources import LabeledImage


class Copy(nn.Module):
    """Logits are the channels: a map of an image is then its brightest channel."""

    def forward(self, x: Tensor) -> Tensor:
        return x


def card(chip: int, overlap: int) -> ModelCard:
    return ModelCard(bands=["a", "b"], gsd=1.0, classes=["a", "b"], chip=chip, overlap=overlap)


@settings(max_examples=25)
@given(
    st.integers(1, 90), st.integers(1, 90), st.sampled_from([(32, 8), (32, 0), (16, 8), (64, 2)])
)
def test_mapping_by_chips_equals_mapping_at_once(height, width, size):
    image = torch.rand(2, height, width) * 4
    item = LabeledImage(
        "x",
        image,
        image.argmax(0).to(torch.uint8),
        torch.ones(height, width, dtype=torch.bool),
    )
    segmenter = from_module(Copy(), card(*size))
    found = map_image(segmenter, item, Sampling())
    assert torch.allclose(found, torch.softmax(image, 0), atol=1e-5)
    assert score_images(segmenter, [item, item]).accuracy == 1


def test_pixels_that_are_not_valid_are_not_scored():
    image = torch.rand(2, 40, 40)
    labels = image.argmax(0).to(torch.uint8)
    valid = torch.ones(40, 40, dtype=torch.bool)
    valid[:, 20:] = False
    labels[:, 20:] = 1 - labels[:, 20:]
    found = score_images(
        from_module(Copy(), card(32, 8)), [LabeledImage("x", image, labels, valid)]
    )
    assert found.accuracy == found.miou == pytest.approx(1)
