"""The output folder: who may write there, and when a file gets its final name."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from geocamss.errors import OutputError
from geocamss.output.lock import take_lock
from geocamss.whole import whole

__all__ = ["WORK", "OutputFolder", "read_journal", "read_key"]

WORK = ".geocamss"
"""Folder inside the output folder where everything waits until it is complete."""

JOURNAL = "journal.json"
LOCK = "lock"
READY = "ready.json"

OLD = f"{WORK}-old-"
"""How names begin of what nobody wants any more, until it is removed."""


@dataclass
class OutputFolder:
    """A folder that one run at a time may fill.

    Files are made in a work folder inside it and moved to their final names together, when all are
    complete. After a failure the work folder stays, so that the same run can go on; it is emptied
    when a run with another key wants the folder.
    """

    path: Path
    """Where the outputs go."""

    names: tuple[str, ...]
    """Final names of all that a run may write."""

    key: str
    """Hash of all that fixes the outputs."""

    about: Mapping[str, Any]
    """What the key stands for, for people who look into the journal."""

    overwrite: bool = False
    """Whether files that bear one of the names may be replaced."""

    complete: bool = field(default=False, init=False)
    """True when an earlier run with this key had ended but for the last renames."""

    replaced: bool = field(default=False, init=False)
    """True when what another run had left unfinished was thrown away."""

    _lock: TextIO | None = field(default=None, init=False, repr=False)

    @property
    def work(self) -> Path:
        """Where files wait until they are complete."""
        return self.path / WORK

    def __enter__(self) -> Self:
        """Make the folder, lock it, and take up what an earlier run left unfinished.

        Raises:
            OutputError: it cannot be written, another run is writing there, or it holds outputs
                already and ``overwrite`` is off.
        """
        if self.path.exists() and not self.path.is_dir():
            raise OutputError(f"{self.path} is a file, and the outputs need a folder")
        if not self.work.exists():
            self._refuse_existing()
        try:
            self.work.mkdir(parents=True, exist_ok=True)
            self._lock = take_lock(self.work / LOCK, self.path, "run")
            self._take_up()
        except OSError as error:
            self._release()
            raise OutputError(
                f"cannot write into {self.path}: {error.strerror or error}; "
                "choose another folder with -o"
            ) from error
        except BaseException:
            self._release()
            raise
        return self

    def _refuse_existing(self) -> None:
        there = [name for name in self.names if (self.path / name).exists()]
        if there and not self.overwrite:
            raise OutputError(
                f"{self.path} holds outputs already: {', '.join(there)}; "
                "give --overwrite to replace them, or choose another folder with -o"
            )

    def _take_up(self) -> None:
        before = read_key(self.work)
        ready = self._read_ready()
        if ready is not None:
            self._move(ready)
            if before == self.key:
                self.complete = True
                return
        self._refuse_existing()
        if before != self.key:
            self.replaced = before is not None
            self._begin()

    def _begin(self) -> None:
        aside = self._aside()
        aside.mkdir()
        # Workers of the run before may still be at it. They make their blocks in folders of their
        # own in here, and look into the journal before they put them in their place: once it has
        # gone, and then those folders, none can come any more.
        self._put(self.work / JOURNAL, aside / JOURNAL)
        for path in self.work.iterdir():
            if path.name != LOCK:
                self._put(path, aside / path.name)
        self._sweep()
        content = json.dumps({"key": self.key, **self.about}, indent=1)
        _write(self.work / JOURNAL, content)

    def publish(self, names: Iterable[str]) -> None:
        """Move complete files from the work folder to their final names, and end the work.

        Files of an older run that this one does not replace are removed: they would describe
        another map. A run that is killed in between is completed by the next one.
        """
        ready = sorted(names)
        _write(self.work / READY, json.dumps(ready))
        self._move(ready)
        self._put(self.work, self._aside())

    def _aside(self) -> Path:
        return self.path / f"{OLD}{uuid.uuid4().hex[:12]}"

    @staticmethod
    def _put(path: Path, aside: Path) -> None:
        """Take something away whole: what is half removed is not what it was, nor is it gone."""
        with suppress(FileNotFoundError):
            path.rename(aside)

    def _sweep(self) -> None:
        """Remove what was put aside, as far as late workers let us."""
        for path in self.path.glob(f"{OLD}*"):
            shutil.rmtree(path, ignore_errors=True)

    def _read_ready(self) -> list[str] | None:
        """Names of the files that are complete; None when there are none, or it is damaged.

        What is not understood must not decide which files are removed.
        """
        ready = _load(self.work / READY)
        known = isinstance(ready, list) and all(name in self.names for name in ready)
        return ready if ready and known else None

    def _move(self, ready: Collection[str]) -> None:
        for name in self.names:
            if name not in ready:
                (self.path / name).unlink(missing_ok=True)
            elif (self.work / name).exists():
                (self.work / name).replace(self.path / name)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        useless = self.complete or (kind is not None and not self._has_work())
        if useless:
            with suppress(OSError):
                self._put(self.work, self._aside())
        self._release()
        self._sweep()
        if useless:
            with suppress(OSError):
                self.path.rmdir()  # only if nothing else is in it

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.close()

    def _has_work(self) -> bool:
        blocks = self.work / "blocks"
        return blocks.is_dir() and any(blocks.iterdir())


def read_key(work: Path) -> str | None:
    """The key in a work folder's journal; None when there is none, or it cannot be understood."""
    key = read_journal(work).get("key")
    return key if isinstance(key, str) else None


def read_journal(work: Path) -> dict[str, Any]:
    """What a work folder's journal says; nothing when there is none, or it cannot be understood."""
    content = _load(work / JOURNAL)
    return content if isinstance(content, dict) else {}


def _load(path: Path) -> Any:
    """What a JSON file holds; None when there is none, or it cannot be understood."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def _write(path: Path, text: str) -> None:
    with whole(path) as part:
        part.write_text(text, encoding="utf-8")
