"""The QGIS plugin as a file: what lies in ``geocamss/qgis``, packed as QGIS installs it."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import geocamss
from geocamss.errors import OutputError
from geocamss.whole import whole

__all__ = ["write_plugin"]

NAME = "geocamss_qgis"
"""The folder in the archive, and the plugin's module in QGIS."""

_SOURCES = Path(__file__).with_name("qgis")
_METADATA = "metadata.txt"


def write_plugin(target: str | os.PathLike[str], *, overwrite: bool = False) -> list[str]:
    """Write the plugin as a ZIP file. The same geocamss gives the same bytes.

    Args:
        target: the file, with the ending ``.zip``; it appears when it is complete.
        overwrite: whether a file that is there already may be replaced.

    Returns:
        What is in it.

    Raises:
        OutputError: the file is there already, or cannot be written.
    """
    path = Path(target)
    if path.suffix.lower() != ".zip":
        raise OutputError(f"{path}: QGIS installs plugins from files that end with .zip")
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists already: choose another name, or give --overwrite")
    try:
        with whole(path) as part, zipfile.ZipFile(part, "w") as archive:
            for source in _files():
                archive.writestr(_entry(source), _content(source))
            names = archive.namelist()
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}") from error
    return names


def _files() -> list[Path]:
    kinds = (".py", ".svg", ".txt")
    return sorted(file for file in _SOURCES.iterdir() if file.suffix in kinds)


def _entry(source: Path) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(f"{NAME}/{source.name}", (2000, 1, 1, 0, 0, 0))
    entry.external_attr = 0o644 << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry


def _content(source: Path) -> str:
    text = source.read_text("utf-8")
    return text.format(version=geocamss.__version__) if source.name == _METADATA else text
