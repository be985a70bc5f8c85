"""Plans: what is said of a run beforehand is what the run does and takes."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from contextlib import suppress
from dataclasses import replace

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from shapely.geometry import box

import geocamss
from geocamss.budget import as_before, parse_bytes, within
from geocamss.errors import InputError
from geocamss.predict import map_scene
from geocamss.probe import Probe
from geocamss.request import Request

from .test_predict import CARD, network, read, texture, write_scene

MB = 10**6


@pytest.fixture
def model():
    return geocamss.from_module(network(), CARD)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2GB", 2 * 10**9),
        ("1.5 GiB", 3 * 2**29),
        ("800M", 800 * 10**6),
        ("4096", 4096),
        (4096, 4096),
        ("1kib", 1024),
        ("3 b", 3),
    ],
)
def test_sizes_are_read_as_people_write_them(text, expected):
    assert parse_bytes(text) == expected


@pytest.mark.parametrize(
    "text", ["", "much", "-1GB", "0", "2 potatoes", "GB", "1e9", "nan", 1.5e-3]
)
def test_other_words_are_no_sizes(text):
    with pytest.raises(InputError, match="memory"):
        parse_bytes(text)


@given(st.text(max_size=12))
def test_any_text_is_a_size_or_refused(text):
    with suppress(InputError):
        assert parse_bytes(text) > 0


def test_a_plan_counts_what_the_run_does(tmp_path, model, monkeypatch):
    scene = write_scene(tmp_path / "s.tif", texture(300, 410))
    monkeypatch.setattr("geocamss.run.block_tiles", lambda _: (3, 4))
    planned = geocamss.plan(scene, model=model)
    layout = Request(model=model).run(scene).layout
    assert (planned.height, planned.width) == (300, 410)
    assert planned.blocks == layout.block_shape
    assert planned.tiles == sum(len(list(block.tiles())) for block in layout.blocks())
    assert planned.block == tuple(48 * count for count in layout.block_tiles)
    assert (planned.skipped, planned.exact) == (0, True)
    assert planned.seconds > 0
    assert planned.memory == sum(planned.parts.values())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["s.tif"]


def test_tiles_outside_an_area_of_interest_are_skipped(tmp_path, model):
    scene = write_scene(tmp_path / "s.tif", texture(300, 410))
    with rasterio.open(scene) as file:
        bounds = file.bounds
    aoi = tmp_path / "aoi.geojson"
    corners = [
        box(bounds.left, bounds.top - 10, bounds.left + 10, bounds.top),
        box(bounds.right - 10, bounds.bottom, bounds.right, bounds.bottom + 10),
    ]
    gpd.GeoDataFrame(geometry=corners, crs="EPSG:32632").to_file(aoi)
    planned = geocamss.plan(scene, model=model, aoi=aoi)
    assert planned.exact
    assert 0 < planned.tiles - planned.skipped <= 8
    run = Request(model=model, aoi=aoi).run(scene)
    counted = count_chips(run)
    assert planned.tiles - planned.skipped == counted


def test_gaps_are_found_in_overviews(tmp_path, model):
    pixels = texture(512, 512)
    pixels[:, :, 200:] = 0
    scene = write_scene(tmp_path / "s.tif", pixels, nodata=0)
    blind = geocamss.plan(scene, model=model)
    assert (blind.skipped, blind.exact) == (0, False)
    with rasterio.open(scene, "r+") as file:
        file.build_overviews([2, 4, 8])
    planned = geocamss.plan(scene, model=model)
    counted = count_chips(Request(model=model).run(scene))
    assert counted <= planned.tiles - planned.skipped <= counted + 30
    assert planned.skipped > 0.4 * planned.tiles


def test_a_block_holds_less_where_each_chip_is_drawn_often(tmp_path, model, monkeypatch):
    """What a run that is killed may lose, and how long it heeds no SIGTERM, is a matter of time."""
    scene = write_scene(tmp_path / "s.tif", texture(700, 410))
    monkeypatch.setattr("geocamss.run.block_tiles", lambda _: (12, 4))
    for words, most in (({}, 12), ({"samples": 3}, 4), ({"samples": 3, "rounds": 2}, 2)):
        high, wide = Request(model=model, **words).run(scene).layout.block_tiles
        assert most / 2 <= high <= most
        assert 2 <= wide <= 4


def count_chips(run):
    from geocamss.strips import cut_chips, read_strips

    with run.reader() as reader:
        return sum(
            1
            for block in run.layout.blocks()
            for _ in cut_chips(
                run.layout, block, read_strips(run.pixels(reader), run.layout, block)
            )
        )


def test_a_budget_shrinks_blocks_and_then_batches(tmp_path, model):
    scene = write_scene(tmp_path / "s.tif", texture(700, 900))
    run = Request(model=model, batch_size=8, outputs=["classes"]).run(scene)
    at_once = run.batch * run.hands
    probe = Probe(300 * MB, 80 * MB, 0.01, at_once)
    needs = []
    for budget in range(330, 600, 10):
        with suppress(InputError):
            smaller = within(run, probe, budget * MB)
            network = probe.network * smaller.batch * smaller.hands // at_once
            needs.append(smaller.peak_memory(probe.process, network).ram)
            assert needs[-1] <= budget * MB
            assert smaller.batch == run.batch or smaller.layout.block_tiles == (1, 1)
    assert needs == sorted(needs)
    assert len(set(needs)) > 2


def test_what_cannot_fit_is_refused_with_the_sizes(tmp_path, model):
    scene = write_scene(tmp_path / "s.tif", texture(300, 410))
    with pytest.raises(InputError, match=r"does not fit into 50MB: .* take \d+MB.*--memory \d+MB"):
        geocamss.predict(scene, tmp_path / "out", model=model, memory="50MB")
    assert not (tmp_path / "out").exists()


def test_what_no_machine_holds_is_refused_before_it_is_asked_for(tmp_path, model, monkeypatch):
    scene = write_scene(tmp_path / "s.tif", texture(300, 410))
    monkeypatch.setattr("geocamss.budget.machine_bytes", lambda: 10 * MB)
    said = r"64 pixels with 3 bands and 4 classes take \d+MB .* and there are 10MB.*--memory"
    with pytest.raises(InputError, match=said):
        geocamss.predict(scene, tmp_path / "out", model=model)
    assert not (tmp_path / "out").exists()


def test_the_sizes_of_a_card_are_bounded_together():
    words = {"bands": ["red"], "gsd": 1.0, "classes": [f"c{i}" for i in range(200)], "overlap": 8}
    assert geocamss.ModelCard(**words, chip=2048).chip == 2048
    with pytest.raises(ValidationError, match=r"chip of 8192 .* 200 classes takes 134\.5 GB"):
        geocamss.ModelCard(**words, chip=8192)


def test_a_budget_changes_no_pixel(tmp_path, model):
    scene = write_scene(tmp_path / "s.tif", texture(300, 410))
    plain = geocamss.predict(scene, tmp_path / "a", model=model, outputs=["classes"])
    within_it = geocamss.predict(
        scene, tmp_path / "b", model=model, outputs=["classes"], memory="8GB"
    )
    np.testing.assert_array_equal(read(plain.classes), read(within_it.classes))


def test_an_interrupted_run_keeps_its_blocks_though_more_memory_is_taken_now(tmp_path, model):
    scene = write_scene(tmp_path / "s.tif", texture(700, 900))
    run = Request(model=model, batch_size=8, outputs=["classes"]).run(scene)
    at_once = run.batch * run.hands
    first = within(run, Probe(300 * MB, 80 * MB, 0.01, at_once), 480 * MB)
    other = within(run, Probe(380 * MB, 80 * MB, 0.01, at_once), 480 * MB)
    assert first.key != other.key
    journal = json.loads(json.dumps({"key": first.key, **first.sizes}))
    for budget in (480 * MB, 500 * MB, None):
        kept = as_before(run, journal, budget)
        assert kept is not None
        assert (kept.key, kept.sizes) == (first.key, first.sizes)
    assert as_before(run, journal, 479 * MB) is None
    for words in ({"memory": "480MB"}, {"memory": "480MB", "batch_size": 8}, {}):
        again = Request(model=model, outputs=["classes"], **words)
        assert again.run(scene, journal=journal).key == first.key


@pytest.mark.parametrize(
    "damage",
    [
        {"key": "k" * 64},
        {"key": None},
        {"batch": 0},
        {"batch": "8"},
        {"batch": 10**40},
        {"block_tiles": [1]},
        {"block_tiles": [10**40, -1]},
        {"block_tiles": {"rows": 1}},
        {"memory": "much"},
    ],
)
def test_the_journal_of_another_run_decides_nothing(tmp_path, model, damage):
    scene = write_scene(tmp_path / "s.tif", texture(200, 300))
    run = Request(model=model, batch_size=2).run(scene)
    journal = {"key": run.key, **run.sizes, "memory": 10**9} | damage
    assert as_before(run, journal, 10**9) is None
    assert as_before(run, {}, None) is None


class StoppedError(Exception):
    """Ends a run in the middle."""


def test_other_sizes_do_not_throw_finished_blocks_away(tmp_path, model):
    def stop(progress):
        if 2 * progress.done > progress.total:
            raise StoppedError

    scene, out = write_scene(tmp_path / "s.tif", texture(300, 410)), tmp_path / "out"
    words = {"model": model, "outputs": ["classes"]}
    small = replace(Request(model=model).run(scene), block_tiles=(2, 3), memory=4000 * MB)
    with pytest.raises(StoppedError):
        map_scene(small, out, ["classes"], overwrite=False, tell=stop)
    assert len(list(out.rglob("*.npz"))) > 2
    assert Request(model=model, memory=4000 * MB).run(scene).key != small.key
    # A warning, and so an error here, would say that it starts over.
    done = geocamss.predict(scene, out, **words, memory=4000 * MB)
    plain = geocamss.predict(scene, tmp_path / "plain", **words)
    assert done.classes.read_bytes() == plain.classes.read_bytes()


CHILD = """
    import sys, torch
    from pathlib import Path
    import geocamss
    from geocamss.products import PRODUCTS
    scene, out, outputs = sys.argv[1:]
    outputs = list(PRODUCTS) if outputs == "all" else [outputs]
    torch.manual_seed(0)
    card = geocamss.ModelCard(
        bands=["red", "green", "blue"], gsd=0.5, scale=1 / 255, classes=list("abcde"),
        chip=256, overlap=64,
    )
    model = geocamss.from_module(torch.nn.Conv2d(3, 5, 3, padding=1), card)
    if out == "plan":
        print(geocamss.plan(scene, model=model, outputs=outputs).memory)
    else:
        geocamss.predict(scene, out, model=model, outputs=outputs)
        lines = Path("/proc/self/status").read_text().splitlines()
        print(next(int(x.split()[1]) for x in lines if x.startswith("VmHWM")) * 1024)
"""


def child(*words):
    command = [sys.executable, "-c", textwrap.dedent(CHILD), *map(str, words)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return int(done.stdout.split()[-1])


FIELD = 16
"""Pixels along the side of a square of one color."""


@pytest.mark.slow
@pytest.mark.parametrize("outputs", ["classes", "all"])
@pytest.mark.parametrize("shape", [(600, 700), (5000, 1500), (1500, 7000)])
def test_the_plan_is_within_a_fifth_of_the_peak(tmp_path, shape, outputs):
    pixels = texture(*shape)
    if outputs == "all":
        # Polygons of noise, one for a few pixels, take more than those of a map.
        few = texture(*(-(-side // FIELD) for side in shape))
        pixels = few.repeat(FIELD, 1).repeat(FIELD, 2)[:, : shape[0], : shape[1]]
    scene = write_scene(tmp_path / "s.tif", pixels, tiled=True, blockxsize=256, blockysize=256)
    planned, peak = (child(scene, where, outputs) for where in ("plan", tmp_path / "out"))
    assert planned == pytest.approx(peak, rel=0.2)
