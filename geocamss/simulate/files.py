"""Files: a landscape as two GeoTIFFs, the scene and its truth with its class names."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import rasterio
from affine import Affine
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rasterio.errors import CRSError, RasterioError

from geocamss.classes import NODATA
from geocamss.errors import GridError, OutputError
from geocamss.output.attributes import write_pam
from geocamss.output.colors import color_table
from geocamss.simulate.painter import Landscape
from geocamss.simulate.spectra import WAVELENGTHS
from geocamss.whole import whole

__all__ = ["DEFAULT_CRS", "DEFAULT_ORIGIN", "check_write", "write"]

DEFAULT_CRS = "EPSG:32632"
"""UTM zone 32 north: central Europe."""

DEFAULT_ORIGIN = (691_000.0, 5_335_000.0)
"""Upper left corner in that zone, in meters: near Munich, which looks otherwise."""

TIFF_TILE = 256
"""Side of the GeoTIFF's internal tiles, in pixels."""

_COLORS = {"red": ColorInterp.red, "green": ColorInterp.green, "blue": ColorInterp.blue}


def write(
    landscape: Landscape,
    image_path: str | os.PathLike[str],
    truth_path: str | os.PathLike[str] | None = None,
    *,
    crs: str = DEFAULT_CRS,
    origin: tuple[float, float] = DEFAULT_ORIGIN,
    overwrite: bool = False,
) -> None:
    """Write a landscape as a tiled, compressed, georeferenced GeoTIFF, and its truth as another.

    Args:
        landscape: What to write.
        image_path: Where the scene goes.
        truth_path: Where the truth goes; None leaves it out.
        crs: A projected CRS in meters.
        origin: Easting and northing of the upper left corner, in meters.
        overwrite: Whether files that are there already may be replaced.

    Raises:
        GridError: The CRS is not known, or not in meters.
        OutputError: A file is there already, or cannot be written.
    """
    check_write((image_path, truth_path), crs=crs, overwrite=overwrite)
    paths = [Path(path) for path in (image_path, truth_path) if path is not None]
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "height": landscape.classes.shape[0],
        "width": landscape.classes.shape[1],
        "crs": _projected(crs),
        "transform": Affine(landscape.gsd, 0, origin[0], 0, -landscape.gsd, origin[1]),
        "tiled": True,
        "blockxsize": TIFF_TILE,
        "blockysize": TIFF_TILE,
        "compress": "DEFLATE",
        "zlevel": 9,
        "bigtiff": "IF_SAFER",
    }
    _replace(paths[0], lambda path: _write_image(path, landscape, profile))
    if truth_path is not None:
        _replace(paths[1], lambda path: _write_truth(path, landscape, profile))
        # A GeoTIFF has no room for class names: GDAL keeps them beside it.
        names = paths[1].with_name(f"{paths[1].name}.aux.xml")
        _replace(names, lambda path: write_pam(path, landscape.scheme))


def check_write(
    targets: Sequence[str | os.PathLike[str] | None], *, crs: str, overwrite: bool
) -> None:
    """Refuse, before anything is painted, what ``write`` would refuse.

    Raises:
        GridError: The CRS is not known, or not in meters.
        OutputError: A file is there already, or cannot be written.
    """
    _projected(crs)
    paths = [Path(target) for target in targets if target is not None]
    if len({path.absolute() for path in paths}) < len(paths):
        raise OutputError(f"scene and truth would both go to {paths[0]}: give two names")
    for path in paths:
        if path.is_dir():
            raise OutputError(
                f"{path} is a folder: name a file in it, such as {path / 'scene.tif'}"
            )
        if path.exists() and not overwrite:
            raise OutputError(f"{path} exists already: choose another name, or give --overwrite")
        if not path.absolute().parent.is_dir():
            raise OutputError(f"{path} cannot be written: there is no folder {path.parent}")


def _projected(crs: str) -> CRS:
    try:
        found = CRS.from_user_input(crs)
    except CRSError as error:
        raise GridError(f"CRS {crs!r} is not known; give one such as {DEFAULT_CRS}") from error
    if not found.is_projected or found.linear_units_factor[1] != 1.0:
        raise GridError(
            f"CRS {crs!r} is not a projected one in meters; give one such as {DEFAULT_CRS}"
        )
    return found


def _replace(path: Path, fill: Callable[[Path], None]) -> None:
    """Write a file under another name, and give it its own when it is complete."""
    try:
        with whole(path) as part:
            fill(part)
    except (OSError, RasterioError) as error:
        raise OutputError(f"{path} cannot be written: {error}") from error


def _write_image(path: Path, landscape: Landscape, profile: Mapping[str, Any]) -> None:
    image = landscape.image
    picture = image.dtype == "uint8"
    with rasterio.open(
        path,
        "w",
        **profile,
        count=len(image),
        dtype=image.dtype.name,
        nodata=0,
        predictor=2,
        interleave="pixel" if picture else "band",
        photometric="RGB" if picture else "MINISBLACK",
    ) as dataset:
        dataset.colorinterp = [_COLORS.get(name, ColorInterp.undefined) for name in landscape.bands]
        for k, name in enumerate(landscape.bands, start=1):
            dataset.set_band_description(k, name)
            dataset.update_tags(k, ns="IMAGERY", CENTRAL_WAVELENGTH_UM=f"{WAVELENGTHS[name]:.3f}")
        if not picture:
            dataset.scales = [1e-4] * len(image)
        dataset.update_tags(SIMULATED="yes: painted by geocamss simulate, no place on earth")
        dataset.write(image)


def _write_truth(path: Path, landscape: Landscape, profile: Mapping[str, Any]) -> None:
    with rasterio.open(path, "w", **profile, count=1, dtype="uint8", nodata=NODATA) as dataset:
        dataset.set_band_description(1, "class")
        dataset.write_colormap(1, color_table(landscape.scheme))
        dataset.write(landscape.classes, 1)
