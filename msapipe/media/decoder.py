"""Probe a file and decode its frames and sound in a child process, so that a crash does no harm."""

from __future__ import annotations

import contextlib
import math
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from msapipe.errors import DecoderDied, MediaError, NotMedia
from msapipe.interrupts import uninterrupted
from msapipe.media._process import Child, ChildFailed, Watch
from msapipe.media._protocol import Header, unpack_info
from msapipe.media._sound_buffer import SoundBuffer
from msapipe.media._tracks import Heard, choose
from msapipe.media.options import Limits, MediaOptions
from msapipe.media.regular import check_regular_file, named
from msapipe.types import Clip, Frames, MediaInfo, Waveform
from msapipe.types.sound import peak_of, pieces_of

# Longer sound is not read: 6.5 hours at 16 kHz.
MAX_SOUND_BYTES = 1_500_000_000
# Quieter sound is recorder or rounding noise; scaling it to full level would make noise audible.
QUIETEST = 10 ** (-80 / 20)
# Idle children kept; more are needed only while several reads overlap.
MAX_IDLE = 2

_Result = TypeVar("_Result")


class Job:
    """One request to a child, and its responses."""

    def __init__(self, child: Child, path: Path, watch: Watch) -> None:
        self._child = child
        self._path = path
        self.watch = watch
        self.finished = False

    def answers(self, request: Header) -> Iterator[tuple[Header, NDArray[np.uint8]]]:
        """Messages up to the last one, whose kind is "info" or "end"."""
        try:
            self._child.ask(request)
            while not self.finished:
                header, payload = self._child.receive(self.watch)
                kind = header.get("kind")
                if kind == "error":
                    self.finished = True
                    raise self._error(header)
                if kind == "progress":
                    self.watch.reached(header["reached"])
                    continue
                self.finished = kind in ("info", "end")
                yield header, payload
        except ChildFailed as failed:
            raise DecoderDied(f"{named(self._path)}: {failed}") from None

    def _error(self, header: Header) -> MediaError:
        kind = NotMedia if header.get("error") == "NotMedia" else MediaError
        return kind(f"{named(self._path)}: {header.get('text')}")


