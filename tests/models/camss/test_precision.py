"""Half precision draws the same map as full precision, on real images."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from geocamss.models import registry
from geocamss.models.camss.model import CamssSegmenter
from geocamss.models.checkpoint import load_network
from geocamss.models.segmenter import Sampling
from geocamss.training.batches import normalize, physical
from geocamss.training.recipe import load_recipe
from geocamss.training.sources import load_source
from tests.conftest import ROOT

WAYS = [Sampling(), Sampling(rounds=2), Sampling(steps=4, seed=1)]


@pytest.mark.parametrize("sampling", WAYS)
def test_most_pixels_are_of_the_same_class_in_half_precision(shared_data: Path, sampling):
    network, card = load_network(registry.path(registry.DEFAULT))
    recipe = load_recipe(ROOT / "recipes" / "aerial-landcover.yaml")
    source = recipe.validation[0].model_copy(update={"images": "images/*_part_00[1-3].jpg"})
    images = load_source(source, card, shared_data)
    part = slice(128, 384)
    chips = torch.stack([physical(item.image[:, part, part], card) for item in images])
    valid = torch.ones(len(chips), 256, 256, dtype=torch.bool)
    chips, corners = normalize(chips, valid, card), torch.zeros(len(chips), 2, dtype=torch.int64)
    full, half = (
        CamssSegmenter(network, card, dtype=kind)(chips, valid, corners, sampling).argmax(1)
        for kind in (torch.float32, torch.bfloat16)
    )
    assert (full == half).float().mean() > 0.98
