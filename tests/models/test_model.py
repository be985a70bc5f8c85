"""Laws of the segmenter: probabilities, nothing from the company, nothing from under nodata."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from geocamss.errors import ModelError
from geocamss.modelcard import ModelCard
from geocamss.models.camss.config import CamssConfig
from geocamss.models.camss.model import CamssSegmenter
from geocamss.models.camss.network import build, tokens_seen
from geocamss.models.segmenter import Sampling, Segmenter

STRIDE = 8
TINY = CamssConfig(
    stride=STRIDE,
    pyramid=(8, 8, 16),
    blocks=(1, 1, 1),
    latent=4,
    width=16,
    layers=2,
    heads=2,
    head_width=16,
    head_layers=1,
    tokenizer=(8, 8),
    decoder=(8, 8, 16),
)


def tiny_segmenter(dtype: torch.dtype | None = None, **card) -> CamssSegmenter:
    torch.manual_seed(0)
    network = build(TINY, 3, 4)
    for name, tensor in network.state_dict().items():
        # As after training: nothing is zero any more, and no statistic is at its start.
        if tensor.is_floating_point():
            low, high = (0.5, 1.5) if name.endswith("running_var") else (-0.4, 0.4)
            tensor.uniform_(low, high)
    parameters = TINY.model_dump(mode="json")
    fields = {"chip": 64, "overlap": 16, "stride": STRIDE, "parameters": parameters, **card}
    whole = ModelCard(
        name="tiny",
        bands=["red", "green", "blue"],
        gsd=1.0,
        classes=["a", "b", "c", "d"],
        architecture="camss",
        **fields,
    )
    return CamssSegmenter(network, whole, dtype=dtype)


@pytest.fixture(scope="module")
def tiny() -> CamssSegmenter:
    return tiny_segmenter()


def batch(count: int, size: int = 64) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    chips = torch.randn(count, 3, size, size, generator=generator)
    valid = torch.ones(count, size, size, dtype=torch.bool)
    corners = torch.arange(count)[:, None] * torch.tensor([[48, -96]])
    return chips, valid, corners


SAMPLINGS = [Sampling(), Sampling(steps=3, samples=2, seed=7)]


def test_it_is_a_segmenter(tiny):
    assert isinstance(tiny, Segmenter)


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_probabilities_sum_to_one(tiny, sampling):
    found = tiny(*batch(2), sampling)
    assert found.shape == (2, 4, 64, 64)
    assert 0 <= found.min() <= found.max() <= 1
    assert torch.allclose(found.sum(1), torch.ones(2, 64, 64), atol=1e-5)


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_a_chip_does_not_depend_on_its_company_or_its_place(tiny, sampling):
    chips, valid, corners = batch(4)
    valid[1, :, 20:] = False  # one of the company has nodata, the others have none
    together = tiny(chips, valid, corners, sampling)
    for order in ([2], [3, 2, 0], [2, 1]):
        some = tiny(chips[order], valid[order], corners[order], sampling)
        assert torch.equal(some[order.index(2)], together[2])


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("garbage", [1e6, -3.0, float("nan"), float("inf")])
def test_nothing_leaks_from_under_nodata(tiny, sampling, garbage):
    chips, valid, corners = batch(2)
    valid[0, 10:33, :] = False
    valid[1, :, 40:] = False
    clean = tiny(chips.masked_fill(~valid[:, None], 0), valid, corners, sampling)
    dirty = tiny(chips.masked_fill(~valid[:, None], garbage), valid, corners, sampling)
    assert torch.equal(clean, dirty)
    assert torch.isfinite(clean).all()


def test_a_chip_without_data_is_no_trouble(tiny):
    chips, valid, corners = batch(1)
    found = tiny(chips, torch.zeros_like(valid), corners, Sampling())
    assert torch.isfinite(found).all()


def test_one_step_ignores_seed_and_position_and_more_steps_do_not(tiny):
    chips, valid, corners = batch(1)
    one = tiny(chips, valid, corners, Sampling(seed=1))
    assert torch.equal(one, tiny(chips, valid, corners + 64, Sampling(seed=2, samples=5)))
    many = tiny(chips, valid, corners, Sampling(seed=1, steps=4))
    assert torch.equal(many, tiny(chips, valid, corners, Sampling(seed=1, steps=4)))
    assert not torch.equal(many, tiny(chips, valid, corners, Sampling(seed=2, steps=4)))
    assert not torch.equal(many, tiny(chips, valid, corners + 64, Sampling(seed=1, steps=4)))


def test_samples_are_averaged(tiny):
    chips, valid, corners = batch(1)
    first = tiny(chips, valid, corners, Sampling(steps=2, samples=1))
    both = tiny(chips, valid, corners, Sampling(steps=2, samples=2))
    second = both * 2 - first
    assert not torch.allclose(first, second)
    assert second.min() > -1e-5
    assert torch.allclose(second.sum(1), torch.ones(1, 64, 64), atol=1e-4)


def test_temperature_flattens_and_keeps_the_classes():
    chips, valid, corners = batch(1)
    sharp = tiny_segmenter()(chips, valid, corners, Sampling())
    flat = tiny_segmenter(temperature=3.0)(chips, valid, corners, Sampling())
    powered = flat**3.0  # dividing logits by 3 takes the cube root of the odds
    assert torch.allclose(sharp, powered / powered.sum(1, keepdim=True), atol=1e-4)
    assert flat.max() < sharp.max()


def test_folding_changes_nothing_but_rounding():
    segmenter = tiny_segmenter(torch.float32)
    chips, valid, corners = batch(1)
    network = segmenter.network
    with torch.no_grad():
        fine, middle, coarse = network.encoder(chips, valid)
        condition = network.transformer(coarse)
        latents = network.head(torch.zeros(1, 8, 8, 4), torch.tensor(0.0), condition)
        logits = network.decoder(latents.permute(0, 3, 1, 2), (fine, middle))
    by_hand = torch.softmax(logits, dim=1)
    assert torch.allclose(segmenter(chips, valid, corners, Sampling()), by_hand, atol=1e-4)


def test_half_precision_stays_close():
    chips, valid, corners = batch(1)
    exact = tiny_segmenter(torch.float32)(chips, valid, corners, Sampling())
    rough = tiny_segmenter(torch.bfloat16)(chips, valid, corners, Sampling())
    assert (exact - rough).abs().mean() < 0.02


@pytest.mark.parametrize("size", [8, 24, 128])
def test_chips_of_any_multiple_of_the_stride_will_do(tiny, size):
    assert tiny(*batch(1, size), Sampling()).shape[-2:] == (size, size)


@pytest.mark.parametrize(
    ("chips", "valid", "words"),
    [
        (torch.zeros(1, 2, 64, 64), torch.ones(1, 64, 64, dtype=torch.bool), "3 bands"),
        (torch.zeros(1, 3, 60, 64), torch.ones(1, 60, 64, dtype=torch.bool), "multiple of 8"),
        (torch.zeros(1, 3, 64, 64), torch.ones(1, 64, 32, dtype=torch.bool), "validity"),
    ],
)
def test_chips_of_another_kind_are_refused(tiny, chips, valid, words):
    with pytest.raises(ModelError, match=words):
        tiny(chips, valid, torch.zeros(1, 2, dtype=torch.int64), Sampling())


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 15), st.integers(0, 15))
def test_a_token_is_seen_when_one_of_its_pixels_is_valid(row, col):
    valid = torch.zeros(1, 16, 16, dtype=torch.bool)
    valid[0, row, col] = True
    seen = tokens_seen(valid, STRIDE)
    assert seen.sum() == 1
    assert seen[0, row // STRIDE, col // STRIDE]


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize(
    ("rows", "cols", "part"),
    [
        ((0, 192), (0, 129), (slice(0, 192), slice(0, 192))),
        ((3, 64), (70, 72), (slice(0, 64), slice(64, 128))),
        ((130, 192), (60, 130), (slice(128, 192), slice(0, 192))),
    ],
)
def test_only_the_part_with_data_is_looked_at(tiny, sampling, rows, cols, part):
    """What lies beyond a scene's edge costs nothing, and says nothing."""
    chips, valid, corners = batch(1, 192)
    valid[:] = False
    valid[:, slice(*rows), slice(*cols)] = True
    valid[:, rows[0] + 1, cols[0]] = False  # a gap within
    corner = corners + torch.tensor([part[0].start, part[1].start])
    alone = tiny(chips[:, :, *part], valid[:, *part], corner, sampling)
    found = tiny(chips, valid, corners, sampling)
    assert torch.equal(found[:, :, *part], alone)
    outside = torch.ones(192, 192, dtype=torch.bool)
    outside[part] = False
    assert (found[:, :, outside] == 1 / 4).all()
    told = tiny.sampled(chips, valid, corners, sampling)
    assert torch.equal(told[:, :-1], found)
    assert (told[:, -1, outside] == 1).all()  # nothing is less certain
