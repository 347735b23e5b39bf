"""Splits and labels that others gave: they are used as they are, and names are one however they are written."""

from __future__ import annotations

import csv
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from msapipe.errors import MsapipeError
from msapipe.formats import FORMATS
from msapipe.testing import fakes
from msapipe.train.data import load_data
from msapipe.train.labels import read_labels, with_labels
from msapipe.train.split import with_splits
from msapipe.types import Sample
from tests.program import run_program


def sample(clip: str, video: str = "", split: str | None = None, label: float | None = 0.0) -> Sample:
    return Sample(clip, fakes.features({"text": 2}), {} if label is None else {"M": label}, split, video)


def table_of_sims(shared: Path) -> list[dict[str, str]]:
    with (shared / "data" / "sims_v2" / "label.csv").open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def write_pickle(path: Path, rows: list[dict[str, str]], **more: Any) -> Path:
    """A pickle as MMSA hands them out, its features random and small."""
    made = np.random.default_rng(0)
    whole: dict[str, Any] = {}
    for split in ("train", "valid", "test"):
        of_split = [row for row in rows if row["mode"] == split]
        if of_split:
            count = len(of_split)
            whole[split] = {
                "id": [f"{row['video_id']}$_${row['clip_id']}" for row in of_split],
                "text": made.normal(size=(count, 3, 4)).astype(np.float32),
                "audio": made.normal(size=(count, 3, 3)).astype(np.float32),
                "vision": made.normal(size=(count, 3, 2)).astype(np.float32),
                "raw_text": [row["text"] for row in of_split],
                "regression_labels": np.array([float(row["label"]) for row in of_split], np.float32),
            } | more
    path.write_bytes(pickle.dumps(whole))
    return path


def test_the_official_split_of_sims_v2_is_used_and_what_it_shares_is_said(
    shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_pickle(tmp_path / "sims_v2.pkl", table_of_sims(shared))
    data = load_data(path)
    assert [len(data.split(name)) for name in ("train", "valid", "test")] == [2722, 647, 0]
    arguments = ("--model", "sf", "--set", "epochs=1", "--seeds", "1", "--device", "cpu", "-o", tmp_path / "m")
    assert run_program("train", path, *arguments) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "119 of 130 videos have clips on two sides of it (119 in train and valid)" in said


def test_the_same_through_the_reader_of_the_data_set(
    shared: Path, samples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Eight videos of the real table; every clip is the same small file, which is then read once."""
    rows = [row for row in table_of_sims(shared) if row["video_id"] <= "video_0008"]
    few: dict[tuple[str, str], dict[str, str]] = {(row["video_id"], row["mode"]): row for row in rows}
    root = tmp_path / "sims"
    for row in few.values():
        row["text"] = "hello"
        folder = root / "Raw" / row["video_id"]
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(samples / "positive.mp4", folder / f"{row['clip_id']}.mp4")
    with (root / "label.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(few.values())
    torn = sum((video, "train") in few and (video, "valid") in few for video in {video for video, _ in few})
    assert torn >= 5
    arguments = ("-d", "sims_v2", "-p", "pocket", "--set", "epochs=1", "--seeds", "1", "--device", "cpu")
    assert run_program("train", root, *arguments, "-o", tmp_path / "m") == 0
    said = " ".join(capsys.readouterr().err.split())
    assert f"{torn} of {len({video for video, _ in few})} videos have clips on two sides of it" in said


def test_clips_without_a_label_and_a_split_go_where_their_video_is() -> None:
    found = with_splits(
        [
            sample("1", "v", "test"),
            sample("2", "v", None, None),
            sample("3", "w", "valid"),
            sample("4", "x", None, None),
        ]
    )
    assert [item.split for item in found] == ["test", "test", "valid", "train"]


ROWS = [
    {"video_id": f"vid{i // 4}", "clip_id": str(i % 4 + 1), "text": "words", "label": "-1",
     "mode": "test" if i > 20 else "valid" if i > 15 else "train"} for i in range(24)
]  # fmt: skip


@pytest.mark.parametrize(
    ("columns", "lines"),
    [
        ("file,video_id,clip_id,label", "Raw/{video}/{clip:04}.mp4,{video},{clip:04},{label}"),
        ("file,label", "Raw/{video}/{clip}.mp4,{label}"),
        ("file,video_id,clip_id,label", "clips/cut_{clip}_of_{video}.mov,{video},{clip},{label}"),
        ("file,label", "/data/sims/Raw/{video}/{clip:04}.mp4,{label}"),
        ("video_id,clip_id,label", "{video},{clip:05},{label}"),
        ("id,label", "{video}$_${clip},{label}"),
        ("id,label", "{video}_{clip},{label}"),
        ("id,label", "{video}[{clip}],{label}"),
        ("clip_id,label", "{video}/{clip},{label}"),
    ],
)
def test_a_table_wins_however_its_names_are_written(tmp_path: Path, columns: str, lines: str) -> None:
    path = write_pickle(tmp_path / "f.pkl", ROWS)
    table = tmp_path / "table.csv"
    written = [
        lines.format(video=row["video_id"], clip=int(row["clip_id"]), label=i / 10) for i, row in enumerate(ROWS)
    ]
    table.write_text("\n".join([columns, *written[:-1]]) + "\n")
    data = load_data(path, table)
    assert [s.labels.get("M") for s in data.samples] == [*(pytest.approx(i / 10) for i in range(23)), None]
    # The table has no split: that of the file is kept.
    assert [len(data.split(name)) for name in ("train", "valid", "test")] == [16, 5, 3]
    assert data.notes[0].startswith("1 clips without a label")


def test_labels_of_the_file_that_the_table_lacks_are_not_used(tmp_path: Path) -> None:
    features = tmp_path / "f.safetensors"
    made = [Sample(f"v{i}/1", fakes.features({"text": 2}), {"M": 1.0, "T": 1.0}, None, f"v{i}") for i in range(8)]
    FORMATS.get("safetensors")().write(features, made)
    (tmp_path / "own.csv").write_text("video_id,clip_id,label\n" + "".join(f"v{i},1,-0.5\n" for i in range(8)))
    data = load_data(features, tmp_path / "own.csv")
    assert all(s.labels == {"M": -0.5} for s in data.samples)
    assert any(note.startswith("labels T of the features are not in") for note in data.notes)


def test_a_table_of_other_clips_is_an_error_that_shows_both(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_pickle(tmp_path / "f.pkl", ROWS)
    (tmp_path / "other.csv").write_text("video_id,clip_id,label\nabc,1,0\nabc,2,0\n")
    assert run_program("train", path, "--labels", tmp_path / "other.csv", "-o", tmp_path / "m") == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "none of its 2 rows names one of the 24 clips" in said
    assert "abc/1 and abc/2" in said
    assert "vid0$_$1 and vid0$_$2" in said


def test_videos_are_told_apart_and_two_rows_never_share_a_clip(tmp_path: Path) -> None:
    path = tmp_path / "label.csv"
    path.write_text("video_id,clip_id,label\na,1,0.5\nb,1,-0.5\nc,1,1\n")
    found, notes = with_labels([sample("b$_$01"), sample("a$_$01")], read_labels(path), path)
    assert [item.labels["M"] for item in found] == [-0.5, 0.5]
    assert notes == ["1 labels without features, left out: c/1"]
    with pytest.raises(MsapipeError, match=r"lines 2 and 3: a/1 and b/1 both fit clip 1"):
        with_labels([sample("1")], read_labels(path), path)
