"""Runs that are stopped, by whom and whenever: nothing is lost, and the map is the same."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

import geocamss
from geocamss.products import PRODUCTS, files_of

from .test_predict import CARD, network, texture, write_scene

RUN = """
    import os, random, signal, sys, time
    import torch
    import geocamss, geocamss.predict, geocamss.run
    sys.path.insert(0, {tests!r})
    from test_predict import CARD, network

    geocamss.run.block_tiles = lambda card: (1, 2)
    scene, out, mode, *more = sys.argv[1:]

    class Slow(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = network()

        def forward(self, x):
            time.sleep(0.002)
            return self.inner(x)

    def run():
        torch.set_num_threads(1)
        model = geocamss.from_module(Slow(), CARD)
        def tell(progress):
            if progress.done:
                print(progress.done, flush=True)

        say = tell if mode == "talk" else None
        geocamss.predict(scene, out, model=model, progress=say)
"""

KILLS = """
    # Libraries are imported once; each run is a child that is forked off before any is used.
    def attempt(seconds):
        # Returns how long a run took, or None if it was killed.
        start = time.monotonic()
        child = os.fork()
        if child == 0:
            code = 1
            try:
                run()
                code = 0
            finally:
                os._exit(code)
        while time.monotonic() - start < seconds:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                assert status == 0, status
                return time.monotonic() - start
            time.sleep(0.001)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return None

    def ended():
        return os.path.exists(out + "/classes.tif") and not os.path.exists(out + "/.geocamss")

    whole = attempt(1e9)
    os.rename(out, out + "-whole")
    dice = random.Random(int(more[0]))
    kills = 0
    for number in range(200):
        kills += attempt(dice.uniform(0.02, 0.6) * whole) is None
        if kills == 20:
            break
        if ended():
            os.rename(out, out + "-%d" % number)
    if not ended():
        assert attempt(1e9)
    print(kills)
"""


def script(code):
    return textwrap.dedent(RUN).format(tests=str(Path(__file__).parent)) + textwrap.dedent(code)


def start(code, *words, **more):
    command = [sys.executable, "-c", script(code), *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **more)


def same_files(one, other):
    names = sorted(p.name for p in other.iterdir())
    # A run that is killed while it removes its blocks has ended; the rest of them goes next time.
    assert sorted(p.name for p in one.iterdir() if "-old-" not in p.name) == names
    assert set(names) == set(files_of(PRODUCTS))
    for name in names:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


@pytest.fixture
def scene(tmp_path):
    return write_scene(tmp_path / "s.tif", texture(300, 400), nodata=0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_twenty_kills_at_random_moments_change_no_byte(tmp_path, scene, seed):
    process = start(KILLS, scene, tmp_path / "out", "quiet", seed)
    said, _ = process.communicate(timeout=500)
    assert process.returncode == 0
    assert int(said.split()[-1]) == 20
    for folder in tmp_path.glob("out*"):
        same_files(folder, tmp_path / "out-whole")


def test_sigterm_ends_a_run_when_a_block_is_finished(tmp_path, scene):
    process = start("run()", scene, tmp_path / "out", "talk", stderr=subprocess.PIPE)
    process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    _, words = process.communicate(timeout=300)
    assert process.returncode == 1
    last = words.strip().splitlines()[-1]
    assert "InterruptError: stopped by SIGTERM when a block was finished" in last
    assert "run the same command again" in last
    blocks = list((tmp_path / "out" / ".geocamss" / "blocks").glob("*"))
    assert blocks
    assert all(path.suffix == ".npz" for path in blocks)
    before = {path: path.stat().st_mtime_ns for path in blocks}
    whole = start("run()", scene, tmp_path / "whole", "quiet")
    again = start("run()", scene, tmp_path / "out", "talk")
    first = int(again.stdout.readline())
    assert first > 0.5 * len(before)
    for process in (whole, again):
        process.communicate(timeout=300)
        assert process.returncode == 0
    same_files(tmp_path / "out", tmp_path / "whole")


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"key": 7}', b"\xff\xfe\x00", None])
def test_a_damaged_journal_starts_over(tmp_path, scene, damage, monkeypatch):
    monkeypatch.setattr("geocamss.run.block_tiles", lambda _: (1, 2))
    model = geocamss.from_module(network(), CARD)
    stop_early(scene, tmp_path / "out", model)
    journal = tmp_path / "out" / ".geocamss" / "journal.json"
    assert json.loads(journal.read_text())["key"]
    if damage is None:
        journal.unlink()
    else:
        journal.write_bytes(damage)
    with pytest.warns(geocamss.GeocamssWarning, match="journal is missing or damaged: it starts"):
        made = geocamss.predict(scene, tmp_path / "out", model=model, outputs=["classes"])
    whole = geocamss.predict(scene, tmp_path / "whole", model=model, outputs=["classes"])
    assert made.classes.read_bytes() == whole.classes.read_bytes()


def test_damaged_blocks_are_made_again(tmp_path, scene, monkeypatch):
    monkeypatch.setattr("geocamss.run.block_tiles", lambda _: (1, 2))
    model = geocamss.from_module(network(), CARD)
    stop_early(scene, tmp_path / "out", model)
    blocks = sorted((tmp_path / "out" / ".geocamss" / "blocks").glob("*.npz"))
    assert len(blocks) > 4
    dice = np.random.default_rng(0)
    for path in blocks[::2]:
        content = bytearray(path.read_bytes())
        content[dice.integers(len(content))] ^= 0xFF
        path.write_bytes(bytes(content[: dice.integers(1, len(content) + 1)]))
    made = geocamss.predict(scene, tmp_path / "out", model=model, outputs=["classes"])
    whole = geocamss.predict(scene, tmp_path / "whole", model=model, outputs=["classes"])
    assert made.classes.read_bytes() == whole.classes.read_bytes()


def stop_early(scene, out, model):
    """Leave a run behind that is two thirds done."""

    def stop(progress):
        if progress.done >= 80_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as interrupted:
        geocamss.predict(scene, out, model=model, outputs=["classes"], progress=stop)
    assert "run the same command again" in interrupted.value.__notes__[0]
