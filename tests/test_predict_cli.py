"""What `msapipe predict` prints of long clips, of bounds and of time, and how modalities are switched off."""

from __future__ import annotations

import hashlib
import io
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from rich.console import Console
from safetensors.torch import save_file

from msapipe.cache import Store
from msapipe.cli import _show
from msapipe.cli.predict import predict as command
from msapipe.errors import ConfigError, FeatureMismatch, UnknownName
from msapipe.fusion._base import Batch, FusionModel, Output
from msapipe.pipeline import network as networks
from msapipe.pipeline.card import signature
from msapipe.pipeline.plan import plan
from msapipe.pipeline.run import Outcome, Runner
from msapipe.pipeline.scoring import as_object
from msapipe.pipeline.spec import load_spec, parse_spec
from msapipe.types import Clip, Contribution, Prediction, Transcript, Window, Word

# No picture is decoded and no speech recognised: quick.
PIPELINE = """
schema: 1
about: words and voice
stages:
  transcript: [sidecar, subtitles]
  words: [given, spread]
  text: lexicon
  audio: {use: mfcc, pitch: false}
"""


class Counting(FusionModel):
    """The number of modalities that are there, give or take a half."""

    def forward(self, batch: Batch) -> Output:
        score = torch.stack([mask.any(dim=1) for mask in batch.mask.values()]).float().sum(0)
        return Output(score, interval=torch.stack([score - 0.5, score + 0.5], dim=1))


