"""The executable: where the geocamss command is, and the environment that it is called in."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

__all__ = ["NOT_FOUND", "clean_environment", "find_executable"]

NAME = "geocamss"

NOT_FOUND = (
    "the geocamss command is not found; install it, for instance with 'pipx install geocamss', or "
    "say where it is under Settings, Options, Processing, Providers, geocamss"
)

_QGIS_OWN = ("PYTHON", "GDAL_", "OGR_", "PROJ_", "CPL_", "QT_", "QGIS_", "GRASS_", "__PYVENV")
"""Variables by which QGIS, or a launcher of it, leads Python, GDAL, PROJ and Qt to its own files;
geocamss brings its own."""

_NETWORK = ("GDAL_HTTP", "CPL_AWS", "GDAL_PROXY")
"""Those among them that say how the network is reached: the user's, not QGIS's."""


def find_executable(chosen: str, environment: Mapping[str, str]) -> str | None:
    """The geocamss command to call.

    Args:
        chosen: the file that the user chose; empty looks on the PATH and then where pip, pipx and
            uv put commands.
        environment: has the PATH and the home folder.

    Returns:
        A file that can be run, or None.
    """
    if chosen:
        return shutil.which(chosen)
    home = environment.get("HOME") or environment.get("USERPROFILE")
    usual = [] if not home else [str(Path(home) / ".local" / "bin")]
    path = os.pathsep.join([environment.get("PATH", ""), *usual])
    return shutil.which(NAME, path=path)


def clean_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment without QGIS's own Python, GDAL and PROJ, and with text in UTF-8."""
    kept = {
        name: value
        for name, value in environment.items()
        if not name.startswith(_QGIS_OWN) or name.startswith(_NETWORK)
    }
    return {**kept, "PYTHONUTF8": "1"}
