"""What an open raster says of itself, in the terms of this package. No pixels are read here."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, Interleaving, MaskFlags

from geocamss.errors import BandError, GeocamssWarning, SceneError
from geocamss.scene.band import MAX_BANDS, Mask, SceneBand
from geocamss.scene.bands import (
    BandClues,
    canonical_name,
    find_sensor,
    identify_bands,
    meanings_of,
)
from geocamss.scene.gdal import IMAGE_DRIVERS, is_plain_path
from geocamss.scene.georeference import Georeference
from geocamss.scene.vrt import read_sources

__all__ = [
    "TALL_TILE",
    "check_backing",
    "check_bounds",
    "read_alpha",
    "read_bands",
    "read_files",
    "read_georeference",
    "read_tags",
]

MAX_PIXELS = 2**40
"""A header that claims more is damaged: at one byte a pixel that is a terabyte a band."""

MAX_SIDE = 2**26
"""Pixels: around the earth in less than a meter each."""

MANY_PIXELS = 2**31
"""From here on a header is not believed that its file cannot bear out."""

PIXELS_PER_BYTE = 2**14
"""Sixteen times as many as DEFLATE packs into a byte where nothing is to be seen."""

MAX_BLOCK_BYTES = 256 * 2**20
"""GDAL decodes TIFF tiles and strips whole; a larger one would not fit into a bounded run."""

TALL_TILE = 1024
"""Rows of the tallest tiles in wide use, those of Sentinel-2's JPEG 2000 files."""

SHOWN = 20
"""Messages list this many things at most."""

_DRIVERS_WITH_PIXELS = (*IMAGE_DRIVERS, "BMP", "EHdr", "ENVI", "HFA", "NITF")
"""Formats whose files hold the pixels themselves."""

_SENSOR_TAGS = frozenset(
    (
        *("SATELLITEID", "SATELLITE", "SENSOR", "SENSOR_ID", "INSTRUMENT", "INSTRUMENTS"),
        *("SPACECRAFT_ID", "SPACECRAFT_NAME", "SPACECRAFT", "PLATFORM", "PRODUCT_TYPE"),
    )
)
"""Names of metadata that tell the sensor, upper case."""

_NAME_TAGS = ("band_name", "bandname", "name", "long_name", "standard_name")
"""Names of band metadata that tell what a band is, lower case."""

_CODE_IN_FILE_NAME = re.compile(r"(?:^|[_.-])((?:sr_|st_)?b\d{1,2}a?(?:_\d+m)?)$", re.IGNORECASE)


def check_bounds(path: str, dataset: Any) -> None:
    """Refuse what would not fit into memory before anything is allocated for it.

    Raises:
        SceneError: more pixels, bands or bytes in a block than any sound raster has, or a file
            that holds several rasters, or none.
    """
    if dataset.count == 0:
        raise SceneError(f"{path}: {_what_is_inside(dataset.subdatasets)}")
    if max(dataset.width, dataset.height) > MAX_SIDE:
        raise SceneError(
            f"{path}: its header claims {dataset.width:,} by {dataset.height:,} pixels; sides of "
            f"more than {MAX_SIDE:,} are taken for damage"
        )
    if dataset.width * dataset.height > MAX_PIXELS:
        raise SceneError(
            f"{path}: its header claims {dataset.width:,} by {dataset.height:,} pixels; "
            f"more than {MAX_PIXELS:,} are taken for damage"
        )
    if dataset.count > MAX_BANDS:
        raise SceneError(
            f"{path}: its header claims {dataset.count:,} bands; more than {MAX_BANDS:,} are "
            "taken for damage"
        )
    together = dataset.count if dataset.interleaving == Interleaving.pixel else 1
    for (rows, cols), dtype in set(zip(dataset.block_shapes, dataset.dtypes, strict=True)):
        size = rows * cols * together * _item_bytes(dtype)
        if size > MAX_BLOCK_BYTES:
            raise SceneError(
                f"{path}: is stored in blocks of {cols:,} by {rows:,} pixels, "
                f"{size / 2**20:,.0f} MB each, and more than {MAX_BLOCK_BYTES // 2**20} MB are "
                "not read at once; rewrite it in tiles, as with "
                "gdal_translate -co TILED=YES -co COMPRESS=DEFLATE IN.tif OUT.tif"
            )


