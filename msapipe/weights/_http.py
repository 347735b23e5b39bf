"""Download one file to disk: streamed, and resumed after an interruption, which pooch and huggingface_hub do not do."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from httpx2 import Response

log = logging.getLogger("msapipe")

# Called with the bytes downloaded so far, and the total if the server states it.
Report = Callable[[int, int | None], None]

_SECONDS_WITHOUT_A_BYTE = 30.0
# Seconds to wait between tries without progress; any progress restarts the sequence.
_WAITS = (1.0, 3.0, 10.0)
_BUSY = (408, 429, 500, 502, 503, 504)
_RANGE = re.compile(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)")


class Failed(Exception):
    """A download failed; the text says why, and what to do about it."""


@dataclass(frozen=True)
class Remote:
    """A file to download.

    file: its path in the weights folder.   bytes: its exact size, if stated.
    sha256: its hash, the first digits of it, or "".   git_blob: its git blob id, or "".
    headers: HTTP request headers.
    """

    file: str
    url: str
    bytes: int | None = None
    sha256: str = ""
    git_blob: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


def download(remote: Remote, part: Path, report: Report) -> None:
    """Download the whole file into ``part``, resuming from its present length; raises Failed, or OSError of the disk.

    A broken connection is retried as long as it makes progress. note_of(part) lies beside ``part``.
    """
    from httpx2 import HTTPError, InvalidURL, TransportError

    transfer = _Transfer(remote, part, report)
    waits = list(_WAITS)
    while True:
        before = transfer.furthest
        try:
            return transfer.run()
        except (TransportError, _Busy) as error:
            if transfer.furthest > before:
                waits = list(_WAITS)
            unreachable = isinstance(error, TransportError) and not transfer.furthest
            if unreachable or not waits:
                raise Failed(no_answer(remote.url, error)) from error
            log.info("%s: %s; going on", remote.url, error)
            time.sleep(waits.pop(0))
        except (HTTPError, InvalidURL) as error:
            raise Failed(f"{remote.url}: {type(error).__name__}: {error}") from error


def note_of(part: Path) -> Path:
    """The file that holds the version (ETag) of the bytes in ``part``; bytes of another version are discarded."""
    return part.with_name(f"{part.name}.etag")


def no_answer(url: str, error: Exception) -> str:
    """Error text for a server that is unreachable, busy, or breaks off."""
    return (
        f"{url}: {type(error).__name__.lstrip('_')}: {error}; check the network (a proxy is named by HTTPS_PROXY, "
        "a mirror of the hub by HF_ENDPOINT) and type the same again: it goes on from where it stopped"
    )


class _Busy(Exception):
    """The server asks to retry later."""


class _Transfer:
    """The tries to download one file."""

    def __init__(self, remote: Remote, part: Path, report: Report) -> None:
        self.remote, self.part, self.report = remote, part, report
        self.note = note_of(part)
        self.furthest = 0

    def run(self) -> None:
        """Send one request for the missing bytes."""
        from huggingface_hub import get_session

        have, version = self._left()
        headers = {**self.remote.headers, "Accept-Encoding": "identity"}
        if have:
            headers |= {"Range": f"bytes={have}-", "If-Range": version}
        with get_session().stream(
            "GET", self.remote.url, headers=headers, timeout=_SECONDS_WITHOUT_A_BYTE, follow_redirects=True
        ) as answer:
            if answer.status_code == 416 and have:
                if _range(answer)[1] != have:  # the local part is longer than the file
                    self.discard()
                    raise _Busy("the file has become shorter")
            elif answer.status_code in (200, 206):
                self._take(answer, have)
            else:
                _refuse(self.remote.url, answer)
        self._check_size()

    def discard(self) -> None:
        """Delete the downloaded bytes."""
        self.part.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)

    def _left(self) -> tuple[int, str]:
        """Bytes left by an earlier try, and the file version they belong to; nothing without a version."""
        if not (self.part.is_file() and self.note.is_file()):
            self.discard()
            return 0, ""
        return self.part.stat().st_size, self.note.read_text(encoding="ascii")

    def _take(self, answer: Response, have: int) -> None:
        """Append the body, or start over if the server sends the whole file."""
        from httpx2 import RemoteProtocolError

        start, total = _range(answer)
        if start > have:
            raise RemoteProtocolError(f"asked for the bytes from {have} on, it sends those from {start} on")
        with self.part.open("ab") as file:
            file.truncate(start)
            if start == 0:  # only now: the note must never describe bytes of another version
                self._note_version(answer)
            done = start
            for chunk in answer.iter_bytes():
                file.write(chunk)
                done += len(chunk)
                self.furthest = max(self.furthest, done)
                self.report(done, total or self.remote.bytes)

    def _note_version(self, answer: Response) -> None:
        tag = answer.headers.get("ETag", "")
        version = tag if tag and not tag.startswith("W/") else answer.headers.get("Last-Modified", "")
        if version and version.isascii() and "Content-Encoding" not in answer.headers:
            self.note.write_text(version, encoding="ascii")
        else:
            self.note.unlink(missing_ok=True)

    def _check_size(self) -> None:
        from httpx2 import RemoteProtocolError

        found, stated = self.part.stat().st_size, self.remote.bytes
        if stated is None or found == stated:
            return
        if found < stated:
            raise RemoteProtocolError(f"the body ended after {found:,} of {stated:,} bytes")
        self.discard()
        raise Failed(f"{self.remote.url} sent {found:,} bytes where {stated:,} are stated; they were deleted")


def _range(answer: Response) -> tuple[int, int | None]:
    """Offset of the body in the file, and the total size if stated."""
    if answer.status_code == 200:
        length = answer.headers.get("Content-Length", "")
        return 0, int(length) if length.isdigit() else None
    found = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
    if found is None:
        return 0, None
    start, total = found.groups()
    return int(start or 0), int(total) if total != "*" else None


def _refuse(url: str, answer: Response) -> None:
    said = f"{url} answers {answer.status_code} {answer.reason_phrase}"
    if answer.status_code in _BUSY:
        raise _Busy(said)
    if answer.status_code in (401, 403):
        raise Failed(f"{said}: it is not open to everyone; accept its terms on its page; of a hub, set HF_TOKEN")
    if answer.status_code in (404, 410):
        raise Failed(f"{said}: it is not there any more; get the file elsewhere and name its path as the checkpoint")
    raise Failed(f"{said}; type the same again later")
