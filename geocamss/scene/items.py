"""STAC items as bundles: which assets are bands, which is the quality layer, and where they lie.

What a catalog says is not trusted: its files are opened as pictures only, a catalog on a server
leads to no file of this machine, and to none of GDAL's own file systems.
"""

from __future__ import annotations

import math
import re
import urllib.parse
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geocamss.errors import SceneError
from geocamss.scene.bands import canonical_name, find_sensor, meanings_of
from geocamss.scene.bundle import Bundle, BundleBand
from geocamss.scene.gdal import is_remote
from geocamss.scene.quality import Quality, known_quality
from geocamss.scene.sentinel2 import baseline_offset
from geocamss.scene.stamp import parse_time

__all__ = ["item_bundle", "resolve_href"]

SCHEMES = frozenset(("http", "https", "s3", "gs", "az", "file"))
"""Where an asset may lie, by the scheme of its URL."""

HELPERS = frozenset(("thumbnail", "overview", "metadata", "visual", "date"))
"""Roles of assets that are no measurement."""

ASIDE = re.compile(r"(?i)(visual|thumbnail|overview|preview|rendered_preview|tilejson)([._-].*)?")
"""Keys of assets that are no measurement."""

SIZE = re.compile(r"_(\d\d)m$")
"""The size of its pixels at the end of an asset's key: ``SCL_20m``."""

RESOLUTIONS = ("spatial_resolution", "raster:spatial_resolution")
"""Fields of a band with the size of its pixels, in meters. A GSD may be that of the sensor."""

PREFERRED = ("tiff", "jp2")
"""Of two assets with the same band, one of the first of these formats is taken, and the finest."""


@dataclass(frozen=True)
class _Asset:
    """An asset that holds pixels."""

    key: str
    href: str
    facts: Mapping[str, Any]
    kind: str
    bands: tuple[Mapping[str, Any], ...]

    @property
    def names_bands(self) -> bool:
        """True if a name of one of its bands is told."""
        return any(name for band in self.bands for name in _names(band))


def item_bundle(item: Mapping[str, Any], base: str, source: str | None = None) -> Bundle:
    """The scene that an item describes.

    Args:
        item: as JSON has it; STAC 1.0 and 1.1 alike.
        base: file or URL of the item, from which relative names start.
        source: what messages call it; ``base`` by default.

    Raises:
        SceneError: it is no item, or leads to no scene.
    """
    where = source or base
    try:
        return _bundle(item, base, where)
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise SceneError(f"{where}: is no sound STAC item: {error}") from error


def resolve_href(href: str, base: str) -> str:
    """Where a link of a catalog leads.

    Args:
        href: absolute, or relative to ``base``.
        base: file or URL of what holds the link.

    Raises:
        SceneError: it leads where a catalog must not.
    """
    if not isinstance(href, str) or not href or len(href) > 8192:
        raise SceneError(f"{base}: has a link without an address: {href!r:.80}")
    scheme = _scheme(href)
    # "http:/../x" has a scheme but no server, and is the name of a file.
    sound = scheme in ("", "file") or (scheme in SCHEMES and is_remote(href))
    odd = any(ord(letter) < 32 or letter in "<>" for letter in href)
    if odd or href.startswith("/vsi") or not sound:
        raise SceneError(
            f"{base}: leads to {href[:200]!r}, which is neither a file nor a URL of "
            f"{', '.join(sorted(SCHEMES))}"
        )
    if scheme and scheme != "file":
        return href
    if is_remote(base):
        if scheme == "file":
            raise SceneError(f"{base}: a catalog on a server leads to this machine's {href!r}")
        return _joined(base, href)
    if scheme == "file":
        return urllib.parse.unquote(urllib.parse.urlsplit(href).path)
    return str(Path(base).parent / href)


def _scheme(href: str) -> str:
    """The scheme of a link in lower case; empty for a relative one."""
    try:
        return urllib.parse.urlsplit(href).scheme.lower()
    except ValueError:
        return "unsound"


def _joined(base: str, href: str) -> str:
    """A relative link, from a URL on.

    For the schemes of cloud storage ``urljoin`` hands such links back as they are: as names of
    files of this machine.
    """
    scheme, _, rest = base.partition("://")
    return scheme + urllib.parse.urljoin(f"http://{rest}", href).removeprefix("http")


