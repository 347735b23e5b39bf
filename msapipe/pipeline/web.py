"""Clips at web addresses: fetched once, into the cache, whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from filelock import FileLock

from msapipe.cache.place import default_folder
from msapipe.errors import MediaError, MissingLibrary, NotMedia
from msapipe.media import check_regular_file
from msapipe.media.regular import looks_like

# Bytes; larger files are not fetched, or their download is aborted.
MOST_BYTES = 2_000_000_000
_ADDRESS = re.compile(r"https?://", re.IGNORECASE)
# The file beside a film with its address. No sidecar of words has this suffix.
_ABOUT = ".address"
_SECONDS_OF_SILENCE = 30

Report = Callable[[int, int | None], None]
"""Called with the bytes that were fetched, and how many there will be, None when not known."""


def is_address(argument: str) -> bool:
    """Whether the argument is a web address, not a path."""
    return _ADDRESS.match(argument) is not None


def place_of(address: str, cache: str | Path | None = None) -> Path:
    """The folder that keeps the clip at an address, named by a hash of the address."""
    root = default_folder() if cache is None or "://" in str(cache) else Path(cache)
    return root / "web" / hashlib.sha256(address.encode("utf-8", "surrogateescape")).hexdigest()


def fetch_clip(
    address: str,
    cache: str | Path | None = None,
    *,
    offline: bool = False,
    most: int = MOST_BYTES,
    report: Report | None = None,
) -> Path:
    """The file at an address: the copy fetched before, else fetched now.

    Raises MissingLibrary without yt-dlp, saying what to install; MediaError when nothing can be fetched from the
    address, when it is larger than ``most`` bytes, or when the network is switched off; NotMedia when it is no clip.
    """
    folder = place_of(address, cache)
    known = _kept(folder)
    if known is not None:
        return known
    if offline:
        raise MediaError(f"{address}: it was not fetched before, and --offline fetches nothing")
    if importlib.util.find_spec("yt_dlp") is None:
        raise MissingLibrary(
            f"{address}: to fetch clips from the web, type: pip install 'msapipe[url]' "
            "(or download it, and give the path of the file)"
        )
    if not urlsplit(address).hostname:
        raise MediaError(f"{address}: no host is named; expected https://HOST/PATH")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            if _kept(folder) is None:
                _fetch(address, folder, most, report)
    except OSError as error:
        raise MediaError(f"{address}: it cannot be kept in {folder.parent}: {os.strerror(error.errno or 0)}") from error
    found = _kept(folder)
    if found is None:
        raise MediaError(f"{address}: what was fetched has gone from {folder}; fetch it again")
    return found


def _kept(folder: Path) -> Path | None:
    """The film in a folder, None without a folder: films are stored whole or not at all."""
    try:
        return next((path for path in sorted(folder.iterdir()) if path.name != _ABOUT and path.is_file()), None)
    except OSError:
        return None


def _fetch(address: str, folder: Path, most: int, report: Report | None) -> None:
    """Download into a temporary folder, check, and move it into place at once."""
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".part-") as name:
        part = Path(name)
        _download(address, part / "fetched", most, report)
        found = max((part / "fetched").iterdir(), key=lambda path: path.stat().st_size)
        check_regular_file(found)
        if found.stat().st_size > most:
            raise MediaError(_too_large(address, most))
        with found.open("rb") as file:
            kind = looks_like(file.read(4096))
        if kind is not None:
            raise NotMedia(f"{address}: {kind}; give the address of a video or sound file")
        ready = part / "ready"
        ready.mkdir()
        with found.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(found, ready / (re.sub(r"[^A-Za-z0-9._-]+", "_", found.name).lstrip(".-")[-80:] or "clip"))
        (ready / _ABOUT).write_text(address + "\n", encoding="utf-8", errors="backslashreplace")
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(folder)
        os.replace(ready, folder)


def _download(address: str, folder: Path, most: int, report: Report | None) -> None:
    os.environ.setdefault("YTDLP_NO_PLUGINS", "1")  # no code from the user's folders
    import yt_dlp

    def progress(state: dict[str, Any]) -> None:
        done = int(state.get("downloaded_bytes") or 0)
        total = state.get("total_bytes") or state.get("total_bytes_estimate")
        if done > most or (total or 0) > most:
            raise _TooLarge
        if report is not None:
            report(done, None if total is None else int(total))

    folder.mkdir()
    wanted = {
        # One file with sound and pictures, since nothing here can merge two; a small one is enough.
        "format": "best[height<=720]/best/bestaudio",
        "outtmpl": {"default": str(folder / "%(title).60B.%(ext)s")},
        "noplaylist": True,
        "playlist_items": "1",
        "max_filesize": most,
        "restrictfilenames": True,
        "cachedir": False,
        "quiet": True,
        "no_warnings": True,
        "noprogress": True,
        "logger": _Silent(),
        "progress_hooks": [progress],
        "socket_timeout": _SECONDS_OF_SILENCE,
        "retries": 3,
        # Runs no program of the machine and reads no settings of the user.
        "ffmpeg_location": os.devnull,
        "fixup": "never",
        "hls_prefer_native": True,
        "enable_file_urls": False,
        "updatetime": False,
    }
    try:
        with yt_dlp.YoutubeDL(wanted) as downloader:
            downloader.download([address])
    except _TooLarge:
        raise MediaError(_too_large(address, most)) from None
    except yt_dlp.utils.YoutubeDLError as error:
        if isinstance(error.__cause__, _TooLarge) or any(isinstance(part, _TooLarge) for part in error.args):
            raise MediaError(_too_large(address, most)) from None
        because = (
            re.sub(r"\x1b\[[0-9;]*m", "", str(error))
            .removeprefix("ERROR: ")
            .split("; please report")[0]
            .split(" (caused by")[0]
        )
        raise MediaError(
            f"{address}: it cannot be fetched: {because}; check address and network, or give a file"
        ) from None
    if not any(folder.iterdir()):
        raise MediaError(f"{address}: nothing was fetched: it is larger than {most / 1e6:g} MB, or no clip")


class _TooLarge(Exception):
    """More bytes arrived than allowed."""


class _Silent:
    """yt-dlp's messages are dropped; its errors say enough."""

    def debug(self, _: str) -> None:
        """Nothing."""

    warning = error = info = debug


def _too_large(address: str, most: int) -> str:
    return f"{address}: it is larger than {most / 1e6:g} MB, which is the limit; download it and cut it"
