"""What a VRT refers to: files, and other VRTs, all the way down."""

from __future__ import annotations

import io
import os
import re
import warnings
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from typing import Any, BinaryIO

from geocamss.errors import GeocamssWarning, SceneError
from geocamss.scene.band import MAX_BANDS
from geocamss.scene.gdal import (
    GDAL_ERRORS,
    gdal_environment,
    gdal_path,
    in_words,
    is_plain_path,
    is_stream,
    open_raster,
)

__all__ = ["check_text", "find_files", "read_sources"]

MAX_TEXT = 64 * 2**20
"""Bytes: GDAL holds a VRT in some fifteen times the memory of its text."""

MAX_FILES = 100_000
"""So many are looked at; what the rest of a larger mosaic is made of is not known."""

MAX_DEPTH = 32
"""VRTs in VRTs: no sound one goes so deep."""

SHOWN = 20
"""Messages list this many things at most."""

_FIRST = 1024
"""GDAL looks for the beginning of a VRT in so many bytes of a file."""

_PICTURES = (".tif", ".tiff", ".jp2", ".png", ".jpg")
"""Endings of what is no VRT: a mosaic names ten thousands of them, and none is looked into."""

_REFERENCE = re.compile(r"<Source(?:Filename|Dataset)([^>]*)>([^<]+)<")
"""Where a VRT, in GDAL's own words, names a file: sources, masks, pictures that are warped."""

_PREFIX = re.compile(r'[A-Za-z0-9_]{2,}:(?:(?:off:)?\d+:)?"?')
"""What stands before the file's name where a file holds several rasters."""


def check_text(path: str, name: str = "") -> None:
    """Refuse a VRT that takes too much memory, before GDAL makes anything of it.

    Args:
        path: the scene, for messages.
        name: the VRT, in words or by name, if it is another; what else it is passes.

    Raises:
        SceneError: its text is too long, or has too many bands.
    """
    name = name or path
    if in_words(name):
        text = name.encode("utf-8", "surrogatepass")
        _check(path, len(text), io.BytesIO(text))
        return
    local = gdal_path(name) if name.lower().startswith("file:") else name
    if is_plain_path(local) and Path(local).is_file():
        where = path if name == path else f"{path}: {name}"
        with Path(local).open("rb") as file:
            if b"<VRTDataset" in file.read(_FIRST):
                file.seek(0)
                _check(where, os.fstat(file.fileno()).st_size, file)


def _check(where: str, size: int, file: BinaryIO) -> None:
    """The same, of a text of so many bytes; names the VRT as it is told to."""
    if size > MAX_TEXT:
        raise SceneError(
            f"{where}: is a VRT of {size:,} bytes; more than {MAX_TEXT:,} are not read, since they "
            "would take gigabytes of memory; make it of several VRTs"
        )
    bands, rest = 0, b""
    while part := file.read(2**20):
        whole, start, rest = (rest + part.lower()).rpartition(b"<")  # case is nothing to GDAL
        bands += whole.count(b"<vrtrasterband") - whole.count(b"<maskband")
        rest = start + rest
    if bands > MAX_BANDS:
        raise SceneError(
            f"{where}: its header claims {bands:,} bands; more than {MAX_BANDS:,} are taken for "
            "damage"
        )


def find_files(path: str, opens: str, dataset: Any) -> frozenset[str]:
    """All that an open raster refers to if it is a VRT; nothing if it is none.

    GDAL would find out in the middle of a run that files are missing, or, where they are missing in
    a VRT within the VRT, give zeros instead.

    Args:
        path: the scene, for messages.
        opens: what GDAL opened.
        dataset: the open raster.

    Returns:
        GDAL's names, local ones absolute: VRTs within it, and the files behind those.

    Raises:
        SceneError: some are not there, or cannot be opened as VRTs; or they are too many, too deep
            or too large.
    """
    if dataset.driver != "VRT":
        return frozenset()
    walk = _Walk(path)
    nameless = in_words(opens) or opens.lower().startswith("vrt://")
    walk.down("" if nameless else gdal_path(opens), _words(dataset), 1)
    if walk.missing:
        names = sorted(walk.missing)
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        raise SceneError(
            f"{path}: refers to files that are missing: {', '.join(names[:SHOWN])}{more}"
        )
    if len(walk.found) >= MAX_FILES:
        warnings.warn(
            f"{path}: refers to more than {MAX_FILES:,} files; what changes in the others is not "
            "noticed when a run is taken up again",
            GeocamssWarning,
            stacklevel=2,
        )
    return frozenset(walk.found)


