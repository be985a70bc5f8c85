"""Doubt: entropy and mutual information of blended probabilities, in integers.

The entropy of what all samples and chips say together is how unsure the map is. What is left of it
without the mean entropy of each sample by itself is the mutual information: how much the samples,
and the chips that overlap, contradict one another. Both come from the integer sums of the blend, by
tables, so that no order of sums and no cut of the ground can change them.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

from geocamss.classes import NODATA
from geocamss.output.blocks import LEVELS

__all__ = ["doubt"]

_ONE = 1 << 20
"""The largest doubt, while it is being added up."""


def doubt(sums: Tensor, unit: int) -> Tensor:
    """Entropy and mutual information.

    Args:
        sums: (K + 1, height, width) int16: of each class's probability, and of the samples' mean
            entropy, in 1 / ``unit``; all zero where there is no data.
        unit: One as an integer.

    Returns:
        (2, height, width) uint8: predictive entropy and mutual information, 0 to 250 for none to
        all that K classes can have, log K; 255 = no data.
    """
    entropies, shares = _tables(len(sums) - 1, unit, sums.device)
    *classes, own = sums
    total = torch.zeros(own.shape, dtype=torch.int32, device=sums.device)
    for plane in classes:
        total += entropies[plane.long()]
    total.clamp_(max=_ONE)
    between = (total - shares[own.long()]).clamp_(min=0)
    both = torch.stack([total, between])
    levels = ((both * LEVELS + _ONE // 2) >> 20).to(torch.uint8)
    return levels.masked_fill_(sums[:-1].amax(0) == 0, NODATA)


@lru_cache(maxsize=4)
def _tables(classes: int, unit: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """By sum, (32768,) int32 in 1 / ``_ONE``: a class's part of the entropy, and the sum itself."""
    most = math.log(classes) if classes > 1 else math.inf
    parts, shares = [], []
    for value in range(1 << 15):
        share = min(value / unit, 1.0)
        parts.append(round(-share * math.log(share) / most * _ONE) if value else 0)
        shares.append(round(share * _ONE))
    return (
        torch.tensor(parts, dtype=torch.int32, device=device),
        torch.tensor(shares, dtype=torch.int32, device=device),
    )