def _bundle(item: Mapping[str, Any], base: str, where: str) -> Bundle:
    if item.get("type") != "Feature" or not isinstance(item.get("assets"), dict):
        raise ValueError("it has no assets, or is no Feature")
    properties = item.get("properties") or {}
    assets = [_asset(key, facts, base) for key, facts in item["assets"].items()]
    pictures = [asset for asset in assets if asset is not None]
    layers = _quality_layers(pictures)
    measured = [a for a in pictures if not _quality(a) and _is_measurement(a)]
    described = [asset for asset in measured if asset.names_bands]
    platform = str(properties.get("platform") or "")
    spoken = _spoken(measured, described, platform)
    chosen = [a for a in measured if a.names_bands or a in spoken] if described else measured
    if not chosen:
        raise SceneError(
            f"{where}: the item {item.get('id')!r} has no asset that is a picture with data"
        )
    whole = len(chosen) == 1 and not layers and not described
    bands, notes = _bands(chosen, properties)
    moment = properties.get("datetime") or properties.get("start_datetime")
    return Bundle(
        source=where,
        id=str(item.get("id") or Path(base).stem),
        bands=bands[:1] if whole else bands,
        quality=tuple(layers.values()),
        datetime=parse_time(moment) if isinstance(moment, str) else None,
        platform=platform,
        notes=(*notes, *(f"pixels are left out by {key}" for key in layers)) if not whole else (),
        whole=whole,
        trusted=False,
    )


def _spoken(measured: list[_Asset], described: list[_Asset], platform: str) -> list[_Asset]:
    """Assets whose keys are names of bands that none of the described ones has."""
    sensor = find_sensor([platform])

    def meant(*names: str) -> set[str]:
        """What bands of some names may be; codes such as B8 mean many where no sensor is known."""
        codes = [meanings_of(name) for name in names]
        found = {common for name in names if (common := canonical_name(name)) is not None}
        return found or {
            common
            for meanings in codes
            for name, common in meanings.items()
            if sensor is None or name == sensor.name
        }

    told = {name for a in described for band in a.bands for name in meant(*_names(band))}
    others = [(a, meant(SIZE.sub("", a.key))) for a in measured if not a.names_bands]
    return [asset for asset, names in others if names and not names & told]


def _asset(key: str, facts: Mapping[str, Any], base: str) -> _Asset | None:
    """An asset that is a picture; None for others, which are not looked at."""
    media = str(facts.get("type") or "").lower()
    href = facts.get("href")
    if not isinstance(href, str):
        raise ValueError(f"asset {key!r} has no address")
    ending = Path(urllib.parse.urlsplit(href).path).suffix.lower()
    kind = {".tif": "tiff", ".tiff": "tiff", ".jp2": "jp2", ".png": "png"}.get(ending, "")
    found = re.match(r"image/(?:vnd\.stac\.)?(?:geo\+?)?(tiff|jp2|png|jpeg)", media)
    kind = found[1] if found else kind
    if not kind:
        return None
    return _Asset(key, resolve_href(href, base), facts, kind, _described(facts))


