"""One way each of mapping a scene with a given network; each is run in a process of its own.

    python -m benchmarks.contestants NAME SCENE OUT NETWORK DEVICE [CLASSES]

maps SCENE, a raster of four bands, into the folder OUT and prints a line of JSON: seconds of wall
clock and of processor time, the process's resident size before the run and at its peak, megapixels
of the scene, and the versions of what ran; of a GPU, the peak of its memory too, and the share of
the time in which the network was not at work on it. Importing libraries and building the network
are not timed.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import rasterio
import torch
from torch import nn

from benchmarks.machine import peak, resident, versions
from benchmarks.networks import chips_for, module

__all__ = ["CONTESTANTS", "measure"]

BANDS, CLASSES, CHIP, OVERLAP, BATCH = 4, 5, 512, 128, 4

SCALE = 1 / 10000
"""Stored numbers to network inputs."""

Job = Callable[[], object]
"""What is timed."""


def geocamss(scene: Path, out: Path, network: str, device: str = "cpu") -> Job:
    """This package, class map only."""
    import geocamss as package

    package.predict  # noqa: B018  (imports it)
    if network == "default":
        from geocamss.models.checkpoint import load
        from geocamss.models.registry import DEFAULT, resolve

        model = load(resolve(DEFAULT), torch.device(device))
        named = {"red": 1, "green": 2, "blue": 3}
        return partial(
            package.predict, scene, out, model=model, outputs=["classes"], bands=named, gsd="native"
        )
    card = package.ModelCard(
        bands=["blue", "green", "red", "nir"],
        gsd=10.0,
        scale=SCALE,
        classes=[f"class {index}" for index in range(CLASSES)],
        chip=CHIP,
        overlap=OVERLAP,
    )
    model = package.from_module(module(network, BANDS, CLASSES).to(device), card)
    return partial(package.predict, scene, out, model=model, outputs=["classes"])


class _Scaled(nn.Module):
    """Takes stored numbers."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x * SCALE)


def omnicloudmask(scene: Path, out: Path, network: str, device: str) -> Job:
    """OmniCloudMask with a network of one's own; it standardizes each patch by itself."""
    from omnicloudmask import load_multiband, predict_from_load_func

    out.mkdir()
    return partial(
        predict_from_load_func,
        [scene],
        partial(load_multiband, band_order=list(range(1, BANDS + 1))),
        patch_size=CHIP,
        patch_overlap=OVERLAP,
        batch_size=BATCH,
        inference_device=device,
        mosaic_device=device,
        inference_dtype="fp32",
        custom_models=module(network, BANDS, CLASSES).to(device),
        pred_classes=CLASSES,
        no_data_value=0,
        output_dir=out,
    )


def terratorch(scene: Path, out: Path, network: str, device: str) -> Job:
    """The tiled inference of terratorch; its users read and write a scene as a whole."""
    tiled_inference = _tiled_inference()
    net = _Scaled(module(network, BANDS, CLASSES)).to(device)

    def run() -> None:
        with rasterio.open(scene) as file:
            pixels = torch.from_numpy(file.read().astype("float32"))[None].to(device)
            profile = _plain_profile(file)
        with torch.inference_mode():
            logits = tiled_inference(
                net,
                pixels,
                out_channels=CLASSES,
                crop=CHIP,
                stride=CHIP - OVERLAP,
                batch_size=BATCH,
            )
        _write(out, profile, logits[0].argmax(0).to(torch.uint8).cpu().numpy())

    return run


