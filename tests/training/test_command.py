"""``geocamss train`` from the outside."""

from __future__ import annotations

import json

from click.testing import CliRunner

from geocamss.cli.train import train
from geocamss.errors import ModelError, OutputError, RecipeError
from geocamss.models.header import read_card
from tests.training.test_train import data, recipe_file

__all__ = ["data"]


def call(*arguments: object):
    return CliRunner().invoke(train, [str(a) for a in arguments])


def test_a_recipe_and_a_folder_make_a_model(tmp_path, data):
    recipe, out = recipe_file(tmp_path), tmp_path / "m.safetensors"
    result = call(recipe, "-o", out, "--data", data, "--max-steps", 3)
    assert result.exit_code == 0, result.output
    assert f"{out}: 3 steps" in result.output
    assert "validation_miou: 0." in result.output
    assert read_card(out).name == "shore"


def test_programs_are_told_in_json_and_the_quiet_nothing(tmp_path, data, caplog):
    recipe, out = recipe_file(tmp_path), tmp_path / "m.safetensors"
    result = call(recipe, "-o", out, "--data", data, "--max-steps", 2, "--json", "-q")
    told = json.loads(result.stdout)
    assert (told["path"], told["steps"]) == (str(out), 2)
    assert told["metrics"] == read_card(out).metrics
    assert not [record for record in caplog.records if record.name.startswith("geocamss")]
    result = call(recipe, "-o", out, "--data", data, "--max-steps", 2, "-q", "--overwrite")
    assert (result.exit_code, result.output) == (0, "")


def test_mistakes_are_found_before_any_work(tmp_path):
    recipe, out = recipe_file(tmp_path), tmp_path / "m.safetensors"
    out.write_bytes(b"precious")
    for arguments, kind, words in (
        ((recipe, "-o", out), OutputError, "--overwrite"),
        ((tmp_path / "none.yaml",), RecipeError, "none.yaml: cannot be read"),
        ((recipe, "--start-from", "arial-landcover"), ModelError, "did you mean"),
    ):
        result = call(*arguments)
        assert isinstance(result.exception, kind)
        assert words in str(result.exception)
    assert out.read_bytes() == b"precious"
