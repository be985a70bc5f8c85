"""Named sizes of the segmenter: what a recipe may write instead of spelling them out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["SIZES"]

SIZES: Mapping[str, Mapping[str, Any]] = {
    "tiny": {},
    "small": {
        "pyramid": (24, 48, 96, 160, 256),
        "blocks": (0, 1, 1, 1, 2),
        "width": 192,
        "layers": 3,
        "heads": 3,
        "head_width": 192,
        "head_layers": 3,
        "tokenizer": (64, 96, 128),
        "decoder": (24, 48, 96, 128, 160),
    },
    "base": {
        "stride": 16,
        "tokens": "sequence",
        "pyramid": (64, 128, 256, 512),
        "blocks": (1, 2, 3, 3),
        "width": 768,
        "layers": 12,
        "heads": 12,
        "pool": 1,
        "head": "ddpm",
        "head_width": 1024,
        "head_layers": 6,
        "tokenizer": (64, 128, 192),
        "decoder": (64, 96, 128, 192),
        "latent": 16,
    },
}
"""Fields by name: ``tiny`` are the defaults, for CPUs, ``small`` suits a laptop, and ``base`` has
the transformer and the head of the paper."""
