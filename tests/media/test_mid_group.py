"""A stream that was cut in the middle of a group of pictures is read from its first whole picture on, with a note."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from msapipe.media import Decoder, MediaOptions
from msapipe.types import Clip


def make(path: Path, codec: str) -> None:
    picture = np.repeat(np.add.outer(np.arange(120), np.arange(160)).astype(np.uint8)[:, :, None], 3, axis=2)
    with av.open(str(path), "w", format="mpegts") as out:
        video = out.add_stream(codec, rate=25)
        video.width, video.height, video.pix_fmt, video.codec_context.gop_size = 160, 120, "yuv420p", 25
        for number in range(100):
            pixels = np.roll(picture, number, axis=1)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts = number
            out.mux(video.encode(frame))
        out.mux(video.encode(None))


@pytest.mark.parametrize("codec", ["mpeg2video", "libx264"])
def test_a_transport_stream_that_begins_in_the_middle(codec: str, tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole.ts", tmp_path / "cut.ts"
    make(whole, codec)
    data = whole.read_bytes()
    packets = [data[at : at + 188] for at in range(0, len(data), 188)]
    tables, rest = packets[:3], packets[3 + len(packets) // 8 :]
    cut.write_bytes(b"".join(tables + rest))
    said = []
    with Decoder() as decoder:
        for path in (whole, cut):
            frames = decoder.frames(Clip("c", path), MediaOptions())
            assert sum(len(batch.times) for batch in frames.batches(8)) > 20
            said.append([note for note in frames.notes if "middle of a group" in note])
    assert (len(said[0]), len(said[1])) == (0, 1)
