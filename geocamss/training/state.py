"""Training state on disk without pickle: tensors as safetensors, everything else as JSON.

A state belongs to the run that it was written by: to its file, which one run writes at a time, and
to its settings.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightning.fabric.plugins.io.checkpoint_io import CheckpointIO
from pydantic import BaseModel
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from geocamss.errors import RecipeError
from geocamss.output.lock import take_lock
from geocamss.whole import whole

__all__ = ["SafetensorsIO", "alone", "check_same", "settings_of"]

BUDGET = {"minutes", "max_steps"}
"""What may be changed when a run is resumed."""

LONGEST = 60
"""Letters of a value in a message, at most."""

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


@contextmanager
def alone(out: Path) -> Iterator[None]:
    """Keep other runs from writing a model, its state and its stages meanwhile.

    Raises:
        OutputError: another run does so now.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    file = out.with_name(f".{out.name}.lock")
    lock = take_lock(file, out, "training")
    try:
        yield
    finally:
        file.unlink(missing_ok=True)
        lock.close()


def settings_of(recipe: BaseModel) -> dict[str, Any]:
    """What a recipe says that a resumed run must not change, as JSON has it."""
    settings = recipe.model_dump(mode="json", exclude={"data": True, "training": BUDGET})
    # As it comes back from a file: without tuples.
    return dict(json.loads(json.dumps(settings)))


def check_same(ours: Any, theirs: Any, where: str) -> None:
    """Refuse a state of other settings.

    Raises:
        RecipeError: names the first field that differs.
    """
    found = _difference(ours, theirs, "")
    if found is not None:
        raise RecipeError(
            f"{where}: is what another run left: {found}; undo that to go on, or train anew "
            "without --resume"
        )


def _difference(ours: Any, theirs: Any, field: str) -> str | None:
    """The first field that differs, and how; None if there is none."""
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        named = [
            (name, ours.get(name), theirs.get(name)) for name in dict.fromkeys([*ours, *theirs])
        ]
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        named = [(number, *both) for number, both in enumerate(zip(ours, theirs, strict=True))]
    else:
        return (
            None if ours == theirs else f"{field or 'all'} was {_short(theirs)}, now {_short(ours)}"
        )
    found = (_difference(mine, other, f"{field}.{name}".strip(".")) for name, mine, other in named)
    return next((difference for difference in found if difference is not None), None)


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
