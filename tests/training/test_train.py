"""Training: a recipe and a folder go in, a model file comes out, and a killed run goes on."""

from __future__ import annotations

import itertools
import math
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
import yaml
from rasterio.errors import NotGeoreferencedWarning

from geocamss.cli.main import main
from geocamss.errors import GeocamssWarning, OutputError, RecipeError
from geocamss.evaluation.scores import Scores
from geocamss.models import checkpoint, registry
from geocamss.models.header import read_card
from geocamss.models.segmenter import Sampling
from geocamss.training import loop as loop_module
from geocamss.training import train as train_module
from geocamss.training.calibration import calibrate
from geocamss.training.evaluation import map_image, score_images
from geocamss.training.objective import CamssObjective
from geocamss.training.recipe import Recipe, load_recipe
from geocamss.training.sources import load_source
from geocamss.training.state import alone
from geocamss.training.train import train
from tests.conftest import ROOT

COLORS = {"sand": (10, 20, 30), "sea": (200, 100, 0)}

TINY = {
    "stride": 8,
    "pyramid": [8, 8, 16],
    "blocks": [0, 1, 1],
    "latent": 4,
    "width": 16,
    "layers": 1,
    "heads": 1,
    "head_width": 16,
    "head_layers": 1,
    "tokenizer": [8, 8],
    "decoder": [8, 8, 16],
}


def paint(folder: Path, seed: int) -> None:
    """A bright half and a dark half, divided by a random line; and their mask."""
    rng = np.random.default_rng(seed)
    angle, size = rng.uniform(0, 2 * math.pi), 96
    down, right = np.mgrid[:size, :size] / size - 0.5
    sea = down * math.sin(angle) + right * math.cos(angle) > 0
    image = np.where(sea, 60, 190) + rng.normal(0, 10, (3, size, size))
    mask = np.empty((3, size, size), np.uint8)
    for name, where in (("sea", sea), ("sand", ~sea)):
        mask[:, where] = np.array(COLORS[name])[:, None]
    mask[:, :4] = 0  # unlabeled
    for kind, pixels in (("images", image.clip(0, 255).astype(np.uint8)), ("masks", mask)):
        path = folder / kind / f"{seed}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        with (
            pytest.warns(NotGeoreferencedWarning),
            rasterio.open(
                path, "w", driver="PNG", width=size, height=size, count=3, dtype="uint8"
            ) as dataset,
        ):
            dataset.write(pixels)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for seed in range(4):
        paint(folder / "train", seed)
    paint(folder / "held-out", 9)
    return folder


def source(folder: str) -> dict:
    colors = {name: "#{:02x}{:02x}{:02x}".format(*color) for name, color in COLORS.items()}
    return {
        "kind": "pairs",
        "name": folder,
        "license": "CC0-1.0",
        "folders": [folder],
        "images": "images/*.png",
        "colors": colors,
    }


def recipe_file(folder: Path, *, stages: list[dict] | None = None, **training) -> Path:
    content = {
        "card": {
            "name": "shore",
            "bands": ["red", "green", "blue"],
            "gsd": 1.0,
            "scale": 1 / 255,
            "mean": 0.5,
            "std": 0.25,
            "classes": list(COLORS),
            "chip": 64,
            "overlap": 16,
        },
        "model": TINY,
        "sources": [source("train")],
        "validation": [source("held-out")],
        "training": {
            "minutes": 1000,
            "batch": 2,
            "chip": 32,
            "epoch": 2,
            "warmup": 2,
            "learning_rate": 0.01,
            "ema": 0.8,
        }
        | training,
    }
    if stages is not None:
        content["stages"] = stages
    path = folder / "shore.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def recipe_of(path: Path) -> Recipe:
    return load_recipe(path)


def test_training_learns_and_writes_a_complete_model(tmp_path, data):
    path = recipe_file(tmp_path, max_steps=60, epoch=30)
    out = tmp_path / "shore.safetensors"
    result = train(recipe_of(path), path, out, data=data)
    assert result.steps == len(result.losses) == 60
    assert np.mean(result.losses[-10:]) < 0.7 * np.mean(result.losses[:10])
    card = read_card(out)
    assert card == result.card
    assert [source.license for source in card.training] == ["CC0-1.0"]
    assert card.geocamss
    assert sorted(file.name for file in tmp_path.iterdir()) == ["shore.safetensors", "shore.yaml"]
    # The numbers in the card are those of the file.
    segmenter = checkpoint.load(out, torch.device("cpu"))
    images = load_source(recipe_of(path).validation[0], card, data)
    found = score_images(segmenter, images, Sampling())
    assert abs(found.miou - card.metrics["validation_miou"]) < 0.01
    assert found.miou > 0.8
    again = calibrate(segmenter, images)
    assert again.temperature == pytest.approx(card.temperature, rel=0.05)
    assert again.ece == pytest.approx(card.metrics["validation_ece"], abs=0.005)
    assert 0 < card.metrics["validation_ece"] < 0.2


