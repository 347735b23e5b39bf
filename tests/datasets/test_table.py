from __future__ import annotations

import os
from pathlib import Path

import pytest

from msapipe.datasets import Example, Refused, reader_of, rows
from msapipe.datasets.mosi import Mosi
from msapipe.datasets.table import Table
from msapipe.errors import MsapipeError
from msapipe.testing.contract import check_reader

HEAD = "video_id,clip_id,text,label,mode\n"


def tree(root: Path, table: str, files: tuple[str, ...], name: str = "label.csv") -> Path:
    root.mkdir(exist_ok=True)
    (root / name).write_bytes(table.encode("utf-8"))
    for file in files:
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.encode())
    return root


def refused(reader: Table) -> list[str]:
    return [item.reason for item in reader.read() if isinstance(item, Refused)]


def test_clips_lie_below_raw_with_any_ending_and_keep_their_zeros(tmp_path: Path) -> None:
    table = HEAD + '007,0001,"A, B",1.5,train\n007,0002,,-3,train\n08,1,x,,dev\n'
    reader = reader_of(tree(tmp_path, table, ("Raw/007/0001.mp4", "Raw/007/0002.MKV", "08/1.avi")))
    assert type(reader) is Table
    first, second, third = check_reader(reader)
    assert (first.clip.id, first.clip.text, first.labels, first.split) == ("007/0001", "A, B", {"M": 1.5}, "train")
    assert (second.clip.path.name, second.clip.text, second.video) == ("0002.MKV", None, "007")
    assert (third.labels, third.split) == ({}, "valid")
    assert not refused(reader)


@pytest.mark.parametrize(
    "table",
    [
        "\ufeff" + HEAD + "v,1,x,1,\r\nv,2,y,2,\r\n",
        HEAD.replace(",", ";") + "v;1;x, y;1;\nv;2;z;2;\n",
        HEAD.replace(",", "\t") + "v\t1\tx\t1\t\nv\t2\ty\t2\t\n",
    ],
)
def test_byte_order_marks_separators_and_line_ends_are_read(tmp_path: Path, table: str) -> None:
    reader = reader_of(tree(tmp_path, table, ("Raw/v/1.mp4", "Raw/v/2.mp4")))
    assert [example.labels["M"] for example in check_reader(reader)] == [1.0, 2.0]


def test_stretches_of_a_long_video_are_clips_of_one_file(tmp_path: Path) -> None:
    table = "video_id,clip_id,start,end,label\nlong,a,0,2.5,1\nlong,b,2.5,,0\nlong,c,3,1,0\n"
    reader = Table(tree(tmp_path, table, ("Raw/long.mp4",)))
    first, second = check_reader(reader)
    assert first.clip.path == second.clip.path == tmp_path / "Raw/long.mp4"
    assert [(item.clip.id, item.clip.start, item.clip.end) for item in (first, second)] == [
        ("long/a", 0.0, 2.5),
        ("long/b", 2.5, None),
    ]
    assert refused(reader) == ["line 4: start 3.0 and end 1.0: expected seconds, 0 <= start < end"]


def test_what_is_wrong_is_named_with_its_line_and_nothing_else_is_lost(tmp_path: Path) -> None:
    table = HEAD + "v,1,x,1,train\nv,1,again,1,train\nv,2,gone,1,train\nv,3,much,9,train\nv,4,odd,high,train\n"
    table += "v,5,fine,-1,train\nv,6,where,1,holdout\nv,,nameless,1,train\n"
    reader = Mosi(tree(tmp_path, table, tuple(f"Raw/v/{i}.mp4" for i in (1, 3, 4, 5, 6))))
    assert [example.clip.id for example in check_reader(reader)] == ["v/1", "v/5"]
    reasons = refused(reader)
    assert [reason.split(":")[0] for reason in reasons] == [f"line {i}" for i in (3, 4, 5, 6, 8, 9)]
    for reason, part in zip(
        reasons, ("stands on line 2", "no media file", "-3 to 3", "'high'", "'holdout'", "is empty"), strict=True
    ):
        assert part in reason


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="no links here")
def test_no_row_leads_out_of_the_root(tmp_path: Path) -> None:
    outside = tmp_path / "secret.mp4"
    outside.write_bytes(b"x")
    table = f"file,label\n../secret.mp4,1\n{outside},1\nlink.mp4,1\nin/clip.mp4,1\n"
    root = tree(tmp_path / "root", table, ("in/clip.mp4",))
    (root / "link.mp4").symlink_to(outside)
    reader = Table(root)
    assert [example.clip.path.name for example in check_reader(reader)] == ["clip.mp4"]
    assert [reason.split(":")[0] for reason in refused(reader)] == ["line 2", "line 3", "line 4"]
    assert all("leads out of" in reason for reason in refused(reader))


def test_parquet_is_read_by_the_same_rules(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    columns = {"video_id": ["007", "007"], "clip_id": ["1", "2"], "label": [0.5, None], "mode": ["train", "train"]}
    tree(tmp_path, "", ("Raw/007/1.mp4", "Raw/007/2.mp4"), "other.txt")
    parquet.write_table(pyarrow.table(columns), tmp_path / "label.parquet")
    assert [example.labels for example in check_reader(reader_of(tmp_path))] == [{"M": 0.5}, {}]


def test_a_table_without_clips_or_columns_is_said(tmp_path: Path) -> None:
    with pytest.raises(MsapipeError, match=r"found the columns a, b; expected clip_id"):
        list(rows(tree(tmp_path, "a,b\n1,2\n", ()) / "label.csv"))
    (tmp_path / "label.csv").unlink()
    with pytest.raises(MsapipeError, match=r"label\.csv: there is no such file; msapipe data new"):
        list(rows(tmp_path / "label.csv"))
    (only,) = Table(tmp_path).read()
    assert isinstance(only, Refused)
    assert "expected one of label.csv" in only.reason
    assert not any(isinstance(item, Example) for item in reader_of(tmp_path).read())
