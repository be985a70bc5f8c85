"""The output folder: nothing half-written looks finished, nothing finished is lost."""

from __future__ import annotations

import errno
import fcntl
import multiprocessing
import os
import shutil
from pathlib import Path

import pytest

from geocamss.errors import OutputError
from geocamss.output.folder import JOURNAL, READY, WORK, OutputFolder, read_journal
from geocamss.output.lock import take_lock

NAMES = ("map.tif", "map.json")


def folder(path, key="k1", **more):
    return OutputFolder(path, NAMES, key, {"scene": "s.tif"}, **more)


def fill(work, text="done"):
    for name in NAMES:
        (work / name).write_text(text)


def finish(path, text="done", **more):
    with folder(path, **more) as out:
        fill(out.work, text)
        out.publish(NAMES)


def names_in(path):
    return sorted(p.name for p in path.iterdir())


def test_files_get_their_names_only_when_published(tmp_path):
    out = tmp_path / "deep" / "out"
    with folder(out) as it:
        fill(it.work)
        assert names_in(out) == [".geocamss"]
        it.publish(NAMES)
    assert names_in(out) == sorted(NAMES)


def test_existing_outputs_are_refused_until_overwrite(tmp_path):
    finish(tmp_path / "out", "old")
    with (
        pytest.raises(OutputError, match=r"map\.tif, map\.json.*--overwrite"),
        folder(tmp_path / "out"),
    ):
        pass
    assert (tmp_path / "out" / "map.tif").read_text() == "old"
    finish(tmp_path / "out", "new", key="k2", overwrite=True)
    assert (tmp_path / "out" / "map.tif").read_text() == "new"


def test_an_output_that_is_not_made_again_goes_with_its_map(tmp_path):
    finish(tmp_path / "out", "old")
    with folder(tmp_path / "out", "k2", overwrite=True) as out:
        (out.work / "map.tif").write_text("new")
        out.publish(["map.tif"])
    assert names_in(tmp_path / "out") == ["map.tif"]


def test_a_failed_run_keeps_its_blocks_and_nothing_else_shows(tmp_path):
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt), folder(out) as it:  # noqa: PT012  (fails within)
        (it.work / "blocks").mkdir()
        (it.work / "blocks" / "a").write_text("finished")
        raise KeyboardInterrupt
    assert names_in(out) == [".geocamss"]
    with folder(out) as again:
        assert (again.work / "blocks" / "a").read_text() == "finished"
        assert not again.replaced
    with folder(out, "other key") as other:
        assert not (other.work / "blocks").exists()
        assert other.replaced


def test_a_run_that_fails_before_any_block_leaves_no_folder(tmp_path):
    with pytest.raises(ValueError, match="early"), folder(tmp_path / "out"):
        raise ValueError("early")
    assert not (tmp_path / "out").exists()


def test_a_run_killed_between_renames_is_completed(tmp_path, monkeypatch):
    out = tmp_path / "out"
    replace = type(out).replace
    moved = []

    def dies(self, target):
        if self.name in NAMES:
            if moved:
                raise SystemExit
            moved.append(self.name)
        return replace(self, target)

    with monkeypatch.context() as patch, pytest.raises(SystemExit):  # noqa: PT012  (dies within)
        patch.setattr(type(out), "replace", dies)
        with folder(out) as it:
            (it.work / "blocks").mkdir()
            (it.work / "blocks" / "a").write_text("finished")
            fill(it.work)
            it.publish(NAMES)
    assert names_in(out) == [".geocamss", "map.tif"]
    with folder(out) as again:
        assert again.complete
    assert names_in(out) == sorted(NAMES)


@pytest.mark.parametrize("removed", [[READY], [JOURNAL], ["blocks"], ["blocks", READY], ["lock"]])
def test_a_run_killed_while_it_cleans_up_has_ended(tmp_path, monkeypatch, removed):
    out = tmp_path / "out"
    rmtree = shutil.rmtree

    def dies(path, *_, **__):
        for name in removed:
            here = path / name
            rmtree(here) if here.is_dir() else here.unlink(missing_ok=True)
        raise SystemExit

    with (  # noqa: PT012  (dies within)
        monkeypatch.context() as patch,
        pytest.raises(SystemExit),
        folder(out) as it,
    ):
        (it.work / "blocks").mkdir()
        (it.work / "blocks" / "a").write_text("finished")
        fill(it.work)
        patch.setattr(shutil, "rmtree", dies)
        it.publish(NAMES)
    assert not (out / WORK).exists()
    assert [name for name in names_in(out) if name in NAMES] == sorted(NAMES)
    finish(out, "new", key="k2", overwrite=True)
    assert names_in(out) == sorted(NAMES)


