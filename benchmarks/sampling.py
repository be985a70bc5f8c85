"""What drawing a map costs: steps, samplers and heads, on one machine and over one trunk.

    python -m benchmarks.sampling --data ../shared/data --minutes 5

takes a model, trains the paper's diffusion head on its frozen trunk for that long, and a one-step
head if it has none, and maps held-out images with each. The yardstick is the paper's own way: 100
ancestral steps, and the head run on image tokens too, whose latents are thrown away. It is run with
the paper's head, and with the model's own, so that the same weights can be compared. Encoder,
transformer and decoder cost the same in every way, so the head's own time is told beside the whole.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Generator, Tensor, nn

from benchmarks.images import cropped
from benchmarks.networks import chips_for
from geocamss.models import checkpoint, registry
from geocamss.models.camss.config import CamssConfig
from geocamss.models.camss.head import Head
from geocamss.models.camss.model import CamssSegmenter
from geocamss.models.camss.network import CamssNetwork, build_head, tokens_seen
from geocamss.models.camss.schedule import LAST_SAFE, Level
from geocamss.models.camss.student import StudentHead, mean_flow_loss
from geocamss.models.camss.tokenizer import one_hot
from geocamss.models.segmenter import Sampling
from geocamss.training.batches import Batches
from geocamss.training.evaluation import score_images
from geocamss.training.recipe import load_recipe
from geocamss.training.sources import IGNORED, LabeledImage
from geocamss.training.train import load_data

ROOT = Path(__file__).resolve().parent.parent
STEPS = (1, 2, 4, 8, 25, 100)
RATE = 2e-3

NOTE = (
    f"All ways along the cosine schedule begin at timestep {LAST_SAFE} of 1000, and not, as the "
    "paper's do, at 999: beyond, data are divided by almost nothing, and the least error of a head "
    "grows a thousandfold."
)


class Unsliced(Head):
    """A head that draws as many latents again for image tokens, as the paper's does."""

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.head, self.latent, self.predicts_mean = head, head.latent, head.predicts_mean

    def clean(self, noisy: Tensor, level: Level, condition: Tensor) -> Tensor:
        """The mask tokens' data; see ``Head``."""
        return self.head.clean(_twice(noisy), level, _twice(condition))[len(noisy) :]

    def posterior(
        self, noisy: Tensor, level: Level, condition: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """The mask tokens' data and variances; see ``Head``."""
        data, where = self.head.posterior(_twice(noisy), level, _twice(condition))
        return data[len(noisy) :], where if where is None else where[len(noisy) :]

    def loss(self, data: Tensor, condition: Tensor, weight: Tensor, generator: Generator) -> Tensor:
        """As the head's own."""
        return self.head.loss(data, condition, weight, generator)


def _twice(x: Tensor) -> Tensor:
    return torch.cat([x, x])


@dataclass(frozen=True)
class Row:
    """One way to draw, measured."""

    head: str
    sampler: str
    steps: int
    seconds: float
    """By the clock, for a megapixel."""

    cpu_seconds: float
    """Of processor time, for a megapixel."""

    head_seconds: float
    """Of these, in the head."""

    evaluations: int
    """Calls of the head for a chip."""

    head_tokens: float
    """Tokens that the head ran on, for each mask token."""

    miou: float

    @property
    def text(self) -> str:
        """A line of the table."""
        return (
            f"  {self.head:<14}{self.sampler:<19}{self.steps:>5}{self.seconds:>10.2f}"
            f"{self.cpu_seconds:>10.2f}{self.head_seconds:>9.3f}{self.evaluations:>7}"
            f"{self.head_tokens:>9.0f}{self.miou:>9.4f}"
        )


class Counter:
    """Counts calls of the heads of a segmenter, tokens, and processor time."""

    def __init__(self, segmenter: CamssSegmenter) -> None:
        self.clear()
        network = segmenter._fast  # noqa: SLF001 (what runs is what is counted)
        inner = network.head.head if isinstance(network.head, Unsliced) else network.head
        for module in (inner, network.student):
            if module is not None:
                module.register_forward_pre_hook(self._begin)
                module.register_forward_hook(self._end)

    def clear(self) -> None:
        """Begin anew."""
        self.calls = self.tokens = 0
        self.seconds = 0.0

    def _begin(self, module: nn.Module, given: tuple[Tensor, ...]) -> None:
        del module
        self.calls += 1
        self.tokens += given[0][..., 0].numel()
        self.seconds -= time.process_time()

    def _end(self, *_: object) -> None:
        self.seconds += time.process_time()


def train_heads(
    network: CamssNetwork, config: CamssConfig, batches: Batches, minutes: float, seed: int
) -> tuple[Head, StudentHead]:
    """The paper's head and a one-step head of the trunk's size, trained side by side."""
    torch.manual_seed(seed)
    sizes = (config.latent, config.width, config.head_width, config.head_layers)
    ddpm = build_head(config.model_copy(update={"head": "ddpm"}))
    student = StudentHead(*sizes)
    modules = nn.ModuleList([ddpm, student])
    optimizer = torch.optim.AdamW(modules.parameters(), lr=RATE, weight_decay=0.0)
    averages = copy.deepcopy(modules).requires_grad_(requires_grad=False)
    generator, started, step = Generator().manual_seed(seed), time.monotonic(), 0
    while (done := (time.monotonic() - started) / (60 * minutes)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1, (step + 1) / 50) * (1 - done)
        given = _conditions(network, batches, step, generator)
        loss = ddpm.loss(*given, generator) + mean_flow_loss(student, *given, generator)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(modules.parameters(), 1.0)
        optimizer.step()
        for mine, theirs in zip(averages.parameters(), modules.parameters(), strict=True):
            mine.lerp_(theirs, max(0.01, 1 / (step + 1)))
        step += 1
    print(f"trained two heads for {step} steps", flush=True)
    return averages[0].eval(), averages[1].eval()


@torch.no_grad()
def _conditions(
    network: CamssNetwork, batches: Batches, step: int, generator: Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Latents, conditions and weights of a batch."""
    batch = batches[step]
    latents, _ = network.mask_encoder.draw(
        one_hot(batch.labels, network.decoder.classes), generator
    )
    *_, coarse = network.encoder(batch.chips, batch.valid)
    seen = tokens_seen(batch.valid, network.stride)
    condition = network.transformer(coarse, seen=None if bool(seen.all()) else seen)
    labeled = (batch.labels != IGNORED).float()
    weight = nn.functional.avg_pool2d(labeled, network.stride)
    return latents.permute(0, 2, 3, 1), condition, weight


def measure(
    names: tuple[str, str], segmenter: CamssSegmenter, how: Sampling, images: Sequence[LabeledImage]
) -> Row:
    """Map images, and count and time it."""
    counter = Counter(segmenter)
    chip = chips_for(segmenter)
    segmenter(*chip, how)  # warm
    counter.clear()
    wall, processor, count = time.perf_counter(), time.process_time(), 4
    for _ in range(count):
        segmenter(*chip, how)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    calls, tokens, in_head = counter.calls // count, counter.tokens / count, counter.seconds
    size, stride = segmenter.card.chip, segmenter.card.stride
    found = score_images(segmenter, images, how)
    return Row(
        *names,
        steps=how.steps or 1,
        seconds=wall / (count * size**2) * 1e6,
        cpu_seconds=processor / (count * size**2) * 1e6,
        head_seconds=in_head / (count * size**2) * 1e6,
        evaluations=calls,
        head_tokens=tokens / (size // stride) ** 2,
        miou=found.miou,
    )


def main() -> None:
    """Parse, train, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", type=Path, default=ROOT / "recipes" / "aerial-landcover.yaml")
    parser.add_argument("--model", type=Path, default=registry.path(registry.DEFAULT))
    parser.add_argument("--data", type=Path, required=True, help="the data folder")
    parser.add_argument("--minutes", type=float, default=5.0, help="training time of the heads")
    parser.add_argument("--images", type=int, help="held-out images to map; all by default")
    parser.add_argument("--crop", type=int, help="map only so many pixels of each, squared")
    parser.add_argument(
        "--steps", type=int, nargs="+", default=STEPS, help="the last is the paper's"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the numbers here too")
    options = parser.parse_args()

    network, card = checkpoint.load_network(options.model)
    config = CamssConfig.of(card.parameters, str(options.model))
    recipe = load_recipe(options.recipe)
    pairs = tuple(source for source in recipe.sources if source.kind == "pairs")
    data = load_data(recipe.model_copy(update={"sources": pairs}), options.data)
    images = cropped(data.validation[: options.images], options.crop)
    batches = Batches(data.pools, card, recipe.training, 0, 1_000_000)
    ddpm, student = train_heads(network, config, batches, options.minutes, options.seed)
    student = network.student or student  # where the model has one, it had more time

    def variant(head: Head, *, unsliced: bool = False, one_step: bool = False) -> CamssSegmenter:
        changed = copy.deepcopy(network)
        changed.head = Unsliced(copy.deepcopy(head)) if unsliced else copy.deepcopy(head)
        changed.student = copy.deepcopy(student) if one_step else None
        return CamssSegmenter(changed, card)

    print(
        "\n  head          sampler            steps   s / Mpx   CPU s  in head  calls   tokens"
        "     mIoU"
    )
    rows: list[Row] = []

    def add(names: tuple[str, str], segmenter: CamssSegmenter, how: Sampling) -> Row:
        rows.append(measure(names, segmenter, how, images))
        print(rows[-1].text, flush=True)
        return rows[-1]

    path = options.steps
    euler = [add(("flow", "euler"), variant(network.head), Sampling(steps)) for steps in path]
    default = euler[0]
    add(("flow", "euler, 8 samples"), variant(network.head), Sampling(4, samples=8))
    for rounds in (2, 3):
        add(("flow", f"euler, {rounds} rounds"), variant(network.head), Sampling(1, rounds=rounds))
    add(("flow", "euler, guided 1.5"), variant(network.head), Sampling(1, guidance=1.5))
    for sampler, steps in (("heun", path[-1] // 2), ("ddim", path[-1]), ("dpm++", path[-1])):
        add(("flow", sampler), variant(network.head), Sampling(steps, sampler=sampler))
    for steps in path:
        add(("diffusion", "dpm++"), variant(ddpm), Sampling(steps, sampler="dpm++"))
    one = add(
        ("one-step", "one-step"),
        variant(network.head, one_step=True),
        Sampling(1, sampler="one-step"),
    )
    paper = Sampling(path[-1], sampler="ddpm")
    same = add(("flow", "ddpm, unsliced"), variant(network.head, unsliced=True), paper)
    theirs = add(("diffusion", "ddpm, unsliced"), variant(ddpm, unsliced=True), paper)
    against = []
    for name, yardstick in (("the same weights", same), ("the paper's head", theirs)):
        item = {
            "yardstick": name,
            "steps": path[-1],
            "times": yardstick.cpu_seconds / default.cpu_seconds,
            "head_times": yardstick.head_seconds / default.head_seconds,
            "default_points": 100 * (default.miou - yardstick.miou),
            "one_step_points": 100 * (one.miou - yardstick.miou),
        }
        against.append(item)
        print(
            f"Against {path[-1]} ancestral steps of {name}: the default's sampling costs 1/"
            f"{item['head_times']:.0f}, and with all else 1/{item['times']:.1f}; it scores "
            f"{item['default_points']:+.2f} points, the one-step head "
            f"{item['one_step_points']:+.2f} points of mIoU"
        )
    print(NOTE)
    if options.json:
        content = {"rows": [asdict(row) for row in rows], "against": against, "note": NOTE}
        options.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
