"""Many scenes become maps, with a report: on this machine, or on a cluster."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import geocamss
from geocamss.batch.ledger import Ledger
from geocamss.batch.mosaic_grid import Mosaic
from geocamss.batch.orders import Order
from geocamss.batch.scenes import SceneResult
from geocamss.budget import parse_bytes
from geocamss.errors import InputError, OutputError
from geocamss.modelcard import Sampler
from geocamss.models.header import read_card
from geocamss.models.registry import DEFAULT, names, resolve
from geocamss.products import PRODUCTS
from geocamss.request import Request
from geocamss.scene.catalog import JOB, SceneSource, StacSearch, find_scenes
from geocamss.scene.gdal import is_plain_path

if TYPE_CHECKING:
    from distributed import Client

    from geocamss.batch.cluster import Machine
    from geocamss.batch.run import BatchProgress

__all__ = ["BatchResult", "for_mosaic", "map_scenes", "map_sources"]

OWN_NAMES = frozenset(("catalog.json", "mosaic", "report.html", "report.json"))
"""What a job itself writes into the output folder, beside the folders of its scenes."""


@dataclass(frozen=True)
class BatchResult:
    """A job that has come to its end."""

    folder: Path
    """The output folder; each scene's map is in a folder of its own in it."""

    scenes: tuple[SceneResult, ...]
    """What became of each, in the order of the job."""

    started: datetime
    """When it began, UTC."""

    seconds: float
    """That it took, by the wall clock."""

    catalog: Path | None
    """STAC catalog of all maps; None when there is no map with an item."""

    mosaic: Path | None
    """The VRT of the mosaic's tiles; None where none was asked for."""

    report: Path
    """The report for people; ``report.json`` beside it is for programs."""

    @property
    def failed(self) -> tuple[SceneResult, ...]:
        """Scenes without a map."""
        return tuple(scene for scene in self.scenes if not scene.mapped)


def map_scenes(
    sources: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    stac: StacSearch | None = None,
    model: str | os.PathLike[str] = DEFAULT,
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
    outputs: Collection[str] = tuple(PRODUCTS),
    min_area: float = 0.0,
    smooth: bool = False,
    simplify: float = 0.0,
    square: Collection[str | int] = (),
    overwrite: bool = False,
    mosaic: Mosaic | None = None,
    workers: int | None = None,
    threads: int | None = None,
    memory: int | str | None = None,
    scheduler: str | Client | None = None,
    progress: Callable[[BatchProgress], None] | None = None,
    say: Callable[[str], None] | None = None,
) -> BatchResult:
    """Map many scenes, each as ``predict`` does, and report on them.

    A scene that fails is reported and does not keep the others from being mapped. Called again
    with the same arguments, only what is missing is done.

    On one machine processes are started; a script that calls this needs the usual
    ``if __name__ == "__main__":``.

    Args:
        sources: files, globs, folders, lists, catalogs: what ``geocamss map`` takes.
        out: the folder for the outputs; each scene gets a folder in it.
        stac: a search for more scenes.
        model: the name of a built-in model, or a model file that workers can read.
        bands: as in ``predict``, like all up to ``overwrite``.
        gsd: pixel size of the maps.
        crs: coordinate system of the maps.
        aoi: a vector file; pixels outside are not mapped.
        steps: sampler steps.
        samples: latents drawn for each chip.
        seed: chooses the noise.
        sampler: the sampling algorithm; by default the model's own choice.
        rounds: passes over the mask, 1 to 8, each of which sees what earlier ones drew.
        guidance: above 1 goes past what the image says, away from what is likely without it.
        batch_size: chips at once.
        device: where the network runs.
        outputs: which to write for each scene.
        min_area: square meters below which regions become no polygons of their own.
        smooth: smooth classes before they become polygons.
        simplify: meters by which borders of polygons may move.
        square: classes whose polygons get right angles.
        overwrite: replace outputs of other runs.
        mosaic: lay all maps onto one grid as well; the rule ``"mean"`` asks each for its
            probabilities.
        workers: processes on this machine; by default as many as fit.
        threads: of each one's network.
        memory: what a worker may take of its machine's memory, in bytes or as ``"2GB"``.
        scheduler: address or file of a Dask scheduler, or a client of one; then nothing is started
            here.
        progress: called with how far the job has come.
        say: called with sentences for people, such as where the dashboard is.

    Raises:
        InputError: something given cannot be used.
        RunError: the job as a whole failed; what is finished is kept.
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
    return map_sources(
        find_scenes(sources, stac=stac),
        Path(out),
        request,
        overwrite=overwrite,
        mosaic=mosaic,
        place=Place(workers, threads, scheduler),
        progress=progress or (lambda _: None),
        say=say or (lambda _: None),
    )


@dataclass(frozen=True)
class Place:
    """Where a job runs."""

    workers: int | None = None
    """Processes on this machine; None is as many as fit."""

    threads: int | None = None
    """Of each one's network; None shares out the cores."""

    scheduler: str | Client | None = None
    """Address or file of a scheduler, or a client of one; None starts processes here."""

    def __post_init__(self) -> None:
        """Check.

        Raises:
            InputError: a number is not positive, or workers are asked of a cluster that has its
                own.
        """
        for name, value in (("workers", self.workers), ("threads", self.threads)):
            if value is not None and value < 1:
                raise InputError(f"{name} must be 1 or more, got {value}")
        if self.scheduler is not None and self.workers is not None:
            raise InputError(
                "the number of workers is for a cluster on this machine; the one at "
                f"{self.scheduler} has its own"
            )