def test_late_workers_of_the_run_before_are_in_nobodys_way(tmp_path, monkeypatch):
    """One takes its own folder away while the work folder is emptied, and one leaves it there."""
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt), folder(out) as it:  # noqa: PT012  (fails within)
        for name in ("blocks", "block-1", "block-2"):
            (it.work / name).mkdir()
            (it.work / name / "a.npz").write_text("old")
        raise KeyboardInterrupt
    iterdir = Path.iterdir

    def listed(self):
        names = list(iterdir(self))
        if self == out / WORK:
            shutil.rmtree(self / "block-1")
        return iter(names)

    monkeypatch.setattr(Path, "iterdir", listed)
    late = out / WORK / "block-2" / "a.npz"
    with folder(out, "k2") as it:
        monkeypatch.undo()
        (it.work / "blocks").mkdir()
        with pytest.raises(FileNotFoundError):
            late.replace(it.work / "blocks" / late.name)
        assert names_in(it.work) == ["blocks", JOURNAL, "lock"]
        assert names_in(out) == [WORK]


def _hold(path, ready, leave):
    with folder(path):
        ready.set()
        leave.wait(30)
        os._exit(9)


def test_one_run_at_a_time_and_a_dead_one_holds_nothing(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready, leave = context.Event(), context.Event()
    process = context.Process(target=_hold, args=(tmp_path / "out", ready, leave))
    process.start()
    assert ready.wait(30)
    with pytest.raises(OutputError, match=f"process {process.pid}"), folder(tmp_path / "out"):
        pass
    leave.set()
    process.join()
    finish(tmp_path / "out")


def test_a_file_system_without_locks_is_named(tmp_path, monkeypatch):
    def unknown(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", unknown)
    with pytest.raises(OutputError, match="has no locks"), folder(tmp_path / "out"):
        pass


def test_a_file_or_a_locked_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="is a file"), folder(tmp_path / "file"):
        pass
    with pytest.raises(OutputError, match="cannot write into"), folder(tmp_path / "file" / "out"):
        pass


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"key": 3}', '{"key": "k0"}', "\x00\xff"])
def test_a_journal_of_any_content_means_starting_over(tmp_path, text):
    out = tmp_path / "out"
    (out / ".geocamss" / "blocks").mkdir(parents=True)
    (out / ".geocamss" / "blocks" / "a").write_text("of another run")
    (out / ".geocamss" / "journal.json").write_text(text)
    with folder(out) as it:
        assert not (it.work / "blocks").exists()
        assert "journal" in it.replaced or '"key": "k0"' in text


def test_only_what_is_thrown_away_is_said(tmp_path):
    (tmp_path / "out" / WORK).mkdir(parents=True)
    with folder(tmp_path / "out") as it:
        assert not it.replaced


@pytest.mark.parametrize("name", [JOURNAL, READY])
@pytest.mark.parametrize("kind", ["pipe", "large", "folder"])
def test_what_is_no_journal_is_not_read(tmp_path, name, kind):
    """A pipe that nobody writes to would be read for ever."""
    work = tmp_path / "out" / WORK
    work.mkdir(parents=True)
    if kind == "pipe":
        os.mkfifo(work / name)
    elif kind == "folder":
        (work / name).mkdir()
    else:
        (work / name).write_text('{"key": "k1", "more": "' + "x" * (1 << 20) + '"}')
    assert read_journal(work) == {}
    with folder(tmp_path / "out") as it:
        assert read_journal(it.work)["key"] == "k1"
        assert not it.complete


def test_a_run_taken_up_has_the_room_of_what_was_half_made(tmp_path):
    """What a killed run leaves but its blocks is made anew, and would be in its own way."""
    work = tmp_path / "out" / WORK
    with pytest.raises(KeyboardInterrupt), folder(tmp_path / "out") as it:  # noqa: PT012  (fails within)
        (it.work / "blocks").mkdir()
        (it.work / "blocks" / "a.npz").write_text("finished")
        (it.work / "blocks" / "b.part").write_text("half")
        (it.work / "map.tif").write_text("whole, but not complete")
        (it.work / "map.strips.tif").write_text("plain")
        (it.work / "block-1").mkdir()
        (it.work / "block-1" / "b.npz").write_text("of a worker")
        (it.work / "gone").symlink_to(tmp_path / "elsewhere")
        raise KeyboardInterrupt
    (work / READY).write_text("damaged")
    (tmp_path / "out" / ".geocamss-x").mkdir()
    (tmp_path / "out" / ".geocamss-x" / "map.tif").write_text("of a worker that put it together")
    with folder(tmp_path / "out") as again:
        assert names_in(tmp_path / "out") == [WORK]
        assert not again.replaced
        assert not again.complete
        assert names_in(work) == ["blocks", JOURNAL, "lock"]
        assert names_in(work / "blocks") == ["a.npz"]


