"""What a format does not say that it loses comes back equal."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from msapipe.formats import FORMATS, Format, format_of
from msapipe.formats.safetensors import Safetensors
from msapipe.types import FeatureSequence, Sample
from tests.formats.clips import clips, same, some_clips

MADE_BY = {"features": {"text": {"use": "bert", "params": {"layer": -1}}}, "align": {"to": "words"}}
LIBRARY = {"parquet": "pyarrow", "csd": "h5py", "safetensors": "safetensors"}
quick = settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))


def there_and_back(name: str, samples: list[Sample], writer: Format | None = None) -> list[Sample]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"x.{name}"
        writer = writer or format_of(path, to_write=True)
        assert writer.write(path, iter(samples), MADE_BY) == len(samples)
        assert [file.name for file in Path(folder).iterdir()] == [path.name]
        if "made_by" not in writer.loses:
            assert format_of(path).made_by(path) == MADE_BY
        return list(format_of(path).read(path))


@pytest.mark.parametrize("name", LIBRARY)
@quick
@given(samples=clips())
def test_whatever_the_clips_hold(name: str, samples: list[Sample]) -> None:
    pytest.importorskip(LIBRARY[name])
    order = {"train": 0, "valid": 1, "test": 2, None: 0}
    if name == "parquet":  # split by split
        samples = sorted(samples, key=lambda sample: order[sample.split])
    same(samples, there_and_back(name, samples), frozenset(format_of(Path(f"x.{name}")).loses))


@quick
@given(samples=clips())
def test_a_folder_of_safetensors(samples: list[Sample]) -> None:
    samples = sorted(samples, key=lambda sample: ["train", "valid", "test", None].index(sample.split))
    same(samples, there_and_back("safetensors", samples, Safetensors(per_split=True, most_bytes=200)))


@quick
@given(samples=clips(complete=True))
def test_the_pickle_of_mmsa(samples: list[Sample]) -> None:
    def as_read(sample: Sample) -> Sample:
        features = {name: _at_least_one(part) for name, part in sample.features.items()}
        labels = {letter: float(np.float32(value)) for letter, value in sample.labels.items()}
        return replace(sample, features=features, labels=labels)

    if not all(any(len(s.features[name].values) for s in samples) for name in ("text", "audio", "vision")):
        return
    samples = sorted(samples, key=lambda sample: ["train", "valid", "test"].index(str(sample.split)))
    loses = frozenset(FORMATS.get("mmsa").loses)
    assert loses == {"times", "valid", "names", "channels", "notes", "made_by"}
    # "valid" only says that a step that was seen is not all zero: here there is none.
    same([as_read(sample) for sample in samples], there_and_back("pkl", samples), loses - {"valid"})


def test_a_text_that_looks_like_utf_8_misread_comes_back_from_a_pickle() -> None:
    samples = [replace(sample, text="Â\x80 Ã©") for sample in some_clips(3)]
    assert [sample.text for sample in there_and_back("pkl", samples)] == ["Â\x80 Ã©"] * 3


def _at_least_one(part: FeatureSequence) -> FeatureSequence:
    if len(part.values):
        return part
    return FeatureSequence(np.zeros((1, part.values.shape[1]), np.float32), np.array([[0.0, 1.0]]), np.zeros(1, bool))


@pytest.mark.parametrize("name", ["safetensors", "parquet", "pkl"])
def test_tokens(name: str) -> None:
    if name == "parquet":
        pytest.importorskip("pyarrow")
    by_id = {sample.id: sample for sample in there_and_back(name, some_clips())}
    for sample in some_clips():
        length = sample.tokens.shape[1]  # type: ignore[union-attr]
        found = by_id[sample.id].tokens
        assert found is not None
        assert np.array_equal(found[:, :length], sample.tokens)  # type: ignore[arg-type]
        assert not found[:, length:].any()


@pytest.mark.parametrize("name", LIBRARY)
def test_a_folder_of_any_name_is_known_by_what_is_in_it(name: str, tmp_path: Path) -> None:
    pytest.importorskip(LIBRARY[name])
    writer = Safetensors(per_split=True) if name == "safetensors" else FORMATS.get(name)()
    writer.write(tmp_path / f"x.{name}", some_clips())
    shutil.move(tmp_path / f"x.{name}", tmp_path / "features")
    assert type(format_of(tmp_path / "features")) is type(writer)
    read = format_of(tmp_path / "features").read(tmp_path / "features")
    assert {sample.id for sample in read} == {sample.id for sample in some_clips()}
