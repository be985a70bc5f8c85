"""How fast the size of the paper is: pictures a second at 768 x 768, and the share of the peak.

    python -m benchmarks.base --device cuda

maps pictures that lie in main memory with ``camss-base``, whose weights are random: from bytes to a
class map in main memory, in batches, with each head and sampler in the number format that is
fastest there. Operations are counted by torch.utils.flop_counter, a multiplication and an addition
being two. The peak that they are held against is that of dense products in bfloat16 by the data
sheet of a known GPU, or what ``--peak`` says; without either no share is printed.

    python -m benchmarks.base --device cpu --size tiny --side 128 --batches 1 2

shows on any machine that it works.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from geocamss.modelcard import ModelCard
from geocamss.models.camss.config import CamssConfig
from geocamss.models.camss.model import CamssSegmenter
from geocamss.models.camss.network import build
from geocamss.models.camss.sizes import SIZES
from geocamss.models.normalize import Normalizer
from geocamss.models.precision import fast_dtype
from geocamss.models.segmenter import Sampling

PEAKS = {"H200": 989.4, "H100": 989.4, "A100": 312.0, "L40S": 362.1, "L4": 121.0, "4090": 165.2}
"""TFLOPS of dense products in bfloat16 by a part of a GPU's name; the first that fits."""

CLASSES = 19
"""As many as the paper's own run tells apart (Cityscapes)."""

PAPER = 0.63
"""Images a second of the paper's own run, on a GPU that it does not name."""

WAYS = (("flow", "euler", 1), ("ddpm", "dpm++", 8), ("ddpm", "ddpm", 100))
"""Head, sampler and steps: ours, the paper's head in few steps, and the paper's own way."""


@dataclass(frozen=True)
class Row:
    """One way to map, measured."""

    head: str
    sampler: str
    steps: int
    batch: int
    per_second: float
    """Pictures."""

    tera_per_image: float
    """10^12 operations, for one picture."""

    share: float | None
    """Of the peak, 0 to 1."""

    gigabytes: float | None
    """Largest memory of a GPU."""

    @property
    def text(self) -> str:
        """A line of the table."""
        share = "" if self.share is None else f"{100 * self.share:9.1f}"
        memory = "" if self.gigabytes is None else f"{self.gigabytes:8.1f}"
        return (
            f"  {self.head:<6}{self.sampler:<8}{self.steps:>5}{self.batch:>7}"
            f"{self.per_second:>12.3f}{self.tera_per_image:>12.3f}{share:>9}{memory:>8}"
        )


def segmenter(size: str, head: str, side: int, device: torch.device) -> CamssSegmenter:
    """A segmenter of random weights."""
    config = CamssConfig.model_validate({"size": size, "head": head})
    card = ModelCard(
        name=f"camss-{size}",
        architecture="camss",
        bands=["red", "green", "blue"],
        gsd=0.5,
        scale=1 / 255,
        mean=0.45,
        std=0.27,
        classes=[f"class {number}" for number in range(CLASSES)],
        chip=side,
        overlap=0,
        **config.card_fields(),
    )
    torch.manual_seed(0)
    return CamssSegmenter(build(config, len(card.bands), CLASSES), card, device)


def mapping(network: CamssSegmenter, batch: int, how: Sampling) -> Callable[[], Tensor]:
    """What makes class maps of a batch of pictures, both in main memory."""
    side, device = network.card.chip, network.device
    shape = batch, len(network.card.bands), side, side
    generator = torch.Generator().manual_seed(0)
    pictures = torch.randint(256, shape, dtype=torch.uint8, generator=generator)
    if device.type == "cuda":
        pictures = pictures.pin_memory()
    normalizer = Normalizer.of(network.card)
    corners = torch.zeros(batch, 2, dtype=torch.int64)

    def run() -> Tensor:
        valid = torch.ones(batch, side, side, dtype=torch.bool, device=device)
        chips = normalizer(pictures.to(device, non_blocking=True), valid)
        return network(chips, valid, corners, how).argmax(1).to(torch.uint8).cpu()

    return run


def measure(
    network: CamssSegmenter, way: tuple[str, str, int], batch: int, seconds: float, peak: float
) -> Row:
    """Map for some seconds, and count what it takes."""
    head, sampler, steps = way
    how = Sampling(steps, sampler=sampler)
    with FlopCounterMode(display=False) as counter:
        mapping(network, 1, how)()
    operations = counter.get_total_flops()
    run, on_gpu = mapping(network, batch, how), network.device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    run()  # warm
    started, count = time.perf_counter(), 0
    while count < 2 or time.perf_counter() - started < seconds:
        run()  # ends in main memory: nothing is left to wait for
        count += 1
    rate = count * batch / (time.perf_counter() - started)
    return Row(
        head,
        sampler,
        steps,
        batch,
        per_second=rate,
        tera_per_image=operations / 1e12,
        share=rate * operations / (peak * 1e12) if peak else None,
        gigabytes=torch.cuda.max_memory_allocated() / 1e9 if on_gpu else None,
    )


def peak_of(device: torch.device) -> float:
    """By the data sheet, in TFLOPS; 0 where it is not known."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    return next((peak for part, peak in PEAKS.items() if part in name), 0.0)


def main() -> None:
    """Parse, map, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    usual = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--device", choices=("cuda", "cpu"), default=usual)
    parser.add_argument("--size", choices=list(SIZES), default="base")
    parser.add_argument("--side", type=int, default=768, help="of a picture, in pixels")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32])
    parser.add_argument("--ways", type=int, default=len(WAYS), help="the first so many")
    parser.add_argument("--seconds", type=float, default=5.0, help="for each row")
    parser.add_argument("--peak", type=float, help="TFLOPS in bfloat16, instead of the known")
    parser.add_argument("--json", type=Path, help="write the numbers here too")
    options = parser.parse_args()

    device = torch.device(options.device)
    peak = options.peak or peak_of(device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    print(f"camss-{options.size} on {name}, {fast_dtype(device)}, peak {peak:g} TFLOPS")
    print("  head  sampler steps  batch  images / s  TFLOP each  % of peak   GB")
    rows = []
    for way in WAYS[: options.ways]:
        network = segmenter(options.size, way[0], options.side, device)
        for batch in options.batches:
            rows.append(measure(network, way, batch, options.seconds, peak))
            print(rows[-1].text, flush=True)
    best = max(rows, key=lambda row: row.per_second)
    print(f"{best.per_second:.2f} images a second at best; the paper's own run has {PAPER}")
    if options.json:
        content = {
            "device": name,
            "format": str(fast_dtype(device)).removeprefix("torch."),
            "size": options.size,
            "side": options.side,
            "peak": peak,
            "paper": PAPER,
            "rows": [asdict(row) for row in rows],
        }
        options.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
