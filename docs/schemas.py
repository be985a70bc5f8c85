"""Fills the reference of card and recipe from the code: one table a model, one row a field."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import import_module
from itertools import pairwise
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from geocamss.classes import ClassScheme

WORDS = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    Any: "anything",
    ClassScheme: "list of names, or of mappings with value, name and color",
}

PLACE = re.compile(r"^::schema (?P<module>[\w.]+):(?P<name>\w+)$", re.MULTILINE)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put tables where a page asks for them."""
    return PLACE.sub(lambda found: table(found["module"], found["name"]), markdown)


def table(module: str, name: str) -> str:
    """The fields of a pydantic model as a Markdown table."""
    model = getattr(import_module(module), name)
    if not issubclass(model, BaseModel):
        raise TypeError(f"{module}.{name} is no pydantic model")
    meanings = field_docs(model)
    rows = [
        f"| `{field}` | {kind(info.annotation)} | {default(info)} | {meanings.get(field, '')} |"
        for field, info in model.model_fields.items()
    ]
    return "\n".join(["| field | type | default | meaning |", "|---|---|---|---|", *rows])


def kind(annotation: Any) -> str:
    """A type in words, as YAML and JSON have it; not whether it may be left out."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in parts)
    if origin is Annotated:
        return kind(parts[0])
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(kind(part) for part in parts if part is not NoneType))
    if origin in (tuple, list):
        count = f"{len(parts)} " if origin is tuple and parts[-1] is not ... else ""
        return f"list of {count}{kind(parts[0])}s"
    if origin in (dict, Mapping):
        return f"mapping of {' to '.join(map(kind, parts))}"
    is_model = isinstance(annotation, type) and issubclass(annotation, BaseModel)
    return "mapping" if is_model else WORDS[annotation]


def default(info: Any) -> str:
    """A default as it would be written."""
    if info.is_required():
        return "required"
    value = info.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return "see there"
    return f"`{value}`" if value not in (None, "", (), {}) else ""


def field_docs(model: type[BaseModel]) -> dict[str, str]:
    """The string that stands under each field in the source, in one line."""
    import ast
    import inspect
    import textwrap

    found: dict[str, str] = {}
    for owner in reversed(model.__mro__):
        if not (isinstance(owner, type) and issubclass(owner, BaseModel)) or owner is BaseModel:
            continue
        body = ast.parse(textwrap.dedent(inspect.getsource(owner))).body[0]
        nodes = body.body if isinstance(body, ast.ClassDef) else []
        for node, after in pairwise(nodes):
            if (
                isinstance(node, ast.AnnAssign)
                and isinstance(node.target, ast.Name)
                and isinstance(after, ast.Expr)
                and isinstance(after.value, ast.Constant)
            ):
                found[node.target.id] = " ".join(str(after.value.value).split()).replace("|", "\\|")
    return found
