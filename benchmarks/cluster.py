"""What Dask costs, and what it brings.

    python -m benchmarks.cluster --scenes 8            two workers against one, and against loops
    python -m benchmarks.cluster --tasks 100000        a scheduler with that many tasks of no work
    python -m benchmarks.cluster --tasks 100000 --threads 1000        as if there were more workers

The first writes scenes of noise and maps them with the model that is given: with ``predict`` in a
loop, with two such loops at once that have half of the scenes each and know nothing of one another,
with one worker, and with two, each with one thread. Cores share caches and the way to memory: more
than the two loops bring against the one, no cluster brings on that machine. Where it has other work
to do only processor times mean anything; they are printed beside the wall clock's. Each run begins
with an empty process, and a job starts its cluster besides: what one tiny scene takes is told too.

The others send tasks through the same bounded window as ``geocamss map``. Client and scheduler
share the measured process, so that its processor time and its memory are those of both. The window
grows with the threads of the cluster; tasks without work need no real ones.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import from_origin

from benchmarks.machine import resident

LOOP = """
import pathlib, sys, torch
import geocamss
torch.set_num_threads(1)
model, out, *scenes = sys.argv[1:]
if __name__ == "__main__":
    for scene in scenes:
        there = f"{out}/{pathlib.Path(scene).stem}"
        geocamss.predict(scene, there, model=model, outputs=["classes", "confidence"])
"""

JOB = """
import sys
import geocamss
workers, model, out, *scenes = sys.argv[1:]
if __name__ == "__main__":
    result = geocamss.map_scenes(
        scenes, out, model=model, outputs=["classes", "confidence"], workers=int(workers), threads=1
    )
    sys.exit(len(result.failed))
