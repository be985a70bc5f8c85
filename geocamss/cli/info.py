"""``geocamss info``: what a scene or a model is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from geocamss.cli.options import band_option, did_you_mean, examples, json_option

if TYPE_CHECKING:
    from geocamss.modelcard import ModelCard
    from geocamss.scene.scene import Scene

__all__ = ["fit", "info"]


@click.command(
    "info",
    epilog=examples(
        "geocamss info scene.tif",
        "geocamss info scene.tif --bands red=4,green=3,blue=2",
        "geocamss info aerial-landcover",
        "geocamss info my-model.safetensors --json",
    ),
)
@click.argument("target", metavar="SCENE|MODEL")
@band_option
@json_option
def info(target: str, *, bands: dict[str, int] | None, as_json: bool) -> None:
    """Tell what a scene or a model is.

    Of a scene: its size, CRS, GSD and bands, and which built-in models can map it, onto which
    grid. Of a model, built in or in a file: its card.
    """
    from geocamss.models import registry

    if target in registry.names() or target.endswith(".safetensors"):
        facts = model_facts(registry.resolve(target))
    else:
        facts = scene_facts(_open(target, bands, registry.names()))
    if as_json:
        click.echo(json.dumps(facts, indent=2, ensure_ascii=False))
    elif facts["kind"] == "model":
        print_model(facts)
    else:
        print_scene(facts)


def _open(target: str, bands: Mapping[str, int] | None, models: tuple[str, ...]) -> Scene:
    from geocamss.errors import SceneError
    from geocamss.scene.scene import Scene

    try:
        return Scene.open(target, bands)
    except SceneError as error:
        hint = "" if Path(target).exists() else did_you_mean(target, models)
        raise SceneError(f"{error}{hint and '.'}{hint}") from error


def model_facts(path: Path) -> dict[str, Any]:
    """A model's card, and its file."""
    from geocamss.models.checkpoint import read_card

    card = read_card(path).model_dump(mode="json")
    return {"kind": "model", "path": str(path), "bytes": path.stat().st_size, **card}


def scene_facts(scene: Scene) -> dict[str, Any]:
    """What a scene is, in plain values, and how each built-in model would map it."""
    from geocamss.models import registry
    from geocamss.models.checkpoint import read_card

    return {
        "kind": "scene",
        "path": scene.path,
        "driver": scene.driver,
        "width": scene.width,
        "height": scene.height,
        "crs": _crs_text(scene.crs),
        "georeferencing": scene.georeferencing,
        "transform": list(scene.transform)[:6] if scene.transform else None,
        "gsd": scene.gsd,
        "datetime": scene.datetime.isoformat() if scene.datetime else None,
        "alpha": scene.alpha,
        "overviews": list(scene.overviews),
        "bands": [
            {
                "index": band.index,
                "name": band.name,
                "label": band.label,
                "wavelength": band.wavelength,
                "dtype": band.dtype,
                "scale": band.scale,
                "offset": band.offset,
                "nodata": _finite(band.nodata),
            }
            for band in scene.bands
        ],
        "models": {name: fit(scene, read_card(registry.path(name))) for name in registry.names()},
    }


def fit(scene: Scene, card: ModelCard) -> dict[str, Any]:
    """The grid that a model would map a scene onto, or why it cannot."""
    from geocamss.errors import InputError
    from geocamss.scene.grid import choose_grid

    try:
        bands = scene.select(card)
        grid = choose_grid(scene, card.gsd)
    except InputError as error:
        return {"fits": False, "reason": str(error)}
    return {
        "fits": True,
        "bands": {name: band.index for name, band in zip(card.band_names, bands, strict=True)},
        "width": grid.width,
        "height": grid.height,
        "crs": _crs_text(grid.crs),
        "pixel": abs(grid.transform.a),
    }


def _crs_text(crs: Any) -> str | None:
    """``EPSG:32633`` where the CRS has a code, else its WKT."""
    return None if crs is None else str(crs.to_string())


