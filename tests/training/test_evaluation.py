"""Whole images are mapped chip by chip, as if at once."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from geocamss.evaluation.scores import confusion, scores
from geocamss.modelcard import ModelCard
from geocamss.models.module import from_module
from geocamss.models.samples import entropy
from geocamss.models.segmenter import Sampling
from geocamss.training.evaluation import map_image, map_labeled, score_images
from geocamss.training.sources import IGNORED, LabeledImage


class Copy(nn.Module):
    """Logits are the channels: a map of an image is then its brightest channel."""

    def __init__(self) -> None:
        super().__init__()
        self.chips = 0

    def forward(self, x: Tensor) -> Tensor:
        self.chips += len(x)
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


@settings(max_examples=25)
@given(st.integers(0, 2**32), st.integers(1, 70), st.integers(1, 70))
def test_what_has_no_label_is_not_mapped_and_scores_are_the_same(seed, height, width):
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(2, height, width, generator=generator)
    labels = torch.randint(2, (height, width), generator=generator).to(torch.uint8)
    row, col = (int(torch.randint(n, (), generator=generator)) for n in (height, width))
    few = torch.full_like(labels, IGNORED)
    few[row : row + 3, col : col + 3] = labels[row : row + 3, col : col + 3]
    item = LabeledImage("x", image, few, few >= 0)
    network = Copy()
    segmenter = from_module(network, card(16, 8))
    found = score_images(segmenter, [item])
    assert network.chips <= 3 * 3  # of 16 pixels, every 8
    whole = map_image(segmenter, item, Sampling()).argmax(0)
    expected = scores(confusion(whole.numpy(), few.numpy(), 2))
    assert found.accuracy == pytest.approx(expected.accuracy)
    assert found.iou == pytest.approx(expected.iou, nan_ok=True)


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


def test_entropies_come_behind_the_probabilities():
    image = torch.rand(2, 40, 50) * 4
    labels, valid = torch.zeros(40, 50, dtype=torch.uint8), torch.ones(40, 50, dtype=torch.bool)
    segmenter = from_module(Copy(), card(32, 0))  # where chips overlap, theirs are averaged
    item = LabeledImage("x", image, labels, valid)
    strips = map_labeled(segmenter, item, Sampling(), entropies=True)
    found = torch.cat([strip for strip, _ in strips], dim=1)
    torch.testing.assert_close(found[:2], torch.softmax(image, 0))
    torch.testing.assert_close(found[2:], entropy(torch.softmax(image, 0)[None])[0])
