"""Explanations, pages and films of clips, with names and words that strangers may have chosen."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch

from msapipe.cache import Store
from msapipe.cli.predict import predict as command
from msapipe.cli.render import render
from msapipe.cli.report import report
from msapipe.errors import ConfigError, MsapipeError
from msapipe.fusion._base import Batch, FusionModel, Output
from msapipe.pipeline import network as networks
from msapipe.pipeline.explain import Explanation, WordEffect, explain
from msapipe.pipeline.predict import Model
from msapipe.pipeline.run import Outcome, Runner
from msapipe.pipeline.spec import load_spec
from msapipe.report import clip_pictures as pictures
from msapipe.report.burnt_film import _Painter
from msapipe.report.clip_page import Told, write_clip_page
from msapipe.report.film import at_rate, write_film
from msapipe.stages.text.lexicon import Lexicon
from msapipe.testing.fakes import face_tracks
from msapipe.testing.media import make_clip
from msapipe.types import (
    Clip,
    Contribution,
    FaceTracks,
    Frames,
    Prediction,
    Speaker,
    Transcript,
    Waveform,
    Window,
    Word,
)
from tests.test_predict_cli import mine  # noqa: F401 - a fixture

HOSTILE = "<img src=x onerror=alert(1)>.mp4"
WORDS = "A good </script><script>alert(2)</script> film \x1b[31m and a terrible end"


class Valence(FusionModel):
    """The mean of VADER's last column, three times as strong; half of it without sound."""

    def forward(self, batch: Batch) -> Output:
        text = batch.values["text"][..., 8].sum(1) / batch.mask["text"].sum(1).clamp(min=1) * 3
        heard = batch.mask["audio"].any(dim=1)
        score = torch.where(heard, text, text / 2)
        gates = torch.arange(batch.values["text"].shape[1] * 20.0).reshape(1, -1, 20).repeat(len(batch), 1, 1)
        share = torch.tensor([[0.75 if name == "text" else 0.25 for name in self.dims]]).repeat(len(batch), 1)
        bounds = torch.stack([score - 0.5, score + 0.5], dim=1)
        return Output(score, {"text": text}, diagnostics={"gates": gates, "share": share}, interval=bounds)


