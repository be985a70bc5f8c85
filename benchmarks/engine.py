"""Side by side: how fast, and in how much memory, a scene is mapped with one and the same network.

    python -m benchmarks.engine --size 10980x10980 --rounds 5 --peers-python ../peers/bin/python

paints a scene of four bands of uint16, maps it with geocamss and with each peer that is installed
in the environment of ``--peers-python``, in turn, each time in a process of its own, and prints
medians, ratios and peaks. The floor is what no way can do without: every pixel read once with all
cores, the forward passes alone, and the same class map written as a cloud-optimized GeoTIFF.

Peers: omnicloudmask, terratorch (tiled_inference), torchgeo (GridGeoSampler and a DataLoader). They
write plain GeoTIFFs without overviews, which is less work.

With ``--device cuda`` all networks run on a GPU; the share of the time in which it waits for the
network's next batch is printed as well, and the peak of its memory.

``--profile`` shows where the time of geocamss goes, ``--plot FILE`` draws time and memory against
the size of the scene, from 1 to ``--largest`` megapixels.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.machine import machine
from benchmarks.memory import write_scene
from benchmarks.networks import NAMES

ROOT = Path(__file__).resolve().parent.parent
PEERS = ("omnicloudmask", "terratorch", "torchgeo")

Result = dict[str, Any]


def run_once(
    tool: str, scene: Path, on: tuple[str, str], folder: Path, python: str = sys.executable
) -> Result | None:
    """Run one contestant in a process of its own; None where it is not installed.

    Args:
        tool: its name.
        scene: what it maps.
        on: the network, and the device.
        folder: for its outputs.
        python: of the environment that it is installed in.
    """
    out = folder / f"out-{tool}"
    shutil.rmtree(out, ignore_errors=True)
    command = [python, "-m", "benchmarks.contestants", tool, str(scene), str(out), *on]
    if tool == "floor":
        command.append(str(folder / "classes.tif"))
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        why = done.stderr.strip().splitlines()
        print(f"  {tool} left out: {why[-1] if why else done.returncode}", flush=True)
        return None
    found: Result = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def contest(
    scene: Path, options: argparse.Namespace, tools: list[str], folder: Path
) -> dict[str, list[Result]]:
    """Run the contestants in turn, as often as asked for."""
    results: dict[str, list[Result]] = {}
    missing: set[str] = set()
    for number in range(options.rounds):
        print(f"round {number + 1} of {options.rounds}", flush=True)
        for tool in [name for name in tools if name not in missing]:
            where = options.peers_python if tool in PEERS else sys.executable
            found = run_once(tool, scene, (options.network, options.device), folder, where)
            if found is None:
                missing.add(tool)
                continue
            results.setdefault(tool, []).append(found)
            if tool == "geocamss":
                shutil.copy(folder / "out-geocamss" / "classes.tif", folder)
            shutil.rmtree(folder / f"out-{tool}", ignore_errors=True)
    return results


def medians(results: list[Result]) -> dict[str, float]:
    """The middle of each number."""
    middle = {
        name: statistics.median(result[name] for result in results)
        for name in ("seconds", "cpu", "mpx", "vram", "waits")
        if results[0][name] is not None
    }
    middle["added"] = statistics.median(result["peak"] - result["before"] for result in results)
    middle["peak"] = statistics.median(result["peak"] for result in results)
    return middle


def report(results: dict[str, list[Result]]) -> dict[str, dict[str, float]]:
    """Print a table, and return it."""
    table = {tool: medians(found) for tool, found in results.items()}
    ours = table.get("geocamss")
    titles = f"{'wall s':>9}{'Mpx/s':>9}{'cpu s':>9}{'peak MB':>10}{'added MB':>10}"
    print(f"\n{'':<15}{titles}  geocamss / this")
    for tool, row in table.items():
        line = f"{tool:<15}{row['seconds']:9.2f}{row['mpx'] / row['seconds']:9.1f}"
        line += f"{row['cpu']:9.2f}{row['peak']:10.0f}"
        line += f"{row['added']:10.0f}"
        if ours is not None and tool != "geocamss":
            wall, cpu = ours["seconds"] / row["seconds"], ours["cpu"] / row["cpu"]
            line += f"  {wall:.2f} wall, {cpu:.2f} cpu"
        print(line)
        if "vram" in row:
            print(f"{'':<15}{row['vram']:9.0f} MB of the GPU's memory at the peak")
        if "waits" in row:
            print(f"{'':<15}{100 * row['waits']:9.1f} % of the time the GPU waits for a batch")
    if "floor" in results:
        parts = [result["parts"] for result in results["floor"]]
        said = [f"{name} {statistics.median(p[name] for p in parts):.2f} s" for name in parts[0]]
        print(f"floor: {', '.join(said)}")
        if ours is not None:
            forward = statistics.median(p["forward"] for p in parts)
            print(f"over the pure forward passes: {100 * (ours['seconds'] / forward - 1):+.0f} %")
    return table


def profile(scene: Path, network: str, folder: Path, device: str = "cpu") -> dict[str, float]:
    """Processor seconds by stage of one run of geocamss in this process; prints them in percent."""
    from benchmarks.contestants import geocamss
    from benchmarks.stages import timed_stages

    job = geocamss(scene, folder / "profiled", network, device)
    with timed_stages(job.keywords["model"]) as seconds:  # type: ignore[attr-defined]
        job()
    shutil.rmtree(folder / "profiled")
    whole = sum(seconds.values())
    print("\nwhere the processor time goes (reading and saving go on beside the rest)")
    for name, spent in sorted(seconds.items(), key=lambda item: -item[1]):
        print(f"  {name:<20}{spent:8.2f} s {100 * spent / whole:6.1f} %")
    return dict(seconds)


def growth(largest: float, network: str, device: str, folder: Path) -> list[dict[str, float]]:
    """Time and memory of geocamss against the scene's size, by factors of about four."""
    rows = []
    size = 1.0
    while size <= largest * 1.01:
        side = round((size * 1e6) ** 0.5)
        scene = folder / f"{side}.tif"
        write_scene(scene, side, side)
        found = run_once("geocamss", scene, (network, device), folder)
        scene.unlink()
        if found is not None:
            added = found["peak"] - found["before"]
            rows.append({"mpx": side * side / 1e6, "seconds": found["seconds"], "added": added})
            print(f"  {rows[-1]['mpx']:8.1f} Mpx {found['seconds']:8.2f} s {added:8.0f} MB added")
        size = largest if size < largest < 4 * size else 4 * size
    return rows


