"""``geocamss info``: what a scene or a model is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from geocamss.cli.options import band_option, did_you_mean, examples, json_option, quiet_meaning

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
@quiet_meaning("Print nothing: the exit code says whether it can be read.")
def info(target: str, *, bands: dict[str, int] | None, as_json: bool, quiet: bool) -> None:
    """Tell what a scene or a model is.

    Of a scene: its size, CRS, GSD and bands, and which built-in models can map it, onto which
    grid. Of a model, built in or in a file: its card.
    """
    from geocamss.cli.describe import print_model, print_scene
    from geocamss.models import registry

    if target in registry.names() or target.endswith(".safetensors"):
        facts = model_facts(registry.resolve(target))
    else:
        facts = scene_facts(_open(target, bands, registry.names()))
    if as_json:
        click.echo(json.dumps(facts, indent=2, ensure_ascii=False))
    elif quiet:
        return
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
    from geocamss.models.header import read_card

    card = read_card(path).model_dump(mode="json")
    return {"kind": "model", "path": str(path), "bytes": path.stat().st_size, **card}


def scene_facts(scene: Scene) -> dict[str, Any]:
    """What a scene is, in plain values, and how each built-in model would map it."""
    from geocamss.models import registry
    from geocamss.models.header import read_card

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
        "notes": list(scene.notes),
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
