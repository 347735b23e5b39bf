"""Times, turns, shapes and the thinning of pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from msapipe.errors import MediaError
from msapipe.media import Decoder, MediaOptions
from msapipe.types import Clip
from tests.media.making import corner, sine, write_video

ALL = MediaOptions(fps=1000)


def read(
    decoder: Decoder, clip: Clip, options: MediaOptions = ALL
) -> tuple[NDArray[np.uint8], NDArray[np.float64], list[str]]:
    frames = decoder.frames(clip, options)
    batches = list(frames.batches(7))
    if not batches:
        return np.zeros((0, 0, 0, 3), np.uint8), np.zeros((0, 2)), frames.notes
    return np.concatenate([b.pixels for b in batches]), np.concatenate([b.times for b in batches]), frames.notes


def test_variable_rate_keeps_the_stamps_of_the_file(decoder: Decoder, tmp_path: Path) -> None:
    times = [0.0, 0.033, 0.5, 0.51, 1.25]
    path = write_video(tmp_path / "vfr.mp4", times)
    pixels, found, _ = read(decoder, Clip("a", path))
    assert pixels.shape == (5, 48, 64, 3)
    np.testing.assert_allclose(found[:, 0], times, atol=1e-6)
    np.testing.assert_allclose(found[:-1, 1], times[1:], atol=1e-6)
    assert found[-1, 1] > times[-1]


@pytest.mark.parametrize("name", ["photo.jpg", "photo.png", "photo.webp", "photo%03d.jpg", "named_like.mp4"])
def test_a_photograph_is_a_video_of_one_picture(decoder: Decoder, tmp_path: Path, name: str) -> None:
    kind = ".png" if name.endswith("mp4") else Path(name).suffix
    found, data = cv2.imencode(kind, corner()[:, :, ::-1])
    assert found
    (tmp_path / name).write_bytes(data.tobytes())
    (tmp_path / "photo001.jpg").write_bytes(b"another file, which must not be opened")
    info = decoder.probe(tmp_path / name)
    assert info.video is not None
    assert "64x48" in info.video
    pixels, _, _ = read(decoder, Clip("a", tmp_path / name))
    assert pixels.shape == (1, 48, 64, 3)
    np.testing.assert_allclose(pixels[0], corner(), atol=6)


def test_25_to_10_a_second_does_not_drift(decoder: Decoder, tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", [i / 25 for i in range(250)])
    _, times, notes = read(decoder, Clip("a", path), MediaOptions(fps=10))
    assert len(times) == 100
    assert np.all(times[:, 0] - np.arange(100) / 10 >= -1e-6)
    assert np.all(times[:, 0] - np.arange(100) / 10 < 0.04)
    np.testing.assert_allclose(times[1:, 0], times[:-1, 1])
    assert notes == []


def test_30_a_second_is_kept_whole_in_milliseconds(decoder: Decoder, tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", [round(i / 30, 3) for i in range(60)])
    assert len(read(decoder, Clip("a", path), MediaOptions(fps=30))[1]) == 60


def test_span(decoder: Decoder, tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", [i / 25 for i in range(50)])
    _, times, _ = read(decoder, Clip("a", path, 0.5, 1.0))
    np.testing.assert_allclose(times[[0, -1], 0], [0.02, 0.46], atol=1e-6)
    assert times[-1, 1] == pytest.approx(0.5)
    _, times, notes = read(decoder, Clip("a", path, 50.0, 51.0))
    assert len(times) == 0
    assert notes == ["There are no pictures in this stretch."]


def test_time_zero_is_the_start_of_the_earliest_stream(decoder: Decoder, tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", [5.0, 5.04, 5.08], sound=sine(), sound_start=4.5)
    _, times, _ = read(decoder, Clip("a", path))
    np.testing.assert_allclose(times[:, 0], [0.5, 0.54, 0.58], atol=2e-3)


# The bright quarter lies upper left in the stored picture. Where it is seen: (below?, right?).
TURNS = {
    (0, False): (0, 0),
    (90, False): (1, 0),
    (180, False): (1, 1),
    (270, False): (0, 1),
    (0, True): (0, 1),
}


@pytest.mark.parametrize(("angle", "mirror"), TURNS)
def test_turn(decoder: Decoder, tmp_path: Path, angle: int, mirror: bool) -> None:
    path = write_video(
        tmp_path / "a.mp4", [0.0, 0.04], setup=lambda video: video.set_display_rotation(angle, hflip=mirror)
    )
    pixels, _, notes = read(decoder, Clip("a", path))
    assert pixels.shape[1:3] == ((64, 48) if angle % 180 else (48, 64))
    height, width = pixels.shape[1:3]
    below, right = TURNS[angle, mirror]
    bright = pixels[0, height // 4 + below * height // 2, width // 4 + right * width // 2]
    assert bright.min() > 200
    assert pixels[0].mean() < 110
    assert notes == []


def test_odd_turns_are_ignored_and_said(decoder: Decoder, tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", [0.0], setup=lambda video: video.set_display_rotation(45))
    pixels, _, notes = read(decoder, Clip("a", path))
    assert pixels.shape == (1, 48, 64, 3)
    assert "rotation" in notes[0]


def test_pixel_aspect_and_largest_side(decoder: Decoder, tmp_path: Path) -> None:
    def wide(video: Any) -> None:
        video.codec_context.sample_aspect_ratio = 2

    path = write_video(tmp_path / "a.mkv", [0.0, 0.04], setup=wide)
    assert read(decoder, Clip("a", path))[0].shape == (2, 48, 128, 3)
    assert read(decoder, Clip("a", path), MediaOptions(max_side=64))[0].shape == (1, 24, 64, 3)


def test_size_that_changes_on_the_way(decoder: Decoder, shared: Path) -> None:
    path = shared / "badmedia/real/058/400x300-red-resize-200x150-green.mp4"
    pixels, _, notes = read(decoder, Clip("a", path), MediaOptions(fps=10))
    assert pixels.shape[1:] == (300, 400, 3)
    assert pixels[-1, :, :, 1].mean() > 100
    assert "size of the pictures changes" in notes[0]


def test_each_pass_decodes_anew(decoder: Decoder, tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", [0.0, 0.04, 0.08])
    frames = decoder.frames(Clip("a", path), ALL)
    first, second = (np.concatenate([b.pixels for b in frames.batches(2)]) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_too_many_pixels_are_refused_at_once(decoder: Decoder, tmp_path: Path) -> None:
    path = tmp_path / "bomb.gif"
    path.write_bytes(b"GIF89a" + (12000).to_bytes(2, "little") * 2 + b"\x80\0\0" + b"\0\0\0\xff\xff\xff" + b";")
    with pytest.raises(MediaError, match=r"bomb.gif.*12000x12000.*50 million"):
        decoder.probe(path)


def test_colours(decoder: Decoder, tmp_path: Path) -> None:
    red = np.zeros((32, 32, 3), np.uint8)
    red[..., 0] = 250
    path = write_video(tmp_path / "a.mp4", [0.0, 0.04], lambda _: red)
    pixels = read(decoder, Clip("a", path))[0]
    np.testing.assert_allclose(pixels[0].reshape(-1, 3).mean(0), [250, 0, 0], atol=6)
    assert corner().max() == 240
