"""Evaluation: scenes are mapped as ``predict`` maps them, and the maps held against labels."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.windows import Window as RasterWindow

from geocamss.classes import ClassScheme
from geocamss.errors import GeocamssWarning, InputError, ReadError
from geocamss.evaluation.corruptions import chosen_corruptions
from geocamss.evaluation.evaluation import Evaluation, Part, Spoiled
from geocamss.evaluation.labels import Labels
from geocamss.evaluation.pairs import Pair, pairs_of
from geocamss.evaluation.scores import IGNORED
from geocamss.evaluation.spoiled import spoiler
from geocamss.evaluation.tally import Rows, Tally
from geocamss.models.segmenter import Segmenter
from geocamss.output.raster import quiet_gdal
from geocamss.predict import Progress, map_scene
from geocamss.request import Request
from geocamss.run import Run
from geocamss.scene.window import Window

__all__ = ["evaluate", "evaluate_pairs"]

BAND_PIXELS = 1 << 20
"""Pixels of a map that are compared with their labels at once."""

TOLERANCE = 2
"""Pixels within which boundaries agree, unless told otherwise."""

Tell = Callable[[Progress], None]


def evaluate(
    scene: str | os.PathLike[str],
    labels: str | os.PathLike[str],
    *,
    model: str | os.PathLike[str] | Segmenter = "aerial-landcover",
    meaning: Mapping[str, str] | None = None,
    class_field: str | None = None,
    bands: Mapping[str, int] | None = None,
    gsd: Literal["auto", "native"] | float = "auto",
    crs: str | None = None,
    aoi: str | os.PathLike[str] | None = None,
    steps: int | None = None,
    samples: int = 1,
    seed: int = 0,
    batch_size: int | None = None,
    device: str | None = None,
    tolerance: int = TOLERANCE,
    corruptions: Collection[str] = (),
    progress: Tell | None = None,
) -> Evaluation:
    """Map a scene, and score the map against labels.

    Args:
        scene: Anything that GDAL opens; or a folder of scenes.
        labels: A raster of classes on any grid, by value, color or name, or polygons in any CRS;
            or a folder of such, with the scenes' names. What is not labeled, or has no data in the
            scene, is not scored.
        model: The name of a built-in model, a model file, or a segmenter.
        meaning: Class name by what the labels have: a value, a color ``#rrggbb``, or a name. Left
            out, the labels have the model's names, colors or values.
        class_field: Of polygons: the attribute that says the class.
        bands: As for ``predict``, and so are those up to ``device``.
        gsd: Pixel size of the map.
        crs: Coordinate system of the map.
        aoi: A vector file; pixels outside are not mapped, and not scored.
        steps: Sampler steps.
        samples: Latents drawn for each chip.
        seed: Chooses the noise, the corruptions' too.
        batch_size: Chips at once.
        device: Where the network runs.
        tolerance: Pixels within which boundaries agree.
        corruptions: Names of corruptions to try as well; see ``geocamss.evaluation.corruptions``.
        progress: Called now and then with how far the mapping has come.

    Raises:
        InputError: something given cannot be used, or nothing is labeled.
        RunError: a map could not be made.
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
        batch_size=batch_size,
        device=device,
    )
    pairs = pairs_of(scene, labels, meaning, class_field)
    return evaluate_pairs(
        pairs, request, tolerance=tolerance, corruptions=corruptions, progress=progress
    )


def evaluate_pairs(
    pairs: Sequence[Pair],
    request: Request,
    *,
    tolerance: int = TOLERANCE,
    corruptions: Collection[str] = (),
    progress: Tell | None = None,
) -> Evaluation:
    """Map scenes, and score all maps together against their labels.

    Args:
        pairs: Scenes and labels.
        request: How to map; its outputs do not matter.
        tolerance: Pixels within which boundaries agree.
        corruptions: Names of corruptions to try as well.
        progress: Called now and then with how far the mapping has come.

    Raises:
        InputError: something given cannot be used, or nothing is labeled.
        RunError: a map could not be made.
    """
    if not 0 <= tolerance <= 64:
        raise InputError(f"the tolerance of boundaries must be 0 to 64 pixels, got {tolerance}")
    segmenter = request.segmenter()
    card = segmenter.card
    tried = [
        (corruption, strength)
        for corruption in chosen_corruptions(tuple(corruptions))
        for strength in corruption.levels(card.band_names)
    ]
    jobs = [_Job(pair, _run(request, pair, segmenter), tolerance) for pair in pairs]
    tell = _Overall(progress or (lambda _: None), jobs, 1 + len(tried))
    parts = tuple(
        Part(job.pair.scene, job.pair.labels.path, job.tally(job.run, tell.next())) for job in jobs
    )
    _check_labeled(parts, card.classes)
    spoiled = []
    for corruption, strength in tried:
        total = Tally.empty(len(card.classes), tolerance, doubt=jobs[0].run.doubt)
        for job in jobs:
            through = spoiler(job.run, corruption, strength, request.seed)
            total += job.tally(replace(job.run, through=through), tell.next())
        spoiled.append(Spoiled(corruption.name, corruption.unit, strength, total))
    return Evaluation(card, parts, tuple(spoiled))