def read_sources(dataset: Any, index: int) -> set[tuple[str, bool]]:
    """What a VRT takes a band from: names, and whether they start from the VRT's folder."""
    if dataset.driver != "VRT":
        return set()
    return _sources_in(" ".join(dataset.tags(index, ns="vrt_sources").values()))


@dataclass
class _Walk:
    """A way through VRTs, each of which is entered once."""

    path: str
    """The scene."""

    found: set[str] = field(default_factory=set)
    """What was come by."""

    missing: set[str] = field(default_factory=set)
    """What is not there, as the VRTs name it."""

    def down(self, vrt: str, words: str, depth: int) -> None:
        """Go through a VRT, and those in it.

        Args:
            vrt: its name; empty for one in words.
            words: its text.
            depth: 1 for the scene itself.
        """
        if depth > MAX_DEPTH:
            raise SceneError(
                f"{self.path}: its VRTs refer to others more than {MAX_DEPTH} deep; name the files "
                "in fewer of them"
            )
        for source, relative in sorted(_sources_in(words)):
            name = _beside(vrt, source) if relative else source
            if is_plain_path(name):
                name = _real(name)
                if not Path(name).exists():
                    self.missing.add(source if depth == 1 else name)
                    continue
                if is_stream(name):
                    raise SceneError(
                        f"{self.path}: refers to {name}, which is a pipe, a socket or a device; "
                        "write what comes out of it to a file"
                    )
            if len(self.found) >= MAX_FILES:
                return
            if name in self.found:
                continue
            self.found.add(name)
            inner = self._inner(name)
            if inner is not None:
                self.down(name, inner, depth + 1)

    def _inner(self, name: str) -> str | None:
        """The text of a VRT; None for what is none."""
        if not _may_be_vrt(name):
            return None
        check_text(self.path, name)
        with gdal_environment(name):
            try:
                dataset = open_raster(name)
            except (*GDAL_ERRORS, OSError, ValueError, TypeError) as error:
                raise SceneError(
                    f"{self.path}: refers to {name}, which cannot be opened: {error}"
                ) from error
            with dataset:
                return _words(dataset) if dataset.driver == "VRT" else None


def _words(dataset: Any) -> str:
    """A VRT as GDAL itself writes it."""
    return " ".join(dataset.tags(ns="xml:VRT").values())


def _may_be_vrt(name: str) -> bool:
    """True for what has to be opened to be known."""
    if is_plain_path(name):
        if name.lower().endswith(_PICTURES) or not Path(name).is_file():
            return False
        with Path(name).open("rb") as file:
            return b"<VRTDataset" in file.read(_FIRST)
    ending = name.partition("?")[0].lower()
    return ending.endswith(".vrt") or ending.startswith("vrt://")


def _sources_in(text: str) -> set[tuple[str, bool]]:
    """What a VRT's own words refer to; other VRTs may stand in them, in words again."""
    found: set[tuple[str, bool]] = set()
    for attributes, escaped in _REFERENCE.findall(text):
        name = unescape(escaped)
        inner = _sources_in(name) if name.lstrip().startswith("<VRTDataset") else set()
        found |= inner or {(name, 'relativeToVRT="1"' in attributes)}
    return found


def _beside(vrt: str, source: str) -> str:
    """What a VRT calls by a name that starts from its folder."""
    if is_plain_path(vrt):
        prefix = _PREFIX.match(source)
        start = prefix[0] if prefix else ""
        return f"{start}{Path(vrt).parent / source.removeprefix(start)}"
    address, mark, query = vrt.partition("?")  # what signs the VRT's address counts for its folder
    return f"{address.rpartition('/')[0]}/{source}{mark}{query}"


def _real(name: str) -> str:
    """One name for each file."""
    return os.path.realpath(name) if is_plain_path(name) else name
