"""The files that a run leaves behind, each made whole in the work folder."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray

import geocamss
from geocamss.classes import ClassScheme
from geocamss.engine import stitch, stitch_doubt, stitch_probabilities
from geocamss.errors import DiskFullError, InputError
from geocamss.output.areas import ClassArea, class_areas
from geocamss.output.attributes import write_pam
from geocamss.output.blocks import LEVELS, BlockStore
from geocamss.output.classmap import ClassMap
from geocamss.output.colors import CONFIDENCE, UNCERTAINTY, color_table
from geocamss.output.disk import free_bytes, megabytes
from geocamss.output.outline import Outline
from geocamss.output.page import PAGE_SIDE, Page, write_page
from geocamss.output.polygons import polygonize
from geocamss.output.preview import render_preview, stretch, stretch_range
from geocamss.output.project import (
    Layer,
    class_layer,
    polygon_layer,
    ramp_layer,
    scene_layer,
    scene_source,
    write_project,
)
from geocamss.output.raster import RasterSpec, RasterWriter, quiet_gdal
from geocamss.output.renderers import Picture
from geocamss.output.shaping import EXACT
from geocamss.output.stac import build_item, write_item
from geocamss.output.style import write_qml
from geocamss.run import Run
from geocamss.scene.reduced import read_reduced

__all__ = [
    "ALL_FILES",
    "ON_REQUEST",
    "PRODUCTS",
    "checked_products",
    "files_of",
    "needs_confidence",
    "write_products",
]

PRODUCTS: dict[str, tuple[str, ...]] = {
    "classes": ("classes.tif", "classes.tif.aux.xml"),
    "confidence": ("confidence.tif",),
    "polygons": ("polygons.gpkg",),
    "style": ("classes.qml", "confidence.qml"),
    "project": ("map.qgz",),
    "item": ("item.json",),
    "preview": ("preview.png",),
    "page": ("preview.html",),
}
"""The files of each output."""

ON_REQUEST: dict[str, tuple[str, ...]] = {
    "uncertainty": ("uncertainty.tif", "uncertainty.qml"),
    "probabilities": ("probabilities.tif",),
}
"""The files of outputs that are made only where they are asked for."""

NEED_CONFIDENCE = {"confidence", "polygons", "page"}
"""Outputs that hold the confidence, or are made from it."""

PREVIEW_SIDE = 1024
"""The preview shows at most this many pixels of the map along a side."""

ALL_FILES = tuple(file for files in (PRODUCTS | ON_REQUEST).values() for file in files)
"""Every name that a run may write."""


def checked_products(names: Collection[str]) -> tuple[str, ...]:
    """The outputs asked for, in the order in which they are made.

    Raises:
        InputError: one of them does not exist, or there is none.
    """
    if isinstance(names, str):
        names = [name.strip() for name in names.split(",") if name.strip()]
    known = PRODUCTS | ON_REQUEST
    unknown = sorted(set(names) - set(known))
    if unknown or not names:
        near = difflib.get_close_matches(unknown[0], known, n=1) if unknown else []
        what = f"no output is called {unknown[0]!r}" if unknown else "no output is asked for"
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise InputError(f"{what}{hint}; there are {', '.join(known)}")
    return tuple(name for name in known if name in names)


def files_of(products: Collection[str]) -> list[str]:
    """The files of these outputs."""
    known = PRODUCTS | ON_REQUEST
    return [file for name in products for file in known[name]]


def needs_confidence(products: Collection[str]) -> bool:
    """Whether any of these outputs holds the confidence, or is made from it."""
    return not NEED_CONFIDENCE.isdisjoint(products)


def write_products(
    run: Run,
    store: BlockStore,
    folder: Path,
    wanted: Collection[str],
    tell: Callable[[str], None] = lambda _: None,
) -> tuple[ClassArea, ...]:
    """Write outputs into a folder.

    The class map is always made, and the confidence where it is needed: the others are made from
    them. Polygons are traced while these two are still being compressed.

    Args:
        run: what was mapped.
        store: holds every block.
        folder: where the files go: the work folder inside the one that they are meant for.
        wanted: names of the outputs.
        tell: told the name of each output when it is whole.

    Returns:
        The area of each class.

    Raises:
        RunError: a file could not be written.
    """
    scheme = run.segmenter.card.classes
    classes = folder / "classes.tif"
    confidence = folder / "confidence.tif" if needs_confidence(wanted) else None
    polygons = folder / "polygons.gpkg" if "polygons" in wanted else None
    _write_map(run, store, classes, confidence, polygons)
    areas = class_areas(classes, confidence, scheme)
    makers: dict[str, Callable[[], object]] = {
        "classes": lambda: write_pam(folder / "classes.tif.aux.xml", scheme, areas),
        "confidence": lambda: None,
        "uncertainty": lambda: _write_doubt(run, store, folder / "uncertainty.tif"),
        "probabilities": lambda: _write_probabilities(run, store, folder / "probabilities.tif"),
        "polygons": lambda: None,
        "style": lambda: _write_styles(scheme, folder),
        "project": lambda: _write_project(run, wanted, folder),
        "preview": lambda: _write_preview(run, classes, areas, folder / "preview.png"),
        "page": lambda: _write_page(run, ClassMap.open(classes, confidence), areas, folder),
        "item": lambda: _write_item(run, classes, areas, files_of(wanted), folder),
    }
    for name, make in makers.items():
        if name in wanted:
            make()
            tell(name)
    return areas


def _write_map(
    run: Run, store: BlockStore, classes: Path, confidence: Path | None, polygons: Path | None
) -> None:
    scheme = run.segmenter.card.classes
    place = run.grid.crs, run.grid.transform, run.grid.shape
    tags = _tags(run) | _class_tags(scheme)
    class_spec = RasterSpec(*place, "class", "MODE", tags, colors=color_table(scheme))
    percent_spec = RasterSpec(*place, "confidence", "AVERAGE", _tags(run), unit="percent")
    values = np.array(scheme.values, np.uint8)
    with ExitStack() as stack:
        kinds = stack.enter_context(RasterWriter(class_spec, classes))
        sure = confidence and stack.enter_context(RasterWriter(percent_spec, confidence))
        for window, kind, percent in stitch(run.layout, store, values):
            kinds.write(window, kind)
            if sure:
                if percent is None:
                    raise ValueError(f"{store.folder} was mapped without confidence")
                sure.write(window, percent)
        writers = [kinds, sure] if sure else [kinds]
        plain = [writer.seal() for writer in writers]
        if polygons and run.shaping == EXACT:  # what is shaped is less, nobody knows how much
            _check_polygons(plain[0], polygons, run.scene.path)
        with quiet_gdal(), ThreadPoolExecutor(1, "geocamss-cog") as pool:
            finished = [pool.submit(writer.finish) for writer in writers]
            if polygons:
                polygonize(plain[0], plain[1] if sure else None, polygons, scheme, run.shaping)
            for each in finished:
                each.result()


def _check_polygons(classes: Path, target: Path, scene: str) -> None:
    """Refuse to trace polygons that the disk cannot hold, as soon as that can be known.

    Raises:
        DiskFullError: they need more than is free.
    """
    source = ClassMap.open(classes)
    free = free_bytes(target.parent)
    if free >= Outline.most_bytes(source.width * source.height):
        return  # counting takes time as well
    needed = Outline.of(source).bytes
    if free < needed:
        raise DiskFullError(
            f"{target.parent}: the map of {scene} is ready, but its polygons need "
            f"{megabytes(needed)} or more, and {megabytes(free)} are free; make room and run the "
            "same command again: finished blocks are kept; or leave polygons out of --outputs"
        )


def _write_doubt(run: Run, store: BlockStore, target: Path) -> None:
    spec = RasterSpec(
        run.grid.crs,
        run.grid.transform,
        run.grid.shape,
        "entropy",
        "AVERAGE",
        _tags(run),
        unit="share of log K",
        more=("mutual information",),
        scale=1 / LEVELS,
    )
    with RasterWriter(spec, target) as writer:
        for window, both in stitch_doubt(run.layout, store):
            writer.write(window, both)
        writer.finish()
    write_qml(target.with_suffix(".qml"), UNCERTAINTY)


def _write_probabilities(run: Run, store: BlockStore, target: Path) -> None:
    scheme = run.segmenter.card.classes
    first, *more = scheme.names
    spec = RasterSpec(
        run.grid.crs,
        run.grid.transform,
        run.grid.shape,
        first,
        "AVERAGE",
        _tags(run) | _class_tags(scheme),
        unit="probability",
        more=tuple(more),
        scale=1 / LEVELS,
    )
    with RasterWriter(spec, target) as writer:
        for window, shares in stitch_probabilities(run.layout, store, len(scheme)):
            writer.write(window, shares)
        writer.finish()


def _tags(run: Run) -> dict[str, str]:
    """What made a raster."""
    return {f"GEOCAMSS_{key.upper()}": str(value) for key, value in run.provenance.items()}


def _class_tags(scheme: ClassScheme) -> dict[str, str]:
    """What the values of a raster mean."""
    return {f"CLASS_{c.value}": c.name for c in scheme}


def _write_styles(scheme: ClassScheme, folder: Path) -> None:
    write_qml(folder / "classes.qml", scheme)
    write_qml(folder / "confidence.qml", CONFIDENCE)


def _write_project(run: Run, wanted: Collection[str], folder: Path) -> None:
    scheme, crs = run.segmenter.card.classes, run.grid.crs
    layers: dict[str, Layer] = {
        "polygons": polygon_layer("./polygons.gpkg", scheme, crs),
        "classes": class_layer("./classes.tif", scheme, crs),
        "confidence": ramp_layer("confidence", "./confidence.tif", CONFIDENCE, crs),
        "uncertainty": ramp_layer("uncertainty", "./uncertainty.tif", UNCERTAINTY, crs),
    }
    shown = [layer for name, layer in layers.items() if name in wanted]
    scene = run.scene
    # QGIS would lay pixels tied by RPCs on the ground as degrees, and knows no folders of bands.
    if scene.georeferencing != "rpcs" and scene.opens == scene.path:
        source = scene_source(scene.path, folder.parent)
        shown.append(scene_layer(source, _picture(run), scene.crs))
    title = scene.id or "map"
    write_project(folder / "map.qgz", shown, title=title, crs=crs, bounds=run.grid.bounds)


def _picture(run: Run) -> Picture | None:
    """How a viewer shows the scene as the preview does; None where its colors are a palette's."""
    bands = run.display_bands
    if any(band.color is not None for band in bands):
        return None
    indices, alpha = tuple(band.index for band in bands), run.scene.alpha
    if len(bands) == 3 and all(band.dtype == "uint8" for band in bands):
        return Picture(indices, alpha=alpha)
    pixels, valid = _thinned(run, -(-max(run.grid.shape) // PREVIEW_SIDE))
    stored = [stretch_range(values, valid) or (0.0, 1.0) for values in pixels]
    ranges = tuple(
        (low * band.scale + band.offset, high * band.scale + band.offset)
        for band, (low, high) in zip(bands, stored, strict=True)
    )
    return Picture(indices, ranges, alpha)


def _write_preview(run: Run, classes: Path, areas: tuple[ClassArea, ...], target: Path) -> None:
    step = -(-max(run.grid.shape) // PREVIEW_SIDE)
    pixels, valid = _thinned(run, step)
    with quiet_gdal(), rasterio.open(classes) as file:
        shape = -(-file.height // step), -(-file.width // step)
        kinds = file.read(1, out_shape=shape)
    scheme = run.segmenter.card.classes
    render_preview(stretch(pixels, valid), valid, kinds, scheme, areas, target=target)


def _write_page(run: Run, source: ClassMap, areas: tuple[ClassArea, ...], folder: Path) -> None:
    pixels, valid = _thinned(run, -(-max(run.grid.shape) // PAGE_SIDE))
    card, scene = run.segmenter.card, run.scene
    page = Page(
        title=scene.id or "map",
        subtitle=card.name,
        scheme=card.classes,
        areas=areas,
        crs=run.grid.crs,
        transform=run.grid.transform,
        shape=run.grid.shape,
        facts={
            "Scene": Path(scene.path).name,
            "Acquired": scene.datetime and f"{scene.datetime:%Y-%m-%d %H:%M} UTC",
            "Model": f"{card.name}, version {card.version}",
            "License": card.license,
            "Steps": run.provenance["steps"],
            "Samples": run.provenance["samples"],
            "Seed": run.provenance["seed"],
            "Made by": run.provenance["software"],
        },
    )
    write_page(folder / "preview.html", page, source, stretch(pixels, valid), valid)


def _thinned(run: Run, step: int) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
    """The scene's red, green and blue, or what it has, at a fraction of the grid's resolution."""
    return read_reduced(run.scene, run.display_bands, run.grid, step)


def _write_item(
    run: Run, classes: Path, areas: tuple[ClassArea, ...], files: Collection[str], folder: Path
) -> None:
    grid = run.grid
    item = build_item(
        run.scene.id or "map",
        crs=grid.crs,
        transform=grid.transform,
        shape=grid.shape,
        scheme=run.segmenter.card.classes,
        files=files,
        acquired=run.scene.datetime,
        window=ClassMap.open(classes).data_window(),
        areas=areas,
        provenance=run.provenance,
        software={"geocamss": geocamss.__version__},
    )
    write_item(item, folder / "item.json")
