"""Algorithm: what calling the command from the Processing toolbox has in common."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from qgis.core import QgsProcessingAlgorithm, QgsProcessingException

from .executable import NOT_FOUND, clean_environment
from .process import ProcessError, run
from .settings import executable

__all__ = ["Algorithm"]


class Algorithm(QgsProcessingAlgorithm):
    """One command of geocamss."""

    NAME: str
    """What scripts call it."""

    TITLE: str
    """What people call it."""

    HELP: str
    """What stands beside the parameters."""

    TAGS: tuple[str, ...]
    """What the toolbox finds it by, besides its name."""

    def name(self) -> str:
        """What scripts call it."""
        return self.NAME

    def displayName(self) -> str:
        """What people call it."""
        return self.TITLE

    def shortHelpString(self) -> str:
        """What stands beside the parameters."""
        return self.HELP.replace("\n", "<br>")

    def tags(self) -> list[str]:
        """What the toolbox finds it by, besides its name."""
        return list(self.TAGS)

    def canExecute(self) -> tuple[bool, str]:
        """Whether the command is there, and what to do if not."""
        return (True, "") if executable() else (False, NOT_FOUND)

    def call(self, arguments: Sequence[str], feedback: Any) -> bool:
        """Call the command.

        Args:
            arguments: what stands behind ``geocamss``.
            feedback: told how it goes.

        Returns:
            True when it is done, False when the user stopped it.

        Raises:
            QgsProcessingException: it is not there, or failed; with its own words.
        """
        program = executable()
        if program is None:
            raise QgsProcessingException(NOT_FOUND)
        feedback.pushCommandInfo(" ".join([program, *map(_quoted, arguments)]))
        try:
            return run([program, *arguments], clean_environment(os.environ), feedback)
        except ProcessError as error:
            raise QgsProcessingException(str(error)) from error

    def raster_path(self, parameters: dict[str, Any], name: str, context: Any) -> str:
        """What GDAL opens for a raster parameter.

        Raises:
            QgsProcessingException: it is no raster that GDAL opens.
        """
        layer = self.parameterAsRasterLayer(parameters, name, context)
        if layer is None:
            raise QgsProcessingException(self.invalidRasterError(parameters, name))
        if layer.providerType() != "gdal":
            raise QgsProcessingException(
                f"{layer.name()} is served by {layer.providerType()}; geocamss reads files and "
                "URLs that GDAL opens: export the layer to a GeoTIFF first"
            )
        return str(layer.source()).partition("|option:")[0]


def _quoted(argument: str) -> str:
    """An argument as a person would type it."""
    return f'"{argument}"' if not argument or set(argument) & set(" \t'$&|<>();") else argument
