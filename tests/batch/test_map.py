"""Many scenes on a cluster: the maps of predict, whatever fails on the way."""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
import signal
import sys
import time
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
import torch
from distributed import LocalCluster
from distributed.diagnostics.plugin import SchedulerPlugin
from shapely.geometry import box

import geocamss
from geocamss.batch.cluster import _dashboard, check_folder
from geocamss.batch.plan import plan_job
from geocamss.batch.run import TASKS_A_THREAD
from geocamss.cli.main import main
from geocamss.errors import GeocamssError, InputError, OutputError
from geocamss.output.blocks import BlockStore
from geocamss.output.folder import OutputFolder
from geocamss.predict import map_blocks
from geocamss.products import ALL_FILES
from geocamss.request import Request
from geocamss.scene.catalog import find_scenes
from geocamss.scene.scene import Scene
from tests.batch.conftest import OUTPUTS, RASTERS, same_rasters


@dataclass(frozen=True)
class Site:
    """Scenes, a model and a cluster."""

    scenes: Path
    model: Path
    cluster: LocalCluster
    single: Path

    @property
    def first(self) -> Path:
        """One of the scenes."""
        return self.scenes / "s0_20240101.tif"

    def map(self, sources, out, **options):
        """Map on the cluster."""
        given = {"outputs": OUTPUTS, "model": self.model}
        given["scheduler"] = self.cluster.scheduler_address
        return geocamss.map_scenes(sources, out, **(given | options))


@pytest.fixture(scope="module")
def site(scenes, model, cluster, single) -> Site:
    return Site(scenes, model, cluster, single)


@pytest.fixture(scope="module")
def job(tmp_path_factory, site):
    """The scenes, mapped by the cluster."""
    told = []
    out = tmp_path_factory.mktemp("job") / "out"
    result = site.map([site.scenes], out, progress=told.append)
    return result, told


def test_the_rasters_are_those_of_predict(job, site):
    result, _ = job
    assert [scene.state for scene in result.scenes] == ["done"] * 3
    assert not result.failed
    same_rasters(site.single, result.folder)


def test_there_were_many_blocks_and_nothing_is_left_over(job):
    result, told = job
    assert told[-1].blocks == told[-1].blocks_done == sum(s.blocks for s in result.scenes) > 9
    assert (told[-1].ended, told[-1].failed) == (3, 0)
    assert {path.name for path in (result.folder / "s0_20240101").iterdir()} == {
        "classes.tif",
        "classes.tif.aux.xml",
        "confidence.tif",
        "item.json",
    }


def test_its_catalog_can_be_read_as_scenes(job):
    result, _ = job
    found = find_scenes([result.catalog])
    assert [(source.id, source.problem) for source in found] == [
        (scene.id, "") for scene in result.scenes
    ]
    for source in found:
        scene = Scene.open(source.path)
        assert (scene.height, scene.width) == (150, 130)


def test_its_report_tells_where_it_ran(job, site):
    result, _ = job
    said = json.loads(result.report.with_suffix(".json").read_text())["environment"]
    assert said["scheduler"] == site.cluster.scheduler_address
    assert said["workers"] == "2, of 2 threads in all"
    assert torch.device(said["device"]).type in ("cpu", "cuda")


def test_its_report_opens_in_a_browser(job, browser):
    result, _ = job
    browser.driver.get("about:blank")
    browser.logs()
    browser.driver.get(result.report.as_uri())
    assert browser.text("h1") == "3 of 3 scenes mapped"
    widths = browser.run("return [...document.images].map(image => image.naturalWidth);")
    assert len(widths) == 3
    assert min(widths) > 0
    assert browser.logs() == []


def test_scenes_end_one_after_another(job):
    _, told = job
    ends = [report.ending.id for report in told if report.ending is not None]
    assert ends[0] == "s0_20240101"


