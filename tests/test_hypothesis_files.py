"""Damaged files of every kind that we read ourselves: read or refused by the promised error, never anything else."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from msapipe.cache.store import entry_bytes, read_entry
from msapipe.datasets import Example, Refused, reader_of
from msapipe.errors import MsapipeError
from msapipe.formats._safe_pickle import read_plain
from msapipe.formats.csd import Csd
from msapipe.formats.safetensors import Safetensors
from msapipe.sidecars import SUFFIXES, sidecars_of
from msapipe.stages.transcript._formats import read_file
from msapipe.types import FeatureSequence, Sample

PART = FeatureSequence(np.ones((3, 2), np.float32), np.arange(6.0).reshape(3, 2), np.ones(3, bool), ("a", "b"))
SAMPLES = [Sample("v/1", {"text": PART, "audio": PART}, {"M": 0.5}, "train", "v", "words")]
ENTRY = entry_bytes(PART, {"a": 1}, ("note",))
often = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
cuts = st.tuples(st.floats(0, 1), st.integers(0, 30), st.binary(max_size=12))


def damaged(data: bytes, cut: tuple[float, int, bytes]) -> bytes:
    at = int(cut[0] * len(data))
    return data[:at] + cut[2] + data[at + cut[1] :]


@given(cuts)
@often
def test_entries_of_the_cache(tmp_path: Path, cut: tuple[float, int, bytes]) -> None:
    path, data = tmp_path / "e.safetensors", damaged(ENTRY, cut)
    path.write_bytes(data)
    if data == ENTRY:
        assert read_entry(path).notes == ("note",)
        return
    with pytest.raises(ValueError, match="damaged"):
        read_entry(path)


@given(st.text(max_size=200), st.sampled_from([",", ";", "\t"]), cuts)
@often
def test_label_files(tmp_path: Path, cell: str, comma: str, cut: tuple[float, int, bytes]) -> None:
    text = f"video_id{comma}clip_id{comma}text{comma}label\nv{comma}1{comma}{cell}{comma}0.5\n"
    (tmp_path / "label.csv").write_bytes(damaged(text.encode("utf-8", "replace"), cut))
    with suppress(MsapipeError):
        for item in reader_of(tmp_path, "table").read():
            assert isinstance(item, Example | Refused)


@given(st.sampled_from(SUFFIXES), st.text(max_size=200), cuts)
@often
def test_files_of_words(tmp_path: Path, suffix: str, said: str, cut: tuple[float, int, bytes]) -> None:
    path = tmp_path / f"clip{suffix}"
    whole = f"1\n00:00:01,000 --> 00:00:02,000\n{said}\n\n[00:01.00]{said}\n<p begin='1s'>{said}</p>\n"
    path.write_bytes(damaged(whole.encode("utf-8", "replace"), cut))
    with suppress(MsapipeError):
        found = read_file(path, "en", 25.0)
        assert found is None or all(cue.start is None or cue.start >= 0 for cue in found.cues)


@given(st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), max_size=60))
@often
def test_names_beside_a_clip(tmp_path: Path, middle: str) -> None:
    for suffix in (".srt", ".json"):
        with suppress(OSError):  # names that the file system does not take
            (tmp_path / f"clip{middle}{suffix}").write_text("x")
    for found in sidecars_of(tmp_path / "clip.mp4"):
        assert found.path.parent == tmp_path


@given(cuts)
@often
def test_feature_files(tmp_path: Path, cut: tuple[float, int, bytes]) -> None:
    pytest.importorskip("h5py")
    for name, kind in {"f.safetensors": Safetensors, "text.csd": Csd}.items():
        seed = tmp_path / f"seed-{name}"
        if not seed.exists():
            kind().write(seed, SAMPLES)
        source = sorted(seed.glob("*.csd"))[0] if seed.is_dir() else seed
        folder = tmp_path / "read"
        folder.mkdir(exist_ok=True)
        (folder / source.name).write_bytes(damaged(source.read_bytes(), cut))
        with suppress(MsapipeError, ValueError):  # a value that fits together and is no feature
            list(kind().read(folder / source.name))


@given(st.binary(max_size=200))
@often
def test_pickles(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "f.pkl").write_bytes(b"\x80\x04" + data)
    with suppress(MsapipeError):
        read_plain(tmp_path / "f.pkl")
