"""Equal maps, whatever the way: what may change no pixel, and what changes how many.

    python -m benchmarks.determinism [--network default --scene tiles/demo.tif]

maps one scene again and again: with other blocks, threads, orders of blocks, an area of interest,
and after an interruption; prints whether the bytes of the class map are the same. Then with other
batch sizes, in float32 and bfloat16, and on a GPU if there is one; prints the share of pixels that
differ. Ends with exit code 1 if bytes differ where none may, or more pixels than is stated below.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import rasterio
import torch
from shapely.geometry import Polygon

import geocamss
from benchmarks.memory import BANDS, write_scene
from benchmarks.networks import NAMES, module
from geocamss.engine import read_strips
from geocamss.models.camss.model import CamssSegmenter
from geocamss.models.checkpoint import load_network
from geocamss.models.registry import DEFAULT, resolve
from geocamss.models.segmenter import Segmenter
from geocamss.output.blocks import BlockStore
from geocamss.predict import Progress, map_scene
from geocamss.products import write_products
from geocamss.request import Request
from geocamss.run import Run
from geocamss.scene.gdal import gdal_environment

OTHER_BATCH = 1e-5
"""At most this share of the pixels differs between batch sizes."""

OTHER_ARITHMETIC = 0.01
"""And this between number formats, and between a processor and a GPU."""

Pixels = np.ndarray[Any, np.dtype[np.uint8]]


class Maker:
    """Makes maps of one scene, each in a folder of its own."""

    def __init__(self, scene: Path, segmenter: Segmenter, folder: Path) -> None:
        self.scene, self.segmenter, self.folder = scene, segmenter, folder
        self._count = 0

    def run(self, **request: Any) -> Run:
        """The run of a request."""
        wanted = {"model": self.segmenter, "gsd": "native", "batch_size": 1} | request
        return Request(**wanted).run(self.scene)

    def place(self) -> Path:
        """A folder that is not there yet."""
        self._count += 1
        return self.folder / str(self._count)

    def map(self, run: Run, tell: Callable[[Progress], None] = lambda _: None) -> Path:
        """The class map of a run."""
        out = self.place()
        map_scene(run, out, ["classes"], overwrite=False, tell=tell)
        return out / "classes.tif"

    def shuffled(self, run: Run, seed: int) -> Path:
        """The class map of a run whose blocks are made in any order."""
        out = self.place()
        out.mkdir()
        store = BlockStore(out / "blocks")
        blocks = list(run.layout.blocks())
        random.Random(seed).shuffle(blocks)
        with gdal_environment(run.scene.path), run.reader() as reader:
            for block in blocks:
                strips = read_strips(run.pixels(reader), run.layout, block)
                store.save(block, run.engine.map_block(block, strips))
            write_products(run, store, out, ["classes"])
        return out / "classes.tif"

    def resumed(self, run: Run) -> Path:
        """The class map of a run that was interrupted when half of it was done."""
        out = self.place()

        def stop(progress: Progress) -> None:
            if 2 * progress.done > progress.total:
                raise KeyboardInterrupt

        with suppress(KeyboardInterrupt):
            map_scene(run, out, ["classes"], overwrite=False, tell=stop)
        map_scene(run, out, ["classes"], overwrite=False, tell=lambda _: None)
        return out / "classes.tif"


def pixels(path: Path) -> Pixels:
    """A class map's values."""
    with rasterio.open(path) as file:
        values: Pixels = file.read(1)
    return values


def exact(maker: Maker, whole: Path) -> Iterator[tuple[str, bool]]:
    """What may change no byte."""
    run = maker.run()
    before = whole.read_bytes()
    for tiles in ((1, 1), (1, 99), (3, 2), (99, 99)):
        path = maker.map(replace(run, block_tiles=tiles))
        yield f"blocks of {tiles[0]} x {tiles[1]} tiles", path.read_bytes() == before
    small = replace(run, block_tiles=(2, 2))
    for seed in range(2):
        path = maker.shuffled(small, seed)
        yield f"blocks in another order ({seed})", path.read_bytes() == before
    yield "interrupted and resumed", maker.resumed(small).read_bytes() == before
    threads = torch.get_num_threads()
    for count in (1, 2, 5):
        torch.set_num_threads(count)
        yield f"{count} threads", maker.map(maker.run()).read_bytes() == before
    torch.set_num_threads(threads)
    yield "part by area of interest", same_part(maker, whole)


