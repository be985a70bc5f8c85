"""Where the time of a run goes: processor time by stage, which other programs cannot stretch."""

from __future__ import annotations

import functools
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["timed_stages"]


class _Clock:
    """Adds up seconds by stage; a stage that calls another one is not charged for it."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._local = threading.local()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        outer = getattr(self._local, "inner", 0.0)
        self._local.inner = 0.0
        start = time.thread_time()
        try:
            yield
        finally:
            whole = time.thread_time() - start
            self.seconds[name] += whole - self._local.inner
            self._local.inner = outer + whole

    def wrapped(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.stage(name):
                return function(*args, **kwargs)

        return timed

    def wrapped_iterator(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Iterator[Any]:
            items = function(*args, **kwargs)
            while True:
                with self.stage(name):
                    item = next(items, None)
                if item is None:
                    return
                yield item

        return timed


@contextmanager
def timed_stages(network: Any) -> Iterator[dict[str, float]]:
    """Time the stages of all runs within.

    Args:
        network: the segmenter that is run.

    Yields:
        Seconds of processor time by stage. What threads of libraries do, such as GDAL's decoders
        and encoders and torch's helpers, is one stage by itself.
    """
    from geocamss import blend, inputs, products
    from geocamss.output import blocks, raster
    from geocamss.scene import read

    clock = _Clock()
    places = [
        (read.SceneReader, "read", "read"),
        (inputs.Inputs, "fill", "normalize"),
        (type(network), "__call__", "network"),
        (blend.Adder, "__call__", "blend"),
        (blend.BlockSums, "_settle", "decide"),
        (blocks.BlockStore, "save", "save blocks"),
        (raster.RasterWriter, "write", "write rows"),
        (raster.RasterWriter, "finish", "write COG"),
        (products, "class_areas", "areas"),
    ]
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in places]
    before.append((products, "stitch", products.stitch))
    for owner, name, stage in places:
        setattr(owner, name, clock.wrapped(stage, getattr(owner, name)))
    products.stitch = clock.wrapped_iterator("stitch", products.stitch)
    start = time.process_time()
    try:
        with clock.stage("the rest"):
            yield clock.seconds
        whole = time.process_time() - start
        clock.seconds["libraries' threads"] = max(0.0, whole - sum(clock.seconds.values()))
    finally:
        for owner, name, function in before:
            setattr(owner, name, function)
