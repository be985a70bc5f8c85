"""The fingerprint of a model: what a map's provenance names."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor

from geocamss.modelcard import ModelCard

__all__ = ["fingerprint"]


def fingerprint(card: ModelCard, state: Mapping[str, Tensor]) -> str:
    """SHA-256 of a card and of weights, in hexadecimal.

    The weights count by name, shape, dtype and bytes; the order in which they come does not.
    """
    digest = hashlib.sha256(card.model_dump_json().encode())
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"\n{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