@pytest.fixture
def valence(mine: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:  # noqa: F811
    """The pipeline and model of ``mine``, scored by the words."""
    dims = Model(mine["model"], load_spec(mine["pipeline"])).card.dims
    monkeypatch.setattr(networks, "load_network", lambda *_: Valence(dims).eval())
    return mine


@pytest.fixture
def clip(samples: Path, tmp_path: Path) -> Path:
    """A clip whose name and subtitles are meant to break a page and a terminal."""
    path = tmp_path / HOSTILE
    shutil.copy(samples / "subtitled.mp4", path)
    path.with_suffix(".srt").write_text(f"1\n00:00:00,000 --> 00:00:03,000\n{WORDS}\n")
    return path


def told(clip: Path, options: dict[str, str]) -> Told:
    spec = load_spec(options["pipeline"])
    model = Model(options["model"], spec)
    with Runner(spec, Store(Path(options["cache"]))) as runner:
        outcome = runner.run(Clip(clip.name, clip))
        found = model.predict(outcome, runner.store)
        why = explain(outcome, found, model, runner)
        return Told(outcome, found, why, spec)


def test_a_word_adds_what_the_text_loses_without_it(valence: dict[str, str], samples: Path, tmp_path: Path) -> None:
    clip = tmp_path / "plain.mp4"
    shutil.copy(samples / "subtitled.mp4", clip)
    clip.with_suffix(".txt").write_text("a good film and a terrible end")
    all_of_it = told(clip, valence)
    stage = Lexicon()
    stage.load("cpu")

    def says(words: tuple[Word, ...]) -> float:
        return 3 * float(stage.run(Transcript(words, language="en")).values[:, 8].mean())

    words = all_of_it.outcome.values["words"].words
    for at, effect in enumerate(all_of_it.explanation.words):
        assert effect.adds == pytest.approx(says(words) - says(words[:at] + words[at + 1 :]), abs=1e-4)
    effects = {word.text: word.adds or 0.0 for word in all_of_it.explanation.words}
    assert effects["good"] > 0.3 > 0 > -0.3 > effects["terrible"]
    assert [word.text for word in all_of_it.explanation.strongest(2)] == ["terrible", "good"]
    assert "leave-one-out of the text head (text/lexicon)" in all_of_it.explanation.method
    assert all_of_it.explanation.trust == {"text": 0.75, "audio": 0.25}


def test_the_running_score_hears_no_word_too_early(valence: dict[str, str], clip: Path) -> None:
    found = told(clip, valence)
    running = found.explanation.running
    assert [at for at, _ in running] == sorted(at for at, _ in running)
    good = next(word for word in found.outcome.values["words"].words if word.text == "good")
    before = [score for at, score in running if at < good.end]
    assert before
    assert all(score == 0 for score in before)
    assert running[-1][1] == pytest.approx(found.prediction.score, abs=1e-5)


def test_without_text_it_is_said_why(valence: dict[str, str], samples: Path) -> None:
    found = told(samples / "no_face.mp4", valence)
    assert found.explanation.strongest(3) == []
    assert "not known" in found.explanation.method


class Tags(HTMLParser):
    """Every element of a page with its attributes, and all text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def harmless(page: str) -> Tags:
    """The page's elements, after a look for what it must never hold."""
    tags = Tags(page)
    for tag, attributes in tags.found:
        assert not [name for name in attributes if name.startswith("on")], (tag, attributes)
        for name in ("src", "href", "poster", "action"):
            address = attributes.get(name)
            assert address is None or address.startswith(("data:", "../index.html", "clips/")), (tag, address)
    assert sum(tag == "script" for tag, _ in tags.found) <= 1
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202a-\u202e]", page)
    return tags


def test_a_page_of_a_stranger_s_clip(valence: dict[str, str], clip: Path, tmp_path: Path) -> None:
    size = write_clip_page(tmp_path / "page.html", told(clip, valence))
    page = (tmp_path / "page.html").read_text()
    tags = harmless(page)
    assert size < 1_000_000
    assert HOSTILE in "".join(tags.text)
    assert "\\x1b[31m" in "".join(tags.text)
    script = re.search(r"<script>(.*?)</script>", page, re.S)
    assert script is not None
    allowed = base64.b64encode(hashlib.sha256(script.group(1).encode()).digest()).decode()
    policy = next(a["content"] or "" for t, a in tags.found if t == "meta" and "Content-Security" in str(a))
    assert policy.startswith("default-src 'none'")
    assert f"script-src 'sha256-{allowed}'" in policy
    words = [a for tag, a in tags.found if tag == "button" and "data-end" in a]
    assert {a["class"] for a in words if a.get("class")} == {"up", "down"}
    assert sum("tabindex" not in a for a in words) == 1
    film = next(a["src"] or "" for tag, a in tags.found if tag == "video")
    (tmp_path / "film.mp4").write_bytes(base64.b64decode(film.partition(",")[2]))
    with av.open(str(tmp_path / "film.mp4")) as opened:
        assert opened.streams.video[0].codec.name == "h264"
        assert opened.streams.audio
    told_all = " ".join(tags.text)
    assert "gates" in told_all
    assert "leave-one-out" in told_all.lower()


