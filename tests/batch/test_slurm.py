"""The page's recipe for SLURM, on a SLURM of one machine: its maps, and a job that is canceled."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.batch.conftest import PRELOAD, same_rasters
from tests.batch.slurm import Slurm, one_machine, wait
from tests.conftest import ROOT
from tests.docs.test_pages import blocks

pytestmark = pytest.mark.slow

HOLD = """
import os, time
from pathlib import Path
from geocamss.engine import Engine
gate = Path({gate!r})
def map_block(self, block, *rest, as_before=Engine.map_block):
    while not (gate / "open").exists():
        (gate / os.environ["SLURM_JOB_ID"]).touch()
        time.sleep(0.1)
    return as_before(self, block, *rest)
Engine.map_block = map_block
"""
"""Workers that begin a block, say in which job, and wait for a gate to open."""


@pytest.fixture(scope="module")
def slurm() -> Iterator[Slurm]:
    pytest.importorskip("dask_jobqueue", reason="needs dask-jobqueue: pip install dask-jobqueue")
    with TemporaryDirectory(prefix="slurm-") as folder, one_machine(Path(folder)) as slurm:
        yield slurm


def recipe(names: dict[str, str]) -> str:
    """The page's block, with other names of folders, a small model, and fewer jobs."""
    page = ROOT / "docs" / "howto" / "cluster.md"
    (code,) = (block.code for block in blocks(page) if "SLURMCluster" in block.code)
    for said, meant in names.items():
        assert code.count(said) == 1, said
        code = code.replace(said, meant)
    return code


@contextmanager
def job(
    slurm: Slurm, folder: Path, scenes: Path, model: Path, preload: str
) -> Iterator[subprocess.Popen[bytes]]:
    """The page's script while it runs; the maps go to ``out``."""
    code = recipe(
        {
            '"/shared/scenes"': repr(str(scenes)),
            '"/shared/maps"': f"{str(folder / 'out')!r}, model={str(model)!r}",
            '"/tmp"': repr(str(folder)),
            "maximum=64": "maximum=2",
        }
    )
    environment = slurm.environment | {
        "PYTHONWARNINGS": "default",
        "DASK_DISTRIBUTED__WORKER__PRELOAD": repr([preload]),
        "DASK_JOBQUEUE__SLURM__LOG_DIRECTORY": str(folder / "logs"),
        "DASK_JOBQUEUE__SLURM__DEATH_TIMEOUT": "300",  # a busy machine is slow to start a worker
    }
    with (folder / "said.txt").open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=folder,
            env=environment,
            stdout=said,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def logs(folder: Path) -> str:
    """What the script and its jobs have said."""
    return "\n".join(p.read_text() for p in [folder / "said.txt", *(folder / "logs").glob("*")])


def begun(gate: Path, count: int, process: subprocess.Popen[bytes]) -> set[str]:
    """The jobs that have begun a block, once there are so many, or the script has ended."""

    def names() -> set[str]:
        return {path.name for path in gate.iterdir()}

    wait(lambda: len(names()) >= count or process.poll() is not None, f"not {count} jobs that map")
    return names()


def test_what_stands_on_the_page_maps_as_predict_does(tmp_path, slurm, scenes, model, single):
    with job(slurm, tmp_path, scenes, model, PRELOAD) as process:
        assert process.wait(300) == 0, logs(tmp_path)
    same_rasters(single, tmp_path / "out")
    wait(lambda: not slurm.jobs(), "jobs that outlive the script")


def test_a_job_that_is_canceled_is_made_up_for(tmp_path, slurm, scenes, model, single):
    gate = tmp_path / "gate"
    gate.mkdir()
    with job(slurm, tmp_path, scenes, model, PRELOAD + HOLD.format(gate=str(gate))) as process:
        first = begun(gate, 2, process)
        assert first == set(slurm.jobs("running")), logs(tmp_path)
        canceled = min(first)
        slurm.cancel(canceled)
        later = begun(gate, 3, process)
        assert len(later) == 3, logs(tmp_path)
        assert set(slurm.jobs("running")) == later - {canceled}
        (gate / "open").touch()
        assert process.wait(300) == 0, logs(tmp_path)
    same_rasters(single, tmp_path / "out")
