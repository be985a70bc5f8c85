"""The transformer of the paper: image tokens, then mask tokens, through an encoder and a decoder.

As in MAR (Li et al., 2024), the encoder sees the image tokens and the mask tokens that are known;
the decoder sees all of them, with a learned token where a mask token is still to be drawn. Rotary
positions take the place of tables of learned ones, so that chips of any size do; a mask token has
the position of the image token that it describes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from geocamss.models.camss.transformer import Block, Layout, image_tokens, rotary

__all__ = ["SequenceTransformer"]


class SequenceTransformer(nn.Module):
    """Image features and known mask latents to one condition vector a mask token."""

    def __init__(self, features: int, latent: int, *, width: int, layers: int, heads: int) -> None:
        """Build it.

        Args:
            features: Channels of the image's features.
            latent: Channels of a mask latent.
            width: Channels of a token.
            layers: Blocks of the encoder, and as many of the decoder.
            heads: Attention heads.
        """
        super().__init__()
        self.image_in = nn.Linear(features, width)
        self.mask_in = nn.Linear(latent, width)
        self.null_image = nn.Parameter(torch.zeros(width))
        self.enter = nn.LayerNorm(width)
        self.encoder = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.encoder_norm = nn.LayerNorm(width)
        self.decoder_in = nn.Linear(width, width)
        self.unknown = nn.Parameter(torch.zeros(width))
        self.decoder = nn.ModuleList(Block(width, heads) for _ in range(layers))
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
        """Let the tokens of each chip look at each other; see ``Transformer.forward``.

        Returns:
            (B, h, w, width), of the mask tokens.
        """
        both = self.conditions(features, seen=seen, latents=latents, known=known, drop=drop)
        return both[:, 1]

    def conditions(
        self,
        features: Tensor,
        *,
        seen: Tensor | None = None,
        latents: Tensor | None = None,
        known: Tensor | None = None,
        drop: Tensor | None = None,
    ) -> Tensor:
        """As ``forward``, of the image tokens as well: (B, 2, h, w, width), the image's first."""
        batch, _, height, width = features.shape
        image = image_tokens(self.image_in, self.null_image, features, drop)  # (B, h, w, width)
        image = image.flatten(1, 2)  # (B, N, width)
        angles = rotary(height, width, self.head_channels, image.device)
        visible = None if seen is None else seen.flatten(1)  # (B, N)
        if latents is None or known is None or not bool(known.any()):
            x = self._run(self.encoder, self.enter(image), angles, visible)
            found = self.decoder_in(self.encoder_norm(x))  # (B, N, width)
            mask = self.unknown.to(found.dtype).expand_as(found)
        else:
            told = known.flatten(1)  # (B, N)
            pair = torch.cat([image, self.mask_in(latents.to(image.dtype)).flatten(1, 2)], dim=1)
            # Unknown mask tokens run along unseen: the others are as if they were not there.
            everywhere = torch.ones_like(told) if visible is None else visible
            shown = torch.cat([everywhere, told & everywhere], dim=1)  # (B, 2N)
            x = self._run(self.encoder, self.enter(pair), angles.repeat(2, 1), shown)
            found, mask = self.decoder_in(self.encoder_norm(x)).chunk(2, dim=1)  # 2 x (B, N, width)
            mask = torch.where(told[..., None], mask, self.unknown.to(mask.dtype))
        x = torch.cat([found, mask], dim=1)  # (B, 2N, width)
        twice = None if visible is None else visible.repeat(1, 2)
        x = self._run(self.decoder, x, angles.repeat(2, 1), twice)
        result: Tensor = self.norm(x).view(batch, 2, height, width, -1)
        return result

    @staticmethod
    def _run(blocks: nn.ModuleList, x: Tensor, angles: Tensor, visible: Tensor | None) -> Tensor:
        """Blocks over a sequence whose tokens have these angles, and look at the visible ones."""
        turns = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
        allowed = None if visible is None else visible[:, None, None]  # (B, 1, 1, M)
        layout = Layout((1, len(angles)), 1, (turns, turns), allowed)
        for block in blocks:
            x = block(x, layout)  # (B, M, width)
        return x
