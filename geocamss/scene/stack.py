"""The files of a bundle laid on one grid, as a VRT in words: GDAL does the stacking, lazily.

Bands whose pixels are larger than the grid's are interpolated bilinearly where a whole even number
of the grid's pixels goes into each of theirs, and repeated otherwise. Both give a pixel the same
value in whichever window it is read, which GDAL's other resampling does not.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import groupby
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from affine import Affine
from rasterio.crs import CRS
from rasterio.enums import MaskFlags

from geocamss.errors import SceneError
from geocamss.scene.bundle import Bundle, BundleBand
from geocamss.scene.gdal import (
    GDAL_ERRORS,
    IMAGE_DRIVERS,
    gdal_environment,
    gdal_path,
    is_remote,
    open_raster,
)
from geocamss.scene.header import check_bounds
from geocamss.scene.quality import Quality
from geocamss.scene.stamp import layout_stamp, without_signature

__all__ = ["Stack", "lookup_table"]

AT_ONCE = 8
"""Servers are asked for so many headers side by side."""

NEAR = 1e-3
"""Of a pixel: grids whose pixels differ by less are the same."""

_TYPES: Mapping[str, str] = {
    "uint8": "Byte",
    "int8": "Int8",
    "uint16": "UInt16",
    "int16": "Int16",
    "uint32": "UInt32",
    "int32": "Int32",
    "uint64": "UInt64",
    "int64": "Int64",
    "float32": "Float32",
    "float64": "Float64",
    "complex_int16": "CInt16",
    "complex64": "CFloat32",
    "complex128": "CFloat64",
}
"""GDAL's names of numpy's types."""


@dataclass(frozen=True)
class _File:
    """What a file says of itself."""

    width: int
    height: int
    crs: CRS | None
    transform: Affine
    tied: bool
    dtypes: tuple[str, ...]
    blocks: tuple[tuple[int, int], ...]
    nodata: tuple[float | None, ...]
    masked: tuple[bool, ...]
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    layout: str

    @property
    def pixel(self) -> float:
        """Area of a pixel, in units of the CRS."""
        return abs(self.transform.determinant)

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """(left, bottom, right, top)."""
        t = self.transform
        return t.c, t.f + self.height * t.e, t.c + self.width * t.a, t.f

    @property
    def north_up(self) -> bool:
        t = self.transform
        return t.b == t.d == 0 and t.a > 0 > t.e

    def properties(self, band: int) -> str:
        """What a VRT says of a source, so that the file need not be opened to be known."""
        rows, cols = self.blocks[band - 1]
        return (
            f'<SourceProperties RasterXSize="{self.width}" RasterYSize="{self.height}" '
            f'DataType="{_TYPES[self.dtypes[band - 1]]}" BlockXSize="{cols}" BlockYSize="{rows}"/>'
        )

    def same_grid(self, other: _File) -> bool:
        """True if the pixels of both are the same places."""
        step = math.sqrt(self.pixel)
        apart = max(abs(a - b) for a, b in zip(self.transform, other.transform, strict=True))
        return (self.width, self.height) == (other.width, other.height) and apart < NEAR * step


@dataclass(frozen=True)
class _Layout:
    """The grid of a stack."""

    transform: Affine
    width: int
    height: int


@dataclass(frozen=True)
class Stack:
    """A bundle whose files have been looked at."""

    bundle: Bundle
    """Which bands lie where."""

    files: Mapping[str, _File]
    """What the files say of themselves, by path."""

    @classmethod
    def of(cls, bundle: Bundle) -> Stack:
        """Read the headers of all files.

        Raises:
            SceneError: one cannot be opened, or they do not fit together; says which.
        """
        paths = bundle.paths
        workers = AT_ONCE if any(is_remote(gdal_path(path)) for path in paths) else 1
        with ThreadPoolExecutor(workers, "geocamss-headers") as pool:
            facts = list(pool.map(lambda path: _look(bundle, path), paths))
        stack = cls(bundle, dict(zip(paths, facts, strict=True)))
        stack._check()
        return stack

    @property
    def said(self) -> tuple[str, ...]:
        """All that makes the stack what it is, but the files' own size and time."""
        told = [replace(p, path=without_signature(p.path)) for p in self.bundle.parts]
        return (*map(repr, told), *(file.layout for file in self.files.values()))

    def vrt(self, wanted: Collection[int] | None = None) -> str:
        """All bands on one grid: the finest of the wanted ones, where all those have pixels.

        Wanted are positions of bands, from 1; None leaves out those that stand apart.

        The quality layers follow the bands; their pixels are 0 where they are to be left out.
        """
        files = self._files(wanted)
        reference = min(files, key=lambda file: file.pixel)
        layout = self._layout(reference, files)
        lines = [f'<VRTDataset rasterXSize="{layout.width}" rasterYSize="{layout.height}">']
        if reference.crs is not None:
            lines.append(f"<SRS>{escape(reference.crs.to_wkt())}</SRS>")
        if not reference.transform.is_identity:
            numbers = ", ".join(repr(float(v)) for v in layout.transform.to_gdal())
            lines.append(f"<GeoTransform>{numbers}</GeoTransform>")
        lines += self._metadata()
        lines += [self._band(i, band, layout) for i, band in enumerate(self.bundle.bands, 1)]
        first = len(self.bundle.bands) + 1
        lines += [
            self._quality(i, layer, layout) for i, layer in enumerate(self.bundle.quality, first)
        ]
        return "\n".join([*lines, "</VRTDataset>"])

    def _files(self, wanted: Collection[int] | None) -> list[_File]:
        """The files of the bands that choose the grid."""
        bands = self.bundle.bands
        chosen = [
            self.files[band.path]
            for index, band in enumerate(bands, 1)
            if (not band.apart if wanted is None else index in wanted)
        ]
        return chosen or [self.files[band.path] for band in bands]

    def _check(self) -> None:
        source, files = self.bundle.source, self.files
        for part in self.bundle.parts:
            count = len(files[part.path].dtypes)
            if part.band > count:
                raise SceneError(
                    f"{source}: {part.path} has {count} bands, and band {part.band} is wanted"
                )
        (first, one), *others = files.items()
        for path, file in others:
            if file.crs != one.crs:
                raise SceneError(
                    f"{source}: {first} and {path} lie in different coordinate systems; warp one "
                    f"to the other, as with gdalwarp -t_srs EPSG:32633"
                )
        if all(file.same_grid(one) for file in files.values()):
            return
        for path, file in files.items():
            if not file.north_up or not file.tied:
                raise SceneError(
                    f"{source}: {path} lies on another grid than {first}, and its rows do not run "
                    "from west to east; warp it first, as with gdalwarp -t_srs EPSG:32633"
                )

    def _layout(self, reference: _File, files: Collection[_File]) -> _Layout:
        t = reference.transform
        needed = [*files, *(self.files[layer.path] for layer in self.bundle.quality)]
        if all(file.same_grid(reference) for file in needed):
            return _Layout(t, reference.width, reference.height)
        lefts, bottoms, rights, tops = zip(*(file.bounds for file in needed), strict=True)
        first_col = math.ceil((max(lefts) - t.c) / t.a - NEAR)
        first_row = math.ceil((min(tops) - t.f) / t.e - NEAR)
        last_col = math.floor((min(rights) - t.c) / t.a + NEAR)
        last_row = math.floor((max(bottoms) - t.f) / t.e + NEAR)
        width, height = last_col - first_col, last_row - first_row
        if width < 1 or height < 1:
            raise SceneError(
                f"{self.bundle.source}: its files have no ground in common: "
                f"{', '.join(list(self.files)[:20])}"
            )
        return _Layout(t * Affine.translation(first_col, first_row), width, height)

    def _metadata(self) -> list[str]:
        bundle = self.bundle
        tags = {
            "PLATFORM": bundle.platform,
            "ACQUISITION_DATETIME": bundle.datetime.isoformat() if bundle.datetime else "",
        }
        items = [_tag(key, value) for key, value in tags.items() if value]
        return ["<Metadata>", *items, "</Metadata>"] if items else []

    def _band(self, index: int, band: BundleBand, layout: _Layout) -> str:
        file = self.files[band.path]
        dtype = file.dtypes[band.band - 1]
        nodata = band.nodata if band.nodata is not None else file.nodata[band.band - 1]
        scale = band.scale if band.scale is not None else file.scales[band.band - 1]
        offset = band.offset if band.offset is not None else file.offsets[band.band - 1]
        lines = [f'<VRTRasterBand dataType="{_TYPES[dtype]}" band="{index}">']
        if band.wavelength is not None:
            tags = _tag("wavelength", repr(band.wavelength)), _tag("wavelength_units", "um")
            lines += ["<Metadata>", *tags, "</Metadata>"]
        lines.append(f"<Description>{escape(band.name)}</Description>")
        # repr: GDAL reads back the very number
        lines += [f"<Offset>{offset!r}</Offset>", f"<Scale>{scale!r}</Scale>"]
        holds = ""
        if nodata is not None and _fits(nodata, dtype):
            lines.append(f"<NoDataValue>{_number(nodata)}</NoDataValue>")
            holds = f"<NODATA>{_number(nodata)}</NODATA>"
        way = _resampling(file, layout)
        between = way == "bilinear" and holds and nodata != file.nodata[band.band - 1]
        lines.append(self._source(band, layout, holds, way, nodata=nodata if between else None))
        if file.masked[band.band - 1] and not holds:
            mask = self._source(band, layout, "", "near", mask=True)
            lines.append(
                f'<MaskBand><VRTRasterBand dataType="Byte">{mask}</VRTRasterBand></MaskBand>'
            )
        return "\n".join([*lines, "</VRTRasterBand>"])

    def _quality(self, index: int, layer: Quality, layout: _Layout) -> str:
        table = f"<LUT>{lookup_table(layer)}</LUT>"
        source = self._source(layer, layout, table, "near")
        return (
            f'<VRTRasterBand dataType="Byte" band="{index}">\n'
            f"<Description>quality</Description>\n{source}\n</VRTRasterBand>"
        )

    def _source(
        self,
        part: BundleBand | Quality,
        layout: _Layout,
        extra: str,
        way: str,
        *,
        mask: bool = False,
        nodata: float | None = None,
    ) -> str:
        """Where the pixels of a band, or its mask, come from, and where they go.

        Args:
            part: which band.
            layout: the grid of the stack.
            extra: what else stands in the source.
            way: GDAL's name of the resampling.
            mask: whether it is the band's mask that is wanted.
            nodata: what the file does not declare itself, and must have no share in what is
                interpolated: GDAL looks for it in the file alone.
        """
        file = self.files[part.path]
        t, g = file.transform, layout.transform
        wide, high = file.width, file.height
        place = (0.0, 0.0, float(layout.width), float(layout.height))
        if file.north_up and ((wide, high) != (layout.width, layout.height) or t != g):
            place = ((t.c - g.c) / g.a, (t.f - g.f) / g.e, wide * t.a / g.a, high * t.e / g.e)
        x, y, w, h = (round(v, 6) for v in place)
        name, number = gdal_path(part.path), f"{'mask,' * mask}{part.band}"
        if nodata is not None:
            name, number = _declaring(name, part.band, file, nodata), "1"
        return (
            f"<ComplexSource resampling={quoteattr(way)}>{_file_name(name)}"
            f"<SourceBand>{number}</SourceBand>{file.properties(part.band)}"
            f'<SrcRect xOff="0" yOff="0" xSize="{wide}" ySize="{high}"/>'
            f'<DstRect xOff="{x!r}" yOff="{y!r}" xSize="{w!r}" ySize="{h!r}"/>'
            f"{extra}</ComplexSource>"
        )


