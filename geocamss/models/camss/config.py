"""The sizes of a segmenter, as they stand in its model card."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from geocamss.errors import ModelError

__all__ = ["STRIDE", "CamssConfig"]

STRIDE = 8
"""Pixels a token, in both directions."""

Width = Annotated[int, Field(ge=1, le=2048)]
Depth = Annotated[int, Field(ge=0, le=64)]


class CamssConfig(BaseModel):
    """Sizes of the parts. The bounds keep a hostile card from asking for unbounded memory."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pyramid: tuple[Width, Width, Width] = (32, 64, 128)
    """Channels of the image encoder at strides 2, 4 and 8."""

    blocks: tuple[Depth, Depth, Depth] = (1, 2, 3)
    """Residual blocks of the image encoder at strides 2, 4 and 8."""

    latent: Width = 16
    """Channels of a mask latent."""

    width: Width = 128
    """Channels of a token in the transformer."""

    layers: Depth = 4
    """Blocks of the transformer."""

    heads: int = Field(default=2, ge=1, le=64)
    """Attention heads; the channels of each must be a multiple of four."""

    pool: int = Field(default=2, ge=1, le=16)
    """Attention's keys and values stand for this many tokens squared."""

    head_width: Width = 128
    """Channels inside the flow-matching head."""

    head_layers: Depth = 2
    """Blocks of the flow-matching head."""

    tokenizer: tuple[Width, Width] = (64, 96)
    """Channels of the mask encoder at strides 4 and 8."""

    decoder: tuple[Width, Width, Width] = (32, 64, 96)
    """Channels of the decoder at strides 2, 4 and 8."""

    guided: bool = True
    """Whether the decoder also sees the image encoder's features at strides 2 and 4."""

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.width % (4 * self.heads):
            raise ValueError(
                f"width ({self.width}) must be a multiple of four times heads ({self.heads})"
            )
        return self

    @classmethod
    def of(cls, parameters: dict[str, Any], where: str) -> CamssConfig:
        """Check the parameters of a card.

        Args:
            parameters: ``ModelCard.parameters``.
            where: The file or the recipe that they stand in, for the message.

        Raises:
            ModelError: a parameter is unknown or out of its range.
        """
        try:
            return cls.model_validate(parameters)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"]) or "parameters"
            raise ModelError(
                f"{where}: parameters.{field} of the camss architecture: {first['msg']}"
            ) from None
