"""A small web site and model hub on this machine, which break, lie and linger where a test says so."""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Page:
    """What an address answers.

    breaks: after so many bytes the connection breaks, once each.   refuses: statuses that come first, once each.
    ranges: whether parts can be asked for.   silence: seconds before an answer.   pause: between two pieces of 64 kB.
    length: whether the size is said.   leads_to: a redirection.
    """

    data: bytes = b""
    status: int = 200
    tag: str = '"v1"'
    kind: str = "application/octet-stream"
    headers: dict[str, str] = field(default_factory=dict)
    breaks: list[int] = field(default_factory=list)
    refuses: list[int] = field(default_factory=list)
    ranges: bool = True
    length: bool = True
    silence: float = 0.0
    pause: float = 0.0
    leads_to: str = ""


@dataclass
class Asked:
    """One request, and the bytes of the body that were sent."""

    path: str
    range: str | None
    token: str | None
    sent: int = 0


class Site:
    """Pages by their path, and what was asked for."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self.pages: dict[str, Page] = {}
        self.asked: list[Asked] = []
        self.url = f"http://127.0.0.1:{server.server_port}"

    def sent(self, path: str) -> list[int]:
        """Bytes of the body of every answer for a path, in order."""
        return [asked.sent for asked in self.asked if asked.path == path]

    def add_repository(
        self, name: str, revision: str, files: dict[str, bytes], large: str = r".*tensors|.*\.bin"
    ) -> None:
        """A repository of a hub at a commit; names that match ``large`` lie in LFS."""
        siblings = []
        for file, data in files.items():
            entry: dict[str, object] = {"rfilename": file, "size": len(data), "blobId": git_blob(data)}
            if re.fullmatch(large, file):
                sha256 = hashlib.sha256(data).hexdigest()
                entry["lfs"] = {"sha256": sha256, "size": len(data), "pointerSize": 130}
            siblings.append(entry)
            self.pages[f"/{name}/resolve/{revision}/{file}"] = Page(data)
        answer = {"id": name, "modelId": name, "sha": revision, "siblings": siblings, "tags": [], "private": False}
        listing = Page(json.dumps(answer).encode(), kind="application/json", ranges=False)
        self.pages[f"/api/models/{name}/revision/{revision}"] = listing


def git_blob(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@contextmanager
def serving() -> Iterator[Site]:
    """A site of its own, until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.block_on_close = False
    site = Site(server)
    server.site = site  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        site: Site = self.server.site  # type: ignore[attr-defined]
        path = self.path.partition("?")[0]
        asked = Asked(path, self.headers.get("Range"), self.headers.get("Authorization"))
        site.asked.append(asked)
        page = site.pages.get(path, Page(b"nothing here", 404))
        time.sleep(page.silence)
        status = page.refuses.pop(0) if page.refuses else 302 if page.leads_to else page.status
        begin = self._begin(page) if status == 200 else 0
        if begin and begin >= len(page.data):
            self._head(416, {"Content-Range": f"bytes */{len(page.data)}", "Content-Length": "0"})
            return
        body = page.data[begin:] if status == page.status else b""
        headers = {"Content-Type": page.kind, "ETag": page.tag, **page.headers, "Location": page.leads_to}
        if begin:
            status = 206
            headers["Content-Range"] = f"bytes {begin}-{len(page.data) - 1}/{len(page.data)}"
        headers |= {"Content-Length": str(len(body))} if page.length else {"Connection": "close"}
        self.close_connection = not page.length
        self._head(status, headers)
        self._body(body, page, asked)

    def _begin(self, page: Page) -> int:
        """The first byte that is wanted; If-Range with another tag asks for all of it."""
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        if found is None or not page.ranges or self.headers.get("If-Range", page.tag) != page.tag:
            return 0
        return int(found.group(1))

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if value:
                self.send_header(name, value)
        self.end_headers()

    def _body(self, body: bytes, page: Page, asked: Asked) -> None:
        stop = page.breaks.pop(0) if page.breaks and body else len(body)
        try:
            for start in range(0, min(stop, len(body)), 1 << 16):
                piece = body[start : min(start + (1 << 16), stop)]
                self.wfile.write(piece)
                asked.sent += len(piece)
                time.sleep(page.pause)
        except OSError:  # who asked has gone
            self.close_connection = True
        if stop < len(body):
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Say nothing."""
