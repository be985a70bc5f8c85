"""From what a user names to a list of scenes."""

from __future__ import annotations

import csv
import datetime as dt
import glob
import hashlib
import os
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from geocamss.errors import GeocamssWarning, InputError, SceneError
from geocamss.scene.bundle import Bundle
from geocamss.scene.gdal import is_plain_path
from geocamss.scene.items import item_bundle
from geocamss.scene.pattern import find_patterned, is_pattern
from geocamss.scene.resolve import find_product, is_metadata, resolve
from geocamss.scene.stac import Entry, StacSearch, is_json, read_items
from geocamss.scene.stamp import acquired

__all__ = ["JOB", "SceneSource", "StacSearch", "find_scenes"]

JOB = ".geocamss-map"
"""Folder by which the output folder of a job is known: the catalog in that leads to its maps."""

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


@dataclass(frozen=True)
class SceneSource:
    """A scene to be mapped, that has not been opened yet."""

    id: str
    """Its name among the scenes of a job: unique, and fit for the name of a file."""

    path: str
    """What ``Scene.open`` takes; short for a file, long for a scene put together from several."""

    datetime: dt.datetime | None = None
    """When it was acquired, UTC, where its name or its catalog says so."""

    problem: str = ""
    """Why it cannot be mapped, where that is known before it is opened; empty for all others."""


def find_scenes(
    sources: Sequence[str | os.PathLike[str]], *, stac: StacSearch | None = None
) -> tuple[SceneSource, ...]:
    """List the scenes that a user names, each once, in the order of their naming.

    What cannot be used, such as a file that is not there, a damaged product or a bad item of a
    catalog, is listed with its problem where there is anything else that can be used. A warning
    tells how many were named more than once.

    Args:
        sources: files, globs, folders, URLs; products of Sentinel-2 and Landsat; patterns such as
            ``scene_*_{band}.tif``; STAC items, item collections and catalogs; and lists of all
            these in text files or tables.
        stac: a search whose results come after them.

    Raises:
        InputError: nothing is named, or a search is refused or finds nothing.
        RunError: a search fails because its server is down.
        SceneError: nothing of what is named can be used.
    """
    if not sources and stac is None:
        raise InputError("no scene is named; name files, folders, globs or lists of them")
    named = [scene for source in sources for scene in _expand(os.fspath(source), nested=False)]
    if stac is not None:
        named += map(_of_entry, stac.items())
        if not named:
            raise InputError(f"{stac.url}: the search finds nothing; {stac}")
    if all(scene.problem for scene in named):
        others = len(named) - 1
        more = f"; nor can any of {others:,} more be used" if others else ""
        raise SceneError(f"{named[0].problem}{more}")
    found: dict[str, _Found] = {}
    for scene in named:
        found.setdefault(scene.identity, scene)
    if len(found) < len(named):
        warnings.warn(
            f"{len(named) - len(found):,} of {len(named):,} scenes had been named before; each is "
            "taken once",
            GeocamssWarning,
            stacklevel=2,
        )
    scenes = list(found.values())
    ids = _ids(scenes)
    return tuple(
        SceneSource(name, scene.path, scene.datetime, scene.problem)
        for name, scene in zip(ids, scenes, strict=True)
    )


@dataclass(frozen=True)
class _Found:
    """A scene before it has its name."""

    path: str
    """As in ``SceneSource``."""

    names: tuple[str, ...]
    """Names to choose from, from short to long."""

    identity: str
    """The same for all ways to name one scene."""

    datetime: dt.datetime | None

    problem: str = ""
    """As in ``SceneSource``."""


def _expand(source: str, *, nested: bool) -> Iterator[_Found]:
    """The scenes that one source stands for; what cannot be used is one with a problem."""
    try:
        yield from _sought(source, nested=nested)
    except SceneError as error:
        yield _failed(source, str(error))
    except OSError as error:
        yield _failed(source, f"{source}: cannot be read: {error.strerror or error}")


def _failed(source: str, problem: str) -> _Found:
    """A source that cannot be used, by the name that it would have if it were a file."""
    identity = os.path.abspath(source) if is_plain_path(source) else source  # noqa: PTH100 (links stay)
    return _Found(source, tuple(_choices(_bare(source))), identity, None, problem)


