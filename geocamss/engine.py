"""The engine: how one block of the output grid becomes pixels of a map.

``map_block`` is the whole story. A block is read strip by strip, one strip a row of tiles; each
strip is cut into chips; the segmenter turns batches of chips into probabilities; these are added
up where chips overlap; what no later chip can change is decided. What a neighboring block can
still change, the seams, is kept as sums, and ``stitch`` adds those up in the end.

One machine calls ``map_block`` in a loop, a cluster calls it everywhere at once. The sums are
integers, so the map is the same.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import chain, islice
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geocamss.blend import UNIT, BlockSums, certainty, decide, shares, weights
from geocamss.crew import Crew, one_thread
from geocamss.doubt import doubt
from geocamss.heap import keep_freed_memory
from geocamss.inputs import Inputs
from geocamss.models.normalize import Normalizer
from geocamss.models.samples import segment_with_entropy
from geocamss.models.segmenter import Sampling, Segmenter, twins
from geocamss.output.blocks import BlockFile, BlockMap, BlockStore
from geocamss.room import Room, is_out_of_memory
from geocamss.scene.tiles import Block, Layout
from geocamss.scene.window import Window
from geocamss.strips import Chip, PixelSource, Strip, cut_chips, read_strips

__all__ = [
    "Engine",
    "PixelSource",
    "Strip",
    "read_strips",
    "stitch",
    "stitch_doubt",
    "stitch_probabilities",
]


@dataclass(frozen=True)
class Engine:
    """Everything that fixes the pixels of a map, but the pixels of the scene."""

    layout: Layout
    """Lattice, grid and blocks."""

    segmenter: Segmenter
    """Turns chips into probabilities."""

    normalizer: Normalizer
    """Stored numbers to network inputs."""

    sampling: Sampling = field(default_factory=Sampling)
    """How the segmenter draws."""

    batch: int = 1
    """Chips at once, at most; a shorter last batch is padded, since kernels choose by shape."""

    doubt: bool = False
    """Whether to find entropy and mutual information as well."""

    probabilities: bool = False
    """Whether to keep the probabilities of all classes."""

    confidence: bool = True
    """Whether to keep the probability of the likeliest class."""

    hands: int = 1
    """Batches that are asked about side by side, at most, each by threads of its own; it changes no
    pixel."""

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise ValueError(f"batch must be 1 or more, got {self.batch}")
        if self.hands < 1:
            raise ValueError(f"hands must be 1 or more, got {self.hands}")

    @torch.inference_mode()
    def map_block(
        self,
        block: Block,
        strips: Iterator[Strip],
        report: Callable[[int], None] = lambda _: None,
    ) -> BlockMap:
        """Map one block.

        Args:
            block: which.
            strips: yields the block's strips next; exactly those are taken.
            report: told of pixels of the grid as they are done.

        Raises:
            RunError: the model fails, or there is no memory for a single chip.
        """
        keep_freed_memory()
        sums = BlockSums.empty(
            self.layout,
            block,
            self.weight,
            self.values,
            confidence=self.confidence,
            doubt=self.doubt,
            probabilities=self.probabilities,
        )
        chips = cut_chips(self.layout, block, islice(strips, len(block.rows)))
        threads = torch.get_num_threads()
        blending = one_thread() if self._is_manned else nullcontext()
        with blending, closing(self.segment(chips, threads)) as said:
            for chip, probabilities in said:
                report(sums.add(probabilities, chip.window, chip.strip.window, chip.strip.wanted))
                del probabilities  # a view of its batch, whose memory the next one may need
            report(sums.close())
        return sums.map

    def segment(
        self, chips: Iterator[Chip], threads: int
    ) -> Generator[tuple[Chip, Tensor], None, None]:
        """Each chip with its probabilities (K, chip, chip), in order; with doubt, (K + 1, ...).

        When memory runs out, batches are asked about one after the other, and then in halves.

        Args:
            chips: which.
            threads: that torch may have for them, where they are asked about side by side.
        """
        if self._is_manned:
            chips = chain((yield from self._side_by_side(chips, threads)), chips)
        yield from self._one_by_one(chips)

    @property
    def _is_manned(self) -> bool:
        return len(self._segmenters) > 1 and not self.room.narrow

    def _side_by_side(
        self, chips: Iterator[Chip], threads: int
    ) -> Generator[tuple[Chip, Tensor], None, list[Chip]]:
        """As ``segment``; returns the chips that were asked about in vain if memory runs out."""
        batches = iter(lambda: list(islice(chips, self.room.chips)), [])
        with closing(Crew(self._segmenters, self._inputs, self._ask, threads)) as crew:
            asking = ((batch, crew.ask(batch)) for batch in batches)
            # One more than there are hands: the first to be free finds it ready.
            asked = deque(islice(asking, len(self._segmenters) + 1))
            while asked:
                batch, answer = asked[0]
                try:
                    said = answer.result()
                except (MemoryError, RuntimeError) as error:
                    if not is_out_of_memory(error):
                        raise
                    self.room.go_alone()
                    return [chip for batch, _ in asked for chip in batch]
                asked.popleft()
                yield from zip(batch, said, strict=False)
                del said, answer  # not to be held beside what comes next
                asked.extend(islice(asking, 1))
        return []

    def _one_by_one(self, chips: Iterator[Chip]) -> Iterator[tuple[Chip, Tensor]]:
        inputs: Inputs | None = None
        waiting: list[Chip] = []
        while waiting := waiting or list(islice(chips, self.room.chips)):
            batch = waiting[: self.room.chips]
            try:
                inputs = inputs or self._inputs()
                said = self._ask(self.segmenter, inputs, batch)
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                inputs = None
                self.room.halve(self.segmenter.card.name, error)
            else:
                yield from zip(batch, said, strict=False)
                del said  # not to be held beside what comes next
                waiting = waiting[len(batch) :]

    def _ask(self, segmenter: Segmenter, inputs: Inputs, batch: Sequence[Chip]) -> Tensor:
        chips, valid, corners = inputs.fill(batch)
        if self.doubt:
            return segment_with_entropy(segmenter, chips, valid, corners, self.sampling)
        return segmenter(chips, valid, corners, self.sampling)

    def _inputs(self) -> Inputs:
        lattice, device = self.layout.lattice, self.segmenter.device
        return Inputs(lattice, self.normalizer, self.room.chips, device)

    @cached_property
    def _segmenters(self) -> tuple[Segmenter, ...]:
        """One for each hand: the segmenter and its twins, as far as it has any."""
        return twins(self.segmenter, self.hands)

    @cached_property
    def room(self) -> Room:
        """What is known of the memory, from block to block."""
        return Room(self.batch)

    @cached_property
    def weight(self) -> Tensor:
        """Blending weights of a chip, (chip, chip) float32 on the segmenter's device."""
        return weights(self.layout.lattice, self.segmenter.device)

    @property
    def values(self) -> Sequence[int]:
        """Pixel value of each class, by channel."""
        return self.segmenter.card.classes.values