def map_sources(
    sources: Sequence[SceneSource],
    out: Path,
    request: Request,
    *,
    overwrite: bool,
    mosaic: Mosaic | None,
    place: Place,
    progress: Callable[[BatchProgress], None],
    say: Callable[[str], None],
) -> BatchResult:
    """Map scenes that are found already.

    Args:
        sources: the scenes.
        out: the folder for the outputs.
        request: how to map them.
        overwrite: replace outputs of other runs.
        mosaic: lay all maps onto one grid as well.
        place: where.
        progress: called with how far the job has come.
        say: called with sentences for people.

    Raises:
        InputError: something given cannot be used.
        RunError: the job as a whole failed; what is finished is kept.
    """
    from geocamss.batch.catalog import write_catalog
    from geocamss.batch.cluster import check_folder, check_versions, connect
    from geocamss.batch.report import report, write_report
    from geocamss.batch.run import BatchRun
    from geocamss.batch.worker import ModelPlugin
    from geocamss.output.disk import disk_full_said

    if not sources:
        raise InputError("there is no scene to map")
    model, request = portable(request if mosaic is None else for_mosaic(request, mosaic))
    size = None if place.scheduler is not None else _machine(place, request)
    started = datetime.now(UTC)
    name = f"geocamss-{uuid.uuid4().hex[:12]}"
    threads = size.threads if size is not None else place.threads
    plugin = ModelPlugin(name, request, geocamss.__version__, threads)
    sources = [replace(source, id=_folder_name(source.id)) for source in sources]
    shared = Path(os.path.abspath(out))  # noqa: PTH100 (Path.absolute keeps "..")
    if not overwrite:
        _refuse_existing(shared)
    with Ledger(shared) as ledger, connect(place.scheduler, size, say) as client:
        check_versions(client)
        at_home = check_folder(client, ledger.folder)
        orders = [
            Order(
                s.id,
                s.path if at_home else _absolute(s.path),
                request,
                shared / s.id,
                problem=s.problem,
            )
            for s in sources
        ]
        run = BatchRun(client, plugin, ledger, orders, overwrite=overwrite, tell=progress)
        catalog: Path | None = None
        tiles: Path | None = None

        def tell() -> BatchResult:
            """Report on what has been done so far."""
            results = tuple(scene.result for scene in run.scenes if scene.result is not None)
            seconds = (datetime.now(UTC) - started).total_seconds()
            content = report(results, request, started, seconds, mosaic=mosaic, place=run.place)
            page = write_report(shared, content, results)
            return BatchResult(Path(out), results, started, seconds, catalog, tiles, page)

        with disk_full_said(shared):
            try:
                run.go()
                results = [scene.result for scene in run.scenes if scene.result is not None]
                catalog = write_catalog(shared, results)
                if mosaic is not None:
                    tiles = _make_mosaic(
                        client, shared, sources, results, model=model, mosaic=mosaic
                    )
            except BaseException:
                with suppress(OSError):  # what ended the job must be heard, report or not
                    tell()
                raise
            return tell()