def _tiled_inference() -> Callable[..., torch.Tensor]:
    """The function, also where not all is installed that other parts of its package want."""
    try:
        found = import_module("terratorch.tasks.tiled_inference")
    except ImportError:
        spec = find_spec("terratorch")
        if spec is None or not spec.submodule_search_locations:
            raise
        root = Path(spec.submodule_search_locations[0])
        for name in ("terratorch", "terratorch.models", "terratorch.tasks", "terratorch.registry"):
            stand_in = ModuleType(name)
            stand_in.__path__ = [str(root.joinpath(*name.split(".")[1:]))]
            sys.modules[name] = stand_in
        stand_in.BACKBONE_REGISTRY = None  # type: ignore[attr-defined]
        for name in [name for name in sys.modules if name.startswith("terratorch.models.")]:
            del sys.modules[name]
        found = import_module("terratorch.tasks.tiled_inference")
    function: Callable[..., torch.Tensor] = found.tiled_inference
    return function


def torchgeo(scene: Path, out: Path, network: str, device: str) -> Job:
    """The way of torchgeo: a grid sampler, a data loader, and chips pasted side by side."""
    from torch.utils.data import DataLoader
    from torchgeo.datasets import RasterDataset, stack_samples
    from torchgeo.samplers import GridGeoSampler

    class Scene(RasterDataset):
        filename_glob = scene.name

    net = _Scaled(module(network, BANDS, CLASSES)).to(device)

    def run() -> None:
        dataset = Scene(str(scene.parent))
        sampler = GridGeoSampler(dataset, size=CHIP, stride=CHIP - OVERLAP)
        loader = DataLoader(dataset, BATCH, sampler=sampler, collate_fn=stack_samples)
        with rasterio.open(scene) as file:
            profile, bounds, size = _plain_profile(file), file.bounds, file.res[0]
        classes = np.full((profile["height"], profile["width"]), 255, "uint8")
        places = [(y.stop, x.start) for x, y, _ in sampler]
        with torch.inference_mode():
            for index, sample in enumerate(loader):
                said = net(sample["image"].to(device).float()).argmax(1)
                said = said.to(torch.uint8).cpu().numpy()
                corners = places[index * BATCH : (index + 1) * BATCH]
                for kinds, (top, left) in zip(said, corners, strict=True):
                    _paste(
                        classes,
                        kinds,
                        round((bounds.top - top) / size),
                        round((left - bounds.left) / size),
                    )
        _write(out, profile, classes)

    return run


def _paste(classes: np.ndarray, kinds: np.ndarray, row: int, col: int) -> None:
    """Lay the middle of a chip, and its rim where nothing else will come, on the map."""
    halo = OVERLAP // 2
    top, left = (halo if row > 0 else 0), (halo if col > 0 else 0)
    first, second = max(0, row + top), max(0, col + left)
    last, end = min(len(classes), row + len(kinds)), min(classes.shape[1], col + kinds.shape[1])
    classes[first:last, second:end] = kinds[first - row : last - row, second - col : end - col]


def floor(scene: Path, out: Path, network: str, device: str, classes: Path) -> Job:
    """What no way around a network can do without, one after the other: the sum of its parts."""
    with rasterio.open(scene) as file:
        shape = file.shape
    if network == "default":
        chips, forward = _default_forward(shape, torch.device(device))
    else:
        chips = _chips_over(shape, CHIP, OVERLAP)
        net = module(network, BANDS, CLASSES).to(device)
        forward = partial(net, torch.rand(1, BANDS, CHIP, CHIP, device=device))
    with rasterio.open(classes) as file:
        pixels = file.read(1)
    out.mkdir()

    def run() -> dict[str, float]:
        parts = {}
        for name, work in (
            ("read", partial(_read_all, scene)),
            ("forward", partial(_repeat, forward, chips)),
            ("write", partial(_write_cog, pixels, out)),
        ):
            start = time.perf_counter()
            work()
            parts[name] = time.perf_counter() - start
        return parts

    return run


def _default_forward(shape: tuple[int, int], device: torch.device) -> tuple[int, Job]:
    from geocamss.models.checkpoint import load
    from geocamss.models.registry import DEFAULT, resolve
    from geocamss.models.segmenter import Sampling

    model = load(resolve(DEFAULT), device)
    count = _chips_over(shape, model.card.chip, model.card.overlap)
    return count, partial(model, *chips_for(model), Sampling())


