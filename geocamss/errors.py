"""Every error that geocamss raises on purpose.

GeocamssError
├── InputError          the user's mistake: exit code 2
│   ├── SceneError      a raster that cannot be opened, or not be mapped
│   ├── BandError       a scene lacks a band that the model wants
│   ├── GridError       no output grid can be laid: GSD, CRS or area of interest
│   ├── ModelError      a model, its card or its weights are not usable
│   ├── RecipeError     a recipe is not valid
│   └── OutputError     the output folder exists, cannot be written, or is in use
└── RunError            a run that failed: exit code 1
    ├── ReadError       pixels could not be read, though the scene had opened
    ├── DiskFullError   no room is left for the outputs
    └── InterruptError  the run was stopped by a signal, and can be resumed

A message says what was wrong, where (file, band, field), and what to do next. What the user
should know, though the map is made all the same, is a ``GeocamssWarning``.
"""

from __future__ import annotations

__all__ = [
    "BandError",
    "DiskFullError",
    "GeocamssError",
    "GeocamssWarning",
    "GridError",
    "InputError",
    "InterruptError",
    "ModelError",
    "OutputError",
    "ReadError",
    "RecipeError",
    "RunError",
    "SceneError",
]


class GeocamssError(Exception):
    """The root of the tree above."""

    exit_code = 1
    """What a command that ends with this error exits with."""


class GeocamssWarning(UserWarning):
    """The map is made, but not quite as the user may expect."""


class InputError(GeocamssError):
    """Something that the user gave cannot be used as it is."""

    exit_code = 2


class SceneError(InputError):
    """A raster cannot be opened, or holds nothing that can be mapped."""


class BandError(InputError):
    """A scene lacks a band that the model wants, or a band override is off."""


class GridError(InputError):
    """No output grid can be laid over the scene as asked."""


class ModelError(InputError):
    """A model, its card or its weights cannot be used."""


class RecipeError(InputError):
    """A recipe is not valid."""


class OutputError(InputError):
    """The output folder exists already, cannot be written, or is in use."""


class RunError(GeocamssError):
    """A run failed that had begun well."""


class ReadError(RunError):
    """Pixels could not be read from a scene that had opened."""


class DiskFullError(RunError):
    """No room is left for the outputs."""


class InterruptError(RunError):
    """The run was stopped by a signal; what is finished is kept."""

    exit_code = 130
