"""The folder of downloaded weights, and the manifest of each download.

``MSAPIPE_WEIGHTS`` names another folder. It holds no absolute paths, so it can be copied to an offline machine.
Layout: <folder>/<name>/<revision>/files, and msapipe.json, written last: without it, nothing is there.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from tempfile import NamedTemporaryFile

from msapipe.documents import read_json
from msapipe.errors import WeightsError

MANIFEST = "msapipe.json"


@dataclass(frozen=True)
class StoredFile:
    """One downloaded file: its path in the folder, its hash and its size."""

    file: str
    sha256: str
    bytes: int


def weights_folder() -> Path:
    """The folder of downloaded weights: MSAPIPE_WEIGHTS, or the user's data folder."""
    named = os.environ.get("MSAPIPE_WEIGHTS")
    if named:
        return Path(named).expanduser()
    import platformdirs

    return platformdirs.user_data_path("msapipe") / "weights"


def sha256_of(path: Path) -> str:
    """The hash of a file's bytes, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_hash(what: str, found: str, expected: str, mend: str) -> None:
    """Raise WeightsError, which ends with what to do, unless two hashes are the same."""
    if found != expected:
        raise WeightsError(f"{what} has sha256 {found[:16]}..., expected {expected[:16]}...; {mend}")


def stays_inside(file: str) -> bool:
    """Whether an untrusted relative path stays in the folder it is appended to, on every system."""
    ways = (PurePosixPath(file), PureWindowsPath(file))
    return bool(file) and not any(way.anchor or ".." in way.parts for way in ways)


def read_manifest(folder: Path, name: str) -> tuple[StoredFile, ...] | None:
    """The files of the download called ``name``; None if it was never finished."""
    path = folder / MANIFEST
    again = f"type: msapipe weights fetch --force {name}"
    try:
        entries = read_json(path.read_text(encoding="utf-8"))["files"]
        found = tuple(StoredFile(str(entry["file"]), str(entry["sha256"]), int(entry["bytes"])) for entry in entries)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{name}: {path} cannot be read ({type(error).__name__}: {error}); {again}") from error
    for entry in found:
        if not stays_inside(entry.file):
            raise WeightsError(f"{name}: {path} names {entry.file!r}, which leads out of the folder; {again}")
    if not found:
        raise WeightsError(f"{name}: {path} names no file; {again}")
    return found


def write_manifest(folder: Path, files: tuple[StoredFile, ...], about: dict[str, str]) -> None:
    """Mark the folder as complete; the last step of a download."""
    text = json.dumps({**about, "files": [asdict(entry) for entry in files]}, indent=1)
    with NamedTemporaryFile("w", dir=folder, suffix=".part", delete=False, encoding="utf-8") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(file.name, folder / MANIFEST)


def check(folder: Path, files: tuple[StoredFile, ...], name: str) -> None:
    """Raise WeightsError unless every file exists and has its hash."""
    again = f"type: msapipe weights fetch --force {name}"
    for entry in files:
        path = folder / entry.file
        if not path.is_file():
            raise WeightsError(f"{name}: {path} is missing; {again}")
        check_hash(f"{name}: {path}", sha256_of(path), entry.sha256, again)
