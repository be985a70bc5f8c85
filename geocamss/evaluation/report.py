"""Report: an evaluation as JSON and as figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from geocamss.errors import OutputError
from geocamss.evaluation.evaluation import Evaluation
from geocamss.evaluation.scores import scores

__all__ = ["draw", "write_json"]

COLUMNS = 4
"""Panels side by side in the figure of corruptions."""


def write_json(found: Evaluation, path: Path) -> None:
    """Write all numbers.

    Raises:
        OutputError: the file cannot be written.
    """
    text = json.dumps(found.to_dict(), indent=2, allow_nan=False) + "\n"
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}") from error


def draw(found: Evaluation, folder: Path) -> list[Path]:
    """Draw ``confusion.png``, ``reliability.png``, and ``corruptions.png`` if any were tried.

    Raises:
        OutputError: a file cannot be written.
        ModuleNotFoundError: matplotlib is not there.
    """
    from matplotlib.figure import Figure

    figures = {"confusion.png": _confusion, "reliability.png": _reliability}
    if found.spoiled:
        figures["corruptions.png"] = _corruptions
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, fill in figures.items():
            figure = Figure(layout="constrained")
            fill(found, figure)
            figure.savefig(folder / name, dpi=120)
            written.append(folder / name)
    except OSError as error:
        raise OutputError(f"{folder}: figures cannot be written: {error}") from error
    return written


def _confusion(found: Evaluation, figure: Any) -> None:
    names = found.classes.names
    matrix = found.tally.confusion.astype(float)
    labeled = matrix.sum(1, keepdims=True)
    shares = 100 * matrix[:, :-1] / labeled.clip(min=1)
    size = 2.5 + 0.6 * len(names)
    figure.set_size_inches(size + 1, size)
    axes = figure.add_subplot()
    axes.imshow(shares, vmin=0, vmax=100, cmap="Blues")
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("mapped")
    axes.set_ylabel("labeled")
    axes.set_title("percent of each labeled class")
    for row, line in enumerate(shares):
        for col, share in enumerate(line):
            color = "white" if share > 60 else "black"
            axes.text(col, row, f"{share:.0f}", ha="center", va="center", color=color)


def _reliability(found: Evaluation, figure: Any) -> None:
    bins = found.calibration.bins
    figure.set_size_inches(5, 5)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    above.plot([0, 1], [0, 1], color="gray", linestyle=":")
    above.plot([b.confidence for b in bins], [b.accuracy for b in bins], marker="o")
    above.set_xlim(0, 1)
    above.set_ylim(0, 1)
    above.set_ylabel("accuracy")
    above.set_title(f"expected calibration error {100 * found.calibration.ece:.1f} %")
    total = sum(b.pixels for b in bins)
    middles = [(b.low + b.high) / 2 for b in bins]
    below.bar(middles, [b.pixels / max(total, 1) for b in bins], width=0.045)
    below.set_xlabel("confidence")
    below.set_ylabel("share of pixels")


def _corruptions(found: Evaluation, figure: Any) -> None:
    names = list(dict.fromkeys(item.corruption for item in found.spoiled))
    rows = -(-len(names) // COLUMNS)
    figure.set_size_inches(3 * COLUMNS, 2.5 * rows)
    panels = figure.subplots(rows, COLUMNS, sharey=True, squeeze=False).flat
    for name, panel in zip(names, panels, strict=False):  # in this order no panel is lost
        items = [item for item in found.spoiled if item.corruption == name]
        strengths = [item.strength for item in items]
        panel.axhline(found.scores.miou, color="gray", linestyle=":")
        under = [scores(item.tally.confusion) for item in items]
        panel.plot(strengths, [score.miou for score in under], marker="o", label="mIoU")
        panel.plot(
            strengths,
            [score.mean_precision for score in under],
            marker=".",
            linestyle="--",
            label="mean precision",
        )
        panel.set_title(name)
        panel.set_xlabel(items[0].unit)
        panel.set_ylim(0, 1)
    for panel in list(panels):
        panel.set_axis_off()
    figure.axes[0].legend()