def _file_name(name: str) -> str:
    """Each band opens its own handle: those that GDAL shares are not made for several threads."""
    return f'<SourceFilename relativeToVRT="0" shared="0">{escape(name)}</SourceFilename>'


def _declaring(name: str, band: int, file: _File, nodata: float) -> str:
    """One band of a file as a VRT in words, which declares a nodata value."""
    dtype = _TYPES[file.dtypes[band - 1]]
    return (
        f'<VRTDataset rasterXSize="{file.width}" rasterYSize="{file.height}">'
        f'<VRTRasterBand dataType="{dtype}" band="1"><NoDataValue>{_number(nodata)}</NoDataValue>'
        f"<SimpleSource>{_file_name(name)}<SourceBand>{band}</SourceBand>{file.properties(band)}"
        "</SimpleSource></VRTRasterBand></VRTDataset>"
    )


@lru_cache(maxsize=16)
def lookup_table(layer: Quality) -> str:
    """A VRT's table from a quality number to 255, or to 0 for what is left out.

    GDAL interpolates between entries and keeps the last beyond them, so that the two ends of each
    run of equal answers make a table that is exact for all whole numbers.
    """
    most = 2**16 if layer.bits else max(layer.values, default=0) + 2
    entries = []
    for out, run in groupby(range(most), layer.leaves_out):
        numbers = list(run)
        value = 0 if out else 255
        entries += [f"{n}:{value}" for n in dict.fromkeys((numbers[0], numbers[-1]))]
    return ",".join(entries)


