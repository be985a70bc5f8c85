"""The page's manifest for Kubernetes: its commands, run here as its pods would run them."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from geocamss.cli.main import cli
from tests.batch.conftest import OUTPUTS, PRELOAD, same_rasters
from tests.batch.test_kills import end
from tests.conftest import ROOT
from tests.docs.test_pages import blocks

Process = subprocess.Popen[bytes]

ADDRESS = "tcp://maps-scheduler:8786"
"""Where the scheduler of a job of that name can be reached, in its namespace."""


@pytest.fixture(scope="module")
def manifest() -> Any:
    page = ROOT / "docs" / "howto" / "cluster.md"
    (code,) = (block.code for block in blocks(page) if "kind: DaskJob" in block.code)
    return yaml.safe_load(code)


def pods(manifest: Any) -> dict[str, Any]:
    cluster = manifest["spec"]["cluster"]["spec"]
    parts = {"job": manifest["spec"]["job"], **cluster}
    return {name: part["spec"] for name, part in parts.items()}


def command(pod: Any) -> list[str]:
    (container,) = pod["containers"]
    return list(container["args"])


def parsed(args: list[str]) -> click.Context:
    """What a command makes of its words, without doing it."""
    program, verb, *rest = args
    if program == "geocamss":
        found = cli.get_command(click.Context(cli), verb)
    else:
        assert program == "dask"
        (entry,) = entry_points(group="dask_cli", name=verb)
        found = entry.load()
    assert found is not None
    return found.make_context(verb, rest)


def test_its_commands_are_there_and_take_these_words(manifest):
    job, scheduler, worker = (
        parsed(command(pods(manifest)[name])).params for name in ("job", "scheduler", "worker")
    )
    assert worker["nthreads"] == 1
    ports = {port["name"]: port for port in pods(manifest)["scheduler"]["containers"][0]["ports"]}
    assert scheduler["port"] == str(ports["tcp-comm"]["containerPort"])
    assert scheduler["dashboard_address"] == f":{ports['http-dashboard']['containerPort']}"
    assert job["scheduler"] == "$(DASK_SCHEDULER_ADDRESS)"


def test_what_refers_to_something_finds_it(manifest):
    """Volumes by their names, ports by theirs, the service by the job's, outputs by one path."""
    name = manifest["metadata"]["name"]
    for pod in pods(manifest).values():
        volumes = {volume["name"] for volume in pod.get("volumes", ())}
        for container in pod["containers"]:
            mounts = container.get("volumeMounts", ())
            assert {mount["name"] for mount in mounts} == volumes
    mounted = [
        (pod["containers"][0]["volumeMounts"], pod["volumes"])
        for pod in (pods(manifest)["job"], pods(manifest)["worker"])
    ]
    assert mounted[0] == mounted[1]
    where = mounted[0][0][0]["mountPath"]
    job = command(pods(manifest)["job"])
    assert all(path.startswith(f"{where}/") for path in (job[2], job[job.index("-o") + 1]))
    scheduler = pods(manifest)["scheduler"]["containers"][0]
    service = manifest["spec"]["cluster"]["spec"]["scheduler"]["service"]
    assert service["selector"]["dask.org/cluster-name"] == name
    ports = {port["name"] for port in scheduler["ports"]}
    assert {port["targetPort"] for port in service["ports"]} == ports
    assert scheduler["readinessProbe"]["httpGet"]["port"] in ports
    assert f"tcp://{name}-scheduler:{service['ports'][0]['port']}" == ADDRESS
    (waiting,) = pods(manifest)["job"]["initContainers"]
    assert ADDRESS in waiting["args"][-1]


@contextmanager
def container(args: list[str], names: dict[str, str], said: Path) -> Iterator[Process]:
    """A container's process, with other names of places, and with the operator's variables."""
    variables = {"DASK_SCHEDULER_ADDRESS": names[ADDRESS], "DASK_WORKER_NAME": "maps-worker"}
    known = names | {f"$({name})": value for name, value in variables.items()}
    pattern = "|".join(map(re.escape, known))
    words = [re.sub(pattern, lambda found: known[found[0]], word) for word in args]
    program = shutil.which(words[0], path=Path(sys.executable).parent)
    assert program, words[0]
    with said.open("wb") as file:
        process = subprocess.Popen(
            [program, *words[1:]],
            env=os.environ | variables | {"OMP_NUM_THREADS": "1"},
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        end(process)


@pytest.mark.slow
def test_its_pods_map_as_predict_does(tmp_path, manifest, scenes, model, single):
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        port, dashboard = one.getsockname()[1], other.getsockname()[1]
    names = {
        ADDRESS: f"tcp://127.0.0.1:{port}",
        "8786": str(port),
        "8787": str(dashboard),
        "/data/scenes": str(scenes),
        "/data/maps": str(tmp_path / "out"),
    }
    pod = pods(manifest)
    (waiting,) = pod["job"]["initContainers"]
    roles = {
        "wait": waiting["args"],
        "scheduler": command(pod["scheduler"]),
        "worker": [*command(pod["worker"]), "--preload", PRELOAD],
    }
    job = [*command(pod["job"]), "--model", str(model), "--outputs", ",".join(OUTPUTS)]
    with ExitStack() as stack:

        def run(name: str, args: list[str]) -> Process:
            return stack.enter_context(container(args, names, tmp_path / f"{name}.txt"))

        running = {name: run(name, args) for name, args in roles.items()}
        assert running["wait"].wait(300) == 0, (tmp_path / "wait.txt").read_text()
        assert run("map", job).wait(300) == 0, (tmp_path / "map.txt").read_text()
    same_rasters(single, tmp_path / "out")
