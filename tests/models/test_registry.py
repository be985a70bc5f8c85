"""Built-in models by name, and files by path."""

from __future__ import annotations

from pathlib import Path

import pytest

from geocamss.errors import ModelError
from geocamss.models import registry
from geocamss.models.header import read_card


def test_every_built_in_model_has_a_card_of_its_name_and_is_small():
    assert registry.DEFAULT in registry.names()
    for name in registry.names():
        path = registry.path(name)
        card = read_card(path)
        assert card.name == name
        assert card.license
        assert all(source.license for source in card.training)
        assert path.stat().st_size <= 16 << 20


def test_names_are_resolved_before_files():
    assert registry.resolve(registry.DEFAULT) == registry.path(registry.DEFAULT)


def test_a_file_is_resolved_to_itself(tmp_path):
    path = tmp_path / "own.safetensors"
    path.write_bytes(b"anything")
    assert registry.resolve(path) == path
    assert registry.resolve(str(path)) == path


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(ModelError, match="did you mean 'aerial-landcover'"):
        registry.resolve("arial-landcover")
    with pytest.raises(ModelError, match=r"there are: .*aerial-landcover"):
        registry.resolve("xyz")


@pytest.mark.parametrize("given", ["weights/none.safetensors", "none.safetensors", Path("none")])
def test_a_missing_file_is_named(given):
    with pytest.raises(ModelError, match="no such model file"):
        registry.resolve(given)
