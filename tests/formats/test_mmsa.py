from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from msapipe.errors import MsapipeError
from msapipe.formats import FORMATS
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
