"""From what a user names to a list of scenes: files, globs, folders and lists."""

from __future__ import annotations

import csv
import datetime as dt
import glob
import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from geocamss.errors import InputError, SceneError
from geocamss.scene.gdal import is_plain_path
from geocamss.scene.stamp import acquired

__all__ = ["SceneSource", "StacSearch", "find_scenes"]

RASTERS = frozenset(
    (
        *(".tif", ".tiff", ".gtiff", ".jp2", ".j2k", ".vrt", ".img", ".ntf", ".nitf", ".kea"),
        *(".png", ".jpg", ".jpeg", ".webp", ".asc", ".bil", ".bip", ".bsq", ".hgt", ".dem"),
    )
)
"""Endings by which a raster is known in a folder; a file that is named may have any."""

LISTS = frozenset((".txt", ".lst", ".csv", ".tsv"))
"""Endings of files that name other files."""

COLUMNS = ("path", "file", "filename", "scene", "source", "href", "url", "location")
"""Headings of the column of a table that names the scenes, by preference."""

SHOWN = 20
"""Messages list this many things at most."""


@dataclass(frozen=True)
class StacSearch:
    """What to ask a STAC API for."""

    url: str
    """Where the API starts."""

    collections: tuple[str, ...] = ()
    """Names of collections; none means all."""

    bbox: tuple[float, float, float, float] | None = None
    """(west, south, east, north) in degrees."""

    datetime: str | None = None
    """A moment or a range, as in ``2024-05-01/2024-09-30``."""

    max_cloud: float | None = None
    """Most clouds, in percent; items that do not say are kept."""

    limit: int | None = None
    """At most so many items."""


@dataclass(frozen=True)
class SceneSource:
    """A scene to be mapped, that has not been opened yet."""

    id: str
    """Its name among the scenes of a job: unique, and fit for the name of a file."""

    path: str
    """What ``Scene.open`` takes; short for a file, long for a scene put together from several."""

    datetime: dt.datetime | None = None
    """When it was acquired, UTC, where its name or its catalog says so."""


def find_scenes(
    sources: Sequence[str | os.PathLike[str]], *, stac: StacSearch | None = None
) -> tuple[SceneSource, ...]:
    """List the scenes that a user names, each once, in the order of their naming.

    Args:
        sources: files, globs, folders, URLs, and lists of them in text files or tables.
        stac: a search whose results come after them.

    Raises:
        InputError: nothing is named, or nothing found.
        SceneError: a source is not there, or names no scene.
    """
    if not sources and stac is None:
        raise InputError("no scene is named; name files, folders, globs or lists of them")
    paths: dict[str, str] = {}
    for source in sources:
        for path in _expand(os.fspath(source), nested=False):
            paths.setdefault(_identity(path), path)
    found = list(paths.values())
    ids = _ids(found)
    return tuple(
        SceneSource(name, path, acquired(path, {})) for name, path in zip(ids, found, strict=True)
    )


def _expand(source: str, *, nested: bool) -> Iterator[str]:
    """The paths of the scenes that one source stands for."""
    if not is_plain_path(source):
        yield source
        return
    path = Path(source)
    if path.is_dir():
        yield from _in_folder(path)
    elif path.suffix.lower() in LISTS and path.is_file():
        if nested:
            raise SceneError(f"{source}: is a list within a list; name its scenes themselves")
        yield from _in_list(path)
    elif not path.exists() and glob.has_magic(source):
        matches = sorted(glob.glob(source, recursive=True))  # noqa: PTH207 (Path.glob wants a folder)
        if not matches:
            raise SceneError(f"{source}: no file matches; is it quoted, and relative to here?")
        for match in matches:
            yield from _expand(match, nested=nested)
    elif not path.exists():
        raise SceneError(f"{source}: no such file")
    else:
        yield source


def _in_folder(folder: Path) -> Iterator[str]:
    found = sorted(p for p in folder.iterdir() if p.suffix.lower() in RASTERS and p.is_file())
    if not found:
        raise SceneError(
            f"{folder}: holds no raster with a usual ending; name its files, or a glob such as "
            f"'{folder}/**/*.tif'"
        )
    yield from map(str, found)


def _in_list(path: Path) -> Iterator[str]:
    entries = list(_entries(path))
    if not entries:
        raise SceneError(f"{path}: the list is empty")
    for number, entry in entries:
        here = entry if not is_plain_path(entry) else str(path.parent / entry)
        try:
            yield from _expand(here, nested=True)
        except SceneError as error:
            raise SceneError(f"{path}, line {number}: {error}") from error


def _entries(path: Path) -> Iterator[tuple[int, str]]:
    """(line, scene) of a list: a line each, or a column of a table."""
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SceneError(f"{path}: the list cannot be read: {error}") from error
    lines = text.splitlines()
    if path.suffix.lower() not in (".csv", ".tsv"):
        named = ((number, line.strip()) for number, line in enumerate(lines, 1))
        yield from ((number, line) for number, line in named if line and line[0] != "#")
        return
    rows = csv.reader(lines, delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
    column = 0
    for row in rows:
        if rows.line_num == 1:
            heads = [cell.strip().lower() for cell in row]
            known = [heads.index(name) for name in COLUMNS if name in heads]
            if known:
                column = known[0]
                continue
        if len(row) > column and row[column].strip():
            yield rows.line_num, row[column].strip()


def _identity(path: str) -> str:
    """The same for all ways to write the name of one file."""
    return os.path.realpath(path) if is_plain_path(path) else path


def _ids(paths: Sequence[str]) -> list[str]:
    """Names for scenes: as short as they can be told apart by.

    Where stems are equal, the ending joins them, then folders from the innermost outward; what is
    still equal gets a hash. A name does not depend on the order of the scenes.
    """
    choices = [_choices(path) for path in paths]
    level = [0] * len(paths)
    while True:
        names = [c[min(n, len(c) - 1)] for c, n in zip(choices, level, strict=True)]
        places: dict[str, list[int]] = {}
        for index, name in enumerate(names):
            places.setdefault(name.lower(), []).append(index)
        rivals = [
            i
            for same in places.values()
            if len(same) > 1
            for i in same
            if level[i] < len(choices[i]) - 1
        ]
        if not rivals:
            return names
        for index in rivals:
            level[index] += 1


def _choices(path: str) -> list[str]:
    """Names for a scene, from short to certainly its own."""
    *folders, last = re.split(r"[/\\]", path.rstrip("/\\")) or ["scene"]
    stem, ending = Path(last).stem, Path(last).suffix
    names = [stem, stem + ending.replace(".", "_")]
    for start in range(len(folders) - 1, -1, -1):
        names.append("-".join([*folders[start:], names[1]]))
    digest = hashlib.sha256(_identity(path).encode()).hexdigest()[:8]
    return [_safe(name) for name in names] + [f"{_safe(stem)}-{digest}"]


def _safe(name: str) -> str:
    """A name that any file system takes."""
    kept = re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("._-")[:100]
    return kept or "scene"
