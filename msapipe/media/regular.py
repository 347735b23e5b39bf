"""Check whether a path is a file that may be opened, and say what a refused file seems to be."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from msapipe.errors import NotMedia

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe (FIFO)",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def named(path: Path) -> str:
    """The path as given; bytes that are not UTF-8 are escaped, since most terminals and files refuse them."""
    return str(path).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def check_regular_file(path: Path) -> None:
    """Raise NotMedia unless ``path`` is a regular, readable file that is not empty.

    The path is not opened before it is known to be regular: opening a FIFO blocks for ever.
    """
    try:
        found = os.stat(path)
    except (OSError, ValueError) as error:
        raise NotMedia(f"{named(path)}: {_missing(path, error)}") from None
    if not stat.S_ISREG(found.st_mode):
        kind = _KINDS.get(stat.S_IFMT(found.st_mode), "no regular file")
        raise NotMedia(f"{named(path)}: this is {kind}, not a media file; give the path of a video or sound file")
    if found.st_size == 0:
        raise NotMedia(f"{named(path)}: the file is empty (0 bytes); copy or download it again")
    if not os.access(path, os.R_OK):
        raise NotMedia(f"{named(path)}: no permission to read it; try `chmod u+r` on the file")


def _missing(path: Path, error: OSError | ValueError) -> str:
    """Why a path cannot be examined, and what to do."""
    code = error.errno if isinstance(error, OSError) else None
    if code == errno.ELOOP:
        return "the symbolic link leads back to itself; replace it by the file"
    if code == errno.ENAMETOOLONG:
        return "the path is too long for this file system; move the file to a shorter one"
    if code in (errno.EACCES, errno.EPERM):
        return "no permission to look into its folder; try `chmod u+rx` on the folder"
    if code == errno.ENOENT and path.is_symlink():
        return f"the symbolic link leads to {os.readlink(path)!r}, which does not exist; replace it by the file"
    if code in (errno.ENOENT, errno.ENOTDIR):
        return "there is no such file; check the spelling and the folder"
    reason = os.strerror(code) if code else str(error)
    return f"it cannot be looked at ({reason}); check the path"


_SIGNATURES = (
    (b"#EXTM3U", "an HLS playlist (m3u8)"),
    (b"ffconcat version", "an ffconcat playlist"),
    (b"[playlist]", "a playlist (pls)"),
    (b"v=0", "a session description (sdp)"),
    (b"PK\x03\x04", "a zip archive; unpack it and give the files in it"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"\x1f\x8b", "a gzip archive; unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it first"),
    (b"Rar!", "a rar archive; unpack it first"),
    (b"%PDF", "a PDF document"),
)


def looks_like(head: bytes) -> str | None:
    """What a file is, by its first bytes (part of a sentence); None if it may be media.

    Playlists are refused by type: libav would open the files and addresses that they list.
    """
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    lower = text[:1024].lower()
    if text.startswith(b"version https://git-lfs.github.com/"):
        return "a git-lfs pointer, not the file itself; run `git lfs pull` in its folder"
    if lower.startswith((b"<!doctype html", b"<html")):
        return "an HTML page: the download was probably refused; fetch the file again"
    if b"<mpd" in lower and lower.startswith(b"<"):
        return _PLAYLIST.format("a DASH playlist (mpd)")
    if lower.startswith((b"<smil", b"<asx", b"<smoothstreamingmedia")):
        return _PLAYLIST.format("a playlist")
    for start, what in _SIGNATURES:
        if (text if start != b"v=0" else head).startswith(start):
            return _PLAYLIST.format(what) if "playlist" in what or "sdp" in what else what
    return _plain(head)


_PLAYLIST = "{}; playlists are refused, since they make the reader open other files. Give the media file itself"


def _plain(head: bytes) -> str | None:
    """Say so when the bytes are text, else None."""
    if any(byte < 9 or (13 < byte < 32 and byte != 27) for byte in head):
        return None
    try:
        head[:-4].decode("utf-8")  # the last character may be cut off
    except UnicodeDecodeError:
        return None
    return "a text file, not a video or sound"
