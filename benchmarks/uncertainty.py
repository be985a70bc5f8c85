"""What sampled uncertainty is worth: does doubt find the errors, and is confidence true?

    python -m benchmarks.uncertainty --data ../shared/data

maps what the recipes of the built-in models have set aside, once in the one pass that makes the map
and once with several samples. Of each kind of doubt it asks how well it tells wrong pixels from
right ones (AUROC; 0.5 is guessing): on the map of the single pass, whose own confidence is what has
to be beaten, and on the map that the samples make together.

Then it fits the temperature to one half of every image, measures the calibration error on the other
half, and the other way round: no pixel is measured with what was fitted to it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from scipy.stats import entropy, rankdata

from benchmarks.images import cropped, held_out
from geocamss.evaluation.calibrate import LEAST, best_temperature
from geocamss.evaluation.reliability import Calibration, calibration, level_counts
from geocamss.evaluation.scores import confusion, scores
from geocamss.models import checkpoint, registry
from geocamss.models.samples import spread
from geocamss.models.segmenter import Sampling, Segmenter
from geocamss.training.evaluation import map_labeled
from geocamss.training.recipe import load_recipe
from geocamss.training.sources import IGNORED, LabeledImage

ROOT = Path(__file__).resolve().parent.parent

FIT_PIXELS = 1 << 19
"""A temperature is fitted to at most about so many pixels."""

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Said:
    """What a model says of labeled pixels, and what is true."""

    single: Floats
    """(N, K), in one pass."""

    sampled: Floats
    """(N, K), the mean of the samples."""

    own: Floats
    """(N,), the mean entropy of the samples, as a share of log K."""

    truth: NDArray[np.int64]
    """(N,) channel numbers."""

    image: NDArray[np.int64]
    """(N,), of which image."""

    right_half: NDArray[np.bool_]
    """(N,), in which half of it."""

    def doubts(self) -> dict[str, Floats]:
        """Every kind of doubt, (N,): the higher, the less sure.

        ``both`` takes the mean of what the single pass and what the samples say.
        """
        whole = _entropy(self.sampled)
        both = (self.single + self.sampled) / 2
        return {
            "1 - confidence, one pass": 1 - self.single.max(1),
            "entropy, one pass": _entropy(self.single),
            "1 - confidence, samples": 1 - self.sampled.max(1),
            "entropy, samples": whole,
            "mutual information, samples": whole - self.own,
            "1 - confidence, both": 1 - both.max(1),
            "entropy, both": _entropy(both),
        }


def _entropy(chances: Floats) -> Floats:
    return entropy(chances, base=chances.shape[1], axis=1)


def listen(segmenter: Segmenter, images: Sequence[LabeledImage], samples: int) -> Said:
    """Map images in both ways."""
    parts = [
        part
        for number, item in enumerate(images)
        for part in _strips(segmenter, item, samples, number)
    ]
    return Said(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _strips(
    segmenter: Segmenter, item: LabeledImage, samples: int, number: int
) -> Iterator[tuple[NDArray[Any], ...]]:
    """The fields of ``Said``, strip by strip of an image."""
    drawn = spread(Sampling(samples=samples), segmenter.card)
    ways = zip(
        map_labeled(segmenter, item, Sampling()),
        map_labeled(segmenter, item, drawn, entropies=True),
        strict=True,
    )
    for (single, labels), (sampled, _) in ways:
        rows, cols = np.nonzero((labels != IGNORED).numpy())
        one, several = (found.numpy()[:, rows, cols].T for found in (single, sampled))
        yield (
            _normalized(one),
            _normalized(several[:, :-1]),
            several[:, -1],
            labels.numpy()[rows, cols].astype(np.int64),
            np.full(len(rows), number),
            cols >= labels.shape[1] // 2,
        )


def _normalized(chances: Floats) -> Floats:
    """Chips in bfloat16 do not quite add up to one."""
    return chances / chances.sum(1, keepdims=True)


def auroc(doubt: Floats, wrong: NDArray[np.bool_]) -> float:
    """Chance that a wrong pixel is doubted more than a right one; ties count half."""
    count, others = int(wrong.sum()), int((~wrong).sum())
    if not (count and others):
        return float("nan")
    ranks = rankdata(doubt)
    return float((ranks[wrong].sum() - count * (count + 1) / 2) / (count * others))


def detection(said: Said) -> dict[str, dict[str, Any]]:
    """How well each kind of doubt finds the errors of both maps; and those of single images."""
    wrong = {"one pass": said.single.argmax(1) != said.truth}
    wrong["samples"] = said.sampled.argmax(1) != said.truth
    found: dict[str, dict[str, Any]] = {}
    for kind, doubt in said.doubts().items():
        row: dict[str, Any] = {on: auroc(doubt, errors) for on, errors in wrong.items()}
        row["by image"] = [
            auroc(doubt[said.image == number], wrong["one pass"][said.image == number])
            for number in range(int(said.image.max()) + 1)
        ]
        found[kind] = row
    return found


def quality(chances: Floats, truth: NDArray[np.int64]) -> dict[str, float]:
    """Scores of the map that follows."""
    classes = chances.shape[1]
    found = scores(confusion(chances.argmax(1), truth, classes))
    return {"miou": found.miou, "accuracy": found.accuracy}


def reliability(chances: Floats, truth: NDArray[np.int64]) -> Calibration:
    """Confidence against what came true, in whole percent as maps store it."""
    right = chances.argmax(1) == truth
    levels = np.rint(chances.max(1) * 100).astype(np.uint8)
    return calibration(level_counts(levels, right, np.ones_like(right)))


def tempered(said: Said, before: float) -> tuple[dict[str, Floats], list[float]]:
    """The single pass without a temperature, with the card's, and with one of the other half.

    Returns:
        Probabilities by what was done, and the temperatures that were fitted to the two halves.
    """
    logits = np.log(np.maximum(said.single, LEAST)) * before  # of temperature one
    fitted, found = np.empty_like(logits), []
    for half in (said.right_half, ~said.right_half):
        known = np.flatnonzero(~half)
        known = known[:: max(1, len(known) // FIT_PIXELS)]
        found.append(best_temperature(logits[known], said.truth[known]))
        fitted[half] = softmax(logits[half] / found[-1], axis=1)
    return {
        "temperature 1": softmax(logits, axis=1),
        f"the card's, {before:g}": said.single,
        "fitted to the other half": fitted,
    }, found


def measure(said: Said, temperature: float) -> dict[str, Any]:
    """Everything about a model, as JSON has it."""
    ways, fitted = tempered(said, temperature)
    ways["the samples' mean"] = said.sampled
    return {
        "pixels": len(said.truth),
        "images": int(said.image.max()) + 1,
        "one pass": quality(said.single, said.truth),
        "samples": quality(said.sampled, said.truth),
        "auroc": detection(said),
        "temperatures": fitted,
        "calibration": {way: asdict(reliability(c, said.truth)) for way, c in ways.items()},
    }


def report(name: str, found: dict[str, Any]) -> None:
    """Print what was found of a model."""
    one, several = (100 * found[way]["miou"] for way in ("one pass", "samples"))
    print(
        f"\n{name}: {found['pixels']:,} labeled pixels of {found['images']} image(s); mIoU "
        f"{one:.1f} in one pass, {several:.1f} with samples"
    )
    print(f"  {'AUROC of finding the errors of':<32}{'one pass':>10}{'samples':>10}")
    for kind, row in found["auroc"].items():
        print(f"  {kind:<32}{row['one pass']:10.4f}{row['samples']:10.4f}")
    print("  expected calibration error, percent")
    for way, result in found["calibration"].items():
        print(f"  {way:<32}{100 * result['ece']:10.2f}")
    first, second = found["temperatures"]
    print(f"  the halves' temperatures are {first:.3f} and {second:.3f}", flush=True)


def draw(models: dict[str, Any], target: Path) -> None:
    """Draw reliability diagrams side by side."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4 * len(models), 4), layout="constrained")
    panels = figure.subplots(1, len(models), squeeze=False).flat
    for panel, (name, found) in zip(panels, models.items(), strict=True):
        panel.plot([0, 1], [0, 1], color="gray", linestyle=":")
        for way, result in found["calibration"].items():
            bins = result["bins"]
            sure, right = ([b[key] for b in bins] for key in ("confidence", "accuracy"))
            label = f"{way}: {100 * result['ece']:.1f} %"
            panel.plot(sure, right, marker=".", label=label)
        panel.set_title(name)
        panel.set_xlabel("confidence")
        panel.set_ylabel("share that is right")
        panel.set_xlim(0, 1)
        panel.set_ylim(0, 1)
        panel.legend(title="expected calibration error", fontsize="small")
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, dpi=100)


def main() -> None:
    """Parse, map, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the data folder")
    names = registry.names()
    parser.add_argument("--models", nargs="+", choices=names, default=names, metavar="NAME")
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--images", type=int, help="held-out images to map; all by default")
    parser.add_argument("--crop", type=int, help="map only so many pixels of each, squared")
    parser.add_argument("--figure", type=Path, help="draw reliability diagrams into this")
    parser.add_argument("--json", type=Path, help="write the numbers here too")
    options = parser.parse_args()
    models = {}
    for name in options.models:
        segmenter = checkpoint.load(registry.path(name))
        recipe = load_recipe(ROOT / "recipes" / f"{name}.yaml")
        images = cropped(held_out(recipe, segmenter.card, options.data), options.crop)
        said = listen(segmenter, images[: options.images], options.samples)
        models[name] = measure(said, segmenter.card.temperature)
        report(name, models[name])
    if options.figure:
        draw(models, options.figure)
    if options.json:
        content = {"samples": options.samples, "models": models}
        options.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