def _finite(number: float | None) -> float | str | None:
    """JSON knows no NaN."""
    return number if number is None or number - number == 0 else str(number)


def print_model(facts: Mapping[str, Any]) -> None:
    """A model's card, for people."""
    from geocamss.cli.tables import plain_console, plain_table

    console = plain_console()
    rows = {
        "model": f"{facts['name']}, version {facts['version']}",
        "file": f"{facts['path']} ({facts['bytes'] / 1e6:.1f} MB)",
        "": facts["description"],
        "bands": ", ".join(_model_band(band) for band in facts["bands"]),
        "GSD": f"{facts['gsd']:g} m",
        "chip": f"{facts['chip']} pixels, {facts['overlap']} of them shared with the next",
        "steps": str(facts["steps"]),
        "license": facts["license"],
        "made by": f"geocamss {facts['geocamss']}" if facts["geocamss"] else "",
    }
    table = plain_table("", "", header=False)
    for name, value in rows.items():
        if value:
            table.add_row(name, value)
    console.print(table)

    classes = plain_table("class", "name", "color", right=("class",))
    for item in facts["classes"]:
        color = "#{:02x}{:02x}{:02x}".format(*item["color"])
        classes.add_row(str(item["value"]), item["name"], color)
    console.print()
    console.print(classes)

    if facts["training"]:
        training = plain_table("trained on", "license", "note")
        for source in facts["training"]:
            training.add_row(source["name"], source["license"], source["note"])
        console.print()
        console.print(training)
    if facts["metrics"]:
        metrics = plain_table("measured", "score", right=("score",))
        for name, score in facts["metrics"].items():
            metrics.add_row(name, f"{score:.3f}")
        console.print()
        console.print(metrics)


def _model_band(band: Mapping[str, Any]) -> str:
    return (
        f"{band['name']} ({band['wavelength']:g} µm)" if band["wavelength"] else str(band["name"])
    )


def print_scene(facts: Mapping[str, Any]) -> None:
    """What a scene is, for people."""
    from geocamss.cli.tables import plain_console, plain_table

    console = plain_console()
    tied = {
        "transform": "by its transform",
        "gcps": "by ground control points",
        "rpcs": "by rational polynomials",
        "none": "not at all: it is mapped in pixel space",
    }
    rows = {
        "scene": facts["path"],
        "format": facts["driver"],
        "size": f"{facts['width']:,} x {facts['height']:,} pixels",
        "CRS": facts["crs"] or "none",
        "tied to it": tied[facts["georeferencing"]],
        "GSD": f"{facts['gsd']:.3g} m" if facts["gsd"] else "unknown",
        "acquired": facts["datetime"],
        "alpha": f"band {facts['alpha']}" if facts["alpha"] else None,
        "overviews": ", ".join(f"1:{factor}" for factor in facts["overviews"]),
    }
    table = plain_table("", "", header=False)
    for name, value in rows.items():
        if value:
            table.add_row(name, value)
    console.print(table)

    bands = plain_table(
        "band", "name", "in the file", "µm", "type", "scale", "offset", "nodata", right=("band",)
    )
    for band in facts["bands"]:
        bands.add_row(*(_cell(band[field]) for field in band))
    console.print()
    console.print(bands)

    for name, fit in facts["models"].items():
        console.print()
        console.print(_fit_text(name, fit), soft_wrap=True)


def _cell(value: Any) -> str:
    if value is None or value == "":
        return "-"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _fit_text(name: str, fit: Mapping[str, Any]) -> str:
    if not fit["fits"]:
        return f"{name} cannot map it:\n{fit['reason']}"
    bands = ", ".join(f"{band} from band {index}" for band, index in fit["bands"].items())
    where = f"in {fit['crs']}" if fit["crs"] else "in pixel space"
    return (
        f"{name} can map it: {bands}; onto {fit['width']:,} x {fit['height']:,} pixels "
        f"of {fit['pixel']:g} {where}"
    )
