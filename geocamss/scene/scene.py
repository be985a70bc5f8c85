"""The scene: what a raster file says of itself. No pixels are read here."""

from __future__ import annotations

import datetime as dt
import math
import os
import re
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain, repeat
from pathlib import Path
from typing import Any, Literal

import numpy as np
from affine import Affine
from pyproj.exceptions import CRSError, ProjError
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.enums import Interleaving
from rasterio.rpc import RPC

from geocamss import hypertext
from geocamss.errors import BandError, GeocamssWarning, SceneError
from geocamss.modelcard import BandSpec, ModelCard
from geocamss.scene.band import SceneBand
from geocamss.scene.bands import COMMON_BANDS, meanings_of, spectral_distance, spoken_name
from geocamss.scene.bundle import Bundle
from geocamss.scene.gdal import (
    GDAL_ERRORS,
    IMAGE_DRIVERS,
    gdal_environment,
    gdal_path,
    is_plain_path,
    is_remote,
    open_raster,
    quiet,
)
from geocamss.scene.georeference import Georeference
from geocamss.scene.ground import ground_distance, unit_length
from geocamss.scene.header import (
    TALL_TILE,
    check_backing,
    check_bounds,
    read_alpha,
    read_bands,
    read_files,
    read_georeference,
    read_tags,
)
from geocamss.scene.resolve import resolve
from geocamss.scene.stack import Stack
from geocamss.scene.stamp import acquired, fingerprint, layout_stamp
from geocamss.scene.turns import closing, is_jpeg2000
from geocamss.scene.vrt import check_text, find_files

__all__ = ["Scene", "SceneBand", "parse_bands"]

NEAR = 0.04
"""Bands stand in for each other when their centers differ by at most this fraction."""

SHOWN = 20
"""Messages list this many things at most."""


