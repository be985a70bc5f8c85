"""Weights for other bands."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from geocamss.models.camss.encoder import ImageEncoder
from geocamss.training.warmstart import adapt_stem, warm_start

NAMES = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=6, unique=True)


def stem(bands: int) -> torch.Tensor:
    torch.manual_seed(bands)
    return ImageEncoder(bands, (8, 8, 8), (0, 0, 0), finest=2).state_dict()["stem.1.conv.weight"]


@given(theirs=NAMES, ours=NAMES)
def test_shapes_fit_and_bands_of_the_same_name_keep_their_weights(theirs, ours):
    weight = stem(len(theirs))
    adapted = adapt_stem(weight, theirs, ours)
    assert adapted.shape == stem(len(ours)).shape
    scale = len(theirs) / len(ours)
    for index, name in enumerate(ours):
        mine = adapted[:, index * 4 : index * 4 + 4]
        if name in theirs:
            other = theirs.index(name)
            expected = weight[:, other * 4 : other * 4 + 4] * scale
        else:
            bands = [weight[:, k * 4 : k * 4 + 4] for k in range(len(theirs))]
            expected = torch.stack(bands).mean(0) * scale
        torch.testing.assert_close(mine, expected)
    torch.testing.assert_close(adapted[:, -4:], weight[:, -4:])  # validity


@given(theirs=st.integers(1, 6), ours=st.integers(1, 12))
def test_bands_that_all_show_the_same_give_the_same_features(theirs, ours):
    weight = stem(theirs)
    adapted = adapt_stem(weight, [f"t{k}" for k in range(theirs)], [f"o{k}" for k in range(ours)])
    pixels = torch.randn(1, 1, 6, 6)
    valid = torch.ones(1, 1, 6, 6)
    fold = torch.nn.functional.pixel_unshuffle
    one = fold(torch.cat([pixels.expand(1, theirs, 6, 6), valid], 1), 2)
    other = fold(torch.cat([pixels.expand(1, ours, 6, 6), valid], 1), 2)
    conv = torch.nn.functional.conv2d
    torch.testing.assert_close(conv(one, weight), conv(other, adapted), rtol=1e-4, atol=1e-4)


@given(theirs=NAMES, data=st.data())
def test_bands_in_another_order_find_their_weights(theirs, data):
    ours = data.draw(st.permutations(theirs))
    sizes = (8, 8, 8), (0, 0, 0)
    network, other = (
        nn.ModuleDict({"encoder": ImageEncoder(len(theirs), *sizes, finest=2)}) for _ in range(2)
    )
    warm_start(network, other.state_dict(), (theirs, ours), Path("other"))
    key = "encoder.stem.1.conv.weight"
    mine, whole = (net.state_dict()[key].unflatten(1, (-1, 4)) for net in (network, other))
    for index, name in enumerate(ours):
        torch.testing.assert_close(mine[:, index], whole[:, theirs.index(name)])
    torch.testing.assert_close(mine[:, -1], whole[:, -1])  # validity


def test_bands_are_found_however_they_are_written():
    weight = stem(3)
    bands = weight.unflatten(1, (-1, 4))
    adapted = adapt_stem(weight, ["NIR", "green", "x"], ["Green", "x", "near infrared"])
    mine = adapted.unflatten(1, (-1, 4))
    for place, other in enumerate((1, 2, 0)):
        torch.testing.assert_close(mine[:, place], bands[:, other])


def test_of_bands_that_are_called_alike_only_the_exact_name_is_found():
    weight = stem(3)
    theirs = ["red edge 1", "red edge 2", "x"]
    bands = weight.unflatten(1, (-1, 4))
    mine = adapt_stem(weight, theirs, ["red edge 2"]).unflatten(1, (-1, 4))
    torch.testing.assert_close(mine[:, 0], 3 * bands[:, 1])


def test_weights_of_another_number_of_bands_are_refused():
    with pytest.raises(ValueError, match="cannot be of 3 bands"):
        adapt_stem(stem(4), "abc", "ab")
