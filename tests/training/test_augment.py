"""Chips: image, labels and validity stay together, whatever is done to them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Generator

from geocamss.modelcard import ModelCard
from geocamss.training.augment import Chip, colorize, cut, hide_corner
from geocamss.training.batches import (
    Batches,
    Pool,
    class_frequencies,
    image_chances,
    normalize,
    tones,
)
from geocamss.training.recipe import Augmentation, Training
from geocamss.training.sources import IGNORED, LabeledImage
from geocamss.training.sources.places import Places

PLAIN = Augmentation(
    scale=(1, 1),
    stretch=0,
    rotation=0,
    brightness=0,
    contrast=0,
    saturation=0,
    tint=0,
    gamma=0,
    noise=0,
    blur=0,
    nodata=0,
)


def picture(height: int = 90, width: int = 70) -> LabeledImage:
    """Labels that can be read off the image: bands of color 16 pixels wide, in blocks."""
    rows, cols = torch.arange(height)[:, None] // 16, torch.arange(width)[None, :] // 16
    labels = ((rows + cols) % 3).to(torch.uint8)
    image = torch.stack([labels * 100, labels * 50 + 20, labels * 0 + 7])
    valid = torch.ones(height, width, dtype=torch.bool)
    valid[:5] = False
    return LabeledImage("blocks", image, labels, valid)


@settings(max_examples=60)
@given(st.integers(0, 2**32), st.floats(0.3, 3.0), st.sampled_from([0.0, 1.0]))
def test_labels_stay_with_their_pixels(seed, zoom, rotation):
    how = PLAIN.model_copy(update={"scale": (zoom, zoom), "rotation": rotation, "stretch": 0.2})
    chip = cut(picture(), 48, how, Generator().manual_seed(seed))
    assert chip.image.shape == (3, 48, 48)
    assert chip.labels.shape == chip.valid.shape == (48, 48)
    assert set(chip.labels.unique().tolist()) <= {0, 1, 2, 255}
    assert bool((chip.labels[~chip.valid] == 255).all())
    labeled = chip.labels != 255
    if zoom >= 1 and labeled.any():
        # Away from edges between labels, colors tell the label: within half a step of its own.
        off = (chip.image[0] - chip.labels * 100).abs()[labeled]
        assert (off < 50).float().mean() > 0.85


@given(st.integers(0, 2**32), st.floats(0.3, 3.0))
def test_nodata_reaches_no_valid_pixel(seed, zoom):
    whole = torch.full((2, 96, 96), 1000.0)
    valid = torch.rand(12, 12, generator=Generator().manual_seed(seed)) < 0.5
    valid = valid.repeat_interleave(8, 0).repeat_interleave(8, 1)
    source = LabeledImage(
        "holes", whole * valid, torch.zeros(96, 96, dtype=torch.uint8), valid.contiguous()
    )
    how = PLAIN.model_copy(update={"scale": (zoom, zoom), "rotation": 1.0, "blur": 1.0})
    generator = Generator().manual_seed(seed)
    chip = cut(source, 48, how, generator)
    seen = colorize(chip.image / 1000, how, generator)[:, chip.valid]
    torch.testing.assert_close(seen, torch.ones_like(seen))


@given(st.integers(0, 2**32))
def test_without_zoom_and_turning_chips_are_exact_parts(seed):
    source = picture()
    chip = cut(source, 32, PLAIN, Generator().manual_seed(seed))
    inside = chip.valid
    assert torch.allclose(chip.image[0][inside], chip.labels[inside] * 100.0, atol=0.1)


def fields(side: int = 1000, count: int = 12, width: int = 20) -> LabeledImage:
    """A few small labeled squares in a large image."""
    labels = torch.full((side, side), IGNORED, dtype=torch.uint8)
    corners = torch.randint(side - width, (count, 2), generator=Generator().manual_seed(1))
    for number, (row, col) in enumerate(corners.tolist()):
        labels[row : row + width, col : col + width] = number % 3
    return LabeledImage("fields", torch.zeros(2, side, side), labels, labels >= 0)


@pytest.mark.parametrize("rotation", [0.0, 1.0])
def test_few_labels_in_a_large_image_are_seen_in_most_chips(rotation):
    source, generator = fields(), Generator().manual_seed(0)
    how = Augmentation(rotation=rotation)
    chips = [cut(source, 64, how, generator).labels for _ in range(300)]
    seen = [bool((labels != IGNORED).any()) for labels in chips]
    assert 0.85 < sum(seen) / len(seen) < 0.98
    # Wherever in the chip, and not in its middle alone.
    shares = torch.stack([labels != IGNORED for labels in chips]).float().mean(0)
    quarters = [float(part.mean()) for half in shares.chunk(2) for part in half.chunk(2, 1)]
    assert max(quarters) < 2 * min(quarters)


@given(st.integers(0, 2**32), st.booleans())
def test_a_labeled_image_is_cut_anywhere(seed, turned):
    item = picture(200, 300)
    unlabeled = LabeledImage(
        "no labels", item.image, torch.full_like(item.labels, IGNORED), item.valid
    )
    how = Augmentation(rotation=float(turned))
    chip, other = (cut(i, 48, how, Generator().manual_seed(seed)) for i in (item, unlabeled))
    assert torch.equal(chip.image, other.image)
    assert torch.equal(chip.valid, other.valid)


def test_every_labeled_pixel_is_as_likely_as_any_other():
    labeled = torch.rand(70, 90, generator=Generator().manual_seed(2)) < 0.004
    labeled[64:, 80:] = True  # a cell at the corner that is no whole one
    places, generator = Places.of(labeled, False), Generator().manual_seed(0)
    counts = torch.zeros(labeled.shape)
    draws = 200 * places.total
    for _ in range(draws):
        counts[places.draw(generator)] += 1
    assert places.total == int(labeled.sum())
    assert not counts[~labeled].any()
    chi_squared = float(((counts[labeled] - 200) ** 2 / 200).sum())
    freedom = places.total - 1
    assert abs(chi_squared - freedom) < 4 * (2 * freedom) ** 0.5
    with pytest.raises(ValueError, match="no pixel is labeled"):
        Places.of(torch.zeros(5, 5), 0).draw(generator)


def test_images_are_drawn_by_the_ground_near_their_labels():
    dense = [picture(90, 70), picture(180, 140)]
    torch.testing.assert_close(image_chances([Pool(dense, 3.0)]), torch.tensor([1.0, 2.0]))
    few, many = image_chances([Pool([fields(), picture(1000, 1000)], 1.0)]).tolist()
    assert few < many / 4
    blank = [
        LabeledImage("blank", item.image, torch.full_like(item.labels, IGNORED), item.valid)
        for item in dense
    ]
    torch.testing.assert_close(image_chances([Pool(blank, 3.0)]), torch.tensor([1.0, 2.0]))


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_hidden_corners_are_ignored_and_not_valid(share):
    how = PLAIN.model_copy(update={"nodata": share})
    chip = cut(picture(), 48, PLAIN, Generator().manual_seed(0))
    hidden = [hide_corner(chip, how, Generator().manual_seed(s)) for s in range(20)]
    assert any(bool((h.valid != chip.valid).any()) for h in hidden) == (share == 1.0)
    for other in hidden:
        assert bool((other.labels[~other.valid] == 255).all())
        assert torch.equal(other.labels[other.valid], chip.labels[other.valid])


@given(st.integers(0, 2**32))
def test_strengths_of_zero_keep_the_colors(seed):
    image = torch.rand(3, 16, 16).clamp(min=1e-3)
    assert torch.allclose(colorize(image, PLAIN, Generator().manual_seed(seed)), image, atol=1e-5)


def card() -> ModelCard:
    return ModelCard(
        bands=["red", "green", "blue"],
        gsd=1.0,
        classes=["a", "b", "c"],
        scale=1 / 255,
        mean=(0.4, 0.5, 0.6),
        std=(0.2, 0.3, 0.4),
    )


def test_a_batch_is_a_function_of_its_number():
    pools, training = [Pool([picture()], 1.0)], Training(batch=3, chip=32)
    first = Batches(pools, card(), training, first=0, count=5)
    later = Batches(pools, card(), training, first=3, count=2)
    for mine, theirs in zip(first[4], later[1], strict=True):
        assert torch.equal(mine, theirs)
    assert not torch.equal(first[3].chips, first[4].chips)
    assert len(list(later)) == len(later) == 2
    assert not first[0].chips[~first[0].valid[:, None].expand_as(first[0].chips)].any()


@given(st.integers(0, 2**32))
def test_shuffled_bands_are_those_of_the_chip_each_by_its_own_statistics(seed):
    generator = Generator().manual_seed(seed)
    image = torch.randn(3, 64, 64, generator=generator)
    own = {"mean": [0.1, -12.0, 1500.0], "std": [0.05, 4.0, 300.0]}
    stored = image * torch.tensor(own["std"])[:, None, None]
    stored += torch.tensor(own["mean"])[:, None, None]
    everywhere = torch.ones(64, 64, dtype=torch.bool)
    pools = [Pool([LabeledImage("x", stored, (~everywhere).byte(), everywhere)], 1.0)]
    mixed = ModelCard(bands=["a", "b", "c"], gsd=1, classes=["x", "y"], **own)
    how = PLAIN.model_copy(update={"shuffled": 1.0})
    chips = [
        Batches(pools, mixed, Training(batch=4, chip=32, seed=seed, augmentation=one), 0, 1)[
            0
        ].chips
        for one in (PLAIN, how)
    ]
    # Chips are cut alike only up to the first shuffle, which takes random numbers of its own.
    plain, mine = (batch[0] for batch in chips)
    found = [[bool(torch.allclose(a, b, atol=1e-3)) for b in plain] for a in mine]
    assert all(sum(row) == 1 for row in found)
    assert all(sum(column) == 1 for column in zip(*found, strict=True))


def test_bands_are_shuffled_as_often_as_asked_for():
    image = torch.arange(2.0)[:, None, None].expand(2, 40, 40) * 4 - 2
    everywhere = torch.ones(40, 40, dtype=torch.bool)
    pools = [Pool([LabeledImage("x", image.clone(), (~everywhere).byte(), everywhere)], 1.0)]
    two = ModelCard(bands=["a", "b"], gsd=1, classes=["x", "y"])
    for share, swapped in ((0.0, 0.0), (0.5, 0.25), (1.0, 0.5)):
        how = PLAIN.model_copy(update={"shuffled": share})
        chips = Batches(pools, two, Training(batch=400, chip=16, augmentation=how), 0, 1)[0].chips
        assert float((chips[:, 0, 8, 8] > 0).float().mean()) == pytest.approx(swapped, abs=0.08)


@pytest.mark.parametrize(
    ("mean", "std"),
    [
        ([0.1, 1500.0], [0.05, 300.0]),  # reflectance and heights
        ([-10.0, -17.0], [3.0, 3.5]),  # decibels
        ([0.1, -12.0], [0.05, 4.0]),
        ([0.1, 0.2], [0.4, 0.1]),  # an index around zero
    ],
)
def test_bands_of_any_unit_come_through_augmentation(mean, std):
    bands = [torch.randn(128, 128, generator=Generator().manual_seed(k)) for k in range(2)]
    image = torch.stack(bands) * torch.tensor(std)[:, None, None]
    image += torch.tensor(mean)[:, None, None]
    everywhere = torch.ones(128, 128, dtype=torch.bool)
    item = LabeledImage("mixed", image, (~everywhere).byte(), everywhere)
    mixed = ModelCard(bands=["a", "b"], gsd=1, classes=["x", "y"], mean=mean, std=std)
    for how, least, most in ((PLAIN, 0.9, 1.1), (Augmentation(scale=(1, 1), blur=0), 0.5, 2.0)):
        training = Training(batch=8, chip=64, augmentation=how)
        chips = Batches([Pool([item], 1.0)], mixed, training, 0, 1)[0].chips
        assert bool(torch.isfinite(chips).all())
        for band in range(2):
            assert least < float(chips[:, band].std()) < most


def test_bands_of_light_share_black_and_white():
    light = ModelCard(
        bands=["red", "nir"], gsd=1, classes=["x", "y"], mean=[0.1, 0.3], std=[0.08, 0.1]
    )
    black, white = tones(light)
    assert not black.any()
    assert white.flatten().tolist() == pytest.approx([0.5, 0.5])


def test_normalizing_takes_off_mean_and_deviation_and_zeroes_nodata():
    image = torch.rand(2, 3, 4, 5)
    valid = torch.rand(2, 4, 5) > 0.5
    found = normalize(image, valid, card())
    assert torch.allclose(found[:, 1][valid], (image[:, 1][valid] - 0.5) / 0.3)
    assert not found[:, 2][~valid].any()


def test_frequencies_follow_labels_and_weights():
    rare = picture()
    only = LabeledImage("b", rare.image, torch.ones_like(rare.labels), rare.valid)
    found = class_frequencies([Pool([rare], 1.0), Pool([only], 3.0)], 3)
    assert torch.isclose(found.sum(), torch.tensor(1.0))
    assert found[1] > 0.75
    assert Chip(rare.image.float(), rare.labels.long(), rare.valid).valid.dtype is torch.bool
