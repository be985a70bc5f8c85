"""SLURM on this machine alone: Debian's own daemons, with settings and a key of their own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

PROGRAMS = ("setpriv", "munged", "slurmctld", "slurmd", "sbatch", "scancel", "squeue")
PATIENCE = 180.0
"""Seconds that a daemon, or a job, may take on a busy machine."""

MACHINE = {"CPUs": "2", "RealMemory": "65536"}
"""What SLURM is told of this machine: two jobs at once, whatever it has."""


@dataclass(frozen=True)
class Slurm:
    """A SLURM that runs."""

    folder: Path
    """Its settings, its state and its logs."""

    @property
    def environment(self) -> dict[str, str]:
        """With which SLURM's commands find it."""
        return os.environ | {"SLURM_CONF": str(self.folder / "slurm.conf")}

    def ask(self, *command: str) -> str:
        """What one of SLURM's commands says."""
        done = subprocess.run(
            command,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}\n{self.logs()}"
        return done.stdout

    def jobs(self, *states: str) -> list[str]:
        """Numbers of the jobs that have not ended, or are in one of some states."""
        chosen = [f"--states={','.join(states)}"] if states else []
        return self.ask("squeue", "--noheader", "--format=%i", *chosen).split()

    def cancel(self, job: str) -> None:
        """End a job."""
        self.ask("scancel", job)

    def logs(self) -> str:
        """What the daemons have said."""
        return "\n".join(path.read_text() for path in sorted(self.folder.glob("*.log")))


def settings(folder: Path) -> str:
    """The file ``slurm.conf`` of a cluster that is this machine, and keeps to a folder.

    Nothing of cgroups, which a container seldom may change: a job that takes more memory or cores
    than it has asked for is not kept from it.
    """
    host = socket.gethostname().split(".")[0]
    control, node = free_ports(2)
    lines = {
        "ClusterName": "tests",
        "SlurmctldHost": f"{host}(127.0.0.1)",
        "SlurmctldPort": control,
        "SlurmdPort": node,
        "SlurmUser": "root",
        "AuthType": "auth/munge",
        "AuthInfo": f"socket={folder / 'munge.socket'}",
        "StateSaveLocation": folder / "state",
        "SlurmdSpoolDir": folder / "spool",
        "SlurmctldPidFile": folder / "slurmctld.pid",
        "SlurmdPidFile": folder / "slurmd.pid",
        "ProctrackType": "proctrack/linuxproc",
        "TaskPlugin": "task/none",
        "SelectType": "select/cons_tres",
        "SelectTypeParameters": "CR_Core_Memory",
        "SlurmdParameters": "config_overrides",
        "ReturnToService": 2,
        "KillWait": 10,
        "MpiDefault": "none",
    }
    machine = " ".join(f"{key}={value}" for key, value in MACHINE.items())
    return "".join(f"{key}={value}\n" for key, value in lines.items()) + (
        f"NodeName={host} NodeAddr=127.0.0.1 {machine} State=UNKNOWN\n"
        "PartitionName=tests Nodes=ALL Default=YES MaxTime=INFINITE State=UP\n"
    )


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def wait(until: Callable[[], object], what: str) -> None:
    """Wait for something to come true."""
    deadline = time.monotonic() + PATIENCE
    while not until():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


@contextmanager
def daemon(folder: Path, *command: str) -> Iterator[None]:
    """A daemon in the foreground, from its start to its end, or to that of the tests."""
    log = folder / f"{command[0]}.log"
    with log.open("wb") as file:
        said = {"stdout": file, "stderr": subprocess.STDOUT, "stdin": subprocess.DEVNULL}
        mortal = ["setpriv", "--pdeathsig", "TERM", *command]
        process = subprocess.Popen(mortal, start_new_session=True, **said)
    try:
        yield
        assert process.poll() is None, log.read_text()
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def one_machine(folder: Path) -> Iterator[Slurm]:
    """Start SLURM, and end all of it.

    Skips the test where it is not installed, or this is not root.

    Args:
        folder: an empty one with a short name: sockets allow for a hundred characters.
    """
    if missing := [program for program in PROGRAMS if shutil.which(program) is None]:
        pytest.skip(f"needs {missing[0]}: apt-get install slurmctld slurmd")
    if os.geteuid() != 0:
        pytest.skip("only root may start the daemons of SLURM")
    slurm = Slurm(folder)
    conf = folder / "slurm.conf"
    conf.write_text(settings(folder))
    for name in ("state", "spool"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.touch(0o600)
    key.write_bytes(os.urandom(128))
    files = {"key-file": key} | {
        f"{name}-file": folder / f"munge.{name}" for name in ("pid", "seed", "log")
    }
    munge = [f"--{name}={path}" for name, path in files.items()]
    socket_file = folder / "munge.socket"
    with ExitStack() as stack:
        # It would have a folder that all users may enter.
        stack.enter_context(
            daemon(folder, "munged", "--foreground", "--force", f"--socket={socket_file}", *munge)
        )
        wait(socket_file.exists, "no socket of munged")
        stack.enter_context(daemon(folder, "slurmctld", "-D", "-f", str(conf)))
        stack.enter_context(daemon(folder, "slurmd", "-D", "-f", str(conf)))
        wait(lambda: idle(slurm), f"no machine that is idle\n{slurm.logs()}")
        try:
            yield slurm
        finally:
            for job in slurm.jobs():
                slurm.cancel(job)
            wait(lambda: not slurm.jobs(), f"jobs that do not end\n{slurm.logs()}")


def idle(slurm: Slurm) -> bool:
    """Whether the machine takes jobs."""
    command = ["sinfo", "--noheader", "--format=%t"]
    said = subprocess.run(command, env=slurm.environment, capture_output=True, check=False)
    return said.stdout.split() == [b"idle"]
