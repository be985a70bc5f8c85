"""From a scene to a map: the laws that hold whatever the network."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import torch
from rasterio.features import rasterize
from rasterio.transform import from_origin
from rio_cogeo.cogeo import cog_validate
from shapely.geometry import Polygon, box

import geocamss
from geocamss.errors import DiskFullError, InputError, OutputError
from geocamss.products import PRODUCTS, files_of

CARD = geocamss.ModelCard(
    bands=["red", "green", "blue"],
    gsd=0.5,
    scale=1 / 255,
    classes=["a", "b", "c", "d"],
    chip=64,
    overlap=16,
)


def network(seed=0):
    torch.manual_seed(seed)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 5, padding=2), torch.nn.Tanh(), torch.nn.Conv2d(8, 4, 5, padding=2)
    )


@pytest.fixture
def model():
    return geocamss.from_module(network(), CARD)


def write_scene(
    path, pixels, *, crs="EPSG:32632", origin=(500_000.25, 5_400_000.25), res=0.5, **more
):
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=len(pixels),
        height=pixels.shape[1],
        width=pixels.shape[2],
        dtype=pixels.dtype,
        crs=crs,
        transform=from_origin(*origin, res, res),
        photometric="RGB",
        **more,
    ) as file:
        file.write(pixels)
    return path


def texture(height, width, seed=0):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(1, 255, (3, -(-height // 7), -(-width // 7)))
    fine = np.kron(coarse, np.ones((1, 7, 7)))[:, :height, :width]
    return np.clip(fine + rng.normal(0, 20, fine.shape), 1, 255).astype("uint8")


def read(path):
    with rasterio.open(path) as file:
        return file.read(1)


def test_the_map_lies_on_the_scene(tmp_path, model):
    pixels = texture(150, 190)
    pixels[:, 20:60, 30:90] = 0
    scene = write_scene(tmp_path / "s.tif", pixels, nodata=0)
    result = geocamss.predict(scene, tmp_path / "out", model=model)
    with rasterio.open(scene) as before, rasterio.open(result.classes) as after:
        assert (after.crs, after.transform, after.shape) == (
            before.crs,
            before.transform,
            before.shape,
        )
        assert after.nodata == 255
        assert after.dtypes == ("uint8",)
        assert after.colormap(1)[1][:3] == CARD.classes.classes[1].color
        np.testing.assert_array_equal(after.dataset_mask(), before.dataset_mask())
        assert after.tags()["GEOCAMSS_MODEL_FINGERPRINT"] == model.fingerprint
    for path in (result.classes, result.confidence):
        assert cog_validate(path, strict=True, quiet=True)[0]


def test_progress_begins_with_nothing_and_ends_with_all(tmp_path, model):
    scene = write_scene(tmp_path / "s.tif", texture(150, 190))
    told = []
    geocamss.predict(
        scene, tmp_path / "out", model=model, outputs=["classes"], progress=told.append
    )
    done = [report.done for report in told if report.stage == "map"]
    assert done == sorted(done)
    assert (done[0], done[-1]) == (0, 150 * 190)


def test_polygons_are_the_map(tmp_path, model):
    scene = write_scene(tmp_path / "s.tif", texture(120, 130))
    result = geocamss.predict(scene, tmp_path / "out", model=model)
    frame = gpd.read_file(result.polygons, layer="polygons")
    assert {"class", "name", "confidence", "area_m2"} <= set(frame.columns)
    with rasterio.open(result.classes) as file:
        again = rasterize(
            zip(frame.geometry, frame["class"], strict=True),
            out_shape=file.shape,
            transform=file.transform,
            fill=255,
            dtype="uint8",
        )
        np.testing.assert_array_equal(again, file.read(1))
    sums = frame.groupby("class")["area_m2"].sum()
    for row in result.areas.to_dict("records"):
        assert sums.get(row["class"], 0.0) == pytest.approx(row["area_m2"])


def test_an_area_of_interest_changes_no_pixel(tmp_path, model):
    scene = write_scene(tmp_path / "s.tif", texture(200, 260))
    whole = read(
        geocamss.predict(scene, tmp_path / "whole", model=model, outputs=["classes"]).classes
    )
    left, top = 500_000.25, 5_400_000.25
    shape = Polygon([(left + 20, top - 30), (left + 110, top - 45), (left + 60, top - 90)])
    aoi = tmp_path / "aoi.geojson"
    gpd.GeoDataFrame(geometry=[shape], crs="EPSG:32632").to_crs(4326).to_file(aoi)
    result = geocamss.predict(scene, tmp_path / "part", model=model, outputs=["classes"], aoi=aoi)
    with rasterio.open(result.classes) as file:
        part = file.read(1)
        col, row = round((file.transform.c - left) / 0.5), round((top - file.transform.f) / 0.5)
    same = whole[row : row + part.shape[0], col : col + part.shape[1]]
    inside = part != 255
    assert 0.4 < inside.mean() < 0.6
    np.testing.assert_array_equal(part[inside], same[inside])


def test_a_cut_changes_nothing_farther_than_a_chip(tmp_path, model):
    pixels = texture(150, 400)
    whole_scene = write_scene(tmp_path / "whole.tif", pixels)
    cut = 171
    halves = [
        write_scene(tmp_path / "left.tif", pixels[:, :, :cut]),
        write_scene(
            tmp_path / "right.tif", pixels[:, :, cut:], origin=(500_000.25 + cut / 2, 5_400_000.25)
        ),
    ]
    maps = [
        read(
            geocamss.predict(
                s, tmp_path / f"{s.stem}-out", model=model, outputs=["classes"]
            ).classes
        )
        for s in (whole_scene, *halves)
    ]
    np.testing.assert_array_equal(maps[0][:, : cut - 64], maps[1][:, :-64])
    np.testing.assert_array_equal(maps[0][:, cut + 64 :], maps[2][:, 64:])


def test_batch_size_and_blocks_change_nothing(tmp_path, model, monkeypatch):
    scene = write_scene(tmp_path / "s.tif", texture(230, 210))
    first = geocamss.predict(scene, tmp_path / "a", model=model, batch_size=3)
    monkeypatch.setattr("geocamss.run.block_tiles", lambda _: (1, 2))
    second = geocamss.predict(scene, tmp_path / "b", model=model, batch_size=3)
    for name in ("classes.tif", "confidence.tif"):
        assert (first.folder / name).read_bytes() == (second.folder / name).read_bytes()
    third = geocamss.predict(scene, tmp_path / "c", model=model, batch_size=8)
    assert (read(first.classes) != read(third.classes)).mean() <= 1e-5


def test_a_naive_loop_agrees(tmp_path):
    """One chip that holds the whole scene, no blending: the network's own answer."""
    card = CARD.model_copy(update={"chip": 512, "overlap": 0})
    net = network(3)
    pixels = texture(300, 200, seed=5)
    scene = write_scene(tmp_path / "s.tif", pixels, origin=(512 * 0.5 * 1000, 512 * 0.5 * 20_000))
    result = geocamss.predict(scene, tmp_path / "o", model=geocamss.from_module(net, card))
    chip = torch.zeros(1, 3, 512, 512)
    chip[0, :, :300, :200] = torch.from_numpy(pixels) / 255
    with torch.inference_mode():
        said = net(chip).softmax(1)[0, :, :300, :200]
    top = said.topk(2, dim=0).values
    clear = (top[0] - top[1] > 1e-3).numpy()
    np.testing.assert_array_equal(read(result.classes)[clear], said.argmax(0).numpy()[clear])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"samples": 0}, "samples"),
        ({"steps": 0}, "steps"),
        ({"seed": -1}, "seed"),
        ({"batch_size": 0}, "batch size"),
        ({"outputs": ["classes", "maps"]}, "'maps'.*classes"),
        ({"outputs": []}, "no output"),
        ({"gsd": -3.0}, "gsd|GSD|size"),
        ({"bands": {"red": 9}}, "9"),
        ({"crs": "EPSG:nonsense"}, "nonsense"),
        ({"aoi": "nowhere.gpkg"}, r"nowhere\.gpkg"),
        ({"model": "arial-landcover"}, "aerial-landcover"),
        ({"model": "aerial-landcover", "device": "abacus"}, "abacus"),
    ],
)
def test_bad_arguments_are_named_before_anything_is_written(tmp_path, model, arguments, message):
    scene = write_scene(tmp_path / "s.tif", texture(40, 40))
    with pytest.raises(InputError, match=message):
        geocamss.predict(scene, tmp_path / "out", **({"model": model} | arguments))
    assert not (tmp_path / "out").exists()


