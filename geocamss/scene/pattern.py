"""Scenes whose bands are files side by side, as a pattern names them: ``scene_*_{band}.tif``.

``{band}`` stands for the name of a band, ``*`` and ``?`` for what tells scenes apart, ``**`` for
folders of any depth. A file has one band; those called SCL, QA_PIXEL or Fmask are quality layers.
"""

from __future__ import annotations

import glob
import re
from pathlib import Path

from geocamss.errors import SceneError
from geocamss.scene.bundle import Bundle, BundleBand
from geocamss.scene.quality import known_quality
from geocamss.scene.stamp import acquired

__all__ = ["find_patterned", "is_pattern"]

BAND = "{band}"
"""What stands for the name of a band."""


def is_pattern(source: str) -> bool:
    """True for a pattern, and for no file's name."""
    return source.count(BAND) == 1 and not source.lstrip().startswith(("{", "<"))


def find_patterned(source: str) -> tuple[Bundle, ...]:
    """The scenes of a pattern, by name.

    Raises:
        SceneError: no file matches, or several are the same band of a scene.
    """
    matches: dict[str, dict[str, str]] = {}
    single = re.sub("/+", "/", source)  # as globs give names
    form = re.compile(_expression(single), re.DOTALL)
    # Not pathlib's glob, which takes no absolute pattern.
    found = glob.glob(single.replace(BAND, "*"), recursive=True)  # noqa: PTH207
    for path in sorted(found):
        match = form.fullmatch(path)
        if match is None or not Path(path).is_file():
            continue
        start, end = match.span("band")
        scene = matches.setdefault(path[:start] + BAND + path[end:], {})
        scene[match["band"]] = path
    if not matches:
        raise SceneError(f"{source}: no file matches; is it quoted, and relative to here?")
    return tuple(_bundle(name, bands) for name, bands in matches.items())


def _bundle(source: str, files: dict[str, str]) -> Bundle:
    layers = {name: known_quality(name, path) for name, path in files.items()}
    bands = tuple(
        BundleBand(name, path, apart=name.lower() == "pan")
        for name, path in files.items()
        if layers[name] is None
    )
    if not bands:
        raise SceneError(f"{source}: only quality layers match, and no band")
    folder, _, name = source.rpartition("/")
    plain = re.sub(r"[._ -]*\{band\}[._ -]*", "_", Path(name).stem).strip("_")
    identity = plain or Path(folder).name or "scene"
    return Bundle(
        source=source,
        id=identity,
        bands=bands,
        quality=tuple(layer for layer in layers.values() if layer is not None),
        datetime=acquired(source.replace(BAND, ""), {}),
        notes=tuple(f"{name} leaves pixels out" for name, layer in layers.items() if layer),
    )


def _expression(source: str) -> str:
    """The regular expression of a glob with a band in it; stars take as much as they can."""
    parts = []
    for part in re.split(r"(\{band\}|\*\*/|\*|\?|\[[^\]]+\])", source):
        if part == BAND:
            parts.append("(?P<band>[^/]+)")
        elif part == "**/":
            parts.append("(?:.*/)?")
        elif part == "*":
            parts.append("[^/]*")
        elif part == "?":
            parts.append("[^/]")
        elif part.startswith("[") and len(part) > 2:
            inner = part[1:-1].replace("\\", "\\\\")
            parts.append(f"[{'^' + inner[1:] if inner[0] == '!' else inner}]")
        else:
            parts.append(re.escape(part))
    return "".join(parts)
