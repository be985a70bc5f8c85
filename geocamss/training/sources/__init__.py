"""Sources: labeled images of every kind that a recipe may name, as tensors in memory."""

from geocamss.training.sources.image import IGNORED, LabeledImage
from geocamss.training.sources.load import load_source
from geocamss.training.sources.spec import (
    ArraySource,
    PairSource,
    Part,
    ScenesSource,
    SimulatedSource,
    Source,
    TorchgeoSource,
)

__all__ = [
    "IGNORED",
    "ArraySource",
    "LabeledImage",
    "PairSource",
    "Part",
    "ScenesSource",
    "SimulatedSource",
    "Source",
    "TorchgeoSource",
    "load_source",
]