def test_existing_outputs_are_refused(tmp_path, model):
    scene = write_scene(tmp_path / "s.tif", texture(40, 40))
    geocamss.predict(scene, tmp_path / "out", model=model)
    with pytest.raises(OutputError, match="--overwrite"):
        geocamss.predict(scene, tmp_path / "out", model=model)
    geocamss.predict(scene, tmp_path / "out", model=model, overwrite=True)


@pytest.mark.parametrize("shape", [(1, 1), (3, 700), (700, 1)])
def test_odd_shapes(tmp_path, model, shape):
    scene = write_scene(tmp_path / "s.tif", texture(*shape))
    result = geocamss.predict(scene, tmp_path / "out", model=model)
    assert read(result.classes).shape == shape
    assert (read(result.classes) < 4).all()


def test_a_scene_without_data_gives_a_map_without_data(tmp_path, model):
    scene = write_scene(tmp_path / "s.tif", np.zeros((3, 80, 90), "uint8"), nodata=0)
    result = geocamss.predict(scene, tmp_path / "out", model=model)
    assert (read(result.classes) == 255).all()
    assert len(gpd.read_file(result.polygons, layer="polygons")) == 0
    assert result.areas["pixels"].sum() == 0


def test_nodata_never_becomes_a_class_nor_bleeds_into_one(tmp_path, model):
    pixels = texture(150, 150)
    hole = np.zeros((150, 150), bool)
    hole[40:90, 60:100] = True
    one, other = pixels.copy(), pixels.copy()
    one[:, hole], other[:, hole] = 0, 0
    scene = write_scene(tmp_path / "a.tif", one, nodata=0)
    values = geocamss.predict(scene, tmp_path / "a", model=model)
    other[:, hole] = 255
    masked = tmp_path / "b.tif"
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        write_scene(masked, other)
        with rasterio.open(masked, "r+") as file:
            file.write_mask(np.where(hole, 0, 255).astype("uint8"))
    by_mask = geocamss.predict(masked, tmp_path / "b", model=model)
    np.testing.assert_array_equal(read(values.classes) == 255, hole)
    np.testing.assert_array_equal(read(values.classes), read(by_mask.classes))


