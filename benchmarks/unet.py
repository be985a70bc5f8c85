"""The segmenter beside a U-Net: same data, augmentation, optimizer, parameters and minutes.

    python benchmarks/unet.py --data ../shared/data

trains a U-Net (Ronneberger et al., 2015, with batch normalization) by the three recipes of the
default model one after another, with cross-entropy and Dice, and prints its scores beside those of
the shipped model. ``--recipes`` takes others, and ``--minutes`` gives each so long. With ``--both``
the segmenter is trained as well, for the same time under the same load, instead of taking the
shipped one. Both keep the moving average that the recipe says.
"""

from __future__ import annotations

import argparse
import copy
import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import rasterio
import torch
from safetensors.torch import load_file, save_file
from torch import Generator, Tensor, nn

from geocamss.evaluation.scores import Scores
from geocamss.modelcard import ModelCard
from geocamss.models import checkpoint, registry
from geocamss.models.camss.layers import ConvNorm, fold_norms
from geocamss.models.camss.network import build
from geocamss.models.module import from_module
from geocamss.models.precision import fast_dtype
from geocamss.models.segmenter import Sampling, Segmenter
from geocamss.training.batches import Batch, Batches, class_frequencies
from geocamss.training.evaluation import score_images
from geocamss.training.loop import Loop
from geocamss.training.objective import CamssObjective, Objective, class_weights, map_loss
from geocamss.training.recipe import Recipe, Training, changed, load_recipe
from geocamss.training.sources import LabeledImage
from geocamss.training.train import Data, fit, load_data

ROOT = Path(__file__).resolve().parent.parent

DEFAULT_RECIPES = [ROOT / "recipes" / f"aerial-landcover{part}.yaml" for part in ("", "-2", "-3")]

WIDTHS = (16, 32, 64, 160, 304)
"""Channels by level: multiples of 16, and as many parameters as the segmenter has (2.7 M)."""


class UNet(nn.Module):
    """Five levels, two convolutions a level on the way down and on the way up."""

    def __init__(self, bands: int, widths: Sequence[int], classes: int) -> None:
        super().__init__()
        inside = (bands, *widths[:-1])
        self.down = nn.ModuleList(_double(i, o) for i, o in zip(inside, widths, strict=True))
        pairs = list(zip(widths[::-1][:-1], widths[::-1][1:], strict=True))
        self.grow = nn.ModuleList(nn.ConvTranspose2d(i, o, 2, stride=2) for i, o in pairs)
        self.up = nn.ModuleList(_double(2 * o, o) for _, o in pairs)
        self.leave = nn.Conv2d(widths[0], classes, 1)
        self.pool = nn.MaxPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, K, H, W) logits; H and W are multiples of 16."""
        x = x.contiguous(memory_format=torch.channels_last)
        skips: list[Tensor] = []
        for level, block in enumerate(self.down):
            x = block(x if level == 0 else self.pool(x))  # (B, widths[level], H/2^l, W/2^l)
            skips.append(x)
        for grow, block, skip in zip(self.grow, self.up, skips[-2::-1], strict=True):
            x = block(torch.cat([skip, grow(x)], dim=1))
        logits: Tensor = self.leave(x)  # (B, K, H, W)
        return logits


def _double(inside: int, outside: int) -> nn.Sequential:
    return nn.Sequential(ConvNorm(inside, outside), ConvNorm(outside, outside))


class PlainObjective:
    """Cross-entropy and Dice, weighted as the segmenter's map loss is."""

    def __init__(self, training: Training, weights: Tensor) -> None:
        self._training = training
        self._weights = weights

    def losses(self, network: nn.Module, batch: Batch, generator: Generator) -> dict[str, Tensor]:
        """The map loss."""
        del generator
        weights = self._weights.to(batch.chips.device)
        return {"map": map_loss(network(batch.chips), batch.labels, weights, self._training.dice)}

    def segmenter(self, network: nn.Module, card: ModelCard) -> Segmenter:
        """The network folded, in the fastest number format, as the segmenter's is."""
        fast = copy.deepcopy(network).eval()
        fold_norms(fast)
        device = next(network.parameters()).device
        return from_module(
            fast.to(dtype=fast_dtype(device), memory_format=torch.channels_last), card
        )


@dataclass(frozen=True)
class Part:
    """A recipe with all that it trains on."""

    recipe: Recipe
    data: Data
    weights: Tensor
    """(K,) weights of the classes."""


def load_part(path: Path, folder: Path, minutes: float | None) -> Part:
    """Read a recipe and its data."""
    recipe = changed(load_recipe(path), minutes=minutes, max_steps=None)
    data = load_data(recipe, folder)
    frequencies = class_frequencies(data.pools, len(recipe.card_without_results().classes))
    return Part(recipe, data, class_weights(frequencies, recipe.training.class_power))


