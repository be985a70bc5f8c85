"""``geocamss simulate``: paint a landscape with known truth."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import click

from geocamss.cli.options import examples, json_option, quiet_option, read_by

__all__ = ["simulate"]


def parse_size(text: str) -> tuple[int, int]:
    """Read ``1024x768``: width and height, in pixels.

    Raises:
        click.BadParameter: the text is of another form.
    """
    match = re.fullmatch(r"([0-9]{1,9})[xX×]([0-9]{1,9})", text.strip())  # noqa: RUF001 (a sign of sizes)
    if match is None:
        raise click.BadParameter(f"{text!r} is not of the form WIDTHxHEIGHT, such as 1024x768")
    return int(match[1]), int(match[2])


def parse_names(text: str) -> tuple[str, ...]:
    """Read ``red,green,blue``: names in their order."""
    return tuple(name.strip() for name in text.split(","))


def parse_origin(text: str) -> tuple[float, float]:
    """Read ``691000,5335000``: easting and northing.

    Raises:
        click.BadParameter: the text is of another form.
    """
    try:
        east, north = (float(part) for part in text.split(","))
    except ValueError:
        east = north = math.nan
    if not (math.isfinite(east) and math.isfinite(north)):
        raise click.BadParameter(f"{text!r} is not of the form EAST,NORTH, such as 691000,5335000")
    return east, north


@click.command(
    "simulate",
    epilog=examples(
        "geocamss simulate -o scene.tif --truth truth.tif",
        "geocamss simulate -o s2.tif --gsd 10 --bands blue,green,red,nir --size 1024x1024",
        after="Bands: coastal, blue, green, red, rededge1, rededge2, rededge3, nir, nir08, swir1, "
        "swir2. Red, green and blue alone make a picture (uint8); any other set makes "
        "reflectance times 10,000 (uint16). Nodata is 0, and 255 in the truth.",
    ),
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE",
    help="Where the scene goes: a GeoTIFF.",
)
@click.option(
    "--truth",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Where its truth goes: a GeoTIFF of classes.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="N",
    help="Chooses the place; the same seed gives the same pixels.",
)
@click.option(
    "--size",
    callback=read_by(parse_size),
    default="1024x1024",
    show_default=True,
    metavar="WxH",
    help="Width and height, in pixels.",
)
@click.option(
    "--gsd",
    type=float,
    default=0.5,
    show_default=True,
    metavar="METERS",
    help="Pixel size.",
)
@click.option(
    "--bands",
    callback=read_by(parse_names),
    default="red,green,blue",
    show_default=True,
    metavar="NAME,...",
    help="Bands, in their order in the file.",
)
@click.option(
    "--climate",
    metavar="NAME",
    help="desert, temperate, dry or tropical. Left out: drawn by the seed.",
)
@click.option(
    "--crs",
    default="EPSG:32632",
    show_default=True,
    metavar="CRS",
    help="A projected CRS in meters.",
)
@click.option(
    "--origin",
    callback=read_by(parse_origin),
    default="691000,5335000",
    show_default=True,
    metavar="E,N",
    help="Coordinates of the upper left corner.",
)
@click.option("--full", is_flag=True, help="Leave out the nodata corners.")
@click.option("--overwrite", is_flag=True, help="Replace files that are there already.")
@json_option
@quiet_option
def simulate(
    *,
    output: Path,
    truth: Path | None,
    seed: int,
    size: tuple[int, int],
    gsd: float,
    bands: tuple[str, ...],
    climate: str | None,
    crs: str,
    origin: tuple[float, float],
    full: bool,
    overwrite: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Paint a landscape whose every pixel's class is known.

    Fields, woods, roads, houses with shadows and one body of water, as an aerial or satellite
    sensor would see them. No such place exists.
    """
    from geocamss import simulate as painter

    painter.check_write((output, truth), crs=crs, overwrite=overwrite)
    scene = painter.landscape(
        seed, size[1], size[0], gsd=gsd, bands=bands, nodata_corners=not full, climate=climate
    )
    painter.write(scene, output, truth, crs=crs, origin=origin, overwrite=overwrite)
    written = [str(path) for path in (output, truth) if path is not None]
    shares = _shares(scene.classes, scene.scheme.names)
    if as_json:
        click.echo(json.dumps({"paths": written, "shares": shares}, indent=2))
    elif not quiet:
        click.echo(", ".join(f"{name} {share:.0%}" for name, share in shares.items()))
        click.echo("\n".join(written))


def _shares(classes: object, names: tuple[str, ...]) -> dict[str, float]:
    """Of the pixels that have data, 0 to 1, by class."""
    import numpy as np

    counts = np.bincount(np.asarray(classes).ravel(), minlength=256)[: len(names)]
    total = max(1, int(counts.sum()))
    return {name: int(count) / total for name, count in zip(names, counts, strict=True)}
