"""The model card: all that a model file says of itself.

``predict`` needs nothing else: which bands at which GSD, how stored numbers become network
inputs, which classes come out, how large a chip is, and where the weights came from.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from geocamss.classes import ClassScheme
from geocamss.hypertext import card, escape, swatch

__all__ = ["SAMPLERS", "BandSpec", "ModelCard", "Sampler", "TrainingSource"]

MAX_CHIP = 8192
"""No chip is wider, in pixels: a card cannot ask for unbounded memory."""

MAX_BANDS = 1024
"""No model wants more bands."""

MAX_CHIP_BYTES = 8 * 2**30
"""A chip takes no more memory as it goes into the network and comes out of it: what each of the
limits allows by itself may be too much together."""

Sampler = Literal["euler", "heun", "ddim", "dpm++", "ddpm", "one-step"]
"""Algorithms that draw latents."""

SAMPLERS: tuple[Sampler, ...] = get_args(Sampler)
"""Their names."""

Scheme = Annotated[
    ClassScheme,
    BeforeValidator(ClassScheme.of),
    PlainSerializer(lambda scheme: scheme.to_list()),
    WithJsonSchema({"type": "array", "items": {"type": ["string", "object"]}}),
]


class BandSpec(BaseModel):
    """A band that a model wants."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str = Field(min_length=1, max_length=64)
    """Common name: ``red``, ``nir``, ``swir1``; see the table of band names in ``scene.bands``."""

    wavelength: float | None = Field(default=None, gt=0, lt=1000)
    """Center, in micrometers."""


class TrainingSource(BaseModel):
    """A data set that went into the weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    license: str
    note: str = ""


def _band(item: Any) -> Any:
    return {"name": item} if isinstance(item, str) else item


class ModelCard(BaseModel):
    """What a model wants, what it gives, and where it came from.

    A network input is ``((stored * scale + offset) - mean) / std``, by band; a scene that declares
    a scale or an offset of its own is taken at its word, and the card's two are left out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    format: int = Field(default=1, ge=1, le=1)
    """Version of the card's layout."""

    name: str = Field(default="model", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    version: str = Field(default="1", max_length=64)
    description: str = Field(default="", max_length=20_000)

    bands: tuple[Annotated[BandSpec, BeforeValidator(_band)], ...] = Field(
        min_length=1, max_length=MAX_BANDS
    )
    """In the order of the network's input channels."""

    gsd: float = Field(gt=0, lt=1e6)
    """Ground sample distance that the model was trained at, in meters."""

    scale: tuple[float, ...] = (1.0,)
    """Physical units per stored unit; one number for all bands, or one a band."""

    offset: tuple[float, ...] = (0.0,)
    """Physical units at stored 0; one number for all bands, or one a band."""

    mean: tuple[float, ...] = (0.0,)
    """Mean of the training data in physical units; one number for all bands, or one a band."""

    std: tuple[float, ...] = (1.0,)
    """Standard deviation, likewise; positive."""

    classes: Scheme
    """In the order of the network's output channels."""

    chip: int = Field(default=512, ge=1, le=MAX_CHIP)
    """Width and height of what the network sees at once, in pixels."""

    overlap: int = Field(default=128, ge=0)
    """Shared width of neighboring chips, in pixels; even, at most half a chip."""

    stride: int = Field(default=1, ge=1, le=256)
    """Pixels a token: chips start at multiples of it."""

    steps: int = Field(default=1, ge=1, le=1000)
    """Sampler steps that make the map; 1 is the one-step prediction of the mean."""

    sampler: Sampler = "euler"
    """The algorithm that makes the map."""

    rounds: int = Field(default=1, ge=1, le=8)
    """Passes over the mask tokens that make the map."""

    guidance: float = Field(default=1.0, ge=0, le=20)
    """How far the map goes from what is likely without the image to what is likely with it."""

    temperature: float = Field(default=1.0, gt=0)
    """Divides the logits, so that confidence is calibrated."""

    architecture: str = Field(default="module", max_length=64)
    """Which builder makes the network: ``camss`` or ``module``."""

    parameters: dict[str, Any] = Field(default_factory=dict)
    """What the builder needs; checked there."""

    training: tuple[TrainingSource, ...] = ()
    license: str = Field(default="", max_length=200)
    metrics: dict[str, float] = Field(default_factory=dict)
    """Scores by name, as measured after training, 0 to 1."""

    geocamss: str = Field(default="", max_length=64)
    """Version of geocamss that wrote the file."""

    @field_validator("scale", "offset", "mean", "std", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, (int, float)) else value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = self.band_names
        if len(set(names)) != len(names):
            raise ValueError(f"band names must differ, got {', '.join(names)}")
        for field in ("scale", "offset", "mean", "std"):
            count = len(getattr(self, field))
            if count not in (1, len(names)):
                raise ValueError(
                    f"{field} must hold one number, or one for each of {len(names)} bands, "
                    f"got {count}"
                )
        if any(s <= 0 for s in self.std):
            raise ValueError(f"std must be positive, got {self.std}")
        if any(s == 0 for s in self.scale):
            raise ValueError(f"scale must not be zero, got {self.scale}")
        if self.overlap % 2 or self.overlap * 2 > self.chip:
            raise ValueError(
                f"overlap must be even and at most half of chip ({self.chip}), got {self.overlap}"
            )
        # Inputs, logits and probabilities in float32, and sums in int16.
        needed = self.chip**2 * (4 * len(names) + 10 * len(self.classes))
        if needed > MAX_CHIP_BYTES:
            raise ValueError(
                f"a chip of {self.chip} pixels with {len(names)} bands and {len(self.classes)} "
                f"classes takes {needed / 1e9:.1f} GB, and {MAX_CHIP_BYTES / 1e9:.1f} GB is the "
                "limit; chip must be smaller"
            )
        if self.chip % self.stride or self.halo % self.stride:
            raise ValueError(
                f"chip ({self.chip}) and half of overlap ({self.halo}) must be multiples of "
                f"stride ({self.stride})"
            )
        return self

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        facts = {
            "": self.description,
            "bands": ", ".join(self.band_names),
            "GSD": f"{self.gsd:g} m",
            "chip": f"{self.chip} pixels, {self.overlap} of them shared with the next",
            "steps": self.steps,
            "trained on": ", ".join(source.name for source in self.training),
            "license": self.license,
            **{name: f"{score:.3f}" for name, score in self.metrics.items()},
        }
        rows = [(str(c.value), f"{swatch(c.hex)} {escape(c.name)}") for c in self.classes]
        return card(f"{self.name}, version {self.version}", facts, ("value", "class"), rows)

    @property
    def band_names(self) -> tuple[str, ...]:
        """Names of the wanted bands, by input channel."""
        return tuple(band.name for band in self.bands)

    @property
    def halo(self) -> int:
        """Real extra pixels around a tile's core, on each side."""
        return self.overlap // 2

    def per_band(self, field: str) -> tuple[float, ...]:
        """``scale``, ``offset``, ``mean`` or ``std``, spelled out for every band."""
        values: tuple[float, ...] = getattr(self, field)
        return values * len(self.bands) if len(values) == 1 else values
