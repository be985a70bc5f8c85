"""Batches asked about side by side: the same map, whatever happens on the way."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import geocamss
from geocamss.engine import read_strips
from geocamss.errors import GeocamssWarning, RunError
from geocamss.models.segmenter import Sampling, twins
from geocamss.sizes import BATCHES_A_HAND, HANDS, HANDS_BYTES, hands

from .test_engine import PositionSegmenter, engine_for, run, scene
from .test_room import ERRORS, cuda_error

CREW = "geocamss-ask"
"""How the threads of a crew are called."""


@dataclass
class Twins(PositionSegmenter):
    """Can be asked by several threads, of which each may have a fault."""

    error: object = cuda_error
    good: int | None = None
    """Calls that go well in the threads of a crew; None for all."""

    asked: list[str] = field(default_factory=list)
    together: threading.Barrier | None = None

    def twin(self):
        return self

    def __call__(self, chips, valid, corners, sampling):
        assert torch.is_inference_mode_enabled()
        name = threading.current_thread().name
        self.asked.append(name)
        if self.together is not None:
            self.together.wait(60)
        in_crew = sum(name.startswith(CREW) for name in self.asked)
        if self.good is not None and name.startswith(CREW) and in_crew > self.good:
            raise self.error(in_crew)
        return super().__call__(chips, valid, corners, sampling)


def manned(engine, count, **words):
    return replace(engine, segmenter=Twins(engine.segmenter.card, **words), hands=count)


def same(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


@given(count=st.integers(2, 5), batch=st.integers(1, 4), seed=st.integers(0, 9))
def test_hands_change_nothing(tmp_path_factory, count, batch, seed):
    source = scene(70, 95, seed)
    alone = engine_for(source, 24, 8, (seed * 13, -seed), (3, 2), batch)
    expected = run(alone, source, tmp_path_factory.mktemp("a"))
    threads = torch.get_num_threads()
    assert same(expected, run(manned(alone, count), source, tmp_path_factory.mktemp("b")))
    assert torch.get_num_threads() == threads


def test_they_work_at_the_same_time(tmp_path):
    source = scene(64, 64, 1)
    alone = engine_for(source, 32, 0, (0, 0), (9, 9))  # four chips
    engine = manned(alone, 2, together=threading.Barrier(2))  # none goes on without the other
    assert same(run(alone, source, tmp_path / "a"), run(engine, source, tmp_path / "b"))
    assert len(set(engine.segmenter.asked)) == 2


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("good", [0, 1, 4])
def test_a_lack_of_memory_leaves_one_after_the_other(tmp_path, error, good):
    source = scene(96, 96, 1)
    alone = engine_for(source, 32, 0, (0, 0), (1, 9))
    expected = run(alone, source, tmp_path / "a")
    engine = manned(alone, 2, error=error, good=good)
    with pytest.warns(GeocamssWarning, match="side by side") as told:
        found = run(engine, source, tmp_path / "b")
    assert same(expected, found)
    assert len(told) == 1


def test_a_fault_of_one_ends_the_run():
    source = scene(70, 95, 1)
    engine = manned(engine_for(source, 24, 8, (0, 0), (9, 9)), 3, good=0, error=_fault)
    block = engine.layout.block(0, 0)
    threads = torch.get_num_threads()
    with pytest.raises(RunError, match="broken"):
        engine.map_block(block, read_strips(source, engine.layout, block))
    assert torch.get_num_threads() == threads


def _fault(_):
    return RunError("it is broken")


def test_a_segmenter_without_a_twin_is_asked_by_one_alone(tmp_path):
    source = scene(64, 64, 1)
    alone = engine_for(source, 32, 8, (0, 0), (9, 9))
    engine = replace(alone, hands=3)
    assert twins(alone.segmenter, 3) == (alone.segmenter,)
    assert same(run(alone, source, tmp_path / "a"), run(engine, source, tmp_path / "b"))


class Notes(torch.nn.Module):
    """Notes down what it is asked, as careless networks do."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Conv2d(2, 3, 1)
        self.asked = None

    def forward(self, x):
        self.asked = x
        return self.layer(self.asked)


def of_module(module):
    card = geocamss.ModelCard(bands=["a", "b"], gsd=1.0, classes=list("xyz"), chip=32, overlap=8)
    return geocamss.from_module(module, card)


def test_the_twin_of_a_module_has_its_weights_and_keeps_its_own_notes():
    module = Notes()
    segmenter = of_module(module)
    first, second = twins(segmenter, 2)
    assert first is segmenter
    chips, valid = torch.rand(1, 2, 32, 32), torch.ones(1, 32, 32, dtype=torch.bool)
    place = torch.zeros(1, 2, dtype=torch.int64)
    said = second(chips, valid, place, Sampling())
    assert module.asked is None
    assert torch.equal(said, first(chips, valid, place, Sampling()))
    with torch.no_grad():
        module.layer.weight.zero_()
    assert torch.equal(
        second(chips, valid, place, Sampling()), first(chips, valid, place, Sampling())
    )
    assert second.card == first.card
    assert second.fingerprint == first.fingerprint


class Counts(Notes):
    """Counts how often it is asked, beside its weights."""

    def __init__(self):
        super().__init__()
        self.register_buffer("count", torch.zeros(()))

    def forward(self, x):
        self.count += 1
        return super().forward(x)


def test_the_twin_of_a_module_writes_into_none_of_its_tensors():
    module = Counts()
    _, second = twins(of_module(module), 2)
    chips, valid = torch.rand(1, 2, 32, 32), torch.ones(1, 32, 32, dtype=torch.bool)
    second(chips, valid, torch.zeros(1, 2, dtype=torch.int64), Sampling())
    assert module.count == 0


def test_a_module_that_tells_others_has_no_twin():
    module = Notes()
    module.layer.register_forward_hook(lambda *_: None)
    assert len(twins(of_module(module), 2)) == 1


class Stubborn(Notes):
    """Cannot be copied."""

    def __deepcopy__(self, memo):
        raise TypeError(memo)


def test_a_module_that_cannot_be_copied_has_no_twin():
    assert len(twins(of_module(Stubborn()), 2)) == 1


@given(
    batch=st.integers(1, 64),
    tiles=st.integers(1, 5000),
    threads=st.integers(1, 64),
    chip=st.sampled_from([64, 256, 512, 2048]),
    classes=st.integers(1, 200),
)
def test_hands_are_as_many_as_have_work_and_memory(batch, tiles, threads, chip, classes):
    card = geocamss.ModelCard(
        bands=["a"], gsd=1.0, classes=[f"c{i}" for i in range(classes)], chip=chip, overlap=8
    )

    def fits(number):
        work = number * batch * BATCHES_A_HAND <= tiles
        memory = number * batch * chip**2 * 4 * (1 + classes) <= HANDS_BYTES
        return number <= min(HANDS, threads) and work and memory

    count = hands(card, batch, tiles, threads)
    assert count == 1 or fits(count)
    assert not fits(count + 1)
