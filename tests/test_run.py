"""The default pipeline on the sample clips: real decoding, real MTCNN, real speech recognition."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import msapipe
from msapipe.api import Pipeline
from msapipe.cache import Store
from msapipe.errors import CacheError, ConfigError, MissingLibrary, MissingWeights, MsapipeError, NothingToScore
from msapipe.pipeline.device import resolve_device
from msapipe.pipeline.run import Options, Outcome, Runner
from msapipe.pipeline.spec import load_spec, parse_spec
from msapipe.testing.media import make_clip
from msapipe.types import Clip, FeatureSequence, Transcript


def test_every_sample_clip_is_run(outcomes: dict[str, Outcome]) -> None:
    assert {name: outcome.status for name, outcome in outcomes.items()} == {
        "negative": "ok",
        "no_face": "partial",
        "positive": "ok",
        "silent_face": "partial",
        "subtitled": "ok",
        "two_faces": "ok",
        "vfr": "ok",
    }
    assert outcomes["no_face"].missing == ("vision",)
    assert "vision is missing: no face was found" in outcomes["no_face"].notes
    assert set(outcomes["silent_face"].missing) == {"text", "audio"}


def test_the_positive_speaker_scores_well_above_the_negative_one(
    pocket: Pipeline, outcomes: dict[str, Outcome]
) -> None:
    positive, negative = (pocket.score(outcomes[name]) for name in ("positive", "negative"))
    assert positive.score >= negative.score + 1.0
    assert (positive.label, negative.label) == ("positive", "negative")


def test_contributions_are_scores_with_a_modality_off(pocket: Pipeline, outcomes: dict[str, Outcome]) -> None:
    prediction = pocket.score(outcomes["no_face"])
    assert prediction.missing == ("vision",)
    assert prediction.modalities["vision"].score is None
    assert prediction.modalities["vision"].score_without == pytest.approx(prediction.score)
    assert prediction.modalities["text"].score_without == pytest.approx(prediction.modalities["audio"].score)
    assert prediction.polarity == pytest.approx(prediction.score / 3)


def test_words_are_heard_where_nothing_was_written(outcomes: dict[str, Outcome]) -> None:
    heard = outcomes["positive"].values["transcript"]
    assert isinstance(heard, Transcript)
    assert heard.source == "whisper"
    assert {"wonderful", "happy", "love"} & set(heard.text.lower().split())
    read = outcomes["subtitled"].values["transcript"]
    assert read.source == "subtitles"
    assert outcomes["silent_face"].values["transcript"].words == ()


def test_every_word_has_times(outcomes: dict[str, Outcome]) -> None:
    for outcome in outcomes.values():
        words = outcome.values["words"].words
        assert all(word.start is not None for word in words)
        assert [word.start for word in words] == sorted(word.start for word in words)


def test_faces_are_counted(outcomes: dict[str, Outcome]) -> None:
    for name, expected in {"positive": 1, "negative": 1, "silent_face": 1, "two_faces": 2, "no_face": 0}.items():
        faces = outcomes[name].values["faces"]
        assert np.mean(faces.faces_per_frame == expected) >= 0.98, name


def test_variable_frame_rates_keep_their_times(outcomes: dict[str, Outcome]) -> None:
    times = outcomes["vfr"].features["vision"].times
    steps = np.diff(times[:, 0])
    assert steps.max() > 2 * np.median(steps), "the gap in the file is gone"
    assert np.all(times[1:, 0] >= times[:-1, 1] - 1e-9)


def test_features_keep_their_promises(outcomes: dict[str, Outcome]) -> None:
    for name, outcome in outcomes.items():
        for modality, part in outcome.features.items():
            assert isinstance(part, FeatureSequence)
            assert part.names, (name, modality)
            assert list(part.channels) == [{"text": "pocket", "audio": "prosody", "vision": "expression"}[modality]]


def test_a_second_run_computes_nothing_and_says_the_same(pocket: Pipeline, outcomes: dict[str, Outcome]) -> None:
    for name, first in outcomes.items():
        again = next(pocket.run([first.clip.path]))
        assert not again.computed, name
        assert (again.status, again.missing, again.notes) == (first.status, first.missing, first.notes)
        for modality, part in first.features.items():
            assert np.array_equal(part.values, again.features[modality].values)


def test_a_copy_under_another_name_is_a_hit(pocket: Pipeline, outcomes: dict[str, Outcome], tmp_path: Path) -> None:
    copy = tmp_path / "-- odd 'name' \U0001f600.mp4"
    shutil.copy(outcomes["positive"].clip.path, copy)
    assert not next(pocket.run([copy])).computed


def test_a_damaged_entry_is_computed_again(outcomes: dict[str, Outcome], sample_cache: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    shutil.copytree(sample_cache, cache)
    victim = sorted((cache / "vision").glob("*/*"))[0]
    whole = victim.read_bytes()
    victim.write_bytes(whole[:-9])
    with Runner(load_spec("pocket"), Store(cache)) as runner:
        computed = [runner.run(outcome.clip).computed for outcome in outcomes.values()]
    assert sum(computed) == 1
    assert victim.read_bytes() == whole


def test_a_glance_says_what_reading_everything_says(outcomes: dict[str, Outcome], sample_cache: Path) -> None:
    with Runner(load_spec("pocket"), Store(sample_cache)) as runner:
        for name, outcome in outcomes.items():
            glance, whole = runner.stored(outcome.clip, "summary"), runner.stored(outcome.clip)
            assert glance is not None, name
            assert whole is not None, name
            for part in ("status", "missing", "notes", "coverage", "keys", "computed"):
                assert getattr(glance, part) == getattr(whole, part), (name, part)
            assert not glance.features, name
            brief = runner.stored(outcome.clip, "notes")
            assert brief is not None, name
            for part in ("status", "missing", "notes", "coverage", "keys", "computed"):
                assert getattr(brief, part) == getattr(whole, part), (name, part)
            assert not brief.features, name
            assert not brief.values, name


@pytest.mark.parametrize("slot", ["faces", "vision", "summary"])
def test_a_glance_misses_what_was_taken_away(
    slot: str, outcomes: dict[str, Outcome], sample_cache: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    shutil.copytree(sample_cache, cache)
    shutil.rmtree(cache / slot)
    clip = outcomes["positive"].clip
    with Runner(load_spec("pocket"), Store(cache)) as runner:
        assert runner.stored(clip, "summary") is None
        assert runner.run(clip).computed == (slot != "summary")
        assert runner.stored(clip, "summary") is not None
        assert (cache / slot).is_dir()


def test_a_sidecar_comes_before_speech_recognition(pocket: Pipeline, samples: Path, tmp_path: Path) -> None:
    shutil.copy(samples / "no_face.mp4", tmp_path / "clip.mp4")
    (tmp_path / "clip.txt").write_text("This was a terrible, awful day.")
    outcome = next(pocket.run([tmp_path / "clip.mp4"]))
    assert outcome.values["transcript"].source.startswith("sidecar")
    assert pocket.score(outcome).label == "negative"
    assert pocket.predict(Clip("given", samples / "no_face.mp4", text="I love it, wonderful!")).label == "positive"


def test_neither_words_nor_face_nor_voice_is_refused_in_words(pocket: Pipeline, tmp_path: Path) -> None:
    outcome = next(pocket.run([make_clip(tmp_path / "clip.mp4")]))
    assert (outcome.status, set(outcome.missing)) == ("partial", {"text", "audio", "vision"})
    with pytest.raises(NothingToScore, match=r"no words were found.*no speech heard|no speech heard.*no words"):
        pocket.score(outcome)


def test_a_clip_without_anything_is_refused_in_words(pocket: Pipeline, tmp_path: Path) -> None:
    with pytest.raises(NothingToScore, match=r"mute\.mp4: nothing to score: .*no sound.*no face was found"):
        pocket.predict(make_clip(tmp_path / "mute.mp4", seconds=0.5, audio=False))


def test_a_chain_of_sources_that_all_have_nothing_is_a_missing_modality(samples: Path, tmp_path: Path) -> None:
    text = "schema: 1\nstages: {transcript: [sidecar], words: spread, text: lexicon, audio: mfcc}"
    with Runner(parse_spec(text, "no-recognition"), Store(tmp_path)) as runner:
        outcome = runner.run(Clip("a", samples / "no_face.mp4"))
    assert (outcome.status, outcome.missing) == ("partial", ("text",))
    assert "text is missing: no source of the transcript has any" in outcome.notes


def test_the_note_of_a_source_that_was_passed_over_is_kept(samples: Path, tmp_path: Path) -> None:
    shutil.copy(samples / "no_face.mp4", tmp_path / "clip.mp4")
    (tmp_path / "clip.json").write_text('{"title": "not a transcript"}')
    text = "schema: 1\nstages: {transcript: [sidecar, subtitles], words: spread, text: lexicon, audio: mfcc}"
    for _ in range(2):  # computed, then from the cache
        with Runner(parse_spec(text, "no-recognition"), Store(tmp_path / "cache")) as runner:
            outcome = runner.run(Clip("a", tmp_path / "clip.mp4"))
        assert (outcome.status, outcome.missing) == ("partial", ("text",))
        assert any(note.startswith("sidecar clip.json was passed over: line 1") for note in outcome.notes)
    assert not outcome.computed


def test_errors_name_the_file(pocket: Pipeline, tmp_path: Path) -> None:
    path = tmp_path / "text.mp4"
    path.write_text("This is not a video.")
    outcome = next(pocket.run([path]))
    assert outcome.status == "error"
    assert "text.mp4" in (outcome.error or "")
    with pytest.raises(MsapipeError, match=r"text\.mp4"):
        pocket.features(path)


def test_a_missing_library_costs_one_modality(samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = load_spec("pocket")

    def broken(_stage: object, _device: str) -> None:
        raise ImportError("libGL.so.1: cannot open shared object file")

    monkeypatch.setattr(type(spec.stages["faces"][0].stage), "load", broken)
    with Runner(spec, Store(tmp_path)) as runner:
        outcome = runner.run(Clip("a", samples / "subtitled.mp4"))
    assert outcome.missing == ("vision",)
    assert any("libGL.so.1" in note and "msapipe doctor" in note for note in outcome.notes)
    assert MissingLibrary.__mro__[1] is MsapipeError


def test_a_stage_that_fails_is_named(samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = load_spec("pocket")

    def broken(_stage: object, **_slots: object) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(type(spec.stages["audio"][0].stage), "run", broken)
    monkeypatch.setattr(type(spec.stages["audio"][0].stage), "needs", classmethod(lambda _cls: ("waveform",)))
    with Runner(spec, Store(tmp_path)) as runner:
        outcome = runner.run(Clip("a", samples / "subtitled.mp4"))
    assert outcome.status == "error"
    assert "subtitled.mp4: audio/prosody failed: ZeroDivisionError: oh" in (outcome.error or "")


def test_a_cache_that_cannot_be_written(samples: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    spec = load_spec("pocket")
    clip = Clip("a", samples / "silent_face.mp4")
    with Runner(spec, Store(tmp_path / "file" / "cache")) as runner, pytest.raises(CacheError, match="--cache"):
        runner.run(clip)
    with msapipe.load("pocket", cache=tmp_path / "file" / "cache") as pipeline:
        assert pipeline.predict(clip).missing
        notes = next(pipeline.run([clip])).notes
    assert any("nothing was kept" in note for note in notes)


def test_a_decoder_that_dies_costs_one_clip_once(
    samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shim = tmp_path / "shim"
    shim.mkdir()
    (shim / "sitecustomize.py").write_text(
        "import os, av\n_open = av.open\n"
        "def broken(file, *a, **k):\n"
        "    if str(file).endswith('poison.mp4'): os.abort()\n"
        "    return _open(file, *a, **k)\n"
        "av.open = broken\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(shim))
    # Other bytes than the good clip, or its results would be found.
    (tmp_path / "poison.mp4").write_bytes((samples / "no_face.mp4").read_bytes() + b"\0" * 8)
    shutil.copy(samples / "silent_face.mp4", tmp_path / "good.mp4")
    clips = [Clip(name, tmp_path / name) for name in ("poison.mp4", "good.mp4", "poison.mp4")]
    with Runner(load_spec("pocket"), Store(tmp_path / "cache")) as runner:
        first, good, again = (runner.run(clip) for clip in clips)
    assert (first.status, good.status, again.status) == ("error", "partial", "error")
    assert "poison.mp4" in (first.error or "")
    assert "not tried again" in (again.error or "")
    monkeypatch.delenv("PYTHONPATH")
    with Runner(load_spec("pocket"), Store(tmp_path / "cache"), Options(retry=True)) as runner:
        assert runner.run(clips[0]).status == "partial"
    with Runner(load_spec("pocket"), Store(tmp_path / "cache")) as runner:
        assert runner.run(clips[0]).status == "partial", "what was mended stays so"


def test_what_is_noted_with_a_result_does_not_depend_on_the_pipeline(samples: Path, tmp_path: Path) -> None:
    clip = Clip("a", samples / "silent_face.mp4")
    specs = ("{audio: mfcc}", "{transcript: pocketsphinx, words: spread, text: lexicon, audio: mfcc}")
    for number, stages in enumerate(specs):
        with Runner(parse_spec(f"schema: 1\nstages: {stages}", "a"), Store(tmp_path / str(number))) as runner:
            runner.run(clip)
    one, two = ({path.name: path.read_bytes() for path in (tmp_path / n).glob("audio/*/*")} for n in "01")
    assert one == two


def test_a_device_that_is_not_there_is_named() -> None:
    assert resolve_device("cpu") == "cpu"
    with pytest.raises(ConfigError, match="expected auto, cpu or cuda:N"):
        resolve_device("gpu")
    with pytest.raises(ConfigError, match="this machine has"):
        resolve_device("cuda:99")


def test_words_and_steps_as_time_grids(samples: Path, sample_cache: Path, outcomes: dict[str, Outcome]) -> None:
    from msapipe.align import align_channels

    outcome = outcomes["positive"]
    channels = {name: {name: part} for name, part in outcome.features.items()}
    for name, part in align_channels(channels, None, 32).items():
        assert len(part.values) == 32, name
    words = outcome.values["words"]
    for part in align_channels(channels, words, "words").values():
        assert len(part.values) == len(words.words)


def test_results_do_not_depend_on_threads_or_hash_seeds(samples: Path, tmp_path: Path) -> None:
    code = (
        "import sys, msapipe, hashlib; from pathlib import Path\n"
        "with msapipe.load('pocket', cache=sys.argv[1], device='cpu') as p: p.features(sys.argv[2])\n"
        "for f in sorted(Path(sys.argv[1]).glob('*/*/*.safetensors')):\n"
        "    print(f.name, hashlib.sha256(f.read_bytes()).hexdigest())"
    )
    prints = [
        subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / str(threads)), str(samples / "subtitled.mp4")],
            env={**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONHASHSEED": str(threads)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in (1, 2)
    ]
    assert prints[0] == prints[1]
    assert prints[0].count("\n") >= 8


def test_weights_that_are_not_here_end_the_run_with_what_to_type(samples: Path, tmp_path: Path) -> None:
    spec = parse_spec(
        "schema: 1\nstages:\n  transcript: subtitles\n  words: spread\n  text: bert\n", "mine", Path("mine.yaml")
    )
    clip = Clip("subtitled", samples / "subtitled.mp4")
    said = r"^text/bert: google-bert.*fetch --pipeline mine\.yaml"
    with Runner(spec, Store(tmp_path), Options(offline=True)) as runner, pytest.raises(MissingWeights, match=said):
        runner.run(clip)


def test_a_source_whose_weights_are_not_here_is_passed_over_and_noted(samples: Path, tmp_path: Path) -> None:
    spec = parse_spec("schema: 1\nstages:\n  transcript: [{use: whisper, size: small}, subtitles]\n", "mine")
    with Runner(spec, Store(tmp_path), Options(offline=True)) as runner:
        outcome = runner.run(Clip("subtitled", samples / "subtitled.mp4"))
    assert outcome.values["transcript"].source.startswith("subtitles")
    assert any(
        note.startswith("transcript/whisper was passed over: Systran/faster-whisper-small") for note in outcome.notes
    )


def test_a_folder_and_workers_give_what_one_by_one_gives(
    samples: Path, tmp_path: Path, pocket: Pipeline, outcomes: dict[str, Outcome]
) -> None:
    names = ("no_face", "silent_face")
    for name in names:
        shutil.copy(samples / f"{name}.mp4", tmp_path)
    with msapipe.load("pocket", cache=tmp_path / "cache") as pipeline:
        ran = {outcome.clip.id: outcome.computed for outcome in pipeline.run([tmp_path], jobs=2)}
        assert ran == {f"{name}.mp4": True for name in names}
        found = pipeline.predict([tmp_path], jobs=2)
    assert [repr(one) for one in found] == [repr(pocket.score(outcomes[name])) for name in names]
