"""Evaluations: the scores are those of the map that predict makes."""

from __future__ import annotations

import json
import math
import shutil
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from click.testing import CliRunner
from torch import Tensor, nn

import geocamss
from geocamss.cli.main import cli
from geocamss.errors import GeocamssWarning, InputError
from geocamss.evaluation import evaluate as evaluate_module
from geocamss.evaluation.calibrate import fit_temperature, write_calibrated
from geocamss.evaluation.evaluation import Evaluation, Part, Spoiled
from geocamss.evaluation.pairs import pairs_of
from geocamss.evaluation.tally import Tally
from geocamss.modelcard import ModelCard
from geocamss.models import checkpoint, registry
from geocamss.models.segmenter import Sampling, Segmenter
from geocamss.request import Request
from geocamss.training.recipe import load_recipe
from geocamss.training.validation import validation_pairs
from tests.evaluation.test_boundary import naive_boundary, naive_near

ROOT = Path(__file__).resolve().parents[2]
PLACE = Affine(1, 0, 500_000, 0, -1, 5_000_000)


class Times(nn.Module):
    """Logits are the channels, times a number: the map is the brightest channel."""

    def __init__(self, factor=0.05):
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


def model(factor=0.05, **card):
    fields = {"bands": ["red", "green", "blue"], "gsd": 1.0, "classes": ["a", "b", "c"]}
    return geocamss.from_module(
        Times(factor), ModelCard(**{**fields, "chip": 64, "overlap": 16, **card})
    )


def write(path: Path, pixels, **options):
    pixels = pixels[None] if pixels.ndim == 2 else pixels
    count, height, width = pixels.shape
    profile = {"driver": "GTiff", "crs": "EPSG:32632", "transform": PLACE, **options}
    with rasterio.open(
        path, "w", count=count, height=height, width=width, dtype=pixels.dtype.name, **profile
    ) as dataset:
        dataset.write(pixels)
        if count == 3:
            dataset.descriptions = ("red", "green", "blue")
    return path


@pytest.fixture
def pair(tmp_path):
    """A scene with a gap, its brightest band, and labels that are partly wrong or missing."""
    rng = np.random.default_rng(0)
    bright = rng.integers(1, 80, (3, 15, 19)) * 3 + np.arange(3)[:, None, None]  # no two alike
    scene = np.kron(bright, np.ones((8, 8))).astype(np.uint8)
    scene[:, 30:50, 60:90] = 0
    best = scene.argmax(0).astype(np.uint8)
    labels = np.where(rng.random(best.shape) < 0.2, rng.integers(0, 3, best.shape), best)
    labels[:20, :30] = 255
    path = write(tmp_path / "scene.tif", scene, nodata=0)
    return path, write(tmp_path / "labels.tif", labels.astype(np.uint8)), best, labels


def test_a_perfect_map_scores_one(pair, tmp_path):
    scene, _, best, _ = pair
    truth = write(tmp_path / "truth.tif", best)
    found = geocamss.evaluate(scene, truth, model=model())
    assert found.scores.miou == found.scores.accuracy == found.boundary.mean_f1 == 1
    assert found.tally.confusion.sum() < best.size


def test_scores_are_those_of_the_map_that_predict_makes(pair, tmp_path, monkeypatch):
    scene, labels, _, truth = pair
    geocamss.predict(scene, tmp_path / "out", model=model(), outputs=("classes", "confidence"))
    with rasterio.open(tmp_path / "out" / "classes.tif") as dataset:
        mapped = dataset.read(1)
    monkeypatch.setattr(evaluate_module, "BAND_PIXELS", 1000)
    found = geocamss.evaluate(scene, labels, model=model(), tolerance=1)
    expected = [[((truth == row) & (mapped == col)).sum() for col in range(3)] for row in range(3)]
    np.testing.assert_array_equal(found.tally.confusion[:, :3], expected)
    assert not found.tally.confusion[:, 3].any()
    truth = np.where(mapped == 255, 255, truth)
    known = np.where(truth != 255, mapped, 255)
    for k in range(3):
        ours, theirs = naive_boundary(known, k), naive_boundary(truth, k)
        np.testing.assert_array_equal(
            found.tally.boundary[k],
            [
                naive_near(ours, theirs, 1),
                ours.sum(),
                naive_near(theirs, ours, 1),
                theirs.sum(),
            ],
        )
    assert found.tally.confidence.sum() == ((truth != 255) & (mapped != 255)).sum()


def test_folders_are_scored_together(pair, tmp_path):
    scene, labels, _, _ = pair
    for name in ("x", "y"):
        for kind, path in (("scenes", scene), ("masks", labels)):
            (tmp_path / kind).mkdir(exist_ok=True)
            (tmp_path / kind / f"{name}.tif").write_bytes(path.read_bytes())
    once = geocamss.evaluate(scene, labels, model=model())
    twice = geocamss.evaluate(tmp_path / "scenes", tmp_path / "masks", model=model())
    np.testing.assert_array_equal(twice.tally.confusion, 2 * once.tally.confusion)
    assert [Path(part.scene).name for part in twice.parts] == ["x.tif", "y.tif"]
    with pytest.raises(InputError, match="two folders"):
        pairs_of(scene, tmp_path / "masks")