@pytest.fixture
def mine(samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A pipeline and a model folder that fits it, as options of the command."""
    (tmp_path / "mine.yaml").write_text(PIPELINE)
    spec = load_spec(str(tmp_path / "mine.yaml"))
    with Runner(spec, Store(tmp_path / "cache")) as runner:
        features = runner.run(Clip("a", samples / "subtitled.mp4")).features
    dims = {name: part.values.shape[1] for name, part in features.items()}
    model = tmp_path / "model"
    model.mkdir()
    save_file({"nothing": torch.zeros(1)}, model / "model.safetensors")
    weights = (model / "model.safetensors").read_bytes()
    card = {
        **{"schema_version": 1, "about": "for tests", "use": "counting", "version": 1, "scale": [-3, 3]},
        **{"labels": [{"name": "neutral", "below": 0.5}, {"name": "positive"}], "align": None, "dims": dims},
        **{"features": signature(spec), "trained": {"dataset": None, "command": "none"}, "calibrated": True},
        "weights": {
            "file": "model.safetensors",
            "sha256": hashlib.sha256(weights).hexdigest(),
            "bytes": len(weights),
        },
        "licence": "Apache-2.0",
    }
    (model / "model.yaml").write_text(yaml.safe_dump(json.loads(json.dumps(card))))
    monkeypatch.setattr(networks, "load_network", lambda *_: Counting(dims).eval())
    return {"pipeline": str(tmp_path / "mine.yaml"), "model": str(model), "cache": tmp_path / "cache"}


def scored(mine: dict[str, str], capsys: pytest.CaptureFixture[str], path: Path, **more: object) -> dict[str, object]:
    """The command's JSON of one clip."""
    capsys.readouterr()
    assert command([str(path)], **mine, as_json=True, **more) == 0
    return json.loads(capsys.readouterr().out)


def test_a_modality_that_is_switched_off_is_not_computed_and_not_remembered(
    mine: dict[str, str], samples: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    clip = samples / "subtitled.mp4"
    fresh = {**mine, "cache": tmp_path / "fresh"}
    quiet = scored(fresh, capsys, clip, without=["text"])
    assert {path.name for path in (tmp_path / "fresh").iterdir()} >= {"media", "audio", "prediction"}
    assert not {path.name for path in (tmp_path / "fresh").iterdir()} & {"transcript", "words", "text"}
    assert (quiet["score"], quiet["missing"], quiet["interval"]) == (1.0, ["text"], [0.5, 1.5])
    assert quiet["notes"].count("text was switched off") == 1
    whole = scored(fresh, capsys, clip)
    assert (whole["score"], whole["missing"]) == (2.0, [])
    assert not any("switched off" in note for note in whole["notes"])
    assert scored(fresh, capsys, clip, without=["text"])["score"] == 1.0
    assert scored(fresh, capsys, clip)["score"] == 2.0
    mute = scored(fresh, capsys, clip, without=["audio", "vision"])
    assert (mute["missing"], mute["timings"].keys()) == (["audio"], {"fusion", "loading"})


def test_a_timeline_that_was_asked_for_leaves_the_score_as_it_is(
    mine: dict[str, str], samples: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = samples / "subtitled.mp4"
    before = scored(mine, capsys, clip)
    found = scored(mine, capsys, clip, window=1.0)
    assert before["timeline"] == []
    assert found["score"] == before["score"]
    windows = found["timeline"]
    assert len(windows) > 1
    assert all(window["end"] - window["start"] <= 4 / 3 for window in windows)
    assert scored(mine, capsys, clip)["timeline"] == []


def test_workers_compute_no_more_than_they_are_asked(mine: dict[str, str], samples: Path, tmp_path: Path) -> None:
    clips = [str(samples / name) for name in ("subtitled.mp4", "no_face.mp4")]
    fresh = {**mine, "cache": tmp_path / "fresh"}
    assert command(clips, **fresh, without=["text"], jobs=2, quiet=True, as_json=True) == 0
    assert not (tmp_path / "fresh" / "text").exists()


def test_for_people_with_timings(mine: dict[str, str], samples: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = samples / "subtitled.mp4"
    assert command([str(clip)], **mine, timings=True) == 0
    said = capsys.readouterr().out
    assert "+2.00 [+1.5, +2.5]  positive  on [-3, +3]" in said
    rows = {line.split()[0]: line.split()[1:] for line in said.splitlines() if line.split()}
    assert rows["audio/mfcc"] == ["cached"]
    assert rows["words/given"] == ["cached"]
    assert rows["fusion"][1].endswith("%")
    assert said.count("in all") == 1


@pytest.mark.parametrize(
    ("names", "kind", "says"),
    [
        (["txt"], UnknownName, "did you mean 'text'"),
        (["text", "audio", "vision"], ConfigError, "nothing is left to score"),
        (["text", "audio"], ConfigError, "makes features of nothing else"),
    ],
)
def test_what_cannot_be_switched_off_is_said(names: list[str], kind: type[Exception], says: str) -> None:
    with pytest.raises(kind, match=says):
        parse_spec(PIPELINE, "mine").without(names)


@pytest.mark.parametrize("names", [("txt",), ("text", "audio", "vision")])
def test_the_exit_code_of_a_wrong_name_is_that_of_usage(names: tuple[str, ...], samples: Path) -> None:
    options = [part for name in names for part in ("--without", name)]
    done = subprocess.run(
        [sys.executable, "-m", "msapipe", "predict", str(samples / "vfr.mp4"), *options],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert "--without" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_model_that_reads_nothing_of_what_is_left_is_refused(
    mine: dict[str, str], samples: Path, tmp_path: Path
) -> None:
    folder = Path(mine["model"])
    card = yaml.safe_load((folder / "model.yaml").read_text())
    card["dims"].pop("audio")
    (folder / "model.yaml").write_text(yaml.safe_dump(card))
    with pytest.raises(ConfigError, match="reads only text"):
        command([str(samples / "vfr.mp4")], **mine, without=["text"], allow_mismatch=True)
    with pytest.raises(FeatureMismatch):
        command([str(samples / "vfr.mp4")], pipeline="pocket", model=mine["model"], without=["audio"])


def test_what_only_a_switched_off_modality_reads_goes_with_it(samples: Path, tmp_path: Path) -> None:
    whole = load_spec("pocket")
    clip, store = Clip("a", samples / "vfr.mp4"), Store(tmp_path)
    keys = plan(clip, whole, store).keys
    for off, gone in {"vision": {"faces", "speaker", "vision"}, "text": {"text"}, "audio": {"audio"}}.items():
        less = whole.without([off])
        assert (less.name, less.source, less.model) == (whole.name, whole.source, whole.model)
        assert gone <= set(whole.stages) - set(less.stages)
        assert all(keys[slot] == key for slot, key in plan(clip, less, store).keys.items())
    aligned = parse_spec(PIPELINE + "align: words\n", "aligned")
    assert set(aligned.without(["text"]).stages) == {"transcript", "words", "audio"}


def prediction(windows: int) -> Prediction:
    timeline = tuple(
        Window(30.0 * n, 30.0 * n + 30, -3 + 6 * n / windows, "neutral", (-3.0, 3.0), ("vision",) if n == 1 else ())
        for n in range(windows)
    )
    part = Contribution(0.5, False, 1.0, None)
    return Prediction(1.0, (-3.0, 3.0), 1 / 3, "positive", "m", {"text": part}, ("a note",), timeline=timeline)


def test_a_timeline_for_people_is_a_line_and_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    outcome = Outcome(Clip("a", Path("a[b].mp4")), notes=("a note",))
    outcome.values["transcript"] = Transcript((Word("hello"),), "en", "sidecar")
    _show.show(outcome, prediction(60))
    said = capsys.readouterr().out
    assert "a[b].mp4" in said
    assert said.count("a note") == 1
    assert f"0:00 {_show._BLOCKS[0]}" in said
    assert f"{_show._BLOCKS[-1]} 30:00" in said
    assert "9:30" in said
    assert "10:30" not in said
    assert "... 40 more windows" in said
    assert re.search(r"0:30 +1:00 +-2\.90 \[-3\.0, \+3\.0\] +neutral +vision", said)
    _show.show(outcome, prediction(3))
    assert "more windows" not in capsys.readouterr().out


def test_a_window_left_out_is_a_gap_in_the_line() -> None:
    whole = prediction(4)
    assert _show._line(whole) == "▁▃▅▇"
    assert _show._line(replace(whole, timeline=(whole.timeline[1], whole.timeline[3]))) == "▃·▇"


def test_a_terminal_without_blocks_gets_the_table() -> None:
    ascii_only = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    _show._show_timeline(Console(file=ascii_only, width=100), prediction(3))
    ascii_only.seek(0)
    assert ascii_only.read().split()[:2] == ["from", "to"]


@pytest.mark.parametrize(("seconds", "clock"), [(0, "0:00"), (59.9, "0:59"), (90, "1:30"), (3723, "1:02:03")])
def test_seconds_as_a_clock(seconds: float, clock: str) -> None:
    assert _show._clock(seconds) == clock


def test_a_timeline_as_json_is_plain_values() -> None:
    found = json.loads(json.dumps(as_object(Outcome(Clip("a", Path("a.mp4"))), prediction(3))))
    assert found["interval"] is None
    assert found["timeline"][1] == {
        **{"start": 30.0, "end": 60.0, "score": -1.0, "label": "neutral"},
        **{"interval": [-3.0, 3.0], "missing": ["vision"]},
    }


def test_report_lines_say_the_score_and_its_bounds(mine: dict[str, str], samples: Path, tmp_path: Path) -> None:
    clips = [str(samples / "subtitled.mp4"), str(tmp_path / "gone.mp4")]
    assert command(clips, **mine, report=tmp_path / "report.jsonl", quiet=True, as_json=True) == 3
    lines = {line["status"]: line for line in map(json.loads, (tmp_path / "report.jsonl").read_text().splitlines())}
    assert (lines["ok"]["score"], lines["ok"]["label"], lines["ok"]["interval"]) == (2.0, "positive", [1.5, 2.5])
    assert "score" not in lines["error"]