def _chips_over(shape: tuple[int, int], chip: int, overlap: int) -> int:
    step = chip - overlap
    return -(-shape[0] // step) * -(-shape[1] // step)


def _repeat(work: Job, count: int) -> None:
    with torch.inference_mode():
        for _ in range(count):
            work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _read_all(scene: Path) -> None:
    """Read every pixel once, with all cores, without holding them."""
    with rasterio.open(scene, num_threads="all_cpus") as file:
        high = 4 * file.block_shapes[0][0]
        for row in range(0, file.height, high):
            file.read(window=((row, min(row + high, file.height)), (0, file.width)))


def _write_cog(pixels: np.ndarray, out: Path) -> None:
    """The map as a cloud-optimized GeoTIFF."""
    from geocamss.output.raster import RasterSpec, RasterWriter
    from geocamss.scene.window import Window

    spec = RasterSpec(None, rasterio.Affine.scale(1.0), pixels.shape, "class", "MODE", {})
    with RasterWriter(spec, out / "classes.tif") as file:
        file.write(Window(0, 0, *pixels.shape), pixels)
        file.finish()


def _plain_profile(file: Any) -> dict[str, Any]:
    """What most people write."""
    return {
        "driver": "GTiff",
        "dtype": "uint8",
        "count": 1,
        "height": file.height,
        "width": file.width,
        "crs": file.crs,
        "transform": file.transform,
        "nodata": 255,
        "compress": "deflate",
        "tiled": True,
    }


def _write(out: Path, profile: dict[str, Any], classes: np.ndarray) -> None:
    out.mkdir()
    with rasterio.open(out / "classes.tif", "w", **profile) as file:
        file.write(classes, 1)


CONTESTANTS: dict[str, Callable[..., Job]] = {
    "geocamss": geocamss,
    "omnicloudmask": omnicloudmask,
    "terratorch": terratorch,
    "torchgeo": torchgeo,
    "floor": floor,
}
"""By the name of the package."""


def measure(job: Job) -> dict[str, Any]:
    """Do a job, and tell what it took."""
    model = job.keywords.get("model") if isinstance(job, partial) else None
    with _at_work(model) as busy:
        before, cpu = resident(), _cpu()
        start = time.perf_counter()
        found = job()
        seconds = time.perf_counter() - start
    on_gpu = torch.cuda.is_available() and torch.cuda.is_initialized()
    return {
        "seconds": seconds,
        "cpu": _cpu() - cpu,
        "before": before,
        "peak": peak(),
        "parts": found if isinstance(found, dict) else {},
        "vram": torch.cuda.max_memory_allocated() / 1e6 if on_gpu else None,
        "waits": 1 - sum(busy()) / 1000 / seconds if on_gpu and model is not None else None,
    }


@contextmanager
def _at_work(model: Any) -> Iterator[Callable[[], list[float]]]:
    """Time a model's calls on a GPU; yields what gives the milliseconds of each in the end."""
    marks: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []

    def milliseconds() -> list[float]:
        torch.cuda.synchronize()
        return [start.elapsed_time(end) for start, end in marks]

    if model is None or model.device.type != "cuda":
        yield milliseconds
        return
    kind = type(model)
    plain = kind.__call__

    def marked(self: Any, *words: Any) -> Any:
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        said = plain(self, *words)
        end.record()
        marks.append((start, end))
        return said

    kind.__call__ = marked
    try:
        yield milliseconds
    finally:
        kind.__call__ = plain


def _cpu() -> float:
    """Seconds of processor time that this process and its children have used."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def main() -> None:
    """Run one contestant."""
    name, scene, out, network, device, *more = sys.argv[1:]
    job = CONTESTANTS[name](Path(scene), Path(out), network, device, *map(Path, more))
    result = measure(job)
    with rasterio.open(scene) as file:
        result["mpx"] = file.width * file.height / 1e6
    result["versions"] = versions(name, "torch", "rasterio", "numpy") | {
        "gdal": rasterio.__gdal_version__
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
