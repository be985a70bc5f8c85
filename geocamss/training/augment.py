"""Augmentation: image, labels and validity are varied together.

All randomness comes from the generator that is passed in, so that a batch is a function of its
number, and a resumed run goes on as if it had not stopped. Kornia blurs; its random geometry is not
used: it draws from the global generator, cuts no chip out of a whole scene at once with the zoom,
and knows no validity, which must bleed into nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from kornia.filters import gaussian_blur2d
from torch import Generator, Tensor
from torch.nn import functional

from geocamss.training.recipe import Augmentation
from geocamss.training.sources import IGNORED, LabeledImage

__all__ = ["Chip", "chance", "colorize", "cut", "hide_corner"]

AIMED = 0.9
"""So many of the chips without a label are cut again where one is. The others still show what the
unlabeled ground looks like, which statistics of the network come from."""


@dataclass(frozen=True)
class Chip:
    """One training sample."""

    image: Tensor
    """(C, H, W) float32."""

    labels: Tensor
    """(H, W) int64, channel numbers; 255 is ignored."""

    valid: Tensor
    """(H, W) bool, True = usable."""


def _uniform(low: float, high: float, generator: Generator) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))


def chance(share: float, generator: Generator) -> bool:
    """Whether something of this chance happens."""
    return float(torch.rand((), generator=generator)) < share


def cut(source: LabeledImage, size: int, how: Augmentation, generator: Generator) -> Chip:
    """Cut a random square out of an image: zoomed, stretched, turned and flipped.

    All places are equally likely; but where no label lies, most chips are cut anew around a
    labeled pixel, if the image has any: of a few fields in a large scene, nothing would be seen
    otherwise. On an image that is labeled all over this changes nothing.

    The image is sampled bilinearly, labels and validity by nearest neighbor; what lies outside
    the image is ignored and not valid.

    Args:
        source: The image.
        size: Width and height of the chip, in pixels.
        how: Strengths.
        generator: Source of randomness.
    """
    low, high = how.scale
    zoom = math.exp(_uniform(math.log(low), math.log(high), generator))
    apart = math.exp(_uniform(-how.stretch, how.stretch, generator) / 2)
    angle = _uniform(-math.pi, math.pi, generator) if chance(how.rotation, generator) else 0.0
    tall, wide = size / zoom * apart, size / zoom / apart
    # Chip pixels wider than one and a half of the image's are means, not samples, of these.
    factor = max(1, int(tall / size + 0.5))
    sides = _sides(source, (tall, wide), angle, factor)
    first = _anywhere(source, sides, generator)
    image, labels, valid = _sample(first, size, (tall, wide), angle, factor)
    unseen = bool((labels == IGNORED).all())
    if unseen and source.places.total and chance(AIMED, generator):
        second = _around_a_label(source, sides, (tall, wide), angle, generator)
        image, labels, valid = _sample(second, size, (tall, wide), angle, factor)
    quarter = int(torch.randint(4, (), generator=generator))
    flip = chance(0.5, generator)

    def turn(x: Tensor) -> Tensor:
        x = torch.rot90(x, quarter, (-2, -1))
        return x.flip(-1) if flip else x

    return Chip(turn(image), turn(labels), turn(valid))


def _anywhere(source: LabeledImage, sides: tuple[int, int], generator: Generator) -> LabeledImage:
    """A part of the image that has these sides."""
    rows, cols = (
        int(torch.randint(length - side + 1, (), generator=generator))
        for length, side in zip(source.labels.shape, sides, strict=True)
    )
    return source.part(slice(rows, rows + sides[0]), slice(cols, cols + sides[1]))


def _around_a_label(
    source: LabeledImage,
    sides: tuple[int, int],
    box: tuple[float, float],
    angle: float,
    generator: Generator,
) -> LabeledImage:
    """As ``_anywhere``, with a labeled pixel anywhere in the turned box in its middle."""
    place = source.places.draw(generator)
    down, right = (_uniform(-0.5, 0.5, generator) * side for side in box)
    sine, cosine = math.sin(angle), math.cos(angle)
    away = down * cosine + right * sine, right * cosine - down * sine  # of the pixel, in the box
    slices = []
    for length, side, pixel, off in zip(source.labels.shape, sides, place, away, strict=True):
        first = min(max(round(pixel + 0.5 - off - side / 2), 0), length - side)
        slices.append(slice(first, first + side))
    return source.part(*slices)


def _sides(
    source: LabeledImage, box: tuple[float, float], angle: float, factor: int
) -> tuple[int, int]:
    """Height and width of the part of an image that a turned box needs, if the image has it.

    They are multiples of ``factor``: pixels can then be averaged without a rest.
    """
    tall, wide = box
    sine, cosine = abs(math.sin(angle)), abs(math.cos(angle))
    need = (math.ceil(tall * cosine + wide * sine), math.ceil(tall * sine + wide * cosine))
    sides = []
    for length, wanted in zip(source.labels.shape, need, strict=True):
        side = min(length, wanted + -wanted % factor)
        sides.append(side - (side % factor if side > factor else 0))
    return sides[0], sides[1]


def _sample(
    window: LabeledImage, size: int, box: tuple[float, float], angle: float, factor: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Sample a (size, size) chip from a turned box around the middle of a window."""
    (height, width), (tall, wide) = window.labels.shape, box
    steps = (torch.arange(size) + 0.5) / size - 0.5
    down, right = steps[:, None] * tall, steps[None, :] * wide  # source pixels from the middle
    sine, cosine = math.sin(angle), math.cos(angle)
    rows = (down * cosine + right * sine) * (2 / height)  # (size, size) in -1..1
    cols = (right * cosine - down * sine) * (2 / width)
    grid = torch.stack([cols.expand(size, size), rows.expand(size, size)], dim=-1)[None]
    factor = min(factor, height, width)  # an image of few pixels may be smaller than that
    image = functional.avg_pool2d(_filled(window)[None], factor)
    pixels = functional.grid_sample(image, grid, padding_mode="border", align_corners=False)[0]
    # Nearest neighbor by index: no class number is ever interpolated.
    row = ((rows + 1) * (height / 2)).floor().long()
    col = ((cols + 1) * (width / 2)).floor().long()
    inside = (row >= 0) & (row < height) & (col >= 0) & (col < width)
    flat = (row.clamp(0, height - 1) * width + col.clamp(0, width - 1)).expand(size, size)
    labels = window.labels.reshape(-1)[flat].long().masked_fill(~inside, IGNORED)
    valid = window.valid.reshape(-1)[flat] & inside
    return pixels, labels.masked_fill(~valid, IGNORED), valid


