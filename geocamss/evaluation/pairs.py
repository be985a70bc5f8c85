"""Pairs: scenes and their labels, one by one or in folders."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from geocamss.errors import InputError
from geocamss.evaluation.labels import LabelFile

__all__ = ["Pair", "pairs_of"]

SIDECARS = (
    *(".xml", ".json", ".txt", ".tfw", ".jgw", ".pgw", ".wld", ".qml", ".ovr", ".md", ".aux"),
    *(".hdr", ".msk", ".shx", ".dbf", ".prj", ".cpg", ".qix", ".sbn", ".sbx"),
)
"""Endings of files in a folder that stand beside scenes and labels, and are none."""

JOURNALS = ("-wal", "-shm", "-journal")
"""Ends of the names of what a database keeps beside itself while it is written."""


@dataclass(frozen=True)
class Pair:
    """A scene and its labels."""

    scene: str
    """Anything that GDAL opens."""

    labels: LabelFile
    """What is there."""


def pairs_of(
    scene: str | os.PathLike[str],
    labels: str | os.PathLike[str],
    meaning: Mapping[str, str] | None = None,
    column: str | None = None,
) -> tuple[Pair, ...]:
    """A scene with its labels; or two folders, whose files belong together by name.

    Args:
        scene: Anything that GDAL opens, or a folder.
        labels: A raster, a vector file, or a folder of such.
        meaning: Class name by value, color or name in the labels; None where they agree with the
            model.
        column: Of polygons: the attribute that says the class.

    Raises:
        InputError: one is a folder and the other not, or no two files have the same name.
    """
    scene, labels = os.fspath(scene), os.fspath(labels)
    meaning = dict(meaning or {})
    folders = Path(scene).is_dir(), Path(labels).is_dir()
    if not any(folders):
        return (Pair(scene, LabelFile(labels, meaning, column)),)
    if not all(folders):
        raise InputError(f"{scene} and {labels}: give two files, or two folders of files")
    known = {path.stem: path for path in _files(Path(labels))}
    pairs = tuple(
        Pair(str(path), LabelFile(str(known[path.stem]), meaning, column))
        for path in _files(Path(scene))
        if path.stem in known
    )
    if not pairs:
        raise InputError(
            f"{scene} and {labels}: no two files have the same name but for the ending; a scene "
            "a.tif belongs to labels such as a.png"
        )
    return pairs


def _files(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if path.is_file()
        and path.suffix.lower() not in SIDECARS
        and not path.name.lower().endswith(JOURNALS)
        and path.name[0] != "."
    )
