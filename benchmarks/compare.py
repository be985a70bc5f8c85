"""The segmenter beside what people use today: same data, augmentation, optimizer and minutes.

    python -m benchmarks.compare --data ../shared/data

trains a U-Net by the recipe of the default model, in all its stages, and prints its scores beside
those of the shipped model, on the recipe's validation images and on the simulated demo scene.
``--networks`` takes others, CAM-Seg among them: it is then trained for the same time under the same
load. Nothing is pretrained, on either side. ``--minutes`` is the time for each of ``--stages``,
``--seeds`` repeats everything. ``--corrupt`` adds the robustness sweep, ``--only`` some of it.
``--weights`` keeps what was trained, and trains nothing again that is there. Networks other than
the U-Net and the segmenter come with the extra ``bench``.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import lru_cache, partial
from pathlib import Path
from statistics import mean, pstdev

import numpy as np
import rasterio
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from benchmarks.baselines import BASELINES, PlainObjective, last_layer
from benchmarks.images import cropped, held_out
from benchmarks.networks import chips_for
from geocamss.evaluation.corruptions import CORRUPTIONS, Corruption, Patch, chosen_corruptions
from geocamss.evaluation.scores import Scores
from geocamss.modelcard import ModelCard
from geocamss.models import checkpoint, registry
from geocamss.models.camss.network import build
from geocamss.models.segmenter import Sampling, Segmenter
from geocamss.scene.window import Window
from geocamss.training.balance import balance
from geocamss.training.batches import Batches, class_frequencies
from geocamss.training.evaluation import score_images
from geocamss.training.loop import Loop
from geocamss.training.objective import (
    CamssObjective,
    Objective,
    class_weights,
    shift_classes,
)
from geocamss.training.recipe import Recipe, Training, changed, load_recipe
from geocamss.training.sources import LabeledImage
from geocamss.training.sources.image import channel_table, look_up
from geocamss.training.train import Data, fit, load_data

ROOT = Path(__file__).resolve().parent.parent

CAMSS = "CAM-Seg"
SHIPPED = "shipped"

KEPT = 4
"""Data of so many stages stay in memory: landscapes take longer to paint than networks to learn."""

Models = dict[str, list[Segmenter]]
"""By network, one for each seed."""


def make(name: str, recipe: Recipe, seed: int) -> nn.Module:
    """A network of random weights."""
    card = recipe.card_without_results()
    bands, classes = len(card.bands), len(card.classes)
    torch.manual_seed(seed)
    return build(recipe.model, bands, classes) if name == CAMSS else BASELINES[name](bands, classes)


def objective(name: str, training: Training, frequencies: Tensor) -> Objective:
    """What a network is trained with, at these shares of the classes."""
    kind = CamssObjective if name == CAMSS else PlainObjective
    return kind(training, class_weights(frequencies, training.class_power))


@lru_cache(maxsize=KEPT)
def read(text: str, folder: Path) -> Data:
    """What a recipe learns from, read and painted once for all networks and seeds.

    Args:
        text: The recipe in JSON, less what does not matter here.
        folder: The data folder.
    """
    return load_data(Recipe.model_validate_json(text), folder)


def train(network: nn.Module, name: str, stage: Recipe, folder: Path) -> None:
    """Train a network in one stage; the average that it keeps is what the next one starts from."""
    card, training = stage.card_without_results(), stage.training
    data = read(stage.model_dump_json(exclude={"training", "stages"}), folder)
    loop = Loop(
        network,
        objective=objective(name, training, class_frequencies(data.pools, len(card.classes))),
        card=card,
        training=training,
        batches=partial(Batches, data.pools, card, training),
        validation=data.validation,
    )
    fit(loop)
    print(f"  {loop.global_step} steps of {training.batch} chips of {training.chip} pixels")
    network.load_state_dict(loop.best.state_dict())
    if training.balanced:
        layer = network.decoder.last if name == CAMSS else last_layer(network)
        shift_classes(layer, balance(loop.segmenter(network), data.pools))


def trained(name: str, recipe: Recipe, seed: int, folder: Path, kept: Path | None) -> Segmenter:
    """A network trained in one stage after another, or read if it was kept."""
    network = make(name, recipe, seed)
    file = kept / f"{name}-{seed}.safetensors" if kept else None
    if file and file.is_file():
        network.load_state_dict(load_file(file))
    else:
        for stage in recipe.parts():
            training = stage.training.model_copy(update={"seed": seed})
            print(f"{name}, seed {seed}: {training.minutes:g} minutes", flush=True)
            train(network, name, stage.model_copy(update={"training": training}), folder)
        if file:
            file.parent.mkdir(parents=True, exist_ok=True)
            save_file({k: v.contiguous() for k, v in network.state_dict().items()}, file)
    card = recipe.card_without_results()
    even = torch.full((len(card.classes),), 1 / len(card.classes))
    return objective(name, recipe.training, even).segmenter(network, card)


def parameters(name: str, recipe: Recipe) -> int:
    """How many numbers a network has learned."""
    if name == SHIPPED:
        network, _ = checkpoint.load_network(registry.path(registry.DEFAULT))
        return sum(p.numel() for p in network.parameters())
    return sum(p.numel() for p in make(name, recipe, 0).parameters())


def speed(segmenter: Segmenter) -> float:
    """Megapixels a second of the model alone, chips of the card's size."""
    chips = chips_for(segmenter, 8)
    segmenter(*chips, Sampling())  # warm
    started, times = time.perf_counter(), 3
    for _ in range(times):
        segmenter(*chips, Sampling())
    return times * chips[1].numel() / (time.perf_counter() - started) / 1e6