class Watcher(SchedulerPlugin):
    """Remembers what a scheduler is given."""

    name = "watcher"

    def __init__(self, scheduler) -> None:
        self.scheduler = scheduler
        self.most = 0
        self.tasks = {}

    def transition(self, key, _start, finish, *_, **__):
        states = [task.state for task in self.scheduler.tasks.values()]
        self.most = max(self.most, states.count("processing"))
        if finish == "processing":
            task = self.scheduler.tasks[key]
            self.tasks[str(key)] = task.priority[0], len(pickle.dumps(task.run_spec))


def test_the_scheduler_is_given_few_small_tasks_with_names(tmp_path, site):
    scheduler = site.cluster.scheduler
    watcher = Watcher(scheduler)
    scheduler.add_plugin(watcher)
    try:
        result = site.map([site.scenes], tmp_path / "out")
    finally:
        scheduler.remove_plugin(watcher.name)
    blocks = sum(scene.blocks for scene in result.scenes)
    assert len(watcher.tasks) == blocks + 2 * 3
    assert watcher.most <= 2 * TASKS_A_THREAD + 3 < blocks
    priorities = {}
    for name, (priority, size) in watcher.tasks.items():
        found = re.fullmatch(r"(open-scene|map-block|finish-scene)-(s\d_\d{8})-[-\w]+", name)
        assert found, name
        assert size < 10_000
        priorities.setdefault(found[1], {}).setdefault(found[2], set()).add(priority)
    for kind, scenes in priorities.items():
        ranks = [scenes[name] for name in sorted(scenes)]
        first = min(ranks[0])  # the lowest is the first to go
        assert ranks == [{first}, {first + 1}, {first + 2}], kind


def test_each_worker_loads_the_model_once(tmp_path, site):
    def count():
        def segmenter(self, as_before=Request.segmenter):
            Request.loads = getattr(Request, "loads", 0) + 1
            return as_before(self)

        Request.as_before, Request.segmenter = Request.segmenter, segmenter

    def counted():
        Request.segmenter = Request.as_before
        return Request.loads

    with site.cluster.get_client() as client:
        client.run(count)
        result = site.map([site.scenes], tmp_path / "out")
        assert not result.failed
        assert list(client.run(counted).values()) == [1, 1]


@pytest.mark.slow
def test_a_worker_of_our_own_writes_all_that_predict_writes(tmp_path, site):
    """One worker, all outputs, and an area of interest."""
    with rasterio.open(site.first) as file:
        (left, bottom, right, top), crs = file.bounds, file.crs
    area = gpd.GeoDataFrame(geometry=[box(left + 20.5, bottom + 9.5, right, top - 30.5)], crs=crs)
    area.to_crs(4326).to_file(tmp_path / "area.gpkg")
    given = {"model": site.model, "aoi": tmp_path / "area.gpkg"}
    (scene,) = geocamss.map_scenes([site.first], tmp_path / "out", workers=1, **given).scenes
    alone = tmp_path / "alone"
    geocamss.predict(site.first, alone, **given)
    assert scene.state == "done"
    assert {path.name for path in scene.folder.iterdir()} == {p.name for p in alone.iterdir()}
    rasters = [path.name for path in alone.glob("*.tif")]
    assert set(RASTERS) <= set(rasters)
    for raster in rasters:
        assert (scene.folder / raster).read_bytes() == (alone / raster).read_bytes(), raster
    (polygons,) = alone.glob("*.gpkg")
    pd.testing.assert_frame_equal(
        *(
            gpd.read_file(file, layer="polygons")
            for file in (polygons, scene.folder / polygons.name)
        )
    )
    with rasterio.open(alone / "classes.tif") as file:
        assert file.shape == (111, 110)


def test_the_same_call_does_nothing_again(job, site):
    result, _ = job
    stamps = {path: path.stat().st_mtime_ns for path in result.folder.rglob("*.tif")}
    again = site.map([site.scenes], result.folder)
    assert [scene.state for scene in again.scenes] == ["kept"] * 3
    assert stamps == {path: path.stat().st_mtime_ns for path in result.folder.rglob("*.tif")}
    assert [scene.areas for scene in again.scenes] == [scene.areas for scene in result.scenes]


