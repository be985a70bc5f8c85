"""Laws that hold for every kind of network and every way to draw."""

from __future__ import annotations

import pytest
import torch

from geocamss.errors import ModelError
from geocamss.models import checkpoint
from geocamss.models.camss.model import CamssSegmenter
from geocamss.models.segmenter import Sampling
from tests.models.camss.networks import KINDS, batch, segmenter

WAYS = [
    ("default", Sampling(rounds=3)),
    ("default", Sampling(steps=2, samples=2, seed=3, rounds=2, guidance=2.0)),
    ("default", Sampling(steps=3, sampler="heun", seed=1)),
    ("default", Sampling(steps=4, sampler="dpm++")),
    ("default", Sampling(steps=5, sampler="ddpm", rounds=2)),
    ("f16", Sampling(steps=2, rounds=2)),
    ("one-step", Sampling(sampler="one-step", samples=2, guidance=1.5)),
    ("ddpm", Sampling()),
    ("ddpm", Sampling(steps=3, sampler="ddim", rounds=2)),
    ("vq", Sampling(steps=2, rounds=2)),
    ("sequence", Sampling(steps=2, rounds=2, guidance=2.0)),
    ("paper", Sampling(rounds=2)),
]


@pytest.fixture(scope="module")
def made() -> dict[str, CamssSegmenter]:
    return {kind: segmenter(kind) for kind in KINDS}


@pytest.mark.parametrize(("kind", "sampling"), WAYS)
def test_probabilities_sum_to_one_and_come_again(made, kind, sampling):
    found = made[kind](*batch(2), sampling)
    assert found.shape == (2, 4, 64, 64)
    assert 0 <= found.min() <= found.max() <= 1
    assert torch.allclose(found.sum(1), torch.ones(2, 64, 64), atol=1e-5)
    assert torch.equal(found, made[kind](*batch(2), sampling))


@pytest.mark.parametrize(("kind", "sampling"), WAYS)
def test_a_chip_does_not_depend_on_its_company(made, kind, sampling):
    chips, valid, corners = batch(3)
    valid[1, :, 20:] = False
    together = made[kind](chips, valid, corners, sampling)
    for order in ([2], [2, 0]):
        some = made[kind](chips[order], valid[order], corners[order], sampling)
        assert torch.equal(some[0], together[2])


@pytest.mark.parametrize(("kind", "sampling"), WAYS)
def test_nothing_leaks_from_under_nodata(made, kind, sampling):
    chips, valid, corners = batch(2)
    valid[0, 10:33, :] = False
    valid[1] = False
    clean = made[kind](chips.masked_fill(~valid[:, None], 0), valid, corners, sampling)
    for garbage in (1e6, float("nan")):
        dirty = chips.masked_fill(~valid[:, None], garbage)
        assert torch.equal(clean, made[kind](dirty, valid, corners, sampling))
    assert torch.isfinite(clean).all()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_survives_its_file(made, kind, tmp_path):
    path = tmp_path / "model.safetensors"
    checkpoint.save(made[kind].network.state_dict(), made[kind].card, path)
    again = checkpoint.load(path, torch.device("cpu"))
    assert again.card == made[kind].card
    before, after = (model(*batch(1), Sampling(steps=2)) for model in (made[kind], again))
    assert (before.argmax(1) == after.argmax(1)).float().mean() > 0.9  # stored in half precision


@pytest.mark.parametrize("kind", ["default", "sequence"])
def test_one_step_ignores_the_seed_however_many_the_rounds(made, kind):
    first, second = (made[kind](*batch(1), Sampling(seed=s, rounds=4)) for s in (1, 2))
    assert torch.equal(first, second)
    once = made[kind](*batch(1), Sampling())
    assert not torch.equal(first, once)


@pytest.mark.parametrize("kind", ["ddpm", "one-step"])
def test_samples_of_other_heads_depend_on_the_seed(made, kind):
    sampler = "one-step" if kind == "one-step" else "ddpm"
    first, second = (made[kind](*batch(1), Sampling(sampler=sampler, seed=seed)) for seed in (1, 2))
    assert not torch.equal(first, second)


def test_guidance_of_one_is_none(made):
    plain, guided, more = (
        made["default"](*batch(1), Sampling(guidance=g)) for g in (None, 1.0, 3.0)
    )
    assert torch.equal(plain, guided)
    assert not torch.equal(plain, more)


def test_the_one_step_sampler_wants_its_head(made):
    with pytest.raises(ModelError, match="one_step: true"):
        made["default"](*batch(1), Sampling(sampler="one-step"))


def test_more_steps_than_the_schedule_has_are_refused(made):
    with pytest.raises(ModelError, match="at most 981 steps, got 982"):
        made["ddpm"](*batch(1), Sampling(sampler="ddim", steps=982))


def test_straight_paths_have_as_many_steps_as_are_wanted(made):
    found = made["default"](*batch(1, 16), Sampling(steps=1000))
    assert torch.isfinite(found).all()


def test_predicted_noise_keeps_all_its_digits():
    made = segmenter("ddpm", torch.bfloat16)
    fast = made._fast
    assert next(fast.transformer.parameters()).dtype == torch.bfloat16
    for ours, theirs in zip(fast.head.parameters(), made.network.head.parameters(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"sampler": "magic"}, "sampler must be one of euler"),
        ({"rounds": 9}, "rounds must be 1 to 8"),
        ({"guidance": -1.0}, "guidance must be 0 to 20"),
        ({"guidance": float("nan")}, "guidance must be 0 to 20"),
    ],
)
def test_sampling_refuses_what_makes_no_sense(fields, words):
    with pytest.raises(ValueError, match=words):
        Sampling(**fields)