def demo_scene(card: ModelCard) -> list[LabeledImage]:
    """The simulated demo scene and its truth, if they are there."""
    scene, truth = ROOT / "tiles" / "demo.tif", ROOT / "tiles" / "demo-truth.tif"
    if not scene.is_file() or not truth.is_file():
        return []
    with rasterio.open(scene) as dataset:
        image = torch.from_numpy(dataset.read([1, 2, 3]))
        valid = torch.from_numpy(dataset.dataset_mask() > 0)
    with rasterio.open(truth) as dataset:
        values = torch.from_numpy(dataset.read(1))
    channels = {value: channel for channel, value in enumerate(card.classes.values)}
    labels = look_up(values, channel_table(channels))
    return [LabeledImage(str(scene), image, labels, valid)]


def spoiled(
    image: LabeledImage, bands: tuple[str, ...], corruption: Corruption, strength: float
) -> LabeledImage:
    """An 8-bit picture, corrupted."""
    values = (image.image.float() / 255).masked_fill(~image.valid, 0).numpy()
    place = Window(0, 0, *image.labels.shape)
    result = corruption.apply(Patch(values, image.valid.numpy(), place, bands, 0), strength)
    stored = np.rint(np.clip(result, 0, 1) * 255).astype(np.uint8)
    return replace(image, image=torch.from_numpy(stored))


def report(title: str, images: Sequence[LabeledImage], models: Models) -> dict[str, list[Scores]]:
    """Print a table: means over the seeds, and how far these lie apart."""
    names = next(iter(models.values()))[0].card.classes.names
    header = "  ".join(f"{name:>10}" for name in names)
    print(f"\n{title}: IoU by class, mean, pixel accuracy, percent")
    print(f"  {'':<10}{header}  {'mIoU':>13}  accuracy")
    result = {}
    for name, segmenters in models.items():
        found = [score_images(segmenter, images) for segmenter in segmenters]
        ious = "  ".join(f"{value:10.1%}" for value in np.mean([s.iou for s in found], axis=0))
        means = [s.miou for s in found]
        spread = f"± {pstdev(means) * 100:.1f}" if len(means) > 1 else ""
        accuracy = mean(s.accuracy for s in found)
        print(f"  {name:<10}{ious}  {mean(means):7.1%} {spread:<5}  {accuracy:8.1%}", flush=True)
        result[name] = found
    return result