SCRIPT = """
    import os, signal, sys, time, torch
    import geocamss, geocamss.products, geocamss.run
    sys.path.insert(0, {tests!r})
    from test_predict import CARD, network
    geocamss.run.block_tiles = lambda card: {blocks}

    class Slow(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = network()
            self.calls = 0

        def forward(self, x):
            if {pause} and self.calls == {pause}:
                print("pausing", flush=True)
                time.sleep(60)
            self.calls += 1
            return self.inner(x)

    if {dies}:
        geocamss.products.RasterWriter.finish = lambda _: os.kill(os.getpid(), signal.SIGKILL)
    net = Slow()
    model = geocamss.from_module(net, CARD)
    geocamss.predict({scene!r}, {out!r}, model=model, batch_size=2, outputs={outputs!r})
    print("calls", net.calls, flush=True)
"""


def run_script(scene, out, pause=0, *, blocks=(1, 1), outputs=tuple(PRODUCTS), dies=False):
    code = textwrap.dedent(SCRIPT).format(
        tests=str(Path(__file__).parent),
        scene=str(scene),
        out=str(out),
        pause=pause,
        blocks=blocks,
        outputs=outputs,
        dies=dies,
    )
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


def finish(process):
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    return int(out.split()[-1])


def test_a_killed_run_goes_on_where_it_was_to_the_same_bytes(tmp_path):
    scene = write_scene(tmp_path / "s.tif", texture(200, 220))
    calls = finish(run_script(scene, tmp_path / "whole"))
    process = run_script(scene, tmp_path / "killed", pause=calls // 2)
    assert process.stdout.readline().strip() == "pausing"
    time.sleep(0.2)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert [p.name for p in (tmp_path / "killed").iterdir()] == [".geocamss"]
    assert finish(run_script(scene, tmp_path / "killed")) <= calls - calls // 2 + 1
    for name in files_of(PRODUCTS):
        whole, resumed = tmp_path / "whole" / name, tmp_path / "killed" / name
        assert whole.read_bytes() == resumed.read_bytes(), name


def test_a_changed_scene_starts_over(tmp_path, model):
    scene = write_scene(tmp_path / "s.tif", texture(100, 100))
    process = run_script(scene, tmp_path / "out", pause=3)
    assert process.stdout.readline().strip() == "pausing"
    process.kill()
    process.communicate()
    write_scene(scene, texture(100, 100, seed=1))
    with pytest.warns(geocamss.GeocamssWarning, match="starts over"):
        result = geocamss.predict(scene, tmp_path / "out", model=model, batch_size=2)
    fresh = geocamss.predict(scene, tmp_path / "fresh", model=model, batch_size=2)
    np.testing.assert_array_equal(read(result.classes), read(fresh.classes))


def test_a_map_in_another_crs_covers_the_scene(tmp_path, model):
    scene = write_scene(tmp_path / "s.tif", texture(150, 150))
    result = geocamss.predict(scene, tmp_path / "out", model=model, crs="EPSG:3857")
    with rasterio.open(result.classes) as file, rasterio.open(scene) as before:
        assert file.crs.to_epsg() == 3857
        bounds = rasterio.warp.transform_bounds(before.crs, file.crs, *before.bounds)
        assert box(*file.bounds).buffer(1e-6).contains(box(*bounds))
        assert 0.9 < (file.read(1) != 255).mean() < 1


def test_too_small_a_disk_is_refused_before_the_run(tmp_path, small_disk, model):
    scene = write_scene(tmp_path / "s.tif", texture(1300, 1300))
    with pytest.raises(DiskFullError, match=r"s\.tif needs [\d.]+ MB .* [\d.]+ MB are free"):
        geocamss.predict(scene, small_disk / "out", model=model)
    assert not (small_disk / "out").exists()


def test_a_disk_that_fills_up_stops_the_run_which_goes_on_after(tmp_path, small_disk, model):
    scene = write_scene(tmp_path / "s.tif", texture(700, 700))
    ballast = small_disk / "ballast"

    def fill(progress):
        if progress.done and not ballast.exists():
            with pytest.raises(OSError, match="space"), ballast.open("wb") as file:  # noqa: PT012 (all of it fills the disk)
                while True:
                    file.write(bytes(4096))
                    file.flush()

    said = (
        r"about [1-9][\d.]* MB more are needed, and [\d.]+ MB are free; make room and run the same"
    )
    with pytest.raises(DiskFullError, match=said):
        geocamss.predict(scene, small_disk / "out", model=model, progress=fill)
    assert not (small_disk / "out" / "classes.tif").exists()
    ballast.unlink()
    result = geocamss.predict(scene, small_disk / "out", model=model, outputs=["classes"])
    whole = geocamss.predict(scene, tmp_path / "whole", model=model, outputs=["classes"])
    assert result.classes.read_bytes() == whole.classes.read_bytes()


def test_a_run_killed_while_it_wrote_goes_on_where_there_is_room_for_one(tmp_path, small_disk):
    """What it had half written is as large as what was free."""
    options = {"blocks": (99, 99), "outputs": ("classes",)}
    scene = write_scene(tmp_path / "s.tif", texture(1000, 1000))
    (small_disk / "ballast").write_bytes(bytes(3_600_000))
    process = run_script(scene, small_disk / "out", **options, dies=True)
    process.communicate(timeout=300)
    assert process.returncode == -signal.SIGKILL
    assert list((small_disk / "out").glob(".geocamss/*.strips.tif"))
    assert shutil.disk_usage(small_disk).free < 1_000_000
    assert finish(run_script(scene, small_disk / "out", **options)) == 0
    names = {path.name for path in (small_disk / "out").iterdir()}
    assert names == set(files_of(options["outputs"]))


def test_polygons_that_do_not_fit_are_told_before_they_are_traced(tmp_path, small_disk):
    """The network shows the noise that it sees: the map is all outline."""
    scene = write_scene(
        tmp_path / "s.tif", np.random.default_rng(0).choice([1, 255], (3, 450, 450)).astype("uint8")
    )
    seen = []

    class Shows(torch.nn.Module):
        def forward(self, chips):
            seen.append(len(chips))
            return 9 * torch.cat([chips, 1 - chips.sum(1, keepdim=True)], 1)

    model = geocamss.from_module(Shows(), CARD)
    said = r"s\.tif is ready, but its polygons need \d[\d.]+ MB or more, and [45][\d.]+ MB are free"
    with pytest.raises(DiskFullError, match=said):
        geocamss.predict(scene, small_disk / "out", model=model)
    assert [path.name for path in (small_disk / "out").iterdir()] == [".geocamss"]
    subprocess.run(["/bin/mount", "-o", "remount,size=60m", str(small_disk)], check=True)
    mapped = len(seen)
    result = geocamss.predict(scene, small_disk / "out", model=model)
    assert len(seen) == mapped
    assert result.polygons.stat().st_size > 6e6


def test_a_run_killed_at_the_end_is_complete_only_with_what_is_asked_for(tmp_path, model):
    scene = write_scene(tmp_path / "s.tif", texture(80, 90))
    wanted, more = ["style", "confidence"], ["style", "confidence", "classes"]

    def killed(out, outputs):
        replace = Path.replace

        def dies(self, target):
            if Path(target) == out / "confidence.tif":
                raise SystemExit
            return replace(self, target)

        with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit):  # noqa: PT012 (dies within)
            patch.setattr(Path, "replace", dies)
            geocamss.predict(scene, out, model=model, outputs=outputs)

    whole = geocamss.predict(scene, tmp_path / "whole", model=model, outputs=wanted)
    out = tmp_path / "out"
    killed(out, wanted)
    with pytest.raises(OutputError, match="--overwrite"):
        geocamss.predict(scene, out, model=model, outputs=more)
    ended = geocamss.predict(scene, out, model=model, outputs=wanted)
    assert ended.areas.equals(whole.areas)
    assert len(ended.areas) == 4
    assert {path.name for path in out.iterdir()} == set(files_of(wanted))
    killed(tmp_path / "two", wanted)
    made = geocamss.predict(scene, tmp_path / "two", model=model, outputs=more, overwrite=True)
    assert {path.name for path in made.folder.iterdir()} == set(files_of(more))


