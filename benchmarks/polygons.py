"""Polygons of a large class map: geocamss beside what people use, in one run.

    python -m benchmarks.polygons [--side 10000] [--patch 3.5] [--simplify 10] [--rounds 1]
        [--ways geocamss,geopandas,coverage]

Makes a class map of ``side`` squared pixels of 10 m in irregular patches (at the defaults, 10**8
pixels and about 10**6 polygons), and turns it into a GeoPackage of simplified polygons, each way in
a process of its own, by turns:

- geocamss: ``geocamss.vectorize``, which keeps neighbors' borders in common;
- geopandas: one ``rasterio.features.shapes`` over the whole raster, a GeoPandas frame, its dissolve
  by region, and ``simplify``, which tears neighbors apart;
- coverage: the same with ``simplify_coverage``, which does not. Left out unless it is asked for.

``--simplify 0`` compares exact outlines: then ``simplify`` takes out vertices on straight edges.
Prints seconds, processor time, peak memory and their ratios; on a busy machine, those of processor
time are the ones to compare. A small run: ``--side 1000``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import rasterio
from affine import Affine
from scipy.ndimage import gaussian_filter

from benchmarks.machine import peak

if TYPE_CHECKING:
    import geopandas

CLASSES = 5
TRANSFORM = Affine(10.0, 0.0, 500_000.0, 0.0, -10.0, 5_000_000.0)


def main() -> None:
    """Run both ways by turns and compare."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--side", type=int, default=10_000)
    parser.add_argument("--patch", type=float, default=3.5, help="size of the patches, in pixels")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--simplify", type=float, default=10.0, help="tolerance, in meters")
    parser.add_argument("--ways", default="geocamss,geopandas", help=f"of {', '.join(WAYS)}")
    parser.add_argument("--run", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        run(arguments.run[0], Path(arguments.run[1]), arguments.simplify)
        return
    with tempfile.TemporaryDirectory() as folder:
        classes = Path(folder) / "classes.tif"
        make_map(classes, arguments.side, arguments.patch)
        ways = arguments.ways.split(",")
        results: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
        for _ in range(arguments.rounds):
            for way in ways:
                results[way].append(measure(way, classes, arguments.simplify))
    report(arguments.side**2, results)


def make_map(path: Path, side: int, patch: float) -> None:
    """Paint classes where smoothed noise is highest, strip by strip."""
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 1, "nodata": 255, "tiled": True}
    profile |= {"width": side, "height": side, "crs": "EPSG:32633", "transform": TRANSFORM}
    profile |= {"blockxsize": 512, "blockysize": 512, "compress": "deflate"}
    rng = np.random.default_rng(0)
    with rasterio.open(path, "w", **profile) as target:
        for row in range(0, side, 512):
            rows = min(512, side - row)
            noise = rng.standard_normal((CLASSES, rows, side), dtype=np.float32)
            values = np.argmax([gaussian_filter(field, patch) for field in noise], axis=0)
            window = rasterio.windows.Window(0, row, side, rows)
            target.write(values.astype(np.uint8), 1, window=window)


def measure(way: str, classes: Path, simplify: float) -> dict[str, float]:
    """Run one way in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.polygons", "--run", way, str(classes)]
    command += ["--simplify", str(simplify)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    print(f"{way:>10}: {result}", flush=True)
    return result


def run(way: str, classes: Path, simplify: float) -> None:
    """Do it, and tell what it took."""
    target = classes.with_name(f"{way}.gpkg")
    begin, begin_cpu = time.perf_counter(), time.process_time()
    count, vertices = WAYS[way](classes, target, simplify)
    result = {
        "polygons": count,
        "vertices": vertices,
        "seconds": round(time.perf_counter() - begin, 2),
        "cpu": round(time.process_time() - begin_cpu, 2),
        "peak_mb": round(peak()),
        "file_mb": round(target.stat().st_size / 1e6),
    }
    if not vertices:
        result["vertices"] = vertices_in(target)
    target.unlink()
    print(json.dumps(result))


def vertices_in(target: Path) -> int:
    """Vertices of all polygons in a GeoPackage, counted in parts."""
    import pyogrio
    import shapely

    layer = "polygons"
    total = pyogrio.read_info(target, layer=layer)["features"]
    count = 0
    for skip in range(0, total, 50_000):
        options = {"skip_features": skip, "max_features": 50_000, "columns": []}
        shapes = pyogrio.raw.read(target, layer=layer, **options)[2]
        count += int(shapely.get_num_coordinates(shapely.from_wkb(shapes)).sum())
    return count


def with_geocamss(classes: Path, target: Path, simplify: float) -> tuple[int, int]:
    """By bands of rows; each border is simplified by itself."""
    from geocamss.vectorize import vectorize

    return vectorize(classes, target, simplify=simplify).polygons, 0


def with_geopandas(classes: Path, target: Path, simplify: float) -> tuple[int, int]:
    """The whole raster at once; each polygon is simplified by itself."""
    frame = dissolved(classes)
    frame["geometry"] = frame.geometry.simplify(simplify)
    return written(frame, target)


def with_coverage(classes: Path, target: Path, simplify: float) -> tuple[int, int]:
    """The whole raster at once; all polygons are simplified together."""
    frame = dissolved(classes)
    frame["geometry"] = frame.geometry.simplify_coverage(simplify)
    return written(frame, target)


def dissolved(classes: Path) -> geopandas.GeoDataFrame:
    """The raster's regions; each is one shape already, as there are no blocks to join."""
    import geopandas
    import shapely.geometry
    from rasterio import features

    with rasterio.open(classes) as source:
        pixels = source.read(1)
        shapes = features.shapes(pixels, pixels != 255, transform=source.transform)
        found = [(shapely.geometry.shape(shape), int(value)) for shape, value in shapes]
        frame = geopandas.GeoDataFrame(
            {"class": [value for _, value in found]},
            geometry=[shape for shape, _ in found],
            crs=source.crs,
        )
    frame["region"] = np.arange(len(frame))
    return frame.dissolve("region")


def written(frame: geopandas.GeoDataFrame, target: Path) -> tuple[int, int]:
    """Write a frame with the fields that geocamss writes and GeoPandas knows of."""
    frame["area_m2"] = frame.area
    frame["perimeter_m"] = frame.length
    frame.to_file(target, layer="polygons", driver="GPKG")
    return len(frame), int(frame.geometry.count_coordinates().sum())


WAYS = {"geocamss": with_geocamss, "geopandas": with_geopandas, "coverage": with_coverage}


def report(pixels: int, results: dict[str, list[dict[str, float]]]) -> None:
    """Print medians and ratios."""
    medians = {
        way: {key: statistics.median(r[key] for r in runs) for key in runs[0]}
        for way, runs in results.items()
    }
    print(f"{pixels:,} pixels")
    for way, result in medians.items():
        print(
            f"{way:>10}: {result['polygons']:,.0f} polygons of {result['vertices']:,.0f} vertices, "
            f"{result['seconds']:.1f} s, "
            f"{result['cpu']:.1f} s of processor, peak {result['peak_mb']:,.0f} MB"
        )
    for way in medians.keys() - {"geocamss"} if "geocamss" in medians else ():
        ours, theirs = medians["geocamss"], medians[way]
        print(f"{way} / geocamss: time {theirs['seconds'] / ours['seconds']:.2f}", end="")
        print(f", processor {theirs['cpu'] / ours['cpu']:.2f}", end="")
        print(f", memory {theirs['peak_mb'] / ours['peak_mb']:.2f}")


if __name__ == "__main__":
    main()
