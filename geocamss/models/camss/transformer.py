"""The masked autoregressive transformer over image tokens and mask tokens.

Image and mask lie on the same lattice, so a position is one element of the sequence, and holds the
image's token plus the mask's: its latent where that is known already, a learned embedding where it
is still to be drawn. Two sequences side by side would cost four times the attention.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Block", "Layout", "Transformer", "image_tokens", "rotary"]

_ROTARY_BASE = 100.0
"""Longest wavelength of the rotary positions is 2 pi times this, in tokens."""


def rotary(
    height: int, width: int, channels: int, device: torch.device, spacing: int = 1
) -> Tensor:
    """Angles of two-dimensional rotary positions (Su et al., 2021; Heo et al., 2024).

    Half of the channel pairs turn with the row, half with the column. Attention then sees
    differences of positions only, so chips of any size do.

    Args:
        height: Rows of the grid.
        width: Columns of the grid.
        channels: Channels of an attention head, a multiple of four.
        device: Where to put the result.
        spacing: Tokens from one grid point to the next; a point stands for that many tokens
            squared, and lies in their middle.

    Returns:
        (height * width, channels / 2) float32, in radians.
    """
    quarter = channels // 4
    exponents = torch.arange(quarter, device=device, dtype=torch.float32) / max(quarter, 1)
    frequencies = _ROTARY_BASE**-exponents  # (quarter,)
    middle = (spacing - 1) / 2
    rows = (torch.arange(height, device=device) * spacing + middle)[:, None, None] * frequencies
    cols = (torch.arange(width, device=device) * spacing + middle)[None, :, None] * frequencies
    grid = (height, width, quarter)
    return torch.cat([rows.expand(grid), cols.expand(grid)], dim=-1).flatten(0, 1)


@lru_cache(maxsize=16)
@torch.inference_mode(mode=False)
def _turns(
    shape: tuple[int, int], spacing: int, channels: int, device: torch.device, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Cosines and sines of rotary positions, kept: chips are of few sizes.

    They are made outside of inference mode, whose tensors could not be trained with.
    """
    angles = rotary(*shape, channels, device, spacing)
    return angles.cos().to(dtype), angles.sin().to(dtype)


def _turn(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn pairs of channels; x is (B, heads, N, d), cos and sin are (N, d / 2)."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


@dataclass(frozen=True)
class Layout:
    """Where the tokens of a batch lie; the same for all blocks."""

    shape: tuple[int, int]
    """Tokens down and across."""

    pool: int
    """Keys and values stand for this many tokens squared."""

    turns: tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]
    """Cosines and sines, each (N, d / 2), for queries and for keys."""

    allowed: Tensor | None
    """(B, 1, 1, M) bool, True = may be looked at; None is all."""

    def pooled(self, x: Tensor) -> Tensor:
        """(B, N, width) to (B, M, width): means over squares of tokens, cut at the chip's edge."""
        if self.pool == 1:
            return x
        # In float32: processors pool bfloat16 number by number.
        planes = x.float().reshape(len(x), *self.shape, -1).permute(0, 3, 1, 2)  # (B, width, h, w)
        return _pool(planes, self.pool).to(x.dtype).flatten(2).transpose(1, 2)


def _pool(planes: Tensor, size: int) -> Tensor:
    return functional.avg_pool2d(planes, size, ceil_mode=True, count_include_pad=False)


