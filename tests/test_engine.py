"""The engine against a naive loop over all chips of the lattice."""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from geocamss.blend import UNIT, ramp
from geocamss.engine import Engine, read_strips, stitch
from geocamss.errors import RunError
from geocamss.modelcard import ModelCard
from geocamss.models.normalize import Normalizer
from geocamss.models.segmenter import Sampling
from geocamss.output.blocks import BlockStore
from geocamss.scene.tiles import Lattice, Layout, Tile
from geocamss.scene.window import Window


@dataclass
class ArraySource:
    """A scene that is an array."""

    pixels: np.ndarray
    valid: np.ndarray
    aoi: np.ndarray
    reads: list[Window] = field(default_factory=list)

    def read(self, window: Window):
        self.reads.append(window)
        return self._cut(self.pixels, window), self._cut(self.valid, window)

    def inside(self, window: Window):
        return self._cut(self.aoi, window)

    def _cut(self, array, window):
        out = np.zeros((*array.shape[:-2], *window.shape), array.dtype)
        whole = Window(0, 0, *array.shape[-2:])
        part = window & whole
        if not part.empty:
            out[(..., *part.within(window))] = array[(..., *part.within(whole))]
        return out


@dataclass
class Part:
    """A part of a scene, as an area of interest gives it."""

    whole: ArraySource
    shift: tuple[int, int]

    def read(self, window: Window):
        return self.whole.read(window.shifted(*self.shift))

    def inside(self, window: Window):
        return np.ones(window.shape, bool)


@dataclass
class PositionSegmenter:
    """Says something that depends on the pixels around and on the place in the lattice."""

    card: ModelCard
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    fingerprint: str = "test"

    def __call__(self, chips, valid, corners, sampling):  # noqa: ARG002 (as the protocol has it)
        near = torch.nn.functional.avg_pool2d(chips.mean(1, keepdim=True), 5, 1, 2)[:, 0]
        place = (corners[:, :1, None] * 7 + corners[:, 1:, None] * 3).float()
        k = torch.arange(len(self.card.classes)).float()[:, None, None]
        logits = torch.sin(near[:, None] * 0.37 * (k + 1) + place[:, None] * 0.01 + k)
        return (logits * 3).softmax(1)