def test_swapped_bands_swap_the_classes(pair):
    scene, labels, _, _ = pair
    found = geocamss.evaluate(scene, labels, model=model(), corruptions=["swapped-bands"])
    clean = found.tally.confusion
    by_strength = {item.strength: item.tally.confusion for item in found.spoiled}
    np.testing.assert_array_equal(by_strength[1], clean[:, [1, 0, 2, 3]])
    np.testing.assert_array_equal(by_strength[3], clean[:, [2, 1, 0, 3]])
    assert 0 < found.retention(found.spoiled[0]) < 1


def test_labels_that_are_nowhere_are_refused(pair, tmp_path):
    scene, _, best, _ = pair
    nothing = write(tmp_path / "nothing.tif", np.full_like(best, 77))
    with (
        pytest.warns(GeocamssWarning, match="ignored: 77"),
        pytest.raises(InputError, match="no pixel of the map has a label"),
    ):
        geocamss.evaluate(scene, nothing, model=model())
    far = write(tmp_path / "far.tif", best, transform=Affine.translation(9000, 0) @ PLACE)
    with pytest.raises(InputError, match="no pixel of the map has a label"):
        geocamss.evaluate(scene, far, model=model())


def test_a_model_that_is_three_times_too_sure_is_cooled(tmp_path):
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 1.5, (3, 160, 180)).astype(np.float32)
    chances = np.exp(logits) / np.exp(logits).sum(0)
    labels = (rng.random(logits.shape[1:]) > np.cumsum(chances, 0)[:2]).sum(0)
    scene = write(tmp_path / "scene.tif", logits)
    truth = write(tmp_path / "labels.tif", labels.astype(np.uint8))
    sure = model(3.0)
    fit = fit_temperature(pairs_of(scene, truth), Request(model=sure))
    assert fit.temperature == pytest.approx(3, rel=0.03)
    assert fit.nll < fit.nll_before
    assert fit.pixels == labels.size
    expected = -np.log(np.take_along_axis(chances, labels[None], 0)).mean()
    assert fit.nll == pytest.approx(expected, rel=0.002)
    before = geocamss.evaluate(scene, truth, model=sure)
    after = geocamss.evaluate(scene, truth, model=model(3.0, temperature=fit.temperature))
    assert after.calibration.ece < before.calibration.ece / 3
    np.testing.assert_allclose(after.tally.confusion, before.tally.confusion, atol=40)


@dataclass
class Listening:
    """A segmenter that remembers how it was asked to sample."""

    inner: Segmenter
    asked: set[Sampling] = field(default_factory=set)
    card = property(lambda self: self.inner.card)
    device = property(lambda self: self.inner.device)
    fingerprint = property(lambda self: self.inner.fingerprint)

    def __call__(self, chips, valid, corners, sampling):
        self.asked.add(sampling)
        return self.inner(chips, valid, corners, sampling)


def test_a_temperature_is_fitted_to_the_one_sample_that_a_plain_map_draws(pair):
    scene, labels, _, _ = pair
    asked = []
    for samples in (1, 8):
        listening = Listening(model())
        fit_temperature(pairs_of(scene, labels), Request(model=listening, samples=samples))
        asked.append(listening.asked)
    assert asked[0] == asked[1]


def test_a_temperature_is_not_fitted_to_nothing(pair, tmp_path):
    scene, _, best, _ = pair
    unlabeled = write(tmp_path / "none.tif", np.full_like(best, 255))
    with pytest.raises(InputError, match="nothing to fit to"):
        fit_temperature(pairs_of(scene, unlabeled), Request(model=model()))


def test_what_stands_beside_a_file_of_labels_is_none(pair, tmp_path):
    scene, labels, _, _ = pair
    for name, file in (("scenes", scene), ("labels", labels)):
        (tmp_path / name).mkdir()
        shutil.copy(file, tmp_path / name / "a.tif")
        for ending in (".shx", ".dbf", ".prj", ".cpg", ".tif-wal", ".tif-shm", ".tif.msk", ".HDR"):
            (tmp_path / name / f"a{ending}").touch()
    (found,) = pairs_of(tmp_path / "scenes", tmp_path / "labels")
    assert found.scene == str(tmp_path / "scenes" / "a.tif")
    assert found.labels.path == str(tmp_path / "labels" / "a.tif")


