"""Check whether a file holds all the bytes that its header announces. Runs in the child."""

from __future__ import annotations

import os
from typing import BinaryIO


def broken(path: str, head: bytes) -> str:
    """Why libav found no media in a file of no other known type: part of a sentence."""
    if not head.strip(b"\0"):
        return "it begins with nothing but zero bytes (an unfinished download?); fetch the file again"
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        kinds, end = _boxes(file, size)
    if kinds & {b"ftyp", b"mdat", b"moov", b"wide"} and (b"moov" not in kinds or end > size):
        return "it begins as an mp4 but is cut short (its index, the moov box, is missing); copy or download it again"
    return "no video or sound was found in it; check that it plays, or copy it again"


def lost_bytes(path: str) -> int:
    """Bytes that an mp4, wav, avi or mkv file announces but lacks; 0 for whole files and other formats."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(64)
        if head[4:8] in (b"ftyp", b"moov", b"mdat", b"styp", b"wide"):
            end = _boxes(file, size)[1]
        elif head[:4] == b"RIFF":
            end = 8 + int.from_bytes(head[4:8], "little")
            if end >= 0x7FFF0000:  # placeholder of a recorder that does not know the length yet
                return 0
        elif head[:4] == b"\x1a\x45\xdf\xa3":
            end = _segment_end(head)
        else:
            return 0
    return max(0, end - size)


def _boxes(file: BinaryIO, size: int) -> tuple[set[bytes], int]:
    """The types of the top-level boxes of an mp4, and the declared end of the last one."""
    kinds: set[bytes] = set()
    place = 0
    for _ in range(100_000):  # a fragmented file has two boxes per second or so
        file.seek(place)
        head = file.read(16)
        if len(head) < 8:
            break
        length = int.from_bytes(head[:4], "big")
        kinds.add(head[4:8])
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if length < 8:  # 0: up to the end of the file
            break
        place += length
        if place >= size:
            break
    return kinds, place


def _segment_end(head: bytes) -> int:
    """The declared end of a Matroska file's segment; 0 if unknown."""
    length, taken = _number(head, 4)
    place = 4 + taken + length
    if head[place : place + 4] != b"\x18\x53\x80\x67":
        return 0
    length, taken = _number(head, place + 4)
    unknown = length == (1 << 7 * taken) - 1
    return 0 if unknown or not taken else place + 4 + taken + length


def _number(data: bytes, place: int) -> tuple[int, int]:
    """The EBML number at ``place``, and its size in bytes; (0, 0) if it is cut off."""
    if place >= len(data) or not data[place]:
        return 0, 0
    taken = 9 - data[place].bit_length()
    raw = int.from_bytes(data[place : place + taken], "big")
    return raw & ((1 << 7 * taken) - 1), taken
