"""Any torch module as a segmenter."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from geocamss.errors import ModelError
from geocamss.modelcard import ModelCard
from geocamss.models.module import from_module
from geocamss.models.segmenter import Sampling, Segmenter


class Bare(nn.Module):
    """No parameters: the two bands are the logits."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def card(**fields) -> ModelCard:
    given = {"bands": ["red", "nir"], "gsd": 10.0, "classes": ["a", "b"], "chip": 32, "overlap": 8}
    return ModelCard(**{**given, **fields})


def call(segmenter: Segmenter, chips: torch.Tensor) -> torch.Tensor:
    count, _, height, width = chips.shape
    valid = torch.ones(count, height, width, dtype=torch.bool)
    return segmenter(chips, valid, torch.zeros(count, 2, dtype=torch.int64), Sampling())


def test_logits_become_probabilities_at_the_cards_temperature():
    chips = torch.randn(2, 2, 32, 32)
    segmenter = from_module(Bare(), card(temperature=2.0))
    assert isinstance(segmenter, Segmenter)
    assert segmenter.device == torch.device("cpu")
    assert torch.allclose(call(segmenter, chips), torch.softmax(chips / 2, dim=1))


def test_the_module_runs_in_eval_mode_and_without_gradients():
    module = nn.Sequential(nn.Dropout(0.9), nn.Conv2d(2, 2, 1))
    segmenter = from_module(module, card())
    chips = torch.randn(1, 2, 32, 32)
    found = call(segmenter, chips)
    assert torch.equal(found, call(segmenter, chips))
    assert not found.requires_grad


def test_what_lies_under_nodata_does_not_reach_the_module():
    segmenter = from_module(nn.Conv2d(2, 2, 3, padding=1), card())
    chips = torch.randn(1, 2, 32, 32)
    valid = torch.ones(1, 32, 32, dtype=torch.bool)
    valid[:, :, 16:] = False
    corners = torch.zeros(1, 2, dtype=torch.int64)
    dirty = chips.masked_fill(~valid[:, None], float("nan"))
    clean = segmenter(chips.masked_fill(~valid[:, None], 0), valid, corners, Sampling())
    assert torch.equal(clean, segmenter(dirty, valid, corners, Sampling()))


@pytest.mark.parametrize("module", [nn.Conv2d(2, 3, 1), nn.Conv2d(2, 2, 3), nn.MaxPool2d(2)])
def test_logits_of_another_shape_are_refused_with_both_shapes(module):
    with pytest.raises(ModelError, match=r"\(1, 2, 32, 32\).*got \(1, "):
        call(from_module(module, card()), torch.zeros(1, 2, 32, 32))


def test_results_that_are_no_tensor_are_refused():
    class Pair(Bare):
        def forward(self, x):
            return x, x

    with pytest.raises(ModelError, match="got tuple"):
        call(from_module(Pair(), card()), torch.zeros(1, 2, 32, 32))


def test_other_arguments_are_refused():
    with pytest.raises(ModelError, match=r"torch\.nn\.Module, got str"):
        from_module("unet", card())
    with pytest.raises(ModelError, match="ModelCard, got dict"):
        from_module(Bare(), {})


def test_the_fingerprint_tells_weights_and_cards_apart():
    torch.manual_seed(0)
    module = nn.Conv2d(2, 2, 1)
    first = from_module(module, card()).fingerprint
    assert len(first) == 64
    assert from_module(module, card()).fingerprint == first
    assert from_module(module, card(gsd=20.0)).fingerprint != first
    with torch.no_grad():
        module.bias += 1e-3
    assert from_module(module, card()).fingerprint != first
