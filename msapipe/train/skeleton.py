"""A label.csv to start from: one line per media file of a folder, for people to fill in the labels."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from msapipe.datasets import Example, reader_of
from msapipe.datasets.folder import PLAYLIST_SUFFIXES, Folder
from msapipe.datasets.table import Table
from msapipe.errors import MsapipeError
from msapipe.stages.transcript.sidecar import Sidecar
from msapipe.train.split import with_splits
from msapipe.types import Clip, MediaInfo, PassedOver, Sample, Transcript

COLUMNS = ("file", "video_id", "clip_id", "text", "label", "mode")
NAME = "label.csv"


@dataclass(frozen=True)
class Skeleton:
    """The written table: numbers of clips and videos.   problems: files left out of it, and why."""

    clips: int
    videos: int
    problems: tuple[str, ...]
    notes: tuple[str, ...]


def begin_table(root: Path, seed: int | None = None, force: bool = False) -> Skeleton:
    """Write label.csv below ``root``; ``Table`` reads it back.

    The video is the folder of a file (without a leading Raw), or the file's own name in ``root`` itself.
    seed: of the split by video in the column mode; None leaves it empty.   force: write even if there is already a
    table, or another data set. Raises MsapipeError if there is one without ``force``, if there is no clip, and if
    there are fewer than three videos to split.
    """
    known = type(reader_of(root))
    if known is not Folder and not force:
        raise MsapipeError(
            f"{root}: is a data set already ({known.__module__.rpartition('.')[2]}); type: msapipe data inspect "
            f"{root}, or --force to write {NAME} all the same"
        )
    clips, problems = _clips(root)
    if not clips:
        raise MsapipeError(f"{root}: a folder without any media file; put clips below it, as in Raw/VIDEO/CLIP.mp4")
    timed: list[str] = []
    lines = []
    for clip, mode in zip(clips, _modes(clips, seed), strict=True):
        text, has_times = _text(clip, problems)
        timed += [clip.id] if has_times else []
        name = PurePosixPath(clip.id)
        lines.append((clip.id, video_of(name), name.stem, text, "", mode))
    _write(root / NAME, lines)
    return _read_back(root, clips, problems, timed)


def video_of(file: PurePosixPath) -> str:
    """The video that a file was cut from, by its path below the root."""
    folders = file.parts[:-1]
    folders = folders[1:] if folders[:1] == ("Raw",) else folders
    return "/".join(folders) or file.stem


def _clips(root: Path) -> tuple[list[Clip], list[str]]:
    """The clips that a table can name, and sentences on the others."""
    clips: list[Clip] = []
    problems: list[str] = []
    for item in Folder(root).read():
        if not isinstance(item, Example):
            problems += [] if item.skipped else [f"{item.path}: {item.reason}"]
        elif item.clip.path.suffix.lower() in PLAYLIST_SUFFIXES:
            problems.append(f"{item.clip.path}: a playlist names other files; name these")
        elif not _can_stand(item.clip.id):
            problems.append(f"{item.clip.path}: its name cannot stand in a table; rename it")
        else:
            clips.append(item.clip)
    return clips, problems


def _can_stand(name: str) -> bool:
    """Whether a table gives a name back unchanged."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return name == name.strip() and name.splitlines() == [name]


def _modes(clips: Sequence[Clip], seed: int | None) -> list[str]:
    if seed is None:
        return [""] * len(clips)
    samples = [Sample(clip.id, {}, video=video_of(PurePosixPath(clip.id))) for clip in clips]
    return [sample.split or "" for sample in with_splits(samples, seed)]


def _text(clip: Clip, problems: list[str]) -> tuple[str, bool]:
    """The words beside a clip for the table, "" for words with times, and whether they have times."""
    words = Sidecar(language="").run(clip, MediaInfo("unknown", None, None, None))
    if isinstance(words, PassedOver):
        problems += [f"{clip.path}: {note}" for note in words.notes]
    if not isinstance(words, Transcript):
        return "", False
    if any(word.start is not None for word in words.words):
        return "", True  # words in a table take precedence and have no times
    return " ".join(words.text.split()), False


def _write(path: Path, lines: Sequence[Sequence[str]]) -> None:
    """Write the table whole, or keep the existing one."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([COLUMNS, *lines])
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(text.getvalue(), encoding="utf-8")
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise MsapipeError(f"{path} cannot be written: {error.strerror}") from error


def _read_back(root: Path, clips: Sequence[Clip], problems: list[str], timed: Sequence[str]) -> Skeleton:
    """Read the table back and check that every clip is in it."""
    read = {item.clip.id: item for item in Table(root).read() if isinstance(item, Example)}
    problems = [*problems, *(f"{clip.path}: {NAME} does not lead to it" for clip in clips if clip.id not in read)]
    notes = []
    if timed:
        notes.append(
            f"the words of {len(timed)} clips have times in the files beside them (as those of {timed[0]}) and are "
            "read from there: their column text is empty"
        )
    return Skeleton(len(read), len({item.video for item in read.values()}), tuple(problems), tuple(notes))
