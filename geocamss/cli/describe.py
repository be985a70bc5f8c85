"""What ``geocamss info`` prints for people, from the same facts as for programs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from geocamss.cli.planned import size_text
from geocamss.cli.tables import plain_console, plain_table

__all__ = ["print_model", "print_scene"]


def print_model(facts: Mapping[str, Any]) -> None:
    """A model's card, for people."""
    console = plain_console()
    rows = {
        "model": f"{facts['name']}, version {facts['version']}",
        "file": f"{facts['path']} ({size_text(facts['bytes'])})",
        "": facts["description"],
        "bands": ", ".join(_model_band(band) for band in facts["bands"]),
        "GSD": f"{facts['gsd']:g} m",
        "chip": f"{facts['chip']} pixels, {facts['overlap']} of them shared with the next",
        "steps": str(facts["steps"]),
        "temperature": f"{facts['temperature']:g}",
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
        "notes": "; ".join(facts["notes"]),
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