def test_a_long_clip_is_played_from_its_file(
    valence: dict[str, str], clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("msapipe.report.clip_page.MOST_SECONDS", 1.0)
    write_clip_page(tmp_path / "page.html", told(clip, valence))
    page = (tmp_path / "page.html").read_text()
    assert 'src="%3Cimg%20src%3Dx%20onerror%3Dalert%281%29%3E.mp4"' in page
    assert "media-src 'self' file:" in page.replace("&#39;", "'")


def test_the_command_explains(
    valence: dict[str, str], clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command([str(clip)], **valence, explain=True, html=tmp_path / "a.html") == 0
    said = capsys.readouterr()
    assert "words that move the text: " in said.out
    assert "terrible -" in said.out
    assert "\x1b" not in said.out + said.err
    assert (tmp_path / "a.html").is_file()
    assert command([str(clip)], **valence, explain=True, as_json=True) == 0
    said_json = json.loads(capsys.readouterr().out)["explanation"]
    assert said_json["trust"] == {"text": 0.75, "audio": 0.25}
    assert {"text", "start", "end", "adds"} == set(said_json["words"][0])


def test_a_page_is_of_one_clip(valence: dict[str, str], samples: Path, tmp_path: Path) -> None:
    two = [str(samples / "subtitled.mp4"), str(samples / "no_face.mp4")]
    with pytest.raises(ConfigError, match="msapipe report"):
        command(two, **valence, html=tmp_path / "a.html")
    with pytest.raises(ConfigError, match=r"\.html"):
        command(two[:1], **valence, html=tmp_path / "a.pdf")


def test_pages_of_several_clips(valence: dict[str, str], clip: Path, samples: Path, tmp_path: Path) -> None:
    broken = tmp_path / "<b>broken.mp4"
    broken.write_bytes(b"\0" * 100)
    out = tmp_path / "out"
    assert report([str(clip), str(samples / "subtitled.mp4"), str(broken)], **valence, output=out) == 3
    index = harmless((out / "index.html").read_text())
    pages = {a["href"] for tag, a in index.found if tag == "a"}
    assert len(pages) == 2
    assert all((out / str(page)).is_file() for page in pages)
    text = "".join(index.text)
    assert HOSTILE in text
    assert "<b>broken.mp4" in text
    assert "Failures by cause" in text
    assert sum(tag == "svg" for tag, _ in index.found) == 3  # scores, and coverage of text and audio
    for page in pages:
        harmless((out / str(page)).read_text())


def test_given_labels_beside_scored_ones(valence: dict[str, str], samples: Path, tmp_path: Path) -> None:
    root = tmp_path / "set"
    (root / "Raw" / "v").mkdir(parents=True)
    for name in ("1", "2"):
        shutil.copy(samples / "subtitled.mp4", root / "Raw" / "v" / f"{name}.mp4")
    table = "video_id,clip_id,text,label\nv,1,a wonderful film,2\nv,2,a wonderful film,-2\n"
    (root / "label.csv").write_text(table)
    assert report([str(root)], **valence, output=tmp_path / "out", pages=False) == 0
    page = (tmp_path / "out" / "index.html").read_text()
    assert "1 of 2 are the same" in page


def faces_and_speaker() -> tuple[FaceTracks, Speaker]:
    faces = face_tracks(40, people=2)
    track = np.where(np.arange(40) < 20, 0, 1).astype(np.int64)
    return faces, Speaker(track, np.ones(40, np.float32))


def test_the_strip_shows_everyone_and_marks_who_speaks() -> None:
    faces, speaker = faces_and_speaker()
    seconds = float(faces.times[-1, 1])
    people, more = pictures.people(faces, speaker, seconds)
    assert ([person.track for person in people], more) == ([0, 1], 0)
    first, second = ([face is not None and face.speaks for face in person.faces] for person in people)
    assert first == [True] * 6 + [False] * 6
    assert second == [False] * 6 + [True] * 6
    assert people[0].turns[0][0] == 0
    assert people[0].turns[0][1] == pytest.approx(seconds / 2)


def test_waveform_and_spectrogram_show_where_it_is_loud() -> None:
    rate = 16000
    tone = np.sin(2 * np.pi * 3000 * np.arange(rate) / rate).astype(np.float32)
    waveform = Waveform(np.concatenate([np.zeros(rate, np.float32), tone]), rate)
    points = [tuple(map(float, point.split())) for point in pictures.outline(waveform, 2.0)[1:-1].split("L")]
    assert max(1 - y for x, y in points if x < 495) < 0.02
    assert max(1 - y for x, y in points if x > 505) > 0.95
    data = base64.b64decode(pictures.mel(waveform).partition(",")[2])
    picture = cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), 1), cv2.COLOR_BGR2GRAY).astype(float)
    middle = picture.shape[1] // 2
    assert picture[:, middle + 5 :].max() > picture[:, : middle - 5].max() + 50
    height = 2595 * np.log10(1 + 3000 / 700) / (2595 * np.log10(1 + 8000 / 700))
    assert picture[:, -20].argmax() == pytest.approx(64 * (1 - height), abs=2)