def draw(rows: list[dict[str, float]], target: Path) -> None:
    """Draw time and memory against size."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    for axes, name, unit in zip(
        figure.subplots(1, 2), ("seconds", "added"), ("s", "MB added at the peak"), strict=True
    ):
        axes.plot([row["mpx"] for row in rows], [row[name] for row in rows], "o-")
        axes.set_xscale("log")
        if name == "seconds":
            axes.set_yscale("log")
        else:
            axes.set_ylim(0)
        axes.set_xlabel("Mpx")
        axes.set_ylabel(unit)
        axes.grid(visible=True, alpha=0.3)
    figure.savefig(target)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", default="10980x10980", help="height x width of the scene")
    parser.add_argument("--scene", type=Path, help="a scene of four bands instead of a painted one")
    parser.add_argument("--network", choices=NAMES, default="free")
    parser.add_argument("--device", default="cpu", help="where the networks run")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tools", default="geocamss,floor," + ",".join(PEERS))
    parser.add_argument(
        "--peers-python", default=sys.executable, help="Python of the environment with the peers"
    )
    parser.add_argument("--profile", action="store_true", help="show where the time goes")
    parser.add_argument("--plot", type=Path, help="draw time and memory against size into this")
    parser.add_argument("--largest", type=float, default=400.0, help="Mpx of the plot's last scene")
    parser.add_argument("--json", type=Path, help="write the numbers here too")
    parser.add_argument("--folder", type=Path, help="where scenes and maps go while it runs")
    return parser.parse_args()


def main() -> None:
    """Parse, run, print."""
    options = _options()
    found: dict[str, Any] = {
        "machine": machine(),
        "network": options.network,
        "device": options.device,
    }
    if options.scene is None:
        found["size"] = options.size
    print(json.dumps(found["machine"]))
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        scene = options.scene
        if scene is None:
            scene = folder / "scene" / f"{options.size}.tif"
            scene.parent.mkdir()
            write_scene(scene, *map(int, options.size.split("x")))
        tools = options.tools.split(",")
        if options.network == "default":
            tools = [tool for tool in tools if tool not in PEERS]
        results = contest(scene.absolute(), options, tools, folder)
        found["runs"], found["medians"] = results, report(results)
        found["versions"] = {tool: runs[0]["versions"] for tool, runs in results.items()}
        print(json.dumps(found["versions"]))
        if options.profile:
            found["stages"] = profile(scene, options.network, folder, options.device)
        if options.plot:
            found["growth"] = growth(options.largest, options.network, options.device, folder)
            draw(found["growth"], options.plot)
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
