"""Recipes are checked whole, and errors name the field."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import yaml

from geocamss.errors import RecipeError
from geocamss.training.recipe import (
    Training,
    changed,
    data_folder,
    learning_rate,
    load_recipe,
    progress,
)
from tests.conftest import ROOT

SHIPPED = sorted((ROOT / "recipes").glob("*.yaml"))

MINIMAL = {
    "card": {"bands": ["red", "green", "blue"], "gsd": 1.0, "classes": ["land", "water"]},
    "sources": [
        {"kind": "pairs", "name": "a", "folders": ["a"], "colors": {"land": "#000001"}},
        {"kind": "simulated", "seeds": [0, 4]},
    ],
    "validation": [{"kind": "simulated", "seeds": [4, 6]}],
}


def written(tmp_path: Path, content: object) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return path


def edited(*keys: object, value: object) -> dict:
    content = copy.deepcopy(MINIMAL)
    node = content
    for key in keys[:-1]:
        node = node.setdefault(key, {}) if isinstance(node, dict) else node[key]
    node[keys[-1]] = value
    return content


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_recipes_are_valid(path):
    recipe = load_recipe(path)
    assert recipe.card_without_results().name == path.stem


def test_a_stage_changes_what_it_names_and_nothing_else(tmp_path):
    content = edited("training", value={"minutes": 9, "augmentation": {"noise": 0.1, "blur": 0}})
    content["stages"] = [
        {},
        {
            "training": {"batch": 2, "augmentation": {"noise": 0.2}},
            "sources": {"a": {"weight": 3}},
        },
    ]
    recipe = load_recipe(written(tmp_path, content))
    first, second = recipe.parts()
    assert first == recipe.model_copy(update={"stages": ()})
    assert (second.training.minutes, second.training.batch) == (9, 2)
    assert (second.training.augmentation.noise, second.training.augmentation.blur) == (0.2, 0)
    assert [source.weight for source in second.sources] == [3, 1]
    assert second.validation == recipe.validation
    assert second.card_without_results() == recipe.card_without_results()
    for part in changed(recipe, minutes=1, max_steps=None).parts():
        assert part.training.minutes == 1


def test_a_model_draws_in_one_step_from_the_stage_on_that_teaches_it(tmp_path):
    content = edited("card", "sampler", value="one-step")
    content["stages"] = [{}, {"one_step": True}, {}]
    recipe = load_recipe(written(tmp_path, content))
    assert recipe.card_without_results().sampler == "one-step"
    drawn = [part.card_without_results().sampler for part in recipe.parts()]
    assert drawn == ["euler", "one-step", "one-step"]
    content["stages"].append({"one_step": False})
    with pytest.raises(RecipeError, match=r"stages\.3: .*card\.sampler: .*one_step: true"):
        load_recipe(written(tmp_path, content))


def test_a_recipe_without_stages_has_one_part(tmp_path):
    recipe = load_recipe(written(tmp_path, MINIMAL))
    assert recipe.parts() == (recipe,)


def test_a_minimal_recipe_is_valid(tmp_path):
    recipe = load_recipe(written(tmp_path, MINIMAL))
    card = recipe.card_without_results()
    assert card.architecture == "camss"
    assert card.parameters == recipe.model.model_dump(mode="json")
    assert [source.name for source in card.training] == ["a", "geocamss simulate"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (edited("trainning", value={}), "trainning: no such field; did you mean 'training'"),
        (edited("training", "minuts", value=3), "training.minuts: no such field.*'minutes'"),
        (edited("training", "minutes", value="long"), r"training\.minutes: .*number"),
        (edited("training", "learning_rate", value="1e-4x"), r"training\.learning_rate"),
        (edited("training", "minutes", value=float("nan")), r"training\.minutes"),
        (edited("training", "chip", value=100), r"training\.chip: .*multiple of 16"),
        (edited("sources", value=[]), "sources"),
        (
            edited("stages", value=[{"training": {"minuts": 3}}]),
            r"stages\.0: training\.minuts: no such field.*'minutes'",
        ),
        (
            edited("stages", value=[{}, {"sources": {"geocams simulate": {}}}]),
            r"stages\.1: no source 'geocams simulate'; did you mean 'geocamss simulate'",
        ),
        (
            edited("stages", value=[{"sources": {"geocamss simulate": {"seeds": [0, 5]}}}]),
            r"stages\.0: .*seed 4 is both in sources and in valid",
        ),
        (edited("sources", 0, "kind", value="zip"), r"sources\.0"),
        (edited("sources", 0, "colors", value={"land": "red"}), r"sources\.0\.colors\.land"),
        (edited("sources", 0, "colors", value={"watr": "#000000"}), "'watr'.*did you mean 'water'"),
        (edited("sources", 0, "folders", value=["../other"]), r"sources\.0\.folders.*inside"),
        (edited("sources", 0, "folders", value=["/etc"]), r"sources\.0\.folders.*inside"),
        (edited("sources", 0, "masks", value="../../{stem}.png"), r"sources\.0\.masks.*inside"),
        (edited("sources", 1, "seeds", value=[5, 5]), r"sources\.1: seeds must be"),
        (edited("sources", 1, "seeds", value=[0, 5]), "seed 4 is both in sources and in valid"),
        (edited("card", "gsd", value=-1), "gsd"),
        (edited("card", "architecture", value="module"), r"card\.architecture: contradicts model"),
        (edited("card", "stride", value=32), r"card\.stride: contradicts model"),
        (edited("card", "parameters", value={"width": 64}), r"card\.parameters: contradicts model"),
        (edited("card", "sampler", value="one-step"), r"card\.sampler: .*one_step: true"),
        (edited("card", "chip", value=100), "overlap must be even and at most half of chip"),
        (edited("model", "heads", value=3), r"model: width \(128\) must be a multiple"),
        (edited("model", "depth", value=3), r"model\.depth: no such field"),
        ("- a\n- b\n", "a recipe is a mapping of fields, got list"),
        ("a: [1, 2\n", "is not YAML"),
        ("!!python/object/apply:os.system ['true']", "is not YAML"),
        ("", "a recipe is a mapping of fields, got NoneType"),
    ],
)
def test_errors_name_the_file_and_the_field(tmp_path, content, words):
    path = written(tmp_path, content)
    with pytest.raises(RecipeError, match=words) as error:
        load_recipe(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def test_the_same_folder_in_training_and_validation_is_an_error(tmp_path):
    content = edited("validation", value=[MINIMAL["sources"][0]])
    with pytest.raises(RecipeError, match="a is both in sources and in validation"):
        load_recipe(written(tmp_path, content))


SPLIT = {
    "kind": "torchgeo", "name": "t", "dataset": "LoveDA", "root": "l", "bands": ["red"],
    "options": {"split": "train"}, "values": {"water": 1},
}  # fmt: skip
FILES = {
    "kind": "arrays",
    "name": "n",
    "files": ["a.npz"],
    "bands": ["red"],
    "values": {"water": 1},
}


@pytest.mark.parametrize(
    ("source", "changes"),
    [
        (MINIMAL["sources"][0], {"folders": ["./a/"]}),
        (FILES, {"files": ["b.npz", "./a.npz"]}),
        (SPLIT, {}),
        (SPLIT, {"root": "./l/", "limit": 3}),
    ],
)
def test_the_same_data_are_found_however_they_are_written(tmp_path, source, changes):
    content = edited("sources", value=[source]) | {"validation": [{**source, **changes}]}
    with pytest.raises(RecipeError, match="is both in sources and in validation"):
        load_recipe(written(tmp_path, content))


SCENES = {"kind": "scenes", "name": "s", "scenes": ["a.tif"], "labels": "l.tif"}


@pytest.mark.parametrize(
    ("source", "changes", "words"),
    [
        (MINIMAL["sources"][0], {"colors": {"land": "#0000AB", "water": "#0000ab"}}, "#0000ab"),
        (FILES, {"values": {"water": 1, "land": 1}}, "1"),
        (SPLIT, {"values": {"water": 1, "land": 1}}, "1"),
        (SCENES, {"classes": {"water": [1, "sea"], "land": [2, "1"]}}, "1"),
        (SCENES, {"classes": {"land": "#0000AB", "water": "#0000ab"}}, "#0000ab"),
    ],
)
def test_what_stands_in_labels_means_one_class(tmp_path, source, changes, words):
    content = edited("sources", value=[{**source, **changes}])
    with pytest.raises(RecipeError, match=f"{words} cannot be both '.*' and '.*'"):
        load_recipe(written(tmp_path, content))


def test_another_split_of_a_data_set_is_no_leak(tmp_path):
    other = {**SPLIT, "options": {"split": "val"}}
    load_recipe(written(tmp_path, edited("sources", value=[SPLIT]) | {"validation": [other]}))


def test_missing_and_binary_and_huge_files_are_refused(tmp_path):
    with pytest.raises(RecipeError, match="cannot be read"):
        load_recipe(tmp_path / "none.yaml")
    path = tmp_path / "recipe.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecipeError, match="is not YAML"):
        load_recipe(path)
    path.write_bytes(b"#" * (1 << 21))
    with pytest.raises(RecipeError, match="too long"):
        load_recipe(path)


def test_the_data_folder_is_given_or_in_the_environment_or_the_recipes(tmp_path, monkeypatch):
    for name in ("given", "environment", "own"):
        (tmp_path / name).mkdir()
    path = written(tmp_path, MINIMAL | {"data": "own"})
    recipe = load_recipe(path)
    monkeypatch.delenv("GEOCAMSS_DATA", raising=False)
    assert data_folder(recipe, path, None) == tmp_path / "own"
    monkeypatch.setenv("GEOCAMSS_DATA", str(tmp_path / "environment"))
    assert data_folder(recipe, path, None) == tmp_path / "environment"
    assert data_folder(recipe, path, tmp_path / "given") == tmp_path / "given"
    with pytest.raises(RecipeError, match="give another with --data"):
        data_folder(recipe, path, tmp_path / "none")


@pytest.mark.parametrize("data", ["..", "../beside", "/", "own/../../beside", "link"])
def test_a_recipe_does_not_choose_a_folder_beyond_its_own(tmp_path, monkeypatch, data):
    monkeypatch.delenv("GEOCAMSS_DATA", raising=False)
    beside = tmp_path / "beside"
    for folder in (beside, tmp_path / "recipes" / "own"):
        folder.mkdir(parents=True)
    (tmp_path / "recipes" / "link").symlink_to(beside)
    path = written(tmp_path / "recipes", MINIMAL | {"data": data})
    recipe = load_recipe(path)
    with pytest.raises(RecipeError, match=r"not within the recipe's own.*--data"):
        data_folder(recipe, path, None)
    assert data_folder(recipe, path, beside) == beside


def test_a_recipe_without_any_data_folder_says_how_to_give_one(tmp_path, monkeypatch):
    monkeypatch.delenv("GEOCAMSS_DATA", raising=False)
    path = written(tmp_path, MINIMAL)
    with pytest.raises(RecipeError, match="--data DIR, set GEOCAMSS_DATA"):
        data_folder(load_recipe(path), path, None)


def test_the_budget_can_be_changed_and_nothing_else_is():
    recipe = load_recipe(ROOT / "recipes" / "cloud-mask.yaml")
    other = changed(recipe, minutes=1.5, max_steps=None)
    assert other.training.minutes == 1.5
    assert other.training.max_steps == recipe.training.max_steps
    assert changed(other, minutes=recipe.training.minutes, max_steps=None) == recipe


def test_the_learning_rate_rises_then_falls_to_zero():
    training = Training(minutes=10, max_steps=1000, warmup=100, learning_rate=1e-3)
    rates = [learning_rate(s, progress(s, 0.0, training), training) for s in range(1001)]
    peak = rates.index(max(rates))
    assert 90 <= peak <= 100
    assert rates[:peak] == sorted(rates[:peak])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert rates[-1] == 0
    assert progress(10, 300, training) == 0.5
    assert progress(0, 10_000, training) == 1
