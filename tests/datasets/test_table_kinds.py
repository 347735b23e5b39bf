"""Tables as spreadsheets, other programs and other people write them; no line is lost in silence."""

from __future__ import annotations

import csv
import io
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msapipe.datasets import READERS, Example, Refused, Row, Unreadable, reader_of, rows
from msapipe.errors import MsapipeError
from tests.datasets.test_table import refused, tree

HEAD = "video_id,clip_id,text,label,mode\n"
FILES = ("Raw/v/0001.mp4", "Raw/v/0002.mp4", "Raw/w/0001.mp4")


def labels(root: Path) -> list[tuple[str, dict[str, float], str | None]]:
    reader = reader_of(root)
    return [(item.clip.id, dict(item.labels), item.split) for item in reader.read() if isinstance(item, Example)]


def table(path: Path, text: str, encoding: str = "utf-8") -> tuple[list[Row], list[Unreadable], list[str]]:
    path = path / "label.csv"
    path.write_bytes(text.encode(encoding))
    notes: list[str] = []
    found = list(rows(path, notes=notes))
    return (
        [row for row in found if isinstance(row, Row)],
        [row for row in found if isinstance(row, Unreadable)],
        notes,
    )


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "gbk", "big5"])
def test_encodings_are_told(tmp_path: Path, encoding: str) -> None:
    words = "這部電影很好看" if encoding == "big5" else "我非常喜欢这部电影"
    (row,), bad, notes = table(tmp_path, f"video_id\tclip_id\ttext\tlabel\nv\t0001\t{words}\t0.8\n", encoding)
    assert (row.name, row.text, row.labels) == ("v/0001", words, {"M": 0.8})
    assert not bad
    assert bool(notes) == (encoding in ("gbk", "big5")), "a guess is said"


@pytest.mark.parametrize(
    ("words", "encoding"), [("très déçu, même", "cp1252"), ("Это очень плохой фильм, я не хочу его смотреть", "cp1251")]
)
def test_encodings_of_one_byte(tmp_path: Path, words: str, encoding: str) -> None:
    (row,), _, notes = table(tmp_path, f"clip_id;text;label\na;{words};-1,5\n", encoding)
    assert (row.text, row.labels) == (words, {"M": -1.5})
    assert encoding in notes[0]


def test_what_is_no_text_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "label.csv").write_bytes(b"PK\x03\x04rest")
    with pytest.raises(MsapipeError, match=r"label\.csv: this is a workbook"):
        list(rows(tmp_path / "label.csv"))
    (tmp_path / "label.csv").write_bytes(bytes(range(256)) * 9)
    with pytest.raises(MsapipeError, match=r"label\.csv: cannot be read as a table"):
        list(rows(tmp_path / "label.csv"))


@pytest.mark.parametrize(
    "head",
    [
        "Video_ID,Clip_ID,Text,Label,Mode",
        "VIDEO ID,CLIP-ID,TEXT,LABEL,SPLIT",
        " video_id , clip_id ,transcript,sentiment,partition",
        "videoID,clipID,raw_text,sentiment_score,set",
    ],
)
def test_columns_by_other_names(tmp_path: Path, head: str) -> None:
    assert labels(tree(tmp_path, f"{head}\nv,0001,x,0.8,train\n", FILES)) == [("v/0001", {"M": 0.8}, "train")]


def test_two_columns_of_one_meaning_are_an_error_unless_one_has_the_usual_name(tmp_path: Path) -> None:
    with pytest.raises(MsapipeError, match="the columns sentiment and labels may both be the column label"):
        table(tmp_path, "clip_id,sentiment,labels\na,1,2\n")
    (row,), _, _ = table(tmp_path, "clip_id,sentiment,label\na,1,2\n")
    assert row.labels == {"M": 2.0}


def test_a_table_without_labels_says_what_it_does_not_read(tmp_path: Path) -> None:
    reader = reader_of(tree(tmp_path, "clip_id,valence\nv/0001,1\n", FILES))
    assert len([item for item in reader.read() if isinstance(item, Example)]) == 1
    assert reader.notes == [
        "label.csv has no column label, so no clip has a label; these columns are not read: valence"
    ]


@pytest.mark.parametrize(
    ("written", "split"),
    [
        ("validation", "valid"),
        ("Val", "valid"),
        ("dev", "valid"),
        ("TRAINING", "train"),
        ("nan", None),
        (" test ", "test"),
    ],
)
def test_splits_by_other_names(tmp_path: Path, written: str, split: str | None) -> None:
    assert labels(tree(tmp_path, HEAD + f"v,0001,x,1,{written}\n", FILES))[0][2] == split


