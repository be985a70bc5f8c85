"""The report of a job: a page for people, and the same for programs."""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import rasterio

import geocamss
from geocamss.batch.mosaic_grid import Mosaic
from geocamss.batch.scenes import SceneResult
from geocamss.hypertext import escape
from geocamss.output.areas import are_counts
from geocamss.request import Request
from geocamss.scene.resolve import spoken
from geocamss.scene.stamp import without_signatures
from geocamss.whole import whole

__all__ = ["report", "write_report"]

LIBRARIES = ("torch", "rasterio", "dask", "distributed", "numpy", "shapely", "pyproj")
"""Whose versions the report names."""

STATES = {
    "done": "mapped",
    "kept": "mapped before",
    "failed": "failed",
    "left": "not finished",
}
"""States, for people."""

POLICY = "default-src 'none';img-src data:;style-src 'unsafe-inline'"
"""The page needs no network, and no script."""

STYLE = """
:root{color-scheme:light dark;--ink:#202124;--faint:#5f6368;--paper:#fff;--line:#dadce0;
--bad:#b3261e;--good:#1e7a34}
@media(prefers-color-scheme:dark){:root{--ink:#e8eaed;--faint:#9aa0a6;--paper:#202124;
--line:#3c4043;--bad:#f2b8b5;--good:#81c995}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);
max-width:72rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem;margin:0}h2{font-size:1.1rem;margin:2rem 0 .5rem}
p.sub{color:var(--faint);margin:.25rem 0 1.5rem}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%}
th,td{text-align:left;vertical-align:top;padding:.4rem .8rem .4rem 0;
border-bottom:1px solid var(--line)}
th{font-weight:600;white-space:nowrap}.n{text-align:right;font-variant-numeric:tabular-nums;
white-space:nowrap}.failed,.left{color:var(--bad)}.done,.kept{color:var(--good)}
.why{color:var(--bad);overflow-wrap:anywhere}td.id{overflow-wrap:anywhere}
small{color:var(--faint);overflow-wrap:anywhere}
img{display:block;max-width:96px;height:auto;image-rendering:pixelated}
"""


def write_report(folder: Path, content: dict[str, Any], scenes: Sequence[SceneResult]) -> Path:
    """Write ``report.html`` and ``report.json``; each appears when it is whole.

    Args:
        folder: where they go.
        content: what ``report`` gives.
        scenes: what became of each; their pictures go into the page.

    Returns:
        The page for people.
    """
    _write(folder / "report.json", json.dumps(content, indent=1, allow_nan=False) + "\n")
    _write(folder / "report.html", _page(content, [scene.thumbnail for scene in scenes]))
    return folder / "report.html"


