"""Laws of the losses."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Generator

from geocamss.models.camss.config import CamssConfig
from geocamss.models.camss.network import CamssNetwork, build
from geocamss.training.batches import Batch
from geocamss.training.objective import (
    CamssObjective,
    class_weights,
    dice_loss,
    map_loss,
    unweigh,
)
from geocamss.training.recipe import Training
from tests.models.camss.networks import KINDS, config

CONFIG = CamssConfig(
    pyramid=(8, 8, 16),
    blocks=(0, 0, 1),
    stride=8,
    latent=4,
    width=16,
    layers=1,
    heads=1,
    head_width=16,
    head_layers=1,
    tokenizer=(8, 8),
    decoder=(8, 8, 8),
)


def batch() -> Batch:
    generator = Generator().manual_seed(0)
    chips = torch.randn(3, 3, 32, 32, generator=generator)
    labels = torch.randint(0, 4, (3, 32, 32), generator=generator)
    valid = torch.ones(3, 32, 32, dtype=torch.bool)
    valid[1, :, 16:] = False
    chips = chips.masked_fill(~valid[:, None], 0)
    return Batch(chips, labels.masked_fill(~valid, 255), valid)


def losses(
    given: Batch, network: CamssNetwork | None = None, **training
) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    network = build(CONFIG, 3, 4) if network is None else network
    objective = CamssObjective(Training(**{"rehearsed": 1, **training}), torch.ones(4))
    return objective.losses(network, given, Generator().manual_seed(1))


@pytest.mark.parametrize("kind", KINDS)
def test_every_part_of_the_network_gets_a_gradient(kind):
    torch.manual_seed(0)
    network = build(config(kind), 3, 4)
    objective = CamssObjective(Training(null_image=0.5, revealed=0.9, rehearsed=1), torch.ones(4))
    # What is zero in a new head lets gradients through from the second step on, and few chips of a
    # step are decoded with a guide where there is no one-step prediction.
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    reached = set()
    for step in range(12):
        optimizer.zero_grad()
        found = objective.losses(network, batch(), Generator().manual_seed(step))
        torch.stack(list(found.values())).sum().backward()
        optimizer.step()
        for name, parameter in network.named_parameters():
            if parameter.grad is not None and parameter.grad.any():
                reached.add(name)
    assert reached == {name for name, _ in network.named_parameters()}


def test_pixels_without_label_count_for_nothing():
    logits = torch.randn(2, 4, 8, 8)
    labels = torch.randint(0, 4, (2, 8, 8))
    labels[0] = 255
    other = logits.clone()
    other[0] = 100 * torch.randn(4, 8, 8)
    for dice in (0.0, 1.0):
        first, second = (map_loss(x, labels, torch.ones(4), dice) for x in (logits, other))
        assert torch.isclose(first, second)


def test_a_batch_without_labels_costs_nothing_and_breaks_nothing():
    given = batch()
    found = losses(given._replace(labels=torch.full_like(given.labels, 255)))
    assert found["map"] == 0
    assert found["reconstruction"] == 0
    assert found["head"] == 0
    assert found["mean"] == 0
    assert torch.isfinite(torch.stack(list(found.values()))).all()


def test_the_map_does_not_know_whether_the_tokenizer_was_trained_beside_it():
    """Neither its loss nor the decoder's statistics do."""
    alone, beside = build(CONFIG, 3, 4), build(CONFIG, 3, 4)
    beside.load_state_dict(alone.state_dict())
    # Nothing but the tokenizer's training is left to chance.
    quiet = {"null_image": 0, "revealed": 0, "guide_dropout": 0}
    without = losses(batch(), alone, rehearsed=0, **quiet)
    found = losses(batch(), beside, rehearsed=1, **quiet)
    assert set(without) == {"map", "mean"}
    assert set(found) == {"map", "mean", "head", "code", "reconstruction"}
    assert torch.equal(found["map"], without["map"])
    theirs = alone.decoder.state_dict()
    assert theirs["enter.0.norm.num_batches_tracked"] == 1
    for name, value in beside.decoder.state_dict().items():
        assert torch.equal(value, theirs[name]), name
    assert all(m.training for m in beside.decoder.modules())


