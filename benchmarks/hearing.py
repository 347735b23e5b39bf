"""How well transcript/whisper hears: word errors, words of other languages and of no speech, seconds of CPU.

    uv run python benchmarks/hearing.py [--shared ../shared] [--size tiny.en] [--every 5]

Three tables. Word errors: GRID's words are spelled by its file names, those of jfk.flac are known; the others were
written by comparing several recognisers with each other (tiny.en and base, other stretches), not by ear. Language: for
every source of clips (a corpus, a speaker of EMO-DB, a voice of eSpeak) a bound is chosen on all other sources and
tried on this one. eSpeak: MOSI's validation sentences, spoken as in models/pocket/robustness.py.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
import time
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from msapipe.media import Decoder, MediaOptions
from msapipe.stages._speech import RATE, at_16k
from msapipe.stages.transcript._whisper_gate import LEAST_SURE, MOST_COMPRESSION, sureness
from msapipe.stages.transcript.whisper import Whisper
from msapipe.types import Clip, Waveform

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "models" / "pocket"))
from robustness import without_apostrophes  # noqa: E402
from speech import VARIED, speeches  # noqa: E402

Floats = NDArray[np.float32]

REAL = {
    "audio/jfk.flac": "and so my fellow americans ask not what your country can do for you ask what you can do for "
    "your country",
    "audio/librispeech_116.flac": "as i approached the city i heard bells ringing and a little later i found the "
    "streets astir with throngs of well dressed people in family groups wending their way hither and thither",
    "audio/RD_Radio31_000.wav": "the holidays are a time of celebrating with loved ones enjoying the festivities and "
    "muddling through wisconsin's cold but for many this year has been",
    "audio/RD_Radio40_000.wav": "last year a federal court found that our legislative district map is "
    "unconstitutional because it effectively disenfranchised",
    "speech/retalk_1.mp4": "my biggest weaknesses is asking for help when i need it i'd like to do better at that",
    "speech/retalk_2.mp4": "and the heart of my california congressional district where i chased my own dreams "
    "growing up",
    "speech/retalk_3.mp4": "everyone here today and endeavoring towards a better more just future for our",
}
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
GRID = (
    {"b": "bin", "l": "lay", "p": "place", "s": "set"},
    {"b": "blue", "g": "green", "r": "red", "w": "white"},
    {"a": "at", "b": "by", "i": "in", "w": "with"},
    {letter: letter for letter in "abcdefghijklmnopqrstuvxyz"},
    dict(
        zip("z123456789", ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"], strict=True)
    ),
    {"a": "again", "n": "now", "p": "please", "s": "soon"},
)
DIGITS = {str(number): word for number, word in enumerate(NUMBERS)}
MUTE = ("edge/no_face_pyfeat.mp4", "faces/silent_face_pexels.mp4", "faces/crowd_1080p_facenet.mp4")
FOREIGN = ("audio/bus_chinese.wav", "audio/chinese_news.wav", "audio/chinese_poem1.wav")
OTHERS = ("faces/multi_shot_hamilton.mp4", "edge/speech_no_face_nasa.mp4")


@dataclass(frozen=True)
class Heard:
    """One clip through the recogniser, the gate left off: its source, language, sureness, and what stands in it."""

    source: str
    foreign: bool
    sure: float
    circles: bool


def words_of(text: str) -> list[str]:
    """Lower case, without punctuation; digits behind a letter are spelled ("F2" is two words of GRID)."""
    spaced = "".join(f" {DIGITS[letter]} " if letter in DIGITS else letter for letter in text.replace("-", " "))
    return without_apostrophes(spaced).lower().split()


def errors(truth: str, heard: str) -> tuple[int, int]:
    """Words wrong, missing or too many, and words spoken."""
    a, b = words_of(truth), words_of(heard)
    row = list(range(len(b) + 1))
    for i, word in enumerate(a, 1):
        before, row = row, [i]
        for j, guess in enumerate(b, 1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (word != guess)))
    return row[-1], len(a)


def grid_words(path: Path) -> str:
    """What a GRID clip says, by its name."""
    return " ".join(spelled[letter] for spelled, letter in zip(GRID, path.stem.removeprefix("grid_"), strict=True))


def word_errors(stage: Whisper, title: str, clips: Sequence[tuple[str, Waveform, str]], each: bool = True) -> None:
    """Print what was heard, and how much of it is wrong."""
    wrong = total = 0
    seconds, begun = 0.0, time.process_time()
    for name, sound, truth in clips:
        heard = stage.run(sound).text
        bad, count = errors(truth, heard)
        wrong, total, seconds = wrong + bad, total + count, seconds + sound.seconds
        if each:
            print(f"  {name:<20} {bad:>2} of {count:>2}: {heard}")
    cpu = time.process_time() - begun
    print(f"{title}: {wrong} of {total} words wrong, {wrong / total:.1%}; {cpu / seconds:.2f} s of CPU a second\n")


def judged(stage: Whisper, source: str, foreign: bool, sound: Waveform) -> Heard | None:
    """How sure the recogniser is of a clip; None where it hears no words."""
    heard = stage._recogniser.hear(at_16k(sound), "en")
    parts = [part for part in heard if part.words]
    if not parts:
        return None
    circles = any(part.compression > MOST_COMPRESSION for part in parts)
    return Heard(source, foreign, sureness(parts), circles)


def emodb(path: Path, every: int) -> Iterator[tuple[str, Waveform]]:
    """Speaker and sound of every n-th recording."""
    with zipfile.ZipFile(path) as archive:
        for name in sorted(name for name in archive.namelist() if name.endswith(".wav"))[::every]:
            samples, rate = soundfile.read(io.BytesIO(archive.read(name)), dtype="float32")
            sound = at_16k(Waveform(np.ascontiguousarray(samples), rate))
            level = np.float32(10 ** (-3 / 20) / np.abs(sound).max())
            yield f"EMO-DB speaker {Path(name).name[:2]}", Waveform(sound * level, RATE)


def refused(clips: Sequence[Heard], bound: float) -> float:
    """Share of clips that give no words."""
    return float(np.mean([clip.circles or clip.sure < bound for clip in clips])) if clips else 0.0


def best_bound(clips: Sequence[Heard]) -> float:
    """In the middle between the bound that loses 5 % of English and the one that lets 10 % of the rest pass."""
    english = sorted(clip.sure for clip in clips if not clip.foreign)
    foreign = sorted(-9.0 if clip.circles else clip.sure for clip in clips if clip.foreign)
    high = english[int(0.05 * len(english))]
    low = foreign[int(np.ceil(0.9 * len(foreign))) - 1]
    return (low + high) / 2


def language(clips: Sequence[Heard]) -> None:
    """Print how the gate does, with the bound of the product, and with bounds chosen without each source."""
    english, foreign = ([clip for clip in clips if clip.foreign is value] for value in (False, True))
    print(f"bound {LEAST_SURE}: {refused(english, LEAST_SURE):.1%} of {len(english)} English clips lost, ", end="")
    print(f"{refused(foreign, LEAST_SURE):.1%} of {len(foreign)} foreign ones refused")
    bounds, lost, kept = [], 0.0, 0.0
    for source in sorted({clip.source for clip in clips}):
        here = [clip for clip in clips if clip.source == source]
        bound = best_bound([clip for clip in clips if clip.source != source])
        share = refused(here, bound)
        bounds.append(bound)
        if here[0].foreign:
            kept += len(here) * (1 - share)
        else:
            lost += len(here) * share
        nearest = (max if here[0].foreign else min)(clip.sure for clip in here if not clip.circles)
        print(f"  {source:<20} {len(here):>3} clips, bound {bound:.2f} of the others: {share:.0%} refused ", end="")
        print(f"({'foreign' if here[0].foreign else 'English'}, the nearest to the bound at {nearest:.2f})")
    print(f"bounds from {min(bounds):.2f} to {max(bounds):.2f}; held out: {lost / len(english):.1%} of English lost, ")
    print(f"{1 - kept / len(foreign):.1%} of foreign refused\n")


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=HERE.parents[1] / "shared")
    parser.add_argument("--size", default="tiny.en")
    parser.add_argument("--every", type=int, default=5, help="every n-th recording of EMO-DB, sentence of MOSI")
    options = parser.parse_args()
    media = options.shared / "media"
    stage = Whisper(size=options.size, language="en")
    stage.load("cpu")
    print(f"loaded in {time.process_time():.1f} s of CPU, imports included\n")
    with Decoder() as decoder:

        def sound(file: str) -> Waveform:
            return decoder.waveform(Clip(file, media / file), MediaOptions(peak_db=-3))

        grid = sorted(path for path in (media / "speech").glob("grid_*.mpg"))
        real = [(Path(file).name, sound(file), truth) for file, truth in REAL.items()]
        spelled = [(path.name, sound(f"speech/{path.name}"), grid_words(path)) for path in grid]
        others = [(Path(file).name, sound(file), "") for file in OTHERS]
        foreign = [sound(file) for file in FOREIGN]
        mute = [len(stage.run(sound(file)).words) for file in MUTE]
    word_errors(stage, "real clips", real)
    word_errors(stage, "GRID", spelled)
    with (options.shared / "data" / "mosi" / "label.csv").open() as file:
        sentences = [row["text"] for row in csv.DictReader(file) if row["mode"] == "valid"][:: options.every]
    spoken = [Waveform(samples, RATE) for samples in speeches(sentences, VARIED)]
    word_errors(
        stage, f"eSpeak, {len(sentences)} sentences", list(zip(sentences, spoken, sentences, strict=True)), False
    )
    print(f"words invented where nobody speaks: {sum(mute)} in {len(mute)} clips\n")
    if not stage._recogniser.tells_language:
        found = [judged(stage, "GRID", False, clip) for _, clip, _ in spelled]
        found += [judged(stage, "other real clips", False, clip) for _, clip, _ in [*real, *others]]
        found += [judged(stage, f"eSpeak {VARIED[i % 6][0]}", False, clip) for i, clip in enumerate(spoken)]
        found += [judged(stage, "Chinese", True, clip) for clip in foreign]
        recordings = emodb(options.shared / "data" / "emodb" / "emodb.zip", options.every)
        found += [judged(stage, source, True, clip) for source, clip in recordings]
        language([clip for clip in found if clip is not None])


if __name__ == "__main__":
    main()
