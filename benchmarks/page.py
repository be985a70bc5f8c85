"""What the benchmarks have found, as tables in Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import isnan
from pathlib import Path
from statistics import mean, pstdev
from typing import Any

from geocamss.evaluation.scores import mean as mean_of_known

__all__ = ["BEGIN", "END", "render"]

BEGIN, END = "<!-- numbers: begin -->", "<!-- numbers: end -->"
"""What stands between these marks is replaced, and nothing else."""

OURS = ("CAM-Seg", "shipped")

GOALS = {
    "gaussian-noise": 95,
    "motion-blur": 95,
    "brightness": 95,
    "contrast": 95,
    "salt-and-pepper": 90,
    "saturation": 90,
    "hue": 90,
}
"""Percent of mIoU that should be left, by corruption."""

MODERATE = 11.0
"""The goal of motion blur holds up to so many pixels."""

Found = Any
"""What a benchmark has written as JSON."""


def render(kept: Mapping[str, Mapping[str, Any]], missing: Mapping[str, str], page: Path) -> None:
    """Write all that is there into a page, between its marks.

    Args:
        kept: By part, with the result, the command and where it ran.
        missing: The commands of the other parts.
        page: A Markdown file; made if it is not there.

    Raises:
        ValueError: the page is there, and has no marks.
    """
    parts = []
    for name, (title, write) in SECTIONS.items():
        lines = write(kept[name]["result"]) + _origin(kept[name]) if name in kept else []
        if name in missing:
            lines = [f"Not measured yet: `{missing[name]}`."]
        parts.append("\n\n".join([f"## {title}", *lines]))
    text = page.read_text(encoding="utf-8") if page.is_file() else f"# Results\n\n{BEGIN}\n{END}\n"
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{page}: has no {BEGIN} and {END}, between which the numbers go")
    numbers = "\n\n".join(parts)
    page.write_text(f"{before}{BEGIN}\n\n{numbers}\n\n{END}{after}", encoding="utf-8")


def _origin(kept: Mapping[str, Any]) -> list[str]:
    """Where numbers come from."""
    where, versions = kept["machine"], kept["versions"]
    named = ", ".join(f"{name} {number}" for name, number in versions.items())
    return [
        (
            f"`{kept['command']}`, {kept['seconds'] / 60:.1f} minutes on {where['cores']} cores "
            f"({where['processor']}), {kept['when']}; {named}."
        )
    ]


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _percent(values: Sequence[float], digits: int = 1) -> str:
    """The mean, and how far several lie apart, in percent."""
    known = [100 * value for value in values if not isnan(value)]
    if not known:
        return "-"
    spread = f" ± {pstdev(known):.{digits}f}" if len(known) > 1 else ""
    return f"{mean(known):.{digits}f}{spread}"


def _compare(found: Found) -> list[str]:
    classes, held_out, demo = found["classes"], found["held out"], found.get("demo", {})
    header = ["", "parameters", "Mpx/s, model alone", *classes, "mIoU", "mean precision"]
    header += ["pixels right", *(["mIoU, demo scene"] if demo else [])]
    rows = []
    for name, runs in held_out.items():
        size = found["networks"][name]
        cells = [name, f"{size['parameters'] / 1e6:.2f} M", f"{size['mpx_per_second']:.2f}"]
        cells += [_percent([run["iou"][k] for run in runs]) for k in range(len(classes))]
        cells.append(f"**{_percent([run['miou'] for run in runs])}**")
        cells.append(_percent([mean_of_known(run["precision"]) for run in runs]))
        cells.append(_percent([run["accuracy"] for run in runs]))
        cells += [_percent([run["miou"] for run in demo[name]])] if demo else []
        rows.append(cells)
    lines = [
        (
            f"Every network was trained for {found['minutes']:g} minutes on the same data, with "
            f"the same augmentation, optimizer and load, by {len(found['seeds'])} seed(s); none "
            "was pretrained. `shipped` is the model that comes with the package, trained by its "
            "recipe. IoU on tile 6 by class; in percent, mean and spread over the seeds."
        ),
        table(header, rows),
        *_verdict({name: mean(run["miou"] for run in runs) for name, runs in held_out.items()}),
    ]
    left = found.get("left under corruption")
    return lines + (_retention(left) if left else [])


def _verdict(scores: Mapping[str, float]) -> list[str]:
    ours, theirs = (
        {name: score for name, score in scores.items() if (name in OURS) == own}
        for own in (True, False)
    )
    if not (ours and theirs):
        return []
    best, rival = (max(some, key=lambda name: some[name]) for some in (ours, theirs))
    return [
        (
            f"{best} scores {100 * (ours[best] - theirs[rival]):+.1f} points of mIoU against "
            f"{rival}, the best of the others. The goal was +3."
        )
    ]


def _goal(corruption: str, strength: float) -> int | None:
    if corruption == "motion-blur" and strength > MODERATE:
        return None
    return GOALS.get(corruption)


def _retention(left: Mapping[str, Mapping[str, Sequence[float]]]) -> list[str]:
    names = list(next(iter(left.values())))
    rows, met, goals, ahead = [], dict.fromkeys(names, 0), 0, dict.fromkeys(OURS, 0)
    for label, row in left.items():
        corruption, strength = label.rsplit(" ", 1)
        goal = _goal(corruption, float(strength))
        goals += goal is not None
        for name in names:
            met[name] += goal is not None and 100 * row[name][0] >= goal
        rivals = [row[name][0] for name in names if name not in OURS]
        for name in set(OURS) & set(names):
            ahead[name] += bool(rivals) and row[name][0] > max(rivals)
        cells = [f"{100 * a:.1f} / {100 * b:.1f}" for a, b in (row[name] for name in names)]
        rows.append([corruption, strength, *cells, "" if goal is None else str(goal)])
    reached = ", ".join(f"{name} {met[name]}" for name in names)
    best = ", ".join(f"{name} {ahead[name]}" for name in OURS if name in names)
    return [
        (
            "What is left of mIoU / of mean precision on spoiled pictures, in percent of what each "
            "network has on clean ones."
        ),
        table(["corruption", "strength", *names, "goal"], rows),
        (
            f"Goals reached, of {goals}: {reached}. Rows in which more is left than of any other "
            f"network, of {len(rows)}: {best or 'none was compared'}."
        ),
    ]


def _sampling(found: Found) -> list[str]:
    rows = [
        [
            row["head"],
            row["sampler"],
            str(row["steps"]),
            f"{row['seconds']:.2f}",
            f"{row['cpu_seconds']:.2f}",
            f"{row['head_seconds']:.3f}" if "head_seconds" in row else "-",
            str(row["evaluations"]),
            f"{row['head_tokens']:.0f}",
            f"{100 * row['miou']:.2f}",
        ]
        for row in found["rows"]
    ]
    against = [
        f"Against {item['steps']} ancestral steps of {item['yardstick']}, the default costs "
        f"{_cost(item)} and scores {item['default_points']:+.2f} points of mIoU, the "
        f"one-step head {item['one_step_points']:+.2f} points. The goals were 1/20, within 0.5 "
        "and within 1."
        for item in found["against"]
    ]
    header = ["head", "sampler", "steps", "s / Mpx", "of processor", "of it in the head"]
    header += ["evaluations"]
    header += ["tokens, for each mask token", "mIoU"]
    return [
        (
            "The same trunk and the same weights, drawn from in every way. The first row is the "
            "default. `unsliced` runs the head on image tokens too, as the paper does."
        ),
        table(header, rows),
        " ".join([*against, found["note"]]),
    ]


def _cost(item: Mapping[str, Any]) -> str:
    """What drawing costs against a yardstick: by itself, and with all else that a map takes."""
    whole = f"1/{item['times']:.1f}"
    if "head_times" not in item:
        return whole
    return f"1/{item['head_times']:.0f} in sampling, {whole} with encoder and decoder,"


def _tokenizer(found: Found) -> list[str]:
    fields = ("accuracy", "miou", "boundary_f1", "line_recall")
    names = ("pixels right", "mIoU", "boundary F1", "recall of lines one pixel wide")
    rows = [
        [kind, *(_percent([trip[field] for trip in trips], 2) for field in fields)]
        for kind, trips in found["kinds"].items()
    ]
    seeds = len(next(iter(found["kinds"].values())))
    return [
        (
            f"Held-out masks of tile 6, coded and decoded without the image, by tokenizers that "
            f"were trained for {found['minutes']:g} minutes each, {seeds} seed(s); in percent. "
            "`KL` is continuous, `VQ` has a codebook; f8 makes a latent of 8 x 8 pixels."
        ),
        table(["", *names], rows),
    ]


def _uncertainty(found: Found) -> list[str]:
    lines = [
        (
            f"Pixels that were set aside, mapped in one pass and with {found['samples']} samples. "
            "How well doubt finds the errors of either map (AUROC; 0.5 is guessing), and in how "
            "many pictures better than the confidence of one pass finds its own:"
        )
    ]
    for name, model in found["models"].items():
        plain = next(iter(model["auroc"].values()))["by image"]
        rows = []
        for kind, row in model["auroc"].items():
            pairs = list(zip(row["by image"], plain, strict=True))
            better = sum(a > b for a, b in pairs)
            cells = [f"{row['one pass']:.4f}", f"{row['samples']:.4f}"]
            rows.append([kind, *cells, f"{better} of {len(pairs)}"])
        one, several = (100 * model[way]["miou"] for way in ("one pass", "samples"))
        lines += [
            (
                f"`{name}`: {model['pixels']:,} pixels, mIoU {one:.1f} in one pass and "
                f"{several:.1f} with samples."
            ),
            table(["doubt", "errors of one pass", "errors of samples", "better in"], rows),
        ]
    ways = ["temperature 1", "the card's", "fitted to the other half", "the samples' mean"]
    rows = [
        [name, *(f"{100 * item['ece']:.2f}" for item in model["calibration"].values())]
        for name, model in found["models"].items()
    ]
    return [
        *lines,
        (
            "Expected calibration error, in percent of confidence. The temperature of each half of "
            "a picture is fitted to the other half."
        ),
        table(["", *ways], rows),
        "![Confidence and the share that is right, by model](reliability.png)",
    ]


def _shuffling(found: Found) -> list[str]:
    rows = [
        [name, *(_percent([run[index] for run in runs]) for index in (0, 1))]
        for name, runs in found["shapes"].items()
    ]
    lines = [
        (
            "Squares of one color are told from discs of another. Then the colors change places: "
            "how often is the shape followed? In percent, mean and spread over the seeds."
        ),
        table(["channels in training", "color agrees", "color does not"], rows),
        (
            "Trainings below begin with random weights (`scratch`), with an encoder that was "
            "pretrained on the same pictures without labels, its channels in order (`plain`) or "
            "`shuffled`, or with one that has learned the labels, its channels shuffled "
            "(`labeled`)."
        ),
    ]
    titles = {"landsat-landcover": "Landsat land cover, 4 bands", "cloud-mask": "Clouds, 6 bands"}
    for name, title in titles.items():
        starts = found[name]
        steps = [step for step, _ in next(iter(starts.values()))["curves"][0]]
        header = ["begins with", *(f"{step} steps" for step in steps), "bands reversed", "lost"]
        rows = []
        for start, runs in starts.items():
            columns = zip(*([m for _, m in curve] for curve in runs["curves"]), strict=True)
            last = [curve[-1][1] for curve in runs["curves"]]
            lost = [a - b for a, b in zip(last, runs["reversed"], strict=True)]
            cells = [*map(_percent, columns), _percent(runs["reversed"]), _percent(lost)]
            rows.append([start, *cells])
        lines += [
            (
                f"{title}: mIoU on what was set aside, after so many steps of fine-tuning; at the "
                "end with the bands in reverse, and what that costs."
            ),
            table(header, rows),
        ]
    return lines


def _engine(found: Found) -> list[str]:
    height, width = map(int, found["size"].split("x"))
    rows = []
    for tool, row in found["medians"].items():
        rate = height * width / row["seconds"] / 1e6
        cells = [f"{row['seconds']:.1f}", f"{rate:.2f}", f"{row['cpu']:.1f}"]
        rows.append([tool, *cells, f"{row['added']:.0f}"])
    return [
        (
            f"A scene of {height} x {width} pixels with the default model, from the file to a "
            "finished map: reading, blending and writing included. `floor` reads each pixel once, "
            "runs the forward passes alone and writes the same raster. The goal is a megapixel a "
            "second on two cores."
        ),
        table(["", "seconds", "Mpx/s", "seconds of processor", "added memory, MB"], rows),
    ]


def _base(found: Found) -> list[str]:
    rows = []
    for row in found["rows"]:
        share = "-" if row["share"] is None else f"{100 * row['share']:.1f}"
        memory = "-" if row["gigabytes"] is None else f"{row['gigabytes']:.1f}"
        way = [row["head"], row["sampler"], str(row["steps"]), str(row["batch"])]
        cells = [f"{row['per_second']:.2f}", f"{row['tera_per_image']:.2f}", share, memory]
        rows.append([*way, *cells])
    header = ["head", "sampler", "steps", "batch", "pictures / s", "TFLOP each", "% of peak", "GB"]
    return [
        (
            f"`camss-{found['size']}` at {found['side']} x {found['side']} pixels in "
            f"{found['format']} on {found['device']}, from bytes to class map in main memory. The "
            f"paper's own run has {found['paper']} pictures a second on a GPU that it does not "
            "name; the goal is 40."
        ),
        table(header, rows),
    ]


SECTIONS: Mapping[str, tuple[str, Callable[[Found], list[str]]]] = {
    "compare": ("Beside other networks", _compare),
    "sampling": ("What drawing costs", _sampling),
    "tokenizer": ("What the mask tokenizer keeps", _tokenizer),
    "uncertainty": ("What doubt is worth", _uncertainty),
    "shuffling": ("What shuffling channels is worth", _shuffling),
    "engine": ("How fast maps are made", _engine),
    "base": ("The size of the paper, on a GPU", _base),
}
"""By part: the heading, and what writes the rest."""
