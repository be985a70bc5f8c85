"""Laws of the paper's transformer: what is hidden is as if it were not there."""

from __future__ import annotations

import pytest
import torch

from geocamss.models.camss.sequence import SequenceTransformer
from geocamss.models.camss.transformer import Layout, rotary

SIZE = (4, 5)


@pytest.fixture(scope="module")
def module() -> SequenceTransformer:
    torch.manual_seed(0)
    made = SequenceTransformer(6, 3, width=16, layers=2, heads=2)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return made.eval().requires_grad_(requires_grad=False)


def features(*size: int) -> torch.Tensor:
    return torch.randn(2, 6, *(size or SIZE), generator=torch.Generator().manual_seed(2))


def some_known() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    latents = torch.randn(2, *SIZE, 3, generator=generator)
    return latents, torch.rand(2, *SIZE, generator=generator) < 0.4


def test_the_encoder_sees_known_mask_tokens_as_if_the_others_were_dropped(module):
    image, (latents, known) = features(), some_known()
    found = module.conditions(image, latents=latents, known=known)
    angles = rotary(*SIZE, 8, image.device).repeat(2, 1)
    for chip in range(2):
        keep = torch.cat([torch.ones(20, dtype=torch.bool), known[chip].flatten()])
        tokens = torch.cat(
            [
                module.image_in(image[chip].permute(1, 2, 0)).flatten(0, 1),
                module.mask_in(latents[chip]).flatten(0, 1),
            ]
        )[keep]
        x = module.enter(tokens)[None]
        x = run(module.encoder, x, angles[keep])
        whole = module.unknown.expand(40, 16).clone()
        whole[keep] = module.decoder_in(module.encoder_norm(x))[0]
        by_hand = module.norm(run(module.decoder, whole[None], angles))
        assert torch.allclose(found[chip].reshape(40, 16), by_hand[0], atol=1e-4)


def run(blocks, x: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
    turns = angles.cos(), angles.sin()
    for block in blocks:
        x = block(x, Layout((1, len(angles)), 1, (turns, turns), None))
    return x


def test_nothing_known_is_the_same_as_no_latents(module):
    latents, known = some_known()
    plain = module(features())
    assert torch.allclose(plain, module(features(), latents=latents, known=known & False))
    assert not torch.allclose(plain, module(features(), latents=latents, known=known))


def test_unknown_latents_make_no_difference(module):
    latents, known = some_known()
    changed = torch.where(known[..., None], latents, 100.0)
    first, second = (module(features(), latents=x, known=known) for x in (latents, changed))
    assert torch.equal(first, second)


@pytest.mark.parametrize("with_latents", [False, True])
def test_tokens_that_are_not_seen_change_nothing_elsewhere(module, with_latents):
    image, (latents, known) = features(), some_known()
    seen = torch.ones(2, *SIZE, dtype=torch.bool)
    seen[:, :, 3:] = False
    changed = image.clone()
    changed[:, :, :, 3:] = 50.0
    told = {"latents": latents, "known": known} if with_latents else {}
    first, second = (module(x, seen=seen, **told) for x in (image, changed))
    assert torch.equal(first[:, :, :3], second[:, :, :3])


def test_the_null_image_hides_the_image(module):
    drop = torch.tensor([True, False])
    first, second = (module(x, drop=drop) for x in (features(), -features()))
    assert torch.equal(first[0], second[0])
    assert not torch.equal(first[1], second[1])


@pytest.mark.parametrize("size", [(1, 1), (7, 3)])
def test_any_size_will_do(module, size):
    assert module(features(*size)).shape == (2, *size, 16)
    assert module.conditions(features(*size)).shape == (2, 2, *size, 16)