def check_backing(path: str, dataset: Any, files: Collection[str]) -> None:
    """Refuse a raster of billions of pixels behind which there is next to nothing.

    Args:
        path: the scene.
        dataset: the open raster.
        files: what it refers to, if it is a VRT.

    Raises:
        SceneError: it is a file that is far too small for its pixels, or a VRT without sources.
    """
    if dataset.width * dataset.height < MANY_PIXELS:
        return
    claim = f"{path}: its header claims {dataset.width:,} by {dataset.height:,} pixels"
    if dataset.driver == "VRT" and not files:
        raise SceneError(f"{claim}, and refers to no file; name its sources")
    if dataset.driver not in _DRIVERS_WITH_PIXELS or not is_plain_path(path):
        return
    files = [name for name in read_files(path, dataset) if Path(name).is_file()]
    held = sum(Path(name).stat().st_size for name in files)
    if held * PIXELS_PER_BYTE < dataset.width * dataset.height * dataset.count:
        raise SceneError(
            f"{claim} in {dataset.count:,} bands, and its file holds {held:,} bytes; cut out what "
            "there is, as with gdal_translate -srcwin COLUMN ROW WIDTH HEIGHT IN.tif OUT.tif"
        )


def read_tags(dataset: Any) -> dict[str, str]:
    """The metadata that may tell sensor and time."""
    return {**dataset.tags(), **dataset.tags(ns="IMAGERY")}


def read_files(path: str, dataset: Any) -> Sequence[str]:
    """The local files that a raster is made of."""
    try:
        files: Sequence[str] = dataset.files
    except UnicodeDecodeError:  # the name of one is not in UTF-8
        return (path,)
    return files


def read_alpha(dataset: Any, chosen: Mapping[str, int]) -> int | None:
    """Index of the alpha band; None if there is none, or something says it is another band.

    Writers mark the fourth of four 8-bit bands as alpha unless told otherwise. Whoever else says
    what that band shows, the user or the file itself, is believed instead.
    """
    marked = [i for i, color in enumerate(dataset.colorinterp, 1) if color == ColorInterp.alpha]
    return next((i for i in marked if i not in chosen.values() and not _shows(dataset, i)), None)


def _shows(dataset: Any, index: int) -> bool:
    """Whether a band's description or wavelength says what part of the light it shows."""
    clue = _clues("", dataset, _Lists.of(dataset), index, alone=False)
    coded = bool(meanings_of(clue.description)) and not clue.counts
    return coded or clue.wavelength is not None or canonical_name(clue.description) is not None


def read_georeference(path: str, dataset: Any) -> Georeference:
    """What ties pixels to coordinates: a transform, else control points, else an RPC model.

    Raises:
        SceneError: there is something of the kind, but it leads nowhere.
    """
    gcps, gcps_crs = dataset.gcps
    crs = gcps_crs or dataset.crs
    if not dataset.transform.is_identity:
        place = Georeference("transform", dataset.crs, dataset.transform)
    elif gcps and crs:
        place = Georeference("gcps", crs, gcps=_neighbors(gcps) if crs.is_geographic else gcps)
    elif dataset.rpcs:
        place = Georeference("rpcs", CRS.from_epsg(4326), rpcs=dataset.rpcs)
    else:
        place = Georeference("none", None)
    try:
        place.check()
    except ValueError as error:
        raise SceneError(
            f"{path}: {error}; give it another georeferencing, as with "
            "gdal_translate -a_srs CRS -a_ullr LEFT TOP RIGHT BOTTOM IN.tif OUT.tif"
        ) from error
    return place


def read_bands(
    path: str,
    dataset: Any,
    hidden: Collection[int],
    chosen: Mapping[str, int],
    tags: Mapping[str, str],
) -> tuple[SceneBand, ...]:
    """The image bands, named as far as the file, or the user, tells.

    Args:
        path: as the user gave it; its last part may tell the sensor.
        dataset: the open raster.
        hidden: indices of bands that are none of them: alpha, quality layers.
        chosen: index by name, as the user gave it.
        tags: metadata that may tell the sensor.

    Raises:
        SceneError: a band holds complex numbers, or there is none but alpha.
        BandError: ``chosen`` names an index that no band has.
    """
    _check_chosen(path, dataset.count, hidden, chosen)
    indices = [i for i in dataset.indexes if i not in hidden]
    if not indices:
        raise SceneError(f"{path}: its only band is alpha; there is nothing to map")
    alpha = read_alpha(dataset, chosen)
    lists = _Lists.of(dataset)
    for i in indices:
        if "complex" in lists.dtypes[i - 1]:
            raise SceneError(
                f"{path}: band {i} holds complex numbers ({lists.dtypes[i - 1]}); "
                "write their amplitude to a file and map that"
            )
    if len(indices) == 1 and not chosen and _has_palette(dataset, lists, indices[0]):
        return _palette_bands(lists, indices[0], alpha)
    clues = [_clues(path, dataset, lists, i, alone=len(indices) == 1) for i in indices]
    texts = [Path(path).name, *(tags[k] for k in tags if k.upper() in _SENSOR_TAGS)]
    identities = identify_bands(clues, find_sensor(texts))
    by_user = {index: name for name, index in reversed(list(chosen.items()))}
    bands = []
    for clue, identity in zip(clues, identities, strict=True):
        band = _stored_band(path, lists, clue.index, alpha)
        band = replace(band, label=clue.description, wavelength=identity.wavelength)
        if clue.index in by_user:
            band = replace(band, name=by_user[clue.index], wavelength=clue.wavelength)
        elif identity.name not in chosen:
            band = replace(band, name=identity.name, assumed=identity.assumed)
        bands.append(band)
    return tuple(bands)