def _described(facts: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """What an asset says of its bands, old and new spellings joined; nothing if it tells none."""
    spectral = facts.get("bands") or facts.get("eo:bands") or []
    raster = facts.get("raster:bands") or []
    if not all(isinstance(b, dict) for b in (*spectral, *raster)):
        raise ValueError("bands are no objects")
    shared = {k: v for k, v in facts.items() if k.startswith(("raster:", "eo:")) or k == "nodata"}
    count = len(spectral) or len(raster) or bool(shared)
    named = [*spectral, *({} for _ in range(count))][:count]
    padded = [*raster, *({} for _ in range(count))]
    return tuple({**shared, **more, **band} for band, more in zip(named, padded, strict=False))


def _names(band: Mapping[str, Any]) -> tuple[str, str]:
    """(name, common name) of a band; empty where it has none."""
    common = band.get("common_name") or band.get("eo:common_name") or ""
    return str(band.get("name") or ""), str(common)


def _quality(asset: _Asset) -> Quality | None:
    """The quality layer that an asset's key names, with the size of its pixels or without."""
    return known_quality(SIZE.sub("", asset.key), asset.href)


def _quality_layers(assets: list[_Asset]) -> dict[str, Quality]:
    """The quality layers by key: of each, the finest."""
    finest: dict[str, _Asset] = {}
    for asset in sorted(assets, key=_pixel_size):
        finest.setdefault(SIZE.sub("", asset.key).lower(), asset)
    return {a.key: layer for a in finest.values() if (layer := _quality(a))}


def _pixel_size(asset: _Asset) -> float:
    """The size of an asset's pixels in meters, by its facts or its key; 0 if neither tells it."""
    told = [band.get(name) for band in asset.bands for name in RESOLUTIONS]
    match = SIZE.search(asset.key)
    told += [int(match[1]) if match else None, asset.facts.get("gsd")]
    sizes = (size for value in told if (size := _number(value)) is not None)
    return next(sizes, 0.0)


def _is_measurement(asset: _Asset) -> bool:
    roles = {str(role).lower() for role in asset.facts.get("roles") or ()}
    if roles & HELPERS or ASIDE.fullmatch(asset.key):
        return False
    return asset.kind in PREFERRED or "data" in roles


def _bands(
    assets: list[_Asset], properties: Mapping[str, Any]
) -> tuple[tuple[BundleBand, ...], tuple[str, ...]]:
    """The bands of some assets, each once, and what to say of their numbers."""
    formats = {kind: place for place, kind in enumerate(PREFERRED)}
    ranked = sorted(assets, key=lambda a: (formats.get(a.kind, len(formats)), _pixel_size(a)))
    taken: dict[tuple[str, ...], tuple[_Asset, int, Mapping[str, Any]]] = {}
    for asset in ranked:
        for index, band in enumerate(asset.bands or ({},), 1):
            key = SIZE.sub("", asset.key)
            identity = _names(band) if any(_names(band)) else (key, str(index))
            taken.setdefault(identity, (asset, index, band))
    order = {asset.key: place for place, asset in enumerate(assets)}
    found = sorted(taken.values(), key=lambda entry: (order[entry[0].key], entry[1]))
    common = Counter(_names(band)[1] for _, _, band in found)
    bands, notes = [], []
    for asset, index, band in found:
        name, usual = _names(band)
        label = usual if usual and common[usual] == 1 else name or usual or asset.key
        scale, offset, note = _scaling(band, asset.key, properties)
        notes.append(note)
        nodata = _number(band.get("nodata"))
        bands.append(
            BundleBand(
                label,
                asset.href,
                index,
                scale,
                offset,
                nodata,
                _number(band.get("center_wavelength", band.get("eo:center_wavelength"))),
                apart=usual == "pan",
            )
        )
    return tuple(bands), tuple(dict.fromkeys(note for note in notes if note))


def _scaling(
    band: Mapping[str, Any], key: str, properties: Mapping[str, Any]
) -> tuple[float | None, float | None, str]:
    """Scale and offset of a band of the asset of a key, and what to say of them.

    Catalogs of Sentinel-2 differ. Some add the offset of baseline 04.00 to the numbers themselves,
    and say so; some leave both the offset and its mention away.
    """
    scale = _number(band.get("scale", band.get("raster:scale")))
    offset = _number(band.get("offset", band.get("raster:offset")))
    baseline = properties.get("s2:processing_baseline")
    name, usual = _names(band)
    optical = bool(usual) or re.fullmatch(r"B\d\d?A?", name or SIZE.sub("", key))
    if properties.get("earthsearch:boa_offset_applied") is True and offset:
        return scale, 0.0, "its catalog has added the offset to the numbers already"
    if scale is None and offset is None and isinstance(baseline, str) and optical:
        scale, offset = 1e-4, baseline_offset(baseline) / 10_000
        return scale, offset, f"baseline {baseline}: scale {scale:g} and offset {offset:g}"
    if scale is None and offset is None:
        return None, None, ""
    scale, offset = scale if scale is not None else 1.0, offset or 0.0
    return scale, offset, f"scale {scale:g} and offset {offset:g}, by its catalog"


def _number(value: Any) -> float | None:
    """A number as JSON has it; None for what is none, or not finite."""
    if isinstance(value, str) and value.lower() == "nan":
        return math.nan
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value)