def sweep(
    images: Sequence[LabeledImage],
    models: Models,
    clean: dict[str, list[Scores]],
    chosen: Sequence[Corruption],
) -> dict[str, dict[str, list[float]]]:
    """Print what is left of the score under corruptions, in percent of the clean one."""
    bands = next(iter(models.values()))[0].card.band_names
    head = "  ".join(f"{name:>18}" for name in models)
    print(f"\nLeft of mIoU and of mean precision, percent\n  {'':<24}{head}")
    result: dict[str, dict[str, list[float]]] = {}
    for corruption in chosen:
        for strength in corruption.levels(bands):
            worse = [spoiled(image, bands, corruption, strength) for image in images]
            row = {}
            for name, segmenters in models.items():
                found = [score_images(segmenter, worse) for segmenter in segmenters]
                pairs = list(zip(found, clean[name], strict=True))
                row[name] = [
                    mean(s.miou / c.miou for s, c in pairs),
                    mean(s.mean_precision / c.mean_precision for s, c in pairs),
                ]
            label = f"{corruption.name} {strength:g}"
            cells = "  ".join(f"{a * 100:11.1f} {b * 100:6.1f}" for a, b in row.values())
            print(f"  {label:<24}{cells}", flush=True)
            result[label] = row
    return result


def main() -> None:
    """Parse, train, print."""
    choices = [*BASELINES, CAMSS, SHIPPED]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", type=Path, default=ROOT / "recipes/aerial-landcover.yaml")
    parser.add_argument("--data", type=Path, required=True, help="the data folder")
    parser.add_argument(
        "--networks",
        nargs="+",
        choices=choices,
        default=["U-Net", SHIPPED],
        metavar="NAME",
        help=", ".join(choices),
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--stages", type=int, help="of the recipe, the first so many")
    parser.add_argument("--minutes", type=float, help="for each stage, for its own")
    parser.add_argument("--crop", type=int, help="map only so many pixels of each image, squared")
    parser.add_argument("--corrupt", action="store_true", help="sweep corruptions as well")
    parser.add_argument(
        "--only", nargs="+", choices=list(CORRUPTIONS), default=(), help="of the corruptions, these"
    )
    parser.add_argument("--weights", type=Path, help="folder that keeps what was trained")
    parser.add_argument("--json", type=Path, help="write the numbers here too")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")

    recipe = changed(load_recipe(options.recipe), minutes=options.minutes, max_steps=None)
    recipe = recipe.model_copy(update={"stages": recipe.stages[: options.stages]})
    models: Models = {}
    for name in options.networks:
        if name == SHIPPED:
            models[name] = [checkpoint.load(registry.path(registry.DEFAULT))]
        else:
            models[name] = [
                trained(name, recipe, seed, options.data, options.weights) for seed in options.seeds
            ]
    card = recipe.card_without_results()
    sizes = {
        name: {"parameters": parameters(name, recipe), "mpx_per_second": speed(found[0])}
        for name, found in models.items()
    }
    for name, size in sizes.items():
        print(
            f"{name}: {size['parameters'] / 1e6:.2f} M parameters, "
            f"{size['mpx_per_second']:.2f} Mpx/s, model alone"
        )
    images = cropped(held_out(recipe, card, options.data), options.crop)
    clean = report("Held-out images", images, models)
    result: dict[str, object] = {
        "minutes": sum(stage.training.minutes for stage in recipe.parts()),
        "seeds": options.seeds,
        "classes": card.classes.names,
        "networks": sizes,
        "held out": {name: [asdict(s) for s in found] for name, found in clean.items()},
    }
    demo = cropped(demo_scene(card), options.crop)
    if demo:
        found = report("Simulated demo scene", demo, models)
        result["demo"] = {name: [asdict(s) for s in each] for name, each in found.items()}
    if options.corrupt:
        chosen = chosen_corruptions(tuple(options.only)) if options.only else CORRUPTIONS.values()
        result["left under corruption"] = sweep(images, models, clean, tuple(chosen))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
