"""PretrainRecipe: what to pretrain an encoder on, and how; checked whole before any work."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from geocamss.models.camss.config import CamssConfig
from geocamss.training.recipe import Training, read_recipe
from geocamss.training.sources.spec import inside

__all__ = ["ImageSource", "PretrainRecipe", "load_pretrain_recipe"]

Count = Annotated[int, Field(ge=1, le=64)]


class ImageSource(BaseModel):
    """Rasters of any sensor, without labels."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str
    license: str = ""
    note: str = ""

    images: tuple[str, ...] = Field(min_length=1)
    """Files inside the data folder, patterns, or folders: all rasters below these. What cannot be
    read is left out."""

    weight: float = Field(default=1.0, gt=0)
    """How often a chip comes from here, against the other sources."""

    @field_validator("images")
    @classmethod
    def _paths_inside(cls, value: Any) -> Any:
        for path in value:
            inside(path)
        return value


class PretrainRecipe(BaseModel):
    """A pretraining that anyone can repeat."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    description: str = ""
    license: str = ""

    data: str | None = None
    """The data folder, relative to the recipe's and within it. ``--data`` and GEOCAMSS_DATA come
    first, and may lie anywhere."""

    model: CamssConfig = CamssConfig()
    """Sizes; only those of the image encoder matter."""

    objective: Literal["masked", "contrastive"] = "masked"
    """``masked`` paints hidden squares from what is around them; ``contrastive`` tells places apart
    in two views."""

    channels: Count | tuple[Count, Count] = 6
    """Channels of a chip: always as many, or drawn anew for every batch, both ends included."""

    shuffle: bool = True
    """False keeps the bands in order: the control."""

    hidden: float = Field(default=0.6, gt=0, lt=1)
    """Share of the squares that are hidden."""

    square: int = Field(default=16, ge=8, multiple_of=8)
    """Width and height of a hidden square, in pixels."""

    temperature: float = Field(default=0.1, gt=0)
    """Of the contrastive loss."""

    sources: tuple[ImageSource, ...] = Field(min_length=1)
    training: Training = Training()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        low, high = self.channel_range
        if low > high:
            raise ValueError(f"channels must be [least, most], got {self.channels}")
        if self.training.chip % self.square:
            raise ValueError(
                f"training.chip ({self.training.chip}) must be a multiple of square ({self.square})"
            )
        return self

    @property
    def channel_range(self) -> tuple[int, int]:
        """Fewest and most channels of a chip."""
        return self.channels if isinstance(self.channels, tuple) else (self.channels, self.channels)

    @property
    def slots(self) -> int:
        """Inputs of the encoder."""
        return self.channel_range[1]


def load_pretrain_recipe(path: Path) -> PretrainRecipe:
    """Read and check a recipe.

    Raises:
        RecipeError: the file cannot be read, is not YAML, or a field is unknown or wrong.
    """
    return read_recipe(path, PretrainRecipe)
