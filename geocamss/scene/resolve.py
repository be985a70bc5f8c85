"""What a user names, as a scene of several files where it is one."""

from __future__ import annotations

import re
from itertools import islice
from pathlib import Path
from typing import TypeVar

from geocamss.errors import SceneError
from geocamss.scene.bundle import Bundle
from geocamss.scene.gdal import is_plain_path
from geocamss.scene.items import item_bundle
from geocamss.scene.landsat import find_landsat
from geocamss.scene.package import Package
from geocamss.scene.pattern import find_patterned, is_pattern
from geocamss.scene.sentinel2 import find_sentinel2
from geocamss.scene.stac import is_json, read_items

__all__ = ["find_product", "is_metadata", "resolve", "spoken"]

T = TypeVar("T")

_METADATA = re.compile(r"MTD_MSIL(1C|2A)\.xml|L.*_MTL\.(json|txt|xml)", re.IGNORECASE)
"""Names of files that stand for the folder that they lie in."""

_TOP = re.compile(rf"{_METADATA.pattern}|L[A-Z]\d\d_L[12].*_B\d+\.tiff?", re.IGNORECASE)
"""Names of files, at the top of a folder, that tell a product."""


def resolve(source: str) -> Bundle | str:
    """The one scene that a source names: a bundle, or a name for GDAL.

    Raises:
        SceneError: it names several scenes, is damaged or cannot be read.
    """
    try:
        return _resolved(source)
    except OSError as error:
        raise SceneError(f"{source}: cannot be read: {error.strerror or error}") from error


def spoken(source: str) -> str:
    """What the user named, where a source is a bundle in words; others as they are."""
    if not Bundle.is_text(source):
        return source
    try:
        return Bundle.from_text(source).source
    except SceneError:
        return source


def _resolved(source: str) -> Bundle | str:
    if Bundle.is_text(source):
        return Bundle.from_text(source)
    if is_pattern(source) and not Path(source).exists():
        return _only(source, list(islice(find_patterned(source), 2)))
    if is_json(source) and not is_metadata(source):
        entry = _only(source, list(islice(read_items(source), 2)))
        if entry.problem:
            raise SceneError(entry.problem)
        return item_bundle(entry.item, entry.base, source)
    if not is_plain_path(source):
        return source
    path = Path(source)
    if is_metadata(source):
        return find_product(path.parent, path.name) or source
    return find_product(path) or source


def is_metadata(source: str) -> bool:
    """True for a file that stands for the product that it describes."""
    return _METADATA.fullmatch(Path(source).name) is not None


def find_product(path: Path, metadata: str = "") -> Bundle | None:
    """The product of a known provider at a path; None for anything else.

    Args:
        path: its folder, or its archive.
        metadata: name of its metadata file there, where the user named that.

    Raises:
        SceneError: it is one, but damaged or incomplete.
    """
    package = Package.of(path)
    if package is None:
        return None
    try:
        # A folder may hold anything, and is not searched unless its top tells of a product.
        if not package.packed and not any(_TOP.fullmatch(entry.name) for entry in path.iterdir()):
            return None
        return find_sentinel2(package) or find_landsat(package, metadata)
    except OSError as error:
        raise SceneError(f"{path}: cannot be read: {error}") from error


def _only(source: str, found: list[T]) -> T:
    if len(found) != 1:
        many = "holds no scene" if not found else "holds several scenes; map them with geocamss map"
        raise SceneError(f"{source}: {many}")
    return found[0]
