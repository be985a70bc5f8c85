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
    "band_option",
    "did_you_mean",
    "examples",
    "json_option",
    "mapping_options",
    "quiet_option",
]

OUTPUTS = ("classes", "confidence", "polygons", "style", "item", "preview")
"""What a run can write, in the order of the pipeline."""

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


class BandMapping(click.ParamType):
    """``red=3,green=2,blue=1``: names of bands, and the scene's bands that hold them."""

    name = "bands"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> dict[str, int]:
        """Split the text; bands count from 1, as GDAL does."""
        if isinstance(value, dict):
            return value
        bands: dict[str, int] = {}
        for part in value.split(","):
            name, equals, number = (text.strip() for text in part.partition("="))
            if not (name and equals and number.isdecimal() and int(number) >= 1):
                self.fail(
                    f"{part.strip()!r} is not of the form NAME=NUMBER; "
                    "write for instance red=3,green=2,blue=1, counting from 1",
                    param,
                    ctx,
                )
            if name in bands:
                self.fail(f"band {name!r} is given twice", param, ctx)
            bands[name] = int(number)
        return bands


class Resolution(click.ParamType):
    """``auto``, ``native``, or meters a pixel."""

    name = "gsd"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> str | float:
        """A word stays as it is; a number must be positive and finite."""
        if value in ("auto", "native"):
            return str(value)
        try:
            meters = float(value)
        except ValueError:
            meters = math.nan
        if not 0 < meters < math.inf:
            self.fail(f"{value!r} is neither 'native' nor a number of meters", param, ctx)
        return meters


class OutputNames(click.ParamType):
    """``classes,polygons``: which files to write."""

    name = "outputs"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """Split the text, and refuse what no run writes."""
        if isinstance(value, tuple):
            return value
        names = tuple(dict.fromkeys(name.strip() for name in value.split(",") if name.strip()))
        for name in names:
            if name not in OUTPUTS:
                self.fail(
                    f"no output is called {name!r}; there are {', '.join(OUTPUTS)}."
                    + did_you_mean(name, OUTPUTS),
                    param,
                    ctx,
                )
        if not names:
            self.fail(f"name at least one of {', '.join(OUTPUTS)}", param, ctx)
        return names


band_option = click.option(
    "--bands",
    type=BandMapping(),
    metavar="NAME=N,...",
    help="Which band of the scene is which, counting from 1: red=3,green=2,blue=1.",
)

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON, for another program to read."
)

quiet_option = click.option(
    "-q", "--quiet", is_flag=True, help="Print no progress and no summary; errors and warnings stay."
)

_MAPPING = (
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
        type=Resolution(),
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
        help="Maps drawn and averaged.",
    ),
    click.option(
        "--seed",
        type=click.IntRange(0, 2**63 - 1),
        default=0,
        show_default=True,
        metavar="N",
        help="Chooses the noise; the same seed gives the same map.",
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
    click.option(
        "--outputs",
        type=OutputNames(),
        default=",".join(OUTPUTS),
        metavar="NAME,...",
        help=f"What to write. Left out: {','.join(OUTPUTS)}.",
    ),
    click.option("--overwrite", is_flag=True, help="Replace what an earlier run wrote."),
)


def mapping_options(command: Command) -> Command:
    """Everything that says how a scene is mapped, for each command that maps scenes."""
    for option in reversed(_MAPPING):
        command = option(command)
    return command
