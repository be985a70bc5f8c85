"""geocamss turns remote-sensing scenes into maps.

What is listed in ``__all__`` is public. Each name is imported when it is first used, so that
``import geocamss`` costs next to nothing.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from geocamss.batch.job import BatchResult, map_scenes
    from geocamss.batch.mosaic_grid import Mosaic
    from geocamss.classes import Class, ClassScheme
    from geocamss.errors import GeocamssError, GeocamssWarning
    from geocamss.evaluation.evaluate import evaluate
    from geocamss.evaluation.evaluation import Evaluation
    from geocamss.modelcard import ModelCard
    from geocamss.models.module import from_module
    from geocamss.plan import Plan, plan
    from geocamss.predict import predict
    from geocamss.result import Result
    from geocamss.scene.scene import Scene
    from geocamss.vectorize import Vectorized, vectorize

__all__ = [
    "BatchResult",
    "Class",
    "ClassScheme",
    "Evaluation",
    "GeocamssError",
    "GeocamssWarning",
    "ModelCard",
    "Mosaic",
    "Plan",
    "Result",
    "Scene",
    "Vectorized",
    "__version__",
    "evaluate",
    "from_module",
    "map_scenes",
    "plan",
    "predict",
    "vectorize",
]

__version__ = "0.1.0"

_HOMES = {
    "BatchResult": "geocamss.batch.job",
    "Class": "geocamss.classes",
    "ClassScheme": "geocamss.classes",
    "Evaluation": "geocamss.evaluation.evaluation",
    "GeocamssError": "geocamss.errors",
    "GeocamssWarning": "geocamss.errors",
    "ModelCard": "geocamss.modelcard",
    "Mosaic": "geocamss.batch.mosaic_grid",
    "Plan": "geocamss.plan",
    "Result": "geocamss.result",
    "Scene": "geocamss.scene.scene",
    "Vectorized": "geocamss.vectorize",
    "evaluate": "geocamss.evaluation.evaluate",
    "from_module": "geocamss.models.module",
    "map_scenes": "geocamss.batch.job",
    "plan": "geocamss.plan",
    "predict": "geocamss.predict",
    "vectorize": "geocamss.vectorize",
}
"""Public name to the module that defines it."""


class _Package(ModuleType):
    """A package in which ``predict`` and ``plan`` are functions, whoever imports their modules.

    Importing a submodule binds it to its name in the package; here the function stays in its place.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, ModuleType) and _HOMES.get(name) == value.__name__:
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