@pytest.mark.parametrize("cell", ["", "nan", "NaN", "N/A", "#N/A", "null", "None", "-", "<NA>"])
def test_empty_labels(tmp_path: Path, cell: str) -> None:
    (row,), bad, _ = table(tmp_path, f"clip_id,label,label_T\na,{cell},0.5\n")
    assert (row.labels, bad) == ({"T": 0.5}, [])


@pytest.mark.parametrize(
    ("cell", "label"),
    [("1,5", 1.5), ("-0,8", -0.8), ("\u22120.8", -0.8), ("+1", 1.0), ("１．５", 1.5), (",5", 0.5), ("1e-1", 0.1)],
)
def test_numbers_as_people_write_them(tmp_path: Path, cell: str, label: float) -> None:
    (row,), _, _ = table(tmp_path, f"clip_id;label\na;{cell}\n")
    assert row.labels == {"M": label}


@pytest.mark.parametrize("cell", ["good", "inf", "1_0", "0x1", "1.2.3", "1,2,3", "1.000,5"])
def test_what_is_no_number_is_refused(tmp_path: Path, cell: str) -> None:
    good, (bad,), _ = table(tmp_path, f"clip_id;label\na;{cell}\nb;1\n")
    assert bad.line == 2
    assert "expected a number" in bad.reason
    assert [row.name for row in good] == ["b"]


def test_empty_lines_are_passed_over_and_said(tmp_path: Path) -> None:
    good, bad, notes = table(tmp_path, HEAD + "v,1,x,1,train\n,,,,\n\n , ,,,\nv,2,y,1,test\n,,,,\n\n")
    assert ([row.name for row in good], bad) == (["v/1", "v/2"], [])
    assert notes == ["3 rows of empty cells are passed over"]


@pytest.mark.parametrize(
    ("lines", "good", "bad"),
    [
        ('v,1,"he said it,-0.8,train\nv,2,b,0.8,test\nw,1,c,0.4,valid\n', ["v/2", "w/1"], [2]),
        ('v,1,a,1,train\nv,2,"b,0.8,test\nw,1,"c",0.4,valid\n', ["v/1", "w/1"], [3]),
        ('v,1,"a,1,train\nv,2,b",0.8,test\nw,1,c,0.4,valid\n', ["v/2", "w/1"], [2]),
        ('v,1,a "b" c,1,train\nv,2,b,1,train\n', ["v/1", "v/2"], []),
        ('v,1,"a" b,1,train\nv,2,b,1,train\n', ["v/2"], [2]),
    ],
)
def test_an_open_quote_loses_its_own_line_alone(tmp_path: Path, lines: str, good: list[str], bad: list[int]) -> None:
    read, unread, _ = table(tmp_path, HEAD + lines)
    assert [row.name for row in read] == good
    assert [row.line for row in unread] == bad
    assert len(read) + len(unread) == lines.count("\n"), "every line is in one of the two"


def test_line_ends_and_quotes_in_a_text(tmp_path: Path) -> None:
    text = 'video_id;clip_id;text;label;mode\na;1;"He said ""no"";\nfine";1,5;train\na;2;bad;-2,0;valid\n'
    (first, second), bad, _ = table(tmp_path, text)
    assert (first.text, first.labels, second.labels, second.line) == ('He said "no";\nfine', {"M": 1.5}, {"M": -2.0}, 4)
    assert not bad


def test_rows_of_another_width_are_refused(tmp_path: Path) -> None:
    good, bad, _ = table(tmp_path, HEAD + "v,1,so, good,1,train\nv,2,x\nv,3,x,1,test,,\n")
    assert [row.name for row in good] == ["v/3"]
    assert [(row.line, row.reason.split(";")[0]) for row in bad] == [
        (2, "it has 6 cells, the header has 5"),
        (3, "it has 3 cells, the header has 5"),
    ]


def test_excels_own_first_line(tmp_path: Path) -> None:
    (row,), _, _ = table(tmp_path, "sep=;\nclip_id;label;;\na;1,5;;\n")
    assert (row.name, row.labels, row.line) == ("a", {"M": 1.5}, 3)


