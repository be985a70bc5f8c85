"""Built-in models, by name."""

from __future__ import annotations

import difflib
from pathlib import Path

from geocamss.errors import ModelError

__all__ = ["DEFAULT", "names", "path", "resolve"]

DEFAULT = "aerial-landcover"
"""The model that is taken where none is named."""

_SUFFIX = ".safetensors"
_FOLDER = Path(__file__).parent / "weights"


def names() -> tuple[str, ...]:
    """Names of the models that ship with the package, sorted."""
    return tuple(sorted(file.name.removesuffix(_SUFFIX) for file in _FOLDER.glob(f"*{_SUFFIX}")))


def path(name: str) -> Path:
    """The file of a built-in model.

    Raises:
        ModelError: there is none of this name; the message has the nearest one.
    """
    known = names()
    if name in known:
        return _FOLDER / f"{name}{_SUFFIX}"
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known) or 'none'}"
    raise ModelError(f"no model is named {name!r}; {hint} A file is given with its path")


def resolve(name_or_path: str | Path) -> Path:
    """The file of a built-in model, or of one's own.

    What looks like a path, or is one, is taken as one.

    Raises:
        ModelError: there is no such file, or no model of this name.
    """
    as_path = Path(name_or_path)
    text = str(name_or_path)
    if isinstance(name_or_path, str) and text in names():
        return path(text)
    if as_path.is_file():
        return as_path
    if isinstance(name_or_path, Path) or text.endswith(_SUFFIX) or len(as_path.parts) > 1:
        raise ModelError(f"{text}: there is no such model file")
    return path(text)
