"""Settings: which geocamss is called, and which models it has."""

from __future__ import annotations

import json
import os
import subprocess

from processing.core.ProcessingConfig import ProcessingConfig
from qgis.core import QgsSettings

from .executable import clean_environment, find_executable

__all__ = ["DEFAULT_MODEL", "EXECUTABLE", "executable", "model_names"]

EXECUTABLE = "GEOCAMSS_EXECUTABLE"
"""The setting's name in QGIS's options of Processing."""

DEFAULT_MODEL = "aerial-landcover"
"""The model that is taken where none is chosen."""

LISTING_S = 60
"""A command that takes longer than that to list its models is not waited for."""

_CACHE = "geocamss/models"


def executable() -> str | None:
    """The geocamss command; None where there is none."""
    return find_executable(ProcessingConfig.getSetting(EXECUTABLE) or "", os.environ)


def model_names() -> list[str]:
    """Built-in models of the command, the default one first.

    The command is asked once, and again after it has changed.
    """
    program = executable()
    if program is None:
        return [DEFAULT_MODEL]
    key = f"{program} {os.stat(program).st_mtime_ns}"  # noqa: PTH116  (one call, as it is)
    settings = QgsSettings()
    cached = json.loads(settings.value(_CACHE, "{}", type=str) or "{}")
    if cached.get("key") != key:
        names = _ask(program)
        if not names:
            return [DEFAULT_MODEL]
        cached = {"key": key, "names": names}
        settings.setValue(_CACHE, json.dumps(cached))
    return sorted(cached["names"], key=lambda name: (name != DEFAULT_MODEL, name))


def _ask(program: str) -> list[str]:
    """Names of the models; empty if the command cannot tell. What is wrong shows in a run."""
    try:
        done = subprocess.run(  # noqa: S603  (the user's own command)
            [program, "models", "--json"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
            timeout=LISTING_S,
            env=clean_environment(os.environ),
        )
        return [str(model["name"]) for model in json.loads(done.stdout)]
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError):
        return []