@dataclass(frozen=True)
class _Job:
    """A pair that is ready to be mapped."""

    pair: Pair
    run: Run
    tolerance: int

    def tally(self, run: Run, tell: Tell) -> Tally:
        """Map the scene, and count."""
        scheme = run.segmenter.card.classes
        with (
            tempfile.TemporaryDirectory(prefix="geocamss-") as folder,
            closing(self.pair.labels.open(run.grid, scheme)) as labels,
        ):
            out = Path(folder) / "map"
            wanted = ["classes", "confidence", *(["uncertainty"] if run.doubt else [])]
            map_scene(run, out, wanted, overwrite=True, tell=tell)
            total = Tally.empty(len(scheme), self.tolerance, doubt=run.doubt)
            for rows in _rows(out, labels, scheme, self.tolerance + 1):
                total += Tally.of(rows, len(scheme), self.tolerance)
        return total


def _run(request: Request, pair: Pair, segmenter: Segmenter) -> Run:
    """What maps a pair's scene; a scene that has no place on the ground is no news for labels."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        run = request.run(pair.scene, segmenter)
    for warning in said:
        if run.grid.crs is not None or not issubclass(warning.category, GeocamssWarning):
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )
    return run


def _check_labeled(parts: Sequence[Part], scheme: ClassScheme) -> None:
    if not any(part.tally.confusion.any() for part in parts):
        raise InputError(
            f"{', '.join(part.labels for part in parts[:3])}: no pixel of the map has a label; do "
            f"they lie elsewhere, or have other values than {_values(scheme)}? Say which is "
            f"which, as in --map 1={scheme.names[0]}"
        )


def _values(scheme: ClassScheme) -> str:
    return ", ".join(f"{entry.value} ({entry.name})" for entry in scheme)


def _rows(folder: Path, labels: Labels, scheme: ClassScheme, halo: int) -> Iterator[Rows]:
    """A map with its labels from top to bottom, some rows and a halo around them at a time.

    What the scene does not show is no fault of the model: it is taken for unlabeled.
    """
    channels = np.full(256, IGNORED, np.uint8)
    channels[list(scheme.values)] = np.arange(len(scheme))
    with ExitStack() as stack:
        classes, confidence = (
            stack.enter_context(_raster(folder / name))
            for name in ("classes.tif", "confidence.tif")
        )
        path = folder / "uncertainty.tif"
        doubt = stack.enter_context(_raster(path)) if path.exists() else None
        height, width = classes.shape
        step = max(1, BAND_PIXELS // width)
        for row in range(0, height, step):
            stop = min(row + step, height)
            window = Window.between(max(0, row - halo), 0, min(height, stop + halo), width)
            mapped = channels[_read(classes, window)[0]]
            yield Rows(
                classes=mapped,
                labels=np.where(mapped == IGNORED, IGNORED, labels.read(window)),
                confidence=_read(confidence, window)[0],
                doubt=None if doubt is None else _read(doubt, window),
                core=slice(row - window.row, stop - window.row),
            )


@contextmanager
def _raster(path: Path) -> Iterator[rasterio.DatasetReader]:
    with quiet_gdal(), rasterio.open(path) as dataset:
        yield dataset


def _read(dataset: rasterio.DatasetReader, window: Window) -> NDArray[np.uint8]:
    """(bands, height, width)."""
    place = RasterWindow(window.col, window.row, window.width, window.height)
    try:
        pixels: NDArray[np.uint8] = dataset.read(window=place)
    except RasterioError as error:
        raise ReadError(f"{dataset.name}: the map cannot be read back: {error}") from error
    return pixels


class _Overall:
    """Tells of many maps as if they were one."""

    def __init__(self, tell: Tell, jobs: Sequence[_Job], times: int) -> None:
        self._tell = tell
        self._sizes = [job.run.grid.height * job.run.grid.width for job in jobs] * times
        self._total = sum(self._sizes)
        self._begun = -1

    def next(self) -> Tell:
        """What the next map reports to."""
        self._begun += 1
        before = sum(self._sizes[: self._begun])

        def tell(report: Progress) -> None:
            if report.stage == "map":
                self._tell(Progress("map", before + report.done, self._total))

        return tell
