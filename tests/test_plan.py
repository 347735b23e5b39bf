"""Keys: everything that could change a result changes its name, and nothing else does."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from msapipe.cache import Store
from msapipe.errors import NotMedia
from msapipe.pipeline.plan import Plan, plan
from msapipe.pipeline.spec import load_spec, parse_spec, pipeline_names
from msapipe.types import Clip

TEXT = pipeline_names()["pocket"].read_text()


@pytest.fixture
def clip(tmp_path: Path, samples: Path) -> Clip:
    path = tmp_path / "clip.mp4"
    shutil.copy(samples / "positive.mp4", path)
    return Clip("clip.mp4", path)


def plan_of(clip: Clip, text: str = TEXT) -> Plan:
    return plan(clip, parse_spec(text, "test"), Store(clip.path.parent / "cache"))


def changed(before: Plan, after: Plan) -> set[str]:
    return {slot for slot in before.keys if before.keys[slot] != after.keys.get(slot)}


def test_a_plan_computes_nothing_and_names_every_step(clip: Clip) -> None:
    planned = plan_of(clip)
    assert [step.name for step in planned.steps] == [
        "media",
        "transcript/sidecar",
        "transcript/subtitles",
        "transcript/whisper",
        "transcript/pocketsphinx",
        "words/given",
        "words/pocketsphinx",
        "words/spread",
        "faces/mtcnn",
        "speaker/largest",
        "text/pocket",
        "audio/prosody",
        "vision/expression",
    ]
    assert not any(step.stored for step in planned.steps)
    assert not (clip.path.parent / "cache").exists()


def test_a_rename_and_another_id_change_nothing(clip: Clip) -> None:
    before = plan_of(clip)
    path = clip.path.rename(clip.path.with_name("other name.mp4"))
    assert changed(before, plan_of(Clip("another id", path))) == set()


def test_other_bytes_of_the_same_size_and_date_change_everything(clip: Clip) -> None:
    before = plan_of(clip)
    times = clip.path.stat()
    data = bytearray(clip.path.read_bytes())
    data[-1] ^= 1
    clip.path.write_bytes(data)
    os.utime(clip.path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert changed(before, plan_of(clip)) == set(before.keys) - {"clip"}


@pytest.mark.parametrize(
    ("old", "new", "slots"),
    [
        ("fps: 10", "fps: 5", {"frames", "faces", "speaker", "vision"}),
        ("peak_db: -3", "peak_db: -6", {"waveform", "transcript", "words", "text", "audio"}),
        ("min_score: 0.9", "min_score: 0.8", {"faces", "speaker", "vision"}),
        ("[sidecar, subtitles, {use: whisper}, pocketsphinx]", "[sidecar, subtitles]", {"transcript", "words", "text"}),
        ("audio: {use: prosody}", "audio: {use: prosody, window: 4.0}", {"audio"}),
    ],
)
def test_a_setting_changes_what_stands_behind_it(clip: Clip, old: str, new: str, slots: set[str]) -> None:
    assert old in TEXT
    assert changed(plan_of(clip), plan_of(clip, TEXT.replace(old, new))) == slots


def test_a_stage_version_changes_what_stands_behind_it(clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    before = plan_of(clip)
    spec = load_spec("pocket")
    stage = type(spec.stages["faces"][0].stage)
    monkeypatch.setattr(stage, "version", stage.version + 1)
    assert changed(before, plan_of(clip)) == {"faces", "speaker", "vision"}


def test_weights_change_what_stands_behind_them(clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    before = plan_of(clip)
    stage = type(load_spec("pocket").stages["faces"][0].stage)
    first, *rest = stage.weights
    monkeypatch.setattr(stage, "weights", (replace(first, sha256="0" * 64), *rest))
    assert changed(before, plan_of(clip)) == {"faces", "speaker", "vision"}


def test_span_text_and_sidecar_are_part_of_the_keys(clip: Clip) -> None:
    before = plan_of(clip)
    assert {"frames", "waveform", "vision", "audio"} <= changed(before, plan_of(replace(clip, start=1.0)))
    words = {"clip", "transcript", "words", "text"}
    assert changed(before, plan_of(replace(clip, text="hello"))) == words
    clip.path.with_suffix(".txt").write_text("hello")
    one = plan_of(clip)
    assert changed(before, one) == words
    other = clip.path.with_suffix(".en.vtt")  # what is asked next where the first cannot be read
    other.write_text("hello")
    two = plan_of(clip)
    assert changed(one, two) == words
    other.rename(clip.path.with_suffix(".de.vtt"))
    assert changed(two, plan_of(clip)) == words, "its name says the language"


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotMedia, match=r"gone\.mp4"):
        plan_of(Clip("gone", tmp_path / "gone.mp4"))
