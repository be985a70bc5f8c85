"""Evaluation: what was counted, and the scores that follow."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from geocamss.classes import ClassScheme
from geocamss.evaluation.boundary import BoundaryScores, boundary_scores
from geocamss.evaluation.reliability import Calibration, auroc, calibration
from geocamss.evaluation.scores import Scores, mean, scores
from geocamss.evaluation.tally import Tally
from geocamss.modelcard import ModelCard

__all__ = ["Evaluation", "Part", "Spoiled"]


@dataclass(frozen=True)
class Part:
    """What was counted of one scene."""

    scene: str
    """The scene."""

    labels: str
    """Its labels."""

    tally: Tally
    """The counts."""


@dataclass(frozen=True)
class Spoiled:
    """What was counted of all scenes under a corruption."""

    corruption: str
    """Its name."""

    unit: str
    """What its strength counts."""

    strength: float
    """How much of it."""

    tally: Tally
    """The counts."""


@dataclass(frozen=True)
class Evaluation:
    """How good a model's maps are; all scores 0 to 1, NaN where there is nothing to score."""

    card: ModelCard
    """Of the model."""

    parts: tuple[Part, ...]
    """By scene."""

    spoiled: tuple[Spoiled, ...] = ()
    """By corruption and strength."""

    @property
    def classes(self) -> ClassScheme:
        """The classes, by channel."""
        return self.card.classes

    @cached_property
    def tally(self) -> Tally:
        """The counts of all scenes."""
        first, *others = (part.tally for part in self.parts)
        for other in others:
            first += other
        return first

    @cached_property
    def scores(self) -> Scores:
        """IoU, F1, precision and recall, by class and in the mean."""
        return scores(self.tally.confusion)

    @cached_property
    def boundary(self) -> BoundaryScores:
        """Boundary F1, by class and in the mean."""
        return boundary_scores(self.tally.boundary, self.tally.tolerance)

    @cached_property
    def calibration(self) -> Calibration:
        """Confidence against what came true."""
        return calibration(self.tally.confidence)

    @cached_property
    def detection(self) -> dict[str, float]:
        """AUROC of finding the map's errors by doubt of a kind; 0.5 is guessing."""
        found = {"1 - confidence": auroc(self.tally.confidence[100::-1])}
        if self.tally.doubt is not None:
            found["entropy"], found["mutual information"] = (
                auroc(counts) for counts in self.tally.doubt
            )
        return found

    def retention(self, spoiled: Spoiled) -> float:
        """The share of the clean mIoU that is left under a corruption; NaN where there was none."""
        clean = self.scores.miou
        return scores(spoiled.tally.confusion).miou / clean if clean else math.nan

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; None where there is nothing to score."""
        found = self.scores
        names = self.classes.names
        by_class = {
            name: {
                "iou": found.iou[k],
                "f1": found.f1[k],
                "precision": found.precision[k],
                "recall": found.recall[k],
                "boundary_f1": self.boundary.f1[k],
                "labeled": int(self.tally.confusion[k].sum()),
                "mapped": int(self.tally.confusion[:, k].sum()),
            }
            for k, name in enumerate(names)
        }
        plain: dict[str, Any] = _plain(
            {
                "model": {"name": self.card.name, "version": self.card.version},
                "scenes": [_part(part) for part in self.parts],
                "pixels": int(self.tally.confusion.sum()),
                **_summary(self.tally),
                "classes": by_class,
                "confusion": {
                    "labels": list(names),
                    "mapped": [*names, None],
                    "pixels": self.tally.confusion.tolist(),
                },
                "calibration": asdict(self.calibration),
                "error_detection_auroc": self.detection,
                "corruptions": [self._spoiled(item) for item in self.spoiled],
            }
        )
        return plain

    def _spoiled(self, item: Spoiled) -> dict[str, Any]:
        return {
            "corruption": item.corruption,
            "unit": item.unit,
            "strength": item.strength,
            **_summary(item.tally),
            "retention": self.retention(item),
        }


def _part(part: Part) -> dict[str, Any]:
    return {"scene": part.scene, "labels": part.labels, **_summary(part.tally)}


def _summary(tally: Tally) -> dict[str, float]:
    found = scores(tally.confusion)
    return {
        "miou": found.miou,
        "mean_f1": found.mean_f1,
        "mean_precision": found.mean_precision,
        "mean_recall": mean(found.recall),
        "accuracy": found.accuracy,
        "boundary_f1": boundary_scores(tally.boundary, tally.tolerance).mean_f1,
        "boundary_tolerance": tally.tolerance,
        "ece": calibration(tally.confidence).ece,
    }


def _plain(value: Any) -> Any:
    """The same without NaN, which JSON lacks."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
