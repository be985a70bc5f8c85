"""Memory that runs out: the run goes on with fewer chips at once, to the same map."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

from geocamss.engine import Engine, read_strips
from geocamss.errors import GeocamssWarning, RunError
from geocamss.models.segmenter import Sampling
from geocamss.room import is_out_of_memory, largest_batch

from .test_engine import PositionSegmenter, engine_for, run, scene


def cuda_error(count):
    return torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {count} GiB.")


def python_error(_):
    return MemoryError()


def processor_error(_):
    """What torch itself raises for more memory than any machine has."""
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    return caught.value


ERRORS = [cuda_error, python_error, processor_error]


@dataclass
class SmallDevice(PositionSegmenter):
    """Has memory for so many chips at once."""

    limit: int = 1
    error: object = cuda_error
    asked: list[int] = field(default_factory=list)

    def __call__(self, chips, valid, corners, sampling):
        self.asked.append(len(chips))
        if len(chips) > self.limit:
            raise self.error(len(chips))
        return super().__call__(chips, valid, corners, sampling)


def limited(engine, limit, error=cuda_error):
    device = SmallDevice(engine.segmenter.card, limit=limit, error=error)
    return Engine(engine.layout, device, engine.normalizer, Sampling(), engine.batch)


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("limit", [1, 2, 3, 5])
def test_a_run_goes_on_with_what_fits_to_the_same_map(tmp_path, error, limit):
    source = scene(70, 95, 1)
    whole = engine_for(source, 24, 8, (3, 4), (2, 2), batch=8)
    expected = run(whole, source, tmp_path / "a")
    engine = limited(whole, limit, error)
    with pytest.warns(GeocamssWarning, match="--batch-size"):
        found = run(engine, source, tmp_path / "b")
    np.testing.assert_array_equal(expected[0], found[0])
    np.testing.assert_array_equal(expected[1], found[1])


def test_what_was_learned_holds_for_the_blocks_after(tmp_path):
    source = scene(70, 95, 1)
    engine = limited(engine_for(source, 24, 8, (3, 4), (1, 1), batch=8), 2)
    with pytest.warns(GeocamssWarning) as warned:
        run(engine, source, tmp_path)
    assert len(warned) == 2  # 8 to 4, 4 to 2
    assert [count for count in engine.segmenter.asked if count > 2] == [8, 4]


def test_no_memory_for_a_single_chip_ends_the_run():
    source = scene(40, 40, 1)
    engine = limited(engine_for(source, 24, 8, (0, 0), (9, 9), batch=2), 0)
    block = engine.layout.block(0, 0)
    with (
        pytest.warns(GeocamssWarning, match="goes on with 1"),
        pytest.raises(RunError, match="too small for one chip of model 'model'"),
    ):
        engine.map_block(block, read_strips(source, engine.layout, block))


def test_other_errors_of_a_model_are_no_lack_of_memory():
    source = scene(40, 40, 1)
    engine = limited(
        engine_for(source, 24, 8, (0, 0), (9, 9), batch=2), 0, lambda _: RuntimeError("mat1, mat2")
    )
    block = engine.layout.block(0, 0)
    with pytest.raises(RuntimeError, match="mat1, mat2"):
        engine.map_block(block, read_strips(source, engine.layout, block))
    assert engine.segmenter.asked == [2]


@pytest.mark.parametrize(
    ("limit", "most", "expected"), [(1, 64, 1), (5, 64, 4), (64, 64, 64), (9, 6, 4), (9, 1, 1)]
)
def test_the_largest_batch_is_tried_out(limit, most, expected):
    engine = limited(engine_for(scene(40, 40, 1), 24, 8, (0, 0), (9, 9)), limit)
    assert largest_batch(engine.segmenter, Sampling(), most) == expected


def test_no_batch_at_all_is_an_error():
    engine = limited(engine_for(scene(40, 40, 1), 24, 8, (0, 0), (9, 9)), 0)
    with pytest.raises(RunError, match="one chip"):
        largest_batch(engine.segmenter, Sampling(), 8)


@pytest.mark.parametrize("error", ERRORS)
def test_lack_of_memory_is_recognized(error):
    assert is_out_of_memory(error(1))
    assert not is_out_of_memory(ValueError("out of memory"))
