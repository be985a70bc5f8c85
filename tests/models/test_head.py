"""Laws of the flow-matching head and its loss."""

from __future__ import annotations

import torch

from geocamss.models.camss.head import FlowHead, flow_loss, logit_normal

LATENT, CONDITION = 4, 12


def head(*, trained: bool) -> FlowHead:
    torch.manual_seed(0)
    module = FlowHead(LATENT, CONDITION, 16, 2)
    if trained:
        for parameter in module.parameters():
            torch.nn.init.normal_(parameter, std=0.5)
    return module.eval()


def inputs(batch: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    noisy = torch.randn(batch, 5, 6, LATENT, generator=generator)
    return noisy, torch.randn(batch, 5, 6, CONDITION, generator=generator)


def test_a_new_head_says_zero():
    noisy, condition = inputs()
    for t in (0.0, 0.3, 0.999):
        assert not head(trained=False)(noisy, torch.tensor(t), condition).any()


def test_at_time_zero_the_prediction_does_not_depend_on_the_noise():
    noisy, condition = inputs()
    module, zero = head(trained=True), torch.tensor(0.0)
    assert torch.equal(module(noisy, zero, condition), module(noisy * 7 + 1, zero, condition))
    later = torch.tensor(0.5)
    assert not torch.equal(module(noisy, later, condition), module(-noisy, later, condition))


def test_one_time_for_all_is_the_same_as_one_a_chip():
    noisy, condition = inputs()
    module = head(trained=True)
    together = module(noisy, torch.tensor(0.4), condition)
    each = module(noisy, torch.full((3,), 0.4), condition)
    assert torch.allclose(together, each, atol=1e-6)


def test_tokens_are_denoised_independently():
    noisy, condition = inputs(1)
    module, t = head(trained=True), torch.tensor(0.6)
    whole = module(noisy, t, condition)
    part = module(noisy[:, 2:3, 3:5], t, condition[:, 2:3, 3:5])
    assert torch.allclose(whole[:, 2:3, 3:5], part, atol=1e-6)


def test_training_times_are_symmetric_about_the_middle():
    normal = torch.randn(100_000, generator=torch.Generator().manual_seed(0))
    times = logit_normal(normal)
    assert 0 < times.min() < times.max() < 1
    assert torch.allclose(logit_normal(-normal), 1 - times, atol=1e-6)
    assert abs(times.mean() - 0.5) < 0.01


def test_the_loss_counts_weighted_tokens_only():
    data = torch.randn(2, 3, 3, LATENT)
    weight = torch.zeros(2, 3, 3)
    weight[0, :2] = 1
    wrong = data.clone()
    wrong[0, :2] += 2.0
    wrong[1] += 100.0
    assert torch.allclose(flow_loss(wrong, data, weight), torch.tensor(4.0), atol=1e-4)
    assert flow_loss(wrong, data, torch.zeros(2, 3, 3)) == 0
