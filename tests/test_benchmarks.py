"""The programs that measure run; what they find is no matter of tests."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax
from scipy.stats import mannwhitneyu

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


def report(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    options = ["--quick", "--folder", str(folder), "--page", str(folder / "results.md")]
    command = [sys.executable, "-m", "benchmarks.report", *options, *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_part_of_the_report_runs_once_and_stands_on_the_page(shared_data, tmp_path):
    first = report(tmp_path, "--data", str(shared_data))
    assert first.returncode == 0, first.stdout + first.stderr
    parts = importlib.import_module("benchmarks.report").PARTS
    kept = {part.name: tmp_path / f"{part.name}.json" for part in parts}
    for name, file in kept.items():
        content = json.loads(file.read_text())
        assert content["part"] == name
        assert content["seconds"] > 0
        assert content["machine"]["cores"] > 0
        assert "torch" in content["versions"]
        assert str(tmp_path) not in content["command"]
    page = (tmp_path / "results.md").read_text()
    assert page.count("\n## ") == len(parts)
    assert "Not measured yet" not in page
    assert (tmp_path / "reliability.png").is_file()
    times = {name: file.stat().st_mtime_ns for name, file in kept.items()}
    again = report(tmp_path, "--data", str(shared_data))
    assert again.returncode == 0
    assert again.stdout.count("is there already") == len(parts)
    assert {name: file.stat().st_mtime_ns for name, file in kept.items()} == times
    assert (tmp_path / "results.md").read_text() == page


KEPT = {
    "result": {
        "device": "a GPU", "format": "bfloat16", "size": "base", "side": 768, "peak": 1.0,
        "rows": [
            {"head": "flow", "sampler": "euler", "steps": 1, "batch": 4, "per_second": 12.345,
             "tera_per_image": 0.5, "share": 0.25, "gigabytes": None},
        ],
    },
    "command": "python -m benchmarks.base", "seconds": 90, "when": "2026-01-02",
    "machine": {"cores": 2, "processor": "a processor"}, "versions": {"torch": "2"},
}  # fmt: skip


def test_a_page_keeps_what_people_wrote_around_the_numbers(tmp_path):
    page = importlib.import_module("benchmarks.page")
    file = tmp_path / "results.md"
    file.write_text(f"# Mine\n\n{page.BEGIN}\nold\n{page.END}\n\nWhat was tried.\n")
    for _ in range(2):
        page.render({"base": KEPT}, {"engine": "python -m benchmarks.engine"}, file)
    text = file.read_text()
    assert text.startswith("# Mine\n\n<!--")
    assert text.endswith("-->\n\nWhat was tried.\n")
    assert "old" not in text
    assert "| flow | euler | 1 | 4 | 12.35 | 0.50 | 25.0 | - |" in text
    assert "1.5 minutes on 2 cores" in text
    assert "Not measured yet: `python -m benchmarks.engine`." in text
    file.write_text("# No marks\n")
    with pytest.raises(ValueError, match="between which the numbers go"):
        page.render({}, {}, file)


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=60))
def test_error_detection_is_the_rank_statistic_of_mann_and_whitney(pairs):
    doubt = np.array([value for value, _ in pairs], float)
    wrong = np.array([flag for _, flag in pairs])
    found = importlib.import_module("benchmarks.uncertainty").auroc(doubt, wrong)
    if wrong.all() or not wrong.any():
        assert np.isnan(found)
    else:
        expected = mannwhitneyu(doubt[wrong], doubt[~wrong]).statistic
        assert found == pytest.approx(expected / (wrong.sum() * (~wrong).sum()))


def test_a_temperature_is_fitted_to_the_other_half():
    uncertainty = importlib.import_module("benchmarks.uncertainty")
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (40_000, 3))
    # The truth of the left halves follows the logits, that of the right ones logits half as large.
    right_half = np.arange(len(logits)) % 2 == 1
    chances = softmax(logits / np.where(right_half, 2, 1)[:, None], axis=1)
    truth = (rng.random((len(logits), 1)) > chances.cumsum(1)).sum(1)
    said = softmax(logits, axis=1)
    nothing = np.zeros(len(logits), np.int64)
    given_ = uncertainty.Said(said, said, nothing, truth, nothing, right_half)
    ways, (of_left, of_right) = uncertainty.tempered(given_, 1.0)
    assert of_left == pytest.approx(1, abs=0.05)
    assert of_right == pytest.approx(2, abs=0.1)
    fitted = ways["fitted to the other half"]
    np.testing.assert_allclose(
        fitted[right_half], softmax(logits[right_half] / of_left, axis=1), atol=1e-6
    )
    error = uncertainty.reliability(said[~right_half], truth[~right_half]).ece
    assert error < 0.02 < uncertainty.reliability(said[right_half], truth[right_half]).ece
