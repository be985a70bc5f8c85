"""Where numbers come from: the machine, the versions of libraries, and the memory of a process."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

__all__ = ["machine", "peak", "resident", "versions"]


def machine() -> dict[str, Any]:
    """Processor, cores that this process may use, load, Python and system."""
    model = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text(encoding="utf-8").splitlines()
        model = next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), model)
    return {
        "processor": model,
        "cores": len(os.sched_getaffinity(0)),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        "system": platform.platform(),
    }


def versions(*names: str) -> dict[str, str]:
    """Versions of the packages that are installed, of these."""
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def resident() -> float:
    """This process's resident size, in MB (1e6 bytes)."""
    return _status("VmRSS")


def peak() -> float:
    """This process's largest resident size so far, in MB (1e6 bytes)."""
    # Not getrusage: a child inherits its parent's peak there.
    return _status("VmHWM")


def _status(field: str) -> float:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) * 1024 / 1e6