def report(
    scenes: Sequence[SceneResult],
    request: Request,
    started: datetime,
    seconds: float,
    *,
    mosaic: Mosaic | None = None,
    place: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """What there is to say of a job, in plain values.

    Args:
        scenes: what became of each.
        request: how they were to be mapped.
        started: when the job began.
        seconds: that it took.
        mosaic: that was asked for.
        place: where it ran, in words.
    """
    return {
        "started": started.isoformat(timespec="seconds"),
        "seconds": round(seconds, 3),
        "totals": _totals(scenes),
        "request": _request(request),
        "mosaic": None if mosaic is None else mosaic.words,
        "scenes": [_scene(scene) for scene in scenes],
        "environment": {**(place or {}), **_environment()},
    }


def _totals(scenes: Sequence[SceneResult]) -> dict[str, Any]:
    mapped = [scene for scene in scenes if scene.mapped]
    placed = any(map(_has_place, mapped))
    areas: dict[tuple[int, str], list[float]] = {}
    for scene in mapped:
        for area in scene.areas:
            sums = areas.setdefault((area.value, area.name), [0.0, 0.0])
            sums[0] += area.pixels
            sums[1] += area.area_m2 if _has_place(scene) or not placed else 0.0
    covered = sum(area for _, area in areas.values())
    return {
        "scenes": len(scenes),
        **{state: sum(scene.state == state for scene in scenes) for state in STATES},
        "pixels": sum(scene.pixels for scene in mapped),
        "blocks": sum(scene.blocks for scene in mapped),
        "worker_seconds": round(sum(scene.seconds for scene in mapped), 3),
        "retries": sum(scene.retries for scene in scenes),
        "areas": [
            {
                "class": value,
                "name": name,
                "pixels": int(pixels),
                "area_m2": area if placed else None,
                "share": area / covered if covered else 0.0,
            }
            for (value, name), (pixels, area) in areas.items()
        ],
    }


def _has_place(scene: SceneResult) -> bool:
    """Whether a map's areas are square meters."""
    return not are_counts((area.area_m2, area.pixels) for area in scene.areas)


def _request(request: Request) -> dict[str, Any]:
    return {
        "model": str(request.model),
        "bands": dict(request.bands) if request.bands else None,
        "gsd": request.gsd,
        "crs": request.crs,
        "aoi": None if request.aoi is None else os.fspath(request.aoi),
        "steps": request.steps,
        "samples": request.samples,
        "seed": request.seed,
        "sampler": request.sampler,
        "rounds": request.rounds,
        "guidance": request.guidance,
        "batch_size": request.batch_size,
        "device": request.device,
        "outputs": list(request.outputs),
        "min_area": request.min_area,
        "smooth": request.smooth,
        "simplify": request.simplify,
        "square": list(request.square),
    }


def _scene(scene: SceneResult) -> dict[str, Any]:
    # Reports are handed on, and URLs may be signed.
    return {
        "id": scene.id,
        "source": without_signatures(spoken(scene.source)),
        "state": scene.state,
        "reason": without_signatures(scene.reason) or None,
        "folder": scene.folder.name,
        "pixels": scene.pixels,
        "blocks": scene.blocks,
        "seconds": round(scene.seconds, 3),
        "retries": scene.retries,
        "batch": scene.batch,
        "datetime": scene.datetime.isoformat() if scene.datetime else None,
        "areas": [
            {
                "class": area.value,
                "name": area.name,
                "pixels": area.pixels,
                "area_m2": area.area_m2 if _has_place(scene) else None,
                "share": area.share,
                "confidence": area.mean_confidence,
            }
            for area in scene.areas
        ],
    }


def _environment() -> dict[str, str]:
    found = {
        "geocamss": geocamss.__version__,
        "python": platform.python_version(),
        "gdal": rasterio.__gdal_version__,
    }
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found | {"system": f"{platform.system()} {platform.machine()}"}


def _page(content: dict[str, Any], thumbnails: Sequence[str]) -> str:
    totals = content["totals"]
    mapped = totals["done"] + totals["kept"]
    unmapped = [scene for scene in content["scenes"] if scene["reason"]]
    said = (
        f"{content['started']}, {_duration(content['seconds'])}; {totals['pixels']:,} pixels, "
        f"model {content['request']['model']}"
    )
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width,initial-scale=1'>",
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        f"<title>geocamss: {mapped} of {totals['scenes']} scenes mapped</title>",
        f"<style>{STYLE}</style></head><body>",
        f"<h1>{mapped} of {totals['scenes']} scenes mapped</h1>",
        f"<p class='sub'>{escape(said)}</p>",
    ]
    if unmapped:
        parts += [
            "<h2>Without a map</h2>",
            _table(("Scene", "State", "Reason"), map(_why, unmapped)),
        ]
    if totals["areas"]:
        heads = ("Class", "#km²", "#Share", "#Pixels")
        parts += ["<h2>Areas</h2>", _table(heads, _areas(totals))]
        parts += ["<h2>Areas by scene, km²</h2>", _by_scene(content["scenes"], totals["areas"])]
    rows = map(_row, content["scenes"], thumbnails)
    columns = ("Map", "Scene", "State", "Classes", "#Pixels", "#Blocks", "#Seconds", "#Retries")
    parts += ["<h2>Scenes</h2>", _table(columns, rows)]
    facts = content["request"] | {"mosaic": content["mosaic"]} | content["environment"]
    plain = ((f"<th scope='row'>{escape(k)}</th>", _cell(_text(v))) for k, v in facts.items())
    parts += ["<h2>How, and with what</h2>", _table((), plain), "</body></html>\n"]
    return "".join(parts)


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table of finished cells; a heading that begins with # stands over numbers."""
    cells = "".join(
        f"<th scope='col'{' class=n' if head[0] == '#' else ''}>{escape(head.lstrip('#'))}</th>"
        for head in heads
    )
    top = f"<thead><tr>{cells}</tr></thead>" if cells else ""
    body = "".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    return f"<div class='wide'><table>{top}<tbody>{body}</tbody></table></div>"


