"""`msapipe data` and the shards and reports of `msapipe extract`, as a user meets them."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

from msapipe.datasets import Example, reader_of
from msapipe.stages.transcript.sidecar import Sidecar
from msapipe.testing.contract import check_reader
from msapipe.train.skeleton import begin_table
from msapipe.types import MediaInfo, Transcript
from tests.program import run_program
from tests.report.test_html import read_page

CHEAP = "schema: 1\nstages: {audio: {use: mfcc, n_mfcc: 5}}\n"


@pytest.fixture
def folder(samples: Path, tmp_path: Path) -> Path:
    """Five clips of three videos, of which two cannot be read."""
    root = tmp_path / "data set"
    places = {"Raw/007/0001.mp4": "positive", "Raw/007/0002.MP4": "negative", "Raw/b/1.mp4": "silent_face"}
    for name, sample in places.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(samples / f"{sample}.mp4", root / name)
    (root / "flat.mp4").touch()
    (root / "Raw/b/2.mp4").write_bytes((samples / "vfr.mp4").read_bytes()[:2000])
    (root / "Raw/007/0001.txt").write_text('so "good", \u2028 and\nmore', encoding="utf-8")
    (root / "Raw/b/1.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\n你好 世界\n", encoding="utf-8")
    return root


def lines_of(table: Path) -> list[dict[str, str]]:
    with table.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_new_table_leads_back_to_every_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_program("data", "new", folder) == 0
    told = " ".join(capsys.readouterr().err.split())
    assert "wrote 5 clips of 3 videos" in told
    assert "the words of 1 clips have times" in told
    lines = lines_of(folder / "label.csv")
    assert list(lines[0]) == ["file", "video_id", "clip_id", "text", "label", "mode"]
    assert {(line["file"], line["video_id"], line["clip_id"], line["mode"]) for line in lines} == {
        ("Raw/007/0001.mp4", "007", "0001", ""),
        ("Raw/007/0002.MP4", "007", "0002", ""),
        ("Raw/b/1.mp4", "b", "1", ""),
        ("Raw/b/2.mp4", "b", "2", ""),
        ("flat.mp4", "flat", "flat", ""),
    }
    examples = {example.clip.id: example for example in check_reader(reader_of(folder))}
    assert {example.clip.path for example in examples.values()} == {folder / line["file"] for line in lines}
    assert examples["Raw/007/0001.mp4"].clip.text == 'so "good", and more'
    # Words with times stay where their times are.
    assert examples["Raw/b/1.mp4"].clip.text is None
    spoken = Sidecar(language="").run(examples["Raw/b/1.mp4"].clip, MediaInfo("mp4", None, None, 1.0))
    assert isinstance(spoken, Transcript)
    assert (spoken.text, spoken.words[0].start) == ("你好 世界", 0.0)
    assert examples["Raw/007/0001.mp4"].video == "007"


def test_a_table_is_not_overwritten_unasked(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "labels.csv").write_text("file,label\nflat.mp4,1\n")
    assert run_program("data", "new", folder) == 1
    assert "is a data set already (table)" in capsys.readouterr().err
    assert not (folder / "label.csv").exists()
    assert run_program("data", "new", folder, "--force", "-q") == 0
    assert len(lines_of(folder / "label.csv")) == 5


def test_a_split_is_by_video_and_the_same_each_time(folder: Path) -> None:
    for number in range(9):
        (folder / f"more{number}.mp4").touch()
    found = []
    for seed in (0, 0, 1):
        begin_table(folder, seed, force=True)
        found.append((folder / "label.csv").read_text())
    assert found[0] == found[1] != found[2]
    sides: dict[str, set[str]] = {}
    for line in lines_of(folder / "label.csv"):
        sides.setdefault(line["video_id"], set()).add(line["mode"])
    assert all(len(side) == 1 for side in sides.values())
    assert {side for found in sides.values() for side in found} == {"train", "valid", "test"}


def test_two_videos_make_no_split_and_no_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).touch()
    assert run_program("data", "new", tmp_path, "--split") == 1
    assert "2 videos cannot be split" in capsys.readouterr().err
    assert not (tmp_path / "label.csv").exists()
    (tmp_path / "empty").mkdir()
    assert run_program("data", "new", tmp_path / "empty") == 1
    assert run_program("data", "new", tmp_path / "none") == 2


def test_what_a_table_cannot_name_is_told(tmp_path: Path) -> None:
    for name in ("fine\u3000name.mp4", "two\nlines.mp4", "line\u2028end.mp4", " edge.mp4", "list.m3u8", "a,b;c.mp4"):
        (tmp_path / name).touch()
    with open(bytes(tmp_path) + b"/\xff.mp4", "wb"):
        pass
    begun = begin_table(tmp_path)
    named = {item.clip.id for item in reader_of(tmp_path).read() if isinstance(item, Example)}
    assert named == {"fine\u3000name.mp4", "a,b;c.mp4"}
    assert (begun.clips, len(begun.problems)) == (2, 5)


def test_inspect_says_what_there_is_and_what_is_wrong(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = "video_id,clip_id,text,label,label_T,mode\n007,0001,so good,2,1,train\n007,0002,,-1,,test\n"
    table += "b,1,,0,,valid\nb,2,,1,,valid\nb,2,,1,,valid\nb,9,,1,,valid\n../../etc,1,,1,,valid\n"
    (folder / "label.csv").write_bytes(b"\xef\xbb\xbf" + table.replace("\n", "\r\n").encode())
    page = folder.parent / "set.html"
    assert run_program("data", "inspect", folder, "--json", "--html", page) == 3
    found = json.loads(capsys.readouterr().out)
    assert (found["reader"], found["clips"], found["videos"], found["unreadable"]) == ("table", 4, 2, 1)
    reasons = [problem["reason"] for problem in found["problems"]]
    for reason, part in zip(reasons, ("cut short", "line 6: clip b/2", "line 7: there is", "line 8"), strict=True):
        assert part in reason
    assert found["torn"] == {"007": ["test", "train"]}
    assert found["labels"]["M"]["histogram"] == {"-1": 1, "0": 1, "1": 1, "2": 1}
    assert found["labels"]["T"]["clips"] == 1
    assert found["left_out"] == ["flat.mp4"]
    assert found["leading_zeros"] == 2
    assert found["without_text"] == 2
    assert set(found["letters"]) == {"Latin", "CJK"}
    assert 8 < found["lengths"]["total"] < 30
    text = read_page(page).text
    for part in ("cut short", "line 8", "video 007 is in several splits", "label_T (text): 1 clips"):
        assert part in text, part
    assert run_program("data", "inspect", folder) == 3
    shown = capsys.readouterr().out
    for part in ("4, of 2 videos", "leading zeros", "warning", "line 7", "█ 1", "train"):
        assert part in shown, part


def test_inspect_of_a_folder_of_clips_and_of_none(
    samples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "one").mkdir()
    shutil.copy(samples / "vfr.mp4", tmp_path / "one" / "vfr.mp4")
    assert run_program("data", "inspect", tmp_path / "one") == 0
    assert "folder" in capsys.readouterr().out
    (tmp_path / "none").mkdir()
    assert run_program("data", "inspect", tmp_path / "none") == 1
    assert run_program("data", "inspect", tmp_path / "gone") == 2
    assert run_program("data", "inspect", tmp_path / "one", "--html", tmp_path / "x.pdf") == 2
    assert run_program("data", "inspect", tmp_path / "one", "--dataset", "mossi") == 2
    assert "did you mean 'mosi'" in capsys.readouterr().err


def test_shards_of_an_extraction_are_the_whole(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "cheap.yaml").write_text(CHEAP)
    common = ("-p", tmp_path / "cheap.yaml", "--cache", tmp_path / "cache", "--jobs", 1, "-q")

    def extracted(*more: object) -> list[str]:
        assert run_program("extract", folder, *common, "--report", tmp_path / "report.jsonl", *more) in (0, 1, 3)
        return [json.loads(line)["file"] for line in (tmp_path / "report.jsonl").read_text().splitlines()]

    parts = [extracted("--shard", f"{number}/3") for number in (1, 2, 3)]
    whole = extracted()
    assert sorted(name for part in parts for name in part) == sorted(whole)
    assert len(whole) == 5
    assert run_program("extract", folder, *common, "--shard", "4/3") == 2


@pytest.mark.parametrize("jobs", [1, 2])
def test_the_page_and_the_table_of_an_extraction(
    folder: Path, tmp_path: Path, jobs: int, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cheap.yaml").write_text(CHEAP)
    page, report = tmp_path / "run.html", tmp_path / "report.jsonl"
    common = ("-p", tmp_path / "cheap.yaml", "--cache", tmp_path / "cache", "--jobs", jobs)
    assert run_program("extract", folder, *common, "--html", page, "--report", report) == 3
    told = " ".join(capsys.readouterr().err.split())
    assert "1 x the file is empty (… bytes)" in told
    assert "coverage audio" in told
    text = read_page(page).text
    for part in ("the file is empty (… bytes)", "audio: mean", "audio/mfcc", "Slowest", "missing audio in 1"):
        assert part in text, part
    lines = {Path(line["file"]).name: line for line in map(json.loads, report.read_text().splitlines())}
    assert 0.5 < lines["0001.mp4"]["coverage"]["audio"] <= 1
    assert lines["1.mp4"]["coverage"] == {"audio": 0.0}
    assert lines["flat.mp4"]["coverage"] == {}
    assert run_program("extract", folder, *common, "--html", tmp_path / "x.txt") == 2