def same_part(maker: Maker, whole: Path) -> bool:
    """Whether the pixels inside an area of interest are those of the whole map."""
    with rasterio.open(whole) as file:
        box, crs, transform = file.bounds, file.crs, file.transform
    wide, high = box.right - box.left, box.top - box.bottom
    shape = Polygon(
        [
            (box.left + 0.2 * wide, box.bottom + 0.1 * high),
            (box.left + 0.9 * wide, box.bottom + 0.3 * high),
            (box.left + 0.5 * wide, box.bottom + 0.8 * high),
        ]
    )
    aoi = maker.folder / "aoi.gpkg"
    gpd.GeoDataFrame(geometry=[shape], crs=crs).to_file(aoi)
    path = maker.map(maker.run(aoi=aoi))
    with rasterio.open(path) as file:
        part, corner = file.read(1), ~transform * (file.transform.c, file.transform.f)
    col, row = (round(place) for place in corner)
    same = pixels(whole)[row : row + part.shape[0], col : col + part.shape[1]]
    inside = part != 255
    return bool(inside.any() and (part[inside] == same[inside]).all())


def shares(maker: Maker, whole: Path, network: str) -> Iterator[tuple[str, float, float]]:
    """Shares of pixels that other arithmetic changes, and the largest that are right."""
    expected = pixels(whole)

    def differ(path: Path) -> float:
        return float((pixels(path) != expected).mean())

    for batch in (2, 3, 8):
        yield f"batches of {batch}", differ(maker.map(maker.run(batch_size=batch))), OTHER_BATCH
    if network == "default":
        trained, card = load_network(resolve(DEFAULT))
        devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
        for device in devices:
            for dtype in (torch.float32, torch.bfloat16):
                model = CamssSegmenter(trained, card, torch.device(device), dtype)
                name = f"{device} {str(dtype).removeprefix('torch.')}"
                yield name, differ(maker.map(maker.run(model=model))), OTHER_ARITHMETIC
    elif torch.cuda.is_available():
        there = maker.run(model=_segmenter(network, "cuda"))
        yield "cuda", differ(maker.map(there)), OTHER_ARITHMETIC


def _segmenter(network: str, device: str = "cpu") -> Segmenter:
    if network == "default":
        trained, card = load_network(resolve(DEFAULT))
        return CamssSegmenter(trained, card, torch.device(device))
    card = geocamss.ModelCard(
        bands=list(BANDS), gsd=10.0, scale=1 / 10000, classes=list("abcde"), chip=256, overlap=64
    )
    return geocamss.from_module(module(network, len(BANDS), 5).to(device), card)


def main() -> None:
    """Parse, map, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--network", choices=NAMES, default="free")
    parser.add_argument("--scene", type=Path, help="instead of a painted one")
    parser.add_argument("--size", default="1100x1300", help="height x width of the painted scene")
    parser.add_argument("--json", type=Path, help="write the results here too")
    options = parser.parse_args()
    found: dict[str, Any] = {"network": options.network}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scene = options.scene
        if scene is None:
            scene = folder / "scene.tif"
            write_scene(scene, *map(int, options.size.split("x")))
        maker = Maker(scene.absolute(), _segmenter(options.network), folder)
        whole = maker.map(maker.run())
        found["exact"], found["shares"] = {}, {}
        for what, same in exact(maker, whole):
            found["exact"][what] = same
            print(f"{what:<36}{'the same' if same else 'DIFFERENT'}", flush=True)
        wrong = not all(found["exact"].values())
        for what, share, most in shares(maker, whole, options.network):
            found["shares"][what] = share
            wrong |= share > most
            said = "" if share <= most else f": MORE THAN {most:g}"
            print(f"{what:<36}{share:.2e} of the pixels differ{said}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    sys.exit(int(wrong))


if __name__ == "__main__":
    main()
