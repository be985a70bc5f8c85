"""All that is claimed of the models, measured part by part and written on one page.

    python -m benchmarks.report --data ../shared/data

runs one benchmark after another, each in a process of its own, keeps what it has found in
``--folder``, with the command, its seconds, the machine and the versions, and writes the numbers
into ``docs/results.md``, between two marks: what people write around them stays. A part that is
there already is not run again, so that a stopped report goes on; ``--again`` runs it anew.

``--quick`` tries all of it in minutes, on a few pictures and in a folder of its own: what it prints
means nothing, but that it runs. ``--list`` prints the parts and their commands.

    python -m benchmarks.report --data ../shared/data --only compare -- --minutes 10 --seeds 0

runs some parts only, with options that count before their own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from benchmarks.machine import machine, versions
from benchmarks.page import render

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "results.md"
VERSIONS = ("geocamss", "torch", "numpy", "rasterio", "segmentation-models-pytorch", "torchgeo")

NETWORKS = "U-Net U-Net-ResNet18 DeepLabV3+ SegFormer CAM-Seg shipped"

Kept = dict[str, Any]
"""What is kept of a part: part, command, when, seconds, machine, versions and result."""


@dataclass(frozen=True)
class Part:
    """One benchmark of the report."""

    name: str
    """Of its program in this folder."""

    full: str
    """Its options; ``{folder}`` is where results are kept, ``{pictures}`` where figures go."""

    quick: str
    """Its options where it is only tried; ``{recipe}`` is a recipe of two pictures."""

    data: bool = True
    """Whether it takes ``--data``."""

    gpu: bool = False
    """Whether it is left out where there is none, unless it is only tried."""


PARTS = (
    Part(
        "compare",
        f"--networks {NETWORKS} --seeds 0 1 2 --corrupt --weights {{folder}}/weights",
        f"--recipe {{recipe}} --networks {NETWORKS} --seeds 0 --minutes 0.02 --crop 128 --corrupt "
        "--only gaussian-noise hue",
    ),
    Part(
        "sampling",
        "--minutes 5",
        "--recipe {recipe} --minutes 0.02 --images 1 --crop 128 --steps 1 4",
    ),
    Part(
        "tokenizer",
        "--minutes 4 --seeds 3",
        "--recipe {recipe} --minutes 0.02 --seeds 2 --images 1",
    ),
    Part(
        "uncertainty",
        "--samples 8 --figure {pictures}/reliability.png",
        "--samples 2 --images 1 --crop 300 --figure {pictures}/reliability.png",
    ),
    Part(
        "shuffling",
        "--seeds 0 1 2 --keep {folder}/shuffling",
        "--seeds 0 1 --pretrain-steps 2 --steps 2 --every 1 --shape-steps 2 --crop 128",
    ),
    Part(
        "engine",
        "--network default --size 3000x3000 --rounds 3 --tools geocamss,floor",
        "--network default --size 600x600 --rounds 1 --tools geocamss,floor",
        data=False,
    ),
    Part(
        "base",
        "--device cuda",
        "--device cpu --size tiny --side 64 --batches 1 2 --seconds 0.1",
        data=False,
        gpu=True,
    ),
)


def small_recipe(target: Path) -> Path:
    """The default model's recipe with two pictures: it takes no time, and learns nothing."""
    text = (ROOT / "recipes" / "aerial-landcover.yaml").read_text(encoding="utf-8")
    content = yaml.safe_load(text)
    for where in ("sources", "validation"):
        content[where] = [
            {**source, "folders": source["folders"][:1], "images": "images/*_001.jpg"}
            for source in content[where]
            if source["kind"] == "pairs"
        ]
    small = {"chip": 64, "batch": 2, "warmup": 1, "minutes": 0.02}
    content["training"] = {**content["training"], **small}
    content["stages"] = []
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(yaml.safe_dump(content), encoding="utf-8")
    return target


