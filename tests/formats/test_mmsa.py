from __future__ import annotations

import contextlib
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from msapipe.errors import MsapipeError
from msapipe.formats import FORMATS
from msapipe.formats._safe_pickle import read_plain
from msapipe.types import Sample


def split(count: int, **more: Any) -> dict[str, Any]:
    random = np.random.default_rng(count)
    mask = np.zeros((count, 3, 6), np.int64)
    mask[:, 1, :4] = 1
    return {
        "id": [f"vid{i // 2}$_${i}" for i in range(count)],
        "raw_text": np.array([f"words of {i}" for i in range(count)]),
        "text": random.normal(size=(count, 6, 5)).astype(np.float32),
        "text_bert": mask,
        "audio": random.normal(size=(count, 9, 3)),
        "vision": random.normal(size=(count, 8, 2)),
        "audio_lengths": [7] * count,
        "vision_lengths": [8] * count,
        "regression_labels": np.linspace(-1, 1, count),
        "regression_labels_T": np.full(count, np.nan),
        **more,
    }


def read(path: Path, data: Any, protocol: int = 4) -> list[Sample]:
    path.write_bytes(pickle.dumps(data, protocol))
    return list(FORMATS.get("mmsa")().read(path))


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_a_pickle_is_read_clip_by_clip(tmp_path: Path, protocol: int) -> None:
    data = {"train": split(4), "valid": split(2), "test": split(3)}
    samples = read(tmp_path / "unaligned.pkl", data, protocol)
    assert [s.split for s in samples] == ["train"] * 4 + ["valid"] * 2 + ["test"] * 3
    first = samples[0]
    assert (first.id, first.video, first.text, first.labels) == ("vid0$_$0", "vid0", "words of 0", {"M": -1.0})
    assert {name: part.values.shape for name, part in first.features.items()} == {
        "text": (4, 5),
        "audio": (7, 3),
        "vision": (8, 2),
    }
    assert first.tokens is not None
    assert first.tokens.shape == (3, 6)
    assert np.array_equal(first.features["audio"].values, data["train"]["audio"][0, :7].astype(np.float32))


def test_infinity_is_zero_and_an_empty_row_was_not_seen(tmp_path: Path) -> None:
    one = split(1)
    one["audio"][0, 2] = [-np.inf, np.nan, 1.0]
    one["vision"][0, 3] = 0
    features = read(tmp_path / "x.pkl", {"train": one})[0].features
    assert features["audio"].values[2].tolist() == [0, 0, 1]
    assert features["vision"].valid.tolist() == [True] * 3 + [False] + [True] * 4


class _Evil:
    def __reduce__(self) -> Any:
        return (print, ("this must never be printed",))


def test_code_is_refused_and_never_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(MsapipeError, match=r"x\.pkl: refused: it names builtins\.print"):
        read(tmp_path / "x.pkl", {"train": split(1), "more": _Evil()})
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ([1, 2], "expected a dictionary with train"),
        ({"train": split(2, regression_labels=[1.0])}, "regression_labels has 1 rows for 2 ids"),
        ({"train": split(2, audio=np.zeros((3, 4, 2)))}, "audio has 3 rows for 2 ids"),
        ({"train": split(2, audio=np.array(["a", "b"]))}, "audio is <U1"),
        ({"train": {"text": 1}}, "the key 'id'"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, data: Any, said: str) -> None:
    with pytest.raises(MsapipeError, match=said):
        read(tmp_path / "x.pkl", data)


def test_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.pkl").write_bytes(b"no pickle")
    with pytest.raises(MsapipeError, match=r"x\.pkl: not a pickle of MMSA"):
        list(FORMATS.get("mmsa")().read(tmp_path / "x.pkl"))


