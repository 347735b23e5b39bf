"""Explain a score: what each word adds, how the score develops over the clip, gates and attention."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msapipe.align import align_channels
from msapipe.errors import MsapipeError
from msapipe.pipeline.plan import Step
from msapipe.pipeline.predict import Model
from msapipe.pipeline.run import Outcome, Runner
from msapipe.pipeline.windows import LONG, Features, cut, length_of, rows_of, windows_of
from msapipe.types import FeatureSequence, Prediction, Transcript

# Words per stretch, from which single words are left out: what a text model reads as one passage.
STRETCH = 60
# Words tried at most: each costs one reading of its stretch.
MOST_WORDS = 600
# Points of the running score at most.
_POINTS = 60


@dataclass(frozen=True)
class WordEffect:
    """A word and what it adds to the text's own score, on the model's scale; None when unknown.

    start, end: seconds from the clip's start, None when unknown.
    """

    text: str
    start: float | None
    end: float | None
    adds: float | None


@dataclass(frozen=True)
class Explanation:
    """The reasons for a prediction.

    words: every word, in order.   method: how ``adds`` was computed, or why it was not.
    running: (seconds, score) of everything up to that time, in order; () for a clip that was scored in windows, or
    whose features cannot be cut by time.
    trust: modality to how far the score follows it; {} if the model does not report it.
    diagnostics: gates, attention and the like, averaged over windows: name to float64 of any shape.
    """

    words: tuple[WordEffect, ...] = ()
    method: str = ""
    running: tuple[tuple[float, float], ...] = ()
    trust: dict[str, float] = field(default_factory=dict)
    diagnostics: dict[str, NDArray[np.float64]] = field(default_factory=dict)

    def strongest(self, count: int) -> list[WordEffect]:
        """The words that move the text's score most, either way."""
        known = [word for word in self.words if word.adds is not None and abs(word.adds) >= 0.005]
        return sorted(known, key=lambda word: -abs(word.adds or 0.0))[:count]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON; numbers are rounded to four decimals."""
        return {
            "method": self.method,
            "words": [
                {"text": word.text, "start": word.start, "end": word.end, "adds": _rounded(word.adds)}
                for word in self.words
            ],
            "trust": {name: _rounded(share) for name, share in self.trust.items()},
            "running": [[round(at, 3), round(score, 4)] for at, score in self.running],
            "diagnostics": {name: value.round(4).tolist() for name, value in self.diagnostics.items()},
        }

    def __repr__(self) -> str:
        words = ", ".join(f"{word.text} {word.adds:+.2f}" for word in self.strongest(5))
        trust = ", ".join(f"{name} {share:.2f}" for name, share in self.trust.items())
        told = [f"words that move the text: {words or 'not known'}", f"trust: {trust or 'not known'}"]
        return (
            f"Explanation({'; '.join([*told, *(f'{name} {value.shape}' for name, value in self.diagnostics.items())])})"
        )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def explain(outcome: Outcome, found: Prediction, model: Model, runner: Runner) -> Explanation:
    """Explain the score of a clip that was run and scored; reruns the pipeline's text stages without each word."""
    features = features_of(outcome, model.card.dims)
    words = outcome.values.get("words") or outcome.values.get("transcript") or Transcript()
    reader, why_not = _reader(outcome, model, runner)
    effects, method = _effects(words, reader, why_not)
    diagnostics = _diagnostics(model, features, bool(found.timeline) and length_of(features) > LONG)
    share = diagnostics.get("share")
    trust = (
        {name: float(share[number]) for number, name in enumerate(model.card.dims)}
        if share is not None and share.shape == (len(model.card.dims),)
        else {}
    )
    running = () if found.timeline else _running(model, features, words, reader)
    return Explanation(effects, method, running, trust, diagnostics)


def features_of(outcome: Outcome, names: Iterable[str]) -> dict[str, FeatureSequence]:
    """The features of these modalities, also for a clip that a worker ran and that was then read from the cache."""
    found = {name: outcome.features.get(name, outcome.values.get(name)) for name in names}
    return {name: part for name, part in found.items() if isinstance(part, FeatureSequence)}


