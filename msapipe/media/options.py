"""Options and limits of decoding."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

from msapipe.errors import ConfigError

# Increase if frames, sound or captions of the same file change; part of cache keys.
MEDIA_VERSION = 2
# Seek to stretches that start later than this, if the file has an index. Seconds.
SEEK_FROM = 10.0
# Increase if the results of seeking change; part of the cache keys of such stretches.
SEEK_VERSION = 1

# Libav refuses larger frames before allocating them; 8K video has 33 million pixels.
MAX_PIXELS = 50_000_000


@dataclass(frozen=True)
class MediaOptions:
    """How frames and sound are read; part of cache keys, so plain values only.

    fps: most frames per second.   rate: sampling rate in Hz.   peak_db: peak level of the sound in dBFS.
    max_side: larger frames are scaled down so that their longer side has this many pixels.
    """

    fps: float = 10.0
    rate: int = 16000
    peak_db: float = -3.0
    max_side: int = 1920

    def __post_init__(self) -> None:
        if not (math.isfinite(self.fps) and 0 < self.fps <= 1000):
            raise ConfigError(f"media.fps is {self.fps}; it must be above 0 and at most 1000 pictures a second")
        if not 1000 <= self.rate <= 384_000:
            raise ConfigError(f"media.rate is {self.rate}; it must lie between 1000 and 384000 Hz")
        if not -100 <= self.peak_db <= 0:
            raise ConfigError(f"media.peak_db is {self.peak_db}; it must lie between -100 and 0 dBFS")
        if not 16 <= self.max_side <= 8192:
            raise ConfigError(f"media.max_side is {self.max_side}; it must lie between 16 and 8192 pixels")


def next_due(time: float, fps: float) -> float:
    """When the frame after one at ``time`` is due: the next multiple of 1/fps, minus a margin for rounded stamps."""
    slack = 0.05
    return (math.floor(time * fps + slack) + 1 - slack) / fps


@dataclass(frozen=True)
class Limits:
    """Resource limits of the decoding child; not part of cache keys, since results do not depend on them.

    stall_seconds: the child is killed after this long without progress.
    seconds: limit for one whole call. Each decoded second of the file adds a second, but at most four per megabyte of
        the file: a long video passes, a small file that unpacks to hours of 4K video does not.
        Only time spent waiting for the child counts.
    memory_mb: address space of the child (RLIMIT_AS), in MiB; not enforced on macOS.
    """

    stall_seconds: float = 20.0
    seconds: float = 35.0
    memory_mb: int = 2048

    def __post_init__(self) -> None:
        if not (self.stall_seconds > 0 and self.seconds > 0 and self.memory_mb >= 256):
            raise ConfigError(f"{self}: the seconds must be above 0 and the memory at least 256 MB")

    @classmethod
    def from_environment(cls) -> Limits:
        """Read MSAPIPE_DECODE_SECONDS and MSAPIPE_DECODE_MEMORY_MB; the stall limit grows with the first."""
        seconds = _number("MSAPIPE_DECODE_SECONDS", cls.seconds, 0.1, 1e7, "seconds")
        memory = _number("MSAPIPE_DECODE_MEMORY_MB", cls.memory_mb, 256, 1e7, "megabytes")
        return cls(cls.stall_seconds * seconds / cls.seconds, seconds, int(memory))

    def allowance(self, decoded: float, size: int) -> float:
        """Seconds that a call may take after ``decoded`` seconds of a file of ``size`` bytes are done."""
        return self.seconds + min(decoded, 4 * size / 1e6)


def _number(name: str, default: float, low: float, high: float, unit: str) -> float:
    """The number in an environment variable, or ``default`` if it is not set."""
    text = os.environ.get(name, "").strip()
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        raise ConfigError(
            f"{name} is {text!r}; expected a number of {unit} from {low:g} to {high:g}. "
            f"Unset it for the default ({default:g})."
        )
    return value
