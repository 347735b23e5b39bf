from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from msapipe.align import concatenate
from msapipe.errors import MsapipeError
from msapipe.formats import FORMATS
from msapipe.testing import fakes
from msapipe.types import Sample


def test_a_round_trip_loses_nothing(tmp_path: Path) -> None:
    both = fakes.features({"a": 2, "b": 3})
    samples = [
        Sample("odd/\udcff \u65e5.mp4", {"vision": concatenate(both)}, {"M": 1.5}, "train", "odd", "words"),
        Sample("none.mp4", {}),
    ]
    path = tmp_path / "features.safetensors"
    assert FORMATS.get("safetensors")().write(path, samples, {"media": {"fps": 10}}) == 2
    read = list(FORMATS.get("safetensors")().read(path))
    assert [sample.id for sample in read] == ["odd/\udcff \u65e5.mp4", "none.mp4"]
    before, after = samples[0].features["vision"], read[0].features["vision"]
    for name in ("values", "times", "valid"):
        assert np.array_equal(getattr(before, name), getattr(after, name))
    assert after.names == before.names
    assert dict(after.channels) == {"a": (0, 2), "b": (2, 5)}
    assert [(s.labels, s.split, s.video, s.text) for s in read] == [
        ({"M": 1.5}, "train", "odd", "words"),
        ({}, None, "none.mp4", ""),
    ]
    assert FORMATS.get("safetensors")().made_by(path) == {"media": {"fps": 10}}
    assert [path.name for path in tmp_path.iterdir()] == ["features.safetensors"]


def test_another_file_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"not one of ours")
    with pytest.raises(MsapipeError, match=r"x\.safetensors: not a feature file"):
        list(FORMATS.get("safetensors")().read(path))


@pytest.mark.parametrize("damage", ['"columns": 7', '"columns": null', '"columns": "x"'])
def test_a_header_that_names_what_is_not_there_is_refused_by_name(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "features.safetensors"
    FORMATS.get("safetensors")().write(path, [Sample("a.mp4", {"vision": fakes.features({"a": 2})["a"]})])
    whole = path.read_bytes()
    # The header is JSON within JSON, and of a stated length.
    said = b'\\"columns\\": 0'
    assert said in whole
    new = damage.replace('"', '\\"').encode()
    size = int.from_bytes(whole[:8], "little") + len(new) - len(said)
    path.write_bytes(size.to_bytes(8, "little") + whole[8:].replace(said, new))
    with pytest.raises(MsapipeError, match=r"features\.safetensors"):
        list(FORMATS.get("safetensors")().read(path))