def moving(times: list[tuple[float, float]]) -> Frames:
    def read() -> Iterator[tuple[np.ndarray, float, float]]:
        for number, (start, end) in enumerate(times):
            yield np.full((33, 45, 3), 50 * number, np.uint8), start, end

    return Frames(read)


def test_pictures_at_equal_distances_hold_the_last_one_shown() -> None:
    found = list(at_rate(moving([(0.0, 0.1), (0.1, 0.5), (1.0, 1.2)]), 10.0))
    assert [round(at, 3) for at, _ in found] == [round(0.1 * number, 3) for number in range(12)]
    assert [int(picture[0, 0, 0]) for _, picture in found] == [0, *[50] * 9, 100, 100]


def test_a_late_first_picture_is_shown_from_the_start() -> None:
    found = list(at_rate(moving([(0.5, 1.0)]), 10.0))
    assert (len(found), found[0][0]) == (10, 0.0)


def test_a_film_of_odd_size_with_sound(tmp_path: Path) -> None:
    sound = Waveform(np.zeros(16000, np.float32), 16000)
    shown = (np.full((33, 45, 3), 7 * number, np.uint8) for number in range(10))
    assert write_film(tmp_path / "a.mp4", shown, 10.0, sound) == 10
    with av.open(str(tmp_path / "a.mp4")) as opened:
        assert (opened.streams.video[0].width, opened.streams.video[0].height) == (46, 34)
        assert sum(1 for _ in opened.decode(video=0)) == 10
    assert write_film(tmp_path / "b.mp4", iter(()), 10.0, sound) == 0
    with pytest.raises(MsapipeError, match="neither a picture nor a sound"):
        write_film(tmp_path / "c.mp4", iter(()), 10.0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "b.mp4"]


def painter(timeline: tuple[Window, ...] = (), running: tuple[tuple[float, float], ...] = ()) -> _Painter:
    faces, speaker = faces_and_speaker()
    outcome = Outcome(Clip("a", Path("a.mp4")))
    outcome.values = {"faces": faces, "speaker": speaker, "words": Transcript((Word("grün 好", 0.0, 1.0),))}
    part = {"text": Contribution(1.0, False, 1.0, None)}
    found = Prediction(1.5, (-3, 3), 0.5, "positive", "m", part, timeline=timeline)
    return _Painter(outcome, found, Explanation((WordEffect("grün", 0.0, 1.0, 0.5),), running=running))


