"""Sentinel-2 products: SAFE folders, or ZIP archives of one, of level 1C or 2A.

Numbers become reflectance by the product's own metadata: (number + offset) / quantification. Since
processing baseline 04.00 (January 2022) the offset is -1000; before it was none. Nodata is 0.

Level 2A brings its scene classification, see ``quality``. Level 1C has a cloud mask since baseline
04.00: opaque clouds and cirrus are left out by it.
"""

from __future__ import annotations

import datetime as dt
import re
from xml.etree import ElementTree as ET

from geocamss.errors import SceneError
from geocamss.scene.bundle import Bundle, BundleBand
from geocamss.scene.package import Package
from geocamss.scene.quality import Quality, known_quality
from geocamss.scene.stamp import parse_time

__all__ = ["baseline_offset", "find_sentinel2"]

BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
"""All bands, in the order of the ``band_id`` of the metadata."""

_METADATA = r"(?:[^/]+/)?MTD_MSIL(1C|2A)\.xml"
_IMAGE = (
    r"(?:[^/]+/)?GRANULE/(?P<granule>[^/]+)/IMG_DATA/(?:R\d+m/)?"
    r"[^/]*_(?P<band>B\d\d|B8A|SCL)(?:_(?P<size>\d\d)m)?\.(?:jp2|tiff?)"
)
_CLOUDS = r"(?:[^/]+/)?GRANULE/[^/]+/QI_DATA/MSK_CLASSI_B00\.(?:jp2|tiff?)"


def find_sentinel2(package: Package) -> Bundle | None:
    """The product in a package; None if it is another.

    Raises:
        SceneError: it is one, but damaged or incomplete.
    """
    found = package.find(_METADATA)
    if not found:
        return None
    level = found[0][1]
    metadata = package.read_xml(found[0][0])
    images = _images(package)
    scale, offsets, note = _scaling(package, metadata, level)
    bands = tuple(
        BundleBand(name, package.gdal(images[name]), 1, scale, offsets.get(name, 0.0), 0.0)
        for name in BANDS
        if name in images
    )
    if not bands:
        raise SceneError(f"{package.path}: no image is in it; is it unpacked whole?")
    quality, said = _quality(package, images)
    identity = _text(metadata, "PRODUCT_URI") or package.path.name
    return Bundle(
        source=str(package.path),
        id=identity.removesuffix(".zip").removesuffix(".SAFE"),
        bands=bands,
        quality=quality,
        datetime=_sensed(metadata),
        platform=_text(metadata, "SPACECRAFT_NAME") or "Sentinel-2",
        notes=(note, said),
        files=(package.gdal(found[0][0]),),
    )


def baseline_offset(baseline: str) -> int:
    """What is added to stored numbers by a processing baseline such as ``05.09``.

    Raises:
        ValueError: it is no baseline.
    """
    if not re.fullmatch(r"\d{1,2}\.\d{1,2}", baseline.strip()):
        raise ValueError(f"{baseline!r} is no processing baseline")
    return -1000 if float(baseline) >= 4 else 0


def _images(package: Package) -> dict[str, str]:
    """The finest image of each band, and of the scene classification."""
    matches = package.find(_IMAGE)
    granules = {match["granule"] for match in matches}
    if len(granules) > 1:
        raise SceneError(
            f"{package.path}: holds {len(granules)} granules; give the bands of one, as in "
            f"'{package.path}/GRANULE/{min(granules)}/IMG_DATA/*_{{band}}.jp2'"
        )
    finest: dict[str, re.Match[str]] = {}
    for match in matches:
        known = finest.get(match["band"])
        if known is None or int(match["size"] or 0) < int(known["size"] or 0):
            finest[match["band"]] = match
    return {band: match[0] for band, match in finest.items()}


def _scaling(
    package: Package, metadata: ET.Element, level: str
) -> tuple[float, dict[str, float], str]:
    """Scale, offsets by band, and what to say of them."""
    if level == "2A":
        kind, named = "BOA", ("BOA_QUANTIFICATION_VALUE", "L2A_BOA_QUANTIFICATION_VALUE")
    else:
        kind, named = "RADIO", ("QUANTIFICATION_VALUE", "RADIO_QUANTIFICATION_VALUE")
    text = next((t for name in named if (t := _text(metadata, name))), "")
    baseline = _text(metadata, "PROCESSING_BASELINE")
    try:
        quantification = _positive(text)
        added = {
            _band_name(metadata, element): float(element.text or "")
            for element in _all(metadata, f"{kind}_ADD_OFFSET")
        }
        expected = baseline_offset(baseline) if baseline else 0
    except ValueError as error:
        raise SceneError(
            f"{package.path}: its metadata does not tell reflectance: {error}"
        ) from error
    if expected and not added:
        raise SceneError(
            f"{package.path}: its metadata lacks {kind}_ADD_OFFSET, which baseline {baseline} has"
        )
    used = sorted(set(added.values()))
    plus = "no offset" if not used else "the offset " + ", ".join(f"{v:g}" for v in used)
    note = (
        f"baseline {baseline or 'unknown'}: {plus} and 1/{quantification:g} make reflectance, "
        "by the product's metadata"
    )
    return 1 / quantification, {n: v / quantification for n, v in added.items()}, note


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < 1e9:
        raise ValueError(f"a quantification of {number}")
    return number


def _quality(package: Package, images: dict[str, str]) -> tuple[tuple[Quality, ...], str]:
    if "SCL" in images:
        layer = known_quality("SCL", package.gdal(images["SCL"]))
        return (layer,) if layer else (), "clouds, cirrus, shadows and defects are left out, by SCL"
    clouds = package.find(_CLOUDS)
    if clouds:
        path = package.gdal(clouds[0][0])
        layers = tuple(Quality(path, band, bits=2**8 - 1) for band in (1, 2))
        return layers, "clouds and cirrus are left out, by MSK_CLASSI_B00"
    return (), "it has no cloud mask: clouds are mapped as ground"


def _band_name(metadata: ET.Element, element: ET.Element) -> str:
    """The image name of the band that an entry counts."""
    number = element.get("band_id", "")
    for entry in _all(metadata, "Spectral_Information"):
        if entry.get("bandId") == number:
            code = entry.get("physicalBand", "").upper().lstrip("B")
            return f"B{code.zfill(2)}"
    if not number.isdecimal() or int(number) >= len(BANDS):
        raise ValueError(f"an offset for band {number!r}, which is none")
    return BANDS[int(number)]


def _sensed(metadata: ET.Element) -> dt.datetime | None:
    text = _text(metadata, "DATATAKE_SENSING_START") or _text(metadata, "PRODUCT_START_TIME")
    return parse_time(text)


def _all(root: ET.Element, name: str) -> list[ET.Element]:
    """All elements of a name, whatever their namespace."""
    return [e for e in root.iter() if isinstance(e.tag, str) and e.tag.split("}")[-1] == name]


def _text(root: ET.Element, name: str) -> str:
    found = _all(root, name)
    return (found[0].text or "").strip() if found else ""
