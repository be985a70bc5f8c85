"""The part of the plugin that needs no QGIS: finding the command, and running it."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geocamss.qgis import process
from geocamss.qgis.executable import clean_environment, find_executable
from geocamss.qgis.process import ProcessError, run

KEPT = ["PATH", "HOME", "LANG", "http_proxy", "AWS_PROFILE", "GDAL_HTTP_PROXY", "CUDA_HOME"]
DROPPED = ["PYTHONPATH", "PYTHONHOME", "GDAL_DATA", "GDAL_DRIVER_PATH", "PROJ_LIB", "PROJ_DATA"]
DROPPED += ["QT_PLUGIN_PATH", "QGIS_PREFIX_PATH", "CPL_ZIP_ENCODING", "OGR_SKIP"]


class Told:
    """Feedback that remembers, and is canceled when it has been told something."""

    def __init__(self, until: str = "") -> None:
        self.until = until
        self.canceled = False
        self.progress: list[float] = []
        self.words: list[str] = []
        self.warnings: list[str] = []

    def isCanceled(self) -> bool:
        return self.canceled

    def setProgress(self, progress: float) -> None:
        self.progress.append(progress)

    def pushConsoleInfo(self, info: str) -> None:
        self.words.append(info)
        self.canceled = self.canceled or info == self.until

    def pushWarning(self, warning: str) -> None:
        self.warnings.append(warning)


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


@given(st.dictionaries(st.sampled_from(KEPT + DROPPED), st.text(min_size=1)))
def test_only_what_is_qgis_s_own_is_kept_from_the_command(environment):
    clean = clean_environment(environment)
    kept = {name: value for name, value in environment.items() if name in KEPT}
    assert clean == {**kept, "PYTHONUTF8": "1"}


def command(folder: Path) -> Path:
    folder.mkdir(parents=True)
    file = folder / "geocamss"
    file.write_text("#!/bin/sh\n")
    file.chmod(0o755)
    return file


def test_the_chosen_command_wins_then_the_path_then_the_home(tmp_path):
    home, path, chosen = (
        command(tmp_path / name) for name in ("home/.local/bin", "bin", "somewhere else")
    )
    environment = {"HOME": str(tmp_path / "home"), "PATH": str(path.parent)}
    assert find_executable(str(chosen), environment) == str(chosen)
    assert find_executable("", environment) == str(path)
    path.unlink()
    assert find_executable("", environment) == str(home)
    home.chmod(0o644)
    assert find_executable("", environment) is None
    assert find_executable("", {}) is None
    assert find_executable(str(tmp_path / "absent"), environment) is None


def test_lines_become_progress_warnings_and_words():
    told = Told()
    code = """
import sys
say = lambda text: print(text, file=sys.stderr, flush=True)
say('{"stage": "map", "done": 0, "total": 8}')
say('{"stage": "map", "done": 4, "total": 8}')
say('warning: ein Fluß: quer')
say('{"stage": "map", "done": 8, "total": 8}')
say('{"stage": "polygons", "done": 1, "total": 1}')
say('{no progress}')
say('{"a": 1}')
print('water   12 %')
"""
    assert run(python(code), {"PYTHONUTF8": "1"}, told)
    assert told.progress == [0, 45, 90, 100]
    assert told.warnings == ["ein Fluß: quer"]
    assert set(told.words) == {"polygons", "water   12 %", "{no progress}", '{"a": 1}'}


def test_a_command_that_maps_nothing_goes_from_nothing_to_all():
    told = Told()
    lines = [f'{{"stage": "polygons", "done": {done}, "total": 4}}' for done in (0, 2, 4)]
    assert run(python(f"import sys; print(*{lines!r}, sep=chr(10), file=sys.stderr)"), {}, told)
    assert told.progress == [0, 50, 100]
    assert told.words == ["polygons"]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (
            "warning: so so\nerror: no band is red;\ngive --bands red=3",
            "no band is red;\ngive --bands",
        ),
        ("Usage: geocamss predict\n\nerror: no such option", "no such option"),
        ("unexpected error: KeyError: 3", "KeyError: 3"),
        ("Traceback\n  boom", "Traceback\n  boom"),
        ("", "code 2"),
    ],
)
def test_a_command_that_fails_says_why(said, reason):
    with pytest.raises(ProcessError) as caught:
        run(python(f"import sys; print({said!r}, file=sys.stderr); sys.exit(2)"), {}, Told())
    assert reason in str(caught.value)
    assert "so so" not in str(caught.value)


def test_a_command_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ProcessError, match="absent cannot be started: No such file"):
        run([str(tmp_path / "absent")], {}, Told())


def test_cancel_asks_the_command_to_stop(tmp_path):
    note = tmp_path / "note"
    code = f"""
import pathlib, signal, sys, time
def stop(*_):
    pathlib.Path({str(note)!r}).write_text("cleaned up")
    sys.exit(130)
signal.signal(signal.SIGTERM, stop)
print("begun", flush=True)
time.sleep(300)
"""
    assert not run(python(code), {}, Told(until="begun"))
    assert note.read_text() == "cleaned up"


def test_a_command_that_does_not_stop_is_ended(monkeypatch):
    monkeypatch.setattr(process, "GRACE_S", 0.5)
    code = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("begun", flush=True)
time.sleep(300)
"""
    start = time.monotonic()
    assert not run(python(code), {}, Told(until="begun"))
    assert time.monotonic() - start < 200


def test_the_command_waits_for_no_keys():
    assert run(python("import sys; assert sys.stdin.read() == ''"), {}, Told())
