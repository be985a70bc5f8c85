"""Channel-shuffling pretraining: the draw, the objectives, and the way into a training."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
import yaml
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from rasterio.transform import from_origin

from geocamss.cli.pretrain import pretrain as command
from geocamss.errors import GeocamssWarning, ModelError, RecipeError
from geocamss.training.batches import Pool
from geocamss.training.channels import draw_channels, place_channels
from geocamss.training.pretrain.batches import PretrainBatches
from geocamss.training.pretrain.contrastive import info_nce
from geocamss.training.pretrain.encoder import is_encoder, load_encoder, read_encoder_card
from geocamss.training.pretrain.images import TONES, load_images, shared_statistics
from geocamss.training.pretrain.masked import MaskedObjective, hide_squares
from geocamss.training.pretrain.pretrain import pretrain
from geocamss.training.pretrain.recipe import ImageSource, load_pretrain_recipe
from geocamss.training.sources import LabeledImage
from geocamss.training.train import train
from tests.training.test_train import TINY, data, power_cut, recipe_file, recipe_of

__all__ = ["data"]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(bands=st.integers(1, 12), count=st.integers(1, 12), seed=st.integers(0, 1000))
def test_every_channel_is_a_band_and_every_band_is_there_if_there_is_room(bands, count, seed):
    drawn = draw_channels(bands, count, generator(seed)).tolist()
    assert len(drawn) == count
    shown = Counter(drawn)
    assert set(shown) <= set(range(bands))
    assert len(shown) == min(bands, count)
    assert max(shown.values()) - min(shown.values()) <= 1  # duplicated evenly


def test_all_orders_are_equally_likely():
    source = generator()
    draws = 6000
    seen = Counter(tuple(draw_channels(3, 3, source).tolist()) for _ in range(draws))
    chi_squared = sum((n - draws / 6) ** 2 / (draws / 6) for n in seen.values())
    assert len(seen) == 6
    assert chi_squared < 20.5  # 99.9 % of fair draws, five degrees of freedom


def test_the_control_keeps_the_order():
    assert draw_channels(3, 3, generator(), shuffle=False).tolist() == [0, 1, 2]
    assert draw_channels(3, 5, generator(), shuffle=False).tolist() == [0, 1, 2, 0, 1]


@given(count=st.integers(1, 6), seed=st.integers(0, 100))
def test_placed_channels_are_all_there_and_sums_stay_as_large(count, seed):
    image = torch.randn(count, 4, 5, generator=generator(seed))
    placed = place_channels(image, 6, generator(seed), shuffle=True)
    torch.testing.assert_close(placed.sum(0), image.sum(0) * 6 / count)
    assert int((placed.flatten(1).abs().sum(1) > 0).sum()) == count


@given(seed=st.integers(0, 1000), share=st.floats(0.05, 0.95))
def test_as_many_squares_are_hidden_as_asked_for(seed, share):
    hidden = hide_squares(torch.ones(3, 64, 48, dtype=torch.bool), share, 16, generator(seed))
    squares = hidden.view(3, 4, 16, 3, 16).permute(0, 1, 3, 2, 4).flatten(3)
    assert (squares.all(3) == squares.any(3)).all()
    assert (squares.all(3).sum((1, 2)) == round(share * 12)).all()


def test_the_contrast_is_least_where_places_agree_and_by_hand_where_they_do_not():
    places = torch.eye(5)
    assert info_nce(places, places, 0.01) < 1e-3
    assert info_nce(places, places.roll(1, 0), 0.01) > 50
    torch.testing.assert_close(
        info_nce(places, torch.ones(5, 5), 0.1), torch.log(torch.tensor(5.0))
    )


@pytest.fixture(scope="module")
def rasters(tmp_path_factory) -> Path:
    """Two pictures of different sensors: one of three bands, one of five; one has no data."""
    folder = tmp_path_factory.mktemp("rasters")
    rng = np.random.default_rng(0)
    for name, bands, dtype, most in (("a", 3, "uint8", 250), ("b", 5, "uint16", 9000)):
        smooth = np.add.outer(np.sin(np.arange(80) / 9), np.cos(np.arange(96) / 7))
        pixels = (smooth / 4 + 0.5 + rng.normal(0, 0.02, (bands, 80, 96))).clip(0.01, 1) * most
        pixels = pixels.astype(dtype)
        pixels[:, :20, :30] = 0
        with rasterio.open(
            folder / f"{name}.tif", "w", width=96, height=80, count=bands, dtype=dtype, nodata=0,
            crs="EPSG:32633", transform=from_origin(500_000, 0, 1, 1),
        ) as file:  # fmt: skip
            file.write(pixels)
    return folder


def recipe(folder: Path, **changes) -> Path:
    content = {
        "name": "structure",
        "model": TINY,
        "sources": [{"name": "all", "images": ["*.tif"], "license": "CC0-1.0"}],
        "channels": 4,
        "training": {"max_steps": 4, "batch": 2, "chip": 32, "epoch": 2, "warmup": 1},
    }
    path = folder / "structure.yaml"
    path.write_text(yaml.safe_dump(content | changes))
    return path


def test_a_batch_shows_bands_of_its_own_image_normalized_alike(tmp_path, rasters):
    plain = {
        "scale": [1, 1], "stretch": 0, "rotation": 0, "brightness": 0, "contrast": 0,
        "saturation": 0, "tint": 0, "gamma": 0, "noise": 0, "blur": 0, "nodata": 0,
    }  # fmt: skip
    path = recipe(
        tmp_path, channels=[2, 6], training={"batch": 3, "chip": 32, "augmentation": plain}
    )
    checked = load_pretrain_recipe(path)
    images = load_images(checked.sources[0], rasters)
    statistics = shared_statistics(images)
    batches = PretrainBatches([Pool(images, 1.0)], checked, statistics, 0, 8)
    filled = set()
    for index in range(8):
        batch = batches[index]
        assert batch.chips.shape == (3, 6, 32, 32)
        assert (batch.labels == 255).all()
        assert (batch.chips.masked_select(~batch.valid[:, None].expand_as(batch.chips)) == 0).all()
        filled.add(int((batch.chips[0].flatten(1).abs().sum(1) > 0).sum()))
    assert len(filled) > 2  # drawn anew for every batch
    assert filled <= set(range(2, 7))
    again = batches[3]
    torch.testing.assert_close(again.chips, batches[3].chips)


@pytest.mark.parametrize("objective", ["masked", "contrastive"])
def test_pretraining_learns_and_a_training_of_other_bands_begins_with_it(
    tmp_path, rasters, data, objective
):
    budget = {"max_steps": 40, "batch": 4, "chip": 32, "epoch": 40, "learning_rate": 0.01}
    path = recipe(tmp_path, objective=objective, training=budget)
    out = tmp_path / "structure.safetensors"
    result = pretrain(load_pretrain_recipe(path), path, out, data=rasters)
    assert np.mean(result.losses[-8:]) < 0.9 * np.mean(result.losses[:8])
    assert is_encoder(out)
    assert read_encoder_card(out).training[0].license == "CC0-1.0"
    state, channels = load_encoder(out)
    assert len(channels) == 4
    own = recipe_file(tmp_path, max_steps=2)
    model = tmp_path / "shore.safetensors"
    first = train(recipe_of(own), own, model, data=data, start_from=out)
    fresh = train(recipe_of(own), own, tmp_path / "fresh.safetensors", data=data)
    assert first.losses != fresh.losses
    assert not is_encoder(model)
    assert set(state) == {
        name for name in state if name.startswith(("stem.", "stage_2", "stage_4", "stage_8"))
    }


def test_a_killed_pretraining_resumes_to_the_same_losses(tmp_path, rasters, monkeypatch):
    path = recipe(tmp_path)
    checked = load_pretrain_recipe(path)
    whole = pretrain(checked, path, tmp_path / "whole.safetensors", data=rasters)
    out = tmp_path / "cut.safetensors"
    with power_cut(monkeypatch, 3, MaskedObjective):
        pretrain(checked, path, out, data=rasters)
    assert not out.exists()
    rest = pretrain(checked, path, out, data=rasters, resume=True)
    # One epoch of two steps was complete: the run goes on with the third step.
    assert rest.losses == whole.losses[2:]
    first, _ = load_encoder(whole.path)
    second, _ = load_encoder(out)
    assert all(torch.equal(first[name], second[name]) for name in first)
    with power_cut(monkeypatch, 3, MaskedObjective):
        pretrain(checked, path, out, data=rasters)
    other = load_pretrain_recipe(recipe(tmp_path, hidden=0.5))
    with pytest.raises(RecipeError, match=r"hidden was 0.6, now 0.5"):
        pretrain(other, path, out, data=rasters, resume=True)


def test_a_folder_is_all_rasters_below_it_and_broken_ones_are_left_out(tmp_path, rasters):
    inside = tmp_path / "data" / "all" / "deep"
    inside.mkdir(parents=True)
    for name in ("a", "b"):
        shutil.copy(rasters / f"{name}.tif", inside / f"{name}.tif")
    (inside / "broken.tif").write_bytes((rasters / "a.tif").read_bytes()[:900])
    (inside / "empty.tif").write_bytes(b"")
    (inside / "notes.md").write_text("no raster")
    source = ImageSource(name="mixed", images=("all",))
    with pytest.warns(GeocamssWarning, match="left out") as told:
        found = load_images(source, tmp_path / "data")
    assert len([each for each in told if "left out" in str(each.message)]) == 2
    assert [item.image.shape[0] for item in found] == [3, 5]
    for name in ("a", "b"):
        (inside / f"{name}.tif").unlink()
    with (
        pytest.warns(GeocamssWarning, match="left out"),
        pytest.raises(RecipeError, match="none of 2"),
    ):
        load_images(source, tmp_path / "data")


def test_pixels_are_kept_as_stored_and_scaled_from_0_to_1(rasters):
    found = load_images(ImageSource(name="all", images=("*.tif",)), rasters)
    assert [item.image.dtype for item in found] == [torch.uint8, torch.uint16]
    for item in found:
        with rasterio.open(rasters / f"{item.name}.tif") as file:
            stored, valid = file.read().astype(np.float64), file.dataset_mask() > 0
        np.testing.assert_array_equal(item.valid.numpy(), valid)
        low, high = np.percentile(stored[:, valid], (0.5, 99.5))
        expected = (stored[:, valid] - low) / (high - low)
        np.testing.assert_allclose(item.pixels().numpy()[:, valid], expected, atol=1e-4)
    mean, deviation = shared_statistics(found)
    values = np.concatenate([item.pixels().numpy()[:, item.valid].ravel() for item in found])
    assert mean == pytest.approx(values.mean(), abs=0.02)
    assert deviation == pytest.approx(values.std(), abs=0.02)


def test_statistics_are_of_what_chips_show():
    """A few pixels may be as bright as they like."""
    pixels = torch.rand(2, 100, 100, generator=generator())
    pixels[:, 0, :20] = 1e4
    valid = torch.ones(100, 100, dtype=torch.bool)
    item = LabeledImage("hot", pixels, valid.byte(), valid)
    shown = pixels.clamp(*TONES)
    assert shared_statistics([item]) == pytest.approx((float(shown.mean()), float(shown.std())))


def test_images_without_a_valid_pixel_are_an_error():
    flat = torch.zeros(4, 4, dtype=torch.uint8)
    item = LabeledImage("empty", torch.zeros(1, 4, 4), flat, flat.bool())
    with pytest.raises(RecipeError, match="no image has a valid pixel"):
        shared_statistics([item])


def test_mistakes_are_said(tmp_path, rasters):
    for changes, words in (
        ({"channels": [5, 3]}, "least, most"),
        ({"objektive": "masked"}, "did you mean 'objective'"),
        ({"square": 24}, "multiple of square"),
        ({"sources": [{"name": "x", "images": ["../secret.tif"]}]}, "inside the data folder"),
    ):
        with pytest.raises(RecipeError, match=words):
            load_pretrain_recipe(recipe(tmp_path, **changes))
    path = recipe(tmp_path, sources=[{"name": "x", "images": ["*.jp2"]}])
    with pytest.raises(RecipeError, match="no file"):
        pretrain(load_pretrain_recipe(path), path, tmp_path / "x", data=rasters)
    with pytest.raises(ModelError, match="not an encoder file"):
        read_encoder_card(rasters / "a.tif")


def test_the_command_writes_an_encoder(tmp_path, rasters):
    path, out = recipe(tmp_path), tmp_path / "e.safetensors"
    result = CliRunner().invoke(
        command, [str(path), "--data", str(rasters), "-o", str(out), "--max-steps", "2"]
    )
    assert result.exit_code == 0, result.output
    assert f"{out}: 2 steps, 4 channels" in result.output
    again = ["--data", str(rasters), "-o", str(out), "--max-steps", "2", "--overwrite", "--json"]
    result = CliRunner().invoke(command, [str(path), *again])
    assert json.loads(result.stdout) == {"path": str(out), "steps": 2, "channels": 4}