def test_only_what_is_missing_is_done(job, site, tmp_path):
    result, _ = job
    out = tmp_path / "out"
    shutil.copytree(result.folder, out)
    shutil.rmtree(out / "s1_20240102")
    again = site.map([site.scenes], out)
    assert [scene.state for scene in again.scenes] == ["kept", "done", "kept"]
    same_rasters(site.single, out)


def test_processes_of_our_own_look_seldom_at_how_late_they_are(site):
    """Dask has each look fifty times a second, which takes a hundredth of a core."""

    def pause(dask_worker):
        return dask_worker.periodic_callbacks["tick"].callback_time

    with site.cluster.get_client() as client:
        pauses = list(client.run(pause).values())
    pauses.append(site.cluster.scheduler.periodic_callbacks["tick"].callback_time)
    assert min(pauses) >= 500


def test_bad_scenes_do_not_keep_good_ones(tmp_path, site, capsys):
    mixed = tmp_path / "mixed"
    shutil.copytree(site.scenes, mixed)
    (mixed / "a_text.tif").write_text("no raster")
    with rasterio.open(site.first) as file:
        gray, profile = file.read(1), file.profile | {"count": 1, "photometric": "MINISBLACK"}
    with rasterio.open(mixed / "b<script>.tif", "w", **profile) as file:
        file.write(gray, 1)
    command = ["map", str(mixed), "-o", str(tmp_path / "out"), "--model", str(site.model)]
    command += ["--scheduler", site.cluster.scheduler_address, "--outputs", ",".join(OUTPUTS)]
    assert main(command) == 1
    said = capsys.readouterr()
    assert "3 of 5 scenes mapped" in said.out
    assert "5 of 5" in said.err
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["totals"] | {"areas": None} == report["totals"] | {
        "areas": None,
        "scenes": 5,
        "done": 3,
        "failed": 2,
    }
    reasons = {scene["id"]: scene["reason"] for scene in report["scenes"] if scene["reason"]}
    assert set(reasons) == {"a_text", "b_script"}
    assert "a_text.tif" in reasons["a_text"]
    assert "green" in reasons["b_script"] or "red" in reasons["b_script"]
    assert not (tmp_path / "out" / "a_text").exists()
    for path in site.scenes.glob("*.tif"):  # copies, whose files name their own scenes
        whole = tmp_path / "out" / path.stem / "classes.tif"
        with (
            rasterio.open(whole) as one,
            rasterio.open(site.single / path.stem / whole.name) as two,
        ):
            np.testing.assert_array_equal(one.read(1), two.read(1))


def test_a_mosaic_of_the_mean_keeps_the_probabilities_of_all_maps(tmp_path, site):
    mosaic = geocamss.Mosaic("EPSG:32632", gsd=1.0, tile=128, rule="mean")
    result = site.map([site.scenes], tmp_path / "out", outputs=["classes"], mosaic=mosaic)
    assert not result.failed
    sums, count = np.zeros((4, 150, 310), int), np.zeros((150, 310), int)
    for number, scene in enumerate(result.scenes):  # side by side, 90 pixels apart
        with rasterio.open(scene.folder / "probabilities.tif") as file:
            said = file.read()
        there = said[0] != 255
        part = slice(None), slice(90 * number, 90 * number + 130)
        sums[:, *part] += np.where(there, said, 0)
        count[part] += there
    assert {1, 2} <= set(np.unique(count))
    best = np.where(count > 0, sums.argmax(0), 255)
    percent = np.where(count > 0, np.floor(0.4 * sums.max(0) / np.maximum(count, 1) + 0.5), 255)
    for raster, wanted in (("classes", best), ("confidence", percent)):
        with rasterio.open(result.mosaic.with_name(f"{raster}.vrt")) as file:
            row, col = file.index(500_000.5, 5_399_999.5)
            found = file.read(1)[row : row + 150, col : col + 310]
        off = found != wanted
        # Halves are rounded up exactly, and not as floats have it.
        assert not off.any() if raster == "classes" else off.mean() < 0.01
        assert np.abs(found.astype(int) - wanted).max() <= 1
    alone = geocamss.predict(
        site.first, tmp_path / "alone", model=site.model, outputs=["classes", "probabilities"]
    )
    there = result.scenes[0].folder / "probabilities.tif"
    assert there.read_bytes() == alone.probabilities.read_bytes()