def _filled(window: LabeledImage) -> Tensor:
    """The image, (C, H, W) float32, with the mean of its valid pixels where it is not valid.

    Zooming and blurring would else mix nodata into the pixels beside it.
    """
    image, valid = window.pixels(), window.valid
    if bool(valid.all()) or not bool(valid.any()):
        return image
    return torch.where(valid, image, image[:, valid].mean(1)[:, None, None])


def hide_corner(chip: Chip, how: Augmentation, generator: Generator) -> Chip:
    """Make what lies beyond a random line nodata, as at the rim of a scene."""
    if not chance(how.nodata, generator):
        return chip
    height, width = chip.valid.shape
    angle = _uniform(0, 2 * math.pi, generator)
    offset = _uniform(-0.2, 0.5, generator)
    down = (torch.arange(height) / height - 0.5)[:, None]
    right = (torch.arange(width) / width - 0.5)[None, :]
    valid = chip.valid & (down * math.sin(angle) + right * math.cos(angle) < offset)
    return Chip(chip.image, chip.labels.masked_fill(~valid, IGNORED), valid)


def colorize(image: Tensor, how: Augmentation, generator: Generator) -> Tensor:
    """Vary the colors, sharpness and noise of a chip.

    Args:
        image: (C, H, W) float32, 0 to 1.
        how: Strengths.
        generator: Source of randomness.

    Returns:
        (C, H, W) float32; may leave 0 to 1 a little.
    """
    bands = image.shape[0]

    def draw(strength: float, count: int = 1) -> Tensor:
        span = (torch.rand(count, 1, 1, generator=generator) * 2 - 1) * strength
        return torch.exp(span)

    gamma = draw(how.gamma)
    image = image.clamp(min=1e-4).pow(gamma)
    image = image * draw(how.brightness) * draw(how.tint, bands)
    gray = image.mean(0, keepdim=True)
    keep = 1 + (2 * float(torch.rand((), generator=generator)) - 1) * how.saturation
    image = gray + (image - gray) * keep
    middle = image.mean()
    image = middle + (image - middle) * draw(how.contrast)
    if chance(how.blur, generator):
        sigma = _uniform(0.4, 1.5, generator)
        image = gaussian_blur2d(image[None], (7, 7), (sigma, sigma))[0]
    if how.noise:
        spread = _uniform(0, how.noise, generator)
        image = image + spread * torch.randn(image.shape, generator=generator)
    return image