def command(part: Part, options: argparse.Namespace, more: Sequence[str] = ()) -> list[str]:
    """The words that run a part, without those that say where its result goes."""
    places = {
        "folder": str(options.folder),
        "pictures": str(options.page.parent),
        "recipe": str(options.folder / "small.yaml"),
    }
    chosen = part.quick if options.quick else part.full
    words = [*(word.format(**places) for word in chosen.split()), *more]
    data = ["--data", str(options.data)] if part.data else []
    return ["python", "-m", f"benchmarks.{part.name}", *data, *words]


def shown(words: Sequence[str], options: argparse.Namespace) -> str:
    """A command as it stands on the page: other machines have other folders."""
    names = {str(options.data): "DATA", str(options.folder): "FOLDER", f"{ROOT}{os.sep}": ""}
    text = " ".join(words)
    for path, name in names.items():
        text = text.replace(path, name)
    return text


def measure(part: Part, options: argparse.Namespace) -> Kept | None:
    """Run a part; None where it fails, of which it has told by itself."""
    words = command(part, options, options.more)
    found = options.folder / f"{part.name}.found.json"
    found.unlink(missing_ok=True)
    print(f"\n{part.name}: {' '.join(words)}", flush=True)
    began, when = time.monotonic(), datetime.now(UTC)
    done = subprocess.run([sys.executable, *words[1:], "--json", str(found)], cwd=ROOT, check=False)
    if done.returncode or not found.is_file():
        print(f"{part.name} failed, with {done.returncode}", flush=True)
        return None
    kept = {
        "part": part.name,
        "command": shown(words, options),
        "when": when.date().isoformat(),
        "seconds": round(time.monotonic() - began, 1),
        "machine": machine(),
        "versions": versions(*VERSIONS),
        "result": json.loads(found.read_text(encoding="utf-8")),
    }
    _file(part, options).write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
    found.unlink()
    return kept


def _file(part: Part, options: argparse.Namespace) -> Path:
    return Path(options.folder) / f"{part.name}.json"


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def gather(parts: Sequence[Part], options: argparse.Namespace) -> tuple[dict[str, Kept], list[str]]:
    """Run what is wanted and not there yet.

    Returns:
        All that is there then, by part, and which parts have failed.
    """
    failed = []
    for part in parts:
        if _file(part, options).is_file() and not options.again:
            print(f"{part.name}: is there already", flush=True)
        elif part.gpu and not options.quick and not _has_gpu():
            print(f"{part.name}: left out, there is no GPU", flush=True)
        elif measure(part, options) is None:
            failed.append(part.name)
    files = {part.name: _file(part, options) for part in PARTS}
    there = {
        name: json.loads(file.read_text(encoding="utf-8"))
        for name, file in files.items()
        if file.is_file()
    }
    return there, failed


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [part.name for part in PARTS]
    parser.add_argument("--data", type=Path, required=True, help="the data folder")
    parser.add_argument("--folder", type=Path, help="where results are kept; build/results")
    parser.add_argument("--page", type=Path, help="Markdown file to write; docs/results.md")
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="PART")
    parser.add_argument("--again", action="store_true", help="run what is there already, too")
    parser.add_argument("--quick", action="store_true", help="only try whether all of it runs")
    parser.add_argument("--list", action="store_true", help="print the commands, and run nothing")
    words = sys.argv[1:]
    cut = words.index("--") if "--" in words else len(words)
    options = parser.parse_args(words[:cut])
    options.more = words[cut + 1 :]
    usual = ROOT / "build" / ("results-quick" if options.quick else "results")
    options.folder = (options.folder or usual).resolve()
    options.data = options.data.resolve()
    options.page = (options.page or (usual / "results.md" if options.quick else PAGE)).resolve()
    return options


def main() -> None:
    """Run what is missing, write the page."""
    options = _options()
    parts = [part for part in PARTS if part.name in options.only]
    if options.list:
        for part in parts:
            print(shown(command(part, options), options))
        return
    options.folder.mkdir(parents=True, exist_ok=True)
    options.page.parent.mkdir(parents=True, exist_ok=True)
    if options.quick:
        small_recipe(options.folder / "small.yaml")
    there, failed = gather(parts, options)
    missing = {
        part.name: shown(command(part, options), options)
        for part in PARTS
        if part.name not in there
    }
    render(there, missing, options.page)
    print(f"\nwrote {options.page}")
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