def test_a_run_that_wants_other_outputs_is_not_complete(tmp_path):
    """The run before was killed between the last renames, and had made one file of two."""
    out = tmp_path / "out"

    def killed():
        work = out / WORK
        (work / "blocks").mkdir(parents=True)
        (work / "blocks" / "a.npz").write_text("finished")
        (work / "map.tif").write_text("made")
        (work / JOURNAL).write_text('{"key": "k1"}')
        (work / READY).write_text('["map.tif"]')

    killed()
    with (
        pytest.raises(OutputError, match=r"holds outputs already: map\.tif"),
        folder(out, wanted=NAMES),
    ):
        pass
    assert (out / "map.tif").read_text() == "made"
    with folder(out, wanted=["map.tif"]) as same:
        assert same.complete
    assert names_in(out) == ["map.tif"]
    killed()
    with folder(out, wanted=NAMES, overwrite=True) as more:
        assert not more.complete
        assert not more.replaced
        assert names_in(more.work / "blocks") == ["a.npz"]
        fill(more.work, "again")
        more.publish(NAMES)
    assert [(out / name).read_text() for name in names_in(out)] == ["again", "again"]


def _renamed_once(monkeypatch, work, aside):
    """Another run publishes between the moment a lock is opened and that it is got."""
    flock = fcntl.flock

    def late(handle, how):
        if not aside.exists():
            work.rename(aside)
        flock(handle, how)

    monkeypatch.setattr(fcntl, "flock", late)


def test_a_lock_that_has_gone_protects_nothing(tmp_path, monkeypatch):
    """The work folder is another one by the time it is locked, and nobody else may lock that."""
    out, aside = tmp_path / "out", tmp_path / "old"
    _renamed_once(monkeypatch, out / WORK, aside)
    with folder(out) as it:
        assert aside.exists()
        with pytest.raises(OutputError, match="another run"):
            take_lock(it.work / "lock", out, "run")


def test_a_folder_that_was_filled_while_its_lock_was_awaited_is_refused(tmp_path, monkeypatch):
    out, aside = tmp_path / "out", tmp_path / "old"
    _renamed_once(monkeypatch, out / WORK, aside)
    rename = Path.rename

    def publishing(self, target):
        if target == aside:
            (out / "map.tif").write_text("of the other run")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", publishing)
    with pytest.raises(OutputError, match="holds outputs already"), folder(out):
        pass
    assert names_in(out) == ["map.tif"]


def test_nothing_gets_its_name_before_it_is_on_the_disk(tmp_path, monkeypatch):
    """After a power cut a name must not stand for an empty file."""
    settled, fsync, replace = set(), os.fsync, Path.replace

    def noted(handle):
        fsync(handle)
        settled.add(os.fstat(handle).st_ino)

    def checked(self, target):
        assert self.stat().st_ino in settled, self
        return replace(self, target)

    with folder(tmp_path / "out") as it:
        fill(it.work)
        monkeypatch.setattr(os, "fsync", noted)
        monkeypatch.setattr(Path, "replace", checked)
        it.publish(NAMES)
        assert (tmp_path / "out").stat().st_ino in settled
    assert names_in(tmp_path / "out") == sorted(NAMES)


@pytest.mark.parametrize("damaged", ["", "5", "[]", '["../../x"]', '["map.tif", {}]', '{"map.tif'])
@pytest.mark.parametrize("key", ["k1", "k2"])
def test_a_damaged_list_of_what_is_complete_removes_no_map(tmp_path, damaged, key):
    finish(tmp_path / "out", "old")
    work = tmp_path / "out" / WORK
    work.mkdir()
    (work / READY).write_text(damaged)
    (work / JOURNAL).write_text('{"key": "k1"}')
    with pytest.raises(OutputError, match="--overwrite"), folder(tmp_path / "out", key):
        pass
    assert (tmp_path / "out" / "map.tif").read_text() == "old"
    finish(tmp_path / "out", "new", key=key, overwrite=True)
    assert names_in(tmp_path / "out") == sorted(NAMES)
    assert (tmp_path / "out" / "map.tif").read_text() == "new"