class Block(nn.Module):
    """Attention and a two-layer perceptron, each around a shortcut and after a normalization.

    Keys and values are pooled (Wang et al., "Pyramid Vision Transformer", 2021): each token sees
    the whole chip at a quarter of the cost, and attention is what CPUs are worst at.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_1 = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.join = nn.Linear(width, width)
        self.norm_2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor, layout: Layout) -> Tensor:
        """(B, N, width) to the same shape."""
        x = x + self._attend(self.norm_1(x), layout)  # (B, N, width)
        result: Tensor = x + self.mlp(self.norm_2(x))  # (B, N, width)
        return result

    def _attend(self, x: Tensor, layout: Layout) -> Tensor:
        key, value = self.key_value(layout.pooled(x)).chunk(2, dim=-1)  # 2 x (B, M, width)
        for_query, for_key = layout.turns
        query = _turn(self._split(self.query(x)), *for_query)  # (B, heads, N, d)
        key = _turn(self._split(key), *for_key)  # (B, heads, M, d)
        mixed = functional.scaled_dot_product_attention(
            query, key, self._split(value), attn_mask=layout.allowed
        )  # (B, heads, N, d)
        result: Tensor = self.join(mixed.transpose(1, 2).flatten(2))  # (B, N, width)
        return result

    def _split(self, x: Tensor) -> Tensor:
        batch, count, width = x.shape
        return x.view(batch, count, self.heads, width // self.heads).transpose(1, 2)


def image_tokens(
    enter: nn.Linear, null_image: Tensor, features: Tensor, drop: Tensor | None
) -> Tensor:
    """Features to tokens, the null image in place of chips that are dropped.

    Args:
        enter: From channels of the features to those of a token.
        null_image: (width,).
        features: (B, C, h, w).
        drop: (B,) bool; None drops none.

    Returns:
        (B, h, w, width).
    """
    image: Tensor = enter(features.permute(0, 2, 3, 1))
    if drop is None:
        return image
    return torch.where(drop[:, None, None, None], null_image.to(image.dtype), image)


class Transformer(nn.Module):
    """Image features and known mask latents to one condition vector a token."""

    def __init__(
        self, features: int, latent: int, *, width: int, layers: int, heads: int, pool: int
    ) -> None:
        super().__init__()
        self.pool = pool
        self.image_in = nn.Linear(features, width)
        self.mask_in = nn.Linear(latent, width)
        self.unknown = nn.Parameter(torch.zeros(width))
        self.null_image = nn.Parameter(torch.zeros(width))
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head_channels = width // heads

    def forward(
        self,
        features: Tensor,
        *,
        seen: Tensor | None = None,
        latents: Tensor | None = None,
        known: Tensor | None = None,
        drop: Tensor | None = None,
    ) -> Tensor:
        """Let the tokens of each chip look at each other.

        Args:
            features: (B, C, h, w) features of the image.
            seen: (B, h, w) bool, True where a token has a valid pixel; others are not looked at.
                None where all have.
            latents: (B, h, w, latent) mask latents; None where none is known.
            known: (B, h, w) bool, True where a latent is known; goes with ``latents``.
            drop: (B,) bool, True for chips whose image is replaced by the null image.

        Returns:
            (B, h, w, width).
        """
        _, _, height, width = features.shape
        image = image_tokens(self.image_in, self.null_image, features, drop)  # (B, h, w, width)
        x = (image + self._mask_tokens(image, latents, known)).flatten(1, 2)  # (B, N, width)
        layout = self._layout((height, width), seen, x)
        for block in self.blocks:
            x = block(x, layout)  # (B, N, width)
        result: Tensor = self.norm(x).view(image.shape)  # (B, h, w, width)
        return result

    def _layout(self, shape: tuple[int, int], seen: Tensor | None, x: Tensor) -> Layout:
        allowed = None
        if seen is not None:
            # A pooled key counts as soon as one of its tokens does.
            some = _pool(seen[:, None].float(), self.pool) > 0  # (B, 1, m, n)
            allowed = some.flatten(2)[:, :, None]  # (B, 1, 1, M)
        pooled = -(-shape[0] // self.pool), -(-shape[1] // self.pool)
        of = self.head_channels, x.device, x.dtype
        both = (_turns(shape, 1, *of), _turns(pooled, self.pool, *of))
        return Layout(shape, self.pool, both, allowed)

    def _mask_tokens(self, image: Tensor, latents: Tensor | None, known: Tensor | None) -> Tensor:
        unknown = self.unknown.to(image.dtype)
        if latents is None or known is None:
            return unknown
        return torch.where(known[..., None], self.mask_in(latents.to(image.dtype)), unknown)
