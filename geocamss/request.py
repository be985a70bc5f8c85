"""A request: what a user asks for, apart from the scene; small, and checked before any work."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal

import torch

from geocamss.budget import as_before, check_machine, parse_bytes, probe_within, within
from geocamss.classes import ClassScheme
from geocamss.errors import InputError
from geocamss.modelcard import Sampler
from geocamss.models.checkpoint import load
from geocamss.models.registry import DEFAULT, resolve
from geocamss.models.samples import spread
from geocamss.models.segmenter import Sampling, Segmenter
from geocamss.output.shaping import Shaping, class_values
from geocamss.products import PRODUCTS, checked_products, needs_confidence
from geocamss.room import largest_batch
from geocamss.run import Run
from geocamss.scene.grid import choose_grid
from geocamss.scene.scene import Scene
from geocamss.scene.units import units_of
from geocamss.sizes import GPU_BATCH_PIXELS
from geocamss.sizes import batch_size as default_batch_size

__all__ = ["Request"]


@dataclass(frozen=True, kw_only=True)
class Request:
    """How scenes are to be mapped, in plain values: the same for one scene and for thousands."""

    model: str | os.PathLike[str] | Segmenter = DEFAULT
    """The name of a built-in model, a model file, or a segmenter."""

    bands: Mapping[str, int] | None = None
    """Which band of the scene, from 1, is which; others are found by what the file says."""

    gsd: Literal["auto", "native"] | float = "auto"
    """Pixel size of the map in meters, or how to find it."""

    crs: str | None = None
    """Coordinate system of the map; None is the scene's."""

    aoi: str | os.PathLike[str] | None = None
    """A vector file; pixels outside of it are not mapped."""

    steps: int | None = None
    """Sampler steps; None is the model's choice."""

    samples: int = 1
    """Latents drawn for each chip."""

    seed: int = 0
    """Chooses the noise, with each token's position."""

    sampler: Sampler | None = None
    """The sampling algorithm; None is the model's choice."""

    rounds: int | None = None
    """Passes over the mask; None is the model's choice."""

    guidance: float | None = None
    """How far to go past what is likely without the image; None is the model's choice."""

    batch_size: int | None = None
    """Chips at once; None is as many as work well."""

    device: str | None = None
    """Where the network runs; None is a GPU if there is one."""

    outputs: Collection[str] = tuple(PRODUCTS)
    """Names of the outputs to write."""

    min_area: float = 0.0
    """Square meters below which regions do not become polygons of their own."""

    smooth: bool = False
    """Whether pixels go with those around them before they become polygons."""

    simplify: float = 0.0
    """Meters by which the borders of polygons may move to have fewer vertices."""

    square: Collection[str | int] = ()
    """Classes, by name or value, whose polygons get right angles."""

    memory: int | str | None = None
    """The machine's memory that a run may take, in bytes or as ``2GB``; None is no limit."""

    def __post_init__(self) -> None:
        """Check what can be checked without a file.

        Raises:
            InputError: a number is out of its range, or an output is unknown.
        """
        outputs = checked_products(self.outputs)
        if self.samples > 1:  # their spread is what several are drawn for
            outputs = checked_products({*outputs, "uncertainty"})
        object.__setattr__(self, "outputs", outputs)
        if self.batch_size is not None and self.batch_size < 1:
            raise InputError(f"the batch size must be 1 or more, got {self.batch_size}")
        self.sampling  # noqa: B018 (raises on numbers that make no sense)
        Shaping(self.min_area, self.smooth, self.simplify)
        if self.memory is not None:
            object.__setattr__(self, "memory", parse_bytes(self.memory))

    @cached_property
    def sampling(self) -> Sampling:
        """How the segmenter draws."""
        try:
            return Sampling(
                self.steps,
                self.samples,
                self.seed,
                sampler=self.sampler,
                rounds=self.rounds,
                guidance=self.guidance,
            )
        except ValueError as error:
            raise InputError(str(error)) from error

    def segmenter(self) -> Segmenter:
        """Load the model.

        Raises:
            InputError: there is no such device.
            ModelError: there is no such model, or its file cannot be used.
        """
        if isinstance(self.model, Segmenter):
            return self.model
        model = self.model if isinstance(self.model, str) else Path(self.model)
        return load(resolve(model), _device(self.device))

    def run(
        self,
        scene: str | os.PathLike[str],
        segmenter: Segmenter | None = None,
        journal: Mapping[str, Any] | None = None,
    ) -> Run:
        """Open a scene and fix everything about its map.

        Args:
            scene: what ``Scene.open`` takes.
            segmenter: the model, if it is loaded already.
            journal: what an interrupted run left behind, if there is any: it is taken up in its
                blocks and its batch, unless others are asked for.

        Raises:
            InputError: something that is asked for does not fit the scene, or the run does not
                fit into the memory, given or there.
        """
        model = segmenter or self.segmenter()
        opened = Scene.open(scene, self.bands, model.card)
        bands = opened.select(model.card)
        grid = choose_grid(opened, model.card.gsd, gsd=self.gsd, crs=self.crs, aoi=self.aoi)
        batch = self.batch_size or self._best_batch(model)
        run = Run(
            opened,
            model,
            grid,
            spread(self.sampling, model.card),
            batch,
            units_of(opened, bands, model.card),
            confidence=needs_confidence(self.outputs),
            doubt="uncertainty" in self.outputs,
            probabilities="probabilities" in self.outputs,
            outputs=tuple(self.outputs),
            shaping=self._shaping(model.card.classes),
        ).manned()
        budget = None if self.memory is None else parse_bytes(self.memory)
        before = as_before(run, journal or {}, budget)
        if before is not None and self._allows(before, journal or {}):
            return before
        if budget is not None:
            return within(run, probe_within(run, budget), budget)
        check_machine(run)
        return run

    def _allows(self, before: Run, journal: Mapping[str, Any]) -> bool:
        """Whether an earlier run has the batch that is asked for, or what memory left of it."""
        if self.batch_size is None or self.batch_size in (before.batch, journal.get("asked")):
            return True
        return before.memory is not None and before.batch < self.batch_size

    def _shaping(self, scheme: ClassScheme) -> Shaping:
        """What polygons are to be like, of these classes."""
        square = class_values(self.square, scheme)
        return Shaping(self.min_area, self.smooth, self.simplify, square)

    def _best_batch(self, model: Segmenter) -> int:
        """As many chips as work well; on a GPU, only if it has memory for them."""
        if model.device.type != "cuda":
            return default_batch_size(model.card)
        most = default_batch_size(model.card, GPU_BATCH_PIXELS)
        known: Any = model  # hashable by identity, which the protocol does not say
        return _largest_batch(known, self.sampling, most)


@lru_cache(maxsize=1)
def _largest_batch(model: Any, sampling: Sampling, most: int) -> int:
    """A model is tried out once, however many scenes it maps."""
    return largest_batch(model, sampling, most)


def _device(name: str | None) -> torch.device | None:
    """A device that is known to work; None stays None."""
    try:
        device = None if name is None else torch.device(name)
        if device is not None:
            torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        why = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(f"device {name!r} cannot be used: {why}") from error
    return device
