"""The crew: threads that ask a network side by side, each about chips of its own.

Torch can share out every single operation among threads instead. But those meet after each one,
and wait for the last by spinning; and while a chip is cut out, normalized or added up, most of them
have nothing to do but that. Whole chips leave nobody waiting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from queue import SimpleQueue

import torch
from torch import Tensor

from geocamss.inputs import Inputs
from geocamss.models.segmenter import Segmenter
from geocamss.strips import Chip

__all__ = ["Ask", "Crew", "one_thread"]

Ask = Callable[[Segmenter, Inputs, Sequence[Chip]], Tensor]
"""Asks a segmenter about a batch of chips, in memory for its inputs."""


@contextmanager
def one_thread() -> Iterator[None]:
    """Have torch do by itself what the calling thread asks of it, and the others go on.

    A crew takes all cores: more threads than that would be in each other's way.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Crew:
    """A thread for each of several segmenters, which are twins of one another."""

    def __init__(
        self,
        segmenters: Sequence[Segmenter],
        inputs: Callable[[], Inputs],
        ask: Ask,
        threads: int,
    ) -> None:
        """Call them together; threads begin when they are needed.

        Args:
            segmenters: one for each thread.
            inputs: makes the memory for a segmenter's inputs.
            ask: what each does.
            threads: that torch may have, for all of them.
        """
        self._idle: SimpleQueue[tuple[Segmenter, Inputs | None]] = SimpleQueue()
        for segmenter in segmenters:
            self._idle.put((segmenter, None))
        self._inputs = inputs
        self._ask = ask
        self._pool = ThreadPoolExecutor(
            len(segmenters),
            "geocamss-ask",
            initializer=torch.set_num_threads,  # holds for the thread that calls it
            initargs=(max(1, threads // len(segmenters)),),
        )

    def ask(self, chips: Sequence[Chip]) -> Future[Tensor]:
        """Have a batch of chips asked about."""
        return self._pool.submit(self._work, chips)

    def close(self) -> None:
        """Wait for those that are at work; what nobody has begun is not done."""
        self._pool.shutdown(cancel_futures=True)

    @torch.inference_mode()
    def _work(self, chips: Sequence[Chip]) -> Tensor:
        segmenter, inputs = self._idle.get()
        try:
            inputs = inputs or self._inputs()
            return self._ask(segmenter, inputs, chips)
        finally:
            self._idle.put((segmenter, inputs))
