"""The header of a model file: its card and the shapes of its weights, read without torch."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from geocamss.errors import ModelError
from geocamss.modelcard import ModelCard

__all__ = ["CARD", "card_of", "read_card", "read_header"]

CARD = "geocamss.card"
"""Key of the card in the file's metadata."""

MAX_HEADER = 8 << 20
"""No header is longer, in bytes."""


def read_card(path: Path) -> ModelCard:
    """Read the card of a model file, and nothing else of it.

    Raises:
        ModelError: the file is missing, damaged, or has no card.
    """
    return card_of(read_header(path), path)


def read_header(path: Path) -> dict[str, Any]:
    """Read the JSON header of a safetensors file: 8 bytes of length, then the text.

    Raises:
        ModelError: the file is missing, or no such file.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            start = file.read(8)
            length = int.from_bytes(start, "little")
            if len(start) < 8 or not 2 <= length <= min(MAX_HEADER, size - 8):
                raise ModelError(
                    f"{path}: not a model file: its header would have {length} bytes, "
                    f"the file has {size}; it may be truncated, or of another kind"
                )
            text = file.read(length)
    except OSError as error:
        raise ModelError(f"{path}: model file cannot be read: {error.strerror}") from None
    try:
        header = json.loads(text)
    except (ValueError, RecursionError):
        raise ModelError(f"{path}: not a model file: its header is not JSON") from None
    if not isinstance(header, dict):
        raise ModelError(f"{path}: not a model file: its header is not a mapping")
    return header


def card_of(header: Mapping[str, Any], path: Path) -> ModelCard:
    """Check the card in a header.

    Raises:
        ModelError: there is none, or it is damaged.
    """
    metadata = header.get("__metadata__")
    text = metadata.get(CARD) if isinstance(metadata, dict) else None
    if not isinstance(text, str):
        raise ModelError(f"{path}: has no model card (metadata field {CARD}); write it with save()")
    try:
        return ModelCard.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "card"
        message = first["msg"].removeprefix("Value error, ")
        raise ModelError(f"{path}: model card, {field}: {message}") from None