class Decoder:
    """Reads media files in a child process, which is started on demand and reused from clip to clip.

    If a child crashes, hangs or exceeds a limit, it is killed, the call raises DecoderDied, and the next call starts
    another one. Calls may overlap (sound while frames are half read, several threads): each has its own child.
    A child does not outlive the process or thread that started it.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits.from_environment()
        self._idle: list[Child] = []
        self._all: set[Child] = set()
        self._lock = threading.Lock()
        self._owner = os.getpid()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all children, also those of interrupted calls; a later call starts a new one."""
        with self._lock:
            children, self._idle, self._all = self._all if self._owner == os.getpid() else set(), [], set()
        for child in children:
            child.kill()

    def probe(self, path: Path) -> MediaInfo:
        """The contents of the file. Raises NotMedia if neither sound nor video can be decoded."""
        with self._job(path) as job:
            for header, _ in job.answers({"what": "probe", "path": os.path.abspath(path)}):
                return _checked(path, lambda: unpack_info(header))  # noqa: B023
        raise DecoderDied(f"{named(path)}: the decoder gave no answer; try again")

    def frames(self, clip: Clip, options: MediaOptions) -> Frames:
        """A lazy handle on the clip's frames; each pass over ``batches`` decodes them again.

        Keeps the first frame of each 1/fps seconds. Frames are uint8 (H, W, 3) RGB, in display orientation, with square
        pixels, at most ``max_side`` wide and high; times are seconds from the clip's start.
        """

        def read() -> Iterator[tuple[NDArray[np.uint8], float, float]]:
            handle.notes.clear()
            yield from self._pictures(clip, options, handle.notes)

        handle = Frames(read)
        return handle

    def _pictures(
        self, clip: Clip, options: MediaOptions, notes: list[str]
    ) -> Iterator[tuple[NDArray[np.uint8], float, float]]:
        shape: tuple[int, int, int] | None = None
        with self._job(clip.path) as job:
            for header, payload in job.answers(_request("frames", clip, options)):
                if header["kind"] == "end":
                    notes += _checked(clip.path, lambda: [str(note) for note in header["notes"]])  # noqa: B023
                    return
                picture, start, end = _checked(clip.path, lambda: _picture(header, payload))  # noqa: B023
                shape = shape or picture.shape
                if picture.shape != shape:
                    raise DecoderDied(f"{named(clip.path)}: the decoder sent pictures of two sizes; try again")
                job.watch.reached(clip.start + start)
                yield picture, start, end

    def waveform(self, clip: Clip, options: MediaOptions) -> Waveform:
        """The sound of the clip: mono float32, with its peak at ``peak_db``.

        Takes the first track that is not silent (commentaries and the like last), and the plain mean of its channels,
        or one channel if they cancel each other; a note says which. Resampled to ``rate``; sample 0 is the start of the
        clip. Sound that starts later or pauses is padded with silence. A file without sound gives no samples and a
        note.
        """
        heard = choose(lambda track, channel: self._sound(clip, options, track, channel), options.rate)
        notes = heard.notes + _normalise(clip.path, heard.samples, options.peak_db)
        if not len(heard.samples) and not notes:
            notes.append("There is no sound in this stretch.")
        return Waveform(heard.samples, options.rate, notes)

    def _sound(self, clip: Clip, options: MediaOptions, track: int, channel: int | None) -> Heard:
        """One unscaled track: the mean of its channels, or one of them."""
        data, last = SoundBuffer(), {}
        request = {**_request("waveform", clip, options), "track": track, "channel": channel}
        with self._job(clip.path) as job:
            for header, payload in job.answers(request):
                if header["kind"] == "end":
                    last = header
                    continue
                silent = _checked(clip.path, lambda: _silence(header, len(payload)))  # noqa: B023
                if len(data) + len(payload) + silent > MAX_SOUND_BYTES:
                    hours = MAX_SOUND_BYTES / 4 / options.rate / 3600
                    raise MediaError(
                        f"{named(clip.path)}: more than {hours:.1f} hours of sound; give stretches of the file as clips"
                    )
                try:
                    data.add(payload.tobytes())
                    data.silence(silent)
                except MediaError as error:
                    raise MediaError(f"{named(clip.path)}: {error}") from error
                job.watch.reached(clip.start + len(data) / 4 / options.rate)
        return _checked(clip.path, lambda: Heard.of(data.samples(), last))

    @contextlib.contextmanager
    def _job(self, path: Path) -> Iterator[Job]:
        """A child for one call; it is kept if it answers to the end, and killed otherwise."""
        check_regular_file(path)
        try:
            child = self._take()
        except ChildFailed as failed:
            raise DecoderDied(f"{named(path)}: {failed}") from None
        job = Job(child, path, Watch(self._limits, _size(path)))
        try:
            yield job
        finally:
            if job.finished:
                self._give(child)
            else:
                self._end(child)

    def _take(self) -> Child:
        """An idle child that is still alive, or a new one."""
        while (idle := self._pop()) is not None:
            if idle.answers():
                return idle
            self._end(idle)
        with uninterrupted():
            child = Child(self._limits)
            self._all.add(child)
        try:
            child.wait_ready()
        except BaseException:
            self._end(child)
            raise
        return child

    def _end(self, child: Child) -> None:
        child.kill()
        self._all.discard(child)

    def _pop(self) -> Child | None:
        with self._lock:
            if self._owner != os.getpid():  # after a fork, the children belong to the other process
                self._idle, self._all, self._owner = [], set(), os.getpid()
            return self._idle.pop() if self._idle else None

    def _give(self, child: Child) -> None:
        with self._lock:
            keep = len(self._idle) < MAX_IDLE
            if keep:
                self._idle.append(child)
        if not keep:
            self._end(child)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # the file disappeared after the check; the child reports it
        return 0


def _request(what: str, clip: Clip, options: MediaOptions) -> Header:
    return {
        "what": what,
        "path": os.path.abspath(clip.path),
        "start": clip.start,
        "end": clip.end,
        "options": asdict(options),
    }


def _checked(path: Path, read: Callable[[], _Result]) -> _Result:
    """Apply ``read`` to a message; raises DecoderDied if the message is malformed."""
    try:
        return read()
    except (ValueError, TypeError, KeyError, OverflowError):
        raise DecoderDied(f"{named(path)}: the decoder sent nonsense; the file may be made to break it") from None


def _picture(header: Header, payload: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], float, float]:
    """The frame and times in a message."""
    height, width = int(header["height"]), int(header["width"])
    start, end = float(header["start"]), float(header["end"])
    if not (height > 0 and width > 0 and math.isfinite(start) and math.isfinite(end) and start <= end):
        raise ValueError("no picture")
    return payload.reshape(height, width, 3), start, end


def _silence(header: Header, payload: int) -> int:
    """Bytes of silence in a message; 0 if it holds samples."""
    if header["kind"] == "sound":
        if payload % 4:
            raise ValueError("half a sample")
        return 0
    samples = int(header["samples"])
    if samples < 0 or payload:
        raise ValueError("no silence")
    return 4 * samples


def _normalise(path: Path, samples: NDArray[np.float32], peak_db: float) -> list[str]:
    """Scale ``samples`` in place to a peak of ``peak_db`` dBFS; returns notes."""
    if not len(samples):
        return []
    peak = peak_of(samples)
    if not math.isfinite(peak):
        raise DecoderDied(f"{named(path)}: the decoder sent nonsense; the file may be made to break it")
    if peak == 0:
        return ["The sound is silent throughout."]
    if peak < QUIETEST:
        return ["The sound is quieter than -80 dBFS; it is left as it is."]
    for piece in pieces_of(samples):
        piece *= np.float32(10 ** (peak_db / 20) / peak)
    return []
