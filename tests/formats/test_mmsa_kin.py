"""Pickles as people have them: other names, shapes and ages; each clip is read, refused by name, or noted."""

from __future__ import annotations

import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from msapipe.errors import MsapipeError
from msapipe.formats.mmsa import Mmsa
from msapipe.train.data import load_data
from msapipe.types import Sample
from tests.formats.test_mmsa import split

FOUR = [f"vid{i // 2}$_${i}" for i in range(4)]


def read(path: Path, data: Any, protocol: int = 4) -> tuple[list[Sample], tuple[str, ...]]:
    path.write_bytes(data if isinstance(data, bytes) else pickle.dumps(data, protocol))
    format_ = Mmsa()
    return list(format_.read(path)), format_.notes


def one(path: Path, **more: Any) -> tuple[list[Sample], tuple[str, ...]]:
    return read(path / "x.pkl", {"train": split(4, **more)})


@pytest.mark.parametrize("name", ["dev", "val", "validation", "Valid", b"dev", "development"])
def test_splits_by_other_names(tmp_path: Path, name: Any) -> None:
    samples, _ = read(tmp_path / "x.pkl", {"training": split(4), name: split(2), "Test": split(3)})
    assert [s.split for s in samples] == ["train"] * 4 + ["valid"] * 2 + ["test"] * 3


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"train": split(2), "holdout": split(2)}, "nobody knows which split 'holdout' is"),
        ({"train": split(2), "dev": split(2), "valid": split(2)}, "'dev' and 'valid' are both valid"),
        ({"audio": 1}, "found the keys 'audio'"),
    ],
)
def test_a_split_of_another_name_is_never_lost(tmp_path: Path, data: Any, said: str) -> None:
    with pytest.raises(MsapipeError, match=said):
        read(tmp_path / "x.pkl", data)


@pytest.mark.parametrize(
    "ids",
    [
        [name.split("$_$") for name in FOUR],
        np.array([name.split("$_$") for name in FOUR], dtype=object),
        np.array([name.encode() for name in FOUR]),
        np.array([[name] for name in FOUR]),
        [tuple(map(str.encode, name.split("$_$"))) for name in FOUR],
    ],
)
def test_ids_however_written(tmp_path: Path, ids: Any) -> None:
    samples, _ = one(tmp_path, id=ids)
    assert [sample.id for sample in samples] == FOUR
    assert [sample.video for sample in samples] == ["vid0", "vid0", "vid1", "vid1"]


def test_ids_that_stand_twice_are_told_apart_and_said(tmp_path: Path) -> None:
    more = {"train": split(4, id=["a$_$1", "a$_$1", "b", "a$_$1"]), "test": split(2, id=["b", "a$_$1#2"])}
    samples, notes = read(tmp_path / "x.pkl", more)
    assert [sample.id for sample in samples] == ["a$_$1", "a$_$1#2", "b", "a$_$1#3", "b#2", "a$_$1#2#2"]
    assert {sample.video for sample in samples[:2]} == {"a"}
    assert any("clips have the id of another (as a$_$1)" in note for note in notes)
    assert any("stand in several splits" in note for note in notes)


@pytest.mark.parametrize("given", [[[7]] * 4, np.full((4, 1, 1), 7.0), np.array([7] * 4, object), ["7"] * 4])
def test_lengths_however_nested(tmp_path: Path, given: Any) -> None:
    samples, _ = one(tmp_path, audio_lengths=given)
    assert {len(sample.features["audio"].values) for sample in samples} == {7}


def test_lengths_that_make_no_sense_are_not_believed_and_said(tmp_path: Path) -> None:
    samples, notes = one(tmp_path, audio_lengths=[0, 0, 3, 99])
    assert [len(sample.features["audio"].values) for sample in samples] == [9, 9, 3, 9]
    assert "audio_lengths is 0 for 2 clips whose audio is not empty: not believed" in notes
    assert "audio_lengths says more steps than there are for 1 clips; all steps count" in notes


def test_a_turned_text_bert_is_turned_back(tmp_path: Path) -> None:
    bert = split(4)["text_bert"]
    bert[:, 0] = np.arange(6) + 100
    samples, notes = one(tmp_path, text_bert=bert.transpose(0, 2, 1))
    assert samples[0].tokens is not None
    assert np.array_equal(samples[0].tokens, bert[0])
    assert len(samples[0].features["text"].values) == 4
    assert "(N, L, 3)" in notes[0]


def test_zeros_for_text_bert_mask_nothing_out(tmp_path: Path) -> None:
    samples, notes = one(tmp_path, text_bert=np.zeros((4, 3, 6)))
    assert all(sample.features["text"].valid.all() and sample.features["text"].valid.any() for sample in samples)
    assert all(sample.tokens is None for sample in samples)
    assert any("text_bert is zero in 4 clips" in note for note in notes)


