"""STAC documents, from files and servers, and searches: all down to their items."""

from __future__ import annotations

import datetime as dt
import math
import os
import re
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from geocamss.errors import GeocamssError, InputError, RunError, SceneError
from geocamss.scene.documents import STUMBLES, TIMEOUT, WAITS, Documents
from geocamss.scene.gdal import is_remote, quiet
from geocamss.scene.items import resolve_href

if TYPE_CHECKING:
    from pystac_client import ItemSearch
    from pystac_client.exceptions import APIError

__all__ = ["Entry", "StacSearch", "is_json", "read_items"]

MOST_DOCUMENTS = 100_000
"""More are taken for a catalog without end."""

PAGE = 100
"""Items that a search asks for at once. Many servers give ten to those that do not say."""

MOST_REPEATED = 1000
"""So many items, one after another, that were all there before: a search that goes in circles."""

MOMENT = re.compile(
    r"[0-9]{4}(-[0-9]{2}(-[0-9]{2}(T[0-9]{2}(:[0-9]{2}){2}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})?)?)?)?"
)
"""A moment as an API is asked for it: a year, a month, a day or a second."""


@dataclass(frozen=True)
class Entry:
    """An item that a catalog or a search leads to, or a link of it that leads to none."""

    item: Mapping[str, Any]
    """As JSON has it; empty where it cannot be read, or is no object."""

    base: str
    """The file or URL from which its links start, and where it is for messages."""

    problem: str = ""
    """Why it cannot be read; empty where it can."""


@dataclass(frozen=True)
class StacSearch:
    """What to ask a STAC API for."""

    url: str
    """Where the API starts."""

    collections: tuple[str, ...] = ()
    """Names of collections; none means all."""

    bbox: tuple[float, float, float, float] | None = None
    """(west, south, east, north) in degrees; west may be larger than east, across the
    antimeridian."""

    datetime: str | None = None
    """A moment or a range, as in ``2024-05-01/2024-09-30``."""

    max_cloud: float | None = None
    """Most clouds, in percent; items that do not say are kept."""

    limit: int | None = None
    """At most so many items."""

    def __post_init__(self) -> None:
        if not self.url.lower().startswith(("http://", "https://")):
            raise InputError(f"a STAC API is named by its URL, got {self.url!r}")
        if self.bbox is not None:
            west, south, east, north = self.bbox
            whole = all(map(math.isfinite, self.bbox))
            if not (whole and -90 <= south <= north <= 90 and max(abs(west), abs(east)) <= 180):
                raise InputError(f"a bbox is west,south,east,north in degrees, got {self.bbox}")
        if self.max_cloud is not None and not 0 <= self.max_cloud <= 100:
            raise InputError(f"clouds are 0 to 100 percent, got {self.max_cloud}")
        if self.limit is not None and self.limit < 1:
            raise InputError(f"a limit is 1 or more, got {self.limit}")
        if self.datetime is not None and not _is_time(self.datetime):
            raise InputError(
                "a datetime is a moment such as 2024, 2024-05, 2024-05-01 or 2024-05-01T10:00:00Z, "
                f"or two of them as START/END, of which one may be .., got {self.datetime!r}"
            )

    def items(self) -> Iterator[Entry]:
        """Ask, page by page.

        Raises:
            RunError: the server is down: it does not answer, or fails.
            InputError: it refuses the search, or does not answer as an API does.
        """
        from pystac.errors import STACError
        from pystac_client.exceptions import APIError, ParametersError
        from pystac_client.warnings import DoesNotConformTo

        count = 0
        try:
            for found in self._new(self._asked().items_as_dicts()):
                entry = _entry(found, self.url)
                if not self._clear(entry.item):
                    continue
                yield entry
                count += 1
                if count == self.limit:
                    return
        except APIError as error:
            raise self._ended(error) from error
        except (ParametersError, NotImplementedError, STACError) as error:
            raise InputError(f"{self.url}: the search fails: {error}") from error
        except DoesNotConformTo as error:
            raise InputError(f"{self.url}: has no search: {error}") from error
        except (
            *(OSError, RecursionError, ValueError),
            *(LookupError, TypeError, AttributeError),
        ) as error:
            raise InputError(f"{self.url}: no STAC API answers there: {error}") from error

    def _new(self, items: Iterable[Any]) -> Iterator[Any]:
        """Items, until they only come again.

        Raises:
            InputError: that is so; whoever links a page to one before it has no last one.
        """
        seen: set[str] = set()
        repeated = 0
        for item in items:
            name = repr((item.get("collection"), item.get("id"))) if isinstance(item, dict) else ""
            repeated = repeated + 1 if name in seen else 0
            if repeated > MOST_REPEATED:
                raise InputError(
                    f"{self.url}: the search goes in circles: after {len(seen):,} items the same "
                    "ones come again and again; ask for fewer with --limit"
                )
            seen.add(name)
            yield item

    def _asked(self) -> ItemSearch:
        """The search, before its first page."""
        import pystac_client
        from pystac_client.stac_api_io import StacApiIO
        from pystac_client.warnings import PystacClientWarning
        from urllib3 import Retry

        patience = Retry(
            len(WAITS),
            status_forcelist=STUMBLES,
            allowed_methods=None,  # searches change nothing, by POST no more than by GET
            backoff_factor=WAITS[0],
            respect_retry_after_header=False,  # that may be hours
        )
        with quiet(PystacClientWarning):
            io = StacApiIO(max_retries=patience, timeout=TIMEOUT)
            client = pystac_client.Client.open(self.url, stac_io=io)
            links = client.get_links("search")
            if links:  # some do not say what they conform to
                client.add_conforms_to("ITEM_SEARCH")
            # Every API should take both, and some stumble over the lists in a GET.
            methods = {link.extra_fields.get("method") for link in links}
            # Of those that clouds leave out nothing is known: the limit may be pages away.
            page = PAGE if self.max_cloud is not None else min(self.limit or PAGE, PAGE)
            return client.search(
                collections=list(self.collections) or None,
                bbox=self.bbox,
                datetime=self.datetime,
                limit=page,
                method="POST" if "POST" in methods else "GET",
            )

    def _ended(self, error: APIError) -> GeocamssError:
        """What it means that a search ends so: nobody's mistake if the server is down."""
        said = f"{self.url}: the search fails: {error}"
        status = getattr(error, "status_code", None) or 0
        # The client tells what it met while it waited by that alone. A URL that is none is met
        # as well; it is a wrong value besides.
        met = error.__context__
        silent = isinstance(met, OSError) and not isinstance(met, ValueError)
        if silent or status >= 500 or status in (*STUMBLES, 408):
            return RunError(f"{said}; if the address is right, try again later")
        return InputError(said)

    def _clear(self, item: Mapping[str, Any]) -> bool:
        properties = item.get("properties")
        cover = properties.get("eo:cloud_cover") if isinstance(properties, dict) else None
        if self.max_cloud is None or not isinstance(cover, (int, float)):
            return True
        return cover <= self.max_cloud


