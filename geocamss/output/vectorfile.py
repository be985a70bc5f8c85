"""Vector files: features in batches, into a GeoPackage, a GeoParquet file or a FlatGeobuf.

A file gets its name when it is whole, and replaces one that is there.
"""

from __future__ import annotations

import json
import sqlite3
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pyproj
import shapely
from pyogrio.errors import DataLayerError, DataSourceError
from rasterio.crs import CRS

from geocamss.classes import ClassScheme
from geocamss.errors import InputError, OutputError
from geocamss.output.disk import no_room
from geocamss.output.features import Features
from geocamss.output.style import embed_style

__all__ = ["FORMATS", "LAYER", "checked_target", "write_features"]

LAYER = "polygons"
"""The layer's name."""

# What GDAL takes for "no CRS, plane coordinates" in a GeoPackage.
_NO_CRS = 'LOCAL_CS["Undefined Cartesian SRS",UNIT["metre",1],AXIS["x",EAST],AXIS["y",NORTH]]'

_SPARE_BYTES = 1 << 20
"""With less than that, a disk is full: an index grows by such steps."""

_OPTIONS = {
    # Stands for the time of the last change, so that one map always gives the same bytes.
    "OGR_CURRENT_DATE": "2000-01-01T00:00:00.000Z",
    # A file that is not finished is thrown away, so it need not survive a crash on the way.
    "OGR_SQLITE_SYNCHRONOUS": "OFF",
    "OGR_SQLITE_JOURNAL": "MEMORY",
}


@dataclass(frozen=True)
class _Look:
    """What a file says of its features besides them."""

    crs: CRS | None
    scheme: ClassScheme | None
    numbers: Mapping[int, int] | None


def checked_target(target: Path) -> Path:
    """The file, if its name ends like one of the formats, and its folder is there.

    Raises:
        InputError: it does not.
        OutputError: there is no such folder.
    """
    if target.suffix.lower() not in FORMATS:
        raise InputError(
            f"{target}: polygons are written as {', '.join(FORMATS)}; end the name with one of them"
        )
    if not target.parent.is_dir():
        what = "is no folder" if target.parent.exists() else "does not exist"
        raise OutputError(f"{target}: {target.parent} {what}; make the folder, or choose another")
    return target


def write_features(
    batches: Iterable[Features],
    target: Path,
    crs: CRS | None,
    scheme: ClassScheme | None,
    numbers: Mapping[int, int] | None = None,
) -> Counter[int]:
    """Write features into a file whose name says the format.

    Args:
        batches: of features; at least one, maybe empty.
        target: the file.
        crs: of the coordinates.
        scheme: colors them, where the format has a place for that; None if there is no class.
        numbers: by class value, the number that the field ``class`` has for it, if another.

    Returns:
        Number of features of each number in the field ``class``.

    Raises:
        InputError: no such format.
        OutputError: the file cannot be written, or its folder is not there.
        DiskFullError: no room is left for it.
    """
    write = FORMATS[checked_target(target).suffix.lower()]
    part = target.with_name(f".{target.stem}.part{target.suffix.lower()}")
    _discard(part)
    written: Counter[int] = Counter()

    def counted() -> Iterator[Features]:
        for batch in batches:
            written.update(batch.fields["class"].tolist())
            yield batch

    try:
        write(counted(), part, target, _Look(crs, scheme, numbers))
        with _told(target):
            part.replace(target)
    finally:
        _discard(part)
    return written


def _discard(part: Path) -> None:
    for file in (part, part.with_name(f"{part.name}-journal")):
        try:
            file.unlink(missing_ok=True)
        except OSError:  # not a folder: the write says so
            continue


def _write_geopackage(batches: Iterator[Features], part: Path, target: Path, look: _Look) -> None:
    # Every program reads 32 bits; whatever a batch holds, all must fit in what the first one makes.
    short = all(abs(number) < 1 << 31 for number in (look.numbers or {}).values())
    for number, batch in enumerate(batches):
        fields = batch.fields
        if short:
            fields = fields | {"class": fields["class"].astype(np.int32)}
        geometry = shapely.to_wkb(batch.geometry)
        needed = _SPARE_BYTES + 2 * sum(len(shape) for shape in geometry)
        with _told(target, needed), _gdal_options():
            pyogrio.raw.write(
                part,
                geometry,
                list(fields.values()),
                list(fields),
                layer=LAYER,
                driver="GPKG",
                geometry_type="Polygon",
                crs=_crs_text(look.crs) or _NO_CRS,
                append=number > 0,
                dataset_options={"VERSION": "1.2"},  # GDAL before 3.7 warns about later ones
            )
    if look.scheme is not None:
        with _told(target):
            embed_style(part, LAYER, look.scheme, numbers=look.numbers)