def test_masks_that_leave_everything_out_and_masks_elsewhere(tmp_path: Path) -> None:
    bert = split(4)["text_bert"]
    bert[:, 0, :4] = 100
    bert[1, 1] = 0
    samples, notes = one(tmp_path, text_bert=bert)
    assert samples[1].tokens is not None
    assert samples[1].tokens[1].tolist() == [1, 1, 1, 1, 0, 0]
    assert any("masks out all tokens of 1 clips" in note for note in notes)
    behind = split(4)["text_bert"][:, [0, 2, 1]]
    samples, notes = one(tmp_path, text_bert=behind)
    assert samples[0].tokens is not None
    assert samples[0].tokens[1].sum() == 4
    assert any("mask behind the segments" in note for note in notes)


def test_lists_of_arrays_of_any_length(tmp_path: Path) -> None:
    ragged = [np.ones((count, 3)) for count in (2, 5, 1, 0)]
    samples, _ = one(tmp_path, audio=ragged, audio_lengths=None, text_bert=None)
    assert [len(sample.features["audio"].values) for sample in samples] == [2, 5, 1, 0]
    boxed = np.empty(4, object)
    boxed[:] = ragged
    samples, _ = one(tmp_path, audio=boxed, audio_lengths=None, text_bert=None)
    assert [len(sample.features["audio"].values) for sample in samples] == [2, 5, 1, 0]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"audio_lengths": [-1, 1, 1, 1]}, "audio_lengths: row 0 is -1"),
        ({"audio_lengths": [1.5, 1, 1, 1]}, "audio_lengths: row 0 is 1.5"),
        ({"audio_lengths": [[1, 2], [3]]}, "audio_lengths"),
        ({"audio_lengths": [1, 2]}, "audio_lengths has 2 rows for 4 ids"),
        ({"raw_text": ["a"]}, "raw_text has 1 rows for 4 ids"),
        ({"raw_text": 3}, "raw_text is int, expected a list"),
        ({"text_bert": np.zeros((4, 5, 7))}, r"text_bert is float64 \(4, 5, 7\), expected \(N, 3, L\)"),
        ({"text_bert": np.full((4, 3, 5), 0.5)}, "text_bert: row 0 holds no token ids"),
        ({"text_bert": np.full((4, 3, 5), 7)}, "text_bert: row 0 has a mask with 7"),
        ({"text_bert": np.zeros((3, 3, 5))}, "text_bert has 3 rows for 4 ids"),
        ({"regression_labels": np.zeros((4, 7))}, "expected one number for each of 4 ids"),
        ({"regression_labels": ["good"] * 4}, "regression_labels is"),
        ({"regression_labels": [np.inf, 1, 1, 1]}, "regression_labels: row 0 is infinite"),
        ({"audio": [np.ones((2, 3)), np.ones((2, 4)), np.ones((2, 3)), np.ones((1, 3))]}, "row 1 has 4 columns"),
        ({"audio": {"a": 1}}, "audio is"),
        ({"id": "abcd"}, "id is str, expected a list"),
        ({"id": ["a", None, "b", "c"]}, "id is NoneType in place of a text"),
        ({"id": ["a", "", "b", "c"]}, "id: row 1 is empty"),
    ],
)
def test_every_field_is_checked(tmp_path: Path, more: dict[str, Any], said: str) -> None:
    with pytest.raises(MsapipeError, match=said):
        one(tmp_path, **more)