def is_json(path: str) -> bool:
    """True for the name of a document."""
    plain = urllib.parse.urlsplit(path).path if "://" in path else path
    return plain.lower().endswith((".json", ".geojson"))


def read_items(path: str) -> Iterator[Entry]:
    """All items of a document: an item, an item collection, a collection or a catalog.

    A catalog is walked down; each document is read once. One that cannot be read is an entry with
    its problem, and keeps none of the others from being read.

    Raises:
        SceneError: the catalog has no end.
    """
    documents = Documents()
    todo: list[tuple[Any, str]] = [(path, "")]
    seen: set[str] = set()
    while todo:
        href, holder = todo.pop()
        where = f"{holder}#{href!s:.200}" if holder else path
        try:
            where = _target(href, holder) if holder else path
            if where in seen:
                continue
            seen.add(where)
            entries, links = _parts(documents.read(where), where)
        except SceneError as error:
            entries, links = [Entry({}, where, str(error))], []
        yield from entries
        todo += [(link, where) for link in reversed(links)]
        if len(seen) > MOST_DOCUMENTS:
            raise SceneError(f"{path}: leads to more than {MOST_DOCUMENTS:,} documents")


def _parts(document: Mapping[str, Any], where: str) -> tuple[list[Entry], list[Any]]:
    """The items in a document, and the links to others."""
    kind = document.get("type")
    if kind == "Feature":
        return [Entry(document, where)], []
    if kind == "FeatureCollection":
        features = document.get("features")
        if not isinstance(features, list):
            raise SceneError(f"{where}: has no list of items")
        return [_entry(feature, where) for feature in features], []
    if kind not in ("Catalog", "Collection"):
        raise SceneError(f"{where}: is no STAC item, collection or catalog: type {kind!r}")
    links = document.get("links")
    if not isinstance(links, list) or not all(isinstance(link, dict) for link in links):
        raise SceneError(f"{where}: has no list of links")
    return [], [link.get("href") for link in links if link.get("rel") in ("child", "item")]


def _target(href: Any, holder: str) -> str:
    """Where a link of a catalog leads, spelled alike for all links that lead there."""
    path = resolve_href(href, holder)
    return path if is_remote(path) else os.path.normpath(path)


def _entry(found: Any, where: str) -> Entry:
    """One of the items in a document or an answer."""
    item = found if isinstance(found, dict) else {}
    return Entry(item, _address(item, where))


def _address(item: Mapping[str, Any], where: str) -> str:
    """Where an item lies: at its own URL if it tells one, else with the document that holds it.

    No item has a file of this machine for its address: its assets would start from there.
    """
    links = item.get("links")
    for link in links if isinstance(links, list) else ():
        if isinstance(link, dict) and link.get("rel") == "self":
            href = link.get("href")
            try:
                own = resolve_href(href, where) if isinstance(href, str) else where
            except SceneError:
                return where
            return own if is_remote(own) else where
    return where


def _is_time(text: str) -> bool:
    """True for a moment, or for a range with at least one end."""
    parts = text.split("/")
    ends = [part for part in parts if len(parts) == 1 or part not in ("", "..")]
    return 0 < len(ends) <= len(parts) <= 2 and all(map(_is_moment, ends))


def _is_moment(text: str) -> bool:
    """True for what ``MOMENT`` describes, if the calendar has it."""
    if not MOMENT.fullmatch(text.upper()):
        return False
    day, second = text[:10], text[10:].upper()
    try:
        dt.datetime.fromisoformat(f"{day}{'-01-01'[len(day) - 4 :]}{second}")
    except ValueError:
        return False
    return True
