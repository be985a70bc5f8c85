"""Training state on disk without pickle: tensors as safetensors, everything else as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lightning.fabric.plugins.io.checkpoint_io import CheckpointIO
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from geocamss.errors import RecipeError
from geocamss.whole import whole

__all__ = ["SafetensorsIO"]

_TENSOR = "$tensor"
_PAIRS = "$pairs"


class SafetensorsIO(CheckpointIO):
    """Lightning's checkpoints, as one safetensors file with a JSON header."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write a checkpoint; the file appears under its name when it is complete."""
        del storage_options
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        tensors: dict[str, Tensor] = {}
        tree = _flatten(checkpoint, tensors)
        with whole(target) as part:
            save_file(tensors, part, metadata={"state": json.dumps(tree)})

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: Any = None
    ) -> dict[str, Any]:
        """Read a checkpoint.

        Raises:
            RecipeError: the file is not such a checkpoint.
        """
        del map_location, weights_only
        try:
            with safe_open(path, framework="pt") as file:
                tree = json.loads((file.metadata() or {})["state"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (safetensors' own, no dict)
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise RecipeError(f"{path}: no training state to resume from: {error}") from None
        state: dict[str, Any] = _unflatten(tree, tensors)
        return state

    def remove_checkpoint(self, path: Any) -> None:
        """Delete a checkpoint."""
        Path(path).unlink(missing_ok=True)


def _flatten(node: Any, tensors: dict[str, Tensor]) -> Any:
    """A tree that JSON can hold; tensors go into ``tensors`` under a number."""
    if isinstance(node, Tensor):
        name = str(len(tensors))
        # A copy: safetensors refuses tensors that share memory.
        tensors[name] = node.detach().cpu().contiguous().clone()
        return {_TENSOR: name}
    if isinstance(node, dict):
        # As pairs: JSON would turn the optimizer's integer keys into text.
        return {_PAIRS: [[key, _flatten(value, tensors)] for key, value in node.items()]}
    if isinstance(node, (list, tuple)):
        return [_flatten(value, tensors) for value in node]
    return node


def _unflatten(node: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(node, dict):
        if _TENSOR in node:
            return tensors[node[_TENSOR]]
        return {key: _unflatten(value, tensors) for key, value in node[_PAIRS]}
    if isinstance(node, list):
        return [_unflatten(value, tensors) for value in node]
    return node
