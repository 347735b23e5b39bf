"""The sound of a stretch of a file: mono, at one sampling rate, each sample at its time. Runs in the child."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import av
import numpy as np
from av.audio.resampler import AudioResampler
from numpy.typing import NDArray

from msapipe.media._decode import Damage, Report, counted, frames_of, packets
from msapipe.media._open import Opened

# Sound, float32 (n,), or a number of silent samples.
Piece = NDArray[np.float32] | int

JITTER = 0.05
# Frames that are mixed and resampled at once.
TOGETHER = 16
# Longest gap that is filled with silence, and most silence inserted in total. Seconds.
LONGEST_GAP = 3600.0
MAX_SILENCE = 3 * 3600.0
# Full scale is 1. Some float files hold 16-bit numbers, but no valid sample exceeds this.
LOUDEST = 1e6
TYPES = {"u8": "u1", "s16": "i2", "s32": "i4", "s64": "i8", "flt": "f4", "dbl": "f8"}
SCALES = {"u8": 1 / 128, "s16": 1 / 2**15, "s32": 1 / 2**31, "s64": 1 / 2**63}


# The mean of n uncorrelated channels has 1/n of their mean power. Channels cancel each other (one is roughly the
# other inverted) if their mean has less than this fraction of that.
CANCELS = 0.3
# Length in samples of the blocks that are compared.
SHORT = 2048
# The mean misrepresents the sound if this share of its power lies in blocks that cancel.
MOSTLY = 0.25


class Mixer:
    """Decoded samples to mono float32 in [-1, 1].

    channel: the selected channel; None for the plain mean of all.
    """

    def __init__(self, channel: int | None = None) -> None:
        self._channel = channel
        self.cleaned = 0
        self._power = np.zeros(0)  # summed, per channel
        self._lost = 0.0  # power in blocks that cancel

    @property
    def cancels(self) -> bool:
        """Whether much of the sound is lost in the mean."""
        return self._channel is None and self._lost > MOSTLY * float(self._power.sum())

    @property
    def loudest(self) -> int:
        """The channel with the most power; the first one in a tie."""
        return int(self._power.argmax()) if len(self._power) else 0

    def mono(self, data: NDArray[Any], kind: str) -> NDArray[np.float32]:
        """Plain mean of all channels: (channels, n) to float32 (n,); NaN, infinity and absurd values become 0."""
        if self._channel is not None:
            channel = min(self._channel, len(data) - 1)
            data = data[channel : channel + 1]
        mean = data.mean(axis=0, dtype=np.float64) * SCALES.get(kind, 1.0)
        if kind == "u8":
            mean -= 1
        if not np.all(np.abs(mean) <= LOUDEST):
            sane = np.abs(data) <= LOUDEST  # False for NaN
            self.cleaned += int(data.size - sane.sum())
            mean = np.where(sane, data, 0).mean(axis=0, dtype=np.float64)
        elif len(data) > 1:
            self._weigh(data, kind, mean)
        return np.asarray(mean, np.float32)

    def _weigh(self, data: NDArray[Any], kind: str, mean: NDArray[np.float64]) -> None:
        """Count the power of each channel, and the power lost in the mean."""
        level = data.astype(np.float32) * np.float32(SCALES.get(kind, 1.0))
        if kind == "u8":
            level -= 1
        starts = np.arange(0, max(1, level.shape[1]), SHORT)
        power = np.add.reduceat(np.square(level), starts, axis=1, dtype=np.float64)
        mixed = np.add.reduceat(np.square(mean), starts)
        if len(self._power) != len(power):
            self._power = np.zeros(len(power))  # the channel layout changed
        self._power += power.sum(axis=1)
        every = power.sum(axis=0)
        self._lost += float(every[mixed < CANCELS * every / len(power) ** 2].sum())


def samples_of(frame: Any) -> NDArray[Any]:
    """The samples of a frame, (channels, n), in the file's own sample format; the array owns its memory."""
    dtype = TYPES[frame.format.name.removesuffix("p")]
    channels = frame.layout.nb_channels
    if frame.format.is_planar:
        return np.array([np.frombuffer(plane, dtype, frame.samples) for plane in frame.planes])
    return np.frombuffer(frame.planes[0], dtype, frame.samples * channels).reshape(-1, channels).T.copy()