def test_the_speaker_s_box_is_green_and_follows_him() -> None:
    drawn_by = painter()
    faces, _ = faces_and_speaker()
    blank = np.full((*faces.frame_size, 3), 120, np.uint8)
    for at, speaks in ((0.0, 0), (float(faces.times[30, 0]), 1)):
        drawn = drawn_by.paint(blank, at)
        scale = drawn.shape[0] // blank.shape[0]
        row = int(np.searchsorted(faces.times[:, 0], at + 1e-6, "right")) - 1
        for one in np.flatnonzero(faces.row == row):
            x1, y1, _, y2 = (round(float(side)) * scale for side in faces.boxes[one])
            pixel = tuple(int(part) for part in drawn[(y1 + y2) // 2, x1])
            assert (pixel == (70, 200, 120)) is bool(faces.track[one] == speaks)
    assert (blank == 120).all()


def test_the_score_of_the_moment_is_drawn() -> None:
    running = painter(running=((1.0, -2.0), (2.0, 2.0)))
    assert [running._score(at) for at in (0.5, 1.5, 2.5)] == [None, -2.0, 2.0]
    windows = painter(timeline=(Window(0, 30, 1.0, "positive"), Window(30, 60, -1.0, "negative")))
    assert [windows._score(at) for at in (5, 35)] == [1.0, -1.0]


def test_the_command_renders(
    valence: dict[str, str], clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert render(str(clip), tmp_path / "out.mp4", **valence) == 0
    with av.open(str(tmp_path / "out.mp4")) as opened, av.open(str(clip)) as source:
        assert opened.streams.audio
        seconds = float(source.duration) / 1e6
        assert sum(1 for _ in opened.decode(video=0)) == pytest.approx(25 * seconds, abs=3)
    for wrong, says in (("out.gif", "ends in"), ("no/out.mp4", "no folder"), (HOSTILE, "the clip itself")):
        with pytest.raises(ConfigError, match=says):
            render(str(clip), tmp_path / wrong, **valence)


def test_a_clip_without_pictures_cannot_be_rendered(valence: dict[str, str], tmp_path: Path) -> None:
    make_clip(tmp_path / "a.mp4", seconds=1, video=False)
    with pytest.raises(MsapipeError, match="no pictures"):
        render(str(tmp_path / "a.mp4"), tmp_path / "out.mp4", **valence)


def test_windows_of_a_long_clip_on_its_page(valence: dict[str, str], clip: Path, tmp_path: Path) -> None:
    whole = told(clip, valence)
    windows = (Window(0, 2, 1.0, "positive"), Window(2, 4, -1.0, "<b>"))
    long = replace(whole, prediction=replace(whole.prediction, timeline=windows))
    write_clip_page(tmp_path / "page.html", long)
    tags = harmless((tmp_path / "page.html").read_text())
    drawn = [a for tag, a in tags.found if tag == "rect" and "window" in (a.get("class") or "")]
    assert [a["class"] for a in drawn] == ["window high", "window low"]


def test_sound_alone_has_a_page_too(valence: dict[str, str], tmp_path: Path) -> None:
    make_clip(tmp_path / "a.mp4", seconds=1, video=False)
    write_clip_page(tmp_path / "page.html", told(tmp_path / "a.mp4", valence))
    tags = harmless((tmp_path / "page.html").read_text())
    assert [tag for tag, _ in tags.found if tag in ("audio", "video")] == ["audio"]
    assert any("no source of the transcript has any" in text for text in tags.text)


def test_a_text_stage_that_cannot_be_loaded_any_more_is_said(
    valence: dict[str, str], clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told(clip, valence)  # and its features are stored

    def gone(self: Lexicon, device: str) -> None:
        raise MsapipeError("the lexicon has gone")

    monkeypatch.setattr(Lexicon, "load", gone)
    why = told(clip, valence).explanation
    assert "the lexicon has gone" in why.method
    assert [word.adds for word in why.words] == [None] * len(why.words)
    assert why.running


def test_the_largest_page_is_below_a_megabyte(valence: dict[str, str], clip: Path, tmp_path: Path) -> None:
    whole = told(clip, valence)
    words = tuple(WordEffect(f"immeasurable{at}", at / 10, at / 10 + 0.1, (-1) ** at * 1.0) for at in range(5000))
    random = np.random.default_rng(0)
    faces = face_tracks(40, people=6)
    noise = [cv2.imencode(".jpg", random.integers(0, 255, (96, 96, 3), np.uint8))[1].tobytes() for _ in range(20)]
    crops = type(faces.crops).join([noise[at % 20] for at in range(len(faces.track))])
    speaker = Speaker(np.zeros(40, np.int64), np.ones(40, np.float32))
    whole.outcome.values |= {"faces": replace(faces, crops=crops), "speaker": speaker}
    gates = {"gates": random.normal(size=(1000, 1000))}
    full = replace(whole, explanation=replace(whole.explanation, words=words, diagnostics=gates))
    assert 300_000 < write_clip_page(tmp_path / "page.html", full) < 1_000_000
    text = "".join(harmless((tmp_path / "page.html").read_text()).text)
    assert "3000 more words are not shown" in text
    assert "2 more people are in sight" in text