def test_what_is_left_of_nothing_is_no_number():
    wrong = Tally.empty(2, 2, doubt=False)
    wrong.confusion[0, 1] = 5
    card = ModelCard(bands=["red"], gsd=1.0, classes=["a", "b"])
    spoiled = tuple(Spoiled(name, "", 1.0, wrong) for name in "vwxyz")
    found = Evaluation(card, (Part("scene", "labels", wrong),), spoiled)
    assert {item["retention"] for item in found.to_dict()["corruptions"]} == {None}


def test_a_calibrated_file_differs_in_its_temperature_alone(tmp_path):
    shipped = registry.path(registry.DEFAULT)
    card = write_calibrated(shipped, 1.25, tmp_path / "new.safetensors")
    network, old_card = checkpoint.load_network(shipped)
    again, new_card = checkpoint.load_network(tmp_path / "new.safetensors")
    assert card == new_card
    assert new_card == old_card.model_copy(update={"temperature": 1.25})
    theirs = again.state_dict()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in network.state_dict().items())


def test_numbers_and_figures_are_written(pair, tmp_path):
    scene, labels, _, _ = pair
    found = geocamss.evaluate(scene, labels, model=model(), corruptions=["haze", "hue"])
    from matplotlib.figure import Figure

    from geocamss.evaluation.report import _corruptions, draw, write_json

    write_json(found, tmp_path / "scores.json")
    numbers = json.loads((tmp_path / "scores.json").read_text())
    assert math.isclose(numbers["miou"], found.scores.miou)
    assert set(numbers["classes"]) == {"a", "b", "c"}
    assert [item["corruption"] for item in numbers["corruptions"]] == ["hue"] * 4 + ["haze"] * 3
    assert len(numbers["corruptions"]) == len(found.spoiled)
    names = {path.name for path in draw(found, tmp_path / "figures")}
    assert names == {"confusion.png", "reliability.png", "corruptions.png"}
    figure = Figure()
    _corruptions(found, figure)
    assert [panel.axison for panel in figure.axes] == [True, True, False, False]
    for name in names:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a picture has no place on the ground
            with rasterio.open(tmp_path / "figures" / name) as figure:
                assert figure.read(1).std() > 0


def test_the_command_prints_the_scores(pair, tmp_path):
    scene, _, _, labels = pair
    mask = write(tmp_path / "mask.tif", np.where(labels == 1, 8, labels).astype(np.uint8))
    arguments = ["evaluate", str(scene), str(mask), "--map", "8=water", "--map", "2=road"]
    arguments += ["--json", str(tmp_path / "scores.json"), "--gsd", "native", "--quiet"]
    done = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    numbers = json.loads((tmp_path / "scores.json").read_text())
    assert numbers["classes"]["water"]["labeled"] > 0
    assert numbers["classes"]["land"]["labeled"] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give a SCENE"),
        (["a.tif"], "behind each SCENE"),
        (["a.tif", "b.tif", "--map", "1"], "VALUE=CLASS"),
        (["a.tif", "b.tif", "--only", "hue"], "goes with --corrupt"),
        (["a.tif", "b.tif", "--recipe", "c.yaml"], "or a --recipe"),
    ],
)
def test_command_lines_that_make_no_sense_are_refused(arguments, message):
    done = CliRunner().invoke(cli, ["evaluate", *arguments])
    assert done.exit_code == 2
    assert message in done.output


def test_a_recipe_says_what_it_validates_on(shared_data, tmp_path):
    recipe = load_recipe(ROOT / "recipes" / "aerial-landcover.yaml")
    pairs = validation_pairs(recipe, shared_data, tmp_path)
    assert len(pairs) == 9
    assert {Path(pair.scene).parent.parent.name for pair in pairs} == {"tile6"}
    assert pairs[0].labels.meaning["#E2A929"] == "water"


def test_a_recipe_is_scored_with_its_own_model_and_no_other_is_taken_for_it(shared_data, tmp_path):
    arguments = ["evaluate", "--recipe", str(ROOT / "recipes" / "cloud-mask.yaml")]
    arguments += ["--data", str(shared_data), "--quiet", "--json", str(tmp_path / "scores.json")]
    done = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    numbers = json.loads((tmp_path / "scores.json").read_text())
    assert list(numbers["classes"]) == ["land", "water", "cloud", "shadow"]
    with pytest.raises(InputError, match="no class 'cloud'"):
        CliRunner().invoke(cli, [*arguments, "--model", "aerial-landcover"], catch_exceptions=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", registry.names())
def test_the_shipped_models_score_what_their_cards_say(shared_data, tmp_path, name):
    recipe = load_recipe(ROOT / "recipes" / f"{name}.yaml")
    pairs = validation_pairs(recipe, shared_data, tmp_path)
    found = evaluate_module.evaluate_pairs(pairs, Request(model=name))
    said = found.card.metrics
    assert found.scores.miou == pytest.approx(said["validation_miou"], abs=0.01)
    assert found.scores.accuracy == pytest.approx(said["validation_accuracy"], abs=0.01)