def test_a_killed_worker_is_made_up_for(tmp_path, site):
    killed = []

    def kill(report):
        if report.blocks_done >= 2 and not killed:
            pids = [worker.pid for worker in site.cluster.workers.values()]
            killed.append(pids[0])
            os.kill(pids[0], signal.SIGKILL)

    result = site.map([site.scenes], tmp_path / "out", progress=kill)
    assert killed
    assert [scene.state for scene in result.scenes] == ["done"] * 3
    same_rasters(site.single, tmp_path / "out")


def stop_after(blocks):
    def stop(report):
        if report.blocks_done >= blocks:
            raise KeyboardInterrupt

    return stop


@pytest.mark.usefixtures("small_blocks")
def test_predict_goes_on_where_map_stopped(tmp_path, site):
    scene = site.first
    with pytest.raises(KeyboardInterrupt):
        site.map([scene], tmp_path / "out", progress=stop_after(3))
    while site.cluster.scheduler.tasks:  # what was under way still comes to its end
        time.sleep(0.1)
    folder = tmp_path / "out" / scene.stem
    blocks = sorted((folder / ".geocamss" / "blocks").glob("*.npz"))
    assert len(blocks) >= 3
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["scenes"][0]["state"] == "left"
    told = []
    geocamss.predict(scene, folder, model=site.model, outputs=OUTPUTS, progress=told.append)
    whole = 150 * 130
    assert max((t.done for t in told if t.stage == "map"), default=whole) == whole
    for raster in RASTERS:
        there = (folder / raster).read_bytes()
        assert there == (site.single / scene.stem / raster).read_bytes()


@pytest.mark.usefixtures("small_blocks")
def test_map_goes_on_where_predict_stopped(tmp_path, site):
    scene = site.first
    run = Request(model=site.model).run(scene)
    folder = tmp_path / "out" / scene.stem

    def stop(report):
        if report.done > 6000:
            raise KeyboardInterrupt

    with (
        pytest.raises(KeyboardInterrupt),
        OutputFolder(folder, ALL_FILES, run.key, run.provenance) as held,
    ):
        map_blocks(run, BlockStore(held.work / "blocks"), stop)
    store = BlockStore(folder / ".geocamss" / "blocks")
    first = next(block for block in run.layout.blocks() if store.has(block, run.layout))
    marked = store.load(first)
    marked.classes[:] = 2
    store.save(first, marked)
    site.map([scene], tmp_path / "out")
    own = run.layout.interior(first)
    with rasterio.open(folder / "classes.tif") as file:
        part = file.read(1)[own.row : own.stop_row, own.col : own.stop_col]
    np.testing.assert_array_equal(part, 2)


def test_one_job_at_a_time_has_a_folder(tmp_path, site):
    refused = []

    def again(_report):
        if not refused:
            with pytest.raises(OutputError, match="another job") as caught:
                site.map([site.scenes], tmp_path / "out")
            refused.append(caught)

    site.map([site.first], tmp_path / "out", progress=again)
    assert refused


@pytest.mark.parametrize("name", ["catalog.json", "report.html", "mosaic"])
def test_what_no_job_has_written_is_left_alone(tmp_path, site, name):
    mine = tmp_path / "out" / name
    mine.mkdir(parents=True)
    (mine / "mine").touch()
    with pytest.raises(OutputError, match=rf"{name}.*no job has written.*--overwrite"):
        site.map([site.first], tmp_path / "out")
    assert list((tmp_path / "out").rglob("*")) == [mine, mine / "mine"]


