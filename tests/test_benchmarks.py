"""The programs that measure can be started; what they print is no matter of tests."""

from __future__ import annotations

import importlib

import pytest

from tests.conftest import ROOT

PROGRAMS = sorted(
    path.stem
    for path in (ROOT / "benchmarks").glob("*.py")
    if "ArgumentParser" in path.read_text(encoding="utf-8")
)


def test_there_are_programs():
    assert {"engine", "compare", "shuffling"} <= set(PROGRAMS)


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_says_how_it_is_called(name, monkeypatch, capsys):
    program = importlib.import_module(f"benchmarks.{name}")
    monkeypatch.setattr("sys.argv", [name, "--help"])
    with pytest.raises(SystemExit) as end:
        program.main()
    assert end.value.code == 0
    assert "usage:" in capsys.readouterr().out
