"""What mask tokenizers keep of real masks: continuous ones and quantized, at strides 8 and 16.

    python -m benchmarks.tokenizer --data ../shared/data --minutes 4 --seeds 3

trains each for the same time on the masks of the recipe's training folders, without ever seeing an
image, and sends the masks of its validation folders there and back. Lines one pixel wide are rare
in these, and the first thing that a coarse code loses: some are drawn across the held-out masks,
and counted by themselves.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import torch
from torch import Generator, Tensor, nn

from geocamss.evaluation.boundary import boundary_counts, boundary_scores
from geocamss.evaluation.scores import confusion, scores
from geocamss.models.camss.config import CamssConfig
from geocamss.models.camss.network import build
from geocamss.models.camss.tokenizer import one_hot
from geocamss.models.precision import fast_dtype
from geocamss.training.objective import map_loss
from geocamss.training.recipe import load_recipe
from geocamss.training.sources import IGNORED, Source, load_source

ROOT = Path(__file__).resolve().parent.parent

FINE = {
    "stride": 8,
    "pyramid": (16, 32, 64, 112),
    "blocks": (0, 1, 1, 1),
    "latent": 16,
    "tokenizer": (64, 96),
    "decoder": (16, 32, 64, 96),
}
QUANTIZED = {"code": "vq"}
KINDS = {"KL f8": FINE, "KL f16": {}, "VQ f8": {**FINE, **QUANTIZED}, "VQ f16": QUANTIZED}
"""What differs from the default configuration."""

CHIP, BATCH, RATE, COMMITMENT, KL = 128, 16, 3e-3, 0.25, 1e-4
TOLERANCE = 1
"""Pixels within which boundaries agree."""


@dataclass(frozen=True)
class RoundTrip:
    """What is left of held-out masks; 0 to 1."""

    accuracy: float
    miou: float
    boundary_f1: float
    line_recall: float


def masks(path: Path, data: Path) -> tuple[list[Tensor], list[Tensor], int]:
    """Masks of a recipe's pictures to train on, and those held out; and how many classes."""
    recipe = load_recipe(path)
    card = recipe.card_without_results()

    def read(sources: Sequence[Source]) -> list[Tensor]:
        chosen = [source for source in sources if source.kind == "pairs"]
        images = [item for source in chosen for item in load_source(source, card, data)]
        sizes = [[length // 16 * 16 for length in item.labels.shape] for item in images]
        return [i.labels[:h, :w] for i, (h, w) in zip(images, sizes, strict=True)]

    return read(recipe.sources), read(recipe.validation), len(card.classes)


def chips(masks: Sequence[Tensor], generator: Generator) -> Tensor:
    """A batch of squares cut from masks, turned and mirrored, (BATCH, CHIP, CHIP) int64."""
    found = []
    for _ in range(BATCH):
        mask = masks[int(torch.randint(len(masks), (), generator=generator))]
        row, col = (
            int(torch.randint(length - CHIP + 1, (), generator=generator)) for length in mask.shape
        )
        chip = mask[row : row + CHIP, col : col + CHIP]
        turns = int(torch.randint(8, (), generator=generator))
        chip = torch.rot90(chip, turns % 4)
        found.append(chip.flip(0) if turns >= 4 else chip)
    return torch.stack(found).long()


def train(kind: str, masks: Sequence[Tensor], classes: int, minutes: float, seed: int) -> nn.Module:
    """Train a tokenizer for so long; cross-entropy there and back."""
    torch.manual_seed(seed)
    network = build(CamssConfig.model_validate({**KINDS[kind], "guided": False}), 1, classes)
    parts = nn.ModuleDict({"encoder": network.mask_encoder, "decoder": network.decoder})
    optimizer = torch.optim.AdamW(parts.parameters(), lr=RATE, betas=(0.9, 0.98))
    generator, weights = Generator().manual_seed(seed), torch.ones(classes)
    penalty_weight = COMMITMENT if "VQ" in kind else KL
    half = fast_dtype(torch.device("cpu")) is torch.bfloat16
    started, steps = time.monotonic(), 0
    while (done := (time.monotonic() - started) / (60 * minutes)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1, (steps + 1) / 50) * 0.5 * (1 + math.cos(math.pi * done))
        labels = chips(masks, generator)
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            latents, penalty = network.mask_encoder.draw(one_hot(labels, classes), generator)
            logits = network.decoder(latents)
        loss = map_loss(logits, labels, weights, dice=0.0) + penalty_weight * penalty
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parts.parameters(), 1.0)
        optimizer.step()
        steps += 1
    print(f"  {kind}, seed {seed}: {steps} steps", flush=True)
    return network.eval()


def with_lines(mask: Tensor, classes: int, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
    """A mask with lines one pixel wide drawn across, and where they are."""
    drawn, where = mask.clone(), torch.zeros(mask.shape, dtype=torch.bool)
    height, width = mask.shape
    for number in range(12):
        ends = generator.uniform(0, [height - 1, width - 1], (2, 2))
        count = int(np.abs(ends[1] - ends[0]).max()) + 1  # no gap, and nowhere wider than a pixel
        rows, cols = np.rint(np.linspace(ends[0], ends[1], count)).astype(int).T
        fresh = (mask[rows, cols] != IGNORED) & (mask[rows, cols] != number % classes)
        rows, cols = torch.from_numpy(rows)[fresh], torch.from_numpy(cols)[fresh]
        drawn[rows, cols] = number % classes
        where[rows, cols] = True
    return drawn, where


@torch.inference_mode()
def there_and_back(network: nn.Module, mask: Tensor, classes: int) -> Tensor:
    """A mask as it comes back, (H, W) int64."""
    code, _ = network.mask_encoder(one_hot(mask[None].long(), classes))
    return network.decoder(code)[0].argmax(0)


def measure(network: nn.Module, masks: Sequence[Tensor], classes: int) -> RoundTrip:
    """Send masks there and back; then once more with lines in them."""
    counts = np.zeros((classes, classes + 1), np.int64)
    edges = np.zeros((classes, 4), np.int64)
    generator, hits, lines = np.random.default_rng(0), 0, 0
    for mask in masks:
        found, labels = there_and_back(network, mask, classes).numpy(), mask.numpy()
        counts += confusion(found, labels, classes)
        edges += boundary_counts(found, labels, classes, TOLERANCE)
        drawn, where = with_lines(mask, classes, generator)
        found = there_and_back(network, drawn, classes)
        hits += int((found == drawn)[where].sum())
        lines += int(where.sum())
    total = scores(counts)
    f1 = boundary_scores(edges, TOLERANCE).mean_f1
    return RoundTrip(total.accuracy, total.miou, f1, hits / max(lines, 1))


def main() -> None:
    """Parse, train, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", type=Path, default=ROOT / "recipes" / "aerial-landcover.yaml")
    parser.add_argument("--data", type=Path, required=True, help="the data folder")
    parser.add_argument("--minutes", type=float, default=4.0, help="training time of each")
    parser.add_argument("--seeds", type=int, default=1, help="how many of each")
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--images", type=int, help="masks to send there and back; all by default")
    parser.add_argument("--json", type=Path, help="write the numbers here too")
    options = parser.parse_args()

    training, held_out, classes = masks(options.recipe, options.data)
    held_out = held_out[: options.images]
    print(
        f"{len(training)} masks to train on, {len(held_out)} held out; {options.minutes:g} min each"
    )
    found: dict[str, list[RoundTrip]] = {
        kind: [
            measure(train(kind, training, classes, options.minutes, seed), held_out, classes)
            for seed in range(options.seeds)
        ]
        for kind in options.kinds
    }
    names = [field.name for field in fields(RoundTrip)]
    print("\nRound trip of held-out masks, mean and spread over seeds")
    print("  " + " " * 8 + "  ".join(f"{name.replace('_', ' '):>16}" for name in names))
    for kind, trips in found.items():
        table = np.array([[getattr(trip, name) for name in names] for trip in trips])
        cells = (f"{m:.4f} +- {s:.4f}" for m, s in zip(table.mean(0), table.std(0), strict=True))
        print(f"  {kind:<8}" + "  ".join(f"{cell:>16}" for cell in cells))
    if options.json:
        kinds = {kind: [asdict(trip) for trip in trips] for kind, trips in found.items()}
        content = {"minutes": options.minutes, "kinds": kinds}
        options.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
