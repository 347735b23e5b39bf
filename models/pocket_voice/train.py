"""Train the voice head of ``pocket`` on acted German speech (EMO-DB) and measure it on speakers left out.

    uv run python models/pocket_voice/train.py [--data ../shared/data] [--figures-only]

Writes voice.safetensors beside this file and prints the two lines for msapipe/stages/audio/prosody.py, and the
figures that stand in the card. About five minutes on one core; the same seed gives the same bytes.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import sys
import wave
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, resample, sosfilt
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC

from msapipe.stages._speech import SpeechDetector
from msapipe.stages.audio._prosody_classifier import EMOTIONS, PAIRS, VoiceClassifier, standardized
from msapipe.stages.audio._prosody_statistics import RATE
from msapipe.stages.audio._prosody_windows import speech_windows

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[2] / "shared" / "data"
TARGET = HERE / "voice.safetensors"
WINDOW = 5.0  # seconds, as the stage has it
SEEDS = (0, 1, 2)
COST = 8.0

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Degrade = Callable[[Floats, np.random.Generator], Floats]


@dataclass(frozen=True)
class Clip:
    """A sentence that somebody acted."""

    name: str
    emotion: str
    speaker: str
    samples: Floats

    @property
    def sentence(self) -> str:
        """Which of the ten sentences, as the name says it."""
        return self.name[2:5]


@dataclass(frozen=True)
class Rows:
    """Statistics (n, D) of windows, and of which clip each is."""

    statistics: Doubles
    clip: NDArray[np.int64]

    def of(self, clips: NDArray[np.bool_]) -> Rows:
        """Those of some of the clips."""
        mine = clips[self.clip]
        return Rows(self.statistics[mine], self.clip[mine])


def read_clips(data: Path) -> list[Clip]:
    """The clips of ``data``/emodb, 16 kHz mono."""
    clips = []
    with zipfile.ZipFile(data / "emodb" / "emodb.zip") as archive:
        lines = (data / "emodb" / "labels.csv").read_text(encoding="utf-8").splitlines()
        for row in csv.DictReader(lines):
            with wave.open(io.BytesIO(archive.read(row["file"]))) as sound:
                samples = np.frombuffer(sound.readframes(sound.getnframes()), "<i2").astype(np.float32)
            clips.append(Clip(row["file"], row["emotion"], row["speaker"], samples * np.float32(1 / 32768)))
    return clips


def clean(samples: Floats, random: np.random.Generator) -> Floats:
    """As it is."""
    return samples


def with_noise(samples: Floats, noise: Doubles, decibels: float) -> Floats:
    """With noise so many decibels below it."""
    gain = np.sqrt(np.square(samples).mean() / np.square(noise).mean()) * 10 ** (-decibels / 20)
    return np.asarray(samples + gain * noise, np.float32)


def white(decibels: tuple[float, float]) -> Degrade:
    """White noise between so many decibels below the sound."""
    return lambda samples, random: with_noise(samples, random.normal(size=len(samples)), random.uniform(*decibels))


def speech_shaped(decibels: tuple[float, float]) -> Degrade:
    """Noise with the long-term spectrum of speech (Byrne et al., 1994, roughly): 6 dB an octave down from 500 Hz."""

    def degrade(samples: Floats, random: np.random.Generator) -> Floats:
        spectrum = np.fft.rfft(random.normal(size=len(samples)))
        hertz = np.fft.rfftfreq(len(samples), 1 / RATE)
        shape = np.where(hertz < 100, 0, 1 / np.maximum(hertz / 500, 1))
        return with_noise(samples, np.fft.irfft(spectrum * shape, len(samples)), random.uniform(*decibels))

    return degrade


def band_limited(hertz: tuple[float, float]) -> Degrade:
    """Without what lies above some frequency, as at a low bit rate."""
    return lambda samples, random: np.asarray(
        sosfilt(butter(8, random.uniform(*hertz), fs=RATE, output="sos"), samples), np.float32
    )


def faster_or_slower(then: Degrade) -> Degrade:
    """Played 12 % slower to 14 % faster, which makes another speaker of it, and then degraded."""

    def degrade(samples: Floats, random: np.random.Generator) -> Floats:
        count = round(len(samples) / random.uniform(0.88, 1.14))
        return then(np.asarray(resample(samples, count), np.float32), random)

    return degrade


COPIES: tuple[Degrade, ...] = (
    clean,
    faster_or_slower(clean),
    faster_or_slower(white((5, 25))),
    faster_or_slower(speech_shaped((5, 25))),
    faster_or_slower(band_limited((3200, 7000))),
)
CONDITIONS: dict[str, Degrade] = {
    "clean": clean,
    "white noise, 10 dB": white((10, 10)),
    "speech-shaped noise, 10 dB": speech_shaped((10, 10)),
    "nothing above 4 kHz": band_limited((4000, 4000)),
}


def rows_of(clips: list[Clip], degrade: Degrade, seed: int) -> Rows:
    """Statistics of the windows with speech of all clips, degraded."""
    detector = SpeechDetector()
    random = np.random.default_rng(seed)
    found: list[tuple[int, Doubles]] = []
    for index, clip in enumerate(clips):
        sound = degrade(clip.samples, random)
        found += [(index, part.statistics()) for part in speech_windows(sound, detector, WINDOW) if part.has_speech]
    return Rows(np.array([row for _, row in found]), np.array([index for index, _ in found]))


def training_rows(clips: list[Clip], seed: int) -> Rows:
    """The clips as they are and in four degraded copies."""
    parts = [rows_of(clips, degrade, 100 * seed + number) for number, degrade in enumerate(COPIES)]
    return Rows(np.concatenate([part.statistics for part in parts]), np.concatenate([part.clip for part in parts]))


def fit(rows: Rows, classes: NDArray[np.int64], groups: NDArray[np.str_]) -> VoiceClassifier:
    """The machines of all rows; the softmax over what machines say of groups (of clips) that they did not see."""
    unseen = np.zeros((len(rows.clip), len(PAIRS)))
    for group in np.unique(groups[rows.clip]):
        apart = groups == group
        seen = _machines(rows.of(~apart), classes)
        unseen[apart[rows.clip]] = seen.decisions(rows.of(apart).statistics)
    softmax = LogisticRegression(C=1.0, class_weight="balanced", max_iter=2000)
    softmax.fit(unseen, classes[rows.clip])
    machines = _machines(rows, classes)
    return VoiceClassifier(**{**vars(machines), "weight": softmax.coef_, "bias": softmax.intercept_})


def _machines(rows: Rows, classes: NDArray[np.int64]) -> VoiceClassifier:
    """sklearn's SVC as numbers, without a softmax."""
    mean, spread = np.nanmean(rows.statistics, 0), np.nanstd(rows.statistics, 0) + 1e-9
    inputs = standardized(rows.statistics, mean, spread)
    svc = SVC(C=COST, class_weight="balanced", decision_function_shape="ovo")
    svc.fit(inputs.astype(np.float64), classes[rows.clip])
    of_class = np.repeat(np.arange(len(EMOTIONS)), svc.n_support_)
    duals = np.zeros((len(PAIRS), len(of_class)))
    for pair, (a, b) in enumerate(PAIRS):
        duals[pair, of_class == a] = svc.dual_coef_[b - 1, of_class == a]
        duals[pair, of_class == b] = svc.dual_coef_[a, of_class == b]
    machines = VoiceClassifier(
        mean=mean,
        spread=spread,
        vectors=inputs[svc.support_],
        duals=duals.astype(np.float32),
        intercepts=svc.intercept_.astype(np.float64),
        gamma=np.array(svc._gamma),
        weight=np.zeros((len(EMOTIONS), len(PAIRS))),
        bias=np.zeros(len(EMOTIONS)),
    )
    apart = np.abs(machines.decisions(rows.statistics) - svc.decision_function(inputs.astype(np.float64))).max()
    if apart > 1e-4:
        raise RuntimeError(f"the machines say something else than sklearn's: {apart:.2g} apart")
    return machines


