"""Progress: when it is told, and what it says."""

from __future__ import annotations

import io
import json
import re
import sys
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geocamss.cli.progress import (
    BatchLog,
    Pace,
    batch_progress,
    pixel_rate,
    progress_bar,
    told_progress,
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """One in the place of stderr; no fixture, for pytest takes stderr back before a test begins."""
    found = Terminal()
    monkeypatch.setattr(sys, "stderr", found)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    return found


def test_nothing_is_drawn_where_stderr_is_no_terminal(capsys) -> None:
    with progress_bar(quiet=False) as report:
        assert report is None
    assert capsys.readouterr().err == ""


def test_quiet_draws_nothing_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = wide_terminal(monkeypatch)
    with progress_bar(quiet=True) as report:
        assert report is None
    assert terminal.getvalue() == ""


def test_a_terminal_sees_pixels_a_second_and_outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = wide_terminal(monkeypatch)
    with progress_bar(quiet=False) as report:
        assert report is not None
        for done in range(0, 1_000_001, 100_000):
            report(SimpleNamespace(stage="map", done=done, total=1_000_000))
        report(SimpleNamespace(stage="polygons", done=1, total=1))
    text = terminal.getvalue()
    assert "100 %" in text
    assert "px/s" in text
    assert "map, polygons" in text


@given(
    wait=st.floats(0.01, 1e4),
    gaps=st.lists(st.floats(0, 1e-3), min_size=1, max_size=20),
    pixels=st.integers(1, 10**9),
)
def test_the_rate_counts_the_wait_for_the_first_report(wait, gaps, pixels) -> None:
    """Reports of one batch come all at once, long after it has begun."""
    times = iter([0.0, *(wait + sum(gaps[: i + 1]) for i in range(len(gaps)))])
    pace = Pace(lambda: next(times))
    assert pace.add(0) is None
    for number in range(len(gaps)):
        rate = pace.add((number + 1) * pixels)
    assert rate == pytest.approx(len(gaps) * pixels / (wait + sum(gaps)))


def test_the_rate_begins_anew_with_the_next_scene() -> None:
    times = iter([0.0, 10.0, 1000.0, 1001.0])
    pace = Pace(lambda: next(times))
    assert [pace.add(done) for done in (0, 50, 0, 70)] == [None, 5.0, None, 70.0]


@given(st.floats(0.5, 9e11))
def test_rates_have_at_most_three_digits_before_the_point(rate: float) -> None:
    number, unit = pixel_rate(rate).split()
    size = {"px/s": 1, "kpx/s": 1e3, "Mpx/s": 1e6, "Gpx/s": 1e9}[unit]
    assert float(number) <= 1000
    assert float(number) * size == pytest.approx(rate, abs=0.051 * size + 0.5 * (size == 1))


@given(st.lists(st.integers(0, 10_000), max_size=3000).map(sorted), st.integers(1, 10_000))
def test_lines_of_json_tell_each_stage_to_its_end(steps: list[int], total: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        stderr = io.StringIO()
        patch.setattr(sys, "stderr", stderr)
        with told_progress("json", quiet=False) as report:
            assert report is not None
            for done in [*[step for step in steps if step < total], total]:
                report(SimpleNamespace(stage="map", done=done, total=total))
            report(SimpleNamespace(stage="polygons", done=1, total=1))
    lines = [json.loads(line) for line in stderr.getvalue().splitlines()]
    assert lines[-2:] == [
        {"stage": "map", "done": total, "total": total},
        {"stage": "polygons", "done": 1, "total": 1},
    ]
    told = [line["done"] for line in lines[:-1]]
    assert told == sorted(set(told))
    assert len(told) <= 1001


@pytest.mark.parametrize("form", ["bar", "json"])
def test_quiet_tells_nothing(form, capsys) -> None:
    with told_progress(form, quiet=True) as report:
        assert report is None
    assert capsys.readouterr().err == ""


def test_a_terminal_sees_a_job_by_scenes_and_by_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = wide_terminal(monkeypatch)
    with batch_progress(quiet=False) as report:
        for done in range(1201):
            counts = {"blocks": 1200, "blocks_done": done, "scenes": 7, "ended": done // 200}
            report(SimpleNamespace(failed=1, **counts))
    text = terminal.getvalue()
    assert re.search(r"scenes, 1 failed .*6 of 7", text)
    assert re.search(r"blocks .*1,200 of 1,200", text)


def test_a_log_tells_blocks_once_a_minute_and_each_scene_that_ends(capsys) -> None:
    now = 0.0
    log = BatchLog(lambda: now)
    scene = SimpleNamespace(id="north", state="failed", reason="no red")
    for second in range(200):
        now = float(second)
        ending = scene if second == 150 else None
        counts = {"blocks": 2000, "blocks_done": second, "scenes": 7, "ended": second // 150}
        log(SimpleNamespace(ending=ending, **counts))
    assert capsys.readouterr().err.splitlines() == [
        "60 of 2,000 blocks known so far, 0 of 7 scenes",
        "120 of 2,000 blocks known so far, 0 of 7 scenes",
        "1 of 7: north failed: no red",
        "180 of 2,000 blocks known so far, 1 of 7 scenes",
    ]