ARRAYS = {
    "float": np.arange(6, dtype=np.float64).reshape(2, 3),
    "by columns": np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
    "big-endian": np.arange(4, dtype=">i4"),
    "booleans": np.array([True, False]),
    "texts": np.array([["ab", "c"]]),
    "bytes": np.array([b"ab", b"c"]),
    "objects": np.array([["v", 1], ["w", None]], dtype=object),
    "strided": np.arange(10.0)[::3],
    "empty": np.zeros((0, 5), np.float32),
    "one": np.array(2.5),
}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_arrays_come_out_as_numpy_would_read_them(tmp_path: Path, protocol: int) -> None:
    written = {**ARRAYS, "number": np.float32(1.5), "again": ARRAYS["float"], "in a list": [ARRAYS["float"], (1, "a")]}
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(written, protocol))
    found = read_plain(tmp_path / "x.pkl")
    for name, array in ARRAYS.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape), name
        assert found[name].tolist() == array.tolist(), name
    assert (found["number"], type(found["number"])) == (1.5, np.float32)
    assert found["again"] is found["float"] is found["in a list"][0]
    assert found["in a list"][1] == (1, "a")


class _Made:
    """Pickled as a call of something in numpy, and a state for what it makes."""

    def __init__(self, call: Any, *arguments: Any, state: Any = None) -> None:
        self.reduced = (call, arguments, state)

    def __reduce__(self) -> Any:
        return self.reduced


_FLAGS = (3, "<", None, None, None, -1, -1, 63)
_RECORD = (3, "|", None, ("a",), {"a": (np.dtype("f4"), 0)}, 4, 1, 16)
_EMPTY: Any = np.zeros(0).__reduce__()[:2]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (_Made(*_EMPTY[:1], *_EMPTY[1], state=(1, (4,), np.dtype("f4"), False, b"four")), "with 4 bytes"),
        (_Made(*_EMPTY[:1], *_EMPTY[1], state=(1, (-1,), np.dtype("f4"), False, b"")), "of the shape"),
        (_Made(*_EMPTY[:1], *_EMPTY[1], state=(1, (2,), np.dtype("O"), False, [1])), "without as many objects"),
        (_Made(*_EMPTY[:1], *_EMPTY[1], state=(1, (1,), np.dtype("O"), False, b"12345678")), "without as many objects"),
        (_Made(np.dtype, "V4", False, True, state=_RECORD), "no type of plain arrays"),
        (_Made(np.dtype, "f4", False, True, state=_RECORD), "arrays of records"),
        (_Made(np.ndarray, (1 << 40,)), "takes no arguments"),
    ],
)
def test_damaged_and_hostile_states_are_refused(tmp_path: Path, value: Any, said: str) -> None:
    (tmp_path / "x.pkl").write_bytes(pickle.dumps({"train": value}))
    with pytest.raises(MsapipeError, match=said):
        read_plain(tmp_path / "x.pkl")


def test_a_state_does_not_change_the_types_of_numpy(tmp_path: Path) -> None:
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(_Made(np.dtype, "f4", False, True, state=_FLAGS)))
    read_plain(tmp_path / "x.pkl")
    assert not np.dtype("f4").hasobject


def test_lists_that_hold_each_other_many_times_take_no_time(tmp_path: Path) -> None:
    value: Any = [ARRAYS["float"]]
    for _ in range(100):
        value = [value, value]
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(value))
    assert len(read_plain(tmp_path / "x.pkl")) == 2


@pytest.mark.parametrize(
    "data",
    [
        pickle.EMPTY_DICT + pickle.LONG_BINPUT + b"\0\0\0\x08" + pickle.STOP,
        pickle.BYTEARRAY8 + (1 << 31).to_bytes(8, "little") + b"x",
        pickle.BINBYTES8 + (1 << 31).to_bytes(8, "little") + b"x",
    ],
)
def test_what_a_file_claims_to_hold_takes_no_memory(tmp_path: Path, data: bytes) -> None:
    resource = pytest.importorskip("resource")
    (tmp_path / "x.pkl").write_bytes(data)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with contextlib.suppress(MsapipeError):
        read_plain(tmp_path / "x.pkl")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB; 2 GB are claimed
