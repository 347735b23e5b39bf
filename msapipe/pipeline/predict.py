"""From features to a score: the model scores all modalities, then again without each of them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msapipe.cache import Store, digest
from msapipe.cache.key import SCHEMA
from msapipe.errors import CacheError, ConfigError, FeatureMismatch, NothingToScore
from msapipe.fusion._scores import Scorer, Scores
from msapipe.pipeline import network
from msapipe.pipeline.card import Card, check_features, model_folder, read_card
from msapipe.pipeline.run import Outcome
from msapipe.pipeline.spec import PipelineSpec
from msapipe.pipeline.windows import LENGTH, LONG, Features, cut, length_of, mean, weights_of, why_whole, windows_of
from msapipe.types import Contribution, FeatureSequence, Prediction, Transcript, Window

# Raise it when the same features and model give a different prediction.
_VERSION = 3

# Windows per batch, so that memory use does not grow with the clip.
_BATCH = 16


class Model:
    """A model folder, checked against a pipeline; its weights are loaded for the first score.

    Raises FeatureMismatch when the pipeline makes other features than it was trained on, unless ``allow_mismatch``.
    window: seconds of the windows of the timeline, for short clips too; the score does not depend on it.
    ``loading``: seconds spent on loading so far, libraries included.
    """

    def __init__(
        self, name: str, spec: PipelineSpec, allow_mismatch: bool = False, window: float | None = None
    ) -> None:
        if window is not None and not 1 <= window < float("inf"):
            raise ConfigError(f"a window of {window:g} s: expected a number of seconds, 1 or more")
        self.window = window
        beside = spec.source.parent if spec.source else None
        self.name = name
        self.spec = spec
        self.folder: Path = model_folder(name, beside)
        self.card: Card = read_card(self.folder)
        self._mismatch = ""
        try:
            check_features(self.card, spec, name)
        except FeatureMismatch as error:
            if not allow_mismatch:
                raise
            self._mismatch = str(error).splitlines()[0]
        self._scorer: Scorer | None = None
        self.loading = 0.0

    def load(self) -> Scorer:
        """The scorer; its weights are loaded now, unless they were before."""
        if self._scorer is None:
            begun = time.perf_counter()
            self._scorer = network.load_scorer(self.folder, self.card, self.name)
            self.loading = time.perf_counter() - begun
        return self._scorer

    def predict(self, outcome: Outcome, store: Store) -> Prediction:
        """The score of a clip from its features; raises NothingToScore.

        A clip of up to 60 s is scored at once. A longer one is scored in windows of 30 s (``timeline``). Its score is
        their mean, where each window weighs its words plus one for every three seconds; so are each modality's own
        score and the score without it, over the windows that hold anything. The bounds of ``interval`` are the means of
        the windows' bounds: the windows share a speaker, a voice and a camera, so their errors are correlated, and many
        windows make the score no surer than one. A long clip whose features cannot be cut by time is also scored at
        once, with a note.
        """
        features = {name: outcome.features[name] for name in self.card.dims if name in outcome.features}
        self._check(outcome, features)
        spec = self._pipeline_of(outcome, features)
        key = digest(spec)
        entry = store.get("prediction", key)
        if entry is not None and isinstance(entry.value, Prediction):
            prediction = entry.value
        else:
            prediction = self._score(features, {name: outcome.keys[name] for name in features})
            # The score matters more than its cache entry; the notes of the features already report an unwritable cache.
            with contextlib.suppress(CacheError):
                store.put("prediction", key, prediction, spec)
        words = outcome.values.get("transcript")
        return replace(
            prediction,
            notes=tuple(dict.fromkeys((*outcome.notes, *prediction.notes))),
            # The transcript belongs to the clip, not to the score, so it is not stored with it.
            transcript=words if isinstance(words, Transcript) else None,
        )

    def scores(self, clips: Sequence[Features]) -> list[float]:
        """The score of each set of features, as of a clip that is scored at once; nothing is stored."""
        return [float(score) for score in self._ask(clips).score] if clips else []

    def alone(self, clips: Sequence[Features], name: str) -> list[float]:
        """One modality's own score for each clip: its own head, or the model's score if it has no such head."""
        if not clips:
            return []
        said = self._ask([{name: clip[name]} for clip in clips])
        return [float(score) for score in said.unimodal.get(name, said.score)]

    def diagnostics(self, clip: Features) -> dict[str, NDArray[np.float64]]:
        """Gates, attention and the like of one clip, without the batch axis."""
        in_torch = network.load_network(self.folder, self.card, self.name)

        import torch

        from msapipe.fusion._base import collate

        with torch.inference_mode():
            output = in_torch(collate([clip], self.card.dims))
        return {name: value[0].double().cpu().numpy() for name, value in output.diagnostics.items() if value.ndim}

    def _check(self, outcome: Outcome, features: Features) -> None:
        """Raise NothingToScore or FeatureMismatch if these features cannot be scored."""
        if not any(part.valid.any() for part in features.values()):
            reasons = "; ".join(outcome.notes) or f"nothing was seen of {', '.join(self.card.dims)}"
            raise NothingToScore(f"{outcome.clip.path}: nothing to score: {reasons}")
        for name, part in features.items():
            if part.values.shape[1] != self.card.dims[name]:
                raise FeatureMismatch(
                    f"{outcome.clip.path}: {name} has {part.values.shape[1]} columns, model {self.name} reads "
                    f"{self.card.dims[name]}; {'; '.join(outcome.notes) or 'see msapipe plan'}"
                )

    def _pipeline_of(self, outcome: Outcome, features: Features) -> dict[str, Any]:
        """The parts of a prediction's key."""
        aligned = () if self.spec.align is None else (*outcome.features, "words")
        asked = {} if self.window is None else {"window": self.window}
        return asked | {
            "schema": SCHEMA,
            "slot": "prediction",
            "version": _VERSION,
            "model": digest({"card": self.card.model_dump(mode="json")}),
            "inputs": {name: outcome.keys[name] for name in features},
            # A time grid depends on the words, or on the ends of all features, even of unread ones.
            "align": self.spec.align,
            "aligned": {name: outcome.keys[name] for name in aligned if name in outcome.keys},
            # A modality that was switched off, or failed this once (a missing library, say), must not be stored as if
            # the clip had none.
            "missing": [name for name in self.card.dims if name not in features],
        }

    def _score(self, features: Features, keys: dict[str, str]) -> Prediction:
        windows, notes = self._windows(features)
        parts = cut(features, windows)
        clips = list(parts.values())
        scored = windows[list(parts)]
        if len(parts) < len(windows):
            left_out = len(windows) - len(parts)
            notes = (f"{left_out} of {len(windows)} windows hold nothing to score and are left out",)
        whole = self._ask(clips)
        low, high = self.card.scale
        weights = weights_of(clips, scored)
        score = min(max(float(mean(whole.score, weights)), low), high)
        interval = None if whole.interval is None else _pair(mean(whole.interval, weights))
        return Prediction(
            score=score,
            scale=(low, high),
            polarity=2 * (score - low) / (high - low) - 1,
            label=self.card.label(score, interval),
            model=self.name,
            modalities={
                name: _contribution(name, features.get(name), clips, scored, whole, self._ask(clips, name))
                for name in self.card.dims
            },
            notes=(*self._notes(), *notes, *self._why_no_timeline()),
            keys=keys,
            interval=interval,
            timeline=self._asked_timeline(features)
            or (self._timeline(clips, scored, whole) if len(windows) > 1 else ()),
        )

    def _asked_timeline(self, features: Features) -> tuple[Window, ...]:
        """Scores in windows of the requested length; () if none was requested, or the features cannot be cut."""
        if self.window is None or why_whole(self.spec):
            return ()
        windows = windows_of(length_of(features), self.window)
        parts = cut(features, windows)
        clips = list(parts.values())
        return self._timeline(clips, windows[list(parts)], self._ask(clips))

    def _windows(self, features: Features) -> tuple[NDArray[np.float64], tuple[str, ...]]:
        """Where the clip is cut, float64 (N, 2) seconds, and the notes about it."""
        seconds = length_of(features)
        at_once = np.array([[0.0, seconds]])
        if seconds <= LONG or max(len(part.values) for part in features.values()) == 1:
            return at_once, ()  # a clip without words is aligned to a single row
        reason = why_whole(self.spec)
        if reason:
            note = f"scored at once, not in windows of {LENGTH:g} s: the model reads {reason} of the whole clip"
            return at_once, (note,)
        return windows_of(seconds), ()

    def _why_no_timeline(self) -> tuple[str, ...]:
        reason = why_whole(self.spec)
        if self.window is None or not reason:
            return ()
        return (f"no timeline: the model reads {reason} of the whole clip",)

    def _ask(self, clips: Sequence[Features], without: str | None = None) -> Scores:
        """Score clips in batches, with at most one modality switched off."""
        scorer = self.load()
        # The windows of a clip are one video: a model that works by video sees all of them.
        size = len(clips) if scorer.by_video else _BATCH
        parts = [scorer(clips[first : first + size], without) for first in range(0, len(clips), size)]
        return Scores.joined(parts).within(*self.card.scale)

    def _timeline(self, clips: Sequence[Features], windows: NDArray[np.float64], said: Scores) -> tuple[Window, ...]:
        intervals = [None] * len(windows) if said.interval is None else [_pair(bounds) for bounds in said.interval]
        return tuple(
            Window(
                start=float(start),
                end=float(end),
                score=float(said.score[number]),
                label=self.card.label(float(said.score[number]), intervals[number]),
                interval=intervals[number],
                missing=tuple(name for name in self.card.dims if not _seen(clips[number], name)),
            )
            for number, (start, end) in enumerate(windows)
        )

    def _notes(self) -> tuple[str, ...]:
        notes = () if self.card.calibrated else ("uncalibrated: the weights were stated, not learned from labels",)
        return (*notes, *self.card.notes, *((self._mismatch,) if self._mismatch else ()))


def _contribution(
    name: str,
    part: FeatureSequence | None,
    clips: Sequence[Features],
    windows: NDArray[np.float64],
    whole: Scores,
    without: Scores,
) -> Contribution:
    there = weights_of(clips, windows) * [_seen(clip, name) for clip in clips]
    others = weights_of(clips, windows, without=name)
    alone = whole.unimodal.get(name)
    return Contribution(
        coverage=part.coverage if part is not None else 0.0,
        missing=not there.any(),
        score=float(mean(alone, there)) if alone is not None and there.any() else None,
        score_without=float(mean(without.score, others)) if others.any() else None,
    )


def _seen(clip: Features, name: str) -> bool:
    return name in clip and bool(clip[name].valid.any())


def _pair(bounds: NDArray[np.float64]) -> tuple[float, float]:
    return float(bounds[0]), float(bounds[1])
