"""Peak memory of ``predict`` against the size of the scene.

    python -m benchmarks.memory [--shapes 4096x4096,4096x32768,32768x4096]

Paints scenes of noise, four bands of uint16, and maps each with a 3x3 convolution in a process of
its own. Prints the peak resident size by the operating system's accounting, what it was before the
run began, and how both grow with the scene.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import from_origin
from rasterio.windows import Window

from benchmarks.machine import peak

BANDS = ("blue", "green", "red", "nir")


def write_scene(path: Path, height: int, width: int, seed: int = 0) -> None:
    """Write a scene of noise over slow waves, tiled and compressed, without holding it."""
    rng = np.random.default_rng(seed)
    profile = {
        "driver": "GTiff",
        "dtype": "uint16",
        "count": len(BANDS),
        "height": height,
        "width": width,
        "crs": "EPSG:32632",
        "transform": from_origin(500_000, 5_400_000, 10, 10),
        "tiled": True,
        "blockxsize": 512,
        "blockysize": 512,
        "compress": "deflate",
        "predictor": 2,
        "bigtiff": "IF_SAFER",
    }
    with rasterio.open(path, "w", **profile) as file:
        for index, band in enumerate(BANDS, 1):
            file.set_band_description(index, band)
        for row in range(0, height, 512):
            rows = min(512, height - row)
            y = np.arange(row, row + rows)[:, None]
            x = np.arange(width)[None]
            waves = 2000 + 1500 * np.sin(y / 71) * np.cos(x / 53)
            noise = rng.integers(0, 200, (len(BANDS), rows, width))
            pixels = (waves + noise + 500 * np.arange(len(BANDS))[:, None, None]).astype("uint16")
            file.write(pixels, window=Window(0, row, width, rows))


def map_scene(scene: str, out: str, outputs: str) -> None:
    """Map one scene, and print peak sizes in MB: before the run, and after it."""
    import torch

    import geocamss
    import geocamss.predict

    torch.manual_seed(0)
    card = geocamss.ModelCard(
        bands=list(BANDS), gsd=10.0, scale=1 / 10000, classes=list("abcde"), chip=512, overlap=128
    )
    module = torch.nn.Conv2d(4, 5, 3, padding=1)
    before = peak()
    start = time.perf_counter()
    geocamss.predict(
        scene, out, model=geocamss.from_module(module, card), outputs=outputs.split(",")
    )
    seconds = time.perf_counter() - start
    print(before, peak(), seconds)


def measure(shape: str, outputs: str, folder: Path) -> tuple[float, float, float]:
    """Peak before, peak after and seconds of mapping a scene of a shape such as ``4096x4096``."""
    height, width = map(int, shape.split("x"))
    scene = folder / f"{shape}.tif"
    write_scene(scene, height, width)
    command = [sys.executable, "-m", "benchmarks.memory", "--scene", str(scene)]
    command += ["--out", str(folder / shape), "--outputs", outputs]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    scene.unlink()
    before, after, seconds = map(float, said.split()[-3:])
    return before, after, seconds


def main() -> None:
    """Parse the command line and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shapes", default="4096x4096,4096x32768,32768x4096")
    parser.add_argument("--outputs", default="classes,confidence,polygons,style,item,preview")
    parser.add_argument("--scene")
    parser.add_argument("--out")
    options = parser.parse_args()
    if options.scene:
        map_scene(options.scene, options.out, options.outputs)
        return
    titles = f"{'height x width':>16} {'before MB':>10} {'peak MB':>9} {'added MB':>9}"
    print(f"{titles} {'s':>7}  growth")
    first = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for shape in options.shapes.split(","):
            before, after, seconds = measure(shape, options.outputs, Path(folder))
            first = first or after
            growth = f"{100 * (after / first - 1):+.1f} %"
            row = f"{shape:>16} {before:10.0f} {after:9.0f} {after - before:9.0f} {seconds:7.1f}"
            print(row, growth, sep="  ", flush=True)


if __name__ == "__main__":
    main()
