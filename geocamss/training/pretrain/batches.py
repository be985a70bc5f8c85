"""Batches for pretraining: chips of any sensor, in channels drawn anew for each."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor
from torch.utils.data import Dataset

from geocamss.training.augment import colorize, cut, hide_corner
from geocamss.training.batches import Batch, Pool, choose_image, image_chances, step_generator
from geocamss.training.channels import draw_channels, place_channels
from geocamss.training.pretrain.images import TONES
from geocamss.training.pretrain.recipe import PretrainRecipe

__all__ = ["PretrainBatches"]


class PretrainBatches(Dataset[Batch]):
    """Batch ``index`` of a run; a batch of the contrastive objective holds two views a chip."""

    def __init__(
        self,
        pools: Sequence[Pool],
        recipe: PretrainRecipe,
        statistics: tuple[float, float],
        first: int,
        count: int,
    ) -> None:
        """Take the batches from number ``first`` on, ``count`` of them.

        Args:
            pools: Images without labels.
            recipe: How chips are made.
            statistics: Mean and deviation, the same for all channels.
            first: Number of the first batch.
            count: How many.
        """
        self._images = [image for pool in pools for image in pool.images]
        self._chances = image_chances(pools)
        self._recipe = recipe
        self._mean, self._std = statistics
        self._first, self._count = first, count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Batch:
        """Make a batch; its labels are all ignored."""
        if not 0 <= index < self._count:
            raise IndexError(index)
        recipe = self._recipe
        generator = step_generator(recipe.training.seed, self._first + index, purpose=0)
        low, high = recipe.channel_range
        count = low + int(torch.randint(high - low + 1, (), generator=generator))
        views = 2 if recipe.objective == "contrastive" else 1
        made = [self._chip(count, views, generator) for _ in range(recipe.training.batch)]
        # First views together, then second ones.
        chips = torch.stack([chip[view] for view in range(views) for chip, _, _ in made])
        labels = torch.stack([labels for _ in range(views) for _, labels, _ in made])
        valid = torch.stack([valid for _ in range(views) for _, _, valid in made])
        return Batch(chips, labels, valid)

    def _chip(
        self, count: int, views: int, generator: Generator
    ) -> tuple[list[Tensor], Tensor, Tensor]:
        """Views of one place, each (slots, H, W), with its labels and validity, both (H, W)."""
        how = self._recipe.training.augmentation
        image = choose_image(self._images, self._chances, generator)
        chip = hide_corner(cut(image, self._recipe.training.chip, how, generator), how, generator)
        pixels = chip.image.clamp(*TONES)
        seen = [self._view(pixels, chip.valid, count, generator) for _ in range(views)]
        return seen, chip.labels, chip.valid

    def _view(self, image: Tensor, valid: Tensor, count: int, generator: Generator) -> Tensor:
        """Colors varied, then channels drawn, then one normalization for all of them."""
        recipe = self._recipe
        colored = colorize(image, recipe.training.augmentation, generator)
        order = draw_channels(len(image), count, generator, shuffle=recipe.shuffle)
        normal = ((colored[order] - self._mean) / self._std).masked_fill(~valid, 0)
        return place_channels(normal, recipe.slots, generator, shuffle=recipe.shuffle)
