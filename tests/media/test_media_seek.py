"""A stretch deep in a file: found by the index, and the same as if all before it had been decoded."""

from __future__ import annotations

from pathlib import Path

import ffmpeg
import imageio_ffmpeg
import numpy as np
import pytest

from msapipe.cache import Store
from msapipe.media import MediaOptions
from msapipe.media._audio import sound
from msapipe.media._open import Opened, open_media
from msapipe.media._seek import opened_at
from msapipe.media._video import pictures
from msapipe.media.options import SEEK_FROM
from msapipe.pipeline.plan import plan
from msapipe.pipeline.spec import load_spec
from msapipe.types import Clip

START, END = 17.3, 19.1


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """25 s; a key frame every 4 s, pictures that refer to later ones, a tone that glides through noise."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    seen = ffmpeg.input("testsrc=size=160x120:rate=25:duration=25", f="lavfi")
    heard = ffmpeg.input("aevalsrc=0.2*sin(300*t*t)+0.05*random(0):s=44100:d=25", f="lavfi")
    ffmpeg.output(seen, heard, f"file:{path}", g=100, bf=3, threads=1).run(
        cmd=imageio_ffmpeg.get_ffmpeg_exe(), quiet=True
    )
    return path


def heard(opened: Opened, rate: int) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    pieces = sound(opened, START, END, rate, lambda _: None)
    return np.concatenate([np.zeros(one, np.float32) if isinstance(one, int) else one for one in pieces])


@pytest.mark.parametrize("rate", [16000, 22050, 44100])
def test_sound_is_the_same(film: Path, rate: int) -> None:
    there = opened_at(str(film), START, "sound")
    assert there.sought
    assert np.array_equal(heard(there, rate), heard(open_media(str(film)), rate))
    assert there.notes == []


def test_pictures_are_the_same(film: Path) -> None:
    there, whole = opened_at(str(film), START, "video"), open_media(str(film))
    assert there.sought
    found, expected = (list(pictures(one, START, END, MediaOptions(), lambda _: None)) for one in (there, whole))
    assert [times for _, *times in found] == [times for _, *times in expected]
    assert all(np.array_equal(one, other) for (one, *_), (other, *_) in zip(found, expected, strict=True))
    assert len(found) == 18
    assert there.notes == []


def test_what_lies_before_is_not_decoded(film: Path) -> None:
    reached: list[float] = []
    list(pictures(opened_at(str(film), START, "video"), START, END, MediaOptions(), reached.append))
    assert min(time for time in reached if time) > START - 6


@pytest.mark.parametrize("name", ["film.mkv", "film.avi", "film.ts"])
def test_files_without_an_index_are_read_from_their_beginning(film: Path, tmp_path: Path, name: str) -> None:
    other = tmp_path / name
    ffmpeg.input(str(film)).output(str(other), c="copy").run(cmd=imageio_ffmpeg.get_ffmpeg_exe(), quiet=True)
    assert not opened_at(str(other), START, "video").sought


def test_only_keys_of_such_stretches_depend_on_how_they_are_found(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, store = load_spec("plain"), Store(tmp_path)

    def keys(start: float) -> dict[str, str]:
        return dict(plan(Clip("a", film, start), spec, store).keys)

    before, after = keys(SEEK_FROM - 1), keys(START)
    monkeypatch.setattr("msapipe.pipeline.plan.SEEK_VERSION", 0)
    assert keys(SEEK_FROM - 1) == before
    assert {name for name, key in keys(START).items() if key != after[name]} >= {"frames", "waveform", "faces", "audio"}
    assert keys(START)["media"] == after["media"]
