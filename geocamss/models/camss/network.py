"""The network: the trained parts of the segmenter, side by side."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from geocamss.models.camss.config import CamssConfig
from geocamss.models.camss.ddpm import DdpmHead
from geocamss.models.camss.decoder import Decoder
from geocamss.models.camss.encoder import ImageEncoder
from geocamss.models.camss.head import FlowHead, Head
from geocamss.models.camss.quantizer import QuantizedMaskEncoder
from geocamss.models.camss.sequence import SequenceTransformer
from geocamss.models.camss.student import StudentHead
from geocamss.models.camss.tokenizer import MaskEncoder
from geocamss.models.camss.transformer import Transformer

__all__ = ["CamssNetwork", "build", "build_head", "tokens_seen"]


class CamssNetwork(nn.Module):
    """Image encoder, transformer, head, and the tokenizer's two halves."""

    def __init__(
        self,
        encoder: ImageEncoder,
        transformer: Transformer | SequenceTransformer,
        head: Head,
        mask_encoder: MaskEncoder | QuantizedMaskEncoder,
        decoder: Decoder,
        *,
        student: StudentHead | None = None,
    ) -> None:
        """Put the parts together; ``student`` is the one-step head, if there is one."""
        super().__init__()
        self.encoder = encoder
        self.transformer = transformer
        self.head = head
        self.mask_encoder = mask_encoder
        self.decoder = decoder
        self.student = student

    @property
    def stride(self) -> int:
        """Pixels a token, in both directions."""
        return self.encoder.stride

    def decode(self, latents: Tensor, guide: Sequence[Tensor]) -> Tensor:
        """Drawn latents to logits.

        Args:
            latents: (B, h, w, latent) float32.
            guide: Features of the image, finest first.

        Returns:
            (B, K, H, W), in the type of the guide.
        """
        planes = self.mask_encoder.snap(latents).permute(0, 3, 1, 2)  # (B, latent, h, w)
        logits: Tensor = self.decoder(planes.to(guide[0].dtype), guide)  # (B, K, H, W)
        return logits


def build(config: CamssConfig, bands: int, classes: int) -> CamssNetwork:
    """Build the network of a configuration.

    Args:
        config: The sizes.
        bands: Channels of a chip.
        classes: Channels of the result.
    """
    sizes = (config.latent, config.width, config.head_width, config.head_layers)
    return CamssNetwork(
        ImageEncoder(
            bands, config.pyramid, config.blocks, finest=config.finest, trunk=config.trunk
        ),
        _transformer(config),
        build_head(config),
        _mask_encoder(config, classes),
        Decoder(
            config.latent,
            config.decoder,
            config.pyramid if config.guided else (0,) * len(config.pyramid),
            classes,
            finest=config.finest,
            trunk=config.trunk,
        ),
        student=StudentHead(*sizes) if config.one_step else None,
    )


def build_head(config: CamssConfig) -> Head:
    """Build the head of a configuration."""
    kind = FlowHead if config.head == "flow" else DdpmHead
    return kind(config.latent, config.width, config.head_width, config.head_layers)


def _transformer(config: CamssConfig) -> Transformer | SequenceTransformer:
    features, width, layers, heads = config.pyramid[-1], config.width, config.layers, config.heads
    if config.tokens == "sequence":
        return SequenceTransformer(features, config.latent, width=width, layers=layers, heads=heads)
    return Transformer(
        features, config.latent, width=width, layers=layers, heads=heads, pool=config.pool
    )


def _mask_encoder(config: CamssConfig, classes: int) -> MaskEncoder | QuantizedMaskEncoder:
    if config.code == "vq":
        return QuantizedMaskEncoder(classes, config.tokenizer, config.latent, config.codes)
    return MaskEncoder(classes, config.tokenizer, config.latent)


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
