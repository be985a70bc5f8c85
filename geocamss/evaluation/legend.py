"""Legend: which class each value, color or name of a label file means."""

from __future__ import annotations

import difflib
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import ColorInterp

from geocamss.classes import ClassScheme
from geocamss.errors import GeocamssWarning, InputError
from geocamss.evaluation.scores import IGNORED

__all__ = ["RasterLegend", "name_channels", "raster_legend", "value_names"]

MAX_SIDECAR = 4 << 20
"""Bytes of a file of class names beside a raster; longer ones are something else."""

SHOWN = 12
"""Messages list this many values at most."""


@dataclass(frozen=True)
class RasterLegend:
    """What the pixels of a label raster mean."""

    bands: tuple[int, ...]
    """Bands to read, from 1: one of values, or three of colors."""

    channels: Mapping[int, int]
    """Class channel by stored value, or by color as a number, 0xRRGGBB."""

    palette: NDArray[np.uint8] | None = None
    """(values, 3) color of each stored value, where colors are looked up; None elsewhere."""

    taken: bool = False
    """True where nothing says what the values mean, and they are taken for the model's own."""

    def read(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        """Channels of stored pixels.

        Args:
            values: (bands, height, width).

        Returns:
            (height, width); 255 where a value is no class.
        """
        if self.palette is not None:
            values = np.moveaxis(self.palette[np.clip(values[0], 0, len(self.palette) - 1)], -1, 0)
        if len(values) == 3:
            red, green, blue = (band.astype(np.int32) for band in values)
            code: NDArray[Any] = red << 16 | green << 8 | blue
        else:
            code = values[0]
        found = np.full(code.shape, IGNORED, np.uint8)
        for value, channel in self.channels.items():
            found[code == value] = channel
        return found


def raster_legend(
    path: str, dataset: Any, scheme: ClassScheme, given: Mapping[str, str]
) -> RasterLegend:
    """Find out what the pixels of a label raster mean.

    Colors count where some are given, or where the raster is a picture of three bands; else the
    file's own names of its values; else the values, as the model has them.

    Args:
        path: Of the raster, for messages, and for the names beside it.
        dataset: The open raster.
        scheme: The model's classes.
        given: Class name by value, ``#rrggbb`` or name, as the user says; if it is not empty,
            all else is ignored.

    Raises:
        InputError: what is given fits neither the file nor the classes.
    """
    channels = {key: _channel(path, name, scheme) for key, name in given.items()}
    colors = {key: k for key, k in channels.items() if re.fullmatch(r"#[0-9A-Fa-f]{6}", key)}
    if colors or (not given and dataset.count >= 3 and ColorInterp.red in dataset.colorinterp):
        for key in channels.keys() - colors:
            raise InputError(
                f"{path}: {key!r} is no color #rrggbb, but {min(colors)!r} is one; say all that "
                "its labels mean by color, or nothing"
            )
        chosen = {int(key[1:], 16): k for key, k in colors.items()}
        own = {int(c.hex[1:], 16): k for k, c in enumerate(scheme)}
        return RasterLegend(*_colored(path, dataset, chosen or own))
    values = [band for band in dataset.colorinterp if band is not ColorInterp.alpha]
    if len(values) > 1 and not given:
        raise InputError(
            f"{path}: has {len(values)} bands; labels are one band of class values, or a picture "
            "in colors: say what the values of the first one mean, as with --map 1=building, or "
            f"take another, as with gdal_translate -b 2 {path} labels.tif"
        )
    names = value_names(path, dataset)
    if given:
        return RasterLegend((1,), _chosen(path, channels, names))
    if names:
        by_name = name_channels(path, list(names.values()), scheme, {})
        return RasterLegend((1,), {v: by_name[n] for v, n in names.items() if n in by_name})
    return RasterLegend((1,), {value: k for k, value in enumerate(scheme.values)}, taken=True)


def name_channels(
    path: str, names: list[str], scheme: ClassScheme, given: Mapping[str, str]
) -> dict[str, int]:
    """Class channel by what a label file calls a class.

    Args:
        path: Of the file, for messages.
        names: What is in the file: names, or values as text.
        scheme: The model's classes.
        given: Class name by name in the file; if it is not empty, all else is ignored.

    Raises:
        InputError: nothing in the file is a class.
    """
    if given:
        known = {key: _channel(path, name, scheme) for key, name in given.items()}
    else:
        known = {str(value): k for k, value in enumerate(scheme.values)}
        known |= {name.casefold(): k for k, name in enumerate(scheme.names)}
        known |= {name: k for k, name in enumerate(scheme.names)}  # classes may differ in case only
    spellings = {name: (name, *_plainly(name)) for name in names}
    found = {
        name: next(known[key] for key in keys if key in known)
        for name, keys in spellings.items()
        if not known.keys().isdisjoint(keys)
    }
    strange = sorted({name for name in names if name and name not in found})
    if not found:
        raise InputError(
            f"{path}: none of its labels ({_listed(strange)}) is a class of the model "
            f"({', '.join(scheme.names)}); say which is which, as in --map "
            f"{strange[0] if strange else 'NAME'}={scheme.names[0]}"
        )
    if strange and not given:
        warnings.warn(
            f"{path}: labels that are no class of the model are ignored: {_listed(strange)}",
            GeocamssWarning,
            stacklevel=3,
        )
    return found


def _plainly(name: str) -> tuple[str, str]:
    """A name without needless blanks, and in lower case too."""
    plain = " ".join(name.split())
    return plain, plain.casefold()


def _channel(path: str, name: str, scheme: ClassScheme) -> int:
    if name in scheme.names:
        return scheme.names.index(name)
    near = difflib.get_close_matches(name, scheme.names, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(scheme.names)}"
    raise InputError(f"{path}: the model has no class {name!r}; {hint}")


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _colored(
    path: str, dataset: Any, channels: Mapping[int, int]
) -> tuple[tuple[int, ...], Mapping[int, int], NDArray[np.uint8] | None]:
    if dataset.count >= 3:
        return (1, 2, 3), channels, None
    if dataset.colorinterp[0] is not ColorInterp.palette:
        raise InputError(
            f"{path}: labels by color need three bands or a palette, it has {dataset.count} "
            "band(s) without; give values instead of colors, as in --map 1=building"
        )
    table = dataset.colormap(1)
    palette = np.zeros((max(table) + 1, 3), np.uint8)
    for value, color in table.items():
        palette[value] = color[:3]
    return (1,), channels, palette


def _chosen(path: str, channels: Mapping[str, int], names: Mapping[int, str]) -> dict[int, int]:
    """Stored value to channel, where the user gives values or the file's names for them."""
    values: dict[str, list[int]] = {}
    for value, name in names.items():
        values.setdefault(name, []).append(value)
    found: dict[int, int] = {}
    for key, channel in channels.items():
        if key in values:
            found |= dict.fromkeys(values[key], channel)
        elif re.fullmatch(r"-?\d+", key):
            found[int(key)] = channel
        else:
            raise InputError(
                f"{path}: {key!r} is neither a value nor a color #rrggbb"
                + (f" nor one of its names ({_listed(sorted(values))})" if values else "")
            )
    return found


def value_names(path: str, dataset: Any) -> dict[int, str]:
    """Class names that a raster carries: in its own tags, or as GDAL keeps them beside it."""
    tagged = {
        int(match[1]): str(name)
        for key, name in dataset.tags().items()
        if (match := re.fullmatch(r"CLASS_(\d+)", key))
    }
    return tagged or _names_beside(Path(f"{path}.aux.xml"))


def _names_beside(sidecar: Path) -> dict[int, str]:
    try:
        if sidecar.stat().st_size > MAX_SIDECAR:
            return {}
        root = ET.fromstring(sidecar.read_bytes())  # noqa: S314  (expat bounds what it expands)
    except (OSError, ValueError, ET.ParseError):
        return {}
    listed = root.findall("./PAMRasterBand[@band='1']/CategoryNames/Category")
    texts = [(item.text or "").strip() for item in listed]
    return {value: text for value, text in enumerate(texts) if text}
