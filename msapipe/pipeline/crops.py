"""The speaker's face as images, for people to look at and for other programs."""

from __future__ import annotations

import os
from pathlib import Path

from msapipe.cache import digest
from msapipe.errors import CacheError, MissingLibrary
from msapipe.pipeline.run import Outcome
from msapipe.safe_paths import leads_out
from msapipe.types import FaceClip, FaceTracks, Speaker


def save_crops(outcome: Outcome, target: Path) -> int:
    """Write both crops of every frame in which the speaker's face was found; returns how many images.

    <target>/<clip id>/000012_aligned.png (112x112, landmarks on the ArcFace template) and 000012_loose.png
    (128x128, box x 1.4); the number is that of the sampled frame.
    """
    faces, speaker = outcome.values.get("faces"), outcome.values.get("speaker")
    if not isinstance(faces, FaceTracks) or not isinstance(speaker, Speaker):
        return 0
    try:
        import cv2
    except ImportError as error:
        raise MissingLibrary(f"face crops need OpenCV: {error}; type: msapipe doctor") from error
    clip = FaceClip(faces, speaker)
    folder = below(target, outcome.clip.id)
    written = 0
    for row in range(len(clip)):
        if clip.valid[row]:
            for name, picture in (("aligned", clip.aligned(row)), ("loose", clip.loose(row))):
                found, data = cv2.imencode(".png", picture[:, :, ::-1])
                if found:
                    write(folder / f"{row:06d}_{name}.png", data.tobytes(), "--save-crops")
                    written += 1
    return written


def below(target: Path, clip_id: str) -> Path:
    """The path of a clip below ``target``; raises CacheError if an existing link leads out of it."""
    place = target / safe_name(clip_id)
    if leads_out(place, target):
        raise CacheError(f"{place} leads out of {target} by a link; take the link away, or name another folder")
    return place


def safe_name(clip_id: str) -> Path:
    """A clip's id as a relative path that cannot leave its folder; other ids are hashed."""
    parts = clip_id.split("/")
    plain = all(part not in ("", ".", "..") and len(os.fsencode(part)) < 200 and "\\" not in part for part in parts)
    return Path(*parts) if plain else Path(digest({"id": clip_id})[:32])


def write(path: Path, data: bytes, option: str) -> None:
    """Write a file of a clip; raises CacheError that names the ``option`` for another folder."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink():  # do not write over the link's target
            path.unlink()
        path.write_bytes(data)
    except OSError as error:
        raise CacheError(f"{path} cannot be written: {error.strerror}; name another folder with {option}") from error
