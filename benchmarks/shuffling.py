"""What channel-shuffling pretraining is worth: shape against color, fine-tuning, swapped channels.

    python -m benchmarks.shuffling --data ../shared/data

prints three things. First, networks learn to tell squares from discs where all squares are of one
color and all discs of another, and are then shown squares of the discs' color: which of the two do
they follow? Second, the segmenter is trained by the recipes for Landsat land cover and for clouds,
from scratch, from an encoder pretrained on the same pictures with channels in order, from one
pretrained with shuffled channels, and from one that has learned their labels, channels shuffled:
held-out mIoU by step. Third, what these lose when the bands of the held-out pictures are given in
reverse. ``--keep`` remembers what each training has found, so that seeds can be added one by one.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import mean, pstdev

import torch
from torch import Generator, Tensor, nn

from benchmarks.images import cropped
from geocamss.modelcard import ModelCard
from geocamss.models.camss.config import CamssConfig
from geocamss.models.camss.encoder import ImageEncoder
from geocamss.models.camss.network import CamssNetwork, build
from geocamss.training.batches import Batches, Pool, class_frequencies, physical, tones
from geocamss.training.channels import draw_channels
from geocamss.training.evaluation import score_images
from geocamss.training.loop import Loop
from geocamss.training.objective import CamssObjective, class_weights
from geocamss.training.pretrain.pretrain import encoder_loop, trained_encoder
from geocamss.training.pretrain.recipe import ImageSource, PretrainRecipe
from geocamss.training.recipe import Recipe, Training, load_recipe
from geocamss.training.sources import LabeledImage
from geocamss.training.state import settings_of
from geocamss.training.train import Data, fit, load_data
from geocamss.training.warmstart import warm_start

ROOT = Path(__file__).resolve().parent.parent

STARTS = ("scratch", "plain", "shuffled", "labeled")

RED, BLUE = (0.9, 0.2, 0.1), (0.1, 0.2, 0.9)

Found = tuple[Sequence[tuple[int, float]], float]
"""Held-out mIoU by step, and that of the end with the bands in reverse; 0 to 1."""


class Shapes(nn.Module):
    """The segmenter's image encoder with a classifier of two classes on top."""

    def __init__(self) -> None:
        super().__init__()
        sizes = CamssConfig()
        self.encoder = ImageEncoder(
            3, sizes.pyramid, sizes.blocks, finest=sizes.finest, trunk=sizes.trunk
        )
        self.tell = nn.Linear(sizes.pyramid[-1], 2)

    def forward(self, chips: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, 2) logits."""
        valid = torch.ones(len(chips), *chips.shape[2:], dtype=torch.bool)
        logits: Tensor = self.tell(self.encoder(chips, valid)[-1].mean((2, 3)))
        return logits


def shapes(
    count: int, generator: Generator, *, agree: bool, size: int = 32
) -> tuple[Tensor, Tensor]:
    """Squares (0) and discs (1): squares are red and discs blue, or the other way round.

    Returns:
        (count, 3, size, size) chips around 0, and (count,) labels.
    """
    labels = torch.randint(2, (count,), generator=generator)
    steps = torch.arange(size).float()
    chips = torch.empty(count, 3, size, size)
    for chip, label in zip(chips, labels.tolist(), strict=True):
        row, col = (torch.rand(2, generator=generator) * 12 + 10).tolist()
        radius = float(torch.rand((), generator=generator) * 3 + 5)
        down, right = steps[:, None] - row, steps[None, :] - col
        # As large as each other, whichever shape it is.
        square = torch.maximum(down.abs(), right.abs()) < radius * 0.886
        inside = square if label == 0 else (down**2 + right**2).sqrt() < radius
        color = torch.tensor(RED if (label == 0) == agree else BLUE)[:, None, None]
        noise = 0.05 * torch.randn(3, size, size, generator=generator)
        chip.copy_(torch.where(inside, color, torch.tensor(0.4)) + noise - 0.4)
    return chips, labels


def follows_shape(seed: int, steps: int, *, shuffle: bool) -> tuple[float, float]:
    """Train where color and shape agree: how often shape is followed where they do, and do not."""
    torch.manual_seed(seed)
    generator = Generator().manual_seed(seed)
    network = Shapes()
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3)
    for _ in range(steps):
        chips, labels = shapes(32, generator, agree=True)
        if shuffle:
            chips = torch.stack([chip[draw_channels(3, 3, generator)] for chip in chips])
        loss = nn.functional.cross_entropy(network(chips), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    network.eval()
    right = []
    for agree in (True, False):
        chips, labels = shapes(256, generator, agree=agree)
        with torch.no_grad():
            right.append(float((network(chips).argmax(1) == labels).float().mean()))
    return right[0], right[1]


def print_shapes(seeds: Sequence[int], steps: int) -> dict[str, list[tuple[float, float]]]:
    """The first thing."""
    print("Squares and discs, told by shape, percent: where color agrees, where it does not")
    result = {}
    for name, shuffle in (("in order", False), ("shuffled", True)):
        found = [follows_shape(seed, steps, shuffle=shuffle) for seed in seeds]
        agree, differ = ([each[i] for each in found] for i in (0, 1))
        print(f"  {name:<10}{_spread(agree)}  {_spread(differ)}", flush=True)
        result[name] = found
    return result


class Watched(Loop):
    """A loop that remembers the score of every validation."""

    curve: tuple[tuple[int, float], ...] = ()
    """Steps and mIoU."""

    def validate_average(self) -> None:
        """Score, and remember."""
        super().validate_average()
        if self.best_scores is not None:
            self.curve = (*self.curve, (self.global_step, self.best_scores.miou))


@dataclass(frozen=True)
class Task:
    """A recipe with its data."""

    recipe: Recipe
    data: Data

    @property
    def card(self) -> ModelCard:
        """The card of its models."""
        return self.recipe.card_without_results()


def pretrained(
    task: Task, objective: str, steps: int, *, shuffle: bool, seed: int
) -> dict[str, Tensor]:
    """An encoder pretrained on the training pictures of a task, without their labels."""
    card = task.card
    black, white = tones(card)
    pools = [
        Pool(
            tuple(
                replace(
                    image,
                    image=(physical(image.pixels(), card) - black) / (white - black),
                    units=None,
                )
                for image in pool.images
            ),
            pool.weight,
        )
        for pool in task.data.pools
    ]
    training = task.recipe.training.model_copy(
        update={"seed": seed, "max_steps": steps, "minutes": 1e5, "learning_rate": 0.001}
    )
    recipe = PretrainRecipe(
        name="encoder",
        model=task.recipe.model,
        objective=objective,
        channels=len(card.bands),
        shuffle=shuffle,
        sources=(ImageSource(name="the task's", images=("*",)),),
        training=training,
    )
    loop = encoder_loop(recipe, pools)
    fit(loop)
    return {f"encoder.{name}": value for name, value in trained_encoder(loop).items()}


def labeled(task: Task, steps: int, seed: int) -> dict[str, Tensor]:
    """The encoder of a segmenter that has learned a task with its bands shuffled."""
    how = task.recipe.training.augmentation.model_copy(update={"shuffled": 1.0})
    loop = _loop(task, None, steps, seed, epoch=steps, augmentation=how)
    fit(loop)
    encoder = loop.best.get_submodule("encoder").state_dict()
    return {f"encoder.{name}": value for name, value in encoder.items()}


def fine_tuned(
    task: Task, start: dict[str, Tensor] | None, steps: int, every: int, seed: int
) -> Found:
    """Train a segmenter: its held-out mIoU by step, and the last one with the bands reversed."""
    loop = _loop(task, start, steps, seed, epoch=every)
    fit(loop)
    reversed_bands = [_reversed(image) for image in task.data.validation]
    return loop.curve, score_images(loop.segmenter(loop.best), reversed_bands).miou


def _loop(
    task: Task, start: dict[str, Tensor] | None, steps: int, seed: int, **settings: object
) -> Watched:
    """A loop that trains a segmenter for so many steps, and keeps the last of its averages."""
    card, recipe = task.card, task.recipe
    torch.manual_seed(seed)
    network: CamssNetwork = build(recipe.model, len(card.bands), len(card.classes))
    if start:
        warm_start(network, start, (card.band_names, card.band_names), Path("pretrained"))
    known = {"seed": seed, "max_steps": steps, "minutes": 1e5, "validate_every": 1, "keep": "last"}
    training: Training = recipe.training.model_copy(
        update={**known, "ema": 0.97, "warmup": 20, **settings}
    )
    frequencies = class_frequencies(task.data.pools, len(card.classes))
    return Watched(
        network,
        objective=CamssObjective(training, class_weights(frequencies, training.class_power)),
        card=card,
        training=training,
        batches=partial(Batches, task.data.pools, card, training),
        validation=task.data.validation,
    )


def _reversed(image: LabeledImage) -> LabeledImage:
    units = image.units and image.units[::-1]
    return replace(image, image=image.image.flip(0), units=units)


def run(name: str, task: Task, seed: int, options: argparse.Namespace) -> Found:
    """One fine-tuning from one of ``STARTS``, pretraining included."""
    start = None
    if name == "labeled":
        start = labeled(task, options.pretrain_steps, seed)
    elif name != "scratch":
        shuffle = name == "shuffled"
        start = pretrained(
            task, options.objective, options.pretrain_steps, shuffle=shuffle, seed=seed
        )
    return fine_tuned(task, start, options.steps, options.every, seed)


def kept(file: Path | None, settings: dict[str, object], find: Callable[[], Found]) -> Found:
    """What a run finds, or has found before by the same settings."""
    if file and file.is_file():
        there = json.loads(file.read_text(encoding="utf-8"))
        if there["settings"] == settings:
            return there["curve"], there["reversed"]
    curve, reverse = find()
    if file:
        content = {"settings": settings, "curve": curve, "reversed": reverse}
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content), encoding="utf-8")
    return curve, reverse


def print_task(title: str, task: Task, options: argparse.Namespace) -> dict[str, object]:
    """The second and the third thing, for one data set."""
    print(f"\n{title}: held-out mIoU by step, percent; at the end with the bands in reverse")
    result: dict[str, object] = {}
    said = ("objective", "pretrain_steps", "steps", "every", "crop")
    settings = {name: getattr(options, name) for name in said}
    settings["recipe"] = settings_of(task.recipe)
    for name in STARTS:
        found = [
            kept(
                options.keep and options.keep / f"{task.card.name}-{name}-{seed}.json",
                settings,
                partial(run, name, task, seed, options),
            )
            for seed in options.seeds
        ]
        curves, swapped = [curve for curve, _ in found], [reverse for _, reverse in found]
        if name == STARTS[0]:
            print(
                f"  {'':<10}" + "".join(f"{step:>14}" for step, _ in curves[0]) + "       reversed"
            )
        columns = zip(*([miou for _, miou in curve] for curve in curves), strict=True)
        cells = "".join(_spread(column) for column in columns)
        print(f"  {name:<10}{cells}  {_spread(swapped)}", flush=True)
        result[name] = {"curves": curves, "reversed": swapped}
    return result


def _spread(values: Sequence[float]) -> str:
    return f"{mean(values) * 100:8.1f} ± {pstdev(values) * 100:<3.1f}"


def main() -> None:
    """Parse, train, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the data folder")
    parser.add_argument("--objective", choices=("masked", "contrastive"), default="masked")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--pretrain-steps", type=int, default=300)
    parser.add_argument("--steps", type=int, default=200, help="of fine-tuning")
    parser.add_argument("--every", type=int, default=50, help="steps from score to score")
    parser.add_argument("--shape-steps", type=int, default=100)
    parser.add_argument("--crop", type=int, help="map only so many pixels of each, squared")
    parser.add_argument("--keep", type=Path, help="folder that remembers finished trainings")
    parser.add_argument("--json", type=Path, help="write the numbers here too")
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    result: dict[str, object] = {"shapes": print_shapes(options.seeds, options.shape_steps)}
    for title, name in (("Landsat land cover", "landsat-landcover"), ("Clouds", "cloud-mask")):
        recipe = load_recipe(ROOT / "recipes" / f"{name}.yaml")
        data = load_data(recipe, options.data)
        task = Task(recipe, Data(data.pools, tuple(cropped(data.validation, options.crop))))
        result[name] = print_task(title, task, options)
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
