"""What a recipe says of its sources; checked whole before a file is opened."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

__all__ = [
    "ArraySource",
    "PairSource",
    "Part",
    "ScenesSource",
    "SimulatedSource",
    "Source",
    "TorchgeoData",
    "TorchgeoSource",
]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def inside(path: str) -> str:
    """Check that a path stays inside the data folder.

    Raises:
        ValueError: it is absolute or climbs out.
    """
    if Path(path).is_absolute() or ".." in Path(path).parts or "://" in path:
        raise ValueError(f"must stay inside the data folder, got {path!r}")
    return path


def _all_inside(value: Any) -> Any:
    paths = value.values() if isinstance(value, dict) else value
    for path in (paths,) if isinstance(paths, str) else paths:
        inside(path)
    return value


def _one_class_each(source: str, said: Iterable[tuple[object, str]]) -> None:
    """Check that nothing in the labels means two classes.

    Args:
        source: Its name, for the message.
        said: What stands in the labels, and the class that it means.

    Raises:
        ValueError: something does.
    """
    known: dict[str, str] = {}
    for value, name in said:
        text = str(value)
        first = known.setdefault(text.lower() if text.startswith("#") else text, name)
        if first != name:
            raise ValueError(f"source {source!r}: {text} cannot be both {first!r} and {name!r}")


class _Origin(_Strict):
    """What every source says of itself."""

    name: str
    license: str = ""
    note: str = ""

    weight: float = Field(default=1.0, gt=0)
    """How often a chip comes from here, against the other sources."""


class PairSource(_Origin):
    """Images with masks painted in colors, side by side in folders."""

    kind: Literal["pairs"]

    folders: tuple[str, ...] = Field(min_length=1)
    """Inside the data folder; split train from validation by folder, never by file."""

    images: str = "images/*.jpg"
    """Pattern of the images in each folder."""

    masks: str = "masks/{stem}.png"
    """Where the mask of an image lies in its folder; ``{stem}`` is the image's name."""

    colors: dict[str, Annotated[str, Field(pattern=r"^#[0-9A-Fa-f]{6}$")]]
    """Color of each class in the masks; all other colors are ignored."""

    @field_validator("folders", "images", "masks")
    @classmethod
    def _paths_inside(cls, value: Any) -> Any:
        return _all_inside(value)

    @model_validator(mode="after")
    def _colors_differ(self) -> Self:
        _one_class_each(self.name, ((color, name) for name, color in self.colors.items()))
        return self

    @property
    def class_names(self) -> set[str]:
        """The classes that it speaks of."""
        return set(self.colors)


class Part(_Strict):
    """A part of the ground, in square blocks: neighbors look alike, blocks are told apart."""

    block: int = Field(default=128, ge=16, le=65_536)
    """Width and height of a block, in pixels of the image."""

    every: int = Field(default=5, ge=2, le=100)
    """One block in so many is held out."""

    first: int = Field(default=0, ge=0)
    """Which one, counted from the upper left corner along the row; less than ``every``."""

    take: Literal["most", "held-out"]
    """``most`` for training, ``held-out`` for validation."""

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if self.first >= self.every:
            raise ValueError(
                f"first counts the blocks from 0 up to every - 1 ({self.every - 1}), "
                f"got {self.first}"
            )
        return self


class ScenesSource(_Origin):
    """Scenes on the ground, with labels as a raster or as polygons, in any CRS."""

    kind: Literal["scenes"]

    scenes: tuple[str, ...] = ()
    """Files inside the data folder, or patterns; each is a scene by itself."""

    files: dict[str, str] = {}
    """File by band name, instead of ``scenes``: one scene whose bands lie apart."""

    bands: dict[str, Annotated[int, Field(ge=1)]] = {}
    """Position in the scenes, from 1, by band name, where they do not say or say it wrong."""

    scale: float | None = None
    """Physical units per stored unit, where the files do not say."""

    offset: float | None = None
    """Physical units at stored 0, where the files do not say."""

    labels: str
    """A raster or a vector file; ``{stem}`` is the scene's name."""

    column: str | None = None
    """Of polygons: the attribute that says the class."""

    classes: dict[str, tuple[str | int, ...] | str | int] = {}
    """Values, colors ``#rrggbb`` or names in the labels, by class; empty where they are the same
    as the card's. What is not named is ignored."""

    part: Part | None = None
    """Which blocks of the ground to take; None is all."""

    @field_validator("scenes", "files", "labels")
    @classmethod
    def _paths_inside(cls, value: Any) -> Any:
        return _all_inside(value)

    @model_validator(mode="after")
    def _scenes_or_files(self) -> Self:
        if bool(self.scenes) == bool(self.files):
            raise ValueError(f"source {self.name!r} needs scenes or files, and not both")
        if self.bands and self.files:
            raise ValueError(
                f"source {self.name!r}: files are bands by name, bands goes with scenes"
            )
        if (self.scale is None) != (self.offset is None):
            raise ValueError(f"source {self.name!r}: scale and offset go together")
        if self.scale == 0:
            raise ValueError(f"source {self.name!r}: scale must not be zero")
        _one_class_each(self.name, self._said)
        return self

    @property
    def class_names(self) -> set[str]:
        """The classes that it speaks of."""
        return set(self.classes)

    @property
    def meaning(self) -> dict[str, str]:
        """Class name by value, color or name in the labels."""
        return {str(value): name for value, name in self._said}

    @property
    def _said(self) -> Iterator[tuple[str | int, str]]:
        """What stands in the labels, and the class that it means."""
        for name, values in self.classes.items():
            for value in values if isinstance(values, tuple) else (values,):
                yield value, name


