"""Small networks of every kind, with weights as after training: none zero, no statistic new."""

from __future__ import annotations

import torch

from geocamss.modelcard import ModelCard
from geocamss.models.camss.config import CamssConfig
from geocamss.models.camss.model import CamssSegmenter
from geocamss.models.camss.network import CamssNetwork, build

SMALL = {
    "stride": 8,
    "pyramid": (8, 8, 16),
    "blocks": (1, 1, 1),
    "latent": 4,
    "width": 16,
    "layers": 2,
    "heads": 2,
    "head_width": 16,
    "head_layers": 1,
    "tokenizer": (8, 8),
    "decoder": (8, 8, 16),
}
COARSE = {
    "stride": 16,
    "pyramid": (8, 8, 16, 16),
    "blocks": (1, 1, 1, 1),
    "tokenizer": (8, 8, 8),
    "decoder": (8, 8, 8, 16),
}
FINE = {"pyramid": (8, 8, 8, 16), "blocks": (0, 1, 1, 1), "decoder": (8, 8, 8, 16)}
KINDS = {
    "default": {},
    "fine": FINE,
    "f16": COARSE,
    "unet": {"trunk": "unet", **FINE},
    "one-step": {"one_step": True},
    "ddpm": {"head": "ddpm"},
    "vq": {"code": "vq", "codes": 16},
    "sequence": {"tokens": "sequence", "pool": 1},
    "paper": {**COARSE, "tokens": "sequence", "pool": 1, "head": "ddpm"},
}
"""What differs from ``SMALL``, by name."""


def config(kind: str) -> CamssConfig:
    return CamssConfig.model_validate({**SMALL, **KINDS[kind]})


def network(kind: str) -> CamssNetwork:
    torch.manual_seed(0)
    module = build(config(kind), 3, 4)
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point():
            low, high = (0.5, 1.5) if name.endswith("running_var") else (-0.4, 0.4)
            tensor.uniform_(low, high)
    return module.eval()


def segmenter(kind: str, dtype: torch.dtype | None = None, **fields) -> CamssSegmenter:
    sizes = config(kind)
    drawn = {"sampler": "ddpm", "steps": 5} if sizes.head == "ddpm" else {}
    card = ModelCard(
        name=kind,
        bands=["red", "green", "blue"],
        gsd=1.0,
        classes=["a", "b", "c", "d"],
        architecture="camss",
        chip=64,
        overlap=0,
        **{**sizes.card_fields(), **drawn, **fields},
    )
    return CamssSegmenter(network(kind), card, dtype=dtype)


def batch(count: int, size: int = 64) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    chips = torch.randn(count, 3, size, size, generator=generator)
    valid = torch.ones(count, size, size, dtype=torch.bool)
    corners = torch.arange(count)[:, None] * torch.tensor([[48, -96]])
    return chips, valid, corners