def _make_mosaic(
    client: Client,
    folder: Path,
    sources: Sequence[SceneSource],
    scenes: Sequence[SceneResult],
    *,
    model: str | os.PathLike[str],
    mosaic: Mosaic,
) -> Path | None:
    """Lay all maps onto one grid; returns the VRT of the class maps, None without any map."""
    from geocamss.batch.bounded import each
    from geocamss.batch.mosaic import FOLDER, finish_mosaic, plan_mosaic
    from geocamss.batch.mosaic_tile import Layer, make_tile

    named = {source.id: source.datetime for source in sources}
    layers = [
        Layer(scene.folder, scene.key, named[scene.id] or scene.datetime)
        for scene in scenes
        if scene.mapped
    ]
    if not layers:
        return None
    (folder / FOLDER).mkdir(exist_ok=True)
    scheme = read_card(resolve(model if isinstance(model, str) else Path(model))).classes
    orders = plan_mosaic(layers, mosaic, scheme, folder)
    made = each(client, make_tile, orders, lambda order: f"mosaic-tile-{order.name}")
    return finish_mosaic(orders, [name for name in made if name is not None], folder)


def for_mosaic(request: Request, mosaic: Mosaic) -> Request:
    """A request whose maps a mosaic can be made of: the mean asks for their probabilities.

    Raises:
        InputError: the outputs lack what it is made of.
    """
    if "classes" not in request.outputs:
        raise InputError("a mosaic is made of class maps; add classes to the outputs")
    if mosaic.rule == "mean":
        return replace(request, outputs={*request.outputs, "probabilities"})
    if mosaic.rule == "confidence" and "confidence" not in request.outputs:
        raise InputError(
            "the mosaic's rule 'confidence' needs the confidence of the maps; add confidence to "
            "the outputs, or choose the rule newest or first"
        )
    return request


def portable(request: Request) -> tuple[str, Request]:
    """A request as other processes, in other directories, understand it; and its model's name.

    Raises:
        InputError: the model exists in this process only.
        ModelError: there is no such model.
    """
    if not isinstance(request.model, (str, os.PathLike)):
        raise InputError(
            "workers load the model themselves: give its name, or a file written with "
            "geocamss train, not a segmenter of this process"
        )
    model = request.model if isinstance(request.model, str) else Path(request.model)
    file = resolve(model)
    known = isinstance(model, str) and model in names()
    aoi = request.aoi if request.aoi is None else _absolute(os.fspath(request.aoi))
    name = str(model) if known else _absolute(os.fspath(file))
    return name, replace(request, model=name, aoi=aoi)


def _folder_name(scene: str) -> str:
    """A scene's name, or one near it where a job's own file or folder has that."""
    # No scene's name ends in an underscore if it is so short: this one stays free.
    return f"{scene}_" if scene.lower() in OWN_NAMES else scene


def _refuse_existing(out: Path) -> None:
    """Leave files alone that bear a job's names, and that no job has written."""
    there = sorted(name for name in OWN_NAMES if os.path.lexists(out / name))
    if there and not (out / JOB).is_dir():
        raise OutputError(
            f"{out} holds {', '.join(there)}, which no job has written there; give --overwrite to "
            "replace that, or choose another folder with -o"
        )


def _absolute(path: str) -> str:
    """A name that means the same wherever a process works; what is no file's name stays."""
    return os.path.abspath(path) if is_plain_path(path) else path  # noqa: PTH100 (links stay)


def _machine(place: Place, request: Request) -> Machine:
    import torch

    from geocamss.batch.cluster import machine

    device = request.device or ("cuda" if torch.cuda.is_available() else "cpu")
    accelerated = torch.device(device).type != "cpu"
    memory = None if request.memory is None else parse_bytes(request.memory)
    return machine(place.workers, place.threads, memory, accelerated=accelerated)