class ArraySource(_Origin):
    """Images and labels as arrays in ``.npz`` files, in physical units, without a place."""

    kind: Literal["arrays"]

    files: tuple[str, ...] = Field(min_length=1)
    """Inside the data folder."""

    image: str = "image"
    """Name of the array (H, W, C)."""

    labels: str = "labels"
    """Name of the array (H, W) or (H, W, 1) of integers."""

    bands: tuple[str, ...] = Field(min_length=1)
    """Names of the image's bands, in their order."""

    values: dict[str, Annotated[int, Field(ge=0, le=255)]]
    """Value of each class in the labels; all others are ignored."""

    part: Part | None = None
    """Which blocks of each image to take; None is all."""

    @field_validator("files")
    @classmethod
    def _paths_inside(cls, value: Any) -> Any:
        return _all_inside(value)

    @model_validator(mode="after")
    def _values_differ(self) -> Self:
        _one_class_each(self.name, ((value, name) for name, value in self.values.items()))
        return self

    @property
    def class_names(self) -> set[str]:
        """The classes that it speaks of."""
        return set(self.values)


class TorchgeoData(_Strict):
    """A data set that torchgeo knows."""

    dataset: str
    """Name of the class in ``torchgeo.datasets``, such as LoveDA."""

    root: str
    """Its folder inside the data folder."""

    options: dict[str, str | int | float | bool | list[str]] = {}
    """Further arguments, such as its split; it is never downloaded."""

    @field_validator("root")
    @classmethod
    def _root_inside(cls, value: str) -> str:
        return inside(value)

    @field_validator("options")
    @classmethod
    def _no_download(cls, value: dict[str, Any]) -> dict[str, Any]:
        if {"root", "paths", "download"} & set(value):
            raise ValueError("root stands beside options, and nothing is ever downloaded")
        return value


class TorchgeoSource(_Origin, TorchgeoData):
    """A data set that torchgeo knows, with images and masks; or one of each, on the same ground.

    Data sets of pictures are taken picture by picture. Of those on the ground, windows are taken by
    torchgeo's own data samplers.
    """

    kind: Literal["torchgeo"]

    masks: TorchgeoData | None = None
    """The data set that has the masks, where the first one has images alone."""

    window: int = Field(default=512, ge=16, le=16_384)
    """Width and height of the windows, in pixels; smaller images are left out."""

    windows: Literal["grid", "random"] = "grid"
    """``grid`` takes all of the ground once, ``random`` as many places as ``limit`` says, or as
    many as a grid would have."""

    nodata: float | None = None
    """What all bands have where there are no data: torchgeo does not say where that is."""

    bands: tuple[str, ...] = Field(min_length=1)
    """Names of the image's bands, in their order."""

    values: dict[str, Annotated[int, Field(ge=0, le=255)]]
    """Value of each class in the masks; all others are ignored."""

    limit: int | None = Field(default=None, ge=1)
    """At most so many images, or windows, spread over the data set: they are kept in memory."""

    part: Part | None = None
    """Which blocks of each picture to take, or of the ground, whatever windows show it; None is
    all."""

    @model_validator(mode="after")
    def _values_differ(self) -> Self:
        _one_class_each(self.name, ((value, name) for name, value in self.values.items()))
        return self

    @property
    def class_names(self) -> set[str]:
        """The classes that it speaks of."""
        return set(self.values)


class SimulatedSource(_Origin):
    """Landscapes of ``geocamss.simulate``."""

    kind: Literal["simulated"]
    name: str = "geocamss simulate"
    license: str = "Apache-2.0"

    seeds: tuple[int, int]
    """First seed, and the one after the last."""

    size: int = Field(default=768, ge=64, le=8192)
    """Width and height of a landscape, in pixels."""

    @model_validator(mode="after")
    def _some_seeds(self) -> Self:
        first, end = self.seeds
        if not 0 <= first < end:
            raise ValueError(f"seeds must be [first, end) with 0 <= first < end, got {self.seeds}")
        return self

    @property
    def class_names(self) -> set[str]:
        """It paints those of the card's classes that landscapes have."""
        return set()


Source = Annotated[
    PairSource | ScenesSource | ArraySource | TorchgeoSource | SimulatedSource,
    Field(discriminator="kind"),
]