@dataclass(frozen=True)
class Scene:
    """One raster to be segmented: everything but its pixels."""

    path: str
    """What the user named: a path, a URL, a product of several files."""

    driver: str
    """GDAL's short name of the format."""

    width: int
    """Columns, in pixels."""

    height: int
    """Rows, in pixels."""

    bands: tuple[SceneBand, ...]
    """Image bands; alpha apart. The bands of a palette picture are its colors."""

    alpha: int | None
    """Index, from 1, of the band that says where pixels are valid."""

    crs: CRS | None
    """Coordinate system; None where the scene has no place on the ground."""

    transform: Affine | None
    """From (column, row) to coordinates; None unless that is plain affine."""

    georeferencing: Literal["transform", "gcps", "rpcs", "none"]
    """What ties pixels to coordinates."""

    datetime: dt.datetime | None
    """When it was acquired, UTC; None if the file does not say."""

    fingerprint: str
    """Changes when the file does: SHA-256 of path, size and time or ETag, in hexadecimal."""

    chosen: tuple[tuple[str, int], ...] = ()
    """Band names and indices that the user gave; they win over all else."""

    opens: str = field(default="", repr=False)
    """What GDAL opens: the path, or a VRT in words where the scene has several files."""

    id: str = ""
    """The product's own name, or the file's without its ending."""

    quality: tuple[int, ...] = ()
    """Indices, from 1, of bands that are 0 where pixels are to be left out."""

    notes: tuple[str, ...] = ()
    """What was done to its numbers, for the user."""

    overviews: tuple[int, ...] = ()
    """Factors of the reduced copies in the file, ascending."""

    interleaved: bool = False
    """Whether a tile of the file holds all its bands, which are then decoded together."""

    jpeg2000: bool = False
    """Whether JPEG 2000 is decoded where it is read."""

    gcps: tuple[GroundControlPoint, ...] = field(default=(), compare=False, repr=False)
    """Ground control points, where those tie pixels to coordinates."""

    rpcs: RPC | None = field(default=None, compare=False, repr=False)
    """Rational polynomial coefficients, where those tie pixels to coordinates."""

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        bands: Mapping[str, int] | None = None,
        card: ModelCard | None = None,
    ) -> Scene:
        """Read what a scene says of itself.

        Args:
            path: anything that GDAL opens, or a scene of several files: a Sentinel-2 or Landsat
                product (its folder, archive or metadata file), a STAC item, a pattern such as
                ``scene_{band}.tif``, a bundle in words.
            bands: index, from 1, by name, where the file does not tell or tells wrong.
            card: of the model that will map it. A scene of several files takes the finest pixels
                among the bands that the model wants, else the finest of all.

        Raises:
            SceneError: it cannot be opened, or is nothing that can be mapped.
            BandError: ``bands`` names an index that is not there.
        """
        found = resolve(os.fspath(path))
        chosen = _checked(bands or {})
        if isinstance(found, str):
            return cls._opened(found, found, chosen, None)
        if found.whole:
            return cls._whole(found, chosen)
        stack = Stack.of(found)
        scene = cls._opened(found.source, stack.vrt(), chosen, stack)
        if card is None:
            return scene
        if found.notes:
            said = "; ".join(found.notes)
            warnings.warn(f"{scene.path}: {said}", GeocamssWarning, stacklevel=2)
        wanted = _indices(scene, card)
        opens = stack.vrt(wanted) if wanted else scene.opens
        return scene if opens == scene.opens else cls._opened(found.source, opens, chosen, stack)

    @classmethod
    def _whole(cls, bundle: Bundle, chosen: dict[str, int]) -> Scene:
        """The one file of a bundle that has it whole."""
        (path,) = bundle.paths
        scene = cls._opened(path, path, chosen, None, () if bundle.trusted else IMAGE_DRIVERS)
        return replace(scene, id=bundle.id, datetime=bundle.datetime or scene.datetime)

    @classmethod
    def _opened(
        cls,
        path: str,
        opens: str,
        chosen: dict[str, int],
        stack: Stack | None,
        drivers: Sequence[str] = (),
    ) -> Scene:
        if stack is None:
            check_text(path)
        with gdal_environment(opens):
            try:
                dataset = open_raster(opens, drivers=drivers)
            except (*GDAL_ERRORS, OSError, ValueError, TypeError) as error:
                raise SceneError(_why_not_opened(path, error)) from error
            try:
                return cls._of(path, opens, dataset, chosen, stack)
            except (*GDAL_ERRORS, ValueError, OverflowError) as error:
                raise SceneError(f"{path}: its header cannot be read: {error}") from error
            finally:
                with closing():
                    dataset.close()

    @classmethod
    def _of(
        cls, path: str, opens: str, dataset: Any, chosen: dict[str, int], stack: Stack | None
    ) -> Scene:
        check_bounds(path, dataset)
        bundle = stack.bundle if stack is not None else None
        files = find_files(path, opens, dataset)
        check_backing(path, dataset, files)
        tags = read_tags(dataset)
        quality = () if bundle is None else bundle.quality_indices
        alpha = None if bundle is not None else read_alpha(dataset, chosen)
        hidden = quality if alpha is None else (alpha,)
        bands = read_bands(path, dataset, hidden, chosen, tags)
        place = read_georeference(path, dataset)
        return cls(
            path=path,
            driver=dataset.driver,
            width=dataset.width,
            height=dataset.height,
            bands=bands,
            alpha=alpha,
            crs=place.crs,
            transform=place.transform,
            georeferencing=place.kind,
            datetime=bundle.datetime if bundle is not None else acquired(path, tags),
            fingerprint=_fingerprint(path, dataset, stack, files),
            chosen=tuple(chosen.items()),
            opens=opens,
            id=bundle.id if bundle is not None else _name_of(path),
            quality=quality,
            notes=bundle.notes if bundle is not None else (),
            overviews=tuple(dataset.overviews(bands[0].index)) if bundle is None else (),
            interleaved=dataset.interleaving == Interleaving.pixel,
            jpeg2000=is_jpeg2000(dataset.driver, files),
            gcps=tuple(place.gcps),
            rpcs=place.rpcs,
        )

    def decoded_bytes(self, bands: Sequence[SceneBand], width: int) -> int:
        """What is to be kept of decoded tiles, so that none is decoded twice.

        Args:
            bands: those that are read.
            width: columns that are read, strip by strip, from top to bottom.

        Returns:
            A row of tiles and a little more.
        """
        together = self.bands if self.interleaved else bands
        column = sum(band.tile_rows * np.dtype(band.dtype).itemsize for band in together)
        row = column * min(self.width, width + 2 * TALL_TILE)  # tiles reach beyond both ends
        return row + row // 4

    @cached_property
    def georeference(self) -> Georeference:
        """The way between its pixels and its coordinates."""
        return Georeference(self.georeferencing, self.crs, self.transform, self.gcps, self.rpcs)

    @cached_property
    def pixel_size(self) -> tuple[float, float] | None:
        """Ground width and height of the pixel at the center, in meters; None without CRS."""
        if self.crs is None:
            return None
        step = 0.01  # of a pixel: one pixel may span the earth
        cols = self.width / 2 + step * np.array([-0.5, 0.5, 0.0, 0.0])
        rows = self.height / 2 + step * np.array([0.0, 0.0, -0.5, 0.5])
        with gdal_environment(self.path):
            xs, ys = self.georeference.to_crs(cols, rows)
        if not (np.isfinite(xs).all() and np.isfinite(ys).all()):
            return None
        try:
            size = ground_distance(self.crs, (xs[::2], ys[::2]), (xs[1::2], ys[1::2]))
        except (CRSError, ProjError):
            return None
        if not (size > 0).all():  # beyond the edge of the earth
            size = np.hypot(np.diff(xs)[::2], np.diff(ys)[::2]) * (
                unit_length(self.crs) or math.nan
            )
        return (float(size[0]) / step, float(size[1]) / step) if (size > 0).all() else None

    @property
    def gsd(self) -> float | None:
        """Ground sample distance at the center, in meters; None without CRS."""
        return math.sqrt(math.prod(self.pixel_size)) if self.pixel_size else None

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        facts = {
            "format": self.driver,
            "size": f"{self.width:,} x {self.height:,} pixels",
            "CRS": self.crs.to_string()[:80] if self.crs is not None else "none",
            "GSD": f"{self.gsd:.3g} m" if self.gsd else "unknown",
            "acquired": self.datetime,
        }
        rows = [
            [hypertext.escape(cell) for cell in (b.index, b.name or "-", b.label or "-", b.dtype)]
            for b in self.bands
        ]
        columns = ("band", "name", "in the file", "type")
        return hypertext.card(self.path, facts, columns, rows)

    def select(self, card: ModelCard) -> tuple[SceneBand, ...]:
        """The bands that a model wants, in the order of its input channels.

        Warns when a band is there by custom only, or when a near relative stands in for it.

        Raises:
            BandError: a band is not there, or there twice.
        """
        wanted = frozenset(map(spoken_name, card.band_names))
        found = [self._find(spec, wanted) for spec in card.bands]
        missing = [s.name for s, band in zip(card.bands, found, strict=True) if band is None]
        if missing:
            raise BandError(self._what_is_missing(card, missing))
        bands = tuple(band for band in found if band is not None)
        assumed = [str(band.name) for band in bands if band.assumed]
        if assumed:
            self._warn(
                f"nothing says which band is which; took bands "
                f"{', '.join(str(b.index) for b in bands if b.assumed)} for {', '.join(assumed)}"
            )
        return bands

    def _find(self, spec: BandSpec, wanted: frozenset[str]) -> SceneBand | None:
        """The band that a model's entry means, or None.

        Args:
            spec: the entry.
            wanted: names of all entries; their bands stand in for no other.
        """
        chosen = dict(self.chosen)
        name = spoken_name(spec.name)
        if name in chosen:
            band = next(b for b in self.bands if b.index == chosen[name])
            return replace(band, name=name)
        free = [band for band in self.bands if band.index not in chosen.values()]
        named = [b for b in free if b.name == name or (not b.name and b.label.lower() == name)]
        if len(named) > 1:
            raise BandError(
                f"{self.path}: {name} may be band {' or band '.join(str(b) for b in named)}; "
                f"say which, as in --bands {name}={named[0].index}"
            )
        if named:
            return named[0]
        counted = re.fullmatch(r"band([1-9]\d*)", name)
        if counted:  # what a model calls a band that has no name: its position
            at_home = [b for b in free if not b.name and b.index == int(counted[1])]
            if at_home:
                return at_home[0]
        return self._stand_in(name, spec.wavelength, [b for b in free if b.name not in wanted])

    def _stand_in(
        self, name: str, wavelength: float | None, free: Sequence[SceneBand]
    ) -> SceneBand | None:
        """The band nearest in wavelength, where none has the wanted name."""
        if wavelength is None and name in COMMON_BANDS:
            wavelength = COMMON_BANDS[name].center
        if wavelength is None:
            return None
        near = [
            (spectral_distance(center, wavelength), band)
            for band in free
            if (center := _center(band)) is not None
        ]
        distance, band = min(near, key=lambda pair: pair[0], default=(math.inf, None))
        if band is None or distance > NEAR:
            return None
        self._warn(f"no band is called {name}; band {band} is taken for it")
        return band

    def _warn(self, what: str) -> None:
        warnings.warn(
            f"{self.path}: {what}. If that is wrong, say which is which, as in --bands red=3",
            GeocamssWarning,
            stacklevel=3,
        )

    def _what_is_missing(self, card: ModelCard, missing: Sequence[str]) -> str:
        codes = [
            f"{band.label} is {', '.join(f'{n} on {s}' for s, n in meanings.items())}"
            for band in self.bands
            if not band.name and (meanings := meanings_of(band.label))
        ]
        shown = [str(band) for band in self.bands[:SHOWN]]
        more = len(self.bands) - len(shown)
        lines = [
            f"{self.path}: no band is known to be {', '.join(missing)}.",
            f"  the model wants  {', '.join(card.band_names)}",
            f"  the scene has    {'; '.join(shown)}{f'; and {more} more' if more else ''}",
        ]
        if codes:
            lines.append(f"  but {'; '.join(codes[:SHOWN])}")
        if self.alpha is not None:
            lines.append(
                f"  band {self.alpha} is marked as alpha; if it is not, name it, as in "
                f"--bands {missing[0]}={self.alpha}"
            )
        taken = set(map(spoken_name, card.band_names))
        free = sorted(band.index for band in self.bands if band.name not in taken)
        if len(free) < len(missing):
            lines.append(
                "  that is too few: a band can stand for several, where that makes sense, or "
                "another model may do (geocamss models)"
            )
        indices = chain(free, repeat((free or [self.bands[0].index])[-1]))
        example = ",".join(f"{name}={index}" for name, index in zip(missing, indices, strict=False))
        lines.append(f"  say which is which, by index from 1, as in --bands {example}")
        return "\n".join(lines)


