"""The gate: everything that must hold before a change lands, each step printed.

Run ``python -m tests`` in the root of a clone. What stands behind it goes to pytest:
``python -m tests -k grid``, ``python -m tests --slow``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PARALLEL = ("-n", "auto", "--maxprocesses", "4")
"""A process a core, of one thread: threads of several processes would wait for one another."""


def steps(pytest_arguments: list[str]) -> dict[str, list[str]]:
    """What is run, by the name that is printed; with the interpreter that runs this file."""
    python = sys.executable
    return {
        "format": [python, "-m", "ruff", "format", "--check", "--quiet", "."],
        "lint": [python, "-m", "ruff", "check", "--quiet", "."],
        "types": [python, "-m", "mypy"],
        "imports": [str(Path(python).with_name("lint-imports")), "--no-logo"],
        "tests": [python, "-m", "pytest", "-q", *PARALLEL, *pytest_arguments],
    }


def main() -> int:
    """Run every step, also behind a failed one; 0 if all pass, else 1."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    failed = []
    for name, command in steps(sys.argv[1:]).items():
        print(f"== {name}", flush=True)
        begin = time.monotonic()
        code = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
        print(f"== {name}: {'ok' if code == 0 else f'FAILED ({code})'}", end=", ")
        print(f"{time.monotonic() - begin:.0f} s\n", flush=True)
        if code:
            failed.append(name)
    print(f"gate: {'failed: ' + ', '.join(failed) if failed else 'passed'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