def _look(bundle: Bundle, path: str) -> _File:
    """Read a file's header."""
    name = gdal_path(path)
    drivers = () if bundle.trusted else IMAGE_DRIVERS
    with gdal_environment(name):
        try:
            dataset = open_raster(name, drivers=drivers)
        except (*GDAL_ERRORS, OSError, ValueError, TypeError) as error:
            where = "" if path == bundle.source else f"{bundle.source}: "
            raise SceneError(f"{where}{path}: cannot be opened as a raster: {error}") from error
        with dataset:
            check_bounds(path, dataset)
            flags = dataset.mask_flag_enums
            return _File(
                width=dataset.width,
                height=dataset.height,
                crs=dataset.crs,
                transform=dataset.transform,
                tied=not dataset.transform.is_identity,
                dtypes=tuple(dataset.dtypes),
                blocks=tuple(dataset.block_shapes),
                nodata=tuple(dataset.nodatavals),
                masked=tuple(
                    MaskFlags.all_valid not in f and MaskFlags.nodata not in f for f in flags
                ),
                scales=tuple(map(float, dataset.scales)),
                offsets=tuple(map(float, dataset.offsets)),
                layout=layout_stamp(dataset) if is_remote(name) else "",
            )


def _resampling(file: _File, layout: _Layout) -> str:
    """How a file's pixels come onto the grid; see above."""
    if not file.north_up:  # the grid is the file's own
        return "near"
    t, g = file.transform, layout.transform
    steps = (t.a / g.a, t.e / g.e)
    starts = ((t.c - g.c) / g.a, (t.f - g.f) / g.e)
    even = all(s > 1.5 and abs(s / 2 - round(s / 2)) < 1e-9 for s in steps)
    aligned = all(abs(start - round(start)) < 1e-6 for start in starts)
    return "bilinear" if even and aligned and file.tied else "near"


def _fits(value: float, dtype: str) -> bool:
    """True for a nodata value that a type can hold."""
    kind = np.dtype(dtype) if dtype != "complex_int16" else np.dtype("complex64")
    if kind.kind in "fc":
        return True
    limits = np.iinfo(kind)
    return math.isfinite(value) and value == int(value) and limits.min <= value <= limits.max


def _number(value: float) -> str:
    return repr(int(value)) if math.isfinite(value) and value == int(value) else repr(value)


def _tag(key: str, value: str) -> str:
    return f"<MDI key={quoteattr(key)}>{escape(value)}</MDI>"