def parse_bands(text: str) -> dict[str, int]:
    """Read ``red=3,green=2,blue=1``: names of bands and their indices, from 1.

    Raises:
        BandError: it is not of this form, or a name repeats.
    """
    bands: dict[str, int] = {}
    for part in text.split(","):
        match = re.fullmatch(r"\s*([^=,]+?)\s*=\s*(\d{1,9})\s*", part)
        if not match:
            raise BandError(f"bands are given as in red=3,green=2,blue=1, got {text!r}")
        name = match[1].lower()
        if name in bands:
            raise BandError(f"band {name!r} is given twice in {text!r}")
        bands[name] = int(match[2])
    return bands


def _indices(scene: Scene, card: ModelCard) -> tuple[int, ...]:
    """Positions of the bands that a model wants; none if the scene lacks some."""
    with quiet():
        try:
            return tuple(band.index for band in scene.select(card))
        except BandError:
            return ()


def _fingerprint(path: str, dataset: Any, stack: Stack | None, files: Collection[str]) -> str:
    """Of the files that a VRT refers to, too."""
    if stack is not None:
        inner = set(files).difference(map(gdal_path, stack.bundle.paths))
        known = [name for name, file in stack.files.items() if file.layout]
        return fingerprint(stack.said, (*stack.bundle.paths, *stack.bundle.files, *inner), known)
    if is_remote(path):
        layout = layout_stamp(dataset)
        return fingerprint((layout,), (path, *files), (path,) if layout else ())
    return fingerprint((path,), (*read_files(path, dataset), *files))