def test_an_interrupted_run_leaves_nothing_under_a_final_name(tmp_path, model):
    scene = write_scene(tmp_path / "s.tif", texture(300, 300))

    def interrupt(progress):
        if progress.done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        geocamss.predict(scene, tmp_path / "out", model=model, progress=interrupt)
    assert not [p for p in (tmp_path / "out").glob("*") if p.name != ".geocamss"]


def test_a_map_without_confidence_is_the_same(tmp_path, model):
    scene = write_scene(tmp_path / "s.tif", texture(300, 410))
    whole = geocamss.predict(scene, tmp_path / "whole", model=model)
    plain = geocamss.predict(scene, tmp_path / "plain", model=model, outputs=["classes"])
    assert plain.classes.read_bytes() == whole.classes.read_bytes()


@pytest.mark.parametrize(
    ("first", "then", "kept"),
    [
        (["classes", "confidence"], ["classes"], True),
        (["classes"], ["classes", "style"], True),
        (["classes"], ["classes", "confidence"], False),
    ],
)
def test_blocks_that_hold_what_is_asked_for_are_kept(tmp_path, model, first, then, kept):
    scene, out = write_scene(tmp_path / "s.tif", texture(700, 410)), tmp_path / "out"
    whole = geocamss.predict(scene, tmp_path / "whole", model=model, outputs=then)

    def stop(progress):
        if progress.stage != "map":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        geocamss.predict(scene, out, model=model, outputs=first, progress=stop)
    before = {path.name: path.stat().st_mtime_ns for path in out.rglob("*.npz")}
    assert before
    after = {}

    def look(progress):
        if progress.stage != "map":
            after.update({path.name: path.stat().st_mtime_ns for path in out.rglob("*.npz")})

    words = {"model": model, "outputs": then, "progress": look}
    if kept:
        done = geocamss.predict(scene, out, **words)
    else:
        with pytest.warns(geocamss.errors.GeocamssWarning, match="starts over"):
            done = geocamss.predict(scene, out, **words)
    assert (after == before) == kept
    assert done.classes.read_bytes() == whole.classes.read_bytes()
