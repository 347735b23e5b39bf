"""Messages between the parent and the decoding child.

A message is two lengths (uint32, uint32; little-endian), a JSON header and raw bytes. Nothing is pickled: the child
reads hostile media, so the parent accepts only numbers and text from it, and bounds both lengths.
"""

from __future__ import annotations

import json
import os
import struct
from dataclasses import asdict
from typing import Any

from msapipe.types import CaptionTrack, MediaInfo, Word

LENGTHS = struct.Struct("<II")
MAX_HEADER = 16_000_000
MAX_PAYLOAD = 256_000_000
# The child's exit code after a failed allocation; any other code means a crash.
OUT_OF_MEMORY = 77

Header = dict[str, Any]


def send(descriptor: int, header: Header, payload: memoryview | bytes = b"") -> None:
    """Write one whole message; blocks while the other side does not read."""
    text = json.dumps(header).encode("ascii")
    _write(descriptor, memoryview(LENGTHS.pack(len(text), len(payload)) + text))
    if len(payload):
        _write(descriptor, memoryview(payload))


def _write(descriptor: int, data: memoryview) -> None:
    while len(data):
        data = data[os.write(descriptor, data) :]


def lengths(data: bytes | bytearray) -> tuple[int, int]:
    """Lengths of header and payload from the first eight bytes; ValueError if they are cut off or implausible."""
    if len(data) != LENGTHS.size:
        raise ValueError(f"a message that ends after {len(data)} bytes")
    header, payload = LENGTHS.unpack(data)
    if header > MAX_HEADER or payload > MAX_PAYLOAD:
        raise ValueError(f"a message of {header} + {payload} bytes")
    return header, payload


def parse(text: bytes | bytearray) -> Header:
    """The header of a message; ValueError if it is not a JSON object."""
    header = json.loads(text)
    if not isinstance(header, dict):
        raise ValueError("a header that is not an object")
    return header


def pack_info(info: MediaInfo) -> Header:
    """A probe's result as plain values."""
    tracks = [
        {**asdict(track), "cues": [(cue.text, cue.start, cue.end) for cue in track.cues]} for track in info.captions
    ]
    return {"kind": "info", **vars(info), "captions": tracks}


def unpack_info(header: Header) -> MediaInfo:
    """The inverse of ``pack_info``; ValueError, TypeError or KeyError if the header is malformed."""
    seconds = header["seconds"]
    return MediaInfo(
        format=str(header["format"]),
        video=None if header["video"] is None else str(header["video"]),
        audio=None if header["audio"] is None else str(header["audio"]),
        seconds=None if seconds is None else float(seconds),
        captions=tuple(_track(track) for track in header["captions"]),
        notes=tuple(str(note) for note in header["notes"]),
        rate=None if header["rate"] is None else float(header["rate"]),
    )


def _track(plain: Header) -> CaptionTrack:
    """One subtitle stream from plain values."""
    return CaptionTrack(
        stream=int(plain["stream"]),
        cues=tuple(Word(str(text), float(start), float(end)) for text, start, end in plain["cues"]),
        language=None if plain["language"] is None else str(plain["language"]),
        default=bool(plain["default"]),
        forced=bool(plain["forced"]),
        hearing_impaired=bool(plain["hearing_impaired"]),
        commentary=bool(plain["commentary"]),
    )
