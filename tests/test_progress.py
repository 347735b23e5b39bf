"""How far a clip is: every step is told, and the seconds of its pictures."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from msapipe.cache import Store
from msapipe.cli import _clip_progress
from msapipe.cli._clip_progress import ClipProgress, told_of
from msapipe.pipeline.progress import Progress
from msapipe.pipeline.run import Runner
from msapipe.pipeline.spec import load_spec
from msapipe.types import Clip
from tests.program import run_program

PIPELINE = "schema: 1\nabout: faces\nstages:\n  faces: mtcnn\n  speaker: largest\n  vision: geometry\n"


def told(tmp_path: Path, clip: Clip) -> list[Progress]:
    (tmp_path / "faces.yaml").write_text(PIPELINE)
    heard: list[Progress] = []
    spec = load_spec(str(tmp_path / "faces.yaml"))
    with Runner(spec, Store(tmp_path / "cache"), listener=heard.append) as runner:
        assert runner.run(clip).error is None
    return heard


def test_steps_and_seconds_are_told(samples: Path, tmp_path: Path) -> None:
    heard = told(tmp_path, Clip("a", samples / "silent_face.mp4"))
    steps = list(dict.fromkeys(each.step for each in heard))
    assert steps == ["media", "faces/mtcnn", "speaker/largest", "vision/geometry"]
    assert [each.number for each in heard] == sorted(each.number for each in heard)
    reached = [each.reached for each in heard if each.step == "faces/mtcnn" and each.reached is not None]
    assert reached == sorted(reached)
    assert reached[-1] == pytest.approx(4.0, abs=0.2)
    last = next(each for each in reversed(heard) if each.step == "faces/mtcnn")
    assert last.length == pytest.approx(4.0, abs=0.1)
    assert last.share == pytest.approx(1.0, abs=0.05)
    assert told(tmp_path, Clip("a", samples / "silent_face.mp4")) == []  # all of it was stored


def test_a_stretch_has_its_own_length(samples: Path, tmp_path: Path) -> None:
    heard = told(tmp_path, Clip("a", samples / "silent_face.mp4", 1.0, 2.5))
    assert {each.length for each in heard if each.length is not None} == {1.5}


def test_a_long_clip_is_told_in_lines_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_clip_progress, "_SAY_EVERY_SECONDS", -1.0)
    out = io.StringIO()
    within = ClipProgress(Console(file=out, width=40))
    within(Progress("faces/mtcnn", 1, 4, None, 300.0))
    within(Progress("faces/mtcnn", 1, 4, 60.0, 300.0))
    within(Progress("faces/mtcnn", 1, 4, 4.0, 5.0))  # over before anybody has read it
    assert out.getvalue() == "faces/mtcnn: 60 of 300 s, 0 s left\n"


def test_what_is_left_goes_on_as_it_went() -> None:
    assert told_of(Progress("a", 0, 1, 100.0, 300.0), 20.0) == "a: 100 of 300 s, 40 s left"
    assert told_of(Progress("a", 0, 1, 400.0, 300.0), 20.0) == "a: 400 of 300 s, 0 s left"


@pytest.mark.parametrize("command", [("predict", "--explain", "--timings"), ("extract", "--jobs", "1")])
def test_a_clip_is_planned_once(
    command: tuple[str, ...], samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from msapipe.pipeline import run

    planned: list[Clip] = []
    whole = run.plan
    monkeypatch.setattr(run, "plan", lambda clip, *rest: planned.append(clip) or whole(clip, *rest))
    usual = ("--pipeline", "plain") if command[0] == "extract" else ("--html", tmp_path / "page.html")
    name, *options = command
    assert run_program(name, samples / "positive.mp4", "--cache", tmp_path / "cache", *options, *usual) == 0
    assert len(planned) == 1
