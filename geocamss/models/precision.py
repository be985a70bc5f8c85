"""Which number format a device computes fastest in."""

from __future__ import annotations

import torch

__all__ = ["fast_dtype"]


def fast_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the processor multiplies in it, else float32.

    Processors without such instructions emulate bfloat16, several times slower than float32.
    """
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    if device.type == "cpu" and _cpu_has_bf16():
        return torch.bfloat16
    return torch.float32


def _cpu_has_bf16() -> bool:
    capabilities = torch.cpu.get_capabilities()
    return any(bool(capabilities.get(name)) for name in ("avx512_bf16", "amx_bf16"))