def test_the_pickle_of_mult(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    audio = random.normal(size=(4, 5, 6))
    audio[0, 1, 2] = -np.inf
    part = {
        "text": random.normal(size=(4, 5, 3)),
        "audio": audio,
        "vision": random.normal(size=(4, 5, 2)),
        "labels": np.array([[[-1.0]], [[0.5]], [[2.0]], [[3.0]]]),
        "id": np.array([[f"v{i // 2}", str(i), "x"] for i in range(4)], dtype=object),
    }
    samples, notes = read(tmp_path / "x.pkl", {"train": part}, 2)
    assert [sample.labels["M"] for sample in samples] == [-1.0, 0.5, 2.0, 3.0]
    assert (samples[3].id, samples[3].video) == ("v1$_$3$_$x", "v1")
    assert samples[0].features["audio"].values[1, 2] == 0
    assert samples[0].features["audio"].valid.all()
    assert "1 numbers of audio are NaN or infinite, and are read as 0" in notes


def test_the_tuples_of_mag_bert(tmp_path: Path) -> None:
    def example(name: str, label: float) -> Any:
        return ((["so", "good"], np.ones((2, 4)), np.ones((2, 3))), np.array([[label]], np.float32), name)

    samples, notes = read(
        tmp_path / "x.pkl", {"train": [example("v[0]", 1), example("v[1]", -2)], "dev": [], "test": []}
    )
    assert [(sample.id, sample.video, sample.text, sample.labels) for sample in samples] == [
        ("v$_$0", "v", "so good", {"M": 1.0}),
        ("v$_$1", "v", "so good", {"M": -2.0}),
    ]
    assert {name: part.values.shape for name, part in samples[0].features.items()} == {
        "audio": (2, 3),
        "vision": (2, 4),
    }
    assert any("have no vectors" in note for note in notes)
    with pytest.raises(MsapipeError, match=r"train: examples: row 1: expected \(\(words"):
        read(tmp_path / "x.pkl", {"train": [example("v[0]", 1), "odd"]})


def test_clips_of_train_mix_that_are_in_train_are_read_once(tmp_path: Path) -> None:
    mixed = split(4, id=["vid0$_$0", "vid0$_$1", "u$_$0", "u$_$1"], mask=[1, 1, 0, 0])
    samples, notes = read(tmp_path / "x.pkl", {"train": split(2), "train_mix": mixed, "test": split(1, id=["t"])})
    assert [(sample.id, sample.split, bool(sample.labels)) for sample in samples] == [
        ("vid0$_$0", "train", True),
        ("vid0$_$1", "train", True),
        ("t", "test", True),
        ("u$_$0", "train", False),
        ("u$_$1", "train", False),
    ]
    assert "2 clips of train_mix are in train already, and are read once" in notes


def _python2(value: Any) -> bytes:
    """What Python 2 writes of dictionaries, lists, byte strings and float32 arrays (protocol 2, no memo)."""
    if isinstance(value, dict):
        return b"}(" + b"".join(map(_python2, [x for item in value.items() for x in item])) + b"u"
    if isinstance(value, list):
        return b"](" + b"".join(map(_python2, value)) + b"e"
    if isinstance(value, bytes):
        return b"T" + struct.pack("<i", len(value)) + value
    if isinstance(value, int):
        return b"J" + struct.pack("<i", value)
    shape = b"(" + b"".join(map(_python2, value.shape)) + b"t"
    kind = b"cnumpy\ndtype\n(U\x02f4K\x00K\x01tR(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    made = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR"
    return made + b"(K\x01" + shape + kind + b"\x89" + _python2(value.astype("<f4").tobytes()) + b"tb"


def test_a_pickle_of_python_2(tmp_path: Path) -> None:
    audio = np.linspace(-3, 3, 18).reshape(2, 3, 3)
    part: dict[Any, Any] = {
        b"id": [b"v$_$0", b"v$_$1"],
        b"raw_text": ["très bien".encode(), b"bad"],
        b"audio": audio,
        b"regression_labels": np.array([1.0, -1.0]),
    }
    samples, _ = read(tmp_path / "x.pkl", b"\x80\x02" + _python2({b"train": part}) + b".")
    assert [(sample.id, sample.text) for sample in samples] == [("v$_$0", "très bien"), ("v$_$1", "bad")]
    assert np.array_equal(samples[1].features["audio"].values, audio[1].astype(np.float32))


def test_a_modality_that_most_clips_lack_is_said_loudly(tmp_path: Path) -> None:
    audio = np.zeros((4, 9, 3))
    audio[0] = 1
    data = {"train": split(4, audio=audio), "valid": split(2, id=["x", "y"]), "test": split(2, id=["z", "w"])}
    read(tmp_path / "x.pkl", data)
    assert load_data(tmp_path / "x.pkl").notes[0].startswith("WARNING: audio is missing in 3 of 4 clips of train")


ODD = st.sampled_from(
    [
        *(None, 0, 1.5, "", "abc", b"\xff", [], [[]], {}, [None] * 3, np.ones(3, complex), [1, 2, 2**70], np.array(3)),
        *(
            ["a", 1, b"b"],
            [["a", 1], "b", ("c",)],
            [[1], [2, 3], [4]],
            np.zeros(0),
            np.zeros((3, 1)),
            np.ones((3, 3, 3)),
        ),
        *(np.zeros((3, 4, 2)), np.full((3, 2), np.nan), np.array([1e300] * 3), np.array(["x"] * 3), [{}, {}, {}]),
        *(np.array([None] * 3), np.zeros((3, 0, 2)), np.ones((3, 2, 3), bool), [np.ones((1, 2)), "x", None]),
        [np.ones((1, 2)), np.ones((2, 2)), np.ones(0)],
    ]
)
KEYS = [*split(1), "vision_lengths", "labels", "text_lengths", b"audio", 7]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(st.sampled_from(KEYS), ODD, max_size=4), st.sampled_from(["train", "dev", "train_mix", "odd", 3])
)
def test_whatever_stands_in_a_pickle_is_read_or_refused_by_name(tmp_path: Path, odd: dict[Any, Any], name: Any) -> None:
    data = {name: {**split(3), **odd}, "test": split(2, id=["t1", "t2"])}
    try:
        samples, notes = read(tmp_path / "x.pkl", data)
    except MsapipeError:
        return
    assert len(samples) == 5 or any("is not read" in note for note in notes)
    assert len({sample.id for sample in samples}) == len(samples)
