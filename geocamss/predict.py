"""One scene becomes a map, on this machine."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Literal

from geocamss.ahead import ahead
from geocamss.engine import read_strips
from geocamss.errors import GeocamssWarning, InterruptError
from geocamss.heap import give_back_freed_memory
from geocamss.memory import READ_AHEAD
from geocamss.modelcard import Sampler
from geocamss.models.segmenter import Segmenter
from geocamss.output.areas import ClassArea, class_areas
from geocamss.output.blocks import BlockStore
from geocamss.output.disk import check_room, disk_full_said
from geocamss.output.folder import WORK, OutputFolder, read_journal
from geocamss.products import (
    ALL_FILES,
    PRODUCTS,
    files_of,
    needs_confidence,
    write_products,
)
from geocamss.progress import Progress
from geocamss.request import Request
from geocamss.result import Result
from geocamss.run import Run
from geocamss.scene.gdal import gdal_environment
from geocamss.stop import heeding_sigterm

__all__ = ["Progress", "Result", "map_blocks", "map_scene", "predict"]

_log = logging.getLogger(__name__)


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
    sampler: Sampler | None = None,
    rounds: int | None = None,
    guidance: float | None = None,
    batch_size: int | None = None,
    device: str | None = None,
    memory: int | str | None = None,
    outputs: Collection[str] = tuple(PRODUCTS),
    min_area: float = 0.0,
    smooth: bool = False,
    simplify: float = 0.0,
    square: Collection[str | int] = (),
    overwrite: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> Result:
    """Map a scene.

    Args:
        scene: anything that GDAL opens: a path, a URL, a VRT; or a scene of several files, as
            ``Scene.open`` takes them.
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
        sampler: the sampling algorithm; by default the model's own choice.
        rounds: passes over the mask, 1 to 8, each of which sees what earlier ones drew.
        guidance: above 1 goes past what the image says, away from what is likely without it.
        batch_size: chips at once; by default as many as work well.
        device: where the network runs, as in ``"cuda"``; by default a GPU if there is one.
        memory: what the run may take of the machine's memory, in bytes or as ``"2GB"``: blocks and
            batches are made small enough, and what cannot fit is refused; by default no limit.
        outputs: which of ``classes``, ``confidence``, ``polygons``, ``style``, ``project``,
            ``item``, ``preview``, ``page``, ``uncertainty`` and ``probabilities`` to write. The
            last two are made on request; several samples ask for ``uncertainty``.
        min_area: square meters on the ground; smaller regions become no polygons of their own, but
            go to their neighbors; islands in nodata, which have none, are left out. Like the next
            three it changes the polygons alone, which are exactly the class map otherwise.
        smooth: give each pixel the class of most pixels around it first.
        simplify: meters by which borders of polygons may move to have fewer vertices; neighbors
            keep theirs in common.
        square: classes, by name or value, whose polygons get right angles; these may overlap.
        overwrite: replace outputs that are there.
        progress: called now and then with how far the run has come.

    Returns:
        Where the files are, and the area of each class.

    Raises:
        InputError: something given cannot be used; says what and how to mend it.
        RunError: the run failed; finished blocks are kept, and the same call goes on from there.
    """
    request = Request(
        model=model,
        bands=bands,
        gsd=gsd,
        crs=crs,
        aoi=aoi,
        steps=steps,
        samples=samples,
        seed=seed,
        sampler=sampler,
        rounds=rounds,
        guidance=guidance,
        batch_size=batch_size,
        device=device,
        memory=memory,
        outputs=outputs,
        min_area=min_area,
        smooth=smooth,
        simplify=simplify,
        square=square,
    )
    with _taken_up_later(Path(out)):
        return map_scene(
            request.run(scene, journal=read_journal(Path(out) / WORK)),
            Path(out),
            request.outputs,
            overwrite=overwrite,
            tell=progress or (lambda _: None),
        )


@contextmanager
def _taken_up_later(out: Path) -> Iterator[None]:
    """Tell whoever interrupts a run what becomes of it."""
    try:
        yield
    except KeyboardInterrupt as error:
        if (out / WORK).exists():
            error.add_note("finished blocks are kept; run the same command again to go on")
        raise


def map_scene(
    run: Run,
    out: Path,
    outputs: Collection[str],
    *,
    overwrite: bool,
    tell: Callable[[Progress], None],
) -> Result:
    """Do a run, or what is left of it, and write its outputs.

    Args:
        run: what to do.
        out: the folder for the outputs.
        outputs: names of those to write.
        overwrite: replace outputs that are there.
        tell: called now and then with how far the run has come.

    Raises:
        InputError: the folder cannot be used.
        RunError: the run failed; finished blocks are kept.
    """
    if needs_confidence(outputs) and not run.confidence:
        run = replace(run, confidence=True)
    files, about = files_of(outputs), run.provenance | run.sizes
    with (
        disk_full_said(out, run.work),
        gdal_environment(run.scene.path, run.decoded),
        OutputFolder(out, ALL_FILES, run.key, about, overwrite, files) as folder,
    ):
        if folder.replaced:
            _say_restart(folder)
        if folder.complete:
            return Result.of(out, outputs, _areas_of(folder, run))
        store = BlockStore(folder.work / "blocks")
        check_room(folder.work, run.work - store.bytes, run.scene.path)
        _log_run(run, store)
        map_blocks(run, store, tell)
        give_back_freed_memory()

        def made(name: str) -> None:
            _log.info("made %s", name)
            tell(Progress(name, 1, 1))

        areas = write_products(run, store, folder.work, outputs, made)
        folder.publish(files)
        _log.info("%s is complete", out)
    return Result.of(out, outputs, areas)


def _log_run(run: Run, store: BlockStore) -> None:
    """What is going to be done, for those who want to know."""
    grid, card, blocks = run.grid, run.segmenter.card, list(run.layout.blocks())
    where = "pixels without a place" if grid.crs is None else grid.crs.to_string()
    _log.info("a grid of %d rows and %d columns, %s", grid.height, grid.width, where)
    _log.info(
        "model %s %s on %s, %d chips of %d pixels at once",
        card.name,
        card.version,
        run.segmenter.device,
        run.batch,
        card.chip,
    )
    done = sum(store.path(block).exists() for block in blocks)
    _log.info("%d blocks, %d of them mapped before", len(blocks), done)


def map_blocks(run: Run, store: BlockStore, tell: Callable[[Progress], None]) -> None:
    """Map every block that the store lacks.

    Reading runs ahead of the network in a thread of its own, writing behind it in another.

    Raises:
        InterruptError: SIGTERM came; the block in hand is finished.
    """
    layout = run.layout
    todo = store.missing(layout, confidence=run.confidence)
    steps = _Steps(run, sum(layout.reach(block).area for block in todo), tell)
    with (
        run.reader() as reader,
        ThreadPoolExecutor(1, "geocamss-save") as saver,
        closing(
            ahead(
                chain.from_iterable(
                    read_strips(run.pixels(reader), layout, block) for block in todo
                ),
                READ_AHEAD,
            )
        ) as strips,
        heeding_sigterm() as stop,
    ):
        saving: Future[None] | None = None
        left = len(todo)
        if todo:
            steps.begin()
        for block in todo:
            result = run.engine.map_block(block, strips, steps.add)
            if saving is not None:
                saving.result()
            saving = saver.submit(store.save, block, result)
            left -= 1
            if stop.wanted:
                break
        if saving is not None:
            saving.result()
    if stop.wanted:
        raise InterruptError(
            f"stopped by SIGTERM when a block was finished, with {left} left to do; run the same "
            "command again to go on from there"
        )


class _Steps:
    """Counts pixels of reach, which seams count twice, and tells of pixels of the grid."""

    def __init__(self, run: Run, reach: int, tell: Callable[[Progress], None]) -> None:
        self.total = run.grid.height * run.grid.width
        self.reach = max(1, reach)
        self.done = 0
        self.tell = tell

    def begin(self) -> None:
        """Tell when it begins: how fast it goes cannot be known otherwise."""
        self.tell(Progress("map", 0, self.total))

    def add(self, pixels: int) -> None:
        if not pixels:
            return
        self.done += pixels
        self.tell(Progress("map", self.total * self.done // self.reach, self.total))


def _say_restart(folder: OutputFolder) -> None:
    warnings.warn(
        f"{folder.path} held {folder.replaced}: it starts over", GeocamssWarning, stacklevel=4
    )


def _areas_of(folder: OutputFolder, run: Run) -> tuple[ClassArea, ...]:
    """The areas of a map that an earlier run had finished.

    What it made but was not asked for still lies in the work folder.
    """
    classes, confidence = (
        next((path for path in (folder.path / name, folder.work / name) if path.exists()), None)
        for name in ("classes.tif", "confidence.tif")
    )
    scheme = run.segmenter.card.classes
    return () if classes is None else class_areas(classes, confidence, scheme)