def _neighbors(gcps: Sequence[GroundControlPoint]) -> Sequence[GroundControlPoint]:
    """Control points in degrees without the step of the antimeridian; east of it beyond 180."""
    if max(p.x for p in gcps) - min(p.x for p in gcps) <= 180:
        return gcps
    return [
        GroundControlPoint(p.row, p.col, p.x + 360 if p.x < 0 else p.x, p.y, p.z, p.id, p.info)
        for p in gcps
    ]


def _check_chosen(
    path: str, count: int, hidden: Collection[int], chosen: Mapping[str, int]
) -> None:
    for name, index in chosen.items():
        if not 1 <= index <= count:
            raise BandError(
                f"{path}: {name}={index} is not there; the scene has bands 1 to {count}"
            )
        if index in hidden:
            raise BandError(f"{path}: {name}={index} is a quality layer and no band of the scene")


def _what_is_inside(names: Sequence[str]) -> str:
    if not names:
        return "holds no raster band"
    more = [f"and {len(names) - SHOWN} more"] if len(names) > SHOWN else []
    return "\n  ".join(["holds several rasters; give one of them:", *names[:SHOWN], *more])


def _item_bytes(dtype: str) -> int:
    return 4 if dtype == "complex_int16" else np.dtype(dtype).itemsize


@dataclass(frozen=True)
class _Lists:
    """What a raster says of its bands, of all at once.

    Asked for once: rasterio makes each of these lists anew, over all bands, whenever it is asked.
    """

    dtypes: tuple[str, ...]
    """Data types, by numpy's names."""

    scales: tuple[float, ...]
    """Physical units per stored unit."""

    offsets: tuple[float, ...]
    """Physical units at stored 0."""

    nodata: tuple[float | None, ...]
    """Markers of missing pixels."""

    tile_rows: tuple[int, ...]
    """Rows of the file's own tiles."""

    flags: tuple[Collection[MaskFlags], ...]
    """How GDAL tells where a band is valid."""

    colors: tuple[ColorInterp, ...]
    """What a band is in a picture."""

    descriptions: tuple[str, ...]
    """What the file calls its bands; may be empty."""

    wavelengths: tuple[float | None, ...]
    """Centers in micrometers, from a header that lists all bands at once."""

    @classmethod
    def of(cls, dataset: Any) -> _Lists:
        """Ask an open raster."""
        least = TALL_TILE if dataset.driver == "VRT" else 1  # a VRT does not tell its files' tiles
        return cls(
            dtypes=tuple(dataset.dtypes),
            scales=tuple(dataset.scales),
            offsets=tuple(dataset.offsets),
            nodata=tuple(dataset.nodatavals),
            tile_rows=tuple(max(int(rows), least) for rows, _ in dataset.block_shapes),
            flags=tuple(dataset.mask_flag_enums),
            colors=tuple(dataset.colorinterp),
            descriptions=tuple(_descriptions(dataset)),
            wavelengths=tuple(_listed_wavelengths(dataset)),
        )


def _stored_band(path: str, lists: _Lists, index: int, alpha: int | None) -> SceneBand:
    """A band without what it shows: type, scaling, nodata."""
    scale, offset = lists.scales[index - 1], lists.offsets[index - 1]
    if not (math.isfinite(scale) and math.isfinite(offset) and scale != 0):
        warnings.warn(
            f"{path}: band {index} declares scale {scale} and offset {offset}, which mean "
            "nothing; stored numbers are taken as they are",
            GeocamssWarning,
            stacklevel=2,
        )
        scale, offset = 1.0, 0.0
    return SceneBand(
        index=index,
        name=None,
        label="",
        wavelength=None,
        dtype=lists.dtypes[index - 1],
        scale=float(scale),
        offset=float(offset),
        nodata=lists.nodata[index - 1],
        mask=_mask(lists, index, alpha),
        tile_rows=lists.tile_rows[index - 1],
    )