def _sought(source: str, *, nested: bool) -> Iterator[_Found]:
    """The scenes that one source stands for, if it can be read."""
    path = Path(source)
    if Bundle.is_text(source):
        yield _of_bundle(Bundle.from_text(source), source)
    elif is_pattern(source) and not path.exists():
        for bundle in find_patterned(source):
            yield _of_bundle(bundle, bundle.source)
    elif is_json(source) and not is_metadata(source):
        yield from _in_document(source)
    elif not is_plain_path(source):
        yield _of_path(source)
    else:
        yield from _at_path(source, nested=nested)


def _at_path(source: str, *, nested: bool) -> Iterator[_Found]:
    """The scenes of a local path, or of a glob."""
    path = Path(source)
    if path.is_dir():
        yield from _in_folder(path)
    elif path.suffix.lower() in LISTS and path.is_file() and not is_metadata(source):
        if nested:
            raise SceneError(f"{source}: is a list within a list; name its scenes themselves")
        yield from _in_list(path)
    elif not path.exists() and glob.has_magic(source):
        matches = sorted(glob.glob(source, recursive=True))  # noqa: PTH207 (globs have folders)
        if not matches:
            raise SceneError(f"{source}: no file matches; is it quoted, and relative to here?")
        for match in matches:
            yield from _expand(match, nested=nested)
    elif not path.exists():
        raise SceneError(f"{source}: no such file")
    else:
        scene = resolve(source)
        yield _of_path(source) if isinstance(scene, str) else _of_bundle(scene, source)


def _in_document(source: str) -> Iterator[_Found]:
    if is_plain_path(source) and not Path(source).exists():
        raise SceneError(f"{source}: no such file")
    scenes = [_of_entry(entry) for entry in read_items(source)]
    if not scenes:
        raise SceneError(f"{source}: leads to no item")
    yield from scenes


def _in_folder(folder: Path) -> Iterator[_Found]:
    """The product that a folder is, else all rasters and products right in it."""
    product = find_product(folder)
    if product is not None:
        yield _of_bundle(product, str(folder))
        return
    catalog = folder / "catalog.json"
    # Maps may lie beside their scenes, and it is those that are mapped again.
    if catalog.is_file() and not (folder / JOB).is_dir():
        yield from _in_document(str(catalog))
        return
    found = [scene for path in sorted(folder.iterdir()) if (scene := _beside(path)) is not None]
    if not found and catalog.is_file():
        yield from _in_document(str(catalog))
        return
    if not found:
        raise SceneError(
            f"{folder}: holds neither a raster with a usual ending nor a product; name its files, "
            f"or a glob such as '{folder}/**/*.tif'"
        )
    yield from found


def _beside(path: Path) -> _Found | None:
    """The raster or product that an entry of a folder is; None for anything else."""
    if path.suffix.lower() in RASTERS and not path.is_dir():
        if path.is_file():
            return _of_path(str(path))
        return _failed(str(path), f"{path}: is no file, or a link to one that is not there")
    try:
        product = find_product(path)
    except SceneError as error:
        return _failed(str(path), str(error))
    return None if product is None else _of_bundle(product, str(path))


def _of_path(path: str) -> _Found:
    where = _bare(path)
    identity = os.path.realpath(path) if is_plain_path(path) else path
    return _Found(path, tuple(_choices(where)), identity, acquired(where, {}))


def _bare(path: str) -> str:
    """A path, or a URL without its query: that may hold a signature."""
    return path if is_plain_path(path) else re.split(r"[?#]", path)[0]


def _of_bundle(bundle: Bundle, path: str) -> _Found:
    where = os.path.realpath(path) if is_plain_path(path) and Path(path).exists() else bundle.source
    names = (bundle.id, *_choices(bundle.source)[1:])
    folder = str(Path(where).parent) if is_metadata(where) else where
    return _Found(path, names, f"{folder}#{bundle.id}", bundle.datetime)