def _name_of(path: str) -> str:
    """The last part of a path or URL, without its ending."""
    last = re.split(r"[?#]", path)[0] if "://" in path else path
    return Path(last).stem if is_plain_path(last) or "://" in path else ""


def _center(band: SceneBand) -> float | None:
    """Where a band lies, in micrometers; None for one that is too wide to stand for another."""
    if band.name == "pan":
        return None
    if band.wavelength is not None or band.name is None:
        return band.wavelength
    return COMMON_BANDS[band.name].center if band.name in COMMON_BANDS else None


def _why_not_opened(path: str, error: Exception) -> str:
    """Say why a raster does not open, and what to do."""
    plain = Path(path)
    if is_plain_path(path):
        if not plain.exists():
            return f"{path}: no such file"
        if plain.is_dir():
            return f"{path}: this is a folder and no raster; give a file in it"
        if plain.is_file() and plain.stat().st_size == 0:
            return f"{path}: the file is empty"
    hint = "; is a file missing that it refers to?" if plain.suffix.lower() == ".vrt" else ""
    return f"{path}: cannot be opened as a raster: {error}{hint}"


def _checked(bands: Mapping[str, int]) -> dict[str, int]:
    """Common names where there are any, and whole numbers."""
    for name, index in bands.items():
        if isinstance(index, bool) or not isinstance(index, int):
            raise BandError(f"a band is chosen by its index, from 1, got {name}={index!r}")
    return {spoken_name(name): index for name, index in bands.items()}
