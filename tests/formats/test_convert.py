"""msapipe convert: what is written, what is said, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from msapipe.formats import FORMATS, format_of
from msapipe.formats.safetensors import Safetensors
from tests.formats.clips import bare, same, some_clips
from tests.program import run_program

MADE_BY = {"features": {"text": {"use": "bert"}}, "align": None}


@pytest.fixture
def features(tmp_path: Path) -> Path:
    path = tmp_path / "features.safetensors"
    FORMATS.get("safetensors")().write(path, bare(some_clips()), MADE_BY)
    return path


def label_csv(path: Path, modes: bool = True, count: int = 6) -> Path:
    lines = ["video_id,clip_id,label,mode"]
    lines += [f"v{i},1,{i / 2 - 1},{('train', 'valid', 'test')[i % 3] if modes else ''}" for i in range(count)]
    path.write_text("\n".join(lines))
    return path


def test_to_mmsa_with_labels(features: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target, labels = features.with_name("x.pkl"), label_csv(features.with_name("label.csv"))
    assert run_program("convert", features, target, "--labels", labels) == 0
    said = capsys.readouterr().err
    assert "wrote 6 clips" in said
    lost = [line.split()[4] for line in said.splitlines() if line.startswith("not kept by .pkl:")]
    assert lost == ["times", "names", "channels", "made_by"]
    found = {sample.id: sample for sample in format_of(target).read(target)}
    for sample in some_clips():
        assert found[sample.id].labels == {"M": sample.labels["M"]}
        assert found[sample.id].split == sample.split
        assert np.array_equal(found[sample.id].features["audio"].values, sample.features["audio"].values)
    assert run_program("convert", target, features.with_name("back.safetensors"), "--quiet") == 0


def test_stated_steps_cut_and_fill_up(features: Path) -> None:
    target, labels = features.with_name("x.pkl"), label_csv(features.with_name("label.csv"))
    assert run_program("convert", features, target, "--labels", labels, "--steps", "4,20,30") == 0
    found = {sample.id: sample.features for sample in format_of(target).read(target)}
    for sample in some_clips():
        assert np.array_equal(found[sample.id]["text"].values, sample.features["text"].values[:4])
        assert np.array_equal(found[sample.id]["vision"].values, sample.features["vision"].values)


def test_a_folder_a_split(features: Path) -> None:
    target, labels = (
        features.with_name("x.safetensors"),
        label_csv(features.with_name("label.csv"), modes=False, count=5),
    )
    assert (
        run_program("convert", features, target, "--labels", labels, "--make-splits", "--only-labelled", "--per-split")
        == 0
    )
    names = sorted(file.name for file in target.iterdir())
    assert names == [f"{split}-00001-of-00001.safetensors" for split in ("test", "train", "valid")]
    assert len(list(Safetensors().read(target))) == 5
    assert Safetensors().made_by(target) == MADE_BY
    (target / "train-00001-of-00001.safetensors").rename(target / "train-00001-of-00002.safetensors")
    assert run_program("convert", target, features.with_name("y.safetensors")) == 1


@pytest.mark.parametrize("name", ["csd", "parquet"])
def test_there_and_back(name: str, features: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip({"csd": "h5py", "parquet": "pyarrow"}[name])
    middle, back = features.with_name(f"x.{name}"), features.with_name("back.safetensors")
    assert run_program("convert", features, middle) == 0
    assert "not kept" not in capsys.readouterr().err
    assert run_program("convert", middle, back) == 0
    same(bare(some_clips()), list(format_of(back).read(back)))
    assert format_of(back).made_by(back) == MADE_BY


def test_tokens_are_said_to_be_lost(features: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("h5py")
    FORMATS.get("safetensors")().write(features, some_clips())
    assert run_program("convert", features, features.with_name("x.csd")) == 0
    assert "not kept by .csd: tokens (it has no place for them)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["features.safetensors", "x.pkl"], 1, "clip v0$_$1 is in no split, which MMSA needs; give every clip a mode"),
        (["features.safetensors", "x.pkl", "--make-splits"], 1, "clip v0$_$1 has no label, which MMSA needs; write"),
        (["features.safetensors", "x.pkl", "--labels", "two.csv", "--only-labelled"], 1, "no clip is in test"),
        (["features.safetensors", "x.odd"], 2, "known endings: .csd, .pkl, .pickle, .parquet, .safetensors"),
        (["features.safetensors", "features.safetensors"], 2, "is what is to be read"),
        (["none.pkl", "x.safetensors"], 2, "none.pkl: there is no such file"),
        (["features.safetensors", "x.csd", "--steps", "1,2,3"], 2, "--steps 1,2,3: "),
        (["features.safetensors", "x.pkl", "--steps", "1,2"], 2, "expected those of text, audio and vision"),
        (["features.safetensors", "x.csd", "--per-split"], 2, "is no .safetensors"),
        (["features.safetensors", "none/x.pkl"], 2, "make it first"),
        (["features.safetensors", "there.parquet"], 2, "is there already; remove it, or name another"),
        (["features.safetensors", "x.pkl", "--labels", "other.csv"], 2, "none of its 1 rows names one of the 6 clips"),
    ],
)
def test_what_is_refused_leaves_nothing(
    arguments: list[str],
    code: int,
    said: str,
    features: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("pyarrow")
    monkeypatch.chdir(features.parent)
    Path("there.parquet").mkdir()
    label_csv(Path("two.csv"), count=2)
    Path("other.csv").write_text("clip_id,label\nnobody,1\n")
    before = sorted(Path().iterdir())
    assert run_program("convert", *arguments) == code
    assert said in capsys.readouterr().err.replace("\n", " ")
    assert sorted(Path().iterdir()) == before


def test_help_lists_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_program("convert", "--help") == 0
    assert "--make-splits" in capsys.readouterr().out


def test_parquet_is_loaded_by_datasets_and_pandas(features: Path) -> None:
    pytest.importorskip("pyarrow")
    target, labels = features.with_name("x.parquet"), label_csv(features.with_name("label.csv"))
    assert run_program("convert", features, target, "--labels", labels) == 0
    card = (target / "README.md").read_text()
    assert "- split: validation\n    path: data/validation-*" in card
    from pyarrow import parquet

    table = parquet.read_table(target / "data")
    assert table.num_rows == 6
    row = next(row for row in table.to_pylist() if row["id"] == "v1$_$1")
    assert np.array_equal(np.array(row["vision"], np.float32), some_clips()[1].features["vision"].values)
    assert row["split"] == "valid"
    metadata = parquet.read_metadata(target / "data" / "train-00000-of-00001.parquet").metadata
    about = json.loads(metadata[b"msapipe"])
    assert about["columns"]["vision"]["names"] == ["a", "b", "c", "d"]
    datasets = pytest.importorskip("datasets")
    found = datasets.load_dataset(str(target), cache_dir=str(features.parent / "cache"))
    assert {name: len(part) for name, part in found.items()} == {"train": 2, "validation": 2, "test": 2}