def test_balancing_changes_the_last_bias_alone(tmp_path, data):
    weights = {}
    for balanced in (False, True):
        path = recipe_file(tmp_path, max_steps=4, class_power=1.0, balanced=balanced)
        out = tmp_path / f"{balanced}.safetensors"
        train(recipe_of(path), path, out, data=data)
        weights[balanced] = checkpoint.load_network(out)[0].state_dict()
    changed = [
        name
        for name, tensor in weights[True].items()
        if not torch.equal(tensor, weights[False][name])
    ]
    assert changed == ["decoder.leave.0.bias"]


def test_a_class_that_nothing_is_labeled_as_is_missed(tmp_path, data):
    path = recipe_file(tmp_path, max_steps=1)
    content = yaml.safe_load(path.read_text())
    content["card"]["classes"].append("snow")
    path.write_text(yaml.safe_dump(content))
    with pytest.warns(GeocamssWarning, match="no source has a pixel labeled snow"):
        train(recipe_of(path), path, tmp_path / "shore.safetensors", data=data)


def happening(patch, steps: int, event: Callable[[], None], objective: type = CamssObjective):
    """Let something happen after so many steps, as the next one begins."""
    plain, calls = objective.losses, []

    def losses(self, network, batch, generator):
        if len(calls) == steps:
            event()
        calls.append(batch)
        return plain(self, network, batch, generator)

    patch.setattr(objective, "losses", losses)


@contextmanager
def power_cut(
    monkeypatch: pytest.MonkeyPatch, steps: int, objective: type = CamssObjective
) -> Iterator[None]:
    """Training that dies after so many steps, as the next one begins."""

    def die():
        raise RuntimeError("power cut")

    with monkeypatch.context() as patch:
        happening(patch, steps, die, objective)
        with pytest.raises(RuntimeError, match="power cut"):
            yield


def same_weights(path: Path, other: Path) -> bool:
    mine, theirs = (checkpoint.load_network(file)[0].state_dict() for file in (path, other))
    return all(torch.equal(mine[name], tensor) for name, tensor in theirs.items())


def test_a_killed_run_resumes_to_the_same_losses(tmp_path, data, monkeypatch):
    path = recipe_file(tmp_path, max_steps=7)
    whole = train(recipe_of(path), path, tmp_path / "whole.safetensors", data=data)
    out = tmp_path / "cut.safetensors"
    with power_cut(monkeypatch, 5):
        train(recipe_of(path), path, out, data=data)
    assert not out.exists()
    # Two epochs of two steps were complete: the run goes on with the fifth step.
    rest = train(recipe_of(path), path, out, data=data, resume=True)
    assert rest.steps == 7
    assert rest.losses == whole.losses[4:]
    assert same_weights(out, whole.path)


KILLED = """
import os, signal, sys
from pathlib import Path
import pytest, torch
from geocamss.training.recipe import load_recipe
from geocamss.training.train import train
from tests.training.test_train import happening

torch.set_num_threads(int(sys.argv[1]))
path, out, data = map(Path, sys.argv[2:])
happening(pytest.MonkeyPatch(), 5, lambda: os.kill(os.getpid(), signal.SIGKILL))
train(load_recipe(path), path, out, data=data)
"""
"""A run that the system kills after five steps: nothing of it can clean up."""


@pytest.mark.slow
def test_a_process_that_is_killed_outright_can_be_resumed(tmp_path, data):
    path = recipe_file(tmp_path, max_steps=7)
    whole = train(recipe_of(path), path, tmp_path / "whole.safetensors", data=data)
    out = tmp_path / "cut.safetensors"
    call = [sys.executable, "-c", KILLED, *map(str, (torch.get_num_threads(), path, out, data))]
    assert subprocess.run(call, cwd=ROOT, check=False).returncode == -signal.SIGKILL
    assert not out.exists()
    rest = train(recipe_of(path), path, out, data=data, resume=True)
    assert rest.losses == whole.losses[4:]
    assert same_weights(out, whole.path)


