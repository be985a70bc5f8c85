"""The named sizes: today's default, and the paper's."""

from __future__ import annotations

import pytest
import torch

from geocamss.errors import ModelError
from geocamss.models import registry
from geocamss.models.camss.config import CamssConfig
from geocamss.models.camss.network import CamssNetwork, build
from geocamss.models.camss.sizes import SIZES
from geocamss.models.checkpoint import load_network
from geocamss.training.recipe import load_recipe
from tests.conftest import ROOT

PUBLISHED = 217_097_760
"""Weights of transformer and head as the paper's code builds them, 217.1 M; its frozen image
autoencoder, which also codes masks there, is not among them."""

TABLES = 3 * 2 * 48**2 * 768
"""Learned positions among these: three tables of 2 x 48 x 48 tokens. Ours are rotary."""


def on_meta(size: str) -> CamssNetwork:
    with torch.device("meta"):
        return build(CamssConfig.model_validate(size), 3, 20)


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_the_base_has_the_weights_of_the_paper():
    base = on_meta("base")
    ours = count(base.transformer) + count(base.head)
    image = (512 - 16) * 768  # features of 512 bands-independent channels, not 16 of a frozen coder
    null_image = 768  # for guidance, which the paper's code cannot do
    assert ours == PUBLISHED - TABLES + image + null_image
    assert count(base.head) == 35_749_920
    assert abs(ours + TABLES - 217.1e6) < 0.4e6


@pytest.mark.parametrize("size", SIZES)
def test_every_size_can_be_built(size):
    network = on_meta(size)
    assert network.stride == 16
    assert count(network) > 1e6


def test_sizes_grow():
    tiny, small, base = (count(on_meta(size)) for size in ("tiny", "small", "base"))
    assert tiny < small < base
    assert 2 * small < 16e6  # in half precision, a shipped model has at most 16 MB


def test_tiny_is_the_default():
    assert CamssConfig.model_validate("tiny") == CamssConfig()


@pytest.mark.parametrize("name", registry.names())
def test_a_shipped_model_has_the_sizes_that_its_recipe_asks_for(name):
    _, card = load_network(registry.path(name))
    recipe = load_recipe(ROOT / "recipes" / f"{name}.yaml")
    assert CamssConfig.of(card.parameters, "card") == recipe.parts()[-1].model


def test_fields_come_before_the_named_size():
    config = CamssConfig.model_validate({"size": "small", "layers": 2, "head": "ddpm"})
    assert (config.layers, config.head, config.width) == (2, "ddpm", SIZES["small"]["width"])


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"size": "huge"}, "tiny, small, base"),
        ({"stride": 8}, "pyramid must have 3 or 4 entries at stride 8, got 5"),
        ({"pyramid": (8, 8, 8, 8)}, "blocks must have 4 .* a pyramid of 4, got 5"),
        ({"decoder": (8, 8)}, "decoder must have 5 entries at stride 16 .* got 2"),
        ({"tokens": "sequence", "pool": 2}, "pool must be 1"),
        ({"head": "gan"}, "head"),
        ({"width": 8193}, "width"),
        ({"wdith": 8}, "wdith"),
    ],
)
def test_sizes_that_fit_nothing_are_refused(fields, words):
    with pytest.raises(ModelError, match=words):
        CamssConfig.of(fields, "card")
