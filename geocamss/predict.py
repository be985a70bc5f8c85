"""One scene becomes a map, on this machine."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch

from geocamss.ahead import ahead
from geocamss.engine import read_strips
from geocamss.errors import GeocamssWarning, InputError
from geocamss.models.checkpoint import load
from geocamss.models.registry import resolve
from geocamss.models.segmenter import Sampling, Segmenter
from geocamss.output.areas import ClassArea, class_areas
from geocamss.output.blocks import BlockStore
from geocamss.output.disk import check_room, disk_full_said, work_bytes
from geocamss.output.folder import OutputFolder
from geocamss.plan import batch_size as default_batch_size
from geocamss.products import ALL_FILES, PRODUCTS, checked_products, files_of, write_products
from geocamss.run import GridPixels, Run
from geocamss.scene.gdal import gdal_environment
from geocamss.scene.grid import choose_grid
from geocamss.scene.scene import Scene

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Progress", "Result", "predict"]

READ_AHEAD = 2
"""Strips that wait, read, for the segmenter."""


@dataclass(frozen=True)
class Progress:
    """How far a run has come."""

    stage: str
    """What is being done: ``map``, then the name of an output."""

    done: int
    """Of ``total``."""

    total: int
    """Pixels of the grid for ``map``; for an output, 1."""


@dataclass(frozen=True)
class Result:
    """A finished map: where its files are."""

    folder: Path
    """The output folder."""

    classes: Path | None
    """Class map, a cloud-optimized GeoTIFF, uint8, 255 = no data."""

    confidence: Path | None
    """Probability of the class in percent, likewise."""

    polygons: Path | None
    """GeoPackage with the layer ``polygons``."""

    item: Path | None
    """STAC item."""

    preview: Path | None
    """Picture of scene and map side by side."""

    areas: pd.DataFrame
    """One row a class: ``class``, ``name``, ``pixels``, ``area_m2``, ``share``, ``confidence``."""


def predict(
    scene: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    model: str | os.PathLike[str] | Segmenter = "aerial-landcover",
    bands: Mapping[str, int] | None = None,
    gsd: Literal["auto", "native"] | float = "auto",
    crs: str | None = None,
    aoi: str | os.PathLike[str] | None = None,
    steps: int | None = None,
    samples: int = 1,
    seed: int = 0,
    batch_size: int | None = None,
    device: str | None = None,
    outputs: Collection[str] = tuple(PRODUCTS),
    overwrite: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> Result:
    """Map a scene.

    Args:
        scene: anything that GDAL opens: a path, a URL, a VRT.
        out: the folder for the outputs.
        model: the name of a built-in model, a model file, or a segmenter.
        bands: which band of the scene, from 1, is which, as in ``{"red": 3}``; others are found by
            what the file says of them.
        gsd: ``"auto"`` keeps the scene's pixels when their size is within 25 % of the model's,
            ``"native"`` keeps them anyway; a number is the pixel size in meters.
        crs: coordinate system of the map; by default the scene's.
        aoi: a vector file, in any coordinate system; pixels outside are not mapped.
        steps: sampler steps; by default the model's own choice.
        samples: latents drawn for each chip, whose probabilities are averaged.
        seed: chooses the noise, with each token's position.
        batch_size: chips at once; by default as many as work well.
        device: where the network runs, as in ``"cuda"``; by default a GPU if there is one.
        outputs: which of ``classes``, ``confidence``, ``polygons``, ``style``, ``item`` and
            ``preview`` to write.
        overwrite: replace outputs that are there.
        progress: called now and then with how far the run has come.

    Returns:
        Where the files are, and the area of each class.

    Raises:
        InputError: something given cannot be used; says what and how to mend it.
        RunError: the run failed; finished blocks are kept, and the same call goes on from there.
    """
    tell = progress or (lambda _: None)
    target = Path(out)
    wanted = checked_products(outputs)
    sampling = _sampling(steps, samples, seed)
    segmenter = _segmenter(model, device)
    opened = Scene.open(scene, bands)
    opened.select(segmenter.card)
    grid = choose_grid(opened, segmenter.card.gsd, gsd=gsd, crs=crs, aoi=aoi)
    batch = batch_size if batch_size is not None else default_batch_size(segmenter.card)
    if batch < 1:
        raise InputError(f"the batch size must be 1 or more, got {batch}")
    run = Run(opened, segmenter, grid, sampling, batch)
    with (
        disk_full_said(target),
        gdal_environment(opened.path),
        OutputFolder(target, ALL_FILES, run.key, run.provenance, overwrite) as folder,
    ):
        if folder.replaced:
            _say_restart(target)
        if folder.complete:
            areas = _areas_of(target, run)
        else:
            store = BlockStore(folder.work / "blocks")
            missing = work_bytes(run.layout, len(segmenter.card.classes)) - store.bytes
            check_room(folder.work, missing)
            map_blocks(run, store, tell)
            areas = write_products(
                run, store, folder.work, wanted, lambda name: tell(Progress(name, 1, 1))
            )
            folder.publish(files_of(wanted))
    return _result(target, wanted, areas)


def map_blocks(run: Run, store: BlockStore, tell: Callable[[Progress], None]) -> None:
    """Map every block that the store lacks.

    Reading runs ahead of the network in a thread of its own, writing behind it in another.
    """
    layout = run.layout
    todo = [block for block in layout.blocks() if not store.has(block)]
    steps = _Steps(run, sum(layout.reach(block).area for block in todo), tell)
    with (
        run.reader() as reader,
        ThreadPoolExecutor(1, "geocamss-save") as saver,
        closing(
            ahead(
                chain.from_iterable(
                    read_strips(GridPixels(reader, run.grid), layout, block) for block in todo
                ),
                READ_AHEAD,
            )
        ) as strips,
    ):
        saving: Future[None] | None = None
        for block in todo:
            result = run.engine.map_block(block, strips, steps.add)
            if saving is not None:
                saving.result()
            saving = saver.submit(store.save, block, result)
        if saving is not None:
            saving.result()


class _Steps:
    """Counts pixels of reach, which seams count twice, and tells of pixels of the grid."""

    def __init__(self, run: Run, reach: int, tell: Callable[[Progress], None]) -> None:
        self.total = run.grid.height * run.grid.width
        self.reach = max(1, reach)
        self.done = 0
        self.tell = tell

    def add(self, pixels: int) -> None:
        if not pixels:
            return
        self.done += pixels
        self.tell(Progress("map", self.total * self.done // self.reach, self.total))


def _sampling(steps: int | None, samples: int, seed: int) -> Sampling:
    try:
        return Sampling(steps, samples, seed)
    except ValueError as error:
        raise InputError(str(error)) from error


def _segmenter(model: str | os.PathLike[str] | Segmenter, device: str | None) -> Segmenter:
    if isinstance(model, Segmenter):
        return model
    try:
        where = None if device is None else torch.device(device)
        if where is not None:
            torch.empty(0, device=where)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device {device!r} cannot be used: {_first_line(error)}") from error
    return load(resolve(model if isinstance(model, str) else Path(model)), where)


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _say_restart(target: Path) -> None:
    warnings.warn(
        f"{target} held the unfinished run of another scene, model or parameter: it starts over",
        GeocamssWarning,
        stacklevel=3,
    )


def _result(folder: Path, wanted: Collection[str], areas: Collection[ClassArea]) -> Result:
    def path(product: str) -> Path | None:
        return folder / PRODUCTS[product][0] if product in wanted else None

    return Result(
        folder=folder,
        classes=path("classes"),
        confidence=path("confidence"),
        polygons=path("polygons"),
        item=path("item"),
        preview=path("preview"),
        areas=_table(areas),
    )


def _areas_of(folder: Path, run: Run) -> tuple[ClassArea, ...]:
    """The areas of a map that an earlier run had finished."""
    classes, confidence = folder / "classes.tif", folder / "confidence.tif"
    if not classes.exists():
        return ()
    scheme = run.segmenter.card.classes
    return class_areas(classes, confidence if confidence.exists() else None, scheme)


def _table(areas: Collection[ClassArea]) -> pd.DataFrame:
    import pandas as pd

    rows = [(a.value, a.name, a.pixels, a.area_m2, a.share, a.mean_confidence) for a in areas]
    columns = ["class", "name", "pixels", "area_m2", "share", "confidence"]
    return pd.DataFrame(rows, columns=columns).astype({"confidence": "float64"})
