"""The network: the four trained parts of the segmenter, side by side."""

from __future__ import annotations

from torch import Tensor, nn

from geocamss.models.camss.config import CamssConfig
from geocamss.models.camss.encoder import ImageEncoder
from geocamss.models.camss.head import FlowHead
from geocamss.models.camss.tokenizer import Decoder, MaskEncoder
from geocamss.models.camss.transformer import Transformer

__all__ = ["CamssNetwork", "build", "tokens_seen"]


class CamssNetwork(nn.Module):
    """Image encoder, transformer, head, and the tokenizer's two halves."""

    def __init__(
        self,
        encoder: ImageEncoder,
        transformer: Transformer,
        head: FlowHead,
        mask_encoder: MaskEncoder,
        decoder: Decoder,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.transformer = transformer
        self.head = head
        self.mask_encoder = mask_encoder
        self.decoder = decoder


def build(config: CamssConfig, bands: int, classes: int) -> CamssNetwork:
    """Build the network of a configuration.

    Args:
        config: The sizes.
        bands: Channels of a chip.
        classes: Channels of the result.
    """
    guide = config.pyramid[:2] if config.guided else (0, 0)
    return CamssNetwork(
        ImageEncoder(bands, config.pyramid, config.blocks),
        Transformer(
            config.pyramid[2],
            config.latent,
            width=config.width,
            layers=config.layers,
            heads=config.heads,
            pool=config.pool,
        ),
        FlowHead(config.latent, config.width, config.head_width, config.head_layers),
        MaskEncoder(classes, config.tokenizer, config.latent),
        Decoder(config.latent, config.decoder, guide, classes),
    )


def tokens_seen(valid: Tensor, stride: int) -> Tensor:
    """Which tokens have a valid pixel.

    Args:
        valid: (B, H, W) bool, True = usable.
        stride: Pixels a token.

    Returns:
        (B, H / stride, W / stride) bool.
    """
    batch, height, width = valid.shape
    cells = valid.view(batch, height // stride, stride, width // stride, stride)
    return cells.any(dim=4).any(dim=2)