@given(guide=st.sampled_from([0.0, 0.4]), null=st.sampled_from([0.0, 0.3]), seed=st.integers(0, 99))
def test_only_rehearsals_withhold_the_image_or_tell_of_the_mask(guide, null, seed):
    settings = Training(guide_dropout=guide, null_image=null, revealed=0.2)
    objective = CamssObjective(settings, torch.ones(4))
    tokens = torch.zeros(2000, 4, 4, 1)
    drop, guided, known = objective._told(tokens, Generator().manual_seed(seed), rehearsed=False)
    assert bool(guided.all())
    assert not drop.any()
    assert not known.any()
    drop, guided, known = objective._told(tokens, Generator().manual_seed(seed), rehearsed=True)
    assert not guided[drop].any()
    told = known.flatten(1).any(1)
    shares = drop.float().mean(), (~guided[~drop]).float().mean(), told.float().mean()
    assert torch.tensor(shares).tolist() == pytest.approx([null, guide, 0.18], abs=0.05)


def test_dice_is_zero_for_a_perfect_map_and_one_for_a_wrong_one():
    labels = torch.randint(0, 3, (2, 8, 8))
    right = torch.nn.functional.one_hot(labels, 3).permute(0, 3, 1, 2) * 100.0
    wrong = torch.nn.functional.one_hot((labels + 1) % 3, 3).permute(0, 3, 1, 2) * 100.0
    assert dice_loss(right, labels) < 1e-4
    assert dice_loss(wrong, labels) > 1 - 1e-4


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_class_weights_have_mean_one_over_the_pixels(power):
    frequencies = torch.tensor([0.7, 0.2, 0.1])
    weights = class_weights(frequencies, power)
    assert torch.isclose((weights * frequencies).sum(), torch.tensor(1.0))
    assert bool((weights.diff() >= 0).all())


def test_losses_are_a_function_of_the_generator():
    first, second = losses(batch()), losses(batch())
    for name, value in first.items():
        assert torch.equal(value, second[name])


def test_class_weights_are_taken_out_of_what_was_learned_with_them():
    """A layer that sees nothing can learn the frequencies alone, and in the end tells these."""
    shares = torch.tensor([0.6, 0.3, 0.1])
    labels = torch.tensor([0] * 6 + [1] * 3 + [2]).repeat(10, 1)
    # Each pixel of a square of four has a bias of its own, and is to see all labels.
    labels = labels.repeat_interleave(2, 0).repeat_interleave(2, 1)[None]  # (1, 20, 20)
    layer = torch.nn.Conv2d(1, 3 * 4, 1)
    weights = class_weights(shares, 0.5)
    optimizer = torch.optim.LBFGS(layer.parameters(), max_iter=200, tolerance_grad=1e-9)

    def logits() -> torch.Tensor:
        return torch.nn.functional.pixel_shuffle(layer(torch.zeros(1, 1, 10, 10)), 2)

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        found = map_loss(logits(), labels, weights, dice=0)
        found.backward()
        return found

    optimizer.step(loss)
    unweigh(layer, weights)
    found = torch.softmax(logits(), dim=1).mean((0, 2, 3))
    torch.testing.assert_close(found, shares, atol=2e-3, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_finished_differs_in_its_last_bias_alone(kind):
    network = build(config(kind), 3, 4)
    weights = class_weights(torch.tensor([0.4, 0.3, 0.2, 0.1]), 0.5)
    found = CamssObjective(Training(), weights).finished(network)
    theirs = network.state_dict()
    changed = [
        name for name, value in found.state_dict().items() if not torch.equal(value, theirs[name])
    ]
    assert changed == ["decoder.leave.0.bias"]
