"""Rounds: which mask tokens are drawn when.

A token's turn is a hash of its global position, so that chips which overlap draw it in the same
round. How many tokens a round draws follows a cosine (Chang et al., "MaskGIT", 2022): few at first,
when little is known, and most at the end.
"""

from __future__ import annotations

import math

from torch import Tensor

from geocamss.models.camss.noise import uniform

__all__ = ["drawn_before", "turns"]


def turns(corners: Tensor, height: int, width: int) -> Tensor:
    """When each token's turn comes, as a share of all tokens; the same for every seed.

    Args:
        corners: (B, 2) int64, row and column of each grid's first token in the global lattice.
        height: Tokens down.
        width: Tokens across.

    Returns:
        (B, height, width) float64, [0, 1), evenly spread.
    """
    return uniform(corners, height, width)


def drawn_before(number: int, rounds: int) -> float:
    """Share of the tokens that are drawn before round ``number``, counting from 0; 1 at the end."""
    return 1.0 if number == rounds else 1 - math.cos(math.pi / 2 * number / rounds)
