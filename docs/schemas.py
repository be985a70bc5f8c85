"""Fills the reference of card and recipe from the code: one table a model, one row a field."""

from __future__ import annotations

import re
from importlib import import_module
from itertools import pairwise
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

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
    """A type in words."""
    words = {"NoneType": "none", "str": "text", "int": "whole number", "float": "number"}
    words |= {"bool": "true or false", "dict": "mapping", "tuple": "list"}
    literal = str(annotation).startswith("typing.Literal")
    if literal:
        return " or ".join(f"`{value}`" for value in get_args(annotation))
    names = re.findall(r"[A-Za-z_]\w*", str(annotation))
    known = [words[name] for name in names if name in words]
    name = getattr(annotation, "__name__", "")
    return " of ".join(dict.fromkeys(known)) or words.get(name, name) or "see there"


def default(info: Any) -> str:
    """A default as it would be written."""
    if info.is_required():
        return "required"
    value = info.default
    if value is PydanticUndefined or isinstance(value, BaseModel):
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
