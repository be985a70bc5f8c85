"""The mask tokenizer: what goes in comes out, by the latents alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from geocamss.modelcard import ModelCard
from geocamss.models import registry
from geocamss.models.camss.network import CamssNetwork
from geocamss.models.camss.tokenizer import one_hot
from geocamss.models.checkpoint import load_network
from geocamss.training.recipe import load_recipe
from geocamss.training.sources import LabeledImage, PairSource, load_source
from tests.conftest import ROOT

IGNORED = 255

KEPT = {8: 0.99, 16: 0.9}
"""Share of pixels that a mask keeps at least, by the pixels that a latent is wide."""


@pytest.fixture(scope="module")
def shipped() -> tuple[CamssNetwork, ModelCard]:
    return load_network(registry.path(registry.DEFAULT))


@pytest.fixture(scope="module")
def held_out(shared_data: Path, shipped) -> list[LabeledImage]:
    recipe = load_recipe(ROOT / "recipes" / "aerial-landcover.yaml")
    source = recipe.validation[0]
    assert isinstance(source, PairSource)
    return load_source(source, shipped[1], shared_data)


def test_one_hot_spells_out_labels_and_leaves_the_ignored_blank():
    labels = torch.tensor([[[0, 2], [IGNORED, 1]]])
    planes = one_hot(labels, 3)
    assert torch.equal(planes.sum(1), (labels != IGNORED).float())
    assert torch.equal(planes.argmax(1)[labels != IGNORED], labels[labels != IGNORED])


@torch.inference_mode()
def test_real_masks_survive_the_round_trip_without_the_image(shipped, held_out):
    network, card = shipped
    right = counted = 0
    for item in held_out:
        height, width = (length // network.stride * network.stride for length in item.labels.shape)
        labels = item.labels[None, :height, :width].long()
        mean, _ = network.mask_encoder(one_hot(labels, len(card.classes)))
        found = network.decoder(mean).argmax(1)
        labeled = labels != IGNORED
        right += int((found == labels)[labeled].sum())
        counted += int(labeled.sum())
    assert right / counted >= KEPT[network.stride]


@torch.inference_mode()
def test_latents_of_real_masks_are_standardized(shipped, held_out):
    network, card = shipped
    means = []
    for item in held_out:
        labels = item.labels[None, :512, :512].long()
        mean, logvar = network.mask_encoder(one_hot(labels, len(card.classes)))
        means.append(mean.flatten(2)[0])
        assert logvar.max() < 0  # surer than the prior
    latents = torch.cat(means, dim=1)
    # One city's masks are not the training set's; the order of size is what matters.
    assert latents.mean(1).abs().max() < 1.5
    assert 0.1 < latents.std(1).min() <= latents.std(1).max() < 3.0