def test_maps_may_lie_beside_their_scenes(tmp_path, site):
    shutil.copytree(site.scenes, tmp_path / "both")
    for state in ("done", "kept"):
        result = site.map([tmp_path / "both"], tmp_path / "both")
        assert [(scene.id, scene.state) for scene in result.scenes] == [
            (path.stem, state) for path in sorted(site.scenes.iterdir())
        ]


def test_outputs_of_another_run_are_refused_scene_by_scene(tmp_path, site):
    scene = site.first
    folder = tmp_path / "out" / scene.stem
    folder.mkdir(parents=True)
    (folder / "classes.tif").write_bytes(b"mine")
    result = site.map([scene], tmp_path / "out")
    assert "--overwrite" in result.failed[0].reason
    assert (folder / "classes.tif").read_bytes() == b"mine"


def test_workers_with_another_version_are_refused_with_both(tmp_path, site, monkeypatch):
    ours = geocamss.__version__
    monkeypatch.setattr(geocamss, "__version__", "9.8.7")
    with pytest.raises(InputError, match=rf"geocamss 9\.8\.7.*worker tcp.* has {ours}"):
        site.map([site.scenes], tmp_path / "out")


def test_a_folder_that_workers_cannot_see_is_refused(tmp_path, site, monkeypatch):
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path)
    with site.cluster.get_client() as client, pytest.raises(InputError, match=r"worker tcp.*share"):
        check_folder(client, Path("/proc/self/cwd/out"))
    assert not list((tmp_path / "out").iterdir())


def test_relative_names_mean_the_same_to_workers_elsewhere(tmp_path, site, monkeypatch):
    monkeypatch.chdir(site.scenes)
    result = site.map(["s0_20240101.tif"], tmp_path / "out")
    assert result.scenes[0].state == "done"
    assert Path(result.scenes[0].source).is_absolute()
    same_rasters_of = "s0_20240101"
    for raster in RASTERS:
        there = (tmp_path / "out" / same_rasters_of / raster).read_bytes()
        assert there == (site.single / same_rasters_of / raster).read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scheduler": "tcp://127.0.0.1:1"}, "does not answer"),
        ({"scheduler": "nowhere.json"}, r"nowhere\.json.*no such scheduler file"),
        ({"scheduler": "somewhere"}, "neither the address"),
        ({"scheduler": "tcp://127.0.0.1:1", "workers": 3}, "has its own"),
        ({"scheduler": None, "workers": 0}, "workers must be 1"),
        ({"scheduler": None, "threads": 0}, "threads must be 1"),
        ({"model": "arial-landcover"}, "aerial-landcover"),
        ({"outputs": ["maps"]}, "maps"),
        ({"seed": -1}, "seed"),
        ({"mosaic": geocamss.Mosaic("EPSG:3035"), "outputs": ["classes"]}, "confidence"),
    ],
)
def test_bad_arguments_are_named(tmp_path, site, monkeypatch, arguments, message):
    monkeypatch.setattr("geocamss.batch.cluster.CONNECT_SECONDS", 1.0)
    options = {"scheduler": "tcp://127.0.0.1:1"} | arguments
    with pytest.raises(GeocamssError, match=message):
        site.map([site.scenes], tmp_path / "out", **options)


def test_a_model_of_this_process_is_refused(tmp_path, scenes):
    from tests.models.test_model import tiny_segmenter

    with pytest.raises(InputError, match="workers load the model"):
        geocamss.map_scenes([scenes], tmp_path / "out", model=tiny_segmenter())


@pytest.mark.parametrize("sources", [[], ["nowhere/*.tif"]])
def test_no_scene_at_all_is_refused(tmp_path, sources, model):
    with pytest.raises(InputError):
        geocamss.map_scenes(sources, tmp_path / "out", model=model)
    assert not (tmp_path / "out").exists()


