"""Scores, for people: by class, by confidence, by corruption."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from geocamss.cli.tables import plain_console, plain_table

if TYPE_CHECKING:
    from rich.console import Console

    from geocamss.evaluation.evaluation import Evaluation

__all__ = ["percent", "print_evaluation"]


def percent(share: float) -> str:
    """A share of one in percent, with one digit behind the point; a dash where there is none."""
    return "-" if math.isnan(share) else f"{100 * share:.1f}"


def print_evaluation(found: Evaluation) -> None:
    """Print all scores."""
    console = plain_console()
    pixels = int(found.tally.confusion.sum())
    scenes = len(found.parts)
    console.print(
        f"{found.card.name} {found.card.version}: {pixels:,} labeled pixels of {scenes} "
        f"scene{'s' if scenes > 1 else ''}; scores in percent\n"
    )
    _print_classes(found, console)
    _print_confusion(found, console)
    _print_doubt(found, console)
    if found.spoiled:
        _print_spoiled(found, console)


def _print_classes(found: Evaluation, console: Console) -> None:
    columns = ("IoU", "F1", "precision", "recall", "boundary F1")
    table = plain_table("class", *columns, right=columns)
    scores, edges = found.scores, found.boundary
    rows = zip(scores.iou, scores.f1, scores.precision, scores.recall, edges.f1, strict=True)
    for name, row in zip(found.classes.names, rows, strict=True):
        table.add_row(name, *(percent(value) for value in row))
    from geocamss.evaluation.scores import mean

    means = (scores.miou, scores.mean_f1, scores.mean_precision, mean(scores.recall))
    table.add_row("mean", *(percent(value) for value in (*means, edges.mean_f1)))
    console.print(table)
    console.print(
        f"\npixel accuracy {percent(scores.accuracy)}; boundaries agree within "
        f"{edges.tolerance} pixel{'s' if edges.tolerance != 1 else ''}\n"
    )


def _print_confusion(found: Evaluation, console: Console) -> None:
    """Shares of each labeled class, by what they were mapped as."""
    matrix = found.tally.confusion
    names = found.classes.names
    columns = [*names, "nothing"] if matrix[:, -1].any() else list(names)
    table = plain_table("labeled \\ mapped", *columns, right=tuple(columns))
    for k, name in enumerate(names):
        total = int(matrix[k].sum())
        cells = matrix[k][: len(columns)].tolist()
        table.add_row(name, *(percent(cell / total if total else math.nan) for cell in cells))
    console.print(table)
    console.print()


def _print_doubt(found: Evaluation, console: Console) -> None:
    columns = ("pixels", "mean confidence", "accuracy")
    table = plain_table("confidence", *columns, right=columns)
    for part in found.calibration.bins:
        table.add_row(
            f"{100 * part.low:.0f} - {100 * part.high:.0f}",
            f"{part.pixels:,}",
            percent(part.confidence),
            percent(part.accuracy),
        )
    console.print(table)
    console.print(f"\nexpected calibration error {percent(found.calibration.ece)}")
    known = [(what, value) for what, value in found.detection.items() if not math.isnan(value)]
    for what, value in known:
        console.print(f"AUROC of finding errors by {what}: {value:.3f}")


def _print_spoiled(found: Evaluation, console: Console) -> None:
    from geocamss.evaluation.boundary import boundary_scores
    from geocamss.evaluation.scores import scores

    # Fits into 80 columns; the figure and the JSON tell the units.
    columns = ("strength", "mIoU", "retention", "precision", "accuracy", "boundary")
    table = plain_table("corruption", *columns, right=columns)
    for item in found.spoiled:
        under = scores(item.tally.confusion)
        edges = boundary_scores(item.tally.boundary, item.tally.tolerance)
        table.add_row(
            item.corruption,
            f"{item.strength:g}",
            percent(under.miou),
            percent(found.retention(item)),
            percent(under.mean_precision),
            percent(under.accuracy),
            percent(edges.mean_f1),
        )
    console.print()
    console.print(table)