def said_of(classifier: VoiceClassifier, rows: Rows, clips: int) -> Doubles:
    """Probabilities of each clip, the mean over its windows; of a clip without speech all 0: (clips, 4)."""
    total = np.zeros((clips, len(EMOTIONS)))
    if len(rows.clip):
        np.add.at(total, rows.clip, classifier.probabilities(rows.statistics))
    return total / np.maximum(np.bincount(rows.clip, minlength=clips), 1)[:, None]


def leave_one_speaker_out(clips: list[Clip], seed: int, also_sentence: bool = False) -> dict[str, Doubles]:
    """What is said of each clip by a classifier that never heard its speaker, under each condition: (clips, 4).

    also_sentence: nor its sentence, from any speaker.
    """
    classes = np.array([EMOTIONS.index(clip.emotion) for clip in clips])
    speakers = np.array([clip.speaker for clip in clips])
    sentences = np.array([clip.sentence for clip in clips])
    rows = training_rows(clips, seed)
    heard = {name: rows_of(clips, degrade, 10_000 + seed) for name, degrade in CONDITIONS.items()}
    said = {name: np.zeros((len(clips), len(EMOTIONS))) for name in heard}
    for apart, known in _folds(speakers, sentences, also_sentence):
        classifier = fit(rows.of(known), classes, speakers)
        for name, part in heard.items():
            said[name] += said_of(classifier, part.of(apart), len(clips))
    return said


