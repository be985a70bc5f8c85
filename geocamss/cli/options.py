"""Options that several commands share, and how their values are read."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import click

__all__ = [
    "OUTPUTS",
    "SAMPLERS",
    "band_option",
    "did_you_mean",
    "examples",
    "json_option",
    "mapping_options",
    "model_options",
    "parse_gsd",
    "progress_option",
    "quiet_meaning",
    "quiet_option",
    "shaping_options",
]

OUTPUTS = ("classes", "confidence", "polygons", "style", "project", "item", "preview", "page")
"""What a run can write, in the order of the pipeline."""

SAMPLERS = ("euler", "heun", "ddim", "dpm++", "ddpm", "one-step")
"""Sampling algorithms; those of ``geocamss.modelcard``, which takes too long to import here."""

Command = TypeVar("Command", bound=Callable[..., Any])


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """A sentence that offers the nearest name, with a blank before it; empty when none is near."""
    near = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return f" Did you mean {near[0]!r}?" if near else ""


def examples(*lines: str, after: str = "") -> str:
    r"""An epilog of commands to copy.

    The ``\b`` keeps click from joining the lines.
    """
    listed = "\n".join(f"  {line}" for line in lines)
    return f"\b\nExamples:\n{listed}" + (f"\n\n{after}" if after else "")


def parse_bands(text: str) -> dict[str, int]:
    """Read ``red=3,green=2,blue=1``, where the option is given and not before."""
    from geocamss.scene.scene import parse_bands as parse

    return parse(text)


def parse_gsd(text: str) -> str | float:
    """Read ``auto``, ``native`` or meters a pixel.

    Raises:
        click.BadParameter: the text is another word, or no positive finite number.
    """
    if text in ("auto", "native"):
        return text
    try:
        meters = float(text)
    except ValueError:
        meters = math.nan
    if not 0 < meters < math.inf:
        raise click.BadParameter(f"{text!r} is neither 'native' nor a number of meters")
    return meters


def split(text: str) -> tuple[str, ...]:
    """Read ``classes,polygons``."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def read_by(parse: Callable[[str], Any]) -> Callable[[click.Context, click.Parameter, Any], Any]:
    """A callback for click that parses an option's text; an option that is left out stays None."""
    return lambda _context, _parameter, text: None if text is None else parse(text)


band_option = click.option(
    "--bands",
    callback=read_by(parse_bands),
    metavar="NAME=N,...",
    help="Which band of the scene is which, counting from 1: red=3,green=2,blue=1.",
)

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON, for another program to read."
)


def quiet_meaning(what: str) -> Callable[[Command], Command]:
    """``-q`` of a command that leaves other things away than most; ``what`` is its help."""
    return click.option("-q", "--quiet", is_flag=True, help=what)


quiet_option = quiet_meaning("Print no progress and no summary; errors and warnings stay.")

_MODEL = (
    click.option(
        "--model",
        default="aerial-landcover",
        show_default=True,
        metavar="NAME|FILE",
        help="A built-in model (see geocamss models), or a model file.",
    ),
    band_option,
    click.option(
        "--gsd",
        callback=read_by(parse_gsd),
        default="auto",
        metavar="native|METERS",
        help="Pixel size of the map. Left out: the scene's own where it is within 25 % of the "
        "model's, else the model's.",
    ),
    click.option(
        "--crs",
        metavar="CRS",
        help="CRS of the map, such as EPSG:32633. Left out: the scene's, or the best UTM zone "
        "where a scene in degrees has to be resampled.",
    ),
    click.option(
        "--aoi",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Map only what lies inside these polygons: a vector file in any CRS.",
    ),
    click.option(
        "--steps",
        type=click.IntRange(1, 1000),
        metavar="N",
        help="Sampler steps. Left out: what the model's card says.",
    ),
    click.option(
        "--samples",
        type=click.IntRange(1, 1000),
        default=1,
        show_default=True,
        metavar="S",
        help="Maps drawn and averaged; more than one also give uncertainty.tif.",
    ),
    click.option(
        "--seed",
        type=click.IntRange(min=0),
        default=0,
        show_default=True,
        metavar="N",
        help="Chooses the noise; the same seed gives the same map.",
    ),
    click.option(
        "--sampler",
        type=click.Choice(SAMPLERS),
        metavar="NAME",
        help=f"Sampling algorithm: {', '.join(SAMPLERS)}. Left out: what the model's card says.",
    ),
    click.option(
        "--rounds",
        type=click.IntRange(1, 8),
        metavar="N",
        help="Passes over the mask, each of which sees what earlier ones drew. Left out: what the "
        "model's card says.",
    ),
    click.option(
        "--guidance",
        type=click.FloatRange(0, 20),
        metavar="W",
        help="Above 1 goes past what the image says, away from what is likely without it. Left "
        "out: what the model's card says.",
    ),
    click.option(
        "--batch-size",
        type=click.IntRange(min=1),
        metavar="B",
        help="Chips that the model sees at once. Left out: what suits the device.",
    ),
    click.option(
        "--device",
        metavar="D",
        help="cpu, cuda, cuda:1, mps. Left out: the best one here.",
    ),
)
"""How a scene becomes pixels of a map."""

progress_option = click.option(
    "--progress",
    "progress_form",
    type=click.Choice(["bar", "json"]),
    default="bar",
    show_default=True,
    help="How progress is told on stderr: a bar where that is a terminal, or lines of JSON with "
    "stage, done and total, for another program to read.",
)

shaping_options = (
    click.option(
        "--min-area",
        type=float,
        default=0.0,
        metavar="M2",
        help="Give regions below so many square meters on the ground to their neighbors before "
        "they become polygons. Islands in nodata, which have none, are left out; holes of nodata "
        "stay.",
    ),
    click.option(
        "--smooth",
        is_flag=True,
        help="Give each pixel the class of most of the 3 x 3 around it before polygons are made.",
    ),
    click.option(
        "--simplify",
        type=float,
        default=0.0,
        metavar="METERS",
        help="Let borders of polygons move by up to so many meters to have fewer vertices; "
        "neighbors keep theirs in common, and each polygon its area to the hundredth: beyond two "
        "pixels hardly more vertices go. Without a CRS: pixels.",
    ),
    click.option(
        "--square",
        multiple=True,
        metavar="CLASS",
        help="Give polygons of this class right angles; may be repeated. They may then overlap "
        "others.",
    ),
)
"""How polygons are made of a class map; left out, they are exactly the map."""

_MAPPING = (
    *_MODEL,
    click.option(
        "--outputs",
        callback=read_by(split),
        default=",".join(OUTPUTS),
        metavar="NAME,...",
        help=f"What to write. Left out: {','.join(OUTPUTS)}. On request also uncertainty, and "
        "probabilities: those of all classes.",
    ),
    *shaping_options,
    click.option(
        "--memory",
        metavar="SIZE",
        help="What a run may take of the machine's memory, such as 2GB: blocks are made small "
        "enough, and what cannot fit is refused. Left out: no limit.",
    ),
    click.option("--overwrite", is_flag=True, help="Replace what an earlier run wrote."),
)


def model_options(command: Command) -> Command:
    """Which model, on which pixels, drawn how: for each command that runs a model."""
    for option in reversed(_MODEL):
        command = option(command)
    return command


def mapping_options(command: Command) -> Command:
    """Everything that says how a scene is mapped, for each command that maps scenes."""
    for option in reversed(_MAPPING):
        command = option(command)
    return command