@pytest.mark.parametrize("steps", [1, 5, 7])
def test_the_state_is_written_within_an_epoch_too(tmp_path, data, monkeypatch, steps):
    validated = []

    def scored(*given):
        validated.append(given)
        return score_images(*given)

    monkeypatch.setattr(loop_module, "score_images", scored)
    path = recipe_file(tmp_path, max_steps=8, epoch=3)
    whole = train(recipe_of(path), path, tmp_path / "whole.safetensors", data=data)
    out = tmp_path / "cut.safetensors"
    monkeypatch.setattr(loop_module, "SAVE_EVERY", 0)  # after every step
    monkeypatch.setattr(loop_module, "SAVE_SHARE", math.inf)
    with power_cut(monkeypatch, steps):
        train(recipe_of(path), path, out, data=data)
    rest = train(recipe_of(path), path, out, data=data, resume=True)
    assert rest.steps == 8
    assert rest.losses == whole.losses[steps:]
    assert rest.scores == whole.scores
    assert same_weights(out, whole.path)
    assert len(validated) == 2 * 3  # epochs end where they would have ended


def test_a_run_killed_in_its_first_step_can_be_resumed(tmp_path, data, monkeypatch):
    path = recipe_file(tmp_path, max_steps=3)
    whole = train(recipe_of(path), path, tmp_path / "whole.safetensors", data=data)
    out = tmp_path / "cut.safetensors"
    with power_cut(monkeypatch, 0):
        train(recipe_of(path), path, out, data=data)
    assert train(recipe_of(path), path, out, data=data, resume=True).losses == whole.losses


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C as in a terminal, also where the tests run in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_that_can_be_resumed(tmp_path, data, monkeypatch, capsys, number):
    path, out = recipe_file(tmp_path, max_steps=4), tmp_path / "out.safetensors"
    call = ["train", str(path), "--data", str(data), "-o", str(out)]
    handlers = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    with monkeypatch.context() as patch:
        happening(patch, 3, lambda: signal.raise_signal(number))
        assert main(call) == 130
    said = capsys.readouterr().err
    assert "interrupted: training was stopped at step 3" in said
    assert "up to step 2 is kept" in said
    assert "--resume" in said
    assert handlers == [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    assert main([*call, "--resume"]) == 0
    whole = train(recipe_of(path), path, tmp_path / "whole.safetensors", data=data)
    assert same_weights(out, whole.path)


def test_a_state_of_another_run_is_refused(tmp_path, data, monkeypatch):
    folder = tmp_path / "data"
    shutil.copytree(data, folder)
    path, out = recipe_file(tmp_path, max_steps=4), tmp_path / "out.safetensors"
    with power_cut(monkeypatch, 3):
        train(recipe_of(path), path, out, data=folder)
    other = recipe_file(tmp_path, max_steps=4, learning_rate=0.02)
    with pytest.raises(RecipeError, match=r"training\.learning_rate was 0.01, now 0.02"):
        train(recipe_of(other), path, out, data=folder, resume=True)
    path = recipe_file(tmp_path, max_steps=5, minutes=900)  # another budget is none
    paint(folder / "train", 77)
    with pytest.raises(RecipeError, match=r"labels\.training\.sand was \d+, now"):
        train(recipe_of(path), path, out, data=folder, resume=True)
    for kind in ("images", "masks"):
        (folder / "train" / kind / "77.png").unlink()
    monkeypatch.setattr(loop_module, "__version__", "9.9")
    with pytest.warns(GeocamssWarning, match="this is 9.9"):
        result = train(recipe_of(path), path, out, data=folder, resume=True)
    assert result.steps == 5


def test_two_runs_do_not_write_the_same_model(tmp_path, data):
    path, out = recipe_file(tmp_path, max_steps=1), tmp_path / "out.safetensors"
    with alone(out), pytest.raises(OutputError, match="another training"):
        train(recipe_of(path), path, out, data=data)
    assert train(recipe_of(path), path, out, data=data).steps == 1


def test_scores_that_are_no_numbers_do_not_keep_what_nothing_has_taught(
    tmp_path, data, monkeypatch
):
    nothing = (math.nan,) * 2
    unscored = Scores(nothing, nothing, nothing, nothing, math.nan, math.nan)
    monkeypatch.setattr(loop_module, "score_images", lambda *_: unscored)
    outs = [tmp_path / "best.safetensors", tmp_path / "last.safetensors"]
    for out, keep in zip(outs, ("best", "last"), strict=True):
        path = recipe_file(tmp_path, max_steps=4, keep=keep)
        train(recipe_of(path), path, out, data=data)
    assert same_weights(*outs)


@pytest.mark.parametrize("patience", [None, 1])
def test_a_run_killed_at_its_end_keeps_its_best_and_takes_no_step_more(
    tmp_path, data, monkeypatch, patience
):
    found = itertools.cycle([0.9, 0.5])  # the best is far behind when the power goes

    def worse(*_):
        score = next(found)
        return Scores((score,) * 2, (math.nan, score), (score,) * 2, (score,) * 2, score, score)

    monkeypatch.setattr(loop_module, "score_images", worse)
    last = tmp_path / "last.safetensors"
    path = recipe_file(tmp_path, max_steps=4, keep="last")
    train(recipe_of(path), path, last, data=data)
    path = recipe_file(tmp_path, max_steps=4, patience=patience)
    out = tmp_path / "cut.safetensors"
    best = tmp_path / "best.safetensors"

    def cut(network, card, _):
        checkpoint.save(network.state_dict(), card, best)
        raise RuntimeError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr(train_module, "_export", cut)
        with pytest.raises(RuntimeError, match="power cut"):
            train(recipe_of(path), path, out, data=data)
    rest = train(recipe_of(path), path, out, data=data, resume=True)
    assert rest.steps == 4
    assert rest.losses == ()
    assert same_weights(out, best)
    assert not same_weights(out, last)


STAGES = [{"training": {"max_steps": 4}}, {"training": {"max_steps": 5, "learning_rate": 0.002}}]


def test_stages_are_trainings_that_start_from_each_other(tmp_path, data):
    path = recipe_file(tmp_path, stages=STAGES)
    whole = train(recipe_of(path), path, tmp_path / "whole.safetensors", data=data)
    start, losses = None, ()
    for number, stage in enumerate(STAGES):
        # No stage repeats the random numbers of the one before.
        part = recipe_file(tmp_path, seed=7919 * number, **stage["training"])
        out = tmp_path / f"{number}.safetensors"
        result = train(recipe_of(part), part, out, data=data, start_from=start)
        start, losses = out, losses + result.losses
    assert whole.steps == 9
    assert whole.losses == losses
    one, _ = checkpoint.load_network(whole.path)
    other, _ = checkpoint.load_network(out)
    for name, tensor in other.state_dict().items():
        assert torch.equal(one.state_dict()[name], tensor), name
    left = {file.name for file in tmp_path.iterdir()}
    assert left == {"whole.safetensors", "0.safetensors", "1.safetensors", "shore.yaml"}


def test_a_later_stage_may_teach_a_one_step_head(tmp_path, data):
    stages = [*STAGES, {"training": {"max_steps": 4, "rehearsed": 1.0}, "one_step": True}]
    path = recipe_file(tmp_path, stages=stages)
    recipe = recipe_of(path)
    assert [part.model.one_step for part in recipe.parts()] == [False, False, True]
    result = train(recipe, path, tmp_path / "two.safetensors", data=data)
    network, card = checkpoint.load_network(result.path)
    assert network.student is not None
    assert network.student.out.weight.abs().max() > 0  # where it begins
    assert card.parameters["one_step"] is True
    segmenter = checkpoint.load(result.path)
    (item,) = load_source(recipe.validation[0], card, data)
    maps = [
        map_image(segmenter, item, Sampling(1, seed=seed, sampler="one-step")) for seed in (0, 0, 1)
    ]
    assert torch.equal(maps[0], maps[1])
    assert not torch.equal(maps[0], maps[2])
    with pytest.raises(RecipeError, match=r"stages\.0"):
        recipe_of(recipe_file(tmp_path, stages=[{"one_step": "maybe"}]))


@pytest.mark.parametrize("steps", [4, 5, 8])
def test_a_run_killed_in_its_second_stage_resumes_there(tmp_path, data, monkeypatch, steps):
    path = recipe_file(tmp_path, stages=STAGES)
    whole = train(recipe_of(path), path, tmp_path / "whole.safetensors", data=data)
    out = tmp_path / "cut.safetensors"
    with power_cut(monkeypatch, steps):
        train(recipe_of(path), path, out, data=data)
    assert not out.exists()
    rest = train(recipe_of(path), path, out, data=data, resume=True)
    assert rest.losses == whole.losses[4 + (steps - 4) // 2 * 2 :]
    assert {file.name for file in tmp_path.iterdir()} == {
        "whole.safetensors",
        "cut.safetensors",
        "shore.yaml",
    }


def test_a_stage_of_another_run_is_not_taken_for_ones_own(tmp_path, data, monkeypatch):
    path, out = recipe_file(tmp_path, stages=STAGES), tmp_path / "out.safetensors"
    with power_cut(monkeypatch, 5):
        train(recipe_of(path), path, out, data=data)
    assert (tmp_path / "out.stage1.safetensors").exists()
    other = recipe_file(tmp_path, stages=STAGES, batch=3)
    with pytest.raises(RecipeError, match=r"stage1\.safetensors.*training\.batch was 2, now 3"):
        train(recipe_of(other), other, out, data=data, resume=True)
    # A run of its own forgets it.
    with power_cut(monkeypatch, 1):
        train(recipe_of(other), other, out, data=data)
    assert not (tmp_path / "out.stage1.safetensors").exists()


def test_what_a_later_stage_lacks_is_missed_before_the_first(tmp_path, data):
    stages = [STAGES[0], {"sources": {"train": {"folders": ["nowhere"]}}}]
    path, out = recipe_file(tmp_path, stages=stages), tmp_path / "out.safetensors"
    with pytest.raises(RecipeError, match=r"stages\.1: .*nowhere"):
        train(recipe_of(path), path, out, data=data)
    assert [file.name for file in tmp_path.iterdir()] == ["shore.yaml"]


def test_nothing_to_resume_from_is_an_error(tmp_path, data):
    path = recipe_file(tmp_path, max_steps=2)
    with pytest.raises(RecipeError, match="no training state to resume from"):
        train(recipe_of(path), path, tmp_path / "new.safetensors", data=data, resume=True)


def test_time_ends_a_run_too(tmp_path, data):
    path = recipe_file(tmp_path, minutes=0.01, max_steps=100_000)
    result = train(recipe_of(path), path, tmp_path / "short.safetensors", data=data)
    assert 1 <= result.steps < 1000


def test_missing_data_are_named_before_training(tmp_path):
    path = recipe_file(tmp_path)
    with pytest.raises(RecipeError, match="no file images"):
        train(recipe_of(path), path, tmp_path / "x.safetensors", data=tmp_path)
    with pytest.raises(RecipeError, match="--data"):
        train(recipe_of(path), path, tmp_path / "x.safetensors", data=tmp_path / "none")


def test_a_run_can_start_from_a_model_of_the_same_shape(tmp_path, data):
    path = recipe_file(tmp_path, max_steps=30, epoch=30)
    first = train(recipe_of(path), path, tmp_path / "first.safetensors", data=data)
    again = train(
        recipe_of(path), path, tmp_path / "again.safetensors", data=data, start_from=first.path
    )
    assert np.mean(again.losses[:5]) < 0.8 * np.mean(first.losses[:5])


def test_a_model_of_another_shape_is_no_start(tmp_path, data):
    path = recipe_file(tmp_path)
    shipped = registry.path(registry.DEFAULT)
    with pytest.raises(RecipeError, match=r"encoder\.\S+ does not have the size"):
        train(recipe_of(path), path, tmp_path / "x.safetensors", data=data, start_from=shipped)


def test_a_run_can_start_from_a_model_of_other_bands_and_classes(tmp_path, data):
    path = recipe_file(tmp_path, max_steps=2)
    first = train(recipe_of(path), path, tmp_path / "first.safetensors", data=data)
    content = yaml.safe_load(path.read_text())
    content["card"]["classes"].append("sky")
    path.write_text(yaml.safe_dump(content))
    with pytest.warns(GeocamssWarning, match="sky"):
        train(recipe_of(path), path, tmp_path / "b.safetensors", data=data, start_from=first.path)
    assert read_card(tmp_path / "b.safetensors").classes.names[-1] == "sky"


def test_training_ends_when_it_gets_no_better(tmp_path, data):
    # Nothing is learned, so that no validation is better than the first.
    path = recipe_file(tmp_path, max_steps=1000, epoch=2, learning_rate=1e-12, patience=2)
    result = train(recipe_of(path), path, tmp_path / "x.safetensors", data=data)
    assert result.steps == 6


def test_losses_and_scores_are_written_for_tensorboard(tmp_path, data):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    path = recipe_file(tmp_path, max_steps=2, balanced=False)
    out, log = tmp_path / "x.safetensors", tmp_path / "log"
    result = train(recipe_of(path), path, out, data=data, log=log)
    events = EventAccumulator(str(log))
    events.Reload()
    losses = [events.Scalars(tag)[0].value for tag in events.Tags()["scalars"] if "loss" in tag]
    assert sum(losses) == pytest.approx(result.losses[0], rel=1e-4)
    assert events.Scalars("validation/miou")[-1].value == pytest.approx(result.scores.miou)
