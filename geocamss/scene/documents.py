"""Documents in JSON, out of files and from servers."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from geocamss.errors import SceneError
from geocamss.scene.gdal import is_remote
from geocamss.scene.server import ask

__all__ = ["STUMBLES", "TIMEOUT", "WAITS", "Documents"]

MOST_BYTES = 256 * 2**20
"""No document is larger."""

TIMEOUT = 30.0
"""Seconds that a server has to answer."""

WAITS = (1.0, 2.0, 4.0)
"""Seconds before a server that stumbles is asked again."""

STUMBLES = frozenset((429, 502, 503, 504))
"""What a server answers that may answer well a little later."""


class Documents:
    """Reads documents. A server that has fallen silent is not waited for again."""

    def __init__(self) -> None:
        self._silent: set[str] = set()

    def read(self, where: str) -> Mapping[str, Any]:
        """A document.

        Raises:
            SceneError: it cannot be read, or is none.
        """
        try:
            data = self._fetched(where) if is_remote(where) else _stored(where)
            if len(data) > MOST_BYTES:
                raise SceneError(f"{where}: is larger than any STAC document")
            document = json.loads(data)
        except (OSError, http.client.HTTPException) as error:
            raise SceneError(f"{where}: cannot be read: {error}") from error
        except (ValueError, RecursionError) as error:
            raise SceneError(f"{where}: is no JSON: {error}") from error
        if not isinstance(document, dict):
            raise SceneError(f"{where}: is no STAC item, collection or catalog")
        return document

    def _fetched(self, where: str) -> bytes:
        """The bytes of a URL."""
        if not where.lower().startswith(("http://", "https://")):
            raise SceneError(f"{where}: documents are read from files and by http")
        server = urllib.parse.urlsplit(where).netloc
        if server in self._silent:
            raise SceneError(f"{where}: cannot be read: its server has fallen silent")
        try:
            return ask(where, _whole, timeout=TIMEOUT, waits=WAITS, stumbles=STUMBLES)
        except urllib.error.HTTPError:
            raise
        except (OSError, http.client.HTTPException):
            self._silent.add(server)
            raise


def _whole(answer: http.client.HTTPResponse) -> bytes:
    """All that a server says, unless that is too much.

    Raises:
        http.client.IncompleteRead: it has said less than it had promised.
    """
    data = answer.read(MOST_BYTES + 1)
    if answer.length and len(data) <= MOST_BYTES:
        raise http.client.IncompleteRead(data, answer.length)
    return data


def _stored(where: str) -> bytes:
    """The bytes of a file."""
    with Path(where).open("rb") as file:
        return file.read(MOST_BYTES + 1)