def stitch(
    layout: Layout, store: BlockStore, values: NDArray[np.uint8]
) -> Iterator[tuple[Window, NDArray[np.uint8], NDArray[np.uint8] | None]]:
    """Put the finished blocks together, cell by cell, and decide what lies in the seams.

    Args:
        layout: the grid and its blocks.
        store: holds every block.
        values: (K,) the pixel value of each class.

    Yields:
        A window of the grid with its class map and confidence, both uint8, 255 = no data; the
        latter None if the blocks were mapped without. The windows do not overlap and cover the
        grid.
    """
    # Cells come row by row, so that at most four blocks are needed again and again.
    opened = lru_cache(maxsize=4)(store.open)
    for window, blocks in layout.cells():
        if len(blocks) == 1:
            file = opened(blocks[0])
            part = window.within(layout.interior(blocks[0]))
            sure = file.confidence
            yield window, file.classes[part], None if sure is None else sure[part]
        else:
            sums = sum(_seam_sums(layout, block, opened(block), window) for block in blocks)
            planes = torch.from_numpy(np.asarray(sums))[: len(values)]
            with one_thread():  # seams are small, and others write meanwhile
                percent = certainty(planes).numpy() if opened(blocks[0]).sure else None
                classes = decide(planes, values.tolist()).numpy()
            yield window, classes, percent


def stitch_doubt(layout: Layout, store: BlockStore) -> Iterator[tuple[Window, NDArray[np.uint8]]]:
    """Put entropy and mutual information of the finished blocks together, as ``stitch`` does.

    Args:
        layout: the grid and its blocks.
        store: holds every block, each mapped with doubt.

    Yields:
        A window of the grid with both, (2, height, width) uint8, 255 = no data.
    """
    return _stitch_planes(layout, store, "doubt", lambda sums: doubt(sums, UNIT))


def stitch_probabilities(
    layout: Layout, store: BlockStore, classes: int
) -> Iterator[tuple[Window, NDArray[np.uint8]]]:
    """Put the probabilities of the finished blocks together, as ``stitch`` does.

    Args:
        layout: the grid and its blocks.
        store: holds every block, each mapped with its probabilities.
        classes: how many there are, K.

    Yields:
        A window of the grid with its probabilities, (K, height, width) uint8, 0 to 250 for none
        to one, 255 = no data.
    """
    return _stitch_planes(layout, store, "probabilities", lambda sums: shares(sums[:classes]))


def _stitch_planes(
    layout: Layout,
    store: BlockStore,
    kind: Literal["doubt", "probabilities"],
    settle: Callable[[Tensor], Tensor],
) -> Iterator[tuple[Window, NDArray[np.uint8]]]:
    """What blocks know beside classes and confidence, and what the sums in their seams make."""
    opened = lru_cache(maxsize=4)(store.open)
    for window, blocks in layout.cells():
        if len(blocks) == 1:
            known: NDArray[np.uint8] | None = getattr(opened(blocks[0]), kind)
            if known is None:
                raise ValueError(f"{opened(blocks[0]).path} was mapped without {kind}")
            yield window, known[(slice(None), *window.within(layout.interior(blocks[0])))]
        else:
            sums = sum(_seam_sums(layout, block, opened(block), window) for block in blocks)
            yield window, settle(torch.from_numpy(np.asarray(sums))).numpy()


def _seam_sums(layout: Layout, block: Block, file: BlockFile, window: Window) -> NDArray[np.int16]:
    """What one block adds to a window that it shares with others, (K, height, width)."""
    parts = [(side, seam & window, seam) for side, seam in enumerate(layout.seams(block))]
    parts = [(side, part, seam) for side, part, seam in parts if not part.empty]
    pieces = [
        (part.within(window), file.seam(side)[(slice(None), *part.within(seam))])
        for side, part, seam in parts
    ]
    total = np.zeros((len(pieces[0][1]), *window.shape), np.int16)
    for place, piece in pieces:
        total[(slice(None), *place)] = piece
    return total
