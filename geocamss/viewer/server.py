"""The server of a map's page and tiles, for this machine alone."""

from __future__ import annotations

import errno
import json
import re
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from geocamss.errors import GeocamssError, InputError
from geocamss.viewer.tiles import SIDE, Tiles

__all__ = ["MapServer"]

HOST = "127.0.0.1"
"""Nobody else can reach it."""

TILE = re.compile(r"/tiles/(scene|classes|confidence)/(\d{1,9})/(\d{1,9})/(\d{1,9})\.png")


class MapServer(ThreadingHTTPServer):
    """Answers with the page, tiles and pixels of one map; it has no other files to give."""

    daemon_threads = True

    def __init__(self, tiles: Tiles, port: int = 0) -> None:
        """Take a port.

        Args:
            tiles: of the map; to be closed by whoever made them.
            port: where to listen; 0 takes a free one.

        Raises:
            InputError: the port is in use, or may not be used.
        """
        self.tiles = tiles
        self.html = tiles.viewed.page.served(tiles.levels, SIDE, tiles.viewed.layers).encode()
        try:
            super().__init__((HOST, port), _Handler)
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
            why = "in use" if error.errno == errno.EADDRINUSE else "not open to you"
            raise InputError(
                f"port {port} is {why}; choose another with --port, or leave it away for a free one"
            ) from error

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{HOST}:{self.server_port}/"

    @property
    def hosts(self) -> tuple[str, ...]:
        """The names that it answers to: pages of other names could else read the map through it."""
        return f"{HOST}:{self.server_port}", f"localhost:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: MapServer
    protocol_version = "HTTP/1.1"
    server_version = "geocamss"
    sys_version = ""
    timeout = 120

    def do_GET(self) -> None:
        """Answer a request."""
        try:
            if self.headers.get("Host", "") not in self.server.hosts:
                self._say(HTTPStatus.FORBIDDEN, "this server answers to its own address alone")
            else:
                self._route()
        except GeocamssError as error:
            self._say(HTTPStatus.INTERNAL_SERVER_ERROR, str(error))
        except ConnectionError:  # the browser has moved on
            self.close_connection = True

    def _route(self) -> None:
        place = urlsplit(self.path)
        if place.path == "/":
            self._send(HTTPStatus.OK, "text/html; charset=utf-8", self.server.html)
        elif found := TILE.fullmatch(place.path):
            step, column, row = map(int, found.groups()[1:])
            tile = self.server.tiles.tile(found[1], step, column, row)
            if tile is None:
                self._say(HTTPStatus.NOT_FOUND, "there is no such tile")
            else:
                self._send(HTTPStatus.OK, "image/png", tile)
        elif place.path == "/pixel":
            self._pixel(parse_qs(place.query))
        else:
            self._say(HTTPStatus.NOT_FOUND, "there is nothing here but the map")

    def _pixel(self, query: dict[str, list[str]]) -> None:
        numbers = [query.get(name, [""])[0] for name in ("column", "row")]
        if not all(re.fullmatch(r"\d{1,9}", number) for number in numbers):
            self._say(HTTPStatus.BAD_REQUEST, "a pixel has a column and a row, from 0")
            return
        found = self.server.tiles.pixel(int(numbers[0]), int(numbers[1]))
        if found is None:
            self._say(HTTPStatus.NOT_FOUND, "the pixel lies outside of the map")
        else:
            self._send(HTTPStatus.OK, "application/json", json.dumps(found).encode())

    def _say(self, status: HTTPStatus, text: str) -> None:
        self._send(status, "text/plain; charset=utf-8", text.encode())

    def _send(self, status: HTTPStatus, kind: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (http.server's name)
        """Say nothing: the terminal belongs to the command."""
