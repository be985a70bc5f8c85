"""Freed memory is used again, without the operating system."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource
from geocamss.heap import keep_freed_memory

def faults():
    for _ in range(20):
        first, second = bytearray(5 << 20), bytearray(5 << 20)
        del first, second
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

start = faults()
before = faults() - start
agreed = keep_freed_memory()
start = faults()
print(int(agreed), before, faults() - start)
"""


def asked(**variables):
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "GLIBC_"))}
    command = [sys.executable, "-c", FAULTS]
    done = subprocess.run(
        command, env=environment | variables, capture_output=True, text=True, check=True
    )
    return map(int, done.stdout.split())


GNU = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="only the C library of GNU knows these options"
)


@GNU
def test_freed_memory_is_not_asked_for_again():
    agreed, before, after = asked()
    assert agreed
    assert after < 100  # 51,200 pages were written to
    assert after <= before


HELD = """
from pathlib import Path
from geocamss.heap import give_back_freed_memory, keep_freed_memory

def resident():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) // 1024

keep_freed_memory()
pieces = [bytearray(5 << 20) for _ in range(20)]
del pieces
before = resident()
give_back_freed_memory()
print(before - resident())
"""


@GNU
def test_freed_memory_is_given_back_in_the_end():
    done = subprocess.run([sys.executable, "-c", HELD], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 90  # MiB, of 100


@GNU
def test_what_dask_sets_for_its_workers_is_nobodys_choice():
    agreed, before, after = asked(MALLOC_TRIM_THRESHOLD_="65536")
    assert agreed
    assert before > 10_000  # as Dask would have it: most pages anew each time
    assert after < 100


def test_options_in_the_environment_stay():
    agreed, *_ = asked(MALLOC_TRIM_THRESHOLD_="131072")
    assert not agreed