def _folds(
    speakers: NDArray[np.str_], sentences: NDArray[np.str_], also_sentence: bool
) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Which clips are asked for, and which are learned from."""
    for speaker in np.unique(speakers):
        mine = speakers == speaker
        if not also_sentence:
            yield mine, ~mine
            continue
        for sentence in np.unique(sentences[mine]):
            yield mine & (sentences == sentence), ~mine & (sentences != sentence)


@dataclass(frozen=True)
class Figures:
    """recalls: of each of EMOTIONS.   macro: their mean.   arousal: balanced accuracy of angry and happy against
    neutral and sad.   heard: share of clips with speech in them; the others count as wrong.
    """

    recalls: tuple[float, ...]
    macro: float
    arousal: float
    heard: float


def figures(clips: list[Clip], said: Doubles) -> Figures:
    """How right it is."""
    classes = np.array([EMOTIONS.index(clip.emotion) for clip in clips])
    heard = said.sum(1) > 0
    right = (said.argmax(1) == classes) & heard
    recalls = tuple(float(right[classes == number].mean()) for number in np.unique(classes))
    aroused = classes < 2
    found = (said[:, :2].sum(1) > 0.5) == aroused
    both = [(found & heard)[aroused == side].mean() for side in (True, False) if (aroused == side).any()]
    return Figures(recalls, float(np.mean(recalls)), float(np.mean(both)), float(heard.mean()))


def report(clips: list[Clip]) -> Iterator[str]:
    """The figures of the card, line by line."""
    found = [leave_one_speaker_out(clips, seed) for seed in SEEDS]
    for name in CONDITIONS:
        every = [figures(clips, said[name]) for said in found]
        macro, arousal = ([getattr(one, kind) for one in every] for kind in ("macro", "arousal"))
        recalls = np.mean([one.recalls for one in every], axis=0)
        yield (
            f"{name}: macro recall {np.mean(macro):.3f} ({min(macro):.3f}-{max(macro):.3f}), "
            f"arousal {np.mean(arousal):.3f} ({min(arousal):.3f}-{max(arousal):.3f}), "
            + ", ".join(f"{emotion} {recall:.2f}" for emotion, recall in zip(EMOTIONS, recalls, strict=True))
            + f", heard {every[0].heard:.3f}"
        )
    for speaker in sorted({clip.speaker for clip in clips}):
        mine = [clip.speaker == speaker for clip in clips]
        own = [clip for clip in clips if clip.speaker == speaker]
        every = [figures(own, said["clean"][mine]) for said in found]
        yield (
            f"speaker {speaker} ({len(own)} clips): macro recall {np.mean([one.macro for one in every]):.3f}, "
            f"arousal {np.mean([one.arousal for one in every]):.3f}"
        )
    classes = np.array([EMOTIONS.index(clip.emotion) for clip in clips])
    table = np.mean(
        [[np.bincount(said["clean"][classes == c].argmax(1), minlength=4) for c in range(4)] for said in found], 0
    )
    yield "acted (row) taken for (column): " + "; ".join(" ".join(f"{number:.0f}" for number in row) for row in table)
    sure = [-np.log(said["clean"][np.arange(len(classes)), classes]).mean() for said in found]
    both = figures(clips, leave_one_speaker_out(clips, SEEDS[0], also_sentence=True)["clean"])
    yield f"neither speaker nor sentence heard before: macro recall {both.macro:.3f}, arousal {both.arousal:.3f}"
    yield f"mean -log P of the acted emotion {np.mean(sure):.3f}"


def main() -> None:
    """Train on all clips, write, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--figures-only", action="store_true", help="write nothing")
    options = parser.parse_args()
    clips = read_clips(options.data)
    if not options.figures_only:
        classes = np.array([EMOTIONS.index(clip.emotion) for clip in clips])
        fit(training_rows(clips, SEEDS[0]), classes, np.array([clip.speaker for clip in clips])).save(TARGET)
        sys.stdout.write(f'    sha256="{hashlib.sha256(TARGET.read_bytes()).hexdigest()}",\n')
        sys.stdout.write(f"    bytes={TARGET.stat().st_size},\n")
    for line in report(clips):
        sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    main()