def train(
    network: nn.Module, objective: Callable[[Training, Tensor], Objective], part: Part
) -> Segmenter:
    """Train a network by one recipe; the average that it keeps is what the next one starts from."""
    card, training = part.recipe.card_without_results(), part.recipe.training
    loop = Loop(
        network,
        objective=objective(training, part.weights),
        card=card,
        training=training,
        batches=partial(Batches, part.data.pools, card, training),
        validation=part.data.validation,
    )
    fit(loop)
    print(f"  {loop.global_step} steps of {training.batch} chips of {training.chip} pixels")
    network.load_state_dict(loop.best.state_dict())
    return loop.segmenter(loop.best)


def demo_scene(card: ModelCard) -> list[LabeledImage]:
    """The simulated demo scene and its truth, if they are there."""
    scene, truth = ROOT / "tiles" / "demo.tif", ROOT / "tiles" / "demo-truth.tif"
    if not scene.is_file() or not truth.is_file():
        return []
    with rasterio.open(scene) as dataset:
        image = torch.from_numpy(dataset.read([1, 2, 3]))
        valid = torch.from_numpy(dataset.dataset_mask() > 0)
    with rasterio.open(truth) as dataset:
        values = torch.from_numpy(dataset.read(1)).long()
    channels = torch.full((256,), 255, dtype=torch.uint8)
    for channel, value in enumerate(card.classes.values):
        channels[value] = channel
    return [LabeledImage(str(scene), image, channels[values], valid)]


def speed(segmenter: Segmenter) -> float:
    """Megapixels a second of the model alone, chips of the card's size."""
    size, count = segmenter.card.chip, 8
    chips = torch.randn(count, len(segmenter.card.bands), size, size, device=segmenter.device)
    valid = torch.ones(count, size, size, dtype=torch.bool, device=segmenter.device)
    corners = torch.zeros(count, 2, dtype=torch.int64)
    segmenter(chips, valid, corners, Sampling())
    started = time.perf_counter()
    for _ in range(3):
        segmenter(chips, valid, corners, Sampling())
    return 3 * count * size * size / (time.perf_counter() - started) / 1e6


def _row(name: str, found: Scores) -> str:
    ious = "  ".join(f"{value:10.3f}" for value in found.iou)
    return f"  {name:<10}{ious}  {found.miou:8.3f}  {found.accuracy:8.3f}"


def report(title: str, images: Sequence[LabeledImage], models: dict[str, Segmenter]) -> dict:
    """Print a table, and return it."""
    names = next(iter(models.values())).card.classes.names
    header = "  ".join(f"{name:>10}" for name in names)
    print(f"{title}: IoU by class, mean, pixel accuracy\n  {'':<10}{header}  {'mIoU':>8}  accuracy")
    found = {name: score_images(model, images) for name, model in models.items()}
    for name, result in found.items():
        print(_row(name, result))
    return {name: asdict(result) for name, result in found.items()}


def main() -> None:
    """Parse, train, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipes", type=Path, nargs="+", default=DEFAULT_RECIPES)
    parser.add_argument("--data", type=Path, required=True, help="the data folder")
    parser.add_argument("--minutes", type=float, help="training time by each recipe, for its own")
    parser.add_argument("--both", action="store_true", help="train the segmenter as well")
    parser.add_argument("--weights", type=Path, help="write the U-Net's weights here")
    parser.add_argument("--start-from", type=Path, help="the U-Net's weights to go on from")
    parser.add_argument("--json", type=Path, help="write the numbers here too")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")

    first = load_recipe(options.recipes[0])
    card = first.card_without_results()
    bands, classes = len(card.bands), len(card.classes)
    torch.manual_seed(first.training.seed)
    unet = UNet(bands, WIDTHS, classes)
    if options.start_from:
        unet.load_state_dict(load_file(options.start_from))
    torch.manual_seed(first.training.seed)
    camss = build(first.model, bands, classes)
    models = {}
    minutes = 0.0
    for recipe in options.recipes:
        part = load_part(recipe, options.data, options.minutes)
        minutes += part.recipe.training.minutes
        print(f"{recipe.name}: U-Net, {part.recipe.training.minutes:g} minutes", flush=True)
        models["U-Net"] = train(unet, PlainObjective, part)
        if options.weights:
            save_file({k: v.contiguous() for k, v in unet.state_dict().items()}, options.weights)
        if options.both:
            print(f"{recipe.name}: CAM-Seg", flush=True)
            models["CAM-Seg"] = train(camss, CamssObjective, part)
    if not options.both:
        models["CAM-Seg"] = checkpoint.load(registry.path(registry.DEFAULT))

    result: dict = {"minutes": minutes}
    for name, module in (("U-Net", unet), ("CAM-Seg", camss)):
        count = sum(p.numel() for p in module.parameters())
        rate = speed(models[name])
        print(f"{name}: {count / 1e6:.2f} M parameters, {rate:.2f} Mpx/s, model alone")
        result[name] = {"parameters": count, "mpx_per_second": rate}
    result["validation"] = report("Validation images", part.data.validation, models)
    demo = demo_scene(card)
    if demo:
        result["demo"] = report("Simulated demo scene", demo, models)
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
