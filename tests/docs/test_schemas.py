"""The reference of card and recipes is whole: each model that they hold has its table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel

from docs.schemas import PLACE, on_page_markdown
from geocamss.modelcard import ModelCard
from geocamss.training.pretrain.recipe import PretrainRecipe
from geocamss.training.recipe import Recipe
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "reference" / "schemas.md").read_text(encoding="utf-8")


def models(kind: Any) -> Iterator[type[BaseModel]]:
    """A model, and those that its fields hold, all the way down."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield kind
        for field in kind.model_fields.values():
            yield from models(field.annotation)
    for part in get_args(kind):
        yield from models(part)


def test_every_model_in_a_card_or_a_recipe_has_its_table():
    wanted = {model for kind in (ModelCard, Recipe, PretrainRecipe) for model in models(kind)}
    drawn = {(found["module"], found["name"]) for found in PLACE.finditer(PAGE)}
    assert drawn == {(model.__module__, model.__name__) for model in wanted}


def test_the_tables_have_every_field():
    page = on_page_markdown(PAGE)
    for kind in (ModelCard, Recipe, PretrainRecipe):
        for model in models(kind):
            for name in model.model_fields:
                assert f"\n| `{name}` | " in page
