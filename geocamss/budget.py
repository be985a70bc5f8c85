"""A budget: blocks and batches small enough for a given memory, or a clear refusal."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeGuard

from geocamss.errors import InputError
from geocamss.memory import machine_bytes
from geocamss.probe import Probe
from geocamss.run import Run

__all__ = ["as_before", "check_machine", "parse_bytes", "probe_within", "within"]

UNITS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
"""Powers of 1000, or with an i of 1024."""

GRAIN = 32 * 2**20
"""Measured sizes are rounded up to multiples of this, so that a second run decides likewise."""


def check_machine(run: Run) -> None:
    """Refuse what this machine can never hold, before any of it is asked for.

    Raises:
        InputError: the sizes alone are too much, without the network; the message holds them.
    """
    memory = run.peak_memory()
    on_gpu = run.segmenter.device.type == "cuda"
    needed, there = memory.beside_gpu if on_gpu else memory.ram, machine_bytes()
    if needed > there:
        card = run.segmenter.card
        raise InputError(
            f"chips of {card.chip} pixels with {len(card.bands)} bands and {len(card.classes)} "
            f"classes take {_megabytes(needed)} beside the network ({_megabytes(memory.sums)} to "
            f"add them up, {_megabytes(memory.strips)} for what is read, "
            f"{_megabytes(memory.blocks)} for a block), and there are {_megabytes(there)}; give "
            "--memory to have smaller blocks, or choose a model of smaller chips"
        )


def probe_within(run: Run, budget: int) -> Probe:
    """Probe a run, with as many chips at once as surely fit.

    Raises:
        ReadError: the scene cannot be read.
        RunError: there is no memory for a single chip.
    """
    if run.segmenter.device.type == "cuda":
        return Probe.of(run)
    smallest = replace(run, batch=1, hands=1, block_tiles=(1, 1))
    probe = Probe.of(smallest)
    batch = 1
    while batch < run.batch:
        batch = min(2 * batch, run.batch)
        larger = replace(smallest, batch=batch)
        if larger.peak_memory(probe.process, _network(larger, probe)).ram > budget:
            return probe
        probe = Probe.of(larger)
    if run.hands > 1 and run.peak_memory(probe.process, _network(run, probe)).ram <= budget:
        return Probe.of(run)
    return probe


def _network(run: Run, probe: Probe) -> int:
    """What a run's network takes, as a probe of other numbers of chips lets expect."""
    return probe.network * run.batch * run.hands // probe.chips


def within(run: Run, probe: Probe, budget: int) -> Run:
    """The run with the largest blocks, and then the largest batch, that fit.

    Args:
        run: as it would be without a budget.
        probe: what was measured, with these chips at once or with fewer.
        budget: bytes of the machine's memory.

    Raises:
        InputError: not even the smallest run fits; the message holds the sizes.
    """
    on_gpu = run.segmenter.device.type == "cuda"
    needed = 0
    for batch, tiles in _candidates(run):
        smaller = replace(run, batch=batch, block_tiles=tiles, memory=budget).manned()
        network = 0 if on_gpu else _network(smaller, probe)
        memory = smaller.peak_memory(_up(probe.process), _up(network))
        needed = memory.beside_gpu if on_gpu else memory.ram
        if needed <= budget:
            return smaller
    raise InputError(
        f"the run does not fit into {_megabytes(budget)}: Python, the libraries and the model "
        f"take {_megabytes(probe.process)}, and with one chip of {run.segmenter.card.chip} pixels "
        f"at a time it takes {_megabytes(needed)} in all; give --memory {_megabytes(needed)} or "
        "more, or choose a smaller model"
    )


def as_before(run: Run, journal: Mapping[str, Any], budget: int | None) -> Run | None:
    """The run in the blocks and batch of an interrupted one, whose finished blocks then still fit.

    What is measured differs from time to time, and may lead to other sizes than it did.

    Args:
        run: as it would be without a budget.
        journal: what the interrupted run left behind; may hold anything.
        budget: bytes of the machine's memory; None for no limit.

    Returns:
        None where it was another run, or was given more memory than there is now.
    """
    match journal:
        case {"batch": int(batch), "block_tiles": [int(rows), int(cols)], "memory": given}:
            pass
        case _:
            return None
    if min(batch, rows, cols) < 1 or (budget is not None and not _at_most(given, budget)):
        return None
    memory = given if isinstance(given, int) else None
    before = replace(run, batch=batch, block_tiles=(rows, cols), memory=memory).manned()
    hands = journal.get("hands")
    if memory is not None and before.hands > 1:  # there may have been no memory for as many
        before = replace(before, hands=min(before.hands, hands) if _is_count(hands) else 1)
    # A run that kept more than is asked for now is as good.
    either = (before, replace(before, confidence=True))
    return next((each for each in either if each.key == journal.get("key")), None)


def parse_bytes(size: int | str) -> int:
    """Read ``2GB``, ``1.5 GiB``, ``800M`` or a number of bytes.

    Raises:
        InputError: it is none of these, or not positive.
    """
    found = re.fullmatch(r"(\d{1,15}(?:\.\d{1,9})?)\s*([kmgt]?)(i?)b?", str(size).strip().lower())
    count = 0
    if found:
        number, unit, binary = found.groups()
        count = int(float(number) * (1024 if binary else 1000) ** UNITS[unit])
    if count < 1:
        raise InputError(f"memory is given as in 2GB, 1.5GiB or a number of bytes, got {size!r}")
    return count


def _candidates(run: Run) -> Iterator[tuple[int, tuple[int, int]]]:
    """Batches with blocks, from the ones that the run has to one chip and one tile."""
    batch, (rows, cols) = run.batch, run.layout.block_tiles
    while True:
        yield batch, (rows, cols)
        if rows * cols > 1:
            # Narrow blocks save most: the strips shrink with them.
            rows, cols = (rows, -(-cols // 2)) if cols >= rows else (-(-rows // 2), cols)
        elif batch > 1:
            batch = -(-batch // 2)
        else:
            return


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and value > 0


def _at_most(given: object, budget: int) -> bool:
    return isinstance(given, int) and given <= budget


def _up(size: int) -> int:
    return -(-size // GRAIN) * GRAIN


def _megabytes(size: int) -> str:
    return f"{-(-size // 10**6)}MB"
