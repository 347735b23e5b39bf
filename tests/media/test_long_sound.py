"""Sound of long clips lies in a nameless file: the same samples, little memory, nothing left behind."""

from __future__ import annotations

import mmap
import tempfile
from pathlib import Path

import numpy as np
import pytest

from msapipe.errors import MediaError
from msapipe.media import Decoder, MediaOptions, _sound_buffer
from msapipe.media._sound_buffer import SoundBuffer
from msapipe.stages._speech import SpeechDetector
from msapipe.types import Clip, Waveform
from msapipe.types.sound import let_go, peak_of, pieces_of

SAMPLE = Path(__file__).resolve().parents[2] / "sample_media" / "negative.mp4"


def owner(samples: object) -> object:
    while isinstance(samples, np.ndarray):
        samples = samples.base
    return samples.obj if isinstance(samples, memoryview) else samples


def filled(random: np.random.Generator) -> SoundBuffer:
    held = SoundBuffer()
    for _ in range(5):
        held.add(random.normal(0, 0.1, 1000).astype(np.float32).tobytes())
        held.silence(4 * 300)
    return held


def test_in_a_file_as_in_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    short = filled(np.random.default_rng(1)).samples()
    monkeypatch.setattr(_sound_buffer, "MOST_IN_MEMORY", 8000)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    long = filled(np.random.default_rng(1)).samples()
    assert isinstance(owner(long), mmap.mmap)
    assert not isinstance(owner(short), mmap.mmap)
    assert not list(tmp_path.iterdir())
    assert np.array_equal(short, long)
    assert peak_of(short) == peak_of(long) == float(np.abs(short).max())
    for piece in pieces_of(long, 999):
        piece *= np.float32(2)
    let_go(long)
    assert np.array_equal(2 * short, long)


def test_a_clip_is_the_same_either_way(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[Waveform] = []
    with Decoder() as decoder:
        for most in (_sound_buffer.MOST_IN_MEMORY, 10_000):
            monkeypatch.setattr(_sound_buffer, "MOST_IN_MEMORY", most)
            found.append(decoder.waveform(Clip("c", SAMPLE), MediaOptions()))
    assert isinstance(owner(found[1].samples), mmap.mmap)
    assert found[0].notes == found[1].notes
    assert np.array_equal(found[0].samples, found[1].samples)
    hears = SpeechDetector()
    assert np.array_equal(hears.probabilities(found[0].samples), hears.probabilities(found[1].samples))
    assert np.array_equal(hears.probabilities(found[0].samples, 0.5), hears.probabilities(found[0].samples * 0.5))


def resident() -> int:
    """Pages of files in the memory of this process, kB."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Rss:"))


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="needs Linux")
def test_what_was_walked_over_is_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    held = SoundBuffer()
    held.silence(200 << 20)
    samples = held.samples()
    before, most = resident(), 0
    for piece in pieces_of(samples):
        piece += np.float32(1)
        most = max(most, resident())
    assert most - before < 50_000  # of 200,000
    assert peak_of(samples) == 1


def test_no_room_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    monkeypatch.setattr(_sound_buffer, "MOST_IN_MEMORY", 8000)
    held = SoundBuffer()
    with Path("/dev/full").open("wb", buffering=0) as full:
        monkeypatch.setattr(tempfile, "TemporaryFile", lambda: full)
        with pytest.raises(MediaError, match="TMPDIR"):
            held.silence(10_000_000)
