"""Probabilities of all classes: those of the blend, whatever the blocks and their order."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from rio_cogeo.cogeo import cog_validate
from shapely.geometry import box

import geocamss
from geocamss.blend import UNIT, shares
from geocamss.engine import Engine, read_strips, stitch, stitch_probabilities
from geocamss.memory import Memory
from geocamss.models.segmenter import Sampling
from geocamss.output.blocks import LEVELS, BlockStore
from geocamss.request import Request
from geocamss.scene.tiles import Lattice, Layout
from geocamss.scene.window import Window
from geocamss.sizes import block_tiles
from tests.test_engine import Part, engine_for, naive, scene
from tests.test_predict import CARD, network, texture, write_scene

OUTPUTS = ("classes", "confidence", "probabilities", "item")


@given(hnp.arrays(np.int16, (4, 3, 5), elements=st.integers(0, UNIT + 4)))
def test_levels_are_the_nearest_ones(sums):
    found = shares(torch.from_numpy(sums)).numpy()
    there = sums.any(0)
    exact = sums.astype(float) / UNIT * LEVELS
    assert np.abs(found - exact)[:, there].max(initial=0.0) <= 0.5
    assert (found[:, ~there] == 255).all()
    assert found[:, there].max(initial=0) <= LEVELS


def run(source, folder, *, tiles, batch=1, order=None, layout=None):
    plain = engine_for(source, 24, 8, (-40, 13), tiles, batch)
    engine = replace(plain, layout=layout or plain.layout, probabilities=True)
    store, blocks = BlockStore(folder), list(engine.layout.blocks())
    for index in order or range(len(blocks)):
        block = blocks[index]
        store.save(block, engine.map_block(block, read_strips(source, engine.layout, block)))
        there = store.open(block).probabilities
        np.testing.assert_array_equal(store.load(block).probabilities, there)
    whole = Window(0, 0, *engine.layout.shape)
    found = np.full((3, *whole.shape), 77, np.uint8)
    for window, said in stitch_probabilities(engine.layout, store, 3):
        place = (slice(None), *window.within(whole))
        assert (found[place] == 77).all()
        found[place] = said
    return found, engine, store


def test_they_are_those_of_the_naive_blend(tmp_path):
    source = scene(77, 91, 1)
    found, engine, _ = run(source, tmp_path, tiles=(2, 3), batch=3)
    exact = naive(engine, source) * LEVELS
    assert np.abs(found - exact)[:, source.valid].max() < 0.52
    np.testing.assert_array_equal(found == 255, np.broadcast_to(~source.valid, found.shape))


@given(
    rows=st.integers(1, 5), cols=st.integers(1, 5), batch=st.integers(1, 5), seed=st.integers(0, 9)
)
def test_blocks_and_their_order_change_nothing(tmp_path_factory, rows, cols, batch, seed):
    source = scene(60, 75, seed)
    whole, _, _ = run(source, tmp_path_factory.mktemp("a"), tiles=(99, 99))
    count = len(list(engine_for(source, 24, 8, (-40, 13), (rows, cols)).layout.blocks()))
    order = np.random.default_rng(seed).permutation(count).tolist()
    parts, _, _ = run(
        source, tmp_path_factory.mktemp("b"), tiles=(rows, cols), batch=batch, order=order
    )
    np.testing.assert_array_equal(whole, parts)


def test_a_part_equals_the_part_of_the_whole(tmp_path):
    source = scene(60, 75, 2)
    whole, _, _ = run(source, tmp_path / "whole", tiles=(2, 2))
    layout = Layout(Lattice(24, 8), (-40 + 17, 13 + 22), (30, 41), (1, 2))
    part, _, _ = run(source, tmp_path / "x", tiles=(1, 2))
    np.testing.assert_array_equal(part, whole)
    plain = engine_for(source, 24, 8, (-40, 13), (1, 2))
    engine = replace(plain, layout=layout, probabilities=True)
    store, cut = BlockStore(tmp_path / "part"), Part(source, (17, 22))
    for block in layout.blocks():
        store.save(block, engine.map_block(block, read_strips(cut, layout, block)))
    for window, said in stitch_probabilities(layout, store, 3):
        rows, cols = window.shifted(17, 22).within(Window(0, 0, 60, 75))
        np.testing.assert_array_equal(said, whole[:, rows, cols])


def test_asking_for_them_changes_no_class_and_no_confidence(tmp_path):
    source = scene(60, 75, 1)
    found, engine, store = run(source, tmp_path / "a", tiles=(2, 2))
    plain = replace(engine, probabilities=False)
    other = BlockStore(tmp_path / "b")
    for block in plain.layout.blocks():
        other.save(block, plain.map_block(block, read_strips(source, plain.layout, block)))
    values = np.arange(3, dtype=np.uint8)
    pairs = zip(
        stitch(engine.layout, store, values), stitch(engine.layout, other, values), strict=True
    )
    whole = Window(0, 0, *engine.layout.shape)
    for (window, kinds, sure), (_, same, percent) in pairs:
        np.testing.assert_array_equal(kinds, same)
        np.testing.assert_array_equal(sure, percent)
        said = found[(slice(None), *window.within(whole))].astype(int)
        there = kinds != 255
        own = np.take_along_axis(said, np.where(there, kinds, 0)[None].astype(int), 0)[0]
        assert (own == said.max(0))[there].all()
        assert np.abs(own[there] * 0.4 - sure[there]).max(initial=0.0) <= 0.7
    with pytest.raises(ValueError, match="without probabilities"):
        list(stitch_probabilities(engine.layout, other, 3))


def test_they_may_come_with_doubt(tmp_path):
    source = scene(40, 50, 3)
    alone, engine, _ = run(source, tmp_path / "a", tiles=(2, 2))
    both: Engine = replace(engine, doubt=True, sampling=Sampling())
    store = BlockStore(tmp_path / "b")
    for block in both.layout.blocks():
        store.save(block, both.map_block(block, read_strips(source, both.layout, block)))
    whole = Window(0, 0, *both.layout.shape)
    for window, said in stitch_probabilities(both.layout, store, 3):
        np.testing.assert_array_equal(said, alone[(slice(None), *window.within(whole))])


@pytest.fixture
def model():
    return geocamss.from_module(network(), CARD)


@pytest.fixture
def scene_file(tmp_path) -> Path:
    pixels = texture(300, 410)
    pixels[:, :60, :80] = 0
    return write_scene(tmp_path / "s.tif", pixels, nodata=0)


def test_the_raster_says_what_it_holds(tmp_path, scene_file, model):
    result = geocamss.predict(scene_file, tmp_path / "out", model=model, outputs=OUTPUTS)
    assert cog_validate(result.probabilities, quiet=True)[0]
    with rasterio.open(result.probabilities) as file, rasterio.open(result.classes) as beside:
        assert file.descriptions == ("a", "b", "c", "d")
        assert set(file.dtypes) == {"uint8"}
        assert file.units == ("probability",) * 4
        assert file.scales == (0.004,) * 4
        assert file.nodata == 255
        assert (file.transform, file.shape) == (beside.transform, beside.shape)
        assert file.overviews(1) == beside.overviews(1)
        tags, known = file.tags(), beside.tags()
        for name in ("GEOCAMSS_MODEL_FINGERPRINT", "GEOCAMSS_SEED", "CLASS_2"):
            assert tags[name] == known[name]
        said, kinds = file.read(), beside.read(1)
    there = kinds != 255
    assert 0 < (~there).sum() < there.size
    np.testing.assert_array_equal(said == 255, np.broadcast_to(~there, said.shape))
    sums = said[:, there].sum(0, dtype=int)
    assert np.abs(sums - LEVELS).max() <= 3  # four roundings
    best = np.take_along_axis(said, np.where(there, kinds, 0)[None].astype(int), 0)[0]
    np.testing.assert_array_equal(best[there], said[:, there].max(0))
    asset = json.loads(result.item.read_text())["assets"]["probabilities"]
    assert len(asset["raster:bands"]) == 4
    assert asset["raster:bands"][0]["scale"] == 0.004
    plain = geocamss.predict(scene_file, tmp_path / "plain", model=model, outputs=["classes"])
    assert plain.probabilities is None
    assert plain.classes.read_bytes() == result.classes.read_bytes()


def test_no_cut_of_the_ground_changes_a_byte(tmp_path, scene_file, model, monkeypatch):
    options = {"model": model, "outputs": OUTPUTS, "batch_size": 2}
    whole = geocamss.predict(scene_file, tmp_path / "whole", **options)
    monkeypatch.setattr("geocamss.run.block_tiles", lambda _: (1, 2))

    def stop(progress):
        if progress.done > 40_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        geocamss.predict(scene_file, tmp_path / "parts", progress=stop, **options)
    parts = geocamss.predict(scene_file, tmp_path / "parts", **options)
    assert parts.probabilities.read_bytes() == whole.probabilities.read_bytes()
    with rasterio.open(scene_file) as file:
        left, bottom, right, top = file.bounds
    aoi = tmp_path / "aoi.geojson"
    frame = gpd.GeoDataFrame(geometry=[box(left + 41, bottom + 33, right - 7, top - 20)], crs=32632)
    frame.to_file(aoi)
    part = geocamss.predict(scene_file, tmp_path / "part", aoi=aoi, **options)
    with rasterio.open(part.probabilities) as file, rasterio.open(whole.probabilities) as all_of_it:
        row, col = all_of_it.index(*(file.transform @ (0.5, 0.5)))
        said = file.read()
        same = all_of_it.read()[:, row : row + file.height, col : col + file.width]
    there = said[0] != 255
    assert there.any()
    np.testing.assert_array_equal(said[:, there], same[:, there])


def test_plans_count_them(scene_file, model):
    plain, more = (
        Request(model=model, outputs=outputs).run(scene_file)
        for outputs in (("classes",), ("classes", "probabilities"))
    )
    pixels = 300 * 410
    assert more.work - plain.work == 2 * 4 * pixels
    assert more.key != plain.key
    held = [
        Memory.of(CARD, r.layout, 1, 1, probabilities=r.probabilities).blocks for r in (plain, more)
    ]
    assert held[1] - held[0] == 4 * pixels


def test_many_classes_make_smaller_blocks():
    few, many = (
        geocamss.ModelCard(
            bands=["red"], gsd=1.0, classes=[f"c{i}" for i in range(count)], chip=256, overlap=64
        )
        for count in (5, 150)
    )
    areas = [rows * cols * 192**2 for rows, cols in map(block_tiles, (few, many))]
    assert areas[0] > 0.9 * 2**24
    assert 150 * areas[1] <= 2**27
