"""Probe the files of a data set: streams, length, and accompanying words."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from msapipe.cache import file_digest
from msapipe.datasets import Example
from msapipe.errors import MsapipeError
from msapipe.media import Decoder
from msapipe.stages.transcript.sidecar import Sidecar
from msapipe.types import Clip, MediaInfo, PassedOver, Transcript

# Each thread leads a decoder process; more only help with slow storage.
_THREADS = 4


@dataclass(frozen=True)
class Probed:
    """A clip and its properties.

    info: None when its file cannot be read.   words: those given with it or beside it, None without.
    problem: why it is unusable, None when it is fine.   contents: identifies the bytes of its file.
    """

    example: Example
    info: MediaInfo | None
    words: Transcript | None
    problem: str | None
    contents: str


def probe_clips(examples: Sequence[Example]) -> Iterator[Probed]:
    """Probe every clip, in order; each file is opened once, and hashed if another has its size."""
    paths = list(dict.fromkeys(example.clip.path for example in examples))
    sizes = {path: _size(path) for path in paths}
    alike = Counter(sizes.values())
    with Decoder() as decoder:
        pool = ThreadPoolExecutor(_THREADS)
        try:
            files = {path: pool.submit(_file, decoder, path, alike[sizes[path]] > 1) for path in paths}
            for example in examples:
                info, problem, contents = files[example.clip.path].result()
                words, misread = _words(example.clip, info)
                yield Probed(example, info, words, problem or misread or _outside(example.clip, info), contents)
        finally:
            pool.shutdown(cancel_futures=True)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # probing reports the reason
        return -1


def _file(decoder: Decoder, path: Path, hashed: bool) -> tuple[MediaInfo | None, str | None, str]:
    try:
        info = decoder.probe(path)
        return info, None, file_digest(path) if hashed else os.path.realpath(path)
    except MsapipeError as error:
        return None, str(error).removeprefix(f"{path}: "), ""
    except OSError as error:
        return None, f"it cannot be read: {error.strerror}", ""


def _words(clip: Clip, info: MediaInfo | None) -> tuple[Transcript | None, str | None]:
    """The words of a clip, in any language, and why those in files beside it are unusable."""
    found = Sidecar(language="").run(clip, info or MediaInfo("unknown", None, None, None))
    return (None, "; ".join(found.notes)) if isinstance(found, PassedOver) else (found, None)


def _outside(clip: Clip, info: MediaInfo | None) -> str | None:
    """The problem with a stretch that begins after the end of its file."""
    if info is None or info.seconds is None or clip.start < info.seconds or clip.start == 0:
        return None
    return f"it starts at {clip.start:g} s, and its file is {info.seconds:g} s long"
