"""The programs that measure run; what they find is no matter of tests."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax
from scipy.stats import mannwhitneyu

from benchmarks.report import PARTS, command
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


class ParsedError(Exception):
    """A call was understood."""


def calls() -> list[tuple[str, ...]]:
    """How pages and report call the programs: name and options."""
    pages = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md"))
    found = re.findall(r"`python -m benchmarks\.(\w+ ?[^`]*)`", pages)
    for quick in (False, True):
        options = Namespace(folder=Path("f"), page=Path("p"), data=Path("d"), quick=quick)
        words = (command(part, options, ["--json", "x"]) for part in PARTS)
        found += [" ".join(each[2:]).removeprefix("benchmarks.") for each in words]
    return sorted({tuple(call.split()) for call in found})


@pytest.mark.parametrize("call", calls(), ids=" ".join)
def test_every_call_of_the_pages_and_the_report_is_understood(call, monkeypatch):
    parse = ArgumentParser.parse_args

    def only_parse(*words, **named):
        raise ParsedError(parse(*words, **named))

    monkeypatch.setattr(ArgumentParser, "parse_args", only_parse)
    monkeypatch.setattr("sys.argv", list(call))
    with pytest.raises(ParsedError):
        importlib.import_module(f"benchmarks.{call[0]}").main()


def report(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    options = ["--quick", "--folder", str(folder), "--page", str(folder / "results.md")]
    call = [sys.executable, "-m", "benchmarks.report", *options, *words]
    return subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_part_of_the_report_runs_once_and_stands_on_the_page(shared_data, tmp_path):
    first = report(tmp_path, "--data", str(shared_data))
    assert first.returncode == 0, first.stdout + first.stderr
    kept = {part.name: tmp_path / f"{part.name}.json" for part in PARTS}
    for name, file in kept.items():
        content = json.loads(file.read_text())
        assert content["part"] == name
        assert content["seconds"] > 0
        assert content["machine"]["cores"] > 0
        assert "torch" in content["versions"]
        assert str(tmp_path) not in content["command"]
    page = (tmp_path / "results.md").read_text()
    assert page.count("\n## ") == len(PARTS)
    assert "Not measured yet" not in page
    assert (tmp_path / "reliability.png").is_file()
    times = {name: file.stat().st_mtime_ns for name, file in kept.items()}
    again = report(tmp_path, "--data", str(shared_data))
    assert again.returncode == 0
    assert again.stdout.count("is there already") == len(PARTS)
    assert {name: file.stat().st_mtime_ns for name, file in kept.items()} == times
    assert (tmp_path / "results.md").read_text() == page


KEPT = {
    "result": {
        "device": "a GPU", "format": "bfloat16", "size": "base", "side": 768, "peak": 1.0,
        "paper": 0.63,
        "rows": [
            {"head": "flow", "sampler": "euler", "steps": 1, "batch": 4, "per_second": 12.345,
             "tera_per_image": 0.5, "share": 0.25, "gigabytes": None},
        ],
    },
    "command": "python -m benchmarks.base", "seconds": 90, "when": "2026-01-02",
    "machine": {"cores": 2, "processor": "a processor"}, "versions": {"torch": "2"},
}  # fmt: skip


def run(miou, precision):
    return {"miou": miou, "iou": [miou, float("nan")], "precision": precision, "accuracy": 0.5}


COMPARED = {
    "minutes": 92, "seeds": [0, 1], "classes": ["land", "snow"],
    "networks": {
        "U-Net": {"parameters": 2_750_000, "mpx_per_second": 1.0},
        "shipped": {"parameters": 2_830_000, "mpx_per_second": 2.0},
    },
    "held out": {
        "U-Net": [run(0.5, [0.25, 0.75]), run(0.6, [0.75, 0.75])],
        "shipped": [run(0.54, [0.25, float("nan")])],
    },
    "left under corruption": {
        "hue 15": {"U-Net": [0.9, 1.0], "shipped": [0.8, 1.0]},
        "motion-blur 11": {"U-Net": [0.94, 1.0], "shipped": [0.96, 1.0]},
        "motion-blur 21": {"U-Net": [0.2, 1.0], "shipped": [0.3, 1.0]},
    },
}  # fmt: skip


def test_a_page_says_who_is_ahead_and_which_goals_are_reached(tmp_path):
    page, file = importlib.import_module("benchmarks.page"), tmp_path / "results.md"
    page.render({"compare": KEPT | {"result": COMPARED}}, {}, file)
    text = file.read_text()
    assert (
        "| U-Net | 2.75 M | 1.00 | 55.0 ± 5.0 | - | **55.0 ± 5.0** | 62.5 ± 12.5 | 50.0 ± 0.0 |"
        in text
    )
    assert "| shipped | 2.83 M | 2.00 | 54.0 | - | **54.0** | 25.0 | 50.0 |" in text
    assert "shipped scores -1.0 points of mIoU against U-Net" in text
    assert "| motion-blur | 21 | 20.0 / 100.0 | 30.0 / 100.0 |  |" in text
    assert "Goals reached, of 2: U-Net 1, shipped 1." in text
    assert "than of any other network, of 3: shipped 2." in text


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


def test_a_training_that_was_kept_is_not_run_again_unless_it_would_be_another(tmp_path):
    shuffling = importlib.import_module("benchmarks.shuffling")
    runs = []

    def find():
        runs.append("run")
        return [(10, 0.5)], 0.25

    file = tmp_path / "folder" / "run.json"
    for steps, count in ((1, 1), (1, 1), (2, 2), (2, 2)):
        curve, reverse = shuffling.kept(file, {"steps": steps}, find)
        assert ([tuple(point) for point in curve], reverse) == ([(10, 0.5)], 0.25)
        assert len(runs) == count
    shuffling.kept(None, {"steps": 2}, find)
    assert len(runs) == 3
