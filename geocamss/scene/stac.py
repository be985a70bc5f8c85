"""STAC documents, from files and servers, and searches: all down to their items."""

from __future__ import annotations

import http.client
import json
import math
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geocamss.errors import InputError, SceneError
from geocamss.scene.gdal import is_remote
from geocamss.scene.items import resolve_href

__all__ = ["StacSearch", "is_json", "read_items"]

MOST_BYTES = 256 * 2**20
"""No document is larger."""

MOST_DOCUMENTS = 100_000
"""More are taken for a catalog without end."""

TIMEOUT = 30.0
"""Seconds that a server has to answer."""

RETRIES = 3
"""How often a server that stumbles is asked again."""

Found = tuple[Mapping[str, Any], str]
"""An item, and the file or URL from which its links start."""


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

    def items(self) -> Iterator[Found]:
        """Ask, page by page.

        Raises:
            InputError: the server does not answer, or not as an API does.
        """
        import pystac_client
        import requests
        from pystac.errors import STACError
        from pystac_client.exceptions import APIError, ParametersError
        from pystac_client.stac_api_io import StacApiIO

        count = 0
        try:
            io = StacApiIO(max_retries=RETRIES, timeout=TIMEOUT)
            client = pystac_client.Client.open(self.url, stac_io=io)
            # Every API should take both, and some stumble over the lists in a GET.
            methods = {link.extra_fields.get("method") for link in client.get_links("search")}
            search = client.search(
                collections=list(self.collections) or None,
                bbox=self.bbox,
                datetime=self.datetime,
                method="POST" if "POST" in methods else "GET",
            )
            for item in search.items_as_dicts():
                if not self._clear(item):
                    continue
                yield item, _address(item, self.url)
                count += 1
                if count == self.limit:
                    return
        except (APIError, ParametersError, NotImplementedError, STACError) as error:
            raise InputError(f"{self.url}: the search fails: {error}") from error
        except (requests.RequestException, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{self.url}: no STAC API answers there: {error}") from error

    def _clear(self, item: Mapping[str, Any]) -> bool:
        cover = (item.get("properties") or {}).get("eo:cloud_cover")
        if self.max_cloud is None or not isinstance(cover, (int, float)):
            return True
        return cover <= self.max_cloud


def is_json(path: str) -> bool:
    """True for the name of a document."""
    plain = urllib.parse.urlsplit(path).path if "://" in path else path
    return plain.lower().endswith((".json", ".geojson"))


def read_items(path: str) -> Iterator[Found]:
    """All items of a document: an item, an item collection, a collection or a catalog.

    A catalog is walked down; each document is read once.

    Raises:
        SceneError: a document cannot be read, or is none.
    """
    todo, seen = [path], set()
    while todo:
        where = todo.pop()
        if where in seen:
            continue
        seen.add(where)
        if len(seen) > MOST_DOCUMENTS:
            raise SceneError(f"{path}: leads to more than {MOST_DOCUMENTS:,} documents")
        document = _read(where)
        kind = document.get("type")
        if kind == "Feature":
            yield document, where
        elif kind == "FeatureCollection":
            features = document.get("features")
            if not isinstance(features, list) or not all(isinstance(f, dict) for f in features):
                raise SceneError(f"{where}: has no list of items")
            for item in features:
                yield item, _address(item, where)
        elif kind in ("Catalog", "Collection"):
            todo += reversed(_children(document, where))
        else:
            raise SceneError(f"{where}: is no STAC item, collection or catalog: type {kind!r}")


def _children(document: Mapping[str, Any], where: str) -> list[str]:
    links = document.get("links")
    if not isinstance(links, list) or not all(isinstance(link, dict) for link in links):
        raise SceneError(f"{where}: has no list of links")
    leading = [link.get("href") for link in links if link.get("rel") in ("child", "item")]
    found = [resolve_href(href, where) for href in leading]
    return [path if is_remote(path) else os.path.normpath(path) for path in found]


def _address(item: Mapping[str, Any], where: str) -> str:
    """Where an item lies: at its own URL if it tells one, else with the document that holds it.

    No item has a file of this machine for its address: its assets would start from there.
    """
    links = item.get("links")
    for link in links if isinstance(links, list) else ():
        if isinstance(link, dict) and link.get("rel") == "self":
            try:
                own = resolve_href(link.get("href"), where)
            except SceneError:
                return where
            return own if is_remote(own) else where
    return where


def _read(where: str) -> Mapping[str, Any]:
    try:
        if is_remote(where):
            if not where.lower().startswith(("http://", "https://")):
                raise SceneError(f"{where}: documents are read from files and by http")
            request = urllib.request.Request(where)  # noqa: S310 (http only, see above)
            with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:  # noqa: S310
                data = answer.read(MOST_BYTES + 1)
        else:
            with Path(where).open("rb") as file:
                data = file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise SceneError(f"{where}: is larger than any STAC document")
        document = json.loads(data)
    except (urllib.error.URLError, OSError, http.client.HTTPException) as error:
        raise SceneError(f"{where}: cannot be read: {error}") from error
    except (ValueError, RecursionError) as error:
        raise SceneError(f"{where}: is no JSON: {error}") from error
    if not isinstance(document, dict):
        raise SceneError(f"{where}: is no STAC item, collection or catalog")
    return document
