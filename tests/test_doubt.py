"""Entropy and mutual information: what they are, and that no cut of the ground changes them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import geocamss
from geocamss.blend import UNIT
from geocamss.doubt import doubt
from geocamss.engine import Engine, read_strips, stitch, stitch_doubt
from geocamss.models.checkpoint import load
from geocamss.models.registry import DEFAULT, path
from geocamss.models.samples import SPREAD_STEPS, entropy, segment_with_entropy, spread
from geocamss.models.segmenter import Sampling
from geocamss.output.blocks import LEVELS, BlockStore
from geocamss.scene.tiles import Lattice, Layout
from geocamss.scene.window import Window
from tests.test_engine import Part, PositionSegmenter, engine_for, scene


def plain_entropy(p):
    with np.errstate(divide="ignore", invalid="ignore"):
        return -np.where(p > 0, p * np.log(p), 0).sum(0) / np.log(len(p))


@given(hnp.arrays(np.float64, (2, 4, 3, 5), elements=st.floats(0, 1)))
def test_levels_are_entropy_and_mutual_information(drawn):
    samples = (drawn + 1e-6) / (drawn + 1e-6).sum(1, keepdims=True)
    mean, own = samples.mean(0), np.mean([plain_entropy(s) for s in samples], 0)
    sums = np.concatenate([mean, own[None]]) * UNIT
    found = doubt(torch.from_numpy(np.rint(sums).astype(np.int16)), UNIT).numpy() / LEVELS
    total = plain_entropy(mean)
    assert np.abs(found[0] - total).max() < 0.51 / LEVELS + 0.002
    assert np.abs(found[1] - np.maximum(total - own, 0)).max() < 0.51 / LEVELS + 0.002


@given(hnp.arrays(np.int16, (4, 3, 5), elements=st.integers(0, UNIT + 4)))
def test_no_sums_leave_the_range(sums):
    found = doubt(torch.from_numpy(sums), UNIT).numpy()
    empty = (sums[:-1] == 0).all(0)
    assert (found[:, empty] == 255).all()
    assert (found[:, ~empty] <= LEVELS).all()
    assert (found[1] <= found[0])[~empty].all()


def test_even_chances_are_all_the_doubt_there_is_and_certainty_is_none():
    sums = torch.tensor([[UNIT // 2, UNIT], [UNIT // 2, 0], [0, 0]], dtype=torch.int16)
    assert doubt(sums[:, None], UNIT).tolist() == [[[LEVELS, 0]], [[LEVELS, 0]]]
    alone = torch.tensor([[UNIT], [0]], dtype=torch.int16)
    assert doubt(alone[:, None], UNIT).tolist() == [[[0]], [[0]]]


@dataclass
class TwoMinds(PositionSegmenter):
    """Two samples that contradict each other here and there."""

    other: float = field(default=0.4)

    def both(self, chips, valid, corners, sampling):
        one = super().__call__(chips, valid, corners, sampling)
        mixed = one.flip(1) * self.other + one * (1 - self.other)
        return one, mixed

    def __call__(self, chips, valid, corners, sampling):
        return sum(self.both(chips, valid, corners, sampling)) / 2

    def sampled(self, chips, valid, corners, sampling):
        said = self.both(chips, valid, corners, sampling)
        return sum(torch.cat([s, entropy(s)], dim=1) for s in said) / 2


def run(source, folder, *, tiles, batch=1, order=None, kind=TwoMinds):
    plain = engine_for(source, 24, 8, (-40, 13), tiles, batch)
    segmenter = kind(plain.segmenter.card)
    engine = Engine(plain.layout, segmenter, plain.normalizer, Sampling(), batch, doubt=True)
    store = BlockStore(folder)
    blocks = list(engine.layout.blocks())
    for index in order or range(len(blocks)):
        block = blocks[index]
        store.save(block, engine.map_block(block, read_strips(source, engine.layout, block)))
    whole = Window(0, 0, *engine.layout.shape)
    found = np.full((2, *whole.shape), 77, np.uint8)
    for window, both in stitch_doubt(engine.layout, store):
        assert (found[(slice(None), *window.within(whole))] == 77).all()
        found[(slice(None), *window.within(whole))] = both
    classes = np.zeros(whole.shape, np.uint8)
    values = np.array(segmenter.card.classes.values, np.uint8)
    for window, kinds, _ in stitch(engine.layout, store, values):
        classes[window.within(whole)] = kinds
    return found, classes


@given(
    rows=st.integers(1, 5), cols=st.integers(1, 5), batch=st.integers(1, 5), seed=st.integers(0, 9)
)
def test_blocks_and_their_order_change_nothing(tmp_path_factory, rows, cols, batch, seed):
    source = scene(60, 75, seed)
    whole, classes = run(source, tmp_path_factory.mktemp("a"), tiles=(99, 99))
    count = len(list(engine_for(source, 24, 8, (-40, 13), (rows, cols)).layout.blocks()))
    order = np.random.default_rng(seed).permutation(count).tolist()
    parts, same = run(
        source, tmp_path_factory.mktemp("b"), tiles=(rows, cols), batch=batch, order=order
    )
    np.testing.assert_array_equal(whole, parts)
    np.testing.assert_array_equal(classes, same)
    np.testing.assert_array_equal(whole == 255, np.broadcast_to(~source.valid, whole.shape))


def test_a_part_equals_the_part_of_the_whole(tmp_path):
    source = scene(60, 75, 2)
    whole, _ = run(source, tmp_path / "whole", tiles=(2, 2))
    plain = engine_for(source, 24, 8, (-40, 13), (2, 2))
    layout = Layout(Lattice(24, 8), (-40 + 17, 13 + 22), (30, 41), (1, 2))
    segmenter = TwoMinds(plain.segmenter.card)
    engine = Engine(layout, segmenter, plain.normalizer, Sampling(), 2, doubt=True)
    store, part = BlockStore(tmp_path / "part"), Part(source, (17, 22))
    for block in layout.blocks():
        store.save(block, engine.map_block(block, read_strips(part, layout, block)))
        np.testing.assert_array_equal(store.load(block).doubt, store.open(block).doubt)
    for window, both in stitch_doubt(layout, store):
        rows, cols = window.shifted(17, 22).within(Window(0, 0, 60, 75))
        np.testing.assert_array_equal(both, whole[:, rows, cols])


def test_asking_for_doubt_changes_no_class(tmp_path):
    source = scene(60, 75, 1)
    _, classes = run(source, tmp_path / "a", tiles=(2, 2))
    plain = engine_for(source, 24, 8, (-40, 13), (2, 2))
    engine = Engine(plain.layout, TwoMinds(plain.segmenter.card), plain.normalizer, Sampling(), 1)
    store = BlockStore(tmp_path / "b")
    for block in engine.layout.blocks():
        store.save(block, engine.map_block(block, read_strips(source, engine.layout, block)))
    whole = Window(0, 0, *engine.layout.shape)
    for window, kinds, _ in stitch(engine.layout, store, np.arange(3, dtype=np.uint8)):
        np.testing.assert_array_equal(classes[window.within(whole)], kinds)
    with pytest.raises(ValueError, match="without doubt"):
        list(stitch_doubt(engine.layout, store))


def test_samples_that_contradict_each_other_share_information():
    card = engine_for(scene(40, 40, 0), 16, 4, (0, 0), (9, 9)).segmenter.card
    chips, valid = torch.rand(1, 2, 16, 16) * 100, torch.ones(1, 16, 16, dtype=torch.bool)
    asked = (chips, valid, torch.zeros(1, 2, dtype=torch.int64), Sampling())
    for kind, alike in ((TwoMinds, False), (PositionSegmenter, True)):
        said = segment_with_entropy(kind(card), *asked)
        sums = (said[0] * UNIT).round().to(torch.int16)
        found = doubt(sums, UNIT)
        assert bool((found[1] == 0).all()) is alike


def test_samples_of_the_mean_are_drawn_with_more_steps():
    card = load(path(DEFAULT)).card
    assert spread(Sampling(samples=1), card).steps is None
    assert spread(Sampling(samples=8), card).steps == SPREAD_STEPS
    assert spread(Sampling(steps=2, samples=8), card).steps == 2


def write_scene(target: Path, size=(200, 260)):
    rng = np.random.default_rng(0)
    pixels = np.kron(rng.integers(1, 255, (3, 25, 33)), np.ones((8, 8)))[:, : size[0], : size[1]]
    with rasterio.open(
        target,
        "w",
        driver="GTiff",
        width=size[1],
        height=size[0],
        count=3,
        dtype="uint8",
        crs="EPSG:32632",
        transform=Affine(0.5, 0, 500_000, 0, -0.5, 5_000_000),
        photometric="RGB",
    ) as dataset:
        dataset.write(pixels.astype(np.uint8))
        dataset.write_mask(
            np.pad(np.full((size[0] - 20, size[1]), 255, np.uint8), ((20, 0), (0, 0)))
        )
    return target


def test_several_samples_give_a_raster_of_doubt(tmp_path):
    scene_file = write_scene(tmp_path / "scene.tif")
    outputs = ("classes", "confidence", "item")
    result = geocamss.predict(scene_file, tmp_path / "out", samples=2, outputs=outputs)
    with rasterio.open(result.uncertainty) as dataset:
        assert dataset.descriptions == ("entropy", "mutual information")
        assert dataset.scales == (0.004, 0.004)
        assert dataset.nodata == 255
        assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        both = dataset.read()
    with rasterio.open(result.classes) as dataset:
        valid = dataset.read(1) != 255
    assert (both[:, ~valid] == 255).all()
    assert (both[:, valid] <= LEVELS).all()
    assert both[0, valid].max() > 50
    assert 0 < both[1, valid].max() <= both[0, valid].max()
    assert "uncertainty" in (tmp_path / "out" / "item.json").read_text()
    again = geocamss.predict(scene_file, tmp_path / "again", samples=2, outputs=outputs)
    assert again.uncertainty.read_bytes() == result.uncertainty.read_bytes()


def test_one_sample_gives_doubt_where_it_is_asked_for(tmp_path):
    scene_file = write_scene(tmp_path / "scene.tif", (90, 90))
    result = geocamss.predict(scene_file, tmp_path / "a", outputs=("classes",))
    assert result.uncertainty is None
    result = geocamss.predict(scene_file, tmp_path / "b", outputs=("classes", "uncertainty"))
    with rasterio.open(result.uncertainty) as dataset:
        assert dataset.read(1)[20:].max() <= LEVELS
