"""Packets to frames: decodable ones are kept, the rest is counted. Runs in the child."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import av
from av.container import InputContainer
from av.stream import Stream

from msapipe.errors import MediaError

# Called at intervals with the time reached, in seconds, so that the parent knows the child is alive.
Report = Callable[[float], None]

# After this many failed reads without a packet in between, the demuxer has nothing more to give.
MAX_FAILED_READS = 20


def counted(number: int, thing: str) -> str:
    """ "1 packet", "3 packets"."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


@dataclass
class Damage:
    """Counts the unusable parts of one stream."""

    packets: int = 0
    reads: int = 0
    frames: int = 0

    def notes(self, what: str) -> list[str]:
        """Sentences; ``what`` is "video" or "sound"."""
        said = []
        if self.packets:
            said.append(f"The {what} is damaged: {counted(self.packets, 'packet')} could not be decoded.")
        if self.reads:
            said.append(f"The file is damaged: reading the {what} failed {counted(self.reads, 'time')}.")
        if self.frames:
            said.append(f"The {what} is damaged: {counted(self.frames, 'frame')} only partly decoded.")
        return said


def use_threads(stream: Stream) -> None:
    """Let the decoder use several cores, but few: each thread holds whole frames in memory."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    stream.codec_context.thread_type = av.codec.context.ThreadType.AUTO
    stream.codec_context.thread_count = min(4, cores)


def packets(container: InputContainer, streams: list[Stream], damage: Damage) -> Iterator[av.Packet[Any]]:
    """All packets of some streams, then an empty one for each stream; failed reads are counted and skipped."""
    failed = 0
    while failed < MAX_FAILED_READS:
        try:
            for packet in container.demux(streams):
                failed = 0
                yield packet
            return
        except MemoryError:
            raise
        except (av.error.FFmpegError, OSError):
            failed += 1
            damage.reads += 1
    for stream in streams:
        last: av.Packet[Any] = av.Packet()
        last.stream = stream
        yield last


def frames_of(packet: av.Packet[Any], damage: Damage) -> list[Any]:
    """The frames that a packet completes; an undecodable packet is counted."""
    if packet.size and packet.has_sidedata("encryption_info"):
        raise MediaError(
            "it is encrypted (protected content), which decodes to noise; decrypt it first, or give another copy"
        )
    try:
        frames: list[Any] = packet.decode()
    except MemoryError:
        raise
    except (av.error.FFmpegError, OSError, ValueError, EOFError):
        if packet.size:
            damage.packets += 1
        return []
    damage.frames += sum(bool(frame.is_corrupt) for frame in frames)
    return frames