def scene(height, width, seed, bands=2):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 200, (bands, height, width)).astype("uint16")
    valid = np.ones((height, width), bool)
    if height > 3 and width > 3:
        valid[: height // 3, : width // 3] = False
        valid[rng.integers(0, height, 20), rng.integers(0, width, 20)] = False
    return ArraySource(pixels, valid, np.ones((height, width), bool))


def engine_for(source, chip, overlap, origin, block_tiles, batch=1, classes=3):  # noqa: PLR0917 (a short name for tests)
    card = ModelCard(
        bands=[f"b{i}" for i in range(len(source.pixels))],
        gsd=1.0,
        classes=[f"c{i}" for i in range(classes)],
        chip=chip,
        overlap=overlap,
    )
    layout = Layout(Lattice(chip, overlap), origin, source.valid.shape, block_tiles)
    return Engine(layout, PositionSegmenter(card), Normalizer.of(card), Sampling(), batch)


def run(engine, source, folder: Path, order=None):
    store = BlockStore(folder)
    blocks = list(engine.layout.blocks())
    for index in order or range(len(blocks)):
        block = blocks[index]
        store.save(block, engine.map_block(block, read_strips(source, engine.layout, block)))
    classes = np.full(engine.layout.shape, 77, np.uint8)
    confidence = np.full(engine.layout.shape, 77, np.uint8)
    values = np.array(engine.segmenter.card.classes.values, np.uint8)
    for window, kind, sure in stitch(engine.layout, store, values):
        place = window.within(Window(0, 0, *engine.layout.shape))
        assert (classes[place] == 77).all(), "a pixel was decided twice"
        classes[place], confidence[place] = kind, sure
    return classes, confidence


def naive(engine, source):
    """Sum the weighted probabilities of every chip of the lattice, in float64, one by one."""
    layout = engine.layout
    height, width = layout.shape
    total = np.zeros((len(engine.segmenter.card.classes), height + 2000, width + 2000))
    weight = np.outer(*[ramp(layout.lattice.chip, layout.lattice.overlap).numpy()] * 2)
    for row in layout.tile_rows:
        for col in layout.tile_cols:
            window = layout.chip_window(Tile(row, col))
            pixels, valid = source.read(window)
            good = torch.from_numpy(valid)[None]
            chips = engine.normalizer(torch.from_numpy(pixels)[None], good)
            corner = layout.lattice.chip_window(Tile(row, col))
            corners = torch.tensor([[corner.row, corner.col]])
            said = engine.segmenter(chips, good, corners, Sampling())[0].numpy()
            place = window.shifted(1000, 1000)
            total[:, place.row : place.stop_row, place.col : place.stop_col] += said * weight
    return total[:, 1000 : 1000 + height, 1000 : 1000 + width]


@pytest.mark.parametrize(
    ("chip", "overlap", "origin", "shape"),
    [
        (32, 8, (0, 0), (100, 90)),
        (32, 16, (-1_000_003, 54_321), (77, 131)),
        (16, 0, (5, 7), (40, 50)),
        (64, 16, (123, -456), (1, 1)),
        (64, 16, (123, -456), (3, 300)),
    ],
)
def test_map_equals_naive_blend(tmp_path, chip, overlap, origin, shape):
    source = scene(*shape, seed=1)
    engine = engine_for(source, chip, overlap, origin, (2, 3), batch=3)
    classes, confidence = run(engine, source, tmp_path)
    sums = naive(engine, source)
    best = sums.argmax(0)
    ordered = np.sort(sums, axis=0)
    clear = source.valid & (ordered[-1] - ordered[-2] > 8 / UNIT)
    assert clear.sum() >= 0.99 * source.valid.sum()
    np.testing.assert_array_equal(classes[clear], best[clear])
    np.testing.assert_array_equal(classes == 255, ~source.valid)
    np.testing.assert_array_equal(confidence == 255, ~source.valid)
    assert np.abs(confidence[clear] - 100 * ordered[-1][clear]).max() < 0.6


@given(
    rows=st.integers(1, 5), cols=st.integers(1, 5), batch=st.integers(1, 7), seed=st.integers(0, 9)
)
def test_blocks_and_their_order_change_nothing(tmp_path_factory, rows, cols, batch, seed):
    source = scene(70, 95, seed)
    origin = (seed * 13 - 40, 29 - seed * 31)
    whole = run(
        engine_for(source, 24, 8, origin, (99, 99), batch), source, tmp_path_factory.mktemp("a")
    )
    engine = engine_for(source, 24, 8, origin, (rows, cols), batch)
    count = len(list(engine.layout.blocks()))
    order = np.random.default_rng(seed).permutation(count).tolist()
    parts = run(engine, source, tmp_path_factory.mktemp("b"), order)
    np.testing.assert_array_equal(whole[0], parts[0])
    np.testing.assert_array_equal(whole[1], parts[1])


def test_a_part_equals_the_part_of_the_whole(tmp_path):
    source = scene(120, 140, 3)
    engine = engine_for(source, 32, 8, (1000, 2000), (2, 2))
    classes, _ = run(engine, source, tmp_path / "whole")

    layout = Layout(Lattice(32, 8), (1037, 2021), (50, 60), (1, 2))
    part = Engine(layout, engine.segmenter, engine.normalizer, Sampling(), 2)
    cut, _ = run(part, Part(source, (37, 21)), tmp_path / "part")
    np.testing.assert_array_equal(cut, classes[37:87, 21:81])


def test_each_pixel_is_read_once_by_a_block(tmp_path):
    source = scene(100, 100, 0)
    engine = engine_for(source, 32, 8, (0, 0), (99, 99))
    run(engine, source, tmp_path)
    rows = sorted((w.row, w.stop_row) for w in source.reads)
    assert all(a[1] == b[0] for a, b in pairwise(rows))


def test_tiles_without_a_wanted_pixel_are_skipped(tmp_path):
    source = scene(100, 100, 0)
    source.aoi[:] = False
    source.aoi[80:90, 80:90] = True
    engine = engine_for(source, 16, 4, (0, 0), (2, 2))
    seen = []
    call = engine.segmenter.__class__.__call__
    spy = type(
        "Spy",
        (PositionSegmenter,),
        {"__call__": lambda self, c, v, k, s: seen.append(k) or call(self, c, v, k, s)},
    )(engine.segmenter.card)
    engine = Engine(engine.layout, spy, engine.normalizer, Sampling(), 1)
    classes, _ = run(engine, source, tmp_path)
    assert 1 <= len(seen) <= 9
    np.testing.assert_array_equal(classes != 255, source.aoi & source.valid)


def test_pixels_under_nodata_do_not_matter(tmp_path):
    source = scene(60, 60, 4)
    engine = engine_for(source, 32, 8, (3, 4), (2, 2))
    first = run(engine, source, tmp_path / "a")
    source.pixels[:, ~source.valid] = 65535
    second = run(engine, source, tmp_path / "b")
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])


@dataclass
class Watchful(PositionSegmenter):
    """Answers in memory of which it sees whether it has been given back."""

    given: list[weakref.ref] = field(default_factory=list)
    kept: int = 0

    def __call__(self, chips, valid, corners, sampling):
        self.kept += sum(given() is not None for given in self.given)
        said = super().__call__(chips, valid, corners, sampling).numpy()
        self.given.append(weakref.ref(said))
        return torch.from_numpy(said)


def test_no_answer_is_kept_beside_the_next_one(tmp_path):
    source = scene(60, 60, 4)
    engine = engine_for(source, 32, 8, (3, 4), (2, 2), 2)
    watchful = Watchful(engine.segmenter.card)
    run(replace(engine, segmenter=watchful), source, tmp_path)
    assert len(watchful.given) > 1
    assert not watchful.kept


def test_a_damaged_block_file_is_not_taken_for_finished(tmp_path):
    source = scene(60, 60, 4)
    engine = engine_for(source, 32, 8, (3, 4), (1, 1))
    store = BlockStore(tmp_path)
    block = engine.layout.block(0, 0)
    assert not store.has(block, engine.layout)
    store.save(block, engine.map_block(block, read_strips(source, engine.layout, block)))
    assert store.has(block, engine.layout)
    content = bytearray(store.path(block).read_bytes())
    content[len(content) // 2] ^= 0x10
    store.path(block).write_bytes(content)
    assert not store.has(block, engine.layout)
    store.path(block).write_bytes(bytes(content[: len(content) // 2]))
    assert not store.has(block, engine.layout)


def test_a_model_that_gives_nan_is_found_out(tmp_path):
    source = scene(40, 40, 1)
    engine = engine_for(source, 16, 4, (0, 0), (9, 9))

    class Broken(PositionSegmenter):
        def __call__(self, chips, valid, corners, sampling):
            return super().__call__(chips, valid, corners, sampling) * float("nan")

    broken = Broken(engine.segmenter.card)
    engine = Engine(engine.layout, broken, engine.normalizer, Sampling(), 1)
    with pytest.raises(RunError, match="NaN"):
        run(engine, source, tmp_path)
