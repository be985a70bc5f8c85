"""Laws of the transformer: relative positions, and tokens without data are not looked at."""

from __future__ import annotations

import pytest
import torch

from geocamss.models.camss.transformer import Transformer, rotary

FEATURES, LATENT, WIDTH = 6, 3, 16


def transformer(pool: int = 2) -> Transformer:
    torch.manual_seed(0)
    module = Transformer(FEATURES, LATENT, width=WIDTH, layers=2, heads=2, pool=pool)
    for parameter in (module.unknown, module.null_image):
        torch.nn.init.normal_(parameter)
    return module.eval()


def features(height: int = 6, width: int = 8) -> torch.Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.randn(2, FEATURES, height, width, generator=generator)


@pytest.mark.parametrize("spacing", [1, 2, 4])
def test_rotary_positions_lie_in_the_middle_of_what_they_stand_for(spacing):
    fine = rotary(4 * spacing, 3 * spacing, 8, torch.device("cpu")).view(
        4 * spacing, 3 * spacing, 4
    )
    coarse = rotary(4, 3, 8, torch.device("cpu"), spacing).view(4, 3, 4)
    blocks = fine.view(4, spacing, 3, spacing, 4).mean((1, 3))
    assert torch.allclose(coarse, blocks, atol=1e-5)


@pytest.mark.parametrize("pool", [1, 2, 3])
def test_tokens_that_are_not_seen_change_nothing_elsewhere(pool):
    module, image = transformer(pool), features()
    seen = torch.ones(2, 6, 8, dtype=torch.bool)
    seen[:, :, 6:] = False
    changed = image.clone()
    changed[:, :, :, 6:] = 50.0
    with torch.no_grad():
        before, after = module(image, seen=seen), module(changed, seen=seen)
    # Six columns are seen, a multiple of each pool: no key stands for seen and unseen tokens.
    assert torch.equal(before[:, :, :6], after[:, :, :6])


def test_all_seen_is_the_same_as_no_mask():
    module, image = transformer(), features()
    seen = torch.ones(2, 6, 8, dtype=torch.bool)
    with torch.no_grad():
        assert torch.allclose(module(image), module(image, seen=seen), atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (5, 3), (7, 8)])
def test_any_size_will_do(height, width):
    with torch.no_grad():
        assert transformer()(features(height, width)).shape == (2, height, width, WIDTH)


def test_known_latents_and_the_null_image_are_used_where_they_are_named():
    module, image = transformer(), features()
    latents = torch.randn(2, 6, 8, LATENT)
    nothing = torch.zeros(2, 6, 8, dtype=torch.bool)
    some = nothing.clone()
    some[0, 2, 2] = True
    drop = torch.tensor([True, False])
    with torch.no_grad():
        plain = module(image)
        assert torch.equal(plain, module(image, latents=latents, known=nothing))
        told = module(image, latents=latents, known=some)
        assert not torch.equal(plain[0], told[0])
        assert torch.equal(plain[1], told[1])
        dropped = module(image, drop=drop)
        assert torch.equal(dropped[0], module(-image, drop=drop)[0])
        assert torch.equal(dropped[1], plain[1])
