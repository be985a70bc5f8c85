"""Runs scripts in the Python that has QGIS, which is not that of the tests."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PYTHON = os.environ.get("GEOCAMSS_QGIS_PYTHON", "/usr/bin/python3")
HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def qgis(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Runs a script of this folder in QGIS, and gives what it printed last, read as JSON."""
    has = (
        Path(PYTHON).exists()
        and not subprocess.run(
            [PYTHON, "-c", "import qgis.core"], capture_output=True, check=False
        ).returncode
    )
    if not has:
        pytest.skip(f"{PYTHON} has no QGIS: install python3-qgis, or set GEOCAMSS_QGIS_PYTHON")
    home = tmp_path_factory.mktemp("home")

    def run(script: str, *arguments: object, **environment: str) -> Any:
        # A home of its own: QGIS keeps settings, and finds programs, in the user's.
        done = subprocess.run(
            [PYTHON, str(HERE / script), *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=540,
            check=False,
            env={**os.environ, "HOME": str(home), "QT_QPA_PLATFORM": "offscreen", **environment},
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run
