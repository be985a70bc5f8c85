"""Encoder files: the weights of an image encoder alone, to begin a training with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as dump
from torch import Tensor

from geocamss.errors import ModelError
from geocamss.modelcard import TrainingSource
from geocamss.whole import whole

__all__ = ["EncoderCard", "is_encoder", "load_encoder", "read_encoder_card", "save_encoder"]

CARD = "geocamss.encoder"
"""Key of the card in the file's metadata."""

MAX_BYTES = 1 << 32
"""No encoder is larger."""


class EncoderCard(BaseModel):
    """What an encoder file says of itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    description: str = ""
    channels: int = Field(ge=1, le=1024)
    """Inputs of the first layer; they have no names, since any band may have stood at any."""

    objective: str
    """What it was trained to do."""

    shuffled: bool
    """Whether the channels were shuffled."""

    training: tuple[TrainingSource, ...] = ()
    license: str = ""
    geocamss: str = ""
    """Version of geocamss that wrote the file."""


def save_encoder(state: Mapping[str, Tensor], card: EncoderCard, path: Path) -> None:
    """Write an encoder file; it appears under its name when it is complete."""
    tensors = {
        name: tensor.detach().cpu().float().clone(memory_format=torch.contiguous_format)
        for name, tensor in state.items()
        if not name.endswith("num_batches_tracked")
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as part:
        part.write_bytes(dump(tensors, metadata={CARD: card.model_dump_json()}))


def is_encoder(path: Path) -> bool:
    """True for an encoder file, False for anything else, a model file included."""
    return CARD in _metadata(path)


def read_encoder_card(path: Path) -> EncoderCard:
    """Read the card of an encoder file.

    Raises:
        ModelError: it is none, or its card is damaged.
    """
    try:
        return EncoderCard.model_validate_json(_metadata(path)[CARD])
    except KeyError:
        raise ModelError(f"{path}: not an encoder file: it has no {CARD}") from None
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "card"
        raise ModelError(f"{path}: encoder card, {field}: {first['msg']}") from None


def load_encoder(path: Path) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Read the weights of an encoder file.

    Returns:
        Tensors by name within the encoder, and a name for each channel, like that of no band.

    Raises:
        ModelError: the file is damaged or too large.
    """
    card = read_encoder_card(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ModelError(f"{path}: an encoder of more than {MAX_BYTES} bytes is refused")
        with safe_open(path, framework="pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (safetensors' own, no dict)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path}: weights cannot be read: {error}") from None
    for name, tensor in state.items():
        if not bool(torch.isfinite(tensor).all()):
            raise ModelError(f"{path}: tensor {name!r} holds values that are not finite")
    return state, tuple(f"channel {index}" for index in range(card.channels))


def _metadata(path: Path) -> dict[str, Any]:
    try:
        with safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except (OSError, SafetensorError, json.JSONDecodeError):
        return {}
