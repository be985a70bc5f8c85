"""The output folder: nothing half-written looks finished, nothing finished is lost."""

from __future__ import annotations

import errno
import multiprocessing
import os
import shutil
from pathlib import Path

import pytest

from geocamss.errors import OutputError
from geocamss.output.folder import JOURNAL, READY, WORK, OutputFolder

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