class _Reader:
    """The pipeline's text stages and the model's text head: they score text by itself."""

    def __init__(self, model: Model, steps: Sequence[Step]) -> None:
        self._model, self._steps = model, steps
        self.name = ", ".join(dict.fromkeys(step.name for step in steps))

    def features(self, words: Transcript) -> FeatureSequence | None:
        """The text's features as the model reads them, None without a valid row."""
        channels = {
            step.channel: step.use.stage.run(**dict.fromkeys(step.inputs, words)) for step in self._steps if step.use
        }
        part = align_channels({"text": channels}, words, self._model.spec.align).get("text")
        return part if part is not None and part.valid.any() else None

    def says(self, texts: Sequence[Transcript]) -> list[float | None]:
        """The score of each text by itself, None for a text without features."""
        read = [self.features(text) if text.words else None for text in texts]
        known = [{"text": part} for part in read if part is not None]
        scores = iter(self._model.alone(known, "text"))
        return [None if part is None else next(scores) for part in read]


def _reader(outcome: Outcome, model: Model, runner: Runner) -> tuple[_Reader | None, str]:
    """A reader of text by itself, or the reason why there is none."""
    if "text" not in model.card.dims:
        return None, "the model reads no text"
    if "text" not in features_of(outcome, ("text",)):
        return None, "there is no text"
    steps = [step for step in (outcome.plan.steps if outcome.plan else ()) if step.slot == "text"]
    for step in steps:
        if not set(step.inputs) <= {"words", "transcript"}:
            return None, f"{step.name} reads more than words"
        try:
            runner.load(step)
        except MsapipeError as error:  # the features are stored, but their stage can no longer be loaded
            return None, f"{step.name} cannot be loaded: {error}"
    return _Reader(model, steps), ""


def _effects(words: Transcript, reader: _Reader | None, why_not: str) -> tuple[tuple[WordEffect, ...], str]:
    """Leave-one-out: the score of a stretch of text less its score without the word."""
    count = min(len(words.words), MOST_WORDS) if reader is not None else 0
    adds: list[float | None] = [None] * len(words.words)
    if reader is not None:
        for first in range(0, count, STRETCH):
            stretch = words.words[first : first + STRETCH]
            texts = [stretch, *(stretch[:at] + stretch[at + 1 :] for at in range(len(stretch)))]
            whole, *rest = reader.says([replace(words, words=text) for text in texts])
            for at, said in enumerate(rest):
                adds[first + at] = None if whole is None or said is None else whole - said
    effects = tuple(
        WordEffect(word.text, word.start, word.end, add) for word, add in zip(words.words, adds, strict=True)
    )
    if reader is None:
        return effects, f"what a word adds is not known: {why_not}"
    within = "the text" if len(words.words) <= STRETCH else f"its stretch of {STRETCH} words"
    only = f"; only the first {MOST_WORDS} words were tried" if len(words.words) > MOST_WORDS else ""
    return effects, (
        f"leave-one-out of the text head ({reader.name}): its score of {within} less its score without the word{only}"
    )


def _running(
    model: Model, features: Features, words: Transcript, reader: _Reader | None
) -> tuple[tuple[float, float], ...]:
    """The score of everything up to each of some moments."""
    seconds = length_of(features)
    if seconds > LONG or model.spec.align not in (None, "words") or not features:
        return ()
    if max(len(part.values) for part in features.values()) == 1:
        return ()
    moments = np.linspace(0.0, seconds, max(2, min(_POINTS, int(seconds * 4))) + 1)[1:]
    clips, times = [], []
    read: dict[int, FeatureSequence | None] = {}
    for moment in moments:
        # The rows whose middle lies before the moment.
        so_far = {name: rows_of(part, part.times.mean(axis=1) < moment) for name, part in features.items()}
        if reader is not None and "text" in so_far:
            # A row of text may depend on its whole passage, so the words so far are encoded by themselves.
            said = tuple(word for word in words.words if word.end is not None and word.end <= moment + 1e-6)
            if len(said) not in read:
                read[len(said)] = reader.features(replace(words, words=said)) if said else None
            so_far.pop("text")
            if (text := read[len(said)]) is not None:
                so_far["text"] = text
        if any(part.valid.any() for part in so_far.values()):
            clips.append(so_far)
            times.append(float(moment))
    return tuple(zip(times, model.scores(clips), strict=True))


def _diagnostics(model: Model, features: Features, in_windows: bool) -> dict[str, NDArray[np.float64]]:
    seconds = length_of(features)
    windows = windows_of(seconds) if in_windows else np.array([[0.0, seconds]])
    clips = list(cut(features, windows).values())
    found: dict[str, list[NDArray[np.float64]]] = {}
    for clip in clips:
        for name, value in model.diagnostics(clip).items():
            found.setdefault(name, []).append(value)
    return {
        name: np.mean(values, axis=0)
        for name, values in found.items()
        if len({value.shape for value in values}) == 1 and np.isfinite(values).all()
    }
