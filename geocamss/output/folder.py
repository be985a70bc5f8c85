"""The output folder: who may write there, and when a file gets its final name."""

from __future__ import annotations

import json
import shutil
import stat
import uuid
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from geocamss.errors import OutputError
from geocamss.output.lock import take_lock
from geocamss.whole import settle, whole

__all__ = ["WORK", "OutputFolder", "read_journal", "read_key"]

WORK = ".geocamss"
"""Folder inside the output folder where everything waits until it is complete."""

JOURNAL = "journal.json"
LOCK = "lock"
READY = "ready.json"

BLOCKS = "blocks"

OLD = f"{WORK}-old-"
"""How names begin of what nobody wants any more, until it is removed."""

BESIDE = f"{WORK}-*"
"""Names of that, and of the folders where workers put a map's files together."""

NOTE_BYTES = 1 << 20
"""A journal, or a list of what is complete, takes less than this; what is larger is none."""

TRIES = 10
"""How often a work folder that another run takes away is made again."""


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

    wanted: Collection[str] | None = None
    """Names of what this run is to write, without which it is not complete; None for whatever the
    run before it wanted."""

    complete: bool = field(default=False, init=False)
    """True when an earlier run with this key had ended but for the last renames, and with all that
    is wanted."""

    replaced: str = field(default="", init=False)
    """What was thrown away that another run had left unfinished, in words; empty for nothing."""

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
        try:
            self._lock = self._reserve()
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

    def _reserve(self) -> TextIO:
        """Make the work folder, and lock it: the one that is there, not one that has just gone."""
        tries = 0
        while True:
            if not self.work.exists():
                self._refuse_existing()
            self.work.mkdir(parents=True, exist_ok=True)
            try:
                return take_lock(self.work / LOCK, self.path, "run")
            except FileNotFoundError:  # another run has published, and taken the folder away
                tries += 1
                if tries == TRIES:
                    raise

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
            if before == self.key and (self.wanted is None or set(ready) == set(self.wanted)):
                self.complete = True
                return
        self._refuse_existing()
        if before == self.key:
            self._tidy()
            return
        if before is not None:
            self.replaced = "the unfinished run of another scene, model or parameter"
        elif self._has_work():
            self.replaced = "an unfinished run whose journal is missing or damaged"
        self._begin()

    def _tidy(self) -> None:
        """Remove what a run that was killed had half made, which may be all the room there is.

        It is made anew from the blocks. Nothing is moved first, as that would take room.
        """
        for path in self.work.iterdir():
            if path.name not in (LOCK, JOURNAL, BLOCKS):
                _remove(path)
        for part in (self.work / BLOCKS).glob("*.part"):
            _remove(part)
        self._sweep(BESIDE)

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
        self._sweep(BESIDE)
        content = json.dumps({"key": self.key, **self.about}, indent=1)
        _write(self.work / JOURNAL, content)

    def publish(self, names: Iterable[str]) -> None:
        """Move complete files from the work folder to their final names, and end the work.

        Files of an older run that this one does not replace are removed: they would describe
        another map. A run that is killed in between is completed by the next one.
        """
        ready = sorted(names)
        for name in ready:
            settle(self.work / name)
        _write(self.work / READY, json.dumps(ready))
        self._move(ready)
        settle(self.path)
        self._put(self.work, self._aside())

    def _aside(self) -> Path:
        return self.path / f"{OLD}{uuid.uuid4().hex[:12]}"

    @staticmethod
    def _put(path: Path, aside: Path) -> None:
        """Take something away whole: what is half removed is not what it was, nor is it gone."""
        with suppress(FileNotFoundError):
            path.rename(aside)

    def _sweep(self, names: str = f"{OLD}*") -> None:
        """Remove what was put aside, as far as late workers let us."""
        for path in self.path.glob(names):
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
        blocks = self.work / BLOCKS
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
    """What a JSON file holds; None when there is none, or it cannot be understood.

    Whoever else may write there could have left anything under its name: a pipe, which would never
    end, or what fills the memory.
    """
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode) or found.st_size > NOTE_BYTES:
            return None
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)  # late workers may still be writing there
    else:
        path.unlink(missing_ok=True)


def _write(path: Path, text: str) -> None:
    with whole(path) as part:
        part.write_text(text, encoding="utf-8")
