from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from msapipe.datasets import Example, Refused
from msapipe.report.dataset import DataSetNumbers, count
from msapipe.report.dataset_page import duration, warnings, write
from msapipe.report.probing import Probed, probe_clips
from msapipe.types import Clip, MediaInfo, Transcript, Word
from tests.report.test_html import read_page


def probed(name: str, seconds: float | None = 10.0, words: str = "", problem: str | None = None, **more: Any) -> Probed:
    contents = more.pop("contents", name)
    stretch = {key: more.pop(key) for key in ("start", "end") if key in more}
    example = Example(Clip(name, Path(f"/data/{name}.mp4"), **stretch), **more)
    info = None if problem else MediaInfo("mp4", "h264", None, seconds)
    found = Transcript(tuple(Word(word) for word in words.split())) if words else None
    return Probed(example, info, found, problem, contents)


def numbers(*items: Probed, refused: tuple[Refused, ...] = (), language: str | None = None) -> DataSetNumbers:
    return count("/data", "table", language, items, refused)


def test_durations_are_those_of_stretches_and_of_what_can_be_read() -> None:
    found = numbers(
        probed("a", 10.0),
        probed("b", 60.0, start=50.0, end=55.0, contents="long"),
        probed("c", 60.0, start=50.0, end=99.0, contents="long"),
        probed("d", None),
        probed("e", None, start=1.0, end=4.0),
        probed("f", problem="it is empty (0 bytes)"),
    )
    assert found.lengths is not None
    lengths = found.lengths
    assert (lengths.total, lengths.median, lengths.shortest, lengths.longest) == (28.0, 7.5, 3.0, 10.0)
    assert (found.clips, found.unreadable, found.unknown_length) == (6, 1, 1)
    assert found.causes == [("it is empty (… bytes)", 1)]
    assert not found.same_bytes
    assert duration(3723.4) == "1:02:03"


def test_splits_labels_and_what_spoils_them() -> None:
    found = numbers(
        probed("007/1", labels={"M": -1.0, "T": 0.5}, split="train", video="007"),
        probed("007/02", labels={"M": 1.0}, split="test", video="007"),
        probed("x/1", labels={"M": 1.0}, split="train", video="x", contents="007/1"),
        probed("y/10", split="valid", video="y"),
    )
    assert {name: (part.clips, part.videos) for name, part in found.splits.items()} == {
        "train": (2, 2),
        "valid": (1, 1),
        "test": (1, 1),
    }
    assert found.splits["train"].hours == pytest.approx(20 / 3600)
    assert found.torn == {"007": ("test", "train")}
    assert found.same_bytes == (("007/1", "x/1"),)
    assert found.leading_zeros == 2
    common = found.labels["M"]
    assert (common.clips, common.mean, common.deviation) == (3, pytest.approx(1 / 3), pytest.approx(0.942809))
    assert common.histogram == {"-1": 1, "1": 2}
    assert list(found.labels) == ["M", "T"]
    assert found.without_label == 1
    assert [text.split()[0] for text in warnings(found)] == ["video", "the", "4"]


def test_many_labels_share_bars_and_none_is_lost() -> None:
    found = numbers(*(probed(str(i), labels={"M": i / 50 - 3}) for i in range(301)))
    histogram = found.labels["M"].histogram
    assert len(histogram) == 13
    assert sum(histogram.values()) == 301
    assert next(iter(histogram)) == "-2.77"
    assert list(histogram)[6] == "0.00"


def test_language_is_stated_or_the_letters_are_counted() -> None:
    found = numbers(probed("a", words="hi you"), probed("b", words="你好 123"), probed("c"), probed("d", words="где"))
    assert found.letters == {"Latin": 5 / 10, "other": 3 / 10, "CJK": 2 / 10}
    assert found.languages == {"not stated": 4}
    assert found.without_text == 1
    assert numbers(probed("a", words="hi"), language="en").languages == {"en": 1}


def test_what_was_refused_is_a_problem_and_other_files_are_not(tmp_path: Path) -> None:
    wrong = Refused(Path("/data/label.csv"), "line 7: <b> is gone", skipped=False)
    found = numbers(probed("a", labels={"M": 1.0}), refused=(wrong, Refused(Path("/data/x.doc"), "no clip", True)))
    assert [(problem.name, problem.reason) for problem in found.problems] == [
        ("/data/label.csv", "line 7: <b> is gone")
    ]
    assert found.passed_over == 1
    write(tmp_path / "set.html", found)
    page = read_page(tmp_path / "set.html")
    assert "line 7: <b> is gone" in page.text
    assert "rect" in page.tags
    write(tmp_path / "empty.html", numbers())
    assert "not known" in read_page(tmp_path / "empty.html").text


def test_probing_names_what_is_wrong_and_opens_each_file_once(
    samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from msapipe.media import Decoder

    opened: list[Path] = []
    real = Decoder.probe
    monkeypatch.setattr(Decoder, "probe", lambda self, path: (opened.append(path), real(self, path))[1])
    (tmp_path / "copy.mp4").write_bytes((samples / "vfr.mp4").read_bytes())
    (tmp_path / "copy.srt").write_text("nonsense", encoding="utf-8")
    (tmp_path / "empty.mp4").touch()
    clips = [
        Clip("whole", samples / "vfr.mp4", text="words"),
        Clip("late", samples / "vfr.mp4", 1e3),
        Clip("copy", tmp_path / "copy.mp4"),
        Clip("empty", tmp_path / "empty.mp4"),
        Clip("gone", tmp_path / "gone.mp4"),
    ]
    found = list(probe_clips([Example(clip) for clip in clips]))
    whole, late, copy, empty, gone = found
    assert sorted(opened) == sorted({clip.path for clip in clips})
    assert whole.problem is None
    assert whole.words is not None
    assert whole.contents == copy.contents == late.contents
    for item, part in ((late, "starts at 1000 s"), (copy, "line 1"), (empty, "0 bytes"), (gone, "no such file")):
        assert part in (item.problem or ""), item
    assert str(tmp_path) not in (empty.problem or "")


def test_a_label_far_from_the_others_is_a_problem_and_another_scale_a_note() -> None:
    odd = numbers(*(probed(f"v/{i}", labels={"M": label}) for i, label in enumerate((-1.0, 0.5, 2.0, 9.0))))
    assert [(problem.name, problem.reason.split(",")[0]) for problem in odd.problems] == [("v/3", "label M is 9")]
    other = numbers(*(probed(f"v/{i}", labels={"M": float(label)}) for i, label in enumerate((10, 50, 70))))
    assert not other.problems
    assert "the labels lie in [10, 70]; tell a training the whole scale: --scale LOW,HIGH" in warnings(other)
