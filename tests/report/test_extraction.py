from __future__ import annotations

from pathlib import Path

import pytest

from msapipe.datasets import Refused
from msapipe.pipeline.run import Outcome
from msapipe.report.causes import cause, cause_of_refusal
from msapipe.report.extraction import RunNumbers, write_run
from msapipe.types import Clip
from tests.report.test_html import read_page


def outcome(name: str, error: str | None = None, **more: object) -> Outcome:
    made = Outcome(Clip(name, Path(f"/data/{name}")), "error" if error else "ok", error=error)
    for key, value in more.items():
        setattr(made, key, value)
    return made


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("/data/a.mp4: 3 bytes", "/data/b.mp4: 14.5 bytes", True),
        ("/data/a.mp4: faces/mtcnn failed", "/data/b.mp4: audio/mfcc failed", False),
        ("/data/a.mp4: h264 is odd", "/data/b.mp4: h265 is odd", False),
        ("/data/a.srt, line 3: found 'x'", "/data/b.srt, line 9: found 'why'", True),
        ("the file's end isn't there", "the file's index isn't there", False),
        ("the clip a.mp4 has no end", "the clip b.mp4 has no end", True),
    ],
)
def test_reasons_are_one_cause_when_only_names_and_numbers_differ(one: str, other: str, same: bool) -> None:
    first = cause(one, ["/data/a.mp4", "/data/a", "a.mp4"])
    second = cause(other, ["/data/b.mp4", "/data/b", "b.mp4"])
    assert (first == second) is same, (first, second)


def test_lines_of_a_table_are_one_cause_whatever_clip_they_name() -> None:
    first = cause_of_refusal("line 2: there is no media file Raw/a/1 or a/1", "label.csv")
    assert first == "line …: there is no media file … or …"
    assert cause_of_refusal("line 30: there is no media file Raw/bcd/07 or bcd/07", "label.csv") == first


def test_a_run_is_counted_and_failures_do_not_count_for_coverage() -> None:
    numbers = RunNumbers()
    numbers.add(outcome("a", coverage={"text": 1.0, "audio": 0.5}, computed=True, timings={"x": 1.0}, seconds=2.0))
    numbers.add(outcome("b", coverage={"text": 0.0, "audio": 1.0}, status="partial", missing=("text",)))
    numbers.add(outcome("c", missing=("text", "audio"), status="partial", computed=True, timings={"x": 0.5}))
    numbers.add(outcome("d", "/data/d: 3 bytes", coverage={"text": 1.0}))
    numbers.add(outcome("e", "/data/e: 4 bytes"))
    numbers.refuse(Refused(Path("/data/f.doc"), "not media", skipped=True))
    numbers.refuse(Refused(Path("/data/label.csv"), "line 3: gone", skipped=False))
    assert numbers.status == {"ok": 1, "partial": 2, "error": 3, "skipped": 1}
    assert (numbers.good, numbers.computed, numbers.cached) == (3, 2, 1)
    assert numbers.causes == {"… bytes": 2, "line …: gone": 1}
    assert numbers.mean_coverage() == {"text": pytest.approx(1 / 3), "audio": pytest.approx(0.5)}
    assert numbers.seconds == {"x": 1.5}
    assert numbers.slowest[0] == (2.0, "/data/a")


def test_the_page_of_a_run_says_it_all(tmp_path: Path) -> None:
    numbers = RunNumbers()
    numbers.add(outcome("a<b>", coverage={"text": 1.0}, computed=True, timings={"text/lexicon": 1.0}, seconds=2.0))
    numbers.add(outcome("d", "/data/d: 3 bytes"))
    write_run(tmp_path / "run.html", numbers, "pocket", 3.5)
    text = read_page(tmp_path / "run.html").text
    for part in ("pocket", "3.5 s", "… bytes", "3 bytes", "text: mean 100%", "text/lexicon", "/data/a<b>"):
        assert part in text, part


def test_the_page_of_an_empty_run(tmp_path: Path) -> None:
    write_run(tmp_path / "run.html", RunNumbers(), "pocket", 0.0)
    assert "Failures" not in read_page(tmp_path / "run.html").text
