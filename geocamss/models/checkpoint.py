"""Model files: one safetensors file, the card as JSON in its metadata.

A file from a stranger is checked before it costs anything: the header's length, then every
tensor's name, type and shape against what the card's architecture has, then the weights are read.
Nothing is ever unpickled.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as dump
from torch import Tensor

from geocamss.errors import ModelError
from geocamss.modelcard import ModelCard
from geocamss.models.camss.config import CamssConfig
from geocamss.models.camss.model import CamssSegmenter
from geocamss.models.camss.network import CamssNetwork, build
from geocamss.models.header import CARD, card_of, read_header
from geocamss.models.segmenter import Segmenter
from geocamss.whole import whole

__all__ = ["load", "load_network", "save"]

MAX_PARAMETERS = 1 << 31
"""No network has more weights."""

_WIDTHS = {"F16": 2, "BF16": 2, "F32": 4}
"""Bytes of the types that weights may be stored in."""


def save(state: Mapping[str, Tensor], card: ModelCard, path: Path) -> None:
    """Write a model file; it appears under its name when it is complete.

    Matrices and kernels are stored as float16, which costs them nothing that a score could show;
    vectors, among them the normalizations' statistics, stay float32.

    Args:
        state: Weights by name, as ``CamssNetwork.state_dict()`` gives them.
        card: What the model says of itself.
        path: The file.
    """
    tensors = {name: _stored(tensor) for name, tensor in state.items() if _is_kept(name)}
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as part:
        # Through bytes: save_file() makes files that nobody but their owner may read.
        part.write_bytes(dump(tensors, metadata={CARD: card.model_dump_json()}))


def load(path: Path, device: torch.device | None = None) -> Segmenter:
    """Read a model file.

    Args:
        path: The file.
        device: Where to run; None is a GPU where there is one, else the CPU.

    Raises:
        ModelError: the file is missing, damaged, not a model file, or asks for too much.
    """
    network, card = load_network(path)
    fallback = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return CamssSegmenter(network, card, device or fallback)


def load_network(path: Path) -> tuple[CamssNetwork, ModelCard]:
    """Read the network of a model file, float32, on the CPU, and its card.

    Raises:
        ModelError: as ``load``.
    """
    header = read_header(path)
    card = card_of(header, path)
    config = _config(card, path)
    with torch.device("meta"):
        # Shapes without memory: the file must fit them before anything is allocated.
        wanted = build(config, len(card.bands), len(card.classes)).state_dict()
    _check_shapes(header, wanted, path)
    network = build(config, len(card.bands), len(card.classes))
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path}: weights cannot be read: {error}") from None
    for name, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise ModelError(f"{path}: tensor {name!r} holds values that are not finite")
    network.load_state_dict({k: v.float() for k, v in tensors.items()}, strict=False)
    return network.eval(), card


def _is_kept(name: str) -> bool:
    """Counters of normalizations are of no use after training."""
    return not name.endswith("num_batches_tracked")


def _stored(tensor: Tensor) -> Tensor:
    kind = torch.float16 if tensor.ndim > 1 else torch.float32
    # A copy in plain order: safetensors refuses views and channels-last memory.
    return tensor.detach().cpu().to(kind).clone(memory_format=torch.contiguous_format)


def _config(card: ModelCard, path: Path) -> CamssConfig:
    if card.architecture != "camss":
        raise ModelError(
            f"{path}: model card, architecture: {card.architecture!r} cannot be built from a file; "
            "load the network yourself and pass it to from_module()"
        )
    config = CamssConfig.of(card.parameters, str(path))
    if card.stride != config.stride:
        raise ModelError(
            f"{path}: model card, stride: must be {config.stride}, as in its parameters, "
            f"got {card.stride}"
        )
    return config


def _check_shapes(header: Mapping[str, Any], wanted: Mapping[str, Tensor], path: Path) -> None:
    expected = {name: tuple(tensor.shape) for name, tensor in wanted.items() if _is_kept(name)}
    count = sum(tensor.numel() for tensor in wanted.values())
    if count > MAX_PARAMETERS:
        raise ModelError(f"{path}: the card asks for {count} weights, at most {MAX_PARAMETERS}")
    found = {name for name in header if name != "__metadata__"}
    for name in sorted(expected.keys() ^ found):
        state = "is missing" if name in expected else "is not part of the architecture"
        raise ModelError(f"{path}: tensor {name!r} {state}")
    needed = 0
    for name, shape in expected.items():
        entry = header[name]
        if not isinstance(entry, dict) or entry.get("dtype") not in _WIDTHS:
            raise ModelError(f"{path}: tensor {name!r} must be one of {', '.join(_WIDTHS)}")
        if entry.get("shape") != list(shape):
            raise ModelError(
                f"{path}: tensor {name!r} must have shape {list(shape)}, got {entry.get('shape')}"
            )
        needed += math.prod(shape) * _WIDTHS[entry["dtype"]]
    size = path.stat().st_size
    if needed > size:
        raise ModelError(f"{path}: its weights take {needed} bytes, the file has {size}: truncated")
