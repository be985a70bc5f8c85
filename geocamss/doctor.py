"""Doctor: what geocamss finds on a machine, and what to do about what it lacks."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import geocamss

__all__ = ["Finding", "State", "examine"]

State = Literal["good", "missing", "bad"]
"""``good``; ``missing`` limits what can be done; ``bad`` keeps maps from being made."""

EXTRAS = {
    "train": ("kornia", "lightning", "tensorboard", "torchgeo"),
    "plot": ("matplotlib",),
    "view": ("rio_tiler",),
    "notebook": ("folium", "mapclassify", "matplotlib", "rioxarray", "xarray"),
}
"""Libraries by extra: what is looked for."""

SYSTEM_PYTHON = Path("/usr/bin/python3")
"""Where Debian's python3-qgis is, which has no program to be found on the path."""

DRIVERS = {
    "COG": "classes.tif and confidence.tif",
    "VRT": "scenes of several files",
}
"""Raster formats that geocamss writes or builds on, and what for."""

VECTOR_DRIVERS = {
    "GPKG": "polygons.gpkg",
    "FlatGeobuf": "polygons as FlatGeobuf",
}
"""Vector formats likewise; pyogrio brings a GDAL of its own."""

LEAST_DISK = 1 << 30
"""Bytes of free disk below which a warning is due."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    name: str
    """What was looked at."""

    state: State
    """How it is."""

    found: str
    """What was found, in a few words."""

    advice: str = ""
    """What to do; empty where it is good."""


def examine() -> tuple[Finding, ...]:
    """Look at everything; takes a few seconds, for torch."""
    return tuple(finding for look in _LOOKS for finding in _careful(look))


def _careful(look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """What a look finds, or that it failed: a doctor must not fall ill."""
    try:
        yield from look()
    except Exception as error:  # noqa: BLE001  (whatever is broken here is a finding)
        name = look.__name__.removeprefix("_")
        yield Finding(name, "bad", f"{type(error).__name__}: {error}", "reinstall geocamss")


def _python() -> Iterator[Finding]:
    version = platform.python_version()
    where = f"{version}, {sys.executable}"
    yield Finding("geocamss", "good", geocamss.__version__)
    yield Finding("Python", "good", where)


def _gdal() -> Iterator[Finding]:
    import pyogrio
    import pyproj
    import rasterio
    from pyproj import CRS

    yield Finding("GDAL", "good", f"{rasterio.__gdal_version__}, rasterio {rasterio.__version__}")
    with rasterio.Env() as env:
        drivers = env.drivers()
    wanted = DRIVERS | VECTOR_DRIVERS
    for driver in (*(DRIVERS.keys() - drivers), *(VECTOR_DRIVERS.keys() - pyogrio.list_drivers())):
        yield Finding(f"GDAL, {driver}", "bad", "not there", f"needed for {wanted[driver]}")
    jpeg2000 = [name for name in ("JP2OpenJPEG", "JP2KAK", "JP2ECW") if name in drivers]
    if jpeg2000:
        yield Finding("JPEG 2000", "good", jpeg2000[0])
    else:
        yield Finding(
            "JPEG 2000", "missing", "no driver", "Sentinel-2 SAFE needs a GDAL with OpenJPEG"
        )
    CRS.from_epsg(32633).to_wkt()  # fails where PROJ does not find its database
    yield Finding("PROJ", "good", pyproj.proj_version_str)


def _torch() -> Iterator[Finding]:
    import torch

    from geocamss.models.precision import fast_dtype

    cpu, built = torch.device("cpu"), torch.version.cuda
    said = (
        torch.__version__,
        f"CUDA {built}" if built else "no CUDA",
        f"{torch.get_num_threads()} threads",
        f"{_name(fast_dtype(cpu))} on the CPU",
    )
    yield Finding("torch", "good", ", ".join(said))
    if not torch.cuda.is_available():
        yield Finding(
            "GPU",
            "missing",
            "none that torch can use; maps are made on the CPU",
            f"with an NVIDIA GPU in this machine: install its driver, for CUDA {built} or newer"
            if built
            else "with an NVIDIA GPU in this machine: install a build of torch for CUDA",
        )
    for index in range(torch.cuda.device_count()):
        gpu = torch.cuda.get_device_properties(index)
        with torch.cuda.device(index):
            fast = _name(fast_dtype(torch.device("cuda", index)))
        memory = f"{gpu.total_memory / 1e9:.0f} GB"
        yield Finding(f"GPU cuda:{index}", "good", f"{gpu.name}, {memory}, {fast}")


def _name(dtype: object) -> str:
    return str(dtype).removeprefix("torch.")


def _models() -> Iterator[Finding]:
    from geocamss.models import registry
    from geocamss.models.header import read_card

    for name in registry.names():
        card = read_card(registry.path(name))
        yield Finding(f"model {name}", "good", f"version {card.version}")


def _extras() -> Iterator[Finding]:
    for extra, libraries in EXTRAS.items():
        lacking = [library for library in libraries if find_spec(library) is None]
        if lacking:
            yield Finding(
                f"extra {extra}",
                "missing",
                f"no {', '.join(lacking)}",
                f"pip install 'geocamss[{extra}]', if you need it",
            )
        else:
            yield Finding(f"extra {extra}", "good", "installed")


def _qgis() -> Iterator[Finding]:
    found = next((path for name in ("qgis", "qgis_process") if (path := shutil.which(name))), None)
    if found:
        yield Finding("QGIS", "good", found)
    elif version := _qgis_version(SYSTEM_PYTHON):
        yield Finding("QGIS", "good", f"{version}, without a window, in {SYSTEM_PYTHON}")
    else:
        yield Finding(
            "QGIS",
            "missing",
            "neither on the path nor in the system's Python",
            "to look at map.qgz: apt-get install qgis, or another machine; maps need none",
        )


def _qgis_version(python: Path) -> str:
    """Of the QGIS that an interpreter has; empty where it has none."""
    ask = [str(python), "-c", "from qgis.core import Qgis; print(Qgis.version())"]
    try:
        done = subprocess.run(  # noqa: S603  (the system's own Python)
            ask, capture_output=True, text=True, timeout=60, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def _room() -> Iterator[Finding]:
    for name, folder in (("disk here", Path.cwd()), ("disk for temporary files", _temporary())):
        free = shutil.disk_usage(folder).free
        text = f"{free / 1e9:.1f} GB free in {folder}"
        if free < LEAST_DISK:
            yield Finding(name, "missing", text, "make room, or write elsewhere with -o")
        else:
            yield Finding(name, "good", text)


def _temporary() -> Path:
    import tempfile

    return Path(tempfile.gettempdir())


def _settings() -> Iterator[Finding]:
    given = {name: value for name, value in os.environ.items() if name.startswith("GEOCAMSS_")}
    for name, value in sorted(given.items()):
        yield Finding(name, "good", value)


_LOOKS = (_python, _gdal, _torch, _models, _extras, _qgis, _room, _settings)
