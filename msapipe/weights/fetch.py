"""Download weights: one process at a time, resumable, every hash checked, atomically.

Unfinished files lie in <folder>.part beside the final folder, and are moved there by a single rename.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from msapipe.errors import MissingWeights, WeightsError
from msapipe.weights._http import Failed, Remote, Report, download, note_of
from msapipe.weights.folder import StoredFile, read_manifest, sha256_of, write_manifest
from msapipe.weights.kinds import Checkpoint, Download, size_in_words

log = logging.getLogger("msapipe")

# Most failing downloads fail at once; the message about waiting is delayed until then.
_SECONDS_WITHOUT_A_WORD = 1.0

# Called with the bytes downloaded so far, and the total if known.
Progress = Callable[[int, int | None], None]


def fetch(weights: Download | Checkpoint, force: bool = False, progress: Progress | None = None) -> Path:
    """Download weights that are missing on this machine; returns their path, every hash checked.

    force: download again; the old files are replaced once the new ones are complete.   progress: called as bytes
    arrive; without it, two lines are logged. A second process waits for the first and uses its files.
    Raises MissingWeights, which says what to do, if they cannot be downloaded.
    """
    from huggingface_hub.errors import OfflineModeIsEnabled

    folder = weights.folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _alone(folder, weights.name):
            if force or not weights.here():
                _fetch(weights, folder, progress)
    except Failed as error:
        raise MissingWeights(f"{weights.name} could not be fetched: {error}") from error
    except OfflineModeIsEnabled as error:
        raise MissingWeights(f"{weights.name} could not be fetched: HF_HUB_OFFLINE is set; unset it") from error
    except OSError as error:
        raise MissingWeights(
            f"{weights.name} could not be fetched: {folder.parent} cannot be written: {error.strerror or error}; "
            "free space, or name another folder with MSAPIPE_WEIGHTS, and type the same again"
        ) from error
    return weights.path()


def _fetch(weights: Download | Checkpoint, folder: Path, progress: Progress | None) -> None:
    if isinstance(weights, Checkpoint):
        from msapipe.weights import _hub

        remotes = _hub.remotes(weights)
    else:
        remotes = (_plain(weights),)
    sizes = [remote.bytes for remote in remotes if remote.bytes is not None]
    total = sum(sizes) if len(sizes) == len(remotes) else weights.size
    if progress is None:
        log.warning("fetching %s (%s, %s) from %s", weights.name, size_in_words(total), weights.licence, weights.source)
    part = folder.with_name(f"{folder.name}.part")
    part.mkdir(exist_ok=True)
    _sweep(part, remotes)
    _check_space(part, total)
    files: list[StoredFile] = []
    for remote in remotes:
        files.append(_one(remote, part, _adding(progress, sum(entry.bytes for entry in files), total)))
    if isinstance(weights, Checkpoint):
        _hub.check_index(part, [entry.file for entry in files])
    about = {"name": weights.name, "licence": weights.licence, "source": weights.source, "identity": weights.identity}
    write_manifest(part, tuple(files), about)
    if folder.exists():
        shutil.rmtree(folder)
    part.rename(folder)
    if progress is None:
        log.warning("fetched %s into %s", weights.name, folder)


def _plain(weights: Download) -> Remote:
    """The file at the address; without a published hash, the hash of the first download is expected."""
    expected = weights.sha256
    if not expected:
        with suppress(WeightsError):  # there was no earlier download
            known = {entry.file: entry.sha256 for entry in read_manifest(weights.folder, weights.name) or ()}
            expected = known.get(weights.file, "")
    return Remote(weights.file, weights.url, sha256=expected)


def _one(remote: Remote, part: Path, report: Report) -> StoredFile:
    """Download one file, unless an earlier try did, and check its bytes; a wrong file is deleted."""
    target = part / remote.file
    if not target.is_file():
        unfinished = part / f"{remote.file}.part"
        download(remote, unfinished, report)
        with unfinished.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(unfinished, target)
        note_of(unfinished).unlink(missing_ok=True)
    entry = StoredFile(remote.file, sha256_of(target), target.stat().st_size)
    report(entry.bytes, entry.bytes)
    wrong = _wrong(remote, target, entry.sha256)
    if wrong is not None:
        target.unlink()
        raise Failed(wrong)
    return entry


def _wrong(remote: Remote, path: Path, sha256: str) -> str | None:
    """What is wrong with a downloaded file, or None."""
    found, expected = f"sha256 {sha256[:16]}...", f"{remote.sha256[:16]}..."
    right = sha256.startswith(remote.sha256) if remote.sha256 else None
    if remote.git_blob:
        blob = _git_blob(path)
        right, found, expected = blob == remote.git_blob, f"git id {blob}", remote.git_blob
    if right:
        return None
    title = _title(path)
    if title is not None:
        return (
            f"{remote.url} answers with a web page ({title}) instead of a file; type the same again later, or "
            "download it with a browser and name its path as the checkpoint"
        )
    if right is None:
        return None
    return (
        f"{remote.url} has {found}, expected {expected}; it was deleted. The owner has changed the file, or something "
        "on the way has: type the same again, and if it stays so, get it elsewhere and name its path as the checkpoint"
    )


def _git_blob(path: Path) -> str:
    data = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def _title(path: Path) -> str | None:
    """The title of a web page; None if the file is not one."""
    with path.open("rb") as file:
        head = file.read(1 << 14).decode("utf-8", "replace").lstrip("\ufeff \t\r\n")
    if not re.match(r"<!doctype html|<html", head, re.IGNORECASE):
        return None
    found = re.search(r"<title[^>]*>(.*?)</title>", head, re.IGNORECASE | re.DOTALL)
    return repr(" ".join(found.group(1).split())[:80]) if found else "without a title"


def _sweep(part: Path, remotes: Iterable[Remote]) -> None:
    """Delete files of an earlier try that are no longer wanted."""
    wanted = {f"{remote.file}{ending}" for remote in remotes for ending in ("", ".part", ".part.etag")}
    for path in part.iterdir():
        if path.name not in wanted and path.is_file():
            path.unlink()


def _check_space(part: Path, total: int | None) -> None:
    here = sum(path.stat().st_size for path in part.iterdir())
    free = shutil.disk_usage(part).free
    if total is not None and total - here > free:
        raise Failed(
            f"{size_in_words(total - here)} are lacking and {size_in_words(free)} free in {part.parent}; "
            "free space, or name another folder with MSAPIPE_WEIGHTS, and type the same again"
        )


def _adding(progress: Progress | None, before: int, total: int | None) -> Report:
    """Turn progress of one file into progress of all files."""

    def report(done: int, of_file: int | None) -> None:
        if progress is not None:
            progress(before + done, total or of_file)

    return report


@contextmanager
def _alone(folder: Path, name: str) -> Iterator[None]:
    """Lock the download folder, waiting for another process that holds it; a failure of that process is raised here."""
    from filelock import FileLock, Timeout

    lock = FileLock(folder.with_name(f"{folder.name}.lock"))
    failed = folder.with_name(f"{folder.name}.failed")
    waited = False
    try:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            waited = True
            lock.acquire(timeout=_SECONDS_WITHOUT_A_WORD)
    except Timeout:
        log.warning("%s: another process is fetching it; waiting", name)
        lock.acquire()
    except NotImplementedError:  # a file system without locks
        yield
        return
    try:
        if waited and failed.is_file():  # the other process failed; so would this one
            raise Failed(failed.read_text(encoding="utf-8", errors="replace"))
        failed.unlink(missing_ok=True)
        yield
    except Failed as error:
        with suppress(OSError):
            failed.write_text(str(error), encoding="utf-8", errors="backslashreplace")
        raise
    finally:
        lock.release()
