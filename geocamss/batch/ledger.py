"""What a job has finished, scene by scene, in the output folder."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from geocamss.errors import OutputError
from geocamss.output.areas import ClassArea
from geocamss.output.folder import WORK
from geocamss.output.lock import take_lock
from geocamss.products import files_of
from geocamss.scene.catalog import JOB
from geocamss.whole import whole

__all__ = ["Ledger", "Record"]


@dataclass(frozen=True)
class Record:
    """A finished map, in as much as later runs and the report want to know of it."""

    key: str
    """Hash of all that fixed the map."""

    shaping: str
    """What polygons are like, in words that change when it does."""

    outputs: tuple[str, ...]
    """Names of those that were written."""

    pixels: int
    """Of the grid."""

    blocks: int
    """That it was cut into."""

    seconds: float
    """That workers spent on it, by the wall clock."""

    batch: int
    """Chips at once."""

    datetime: str | None
    """When the scene was acquired, ISO 8601, UTC."""

    areas: tuple[ClassArea, ...]
    """Of the classes."""

    thumbnail: str
    """A small picture of the map, PNG in base 64; may be empty."""

    sizes: dict[str, Any] = field(default_factory=dict)
    """What the same map is known by again, whatever blocks and batch its run came to choose."""

    @classmethod
    def of(cls, content: Any) -> Self:
        """Read what ``asdict`` and JSON made of a record.

        Raises:
            TypeError, KeyError, ValueError: it is no record.
        """
        fields = dict(content)
        fields["areas"] = tuple(ClassArea(**area) for area in fields["areas"])
        fields["outputs"] = tuple(fields["outputs"])
        files_of(fields["outputs"])  # raises on names that are none of ours
        fields["sizes"] = dict(fields.get("sizes", {}))
        return cls(**fields)


@dataclass
class Ledger:
    """The records of an output folder; one job at a time may keep them."""

    path: Path
    """The output folder."""

    _lock: TextIO | None = field(default=None, init=False, repr=False)

    @property
    def folder(self) -> Path:
        """Where the records lie."""
        return self.path / JOB

    def __enter__(self) -> Self:
        """Make the folder and lock it.

        Raises:
            OutputError: it cannot be written, or another job writes there.
        """
        if self.path.exists() and not self.path.is_dir():
            raise OutputError(f"{self.path} is a file, and the outputs need a folder")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = take_lock(self.folder / "lock", self.path, "job")
        except OSError as error:
            raise OutputError(
                f"cannot write into {self.path}: {error.strerror or error}; "
                "choose another folder with -o"
            ) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._lock is not None:
            self._lock.close()

    def read(self, scene: str) -> Record | None:
        """The record of a scene; None where there is none, or it is damaged."""
        try:
            return Record.of(json.loads(self._file(scene).read_text("utf-8")))
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return None

    def finished(
        self, scene: str, key: str, outputs: Collection[str], shaping: str
    ) -> Record | None:
        """The record of a scene whose map is there, whole, and the one that is asked for.

        Args:
            scene: its name.
            key: hash of all that fixes the map.
            outputs: names of those that are asked for.
            shaping: what polygons are to be like; of no matter where none are asked for.
        """
        record = self.read(scene)
        if record is None:
            return None
        folder = self.path / scene
        same = record.key == key and set(outputs) <= set(record.outputs)
        same = same and ("polygons" not in outputs or record.shaping == shaping)
        whole = all((folder / name).exists() for name in files_of(record.outputs))
        return record if same and whole and not (folder / WORK).exists() else None

    def write(self, scene: str, record: Record) -> None:
        """Keep a record; it appears when it is whole."""
        with whole(self._file(scene)) as part:
            part.write_text(json.dumps(asdict(record)), "utf-8")

    def _file(self, scene: str) -> Path:
        return self.folder / f"{scene}.json"
