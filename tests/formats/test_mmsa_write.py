"""The pickle that is written: MMSA's keys, types and sizes, and nothing that an old numpy does not know."""

from __future__ import annotations

import pickletools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from msapipe.errors import MsapipeError
from msapipe.formats._safe_pickle import read_plain
from msapipe.formats.mmsa import Mmsa
from msapipe.types import FeatureSequence, Sample
from tests.formats.clips import some_clips


def part(steps: int, width: int, **more: Any) -> FeatureSequence:
    times = np.stack([np.arange(steps), np.arange(1, steps + 1)], axis=1).astype(np.float64)
    return FeatureSequence(np.ones((steps, width), np.float32), times, np.ones(steps, bool), **more)


def written(path: Path, samples: list[Sample], **more: Any) -> dict[str, Any]:
    assert Mmsa(**more).write(path, samples) == len(samples)
    return dict(read_plain(path))  # by the allow-list, as everything is read here


def test_keys_types_and_sizes(tmp_path: Path) -> None:
    data = written(tmp_path / "x.pkl", some_clips())
    assert list(data) == ["train", "valid", "test"]
    train = data["train"]
    assert train["id"] == ["v0$_$1", "v3$_$1"]
    assert train["raw_text"] == ["words 0", "words 3"]
    sizes = {"text": (2, 8, 3), "audio": (2, 9, 2), "vision": (2, 9, 4), "text_bert": (2, 3, 8)}
    sizes |= dict.fromkeys(("regression_labels", "regression_labels_T", "classification_labels"), (2,))
    for key, size in sizes.items():
        assert (type(train[key]), train[key].dtype, train[key].shape) == (np.ndarray, np.float32, size), key
    assert (train["audio_lengths"], train["vision_lengths"], train["text_lengths"]) == ([9, 9], [4, 7], [3, 6])
    assert (train["annotations"], train["classification_labels"].tolist()) == (["Negative", "Positive"], [0, 2])
    assert (data["test"]["annotations"], data["test"]["regression_labels"].tolist()) == (
        ["Neutral", "Positive"],
        [0, 1.5],
    )
    assert train["text_bert"][1].tolist() == [[7] * 6 + [0] * 2, [1] * 6 + [0] * 2, [0] * 8]
    assert np.array_equal(train["vision"][1, :7], some_clips()[3].features["vision"].values)
    assert not train["vision"][1, 7:].any()
    assert "regression_labels_A" not in train


def test_where_all_have_as_many_steps_all_arrays_have(tmp_path: Path) -> None:
    def clip(number: int, steps: int) -> Sample:
        features = {"text": part(steps, 3), "audio": part(steps, 2), "vision": part(steps, 4)}
        if number == 1:
            del features["audio"]
        return Sample(str(number), features, {"M": 0}, ("train", "valid", "test")[number])

    data = written(tmp_path / "x.pkl", [clip(0, 4), clip(1, 7), clip(2, 1)])
    assert {data[split][name].shape[1] for split in data for name in ("text", "audio", "vision")} == {7}
    assert data["valid"]["audio_lengths"] == [1]
    data = written(tmp_path / "x.pkl", [clip(0, 4), clip(1, 7), clip(2, 1)], steps={"text": 2, "audio": 5, "vision": 9})
    assert [data["valid"][name].shape[1] for name in ("text", "audio", "vision")] == [2, 5, 9]
    assert data["valid"]["text_lengths"] == [2]


def test_text_of_token_ids_is_text_bert(tmp_path: Path) -> None:
    names = ("tokens.input_id", "tokens.token_type", "tokens.word")
    clips = [
        replace(clip, tokens=None, features={**clip.features, "text": part(3, 3, names=names)}) for clip in some_clips()
    ]
    data = written(tmp_path / "x.pkl", clips)
    assert data["test"]["text_bert"].tolist() == [[[1] * 3] * 3] * 2


def test_it_names_only_what_every_numpy_has(tmp_path: Path) -> None:
    written(tmp_path / "x.pkl", some_clips())
    found = {
        argument
        for opcode, argument, _ in pickletools.genops((tmp_path / "x.pkl").read_bytes())
        if opcode.name == "GLOBAL"
    }
    assert found == {"numpy.core.multiarray _reconstruct", "numpy ndarray", "numpy dtype"}


def test_ids_are_video_and_clip(tmp_path: Path) -> None:
    names = ["Raw/v0/0001.mp4", "v1$_$x", "b/v2.mp4", "v3/0001.mp4", "v4/1", "v5/1"]
    clips = [replace(clip, id=name) for clip, name in zip(some_clips(), names, strict=True)]
    clips[2] = replace(clips[2], video=names[2])
    data = written(tmp_path / "x.pkl", clips)
    assert data["train"]["id"] == ["v0$_$0001", "v3$_$0001"]
    assert data["valid"]["id"] == ["v1$_$x", "v4$_$1"]
    assert data["test"]["id"] == ["b/v2.mp4", "v5$_$1"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"split": None}, r"clip v0\$_\$1 is in no split"),
        ({"labels": {"T": 1.0}}, r"clip v0\$_\$1 has no label"),
        ({"id": "v1$_$1"}, r"clips v1\$_\$1 and v1\$_\$1 would both be called"),
        ({"tokens": None}, r"clip v0\$_\$1 has no token ids"),
        ({"features": {"audio": part(2, 5)}}, "audio has 2 columns, that of .* has 5"),
    ],
)
def test_what_mmsa_cannot_load_is_refused(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    first, *others = some_clips()
    with pytest.raises(MsapipeError, match=said):
        Mmsa().write(tmp_path / "x.pkl", [replace(first, **change), *others])
    assert not list(tmp_path.iterdir())


def test_splits_and_modalities_must_all_be_there(tmp_path: Path) -> None:
    with pytest.raises(MsapipeError, match="no clip is in test; MMSA needs train, valid and test"):
        Mmsa().write(tmp_path / "x.pkl", some_clips(2))
    clips = [replace(clip, features={"text": clip.features["text"]}) for clip in some_clips()]
    with pytest.raises(MsapipeError, match="no clip has audio; MMSA's loader needs text, audio, vision"):
        Mmsa().write(tmp_path / "x.pkl", clips)
