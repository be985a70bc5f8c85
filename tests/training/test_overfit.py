"""A small network learns a few real images by heart: every part of it can learn."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from geocamss.models.camss.config import CamssConfig
from geocamss.models.camss.network import build
from geocamss.models.segmenter import Sampling
from geocamss.training.batches import Batches, Pool
from geocamss.training.evaluation import score_images
from geocamss.training.loop import Loop
from geocamss.training.objective import CamssObjective
from geocamss.training.recipe import Augmentation, Training, load_recipe
from geocamss.training.sources import LabeledImage, load_source
from geocamss.training.train import fit
from tests.conftest import ROOT
from tests.training.test_augment import PLAIN

SMALL = CamssConfig(
    stride=8,
    pyramid=(24, 32, 48),
    blocks=(1, 1, 1),
    latent=8,
    width=64,
    layers=2,
    heads=2,
    head_width=64,
    head_layers=2,
    tokenizer=(32, 48),
    decoder=(24, 32, 48),
)


def parts(data) -> list[LabeledImage]:
    """Eight squares of 64 pixels from real images, with several classes each."""
    recipe = load_recipe(ROOT / "recipes" / "aerial-landcover.yaml")
    source = recipe.sources[0].model_copy(update={"folders": ("dubai/tile2",)})
    found = []
    for item in load_source(source, recipe.card_without_results(), data)[:8]:
        where = slice(200, 264), slice(200, 264)
        found.append(
            LabeledImage(item.name, item.image[:, *where], item.labels[where], item.valid[where])
        )
    return found


@pytest.mark.slow
def test_a_small_network_learns_eight_real_images_by_heart(shared_data):
    recipe = load_recipe(ROOT / "recipes" / "aerial-landcover.yaml")
    card = recipe.card_without_results().model_copy(update={"chip": 64, "overlap": 0})
    images = parts(shared_data)
    training = Training(
        minutes=1000,
        max_steps=400,
        epoch=400,
        batch=8,
        chip=64,
        learning_rate=5e-3,
        warmup=20,
        ema=0.9,
        class_power=0,
        dice=0,
        revealed=0.1,
        null_image=0.05,
        augmentation=Augmentation.model_validate(PLAIN.model_dump()),
    )
    torch.manual_seed(0)
    loop = Loop(
        build(SMALL, 3, len(card.classes)),
        objective=CamssObjective(training, torch.ones(len(card.classes))),
        card=card,
        training=training,
        batches=partial(Batches, [Pool(images, 1.0)], card, training),
        validation=images,
    )
    fit(loop)
    segmenter = loop.segmenter(loop.best)
    one_step = score_images(segmenter, images, Sampling(steps=1))
    assert one_step.accuracy > 0.9
    # The decoder has stayed in the latent space: samples decode to maps as well.
    assert score_images(segmenter, images, Sampling(steps=4)).accuracy > 0.8