"""


@dataclass(frozen=True)
class Cost:
    """What a run took."""

    wall: float
    """Seconds of the wall clock."""

    processor: float
    """Seconds of processors, of the run and all that it started."""

    def __str__(self) -> str:
        return f"wall {self.wall:7.1f} s, processor {self.processor:7.1f} s"

    def __sub__(self, other: Cost) -> Cost:
        return Cost(self.wall - other.wall, self.processor - other.processor)

    def beside(self, other: Cost) -> str:
        """How much more than another it took."""
        wall, processor = self.wall / other.wall, self.processor / other.processor
        return f"{100 * (wall - 1):+.1f} % (wall), {100 * (processor - 1):+.1f} % (processor)"


def write_scenes(folder: Path, count: int, side: int) -> list[str]:
    """Scenes of smooth noise, as GeoTIFFs."""
    names = []
    for number in range(count):
        rng = np.random.default_rng(number)
        coarse = rng.integers(1, 255, (3, side // 16 + 1, side // 16 + 1), np.uint8)
        pixels = coarse.repeat(16, 1).repeat(16, 2)[:, :side, :side]
        name = str(folder / f"s{number}.tif")
        place = from_origin(500_000 + number * side / 2, 5_400_000, 0.5, 0.5)
        with rasterio.open(
            name,
            "w",
            driver="GTiff",
            count=3,
            width=side,
            height=side,
            dtype="uint8",
            crs="EPSG:32632",
            transform=place,
            photometric="RGB",
            tiled=True,
        ) as file:
            file.write(pixels)
        names.append(name)
    return names


def timed(code: str, *calls: Sequence[str]) -> Cost:
    """What a script and all that it starts take, called with each of these arguments at once."""
    env = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    with tempfile.NamedTemporaryFile("w", suffix=".py") as script:
        script.write(code)
        script.flush()
        program = [sys.executable, script.name]
        started = [subprocess.Popen([*program, *call], env=env) for call in calls]
        codes = [process.wait() for process in started]
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if any(codes):
        sys.exit(f"a run has failed, with exit codes {codes}")
    return Cost(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def all_ways(folder: Path, scenes: list[str], model: str) -> dict[str, Cost]:
    """What each way takes, on the same scenes; stops where maps differ."""
    halves = [scenes[::2], scenes[1::2] or scenes]
    runs = {
        "predict in a loop": timed(LOOP, [model, f"{folder}/loop", *scenes]),
        "two loops at once": timed(
            LOOP, *([model, f"{folder}/half{n}", *half] for n, half in enumerate(halves))
        ),
        "map, one worker": timed(JOB, ["1", model, f"{folder}/one", *scenes]),
        "map, two workers": timed(JOB, ["2", model, f"{folder}/two", *scenes]),
    }
    for name in (Path(scene).stem for scene in scenes):
        loop = Path(folder, "loop", name, "classes.tif").read_bytes()
        for other in Path(folder).glob(f"*/{name}/classes.tif"):
            if other.read_bytes() != loop:
                sys.exit(f"the class raster {other} differs from that of predict")
    return runs


def compare(count: int, side: int, model: str) -> None:
    """All ways on the same scenes; and what each takes to begin."""
    with tempfile.TemporaryDirectory() as folder:
        places = {name: Path(folder, name) for name in ("tiny", "scenes")}
        for place in places.values():
            place.mkdir()
        tiny = write_scenes(places["tiny"], 1, 64)
        begun = all_ways(places["tiny"], tiny, model)
        runs = all_ways(places["scenes"], write_scenes(places["scenes"], count, side), model)
    print(f"{count} scenes of {side} x {side} pixels, {model}; class rasters byte for byte equal")
    for name, cost in runs.items():
        print(f"{name:20}  {cost}  with one tiny scene {begun[name]}")
    print_ratios("in all", *runs.values())
    print_ratios("less the tiny scene", *(cost - begun[name] for name, cost in runs.items()))


def print_ratios(what: str, loop: Cost, loops: Cost, one: Cost, two: Cost) -> None:
    """How the ways stand to one another."""
    print(f"{what}: two workers against one {one.wall / two.wall:.2f} x (wall),", end=" ")
    print(f"two loops against one {loop.wall / loops.wall:.2f} x;", end=" ")
    print(f"one worker against the loop {one.beside(loop)},", end=" ")
    print(f"two workers against the two loops {two.beside(loops)}")


def simulate(count: int, threads: int) -> None:
    """Tasks without work, in the window that jobs have, for two workers of so many threads."""
    from distributed import Client, LocalCluster

    from geocamss.batch.bounded import each

    with (
        LocalCluster(
            n_workers=2, threads_per_worker=threads, dashboard_address="127.0.0.1:0"
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        size = resident()
        payload = "x" * 1200  # what an order and a block's place take
        items = [f"{uuid.uuid4().hex}{payload}" for _ in range(count)]
        begun = resident()
        start, spent, held, peak, halfway = time.perf_counter(), time.process_time(), 0, 0, 0
        for number, _ in enumerate(each(client, len, items, lambda item: f"map-block-{item[:32]}")):
            if number % 100 == 0:
                held = max(held, len(cluster.scheduler.tasks))
                peak = max(peak, resident() - begun)
            if number == count // 2:
                halfway = resident() - begun
        wall, processor = time.perf_counter() - start, time.process_time() - spent
        grown = resident() - begun
        peak = max(peak, grown)
    print(
        f"{count:,} tasks: wall {wall:.1f} s, client and scheduler {processor:.1f} s of processor"
    )
    print(f"{1000 * processor / count:.2f} ms of processor a task; at most {held} tasks at once")
    print(f"client and scheduler take {size:.0f} MB, and the list of tasks", end=" ")
    print(f"{begun - size:.0f} MB; they grew by {halfway:.1f} MB halfway,", end=" ")
    print(f"{grown:.1f} MB at the end, {peak:.1f} MB at most:", end=" ")
    print(f"{1e3 * peak / max(1, held):.1f} kB for each task held at once")


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--scenes", type=int, help="compare with so many scenes")
    parser.add_argument("--side", type=int, default=2048, help="pixels along a side of each")
    parser.add_argument("--model", default="aerial-landcover")
    parser.add_argument("--tasks", type=int, help="simulate so many tasks")
    parser.add_argument(
        "--threads", type=int, default=1, help="of each of two workers, for --tasks"
    )
    asked = parser.parse_args()
    if asked.scenes:
        compare(asked.scenes, asked.side, asked.model)
    if asked.tasks:
        simulate(asked.tasks, asked.threads)
    if not asked.scenes and not asked.tasks:
        parser.error("give --scenes or --tasks")


if __name__ == "__main__":
    main()