def _write_parquet(batches: Iterator[Features], part: Path, target: Path, look: _Look) -> None:
    from pyarrow import parquet

    schema = _schema(covered=True)
    bounds = np.array([np.inf, np.inf, -np.inf, -np.inf])
    with _told(target):
        # Without Arrow's own copy of the schema, readers find what is said of the file in it.
        writer = parquet.ParquetWriter(part, schema, compression="zstd", store_schema=False)
    try:
        for batch in batches:
            if len(batch):
                box = shapely.total_bounds(batch.geometry)
                bounds[:2] = np.minimum(bounds[:2], box[:2])
                bounds[2:] = np.maximum(bounds[2:], box[2:])
            with _told(target):
                writer.write_batch(_record_batch(batch, schema))
        with _told(target):
            writer.add_key_value_metadata({"geo": json.dumps(_geo(look.crs, bounds))})
    finally:
        with _told(target):
            writer.close()


def _geo(crs: CRS | None, bounds: Any) -> dict[str, Any]:
    """Metadata by GeoParquet 1.1."""
    corners = ("xmin", "ymin", "xmax", "ymax")
    column: dict[str, Any] = {
        "encoding": "WKB",
        "geometry_types": ["Polygon"],
        "crs": None if crs is None else pyproj.CRS.from_user_input(crs).to_json_dict(),
        "orientation": "counterclockwise",
        "edges": "planar",
        "covering": {"bbox": {name: ["bbox", name] for name in corners}},
    }
    if np.isfinite(bounds).all():
        column["bbox"] = bounds.tolist()
    return {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}


def _write_flatgeobuf(batches: Iterator[Features], part: Path, target: Path, look: _Look) -> None:
    import pyarrow as pa

    schema = _schema(covered=False)
    failed: list[BaseException] = []

    def records() -> Iterator[Any]:
        # GDAL asks for the batches and could only say that there was an error, not which.
        try:
            for batch in batches:
                yield _record_batch(batch, schema)
        except BaseException as error:
            failed.append(error)
            raise

    reader = pa.RecordBatchReader.from_batches(schema, records())
    try:
        with _told(target), _gdal_options(), warnings.catch_warnings():
            if look.crs is None:
                warnings.filterwarnings("ignore", "'crs' was not provided", UserWarning)
            pyogrio.write_arrow(
                reader,
                part,
                layer=LAYER,
                driver="FlatGeobuf",
                geometry_name="geometry",
                geometry_type="Polygon",
                crs=_crs_text(look.crs),
            )
    except OutputError:
        if failed:
            raise failed[0] from None
        raise


def _schema(*, covered: bool) -> Any:
    import pyarrow as pa

    fields = [
        pa.field("class", pa.int64()),
        pa.field("name", pa.string()),
        pa.field("confidence", pa.float64()),
        pa.field("area_m2", pa.float64()),
        pa.field("perimeter_m", pa.float64()),
        pa.field("geometry", pa.binary()),
    ]
    if covered:
        corners = [(name, pa.float64()) for name in ("xmin", "ymin", "xmax", "ymax")]
        fields.append(pa.field("bbox", pa.struct(corners)))
    return pa.schema(fields)


def _record_batch(batch: Features, schema: Any) -> Any:
    import pyarrow as pa

    columns = [
        # From pandas' point of view NaN is what is not known.
        pa.array(values, schema.field(name).type, from_pandas=True)
        for name, values in batch.fields.items()
    ]
    columns.append(pa.array(shapely.to_wkb(batch.geometry), pa.binary()))
    if len(schema) > len(columns):
        box = shapely.bounds(batch.geometry).reshape(-1, 4)
        columns.append(
            pa.StructArray.from_arrays(
                [pa.array(box[:, k]) for k in range(4)], ["xmin", "ymin", "xmax", "ymax"]
            )
        )
    return pa.RecordBatch.from_arrays(columns, schema=schema)


FORMATS: dict[str, Callable[[Iterator[Features], Path, Path, _Look], None]] = {
    ".gpkg": _write_geopackage,
    ".parquet": _write_parquet,
    ".fgb": _write_flatgeobuf,
}
"""Ending of a file's name to what writes such files."""


def _crs_text(crs: CRS | None) -> str | None:
    if crs is None:
        return None
    authority = crs.to_authority()
    return ":".join(authority) if authority else str(crs.to_wkt())


@contextmanager
def _gdal_options() -> Iterator[None]:
    """Set ``_OPTIONS`` for a while."""
    before = {name: pyogrio.get_gdal_config_option(name) for name in _OPTIONS}
    pyogrio.set_gdal_config_options(_OPTIONS)
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options(before)


@contextmanager
def _told(target: Path, needed: int = _SPARE_BYTES) -> Iterator[None]:
    """Say plainly what a failed write of ``needed`` bytes means."""
    try:
        yield
    except (DataSourceError, DataLayerError, RuntimeError, sqlite3.Error, OSError) as error:
        # By then the file's library has given room back.
        full = no_room(target, needed) if target.parent.is_dir() else None
        if full is not None:
            raise full from error
        raise OutputError(
            f"{target}: cannot be written: {error}; choose another output folder"
        ) from error