def _of_entry(entry: Entry) -> _Found:
    """An item's scene, with all that is needed to open it without the catalog."""
    if entry.problem:
        return _failed(entry.base, entry.problem)
    item, base = entry.item, entry.base
    name, collection = str(item.get("id") or "item"), item.get("collection")
    within = f"{collection}-{name}" if collection else name
    where = base if re.split(r"[/\\]", _bare(base).rstrip("/"))[-1] == name else f"{base}#{name}"
    identity = f"{base}#{collection!r}#{name!r}"
    found = _Found(where, (name, within, *_choices(where)), identity, None)
    try:
        scene = item_bundle(item, base, where)
    except SceneError as error:
        return replace(found, problem=str(error))
    return replace(found, path=scene.to_text(), datetime=scene.datetime)


def _in_list(path: Path) -> Iterator[_Found]:
    entries = list(_entries(path))
    if not entries:
        raise SceneError(f"{path}: the list is empty")
    for number, entry in entries:
        here = str(path.parent / entry) if is_plain_path(entry) else entry
        for scene in _expand(here, nested=True):
            told = f"{path}, line {number}: {scene.problem}" if scene.problem else ""
            yield replace(scene, problem=told)


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
    try:
        yield from _cells(path, lines)
    except csv.Error as error:
        raise SceneError(f"{path}: the list cannot be read: {error}") from error


def _cells(path: Path, lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    """(line, scene) of the column of a table that a heading tells, else of the first."""
    first = next((line for line in lines if line.strip()), "")
    delimiter = next((mark for mark in ";\t" if mark in first), ",")
    if path.suffix.lower() == ".tsv":
        delimiter = "\t"
    column: int | None = None
    rows = csv.reader(lines, delimiter=delimiter)
    for row in rows:
        cells = [cell.strip() for cell in row]
        if not any(cells):
            continue
        if column is None:
            heads = [cell.lower() for cell in cells]
            known = [heads.index(name) for name in COLUMNS if name in heads]
            column = known[0] if known else 0
            if known:
                continue
            if _is_heading(cells, path.parent):
                raise SceneError(
                    f"{path}, line {rows.line_num}: {delimiter.join(cells)!r} is a heading "
                    f"without a column of scenes; call it one of {', '.join(COLUMNS)}"
                )
        if len(cells) > column and cells[column]:
            yield rows.line_num, cells[column]


def _is_heading(cells: Sequence[str], folder: Path) -> bool:
    """True for a row of words of which none is the name of anything there."""
    words = all(re.fullmatch(r"[\w -]*", cell) and len(cell) < 100 for cell in cells)
    return words and not any(cell and (folder / cell).exists() for cell in cells)


def _ids(scenes: Sequence[_Found]) -> list[str]:
    """Names for scenes: as short as they can be told apart by.

    Where names are equal, longer ones take their place: with the ending, with folders from the
    innermost outward, at last with a hash. A name does not depend on the order of the scenes.
    """
    digests = [hashlib.sha256(scene.identity.encode()).hexdigest()[:8] for scene in scenes]
    choices = [
        [*map(_safe, scene.names), f"{_safe(scene.names[0])}-{digest}"]
        for scene, digest in zip(scenes, digests, strict=True)
    ]
    level = [0] * len(scenes)
    while True:
        names = [options[place] for options, place in zip(choices, level, strict=True)]
        places: dict[str, list[int]] = {}
        for index, name in enumerate(names):
            places.setdefault(name.lower(), []).append(index)  # some file systems see no case
        rivals = [i for same in places.values() if len(same) > 1 for i in same]
        rivals = [i for i in rivals if level[i] < len(choices[i]) - 1]
        if not rivals:
            return names
        for index in rivals:
            level[index] += 1


def _choices(path: str) -> list[str]:
    """Names for a file, from short to long: without and with its ending, with its folders."""
    *folders, last = re.split(r"[/\\]", path.rstrip("/\\"))
    stem, ending = Path(last).stem, Path(last).suffix
    names = [stem, stem + ending.replace(".", "_")]
    names += ["-".join([*folders[start:], names[1]]) for start in range(len(folders) - 1, -1, -1)]
    return names


def _safe(name: str) -> str:
    """A name that any file system takes."""
    kept = re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("._-")[:100]
    return kept or "scene"
