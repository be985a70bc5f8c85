"""HTTP servers on this machine, for tests: they count what they are asked, and fail on request."""

from __future__ import annotations

import email.utils
import hashlib
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit


class FileServer:
    """Serves the files of a folder, whole or in ranges.

    ``fail`` says what goes wrong: it is given the path and how often it was asked before, and
    answers None, a status, ``"stall"``, ``"truncate"`` or ``"drop"``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[tuple[str, str, str | None]] = []
        self.sent = 0
        self.fail: Callable[[str, int], int | str | None] = lambda _path, _count: None
        self.stall = 120.0
        self.etags = True
        self.stopped = threading.Event()
        self._lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None: ...

            def do_HEAD(self) -> None:
                server.answer(self, body=False)

            def do_GET(self) -> None:
                server.answer(self, body=True)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # clients hang up; that is their right
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.stopped.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def ranges(self, name: str) -> list[str]:
        """The ranges of a file that were asked for."""
        return [
            span for method, path, span in self.asked if method == "GET" and span and name in path
        ]

    def answer(self, handler: BaseHTTPRequestHandler, *, body: bool) -> None:
        path = urlsplit(handler.path).path
        span = handler.headers.get("Range")
        with self._lock:
            count = sum(path == known for _, known, _ in self.asked)
            self.asked.append((handler.command, path, span))
        trouble = self.fail(path, count)
        if isinstance(trouble, int):
            self._plain(handler, trouble, b"out of order")
            return
        file = self.folder / path.lstrip("/")
        if not file.is_file():
            self._plain(handler, 404, b"not here")
            return
        data = file.read_bytes()
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", span or "")
        start = int(found[1]) if found else 0
        stop = min(int(found[2]) + 1, len(data)) if found and found[2] else len(data)
        if start >= len(data):
            self._plain(handler, 416, b"")
            return
        handler.send_response(206 if found else 200)
        if found:
            handler.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(data)}")
        if self.etags:
            handler.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
            changed = email.utils.formatdate(file.stat().st_mtime, usegmt=True)
            handler.send_header("Last-Modified", changed)
        handler.send_header("Accept-Ranges", "bytes")
        handler.send_header("Content-Length", str(stop - start))
        handler.end_headers()
        if body:
            self._send(handler, data[start:stop], trouble)

    def _send(self, handler: BaseHTTPRequestHandler, part: bytes, trouble: str | None) -> None:
        if trouble is None:
            self.sent += len(part)
            handler.wfile.write(part)
            return
        handler.close_connection = True
        if trouble != "drop":
            handler.wfile.write(part[: len(part) // 2])
            handler.wfile.flush()
        if trouble == "stall":
            self.stopped.wait(self.stall)

    @staticmethod
    def _plain(handler: BaseHTTPRequestHandler, status: int, text: bytes) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(text)))
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(text)


@contextmanager
def serving(folder: Path) -> Iterator[FileServer]:
    server = FileServer(folder)
    try:
        yield server
    finally:
        server.close()


@contextmanager
def serving_apart(folder: Path) -> Iterator[str]:
    """The same from a process of its own, for what holds Python still while it waits."""
    code = (
        "import sys, pathlib; from tests.servers import FileServer; "
        "print(FileServer(pathlib.Path(sys.argv[1])).url, flush=True); sys.stdin.read()"
    )
    root = Path(__file__).parents[1]
    with subprocess.Popen(
        [sys.executable, "-c", code, str(folder)],
        cwd=root,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


class StacServer:
    """A small STAC API: landing page, collections and search, two items a page."""

    PAGE = 2

    def __init__(self, items: list[Any]) -> None:
        self.items = items
        self.asked: list[str] = []
        self.broken = False
        self.stumbles = 0  # so often a page after the first is not to be had
        self.conforms = True  # False: it does not say to what
        self.searches = True  # False: it has no search
        self.circles = False  # True: its last page leads to the first
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None: ...

            def do_GET(self) -> None:
                server.asked.append(self.path)
                status, answer = server.answer(self.path)
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/geo+json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/stac"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, where: str) -> tuple[int, dict[str, Any]]:
        parts = urlsplit(where)
        asked = {key: values[0] for key, values in parse_qs(parts.query).items()}
        if parts.path == "/stac":
            return 200, self.landing()
        if self.stumbles and "token" in asked:
            self.stumbles -= 1
            return 503, {"code": "x", "description": "busy"}
        if parts.path == "/stac/search" and not self.broken:
            return 200, self.search(asked)
        return (500 if self.broken else 404), {"code": "x", "description": "nothing here"}

    def landing(self) -> dict[str, Any]:
        kinds = ("core", "item-search", "collections")
        search = {
            "rel": "search",
            "href": f"{self.url}/search",
            "type": "application/geo+json",
            "method": "GET",
        }
        uris = [f"https://api.stacspec.org/v1.0.0/{kind}" for kind in kinds]
        return {
            "type": "Catalog",
            "id": "test",
            "stac_version": "1.0.0",
            "description": "a test",
            **({"conformsTo": uris} if self.conforms else {}),
            "links": [
                {"rel": "self", "href": self.url, "type": "application/json"},
                {"rel": "root", "href": self.url, "type": "application/json"},
                *([search] if self.searches else []),
            ],
        }

    def search(self, asked: dict[str, str]) -> dict[str, Any]:
        found = [item for item in self.items if self._fits(item, asked)]
        start = int(asked.get("token", 0))
        page = found[start : start + self.PAGE]
        links = []
        after = start + self.PAGE
        if self.circles or after < len(found):
            token = after if after < len(found) else 0
            query = "&".join(f"{k}={v}" for k, v in {**asked, "token": token}.items())
            links = [{"rel": "next", "href": f"{self.url}/search?{query}", "method": "GET"}]
        return {"type": "FeatureCollection", "features": page, "links": links}

    @staticmethod
    def _fits(item: dict[str, Any] | None, asked: dict[str, str]) -> bool:
        if item is None:
            return True
        if "collections" in asked and item["collection"] not in asked["collections"].split(","):
            return False
        if "bbox" in asked:
            west, south, east, north = map(float, asked["bbox"].split(","))
            box = item["bbox"]
            if box[0] > east or box[2] < west or box[1] > north or box[3] < south:
                return False
        if "datetime" in asked:
            first, last = asked["datetime"].split("/")
            return first <= item["properties"]["datetime"] <= last
        return True


@contextmanager
def stac_api(items: list[Any]) -> Iterator[StacServer]:
    server = StacServer(items)
    try:
        yield server
    finally:
        server.close()


def wait_until(done: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait for something that another thread does."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.02)
