"""The decoding child: reads requests from standard input, writes messages to standard output.

Started by ``msapipe.media.decoder`` as ``python -m msapipe.media._child PARENT_PID MEMORY_MB``. It may crash or be
killed at any time; only the call that waits for it is affected.
"""

from __future__ import annotations

import os
import signal
import struct
import sys
import time
from typing import Any

import numpy as np

from msapipe.errors import MediaError, NotMedia
from msapipe.interrupts import not_outlive
from msapipe.media._audio import Take, sound
from msapipe.media._open import Opened, beside_the_film, what_is_said
from msapipe.media._probe import probe
from msapipe.media._protocol import OUT_OF_MEMORY, pack_info, parse, send
from msapipe.media._seek import opened_at
from msapipe.media._video import pictures
from msapipe.media.options import MediaOptions

# Seconds between signs of life to the parent while decoding yields nothing.
HEARTBEAT = 0.5
# Samples of sound per message.
PIECE = 1 << 18


def restrict(parent: int, memory_mb: int) -> None:
    """Limit the memory, write no core file, ignore Ctrl-C (the parent handles it), and die with the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        import resource
    except ImportError:  # Windows
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    wanted = memory_mb * 2**20
    limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if sys.platform != "darwin":  # macOS has the limit but refuses to set it
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    not_outlive(parent)


class Wire:
    """The child's end of the pipes."""

    def __init__(self) -> None:
        # Output of libraries must neither reach the user's terminal nor get between two messages.
        self._out = os.dup(1)
        with open(os.devnull, "w") as nothing:
            os.dup2(nothing.fileno(), 1)
        self._last = time.monotonic()

    def request(self) -> dict[str, Any] | None:
        """The next request; None if the parent has closed the pipe."""
        head = sys.stdin.buffer.read(4)
        if len(head) < 4:
            return None
        return parse(sys.stdin.buffer.read(struct.unpack("<I", head)[0]))

    def send(self, header: dict[str, Any], payload: memoryview | bytes = b"") -> None:
        """Send one message."""
        send(self._out, header, payload)
        self._last = time.monotonic()

    def alive(self, reached: float) -> None:
        """Tell the parent at intervals how many seconds of the file are done."""
        if time.monotonic() - self._last > HEARTBEAT:
            self.send({"kind": "progress", "reached": reached})


def serve(wire: Wire) -> None:
    """Answer requests until the parent closes the pipe."""
    wire.send({"kind": "ready"})
    while (request := wire.request()) is not None:
        try:
            answer(wire, request)
        except (NotMedia, MediaError) as error:
            wire.send({"kind": "error", "error": type(error).__name__, "text": str(error)})
        except MemoryError:
            os._exit(OUT_OF_MEMORY)  # the libraries are in an unknown state
        except Exception as error:  # noqa: BLE001 - a broken file must not end the service, whatever it broke
            said = f"{type(error).__name__}: {error}".rstrip(": ")
            wire.send({"kind": "error", "error": "MediaError", "text": f"it broke the decoder ({said})"})


def answer(wire: Wire, request: dict[str, Any]) -> None:
    """Carry out one request."""
    if request["what"] == "ping":
        wire.send({"kind": "ready"})
        return
    if request["what"] == "probe":
        wire.send(pack_info(probe(request["path"], wire.alive)))
        return
    options = MediaOptions(**request["options"])
    kind = "video" if request["what"] == "frames" else "sound"
    opened = opened_at(request["path"], request["start"], kind, request.get("track", 0))
    with opened.container:
        if kind == "video":
            send_pictures(wire, opened, request, options)
            wire.send({"kind": "end", "notes": opened.notes})
        else:
            send_sound(wire, opened, request, options)


def send_pictures(wire: Wire, opened: Opened, request: dict[str, Any], options: MediaOptions) -> None:
    """Send each picture with its times."""
    for picture, start, end in pictures(opened, request["start"], request["end"], options, wire.alive):
        height, width = picture.shape[:2]
        header = {"kind": "picture", "height": height, "width": width, "start": start, "end": end}
        wire.send(header, picture.data.cast("B"))


def send_sound(wire: Wire, opened: Opened, request: dict[str, Any], options: MediaOptions) -> None:
    """Send sound in large pieces and silence as a count, then the facts for choosing a track or channel."""
    waiting: list[Any] = []
    take = Take(request["track"], request["channel"])

    def flush() -> None:
        if waiting:
            wire.send({"kind": "sound"}, np.concatenate(waiting).data.cast("B"))
            waiting.clear()

    for piece in sound(opened, request["start"], request["end"], options.rate, wire.alive, take):
        if isinstance(piece, int):
            flush()
            wire.send({"kind": "silence", "samples": piece})
        else:
            waiting.append(piece)
            if sum(map(len, waiting)) >= PIECE:
                flush()
    flush()
    tracks = [(track.index, what_is_said(track), beside_the_film(track)) for track in opened.tracks]
    seen = {"tracks": tracks, "cancels": take.cancels, "loudest": take.loudest}
    wire.send({"kind": "end", "notes": opened.notes, **seen})


if __name__ == "__main__":
    restrict(int(sys.argv[1]), int(sys.argv[2]))
    try:
        serve(Wire())
    except BrokenPipeError:  # the parent is gone
        os._exit(0)