def _cell(text: str, kind: str = "") -> str:
    return f"<td{f' class={kind!r}' if kind else ''}>{escape(text)}</td>"


def _why(scene: dict[str, Any]) -> Iterable[str]:
    return (
        _named(scene),
        _cell(STATES[scene["state"]], scene["state"]),
        _cell(scene["reason"], "why"),
    )


def _areas(totals: dict[str, Any]) -> Iterable[Iterable[str]]:
    for area in totals["areas"]:
        yield (
            _cell(area["name"]),
            _cell("" if area["area_m2"] is None else f"{area['area_m2'] / 1e6:,.3f}", "n"),
            _cell(_percent(area["share"]), "n"),
            _cell(f"{area['pixels']:,}", "n"),
        )


def _by_scene(scenes: Iterable[dict[str, Any]], classes: Iterable[dict[str, Any]]) -> str:
    """A table of scenes and classes: square kilometers, or shares where a scene has no place."""
    keys = [(found["class"], found["name"]) for found in classes]
    rows = []
    for scene in scenes:
        areas = {(area["class"], area["name"]): area for area in scene["areas"]}
        cells = [_cell(_extent(areas[key]) if key in areas else "", "n") for key in keys]
        if areas:
            rows.append([_cell(scene["id"], "id"), *cells])
    return _table(("Scene", *(f"#{name}" for _, name in keys)), rows)


def _extent(area: dict[str, Any]) -> str:
    square_meters = area["area_m2"]
    return _percent(area["share"]) if square_meters is None else f"{square_meters / 1e6:,.3f}"


def _row(scene: dict[str, Any], thumbnail: str) -> Iterable[str]:
    picture = f"<img alt='' src='data:image/png;base64,{escape(thumbnail)}'>" if thumbnail else ""
    largest = sorted(scene["areas"], key=lambda area: -area["share"])[:4]
    shares = ", ".join(f"{a['name']} {_percent(a['share'])}" for a in largest if a["share"] > 0)
    return (
        f"<td>{picture}</td>",
        _named(scene),
        _cell(STATES[scene["state"]], scene["state"]),
        _cell(shares),
        _cell(f"{scene['pixels']:,}" if scene["pixels"] else "", "n"),
        _cell(f"{scene['blocks']:,}" if scene["blocks"] else "", "n"),
        _cell(f"{scene['seconds']:,.1f}", "n"),
        _cell(str(scene["retries"] or ""), "n"),
    )


def _named(scene: dict[str, Any]) -> str:
    source = scene["source"]
    shown = source if len(source) <= 200 else source[:199] + "…"
    return f"<td class='id'>{escape(scene['id'])}<br><small>{escape(shown)}</small></td>"


def _percent(share: float) -> str:
    return "< 0.1 %" if 0 < share < 0.0005 else f"{100 * share:.1f} %"


def _duration(seconds: float) -> str:
    minutes, left = divmod(math.ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {left} s" if minutes else f"{left} s"


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, dict):
        return ", ".join(f"{key}={entry}" for key, entry in value.items())
    return str(value)


def _write(target: Path, text: str) -> None:
    with whole(target) as part:
        part.write_text(text, "utf-8", errors="replace")
