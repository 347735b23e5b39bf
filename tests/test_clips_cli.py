"""Commands that learn from a folder of clips, or are measured on one, without a file of features between."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.program import run_program

TABLE = """video_id,clip_id,text,label,mode
a,1,a wonderful film,2,train
b,1,so bad,-2,train
b,2,nobody can read it,0,train
c,1,good,1.5,valid
d,1,awful,-2.5,test
"""


@pytest.fixture(scope="module")
def root(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip that can be read in each of four videos, and one that cannot."""
    root = tmp_path_factory.mktemp("clips")
    for number, video in enumerate("abcd"):
        (root / "Raw" / video).mkdir(parents=True)
        tail = b"\0\0\0\x0cfree\0\0\0" + bytes([number])
        (root / f"Raw/{video}/1.mp4").write_bytes((samples / "silent_face.mp4").read_bytes() + tail)
    (root / "Raw/b/2.mp4").write_text("no video")
    (root / "label.csv").write_text(TABLE)
    return root


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.getbasetemp() / "cache-of-clips"
    monkeypatch.setenv("MSAPIPE_CACHE", str(folder))
    return folder


def test_a_model_is_trained_and_measured_on_a_folder_of_clips(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "model"
    how = ("--model", "sf", "--seeds", "1", "--set", "epochs=1")
    assert run_program("train", root, "--pipeline", "pocket", *how, "-o", model) == 0
    told = " ".join(capsys.readouterr().err.split())
    assert "Raw/b/2.mp4: this is a text file" in told
    assert "wrote" in told
    assert run_program("evaluate", root, "--model", model, "--pipeline", "pocket", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["clips"], found["split"]) == (1, "test")
    assert run_program("evaluate", root, "--model", "pocket", "--split", "all", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["clips"] == 4
    assert found["acc2_non0"] == 1.0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "if it holds clips, say the pipeline: --pipeline"),
        (("--dataset", "mosi"), "say also the pipeline: --pipeline"),
        (("--pipeline", "poket"), "did you mean 'pocket'"),
    ],
)
def test_what_is_missing_is_said(
    arguments: tuple[str, ...], says: str, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_program("train", root, *arguments, "-o", tmp_path / "model") == 2
    assert says in " ".join(capsys.readouterr().err.split())


def test_features_are_no_folder_of_clips(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_program("train", root / "label.csv", "--pipeline", "pocket", "-o", tmp_path / "model") == 2
    assert "found a file, expected a folder of clips" in " ".join(capsys.readouterr().err.split())


def test_what_cannot_be_measured_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "1.mp4").write_text("no video")
    assert run_program("evaluate", tmp_path, "--model", "pocket") == 1
    assert "holds no label.csv; type: msapipe data new" in " ".join(capsys.readouterr().err.split())
    assert run_program("evaluate", tmp_path / "clips.zip", "--model", "pocket") == 1
    assert "a zip archive is not opened; type: unzip" in " ".join(capsys.readouterr().err.split())
    assert run_program("evaluate", tmp_path / "label.csv", "--model", "pocket") == 1
    assert "a table holds no features; name the folder of its clips" in " ".join(capsys.readouterr().err.split())
    assert run_program("evaluate", tmp_path, "--model", "pocket", "--scale", "-1,1") == 2
    assert "--scale belongs to features" in " ".join(capsys.readouterr().err.split())


def test_a_folder_in_which_nothing_can_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "1.mp4").write_text("no video")
    assert run_program("train", tmp_path, "--pipeline", "pocket", "-o", tmp_path / "model") == 1
    assert "no clip in it could be used; type: msapipe data inspect" in " ".join(capsys.readouterr().err.split())
