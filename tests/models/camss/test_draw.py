"""Laws of the rounds: whose turn it is, what is told to whom, and that nothing changes later."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from geocamss.models.camss.draw import Draw, draw
from geocamss.models.camss.model import _noise
from geocamss.models.camss.rounds import drawn_before, turns
from tests.models.camss.networks import network

SIZE = (6, 7, 4)
corner = st.tuples(st.integers(-(2**40), 2**40), st.integers(-(2**40), 2**40))


def features(count: int = 2) -> torch.Tensor:
    return torch.randn(count, 16, 6, 7, generator=torch.Generator().manual_seed(1))


def drawn(net, how: Draw, image=None, seen=None, seed: int = 0):
    corners = torch.tensor([[0, 0], [3, -5]])
    image = features() if image is None else image
    seen = torch.ones(2, 6, 7, dtype=torch.bool) if seen is None else seen
    noise = partial(_noise, corners, SIZE, seed, 0)
    with torch.inference_mode():
        return draw(net, image, seen, how, noise=noise, turns=turns(corners, 6, 7))


@given(corner, st.integers(0, 5), st.integers(0, 5))
def test_overlapping_grids_agree_on_turns_and_noise(first, down, right):
    corners = torch.tensor([first, [first[0] + down, first[1] + right]])
    for one, other in (turns(corners, 8, 9), _noise(corners, (8, 9, 3), 7, 1, 2)):
        assert torch.equal(one[down:, right:], other[: 8 - down, : 9 - right])


def test_turns_are_evenly_spread_and_neighbors_have_others():
    found = turns(torch.tensor([[-100, 50]]), 200, 200)[0]
    assert 0 <= found.min() <= found.max() < 1
    assert stats.kstest(found.flatten().numpy(), "uniform").pvalue > 1e-3
    beside = torch.corrcoef(torch.stack([found[:, 1:].flatten(), found[:, :-1].flatten()]))
    assert abs(beside[0, 1]) < 0.03


@pytest.mark.parametrize("rounds", range(1, 9))
def test_shares_follow_a_cosine_and_end_with_all(rounds):
    shares = [drawn_before(number, rounds) for number in range(rounds + 1)]
    assert shares[0] == 0
    assert shares[-1] == 1
    assert shares == sorted(shares)
    left = [math.cos(math.pi / 2 * number / rounds) for number in range(rounds + 1)]
    assert shares == pytest.approx([1 - share for share in left])


class Witness:
    """Writes down what transformer and head are asked."""

    def __init__(self, net, monkeypatch):
        self.told, self.denoised = [], 0
        think, clean = net.transformer.forward, net.head.clean

        def thinking(image, **given):
            self.told.append({k: v if v is None else v.clone() for k, v in given.items()})
            return think(image, **given)

        def cleaning(noisy, level, condition):
            self.denoised += noisy[..., 0].numel()
            return clean(noisy, level, condition)

        monkeypatch.setattr(net.transformer, "forward", thinking)
        monkeypatch.setattr(net.head, "clean", cleaning)


@pytest.mark.parametrize("kind", ["default", "sequence"])
@pytest.mark.parametrize("rounds", [2, 5])
def test_tokens_once_drawn_stay_and_are_drawn_once(kind, rounds, monkeypatch):
    net = network(kind)
    witness = Witness(net, monkeypatch)
    seen = torch.ones(2, 6, 7, dtype=torch.bool)
    seen[0, 2:4] = False
    found = drawn(net, Draw("euler", 3, rounds, 1.0), seen=seen)
    assert witness.denoised == 3 * 2 * 6 * 7  # each token, mask tokens alone, three steps
    before = torch.zeros_like(seen)
    for asked in witness.told:
        known = asked["known"]
        assert torch.equal(asked["latents"][known], found[known])
        assert not (known & ~seen).any()  # nothing is told of what lies under nodata
        assert (known | ~before).all()  # what is known stays known
        before = known
    assert len(witness.told) == rounds


def test_one_round_tells_nothing(monkeypatch):
    net = network("default")
    witness = Witness(net, monkeypatch)
    drawn(net, Draw("euler", 1, 1, 1.0))
    assert [set(asked) for asked in witness.told] == [{"seen"}]


@pytest.mark.parametrize("rounds", [1, 3])
def test_guidance_of_zero_forgets_the_image(rounds):
    how = Draw("euler", 2, rounds, 0.0)
    first, second = (drawn(network("default"), how, image) for image in (features(), -features()))
    assert torch.equal(first, second)
    guided = Draw("euler", 2, rounds, 1.5)
    assert not torch.equal(drawn(network("default"), guided), first)


def test_guidance_goes_past_the_image_on_a_straight_line():
    net = network("default")
    none, one, two = (drawn(net, Draw("euler", 1, 1, g)) for g in (0.0, 1.0, 2.0))
    assert torch.allclose(two, 2 * one - none, atol=1e-5)


def test_every_sampler_draws_something_of_its_own():
    net = network("one-step")
    samplers = ("euler", "heun", "dpm++", "ddpm", "one-step")
    found = [drawn(net, Draw(sampler, 4, 1, 1.0)) for sampler in samplers]
    for index, one in enumerate(found):
        assert torch.isfinite(one).all()
        assert not any(torch.equal(one, other) for other in found[:index])
