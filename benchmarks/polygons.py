"""Polygons of a large class map: geocamss beside what people use, in one run.

    python -m benchmarks.polygons [--side 10000] [--patch 3.5] [--rounds 1]

Makes a class map of ``side`` squared pixels in irregular patches (at the defaults, 10**8 pixels and
about 10**6 polygons), and turns it into polygons in two ways, each in a process of its own, by
turns: with geocamss, and with one ``rasterio.features.shapes`` over the whole raster, a GeoPandas
frame, its dissolve by region, and ``simplify`` at tolerance 0, which takes out vertices on straight
edges. Both write a GeoPackage. Prints seconds, peak memory and their
ratios; on a busy machine, those of processor time are the ones to compare.
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

import numpy as np
import rasterio
from affine import Affine
from scipy.ndimage import gaussian_filter

CLASSES = 5
TRANSFORM = Affine(10.0, 0.0, 500_000.0, 0.0, -10.0, 5_000_000.0)


def main() -> None:
    """Run both ways by turns and compare."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--side", type=int, default=10_000)
    parser.add_argument("--patch", type=float, default=3.5, help="size of the patches, in pixels")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only", choices=sorted(WAYS), help="do not compare")
    parser.add_argument("--run", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        run(arguments.run[0], Path(arguments.run[1]))
        return
    with tempfile.TemporaryDirectory() as folder:
        classes = Path(folder) / "classes.tif"
        make_map(classes, arguments.side, arguments.patch)
        ways = [arguments.only] if arguments.only else sorted(WAYS)
        results: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
        for _ in range(arguments.rounds):
            for way in ways:
                results[way].append(measure(way, classes))
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


def measure(way: str, classes: Path) -> dict[str, float]:
    """Run one way in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.polygons", "--run", way, str(classes)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    print(f"{way:>10}: {result}", flush=True)
    return result


def run(way: str, classes: Path) -> None:
    """Do it, and tell what it took."""
    target = classes.with_name(f"{way}.gpkg")
    begin, begin_cpu = time.perf_counter(), time.process_time()
    count = WAYS[way](classes, target)
    result = {
        "polygons": count,
        "seconds": round(time.perf_counter() - begin, 2),
        "cpu": round(time.process_time() - begin_cpu, 2),
        "peak_mb": peak(),
        "file_mb": round(target.stat().st_size / 1e6),
    }
    target.unlink()
    print(json.dumps(result))


def peak() -> int:
    """Largest resident size of this process so far, in MB; getrusage's includes its parent's."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("VmHWM"))
    return round(int(line.split()[1]) / 1000)


def with_geocamss(classes: Path, target: Path) -> int:
    """Exact polygons by bands of rows."""
    from geocamss.classes import ClassScheme
    from geocamss.output.polygons import polygonize

    scheme = ClassScheme.of([f"class {value}" for value in range(CLASSES)])
    return polygonize(classes, None, target, scheme)


def with_geopandas(classes: Path, target: Path) -> int:
    """The whole raster at once; a region is one shape already, as there are no blocks to join."""
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
    frame = frame.dissolve("region")
    frame["geometry"] = frame.geometry.simplify(0)
    frame["area_m2"] = frame.area
    frame.to_file(target, layer="polygons", driver="GPKG")
    return len(frame)


WAYS = {"geocamss": with_geocamss, "geopandas": with_geopandas}


def report(pixels: int, results: dict[str, list[dict[str, float]]]) -> None:
    """Print medians and ratios."""
    medians = {
        way: {key: statistics.median(r[key] for r in runs) for key in runs[0]}
        for way, runs in results.items()
    }
    print(f"{pixels:,} pixels")
    for way, result in medians.items():
        print(
            f"{way:>10}: {result['polygons']:,.0f} polygons, {result['seconds']:.1f} s, "
            f"{result['cpu']:.1f} s of processor, peak {result['peak_mb']:,.0f} MB"
        )
    if len(medians) == 2:
        ours, theirs = medians["geocamss"], medians["geopandas"]
        print(f"geopandas / geocamss: time {theirs['seconds'] / ours['seconds']:.2f}", end="")
        print(f", processor {theirs['cpu'] / ours['cpu']:.2f}", end="")
        print(f", memory {theirs['peak_mb'] / ours['peak_mb']:.2f}")


if __name__ == "__main__":
    main()
