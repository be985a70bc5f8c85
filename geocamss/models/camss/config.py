"""The sizes of a segmenter, as they stand in its model card."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from geocamss.errors import ModelError
from geocamss.models.camss.sizes import SIZES

__all__ = ["CamssConfig", "Trunk"]

Trunk = Literal["residual", "unet"]

Width = Annotated[int, Field(ge=1, le=2048)]
Depth = Annotated[int, Field(ge=0, le=64)]


class CamssConfig(BaseModel):
    """Sizes of the parts. The bounds keep a hostile card from asking for unbounded memory.

    ``size: small`` stands for the fields of that name in ``sizes.SIZES``; fields beside it come
    first. The name alone will do as well.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    stride: Literal[8, 16] = 16
    """Pixels a token, in both directions."""

    trunk: Trunk = "residual"
    """What image encoder and decoder are made of. ``residual``: convolutions of stride 2 on the way
    down, the image's features added on the way up, residual blocks. ``unet``: maxima of 2x2 on the
    way down, the image's features beside what comes from below on the way up, at all strides, and
    plain convolutions (Ronneberger et al., 2015)."""

    pyramid: tuple[Width, ...] = (16, 32, 64, 112, 192)
    """Channels of the image encoder at strides 1, 2, 4, 8 and 16, or up to 8; without the first
    entry pixels fold into channels, and it begins at stride 2."""

    blocks: tuple[Depth, ...] = (0, 1, 1, 1, 1)
    """Blocks of the image encoder at these strides, after the convolution that begins each."""

    latent: Width = 32
    """Channels of a mask latent."""

    tokens: Literal["lattice", "sequence"] = "lattice"
    """How image and mask tokens stand: ``lattice`` puts both of a place into one token,
    ``sequence`` puts the mask's after the image's, through an encoder and a decoder."""

    width: Width = 128
    """Channels of a token in the transformer."""

    layers: Depth = 2
    """Blocks of the transformer; for a sequence, of its encoder and of its decoder each."""

    heads: int = Field(default=2, ge=1, le=64)
    """Attention heads; the channels of each must be a multiple of four."""

    pool: int = Field(default=1, ge=1, le=16)
    """Attention's keys and values stand for this many tokens squared; 1 for a sequence."""

    head: Literal["flow", "ddpm"] = "flow"
    """What draws latents: ``flow`` matches a rectified flow and predicts the latent, ``ddpm`` is
    the paper's diffusion, which predicts noise and variance."""

    head_width: Width = 128
    """Channels inside the head."""

    head_layers: Depth = 2
    """Blocks of the head."""

    one_step: bool = False
    """Whether there is a second head, of the same size, that draws samples in one step."""

    code: Literal["kl", "vq"] = "kl"
    """What a mask latent is: ``kl`` a continuous one, ``vq`` one of a codebook."""

    codes: int = Field(default=512, ge=2, le=65_536)
    """Entries of the codebook, if there is one."""

    tokenizer: tuple[Width, ...] = (48, 64, 80)
    """Channels of the mask encoder at strides 4 and 8, and 16 if there is one."""

    decoder: tuple[Width, ...] = (16, 32, 64, 96, 112)
    """Channels of the decoder at the strides of the image encoder."""

    guided: bool = True
    """Whether the decoder also sees the image encoder's features at the finer strides."""

    @model_validator(mode="before")
    @classmethod
    def _named_size(cls, value: Any) -> Any:
        given = {"size": value} if isinstance(value, str) else value
        if not isinstance(given, dict) or "size" not in given:
            return value
        size = given["size"]
        if not isinstance(size, str) or size not in SIZES:
            raise ValueError(f"size must be one of {', '.join(SIZES)}, got {size!r}")
        return {**SIZES[size], **{name: item for name, item in given.items() if name != "size"}}

    @model_validator(mode="after")
    def _one_width_a_stride(self) -> Self:
        levels = round(math.log2(self.stride))
        got = len(self.pyramid)
        if got not in {levels, levels + 1}:
            raise ValueError(
                f"pyramid must have {levels} or {levels + 1} entries at stride {self.stride}, "
                f"got {got}"
            )
        for name, count in (("blocks", got), ("decoder", got), ("tokenizer", levels - 1)):
            if (wrong := len(getattr(self, name))) != count:
                raise ValueError(
                    f"{name} must have {count} entries at stride {self.stride} beside a pyramid "
                    f"of {got}, got {wrong}"
                )
        if self.tokens == "sequence" and self.pool != 1:
            raise ValueError(f"pool must be 1 where tokens are a sequence, got {self.pool}")
        return self

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.width % (4 * self.heads):
            raise ValueError(
                f"width ({self.width}) must be a multiple of four times heads ({self.heads})"
            )
        return self

    @property
    def finest(self) -> int:
        """The first stride of the image encoder and the last of the decoder, in pixels: 1 or 2."""
        return self.stride >> (len(self.pyramid) - 1)

    def card_fields(self) -> dict[str, Any]:
        """What a model card says of a network of these sizes, unless it says otherwise itself."""
        # A head that predicts noise makes no map in one step: it draws samples as the paper does.
        drawn = {} if self.head == "flow" else {"sampler": "ddpm", "steps": 100}
        return {"stride": self.stride, "parameters": self.model_dump(mode="json"), **drawn}

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
