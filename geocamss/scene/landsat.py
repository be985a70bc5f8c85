"""Landsat Collection 2 products: a folder, or a ZIP archive of one.

Numbers become surface reflectance and surface temperature (level 2), or reflectance at the top of
the atmosphere (level 1, with the sun's elevation), by the product's metadata; without that, those
of level 2 by the constants of the collection. Thermal bands of level 1 stay as they are stored.
Pixels are left out by QA_PIXEL, see ``quality``.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import re
from collections.abc import Mapping

from geocamss.errors import SceneError
from geocamss.scene.bundle import Bundle, BundleBand
from geocamss.scene.package import Package
from geocamss.scene.quality import known_quality
from geocamss.scene.stamp import parse_time

__all__ = ["find_landsat"]

LEVEL2 = {"SR": (0.0000275, -0.2), "ST": (0.00341802, 149.0)}
"""Scale and offset of surface reflectance and temperature (kelvin) in all of Collection 2."""

_PRODUCT = r"(?P<product>L[A-Z]\d\d_L[12][A-Z]{2}_\d{6}_(?P<day>\d{8})_\d{8}_02_[A-Z0-9]{2})"
_METADATA = rf"(?:[^/]+/)?{_PRODUCT}_MTL\.(?P<ending>json|txt|xml)"
_IMAGE = (
    rf"(?:[^/]+/)?{_PRODUCT}_(?P<band>(?:(?P<kind>SR|ST)_)?B(?P<code>\d{{1,2}})"
    r"(?P<gain>_VCID_[12])?|QA_PIXEL)\.tiff?"
)

Groups = dict[str, dict[str, str]]


def find_landsat(package: Package, metadata: str = "") -> Bundle | None:
    """The product in a package; None if it is another.

    Args:
        package: what holds it.
        metadata: name of the metadata file, which tells the one of several products.

    Raises:
        SceneError: it is one, but damaged or incomplete.
    """
    matches = [m for m in package.find(f"(?i:{_IMAGE})") if m["gain"] != "_VCID_2"]
    products = sorted({match["product"] for match in matches})
    if not products:
        return None
    named = [product for product in products if metadata.upper().startswith(product.upper())]
    if len(named or products) > 1:
        raise SceneError(
            f"{package.path}: holds {len(products)} products; name the metadata of one, as "
            f"'{package.path}/{products[0]}_MTL.json', or its bands, as in "
            f"'{package.path}/{products[0]}_*{{band}}.TIF'"
        )
    product = (named or products)[0]
    matches = [match for match in matches if match["product"] == product]
    groups, read = _metadata(package, product)
    images = {m["band"].upper(): m for m in matches}
    codes = [name for name in images if name != "QA_PIXEL"]
    codes.sort(key=lambda name: (images[name]["kind"] or "", int(images[name]["code"])))
    bands = tuple(_band(package, images[name], groups) for name in codes)
    if not bands:
        raise SceneError(f"{package.path}: no band is in it, but QA_PIXEL")
    layer = None
    said = "it has no QA_PIXEL: clouds are mapped as ground"
    if "QA_PIXEL" in images:
        layer = known_quality("QA_PIXEL", package.gdal(images["QA_PIXEL"][0]))
        said = "fill, clouds, cirrus and shadows are left out, by QA_PIXEL"
    return Bundle(
        source=str(package.path / metadata if len(products) > 1 else package.path),
        id=product,
        bands=bands,
        quality=(layer,) if layer else (),
        datetime=_acquired(groups, images[codes[0]]["day"]),
        platform=f"Landsat {int(product[2:4])}{' MSS' if product[1] == 'M' else ''}",
        notes=(_scaling_note(product, bands, known=bool(groups)), said),
        files=tuple(package.gdal(name) for name in read),
    )


def _band(package: Package, match: re.Match[str], groups: Groups) -> BundleBand:
    scale, offset = _scaling(package, match, groups)
    pan = match["code"] == "8" and not match["kind"]
    return BundleBand(
        match["band"].upper().replace("_VCID_1", ""),
        package.gdal(match[0]),
        1,
        scale,
        offset,
        0.0,
        apart=pan,
    )


def _scaling(package: Package, match: re.Match[str], groups: Groups) -> tuple[float, float]:
    """Scale and offset of a band."""
    kind, code, product = match["kind"], match["code"], match["product"]
    if kind is not None:
        kind = kind.upper()
        name, quantity, band = {
            "SR": ("LEVEL2_SURFACE_REFLECTANCE_PARAMETERS", "REFLECTANCE", code),
            "ST": ("LEVEL2_SURFACE_TEMPERATURE_PARAMETERS", "TEMPERATURE", f"ST_B{code}"),
        }[kind]
        group = groups.get(name, {})
        if not group:
            return LEVEL2[kind]
        return (
            _number(package, group, f"{quantity}_MULT_BAND_{band}"),
            _number(package, group, f"{quantity}_ADD_BAND_{band}"),
        )
    if not groups:
        raise SceneError(
            f"{package.path}: {product}_MTL.json (or .txt, .xml) is missing, without which numbers "
            "of level 1 do not become reflectance"
        )
    group = groups.get("LEVEL1_RADIOMETRIC_RESCALING", {})
    if f"REFLECTANCE_MULT_BAND_{code}" not in group:  # thermal
        return 1.0, 0.0
    elevation = _number(package, groups.get("IMAGE_ATTRIBUTES", {}), "SUN_ELEVATION")
    if not 0 < elevation <= 90:
        raise SceneError(f"{package.path}: the sun stands {elevation:g} degrees high: it is night")
    light = math.sin(math.radians(elevation))
    return (
        _number(package, group, f"REFLECTANCE_MULT_BAND_{code}") / light,
        _number(package, group, f"REFLECTANCE_ADD_BAND_{code}") / light,
    )


def _number(package: Package, group: Mapping[str, str], key: str) -> float:
    try:
        number = float(group[key])
    except (KeyError, ValueError) as error:
        raise SceneError(f"{package.path}: its metadata does not tell {key}") from error
    if not math.isfinite(number):
        raise SceneError(f"{package.path}: its metadata has {key} = {group[key]}")
    return number


def _scaling_note(product: str, bands: tuple[BundleBand, ...], *, known: bool) -> str:
    source = "the product's metadata" if known else "the constants of Collection 2"
    pairs = sorted({(b.scale, b.offset) for b in bands}, key=repr)
    if product[6] == "2":
        said = ", ".join(f"{scale:g} and {offset:g}" for scale, offset in pairs)
        return f"level 2: scale and offset {said}, by {source}"
    return f"level 1: reflectance at the top of the atmosphere, by the sun and {source}"


def _acquired(groups: Groups, day: str) -> dt.datetime | None:
    attributes = groups.get("IMAGE_ATTRIBUTES", {})
    date = attributes.get("DATE_ACQUIRED", f"{day[:4]}-{day[4:6]}-{day[6:]}")
    # Seven digits of a second are one too many for Python.
    time = re.sub(r"(\.\d{6})\d+", r"\1", attributes.get("SCENE_CENTER_TIME", ""))
    return parse_time(f"{date}T{time}" if time else date)


def _metadata(package: Package, product: str) -> tuple[Groups, list[str]]:
    """The groups of the metadata file, and which it was; none of both if it is not there."""
    matches = package.find(f"(?i:{_METADATA})")
    found = {m["ending"].lower(): m[0] for m in matches if m["product"] == product}
    for ending, parse in (("json", _parse_json), ("txt", _parse_text), ("xml", _parse_xml)):
        if ending not in found:
            continue
        name = found[ending]
        try:
            groups = parse(package, name)
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise SceneError(f"{package.path}/{name}: cannot be understood: {error}") from error
        if not groups:
            raise SceneError(f"{package.path}/{name}: says nothing of {product}")
        return groups, [name]
    return {}, []


def _parse_json(package: Package, name: str) -> Groups:
    (root,) = json.loads(package.read(name)).values()
    return {
        group: {key: str(value) for key, value in entries.items()}
        for group, entries in root.items()
        if isinstance(entries, dict)
    }


def _parse_text(package: Package, name: str) -> Groups:
    groups: Groups = {}
    group = ""
    for line in package.read(name).decode("utf-8", "replace").splitlines():
        key, equals, value = (part.strip() for part in line.partition("="))
        if not equals:
            continue
        if key == "GROUP":
            group = value
        elif key != "END_GROUP":
            groups.setdefault(group, {})[key] = value.strip('"')
    return groups


def _parse_xml(package: Package, name: str) -> Groups:
    root = package.read_xml(name)
    return {group.tag: {entry.tag: (entry.text or "").strip() for entry in group} for group in root}