def test_a_plan_adds_up_all_scenes(scenes, model, capsys, tmp_path):
    (tmp_path / "text.tif").write_text("no raster")
    command = ["map", str(scenes), str(tmp_path / "text.tif"), "--plan", "--json"]
    assert main([*command, "--model", str(model)]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["scenes"], plan["blocks"], plan["pixels"]) == (3, 3, 3 * 150 * 130)
    assert plan["refused"][0][0] == "text"
    assert plan["seconds"] > 0
    assert plan["read"] >= 3 * plan["pixels"]
    assert any("polygons" in name for name in plan["left_out"])
    assert not any("mosaic" in name for name in plan["left_out"])
    mean = [*command, "--model", str(model), "--mosaic", "EPSG:3035", "--mosaic-rule", "mean"]
    assert main(mean) == 0
    more = json.loads(capsys.readouterr().out)
    assert more["work"] == plan["work"] + 2 * 4 * plan["pixels"]
    assert any("mosaic" in name for name in more["left_out"])


def test_a_plan_is_told_in_blocks_hours_and_gigabytes(scenes, model, capsys):
    assert main(["map", str(scenes), "--plan", "--model", str(model), "--workers", "4"]) == 0
    said = capsys.readouterr().out
    facts = {"scenes": "3", "blocks": "3", "pixels": "58,500"}
    hours = "hours, one process on this machine", "hours, 4 machines like it"
    facts |= dict.fromkeys(("read, GB", "disk while it works, GB", *hours), r"\d+\.\d\d")
    for name, value in facts.items():
        assert re.search(rf"^ *{name} +{value} *$", said, re.MULTILINE), (name, said)
    assert "not counted: opening scenes" in said


def test_a_plan_counts_how_long_maps_take_to_be_put_together(scenes, model, monkeypatch):
    def seconds() -> float:
        return plan_job(find_scenes([scenes]), Request(model=model)).seconds

    assert seconds() < 1000
    monkeypatch.setattr("geocamss.batch.plan.WRITTEN_PIXELS", 58.5)  # 1,000 seconds for all
    assert seconds() > 1000


@pytest.mark.parametrize("there", [True, False])
def test_where_the_dashboard_is_or_how_to_get_one_is_told(site, monkeypatch, there):
    module = ModuleType("bokeh")
    module.__spec__ = ModuleSpec("bokeh", None)
    monkeypatch.setitem(sys.modules, "bokeh", module if there else None)
    with site.cluster.get_client() as client:
        said = _dashboard(client, own=True)
        assert _dashboard(client, own=False) == f"dashboard: {client.dashboard_link}"
        assert client.dashboard_link.startswith("http://")
        assert said == (f"dashboard: {client.dashboard_link}" if there else said)
    assert there or "pip install bokeh" in said


def test_a_plan_leaves_out_what_cannot_be_read(scenes, model, tmp_path):
    """The first scene opens, and half of its pixels are gone."""
    whole = (scenes / "s0_20240101.tif").read_bytes()
    broken = tmp_path / "broken.tif"
    broken.write_bytes(whole[: len(whole) // 4])
    plan = plan_job(find_scenes([broken, scenes]), Request(model=model))
    assert plan.scenes == 3
    ((name, why),) = plan.refused
    assert name == "broken"
    assert why
    assert plan.seconds > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--bbox", "1,2,3"], "west,south,east,north"),
        (["--bbox", "1,2,3,4"], "--stac"),
        (["--mosaic-gsd", "10"], "--mosaic"),
        (["--mosaic", "EPSG:nonsense"], "nonsense"),
        ([], "--out"),
    ],
)
def test_options_that_make_no_sense_are_refused(scenes, capsys, options, message):
    assert main(["map", str(scenes), *options]) == 2
    assert message in capsys.readouterr().err
