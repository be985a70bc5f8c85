"""The progress bar: when it is drawn, and what it says."""

from __future__ import annotations

import io
import sys
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geocamss.cli.progress import pixel_rate, progress_bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_nothing_is_drawn_where_stderr_is_no_terminal(capsys) -> None:
    with progress_bar(quiet=False) as report:
        assert report is None
    assert capsys.readouterr().err == ""


def test_quiet_draws_nothing_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress_bar(quiet=True) as report:
        assert report is None
    assert terminal.getvalue() == ""


def test_a_terminal_sees_pixels_a_second_and_outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    with progress_bar(quiet=False) as report:
        assert report is not None
        for done in range(0, 1_000_001, 100_000):
            report(SimpleNamespace(stage="map", done=done, total=1_000_000))
        report(SimpleNamespace(stage="polygons", done=1, total=1))
    text = terminal.getvalue()
    assert "100 %" in text
    assert "px/s" in text
    assert "map, polygons" in text


@given(st.floats(0.5, 9e11))
def test_rates_have_at_most_three_digits_before_the_point(rate: float) -> None:
    number, unit = pixel_rate(rate).split()
    size = {"px/s": 1, "kpx/s": 1e3, "Mpx/s": 1e6, "Gpx/s": 1e9}[unit]
    assert float(number) <= 1000
    assert float(number) * size == pytest.approx(rate, abs=0.051 * size + 0.5 * (size == 1))
