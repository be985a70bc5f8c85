"""Laws of the codebook."""

from __future__ import annotations

import torch

from geocamss.models.camss.quantizer import Codebook, QuantizedMaskEncoder
from geocamss.models.camss.tokenizer import MaskEncoder


def latents(count: int = 64) -> torch.Tensor:
    return torch.randn(count, 3, generator=torch.Generator().manual_seed(0))


def book(size: int = 8) -> Codebook:
    torch.manual_seed(1)
    return Codebook(size, 3)


def test_every_latent_becomes_its_nearest_code():
    codebook, given = book().eval(), latents()
    found, commitment = codebook(given)
    distances = (given[:, None] - codebook.codes[None]).square().sum(-1)
    assert torch.allclose(found, codebook.codes[distances.argmin(1)], atol=1e-6)
    assert torch.isclose(commitment, distances.min(1).values.mean() / 3)


def test_gradients_go_straight_through():
    given = latents().requires_grad_()
    found, _ = book().eval()(given)
    found.sum().backward()
    assert torch.equal(given.grad, torch.ones_like(given))


def test_codes_stay_put_unless_they_are_trained():
    codebook = book().eval()
    before = codebook.codes.clone()
    codebook(latents())
    assert torch.equal(codebook.codes, before)


def test_codes_move_to_what_they_stand_for_and_none_stays_unused():
    centers = torch.tensor([[5.0, 0, 0], [0, 5, 0], [0, 0, 5], [-5, 0, 0]])
    codebook, generator = book().train(), torch.Generator().manual_seed(2)
    codebook.codes += 100  # all but one begin useless
    codebook.sums += 100
    for _ in range(1500):
        numbers = torch.randint(4, (64,), generator=generator)
        given = centers[numbers] + 0.1 * torch.randn(64, 3, generator=generator)
        codebook(given)
    assert torch.cdist(centers, codebook.codes).min(1).values.max() < 0.3
    assert codebook.counts.min() > 0.02


def test_the_codebook_keeps_its_precision_under_autocast():
    first, second = book().train(), book().train()
    first(latents())
    with torch.autocast("cpu", torch.bfloat16):
        second(latents())
    assert torch.equal(first.codes, second.codes)


def test_training_is_a_function_of_the_latents():
    first, second = book().train(), book().train()
    for codebook in (first, second):
        for _ in range(200):
            codebook(latents())
    assert torch.equal(first.codes, second.codes)


def test_a_code_is_its_own_nearest():
    torch.manual_seed(0)
    encoder = QuantizedMaskEncoder(4, (8, 8), 3, 16).eval()
    masks = torch.zeros(1, 4, 32, 32)
    masks[:, 1, :, 16:] = 1
    codes, _ = encoder(masks)
    flat = codes.permute(0, 2, 3, 1)
    assert torch.allclose(encoder.snap(flat), flat, atol=1e-6)
    assert torch.equal(encoder.snap(flat + 1e-4), encoder.snap(flat))


def test_every_continuous_latent_is_a_code():
    given = torch.randn(1, 2, 2, 3)
    assert torch.equal(MaskEncoder(4, (8, 8), 3).snap(given), given)
