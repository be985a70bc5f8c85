"""Bundle: a scene of several files, as a value. What lies where, and how its numbers are meant."""

from __future__ import annotations

import datetime as dt
import json
import math
from dataclasses import asdict, dataclass
from typing import Any

from geocamss.errors import SceneError
from geocamss.scene.quality import Quality

__all__ = ["Bundle", "BundleBand"]

KIND = "geocamss-bundle"
"""The first word of a bundle written as text."""

MOST_TEXT = 16 * 2**20
"""Characters that a bundle written as text may have."""


@dataclass(frozen=True)
class BundleBand:
    """One band of one of the files."""

    name: str
    """What its product or catalog calls it: ``B04``, ``red``."""

    path: str
    """The file: a local path, a URL, or one of GDAL's own."""

    band: int = 1
    """Position in the file, from 1."""

    scale: float | None = None
    """Physical units per stored unit; None takes what the file declares."""

    offset: float | None = None
    """Physical units at stored 0; None takes what the file declares."""

    nodata: float | None = None
    """Marker of missing pixels; None takes what the file declares."""

    wavelength: float | None = None
    """Center, in micrometers, where the catalog tells it."""

    apart: bool = False
    """True if its pixels choose the grid only where a model wants the band, as panchromatic ones
    do."""

    def __post_init__(self) -> None:
        if not self.name or self.band < 1:
            raise ValueError(f"a band has a name and counts from 1, got {self!r}")
        for number in (self.scale, self.offset, self.wavelength):
            if number is not None and not math.isfinite(number):
                raise ValueError(f"band {self.name}: {number} is no number to reckon with")
        if self.scale == 0:
            raise ValueError(f"band {self.name}: a scale of 0 leaves nothing")


@dataclass(frozen=True)
class Bundle:
    """A scene of several files, on one grid or on several that fit together."""

    source: str
    """What the user named: a folder, an archive, an item, a pattern. For messages."""

    id: str
    """The product's own name."""

    bands: tuple[BundleBand, ...]
    """In the order of the scene."""

    quality: tuple[Quality, ...] = ()
    """Layers that say which pixels to leave out; each has its say."""

    datetime: dt.datetime | None = None
    """When it was acquired, UTC."""

    platform: str = ""
    """The satellite, where band names need it to be understood."""

    notes: tuple[str, ...] = ()
    """What was done to the numbers, for the user."""

    files: tuple[str, ...] = ()
    """Further files that the bundle was read from, such as its metadata."""

    whole: bool = False
    """True for a single file with all its bands, as it names them itself; how many they are, only
    the file tells, and the one in ``bands`` stands for all."""

    trusted: bool = True
    """False if the files were named by a catalog and not by the user: they are opened as
    pictures, and as nothing that could name files in turn."""

    def __post_init__(self) -> None:
        for path in (*self.paths, *self.files):
            _check_path(path)
        if not self.bands:
            raise ValueError(f"{self.source}: no band is in it")
        if self.datetime is not None and self.datetime.tzinfo is None:
            raise ValueError(f"{self.source}: a time without its zone, {self.datetime}")

    @property
    def parts(self) -> tuple[BundleBand | Quality, ...]:
        """Bands and quality layers."""
        return (*self.bands, *self.quality)

    @property
    def paths(self) -> tuple[str, ...]:
        """The files with pixels, each once."""
        return tuple(dict.fromkeys(part.path for part in self.parts))

    @property
    def quality_indices(self) -> tuple[int, ...]:
        """Positions, from 1, of the quality layers: they follow the bands."""
        first = len(self.bands) + 1
        return tuple(range(first, first + len(self.quality)))

    def to_text(self) -> str:
        """One line of JSON, from which ``from_text`` makes the same."""
        values = asdict(self)
        values["datetime"] = self.datetime.isoformat() if self.datetime else None
        return json.dumps({KIND: 1, **values}, sort_keys=False)

    @staticmethod
    def is_text(text: str) -> bool:
        """True for what ``to_text`` may have written."""
        return text.startswith(f'{{"{KIND}":')

    @classmethod
    def from_text(cls, text: str) -> Bundle:
        """Read what ``to_text`` wrote.

        Raises:
            SceneError: it is something else.
        """
        try:
            values = _parsed(text)
            values["bands"] = tuple(BundleBand(**_checked(b, BundleBand)) for b in values["bands"])
            values["quality"] = tuple(
                Quality(**{**_checked(q, Quality), "values": tuple(map(int, q["values"]))})
                for q in values["quality"]
            )
            moment = values["datetime"]
            values["datetime"] = None if moment is None else dt.datetime.fromisoformat(moment)
            values["notes"], values["files"] = map(tuple, (values["notes"], values["files"]))
            return cls(**_checked(values, cls))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise SceneError(f"{text[:60]}...: is no bundle of files: {error}") from error


def _parsed(text: str) -> dict[str, Any]:
    """The fields of a bundle, as JSON has them."""
    if len(text) > MOST_TEXT:
        raise ValueError(f"{len(text):,} characters are no bundle")
    values = json.loads(text)
    if not isinstance(values, dict) or values.pop(KIND, None) != 1:
        raise ValueError("not of version 1")
    return values


_TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "bool": (bool,),
    "float | None": (int, float, type(None)),
}
"""What may stand in a field, by its annotation."""


def _checked(values: Any, kind: type) -> dict[str, Any]:
    """Values for the fields of a class, each of its type."""
    found = dict(values)
    for name, text in kind.__annotations__.items():
        types = _TYPES.get(text)
        value = found.get(name)
        if name not in found or types is None:
            continue
        if not isinstance(value, types) or (isinstance(value, bool) and text != "bool"):
            raise ValueError(f"{name} is {value!r}")
    return found


def _check_path(path: str) -> None:
    """Refuse names that no file has and no XML can hold."""
    if not path or any(ord(letter) < 32 or letter in "\x7f\ufffe\uffff" for letter in path):
        raise ValueError(f"no file is called {path!r}")
