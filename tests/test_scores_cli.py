"""The closing table of `msapipe predict`, files of scores, and names that are meant to break a terminal."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from msapipe.cli import _scores as scores
from msapipe.cli._show import line_of
from msapipe.cli.predict import predict as command
from msapipe.errors import ConfigError, MsapipeError
from msapipe.pipeline.run import Outcome
from msapipe.report.marks import marked, on_one_line
from msapipe.types import Clip, Contribution, Prediction, Transcript, Word
from tests.program import run_program
from tests.test_predict_cli import mine  # noqa: F401 - a fixture

EVIL = "a\x1b[31m\u202eb\x07\udcff\n.mp4"


def outcome_of(name: str = "a.mp4", text: str = "so good") -> Outcome:
    outcome = Outcome(Clip(name, Path(name)), notes=("a note",))
    outcome.values = {"transcript": Transcript(tuple(map(Word, text.split())), "en", "given")}
    return outcome


def found(
    score: float = 1.0, interval: tuple[float, float] | None = (-1.0, 3.0), label: str = "positive"
) -> Prediction:
    part = {"text": Contribution(1.0, False, score, None), "audio": Contribution(0.0, True, None, score)}
    return Prediction(score, (-3, 3), score / 3, label, "m", part, interval=interval)


def drawn(table: scores.ScoreTable, width: int = 80) -> list[str]:
    out = Console(width=width, file=open(os.devnull, "w"), record=True, highlight=False)  # noqa: SIM115
    table.show(out)
    return out.export_text().splitlines()


def test_the_bar_is_the_interval_with_the_score_in_it() -> None:
    assert scores.bar(found(-3.0, (-3.0, -1.5))) == "●────···┊········"
    assert scores.bar(found(0.75, None)) == "········┊·●······"
    assert scores.bar(found(3.0, (0.75, 3.0)), ascii_only=True) == "........|.------o"


@pytest.mark.parametrize("width", [60, 80, 132])
def test_the_table_fits_and_cuts_no_number(width: int) -> None:
    table = scores.ScoreTable()
    for number in range(5):
        table.add(outcome_of(f"folder/{'long/' * 10}{number}.mp4", "very " * 50), found())
    table.add(outcome_of("b.mp4"), None)
    lines = drawn(table, width)
    assert max(map(len, lines)) <= width
    rows = [line for line in lines if "+1.00" in line]
    assert len(rows) == 5
    assert all("positive" in row and "─●" in row and "very" in row for row in rows)
    assert [row.split()[0][-6:] for row in rows] == [f"/{number}.mp4" for number in range(5)]
    assert any("b.mp4" in line and "error" in line for line in lines)
    assert any("note (5 clips): a note" in line for line in lines)


def test_hidden_characters_become_marks() -> None:
    assert marked("a\x1b[0m\u202e\udcff\nb") == "a\\x1b[0m\\u202e\\udcff\nb"
    assert on_one_line("a\nb") == "a\\nb"
    fine = "grün 好\N{IDEOGRAPHIC SPACE}a\N{NO-BREAK SPACE}b 👍🏽 👩\N{ZERO WIDTH JOINER}👧 e\N{COMBINING ACUTE ACCENT}"
    assert marked(fine) == fine
    table = scores.ScoreTable()
    table.add(outcome_of(EVIL, "x\x1b]0;title\x07 y"), found(label="\x1b[5mhot"))
    text = "\n".join(drawn(table, 200))
    assert not [char for char in text if not char.isprintable() and char != "\n"]
    assert "\\x1b" in text


def test_scores_as_rows(tmp_path: Path) -> None:
    import pyarrow.parquet

    rows = [
        scores.row_of(outcome_of("a.mp4", 'say "hi",\nthen go'), found()),
        scores.row_of(Outcome(Clip("b", Path("b\udcff.mp4")), "error", error="b: broken"), None),
    ]
    for name in ("s.csv", "s.jsonl", "s.parquet"):
        scores.write_scores(tmp_path / name, rows)
    with (tmp_path / "s.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    lines = [json.loads(line) for line in (tmp_path / "s.jsonl").read_text().splitlines()]
    kept = pyarrow.parquet.read_table(tmp_path / "s.parquet").to_pylist()
    assert lines == kept
    assert list(table[0]) == list(lines[0])
    assert (lines[0]["score"], lines[0]["low"], lines[0]["audio_alone"], lines[0]["missing"]) == (
        1.0,
        -1.0,
        None,
        "audio",
    )
    assert table[0]["transcript"] == lines[0]["transcript"] == 'say "hi", then go'
    assert (lines[1]["error"], lines[1]["score"], table[1]["score"]) == ("b: broken", None, "")
    assert lines[1]["file"] == "b\\udcff.mp4"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s.csv", "s.jsonl", "s.parquet"]
    scores.write_scores(tmp_path / "none.parquet", [])
    assert pyarrow.parquet.read_table(tmp_path / "none.parquet").num_rows == 0


def test_where_scores_cannot_be_written(tmp_path: Path) -> None:
    for name, says in (("s.xlsx", r"\.csv, \.jsonl, \.parquet"), ("no/s.csv", "no folder")):
        with pytest.raises(ConfigError, match=says):
            scores.check_output(tmp_path / name)
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(MsapipeError, match="cannot be written"):
        scores.write_scores(tmp_path / "folder.csv", [])


@pytest.fixture
def four(samples: Path, tmp_path: Path) -> list[str]:
    """Clips of which one has a name of control characters, and a file that is no video."""
    paths = [tmp_path / name for name in ("a.mp4", "b.mp4", EVIL)]
    for path in paths:
        shutil.copy(samples / "subtitled.mp4", path)
    broken = tmp_path / "bro\x1b[7mken.mp4"
    broken.write_bytes(b"nothing")
    return [str(path) for path in (*paths, broken)]


def test_more_than_a_few_clips_end_in_one_table(
    mine: dict[str, str],  # noqa: F811
    four: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert command(four, **{**mine, "cache": str(mine["cache"])}, output=tmp_path / "s.csv") == 3
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert lines[0].split()[:2] == ["clip", "score"]
    assert sum("+2.00" in line for line in lines) == 3
    assert sum("error" in line for line in lines) == 1
    assert max(map(len, lines)) <= 80
    assert "coverage  " not in said.out
    assert not [char for char in said.out + said.err if not char.isprintable() and char != "\n"]
    with (tmp_path / "s.csv").open(newline="") as file:
        assert [row["score"] for row in csv.DictReader(file)].count("2.0") == 3


def test_a_few_clips_are_told_one_by_one(
    mine: dict[str, str],  # noqa: F811
    four: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert command(four[:3], **{**mine, "cache": str(mine["cache"])}) == 0
    said = capsys.readouterr().out
    assert said.count("score without it") == 3
    assert not [char for char in said if not char.isprintable() and char != "\n"]


def test_messages_and_other_commands_show_marks(
    four: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_program("extract", f"{tmp_path}/no\x1b[31m.mp4") == 1
    assert run_program("plan", four[2]) == 0
    assert run_program("extract", "--dry-run", four[2]) == 0
    said = capsys.readouterr()
    assert "no\\x1b[31m.mp4" in said.err
    assert "\x1b" not in said.out + said.err
    assert "\u202e" not in said.out


def test_no_bar_in_a_pipe_even_where_colours_are_forced(four: list[str], tmp_path: Path) -> None:
    """Standard output is piped, standard error a terminal; then both are pipes and colour is forced."""
    broken = [four[3]] * 5
    plain = {**os.environ, "TERM": "xterm", "MSAPIPE_CACHE": str(tmp_path / "cache")}
    program = [sys.executable, "-m", "msapipe", "extract", *broken, "--jobs", "1"]
    leader, terminal = pty.openpty()
    try:
        done = subprocess.run(program, env=plain, stdout=subprocess.PIPE, stderr=terminal, timeout=300, check=False)
    finally:
        os.close(terminal)
        os.close(leader)
    assert b"\r" not in done.stdout
    assert b"\x1b" not in done.stdout
    forced = subprocess.run(program, env={**plain, "FORCE_COLOR": "1"}, capture_output=True, timeout=300, check=False)
    assert b"\r" not in forced.stdout + forced.stderr
    assert b"\x1b[2K" not in forced.stdout + forced.stderr


def test_a_terminal_wraps_between_words_and_a_pipe_not_at_all() -> None:
    text = "note: how far face and voice are trusted was assumed"
    shown = []
    for terminal in (True, False):
        file = io.StringIO()
        line_of(Console(width=24, file=file, force_terminal=terminal, color_system=None, highlight=False), text)
        shown.append(file.getvalue().splitlines())
    assert shown[1] == [f"  {text}"]
    assert len(shown[0]) > 2
    assert max(map(len, shown[0])) <= 24
    assert " ".join(" ".join(shown[0]).split()) == text
