"""A product as its provider delivers it: a folder, or a ZIP archive of one."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from xml.etree import ElementTree as ET

from geocamss.errors import SceneError

__all__ = ["Package"]

MOST_BYTES = 32 * 2**20
"""Metadata is not larger."""

MOST_FILES = 20_000
"""No product has more files."""


@dataclass(frozen=True)
class Package:
    """The files of a product."""

    path: Path
    """The folder, or the archive."""

    @classmethod
    def of(cls, path: Path) -> Package | None:
        """The product at a path; None if there is neither a folder nor an archive."""
        if path.is_dir() or (path.suffix.lower() == ".zip" and path.is_file()):
            return cls(path)
        return None

    @property
    def packed(self) -> bool:
        """True for an archive."""
        return not self.path.is_dir()

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of its files, with slashes, from its top; sorted.

        Raises:
            SceneError: the archive is damaged, or there are too many files.
        """
        found: list[str] = []
        for name in self._walk():
            found.append(name)
            if len(found) > MOST_FILES:
                raise SceneError(f"{self.path}: holds more than {MOST_FILES:,} files")
        return tuple(sorted(found))

    def _walk(self) -> Iterator[str]:
        if self.packed:
            try:
                with zipfile.ZipFile(self.path) as archive:
                    yield from (n for n in archive.namelist() if not n.endswith("/"))
            except (zipfile.BadZipFile, OSError, ValueError) as error:
                raise SceneError(f"{self.path}: is no sound archive: {error}") from error
            return
        for folder, _, files in os.walk(self.path):
            inner = Path(folder).relative_to(self.path)
            yield from ((inner / name).as_posix() for name in files)

    def find(self, pattern: str) -> list[re.Match[str]]:
        """All files whose whole name matches, and how, those near the top first."""
        matches = [m for name in self.names if (m := re.fullmatch(pattern, name))]
        return sorted(matches, key=lambda match: (match[0].count("/"), match[0]))

    def gdal(self, name: str) -> str:
        """What GDAL calls one of the files."""
        if self.packed:
            # GDAL takes braces around an archive's name, whatever its ending.
            return f"/vsizip/{{{os.path.abspath(self.path)}}}/{name}"  # noqa: PTH100 (links stay)
        return str(self.path / name)

    def read(self, name: str) -> bytes:
        """The bytes of a small file.

        Raises:
            SceneError: it cannot be read, or is too large for metadata.
        """
        where = f"{self.path}/{name}"
        try:
            if self.packed:
                with zipfile.ZipFile(self.path) as archive, archive.open(name) as file:
                    data = file.read(MOST_BYTES + 1)
            else:
                with (self.path / name).open("rb") as file:
                    data = file.read(MOST_BYTES + 1)
        except (OSError, zipfile.BadZipFile, KeyError, RuntimeError, NotImplementedError) as error:
            raise SceneError(f"{where}: cannot be read: {error}") from error
        if len(data) > MOST_BYTES:
            raise SceneError(f"{where}: is larger than metadata is")
        return data

    def read_xml(self, name: str) -> ET.Element:
        """The root of an XML file; declarations of entities are refused.

        Raises:
            SceneError: as for ``read``, or it is not XML.
        """
        data = self.read(name)
        try:
            if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
                raise SceneError(f"{self.path}/{name}: declares entities, as no product does")
            return ET.fromstring(data)  # noqa: S314 (no entities, see above)
        except ET.ParseError as error:
            raise SceneError(f"{self.path}/{name}: is not sound XML: {error}") from error