def _mask(lists: _Lists, index: int, alpha: int | None) -> Mask:
    """What tells where a band is valid, by GDAL's rules but for two cases.

    A nodata value does not shadow an alpha band: alpha is the plainer word. And a band that the
    user calls by another name is no alpha band, whatever its file says.
    """
    flags = lists.flags[index - 1]
    if MaskFlags.all_valid in flags:
        return "none"
    if MaskFlags.alpha in flags:
        return "none" if alpha is None else "dataset"
    whole: Mask = "dataset" if MaskFlags.per_dataset in flags else "band"
    if MaskFlags.nodata not in flags:
        return whole
    if alpha is not None and lists.dtypes[alpha - 1] in ("uint8", "uint16"):
        return "alpha"
    return "nodata" if whole == "band" else whole


def _has_palette(dataset: Any, lists: _Lists, index: int) -> bool:
    return (
        lists.colors[index - 1] == ColorInterp.palette
        and lists.dtypes[index - 1] in ("uint8", "uint16")
        and bool(dataset.colormap(index))
    )


def _palette_bands(lists: _Lists, index: int, alpha: int | None) -> tuple[SceneBand, ...]:
    mask, rows = _mask(lists, index, alpha), lists.tile_rows[index - 1]
    return tuple(
        SceneBand(index, name, "color table", None, "uint8", mask=mask, color=color, tile_rows=rows)
        for color, name in enumerate(("red", "green", "blue"))
    )


def _descriptions(dataset: Any) -> list[str]:
    """What the file calls its bands; nothing if it is not in UTF-8, as TIFF has it."""
    try:
        return [text or "" for text in dataset.descriptions]
    except UnicodeDecodeError:
        return [""] * dataset.count


def _clues(path: str, dataset: Any, lists: _Lists, index: int, *, alone: bool) -> BandClues:
    description = lists.descriptions[index - 1]
    tags = {k.lower(): v for k, v in dataset.tags(index).items()}
    tags |= {k.lower(): v for k, v in dataset.tags(index, ns="IMAGERY").items()}
    if not description:
        description = next((tags[key] for key in _NAME_TAGS if tags.get(key)), "")
    if not description:
        source = _only_source(dataset, index) or (path if alone else "")
        match = _CODE_IN_FILE_NAME.search(Path(source).stem)
        description = match[1] if match else ""
    return BandClues(
        index=index,
        description=description.strip(),
        color=lists.colors[index - 1].name,
        wavelength=_wavelength(tags) or lists.wavelengths[index - 1],
        dtype=lists.dtypes[index - 1],
    )


def _only_source(dataset: Any, index: int) -> str:
    """The one file that a VRT takes a band from, or nothing."""
    names = read_sources(dataset, index)
    return names.pop()[0] if len(names) == 1 else ""


def _wavelength(tags: Mapping[str, str]) -> float | None:
    """The center in micrometers that a band's metadata, keys in lower case, tells."""
    for key, text in tags.items():
        if not re.fullmatch(r"(cent(ral|er|re)_?)?wavelength(_(um|nm|micro\w+|nano\w+))?", key):
            continue
        unit = key.rpartition("wavelength")[2].strip("_") or tags.get(
            "wavelength_units", tags.get("wavelength_unit", "")
        )
        if found := _micrometers(text, unit):
            return found
    return None


def _listed_wavelengths(dataset: Any) -> list[float | None]:
    """The same of all bands, from a header that lists them at once."""
    tags = dataset.tags(ns="ENVI")
    listed = tags.get("wavelength", "").strip("{} \n").split(",")
    if len(listed) != dataset.count:
        return [None] * dataset.count
    return [_micrometers(text, tags.get("wavelength_units", "")) for text in listed]


def _micrometers(text: str, unit: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    unit = unit.strip().lower()
    if unit.startswith("n") or (not unit and value > 100):  # no optical band is 100 µm long
        value /= 1000
    elif unit and not unit.startswith(("u", "µ", "μ", "mic")):
        return None  # wave numbers, frequencies, indices
    return value if 0.1 < value < 100 else None
