"""PNG pictures whose bytes are the numbers themselves."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from geocamss.classes import ClassScheme
from geocamss.output.colors import color_table

__all__ = ["class_png", "gray_png"]


def gray_png(values: NDArray[np.uint8]) -> bytes:
    """A PNG whose gray is the value, (h, w)."""
    return _png(Image.fromarray(np.ascontiguousarray(values)))


def class_png(values: NDArray[np.uint8], scheme: ClassScheme) -> bytes:
    """A PNG with a palette: each pixel is its class value, in the class's color.

    Values without a class are transparent.

    Args:
        values: (h, w) class values.
        scheme: the colors.
    """
    colors = color_table(scheme)
    picture = Image.fromarray(np.ascontiguousarray(values)).convert("L")
    picture.putpalette([part for value in range(256) for part in colors[value][:3]])
    # All 256 colors stay, so that a pixel takes a byte and its byte is the class.
    return _png(picture, transparency=bytes(colors[value][3] for value in range(256)))


def _png(picture: Image.Image, **options: bytes) -> bytes:
    packed = BytesIO()
    picture.save(packed, "PNG", compress_level=9, **options)
    return packed.getvalue()