def test_backslashes_accents_and_case_lead_to_the_file(tmp_path: Path) -> None:
    accent = unicodedata.normalize("NFD", "Raw/é/Å.mp4")
    files = ("Raw/v/0001.MP4", accent)
    written = unicodedata.normalize("NFC", accent)
    root = tree(tmp_path, f"file,label\nRaw\\v\\0001.MP4,1\n{written},1\nraw/V/0001.mp4,0\n", files)
    found = labels(root)
    assert [name for name, *_ in found] == ["Raw/v/0001.MP4", written, "raw/V/0001.mp4"]
    assert not refused(reader_of(root))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("v,1,x,1,train", "Raw/v/0001.mp4 is there: a spreadsheet takes such names for numbers"),
        ("v,1.0,x,1,train", "Raw/v/0001.mp4 is there"),
        ("7,1,x,1,train", "Raw/007/0001.mp4 is there"),
        ("1.23E+11,1,x,1,train", "a spreadsheet took the name for a number and rounded it"),
        ("gone,1,x,1,train", "there is no media file Raw/gone/1 or gone/1"),
    ],
)
def test_what_a_spreadsheet_did_to_a_name_is_said(tmp_path: Path, line: str, said: str) -> None:
    root = tree(tmp_path, HEAD + line + "\n", ("Raw/v/0001.mp4", "Raw/007/0001.mp4"))
    (reason,) = refused(reader_of(root))  # type: ignore[arg-type]
    assert reason.startswith("line 2: there is no media file")
    assert said in reason


def test_whole_paths_into_the_root_are_read_and_others_are_not(tmp_path: Path) -> None:
    root = tree(tmp_path, "", FILES)
    (root / "label.csv").write_text(f"file,label\n{root / FILES[0]},1\nC:\\data\\0001.mp4,1\n", encoding="utf-8")
    assert len(labels(root)) == 1
    (reason,) = refused(reader_of(root))  # type: ignore[arg-type]
    assert "is a path of another machine" in reason


def test_what_a_mac_leaves_beside_clips_is_passed_over(tmp_path: Path) -> None:
    files = ("a.mp4", "._a.mp4", "__MACOSX/._a.mp4", ".AppleDouble/a.mp4", "b.mp4.part")
    root = tree(tmp_path, "", files, "notes.txt")
    items = list(READERS.get("folder")(root).read())
    assert [item.clip.id for item in items if isinstance(item, Example)] == ["a.mp4"]
    assert all(item.skipped for item in items if isinstance(item, Refused))


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6) | st.sampled_from(
    ['"', '""', '"x', "1,5", "nan", "train", "a\nb", "v", "0001", "1", "dev", ";", "\r\n", "=1", "\ufeff"]
)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.lists(CELLS, min_size=5, max_size=5), max_size=5),
    st.sampled_from([",", ";", "\t"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_every_row_that_a_program_writes_is_read_refused_or_empty(
    tmp_path_factory: pytest.TempPathFactory, lines: list[list[str]], comma: str, encoding: str
) -> None:
    text = io.StringIO()
    csv.writer(text, delimiter=comma, lineterminator="\n").writerows([HEAD.strip().split(","), *lines])
    good, bad, notes = table(tmp_path_factory.mktemp("table"), text.getvalue(), encoding)
    empty = sum(not any(cell.strip() for cell in line) for line in lines)
    assert len(good) + len(bad) + empty >= len(lines)
    assert bool(empty) <= bool([note for note in notes if "empty cells" in note])


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(codec="utf-8"), max_size=80) | st.binary(max_size=60))
def test_no_line_of_any_file_is_lost(tmp_path_factory: pytest.TempPathFactory, rest: str | bytes) -> None:
    path = tmp_path_factory.mktemp("table") / "label.csv"
    path.write_bytes(b"clip_id,label\n" + (rest.encode() if isinstance(rest, str) else rest) + b"\nlast,1\n")
    try:
        found = list(rows(path))
    except MsapipeError:
        return
    names = [row.name for row in found if isinstance(row, Row)]
    assert "last" in names or any(isinstance(row, Unreadable) for row in found)


def test_a_name_longer_than_any_file_s_is_one_line_s_error(tmp_path: Path) -> None:
    root = tree(tmp_path, HEAD + f"{'9' * 400},1,x,1,train\nv,0001,x,1,train\n", ("Raw/v/0001.mp4",))
    (reason,) = refused(reader_of(root))  # type: ignore[arg-type]
    assert reason.startswith("line 2: ")
    assert "cannot be looked for: File name too long" in reason
    assert len(reason) < 300
    assert len(labels(root)) == 1