class Resampler:
    """Resamples continuous sound from one rate to another."""

    def __init__(self, source: int, target: int) -> None:
        self.source = source
        self._swr = AudioResampler("flt", "mono", target) if source != target else None

    def push(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Samples that are ready: float32 (m,)."""
        if self._swr is None or not len(samples):
            return samples
        frame = av.AudioFrame.from_ndarray(samples[None], format="flt", layout="mono")
        frame.sample_rate = self.source
        return _joined(self._swr.resample(frame))

    def finish(self) -> NDArray[np.float32]:
        """Samples left in the filter."""
        return np.zeros(0, np.float32) if self._swr is None else _joined(self._swr.resample(None))


def _joined(frames: list[Any]) -> NDArray[np.float32]:
    parts = [frame.to_ndarray()[0] for frame in frames if frame is not None]
    return np.concatenate(parts).astype(np.float32) if parts else np.zeros(0, np.float32)


class Timeline:
    """Clips samples to the stretch; counts output samples from the file's start."""

    def __init__(self, rate: int, start: float, end: float | None) -> None:
        self._first = round(start * rate)
        self._end = None if end is None else round(end * rate)
        self._rate = rate
        self.place = 0
        self.silence = 0

    @property
    def over(self) -> bool:
        """Whether the end of the stretch has been reached."""
        return self._end is not None and self.place >= self._end

    def lay(self, samples: NDArray[np.float32]) -> Iterator[Piece]:
        """The part of ``samples`` that lies in the stretch."""
        begin, self.place = self.place, self.place + len(samples)
        low = max(0, self._first - begin)
        high = len(samples) if self._end is None else max(low, min(len(samples), self._end - begin))
        if high > low:
            yield samples[low:high]

    def rest(self, until: int) -> Iterator[Piece]:
        """Silence up to sample ``until``, clipped to the stretch."""
        begin, self.place = max(self.place, self._first), max(self.place, until)
        stop = self.place if self._end is None else min(self.place, self._end)
        if stop > begin:
            self.silence += stop - begin
            yield stop - begin


class Placer:
    """Places continuous sound at its time: fills gaps with silence, cuts overlaps, ignores jitter."""

    def __init__(self, rate: int, start: float, end: float | None, channel: int | None = None) -> None:
        self.line = Timeline(rate, start, end)
        self.mixer = Mixer(channel)
        self._rate = rate
        self._kind: tuple[int, str, int] | None = None
        self._run: Resampler | None = None
        self._waiting: list[NDArray[Any]] = []
        self._expected = self._shift = 0.0
        self.gaps = self.unbelieved = 0
        self._origin: float | None = None

    def enter(self, origin: float) -> None:
        """Announce sound from the middle of the file; the file's first sound was at ``origin`` seconds."""
        self._origin = origin

    def _enter(self, time: float, source: int) -> None:
        """Set the start of the first sound to an output sample at or after ``time``, counted from the origin as if all
        sound had been resampled, so that the filter gives the same numbers.
        """
        origin, self._origin = self._origin or 0.0, None
        every = source // math.gcd(source, self._rate)
        count = -(-round((time - origin) * source) // every) * every
        self.line.place = round(origin * self._rate) + count * self._rate // source
        self._expected = origin + count / source

    def put(self, frame: Any, time: float | None) -> Iterator[Piece]:
        """Place a frame of sound at ``time`` (seconds from the file's start), or right after the last one."""
        begun = self._expected > 0
        jitter = JITTER if begun else 0.0  # the first sound is placed exactly; sound before the start is cut
        if self._origin is not None and time is not None:
            self._enter(time, frame.sample_rate)
            time = min(time, self._expected)
        off = 0.0 if time is None else time + self._shift - self._expected
        if off > LONGEST_GAP or (off < -1 and begun) or self._too_much(off):
            self._shift, off = self._shift - off, 0.0
            self.unbelieved += 1
        kind = (frame.sample_rate, frame.format.name.removesuffix("p"), frame.layout.nb_channels)
        if kind != self._kind or off > jitter:
            yield from self.finish()
            if off > jitter:
                self.gaps += begun
                self._expected += off
                yield from self.line.rest(round(self._expected * self._rate))
            self._kind, self._run = kind, Resampler(kind[0], self._rate)
        samples = samples_of(frame)
        if off < -jitter:
            samples = samples[:, min(samples.shape[1], round(-off * kind[0])) :]
        self._expected += samples.shape[1] / kind[0]
        self._waiting.append(samples)
        if len(self._waiting) >= TOGETHER:
            yield from self._lay_waiting()

    def _lay_waiting(self) -> Iterator[Piece]:
        """Mix and resample the queued frames together, since the overhead of each call exceeds its work."""
        if self._waiting and self._run and self._kind:
            mono = self.mixer.mono(np.concatenate(self._waiting, axis=1), self._kind[1])
            yield from self.line.lay(self._run.push(mono))
        self._waiting.clear()

    def _too_much(self, off: float) -> bool:
        return off > JITTER and self.line.silence / self._rate + off > MAX_SILENCE

    def finish(self) -> Iterator[Piece]:
        """The queued frames, and the samples left in the resampler."""
        yield from self._lay_waiting()
        if self._run is not None:
            yield from self.line.lay(self._run.finish())
        self._run = self._kind = None


@dataclass
class Take:
    """The selected sound of a file, and what was found in it.

    track: index in ``Opened.tracks``.   channel: the selected channel, None for the mean of all.
    cancels: whether much of the sound is lost in the mean.   loudest: the channel with the most power.
    """

    track: int = 0
    channel: int | None = None
    cancels: bool = False
    loudest: int = 0


def sound(
    opened: Opened, start: float, end: float | None, rate: int, report: Report, take: Take | None = None
) -> Iterator[Piece]:
    """Yield pieces of mono sound, float32 at ``rate`` Hz, or counts of silent samples, from ``start`` on.

    Channels are mixed by their plain mean: one live channel of two gives half its level. (libswresample's own downmix
    of stereo is sqrt(2) louder.) Adds notes to ``opened.notes`` and facts about the channels to ``take``.
    """
    take = take or Take()
    if take.track >= len(opened.tracks):
        opened.notes.append("The file has no sound that can be read.")
        return
    stream = opened.tracks[take.track]
    damage, placer = Damage(), Placer(rate, start, end, take.channel)
    base, zero = float(stream.time_base or 0), float(opened.zero)
    if opened.sought:
        placer.enter(max(0.0, (stream.start_time or 0) * base - zero))
    found = 0
    for packet in packets(opened.container, [stream], damage):
        report(placer.line.place / rate)
        for frame in frames_of(packet, damage):
            if not frame.samples or not frame.sample_rate:
                continue
            found += 1
            yield from placer.put(frame, None if frame.pts is None else frame.pts * base - zero)
        if placer.line.over:
            break
    else:
        yield from placer.finish()
    take.cancels, take.loudest = placer.mixer.cancels, placer.mixer.loudest
    opened.notes += damage.notes("sound") + _notes(placer, found)


def _notes(placer: Placer, found: int) -> list[str]:
    """Sentences on irregularities of the sound."""
    said = []
    if not found:
        said.append("The sound stream holds nothing that can be decoded.")
    if placer.mixer.cleaned:
        said.append(
            f"{counted(placer.mixer.cleaned, 'sample')} of the sound NaN, infinite or absurdly loud, now silent."
        )
    if placer.gaps:
        said.append(f"{counted(placer.gaps, 'gap')} in the sound filled with silence.")
    if placer.unbelieved:
        said.append(
            f"The time stamps of the sound jump in a way that cannot be meant ({counted(placer.unbelieved, 'time')})."
        )
    return said
