"""How near a model comes to the labels of texts that no clip belongs to: rows of a label.csv.

uv run python models/pocket/texts.py LABEL.CSV [--split valid] [--model pocket]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from msapipe.align import align_channels
from msapipe.datasets import Row
from msapipe.errors import ConfigError, FeatureMismatch, MsapipeError
from msapipe.fusion._base import FusionModel, collate
from msapipe.pipeline.card import Card, model_folder, read_card
from msapipe.pipeline.model_pipeline import spec_of
from msapipe.pipeline.network import load_network
from msapipe.pipeline.spec import PipelineSpec, Use
from msapipe.train.labels import read_labels
from msapipe.train.metrics import Scores, scheme_of, score
from msapipe.types import Clip, FeatureSequence, MediaInfo, Sample, Transcript, Word
from msapipe.weights import make_ready

Floats = NDArray[np.float32]

SCORED_AT_ONCE = 256
# What there is of a text without a clip.
_THERE = frozenset({"transcript", "words", "clip", "media"})
_NAMED = 3
# Labels and bounds are rounded to float32.
_ROUNDING = 1e-6


def read_texts(path: Path, scale: tuple[float, float]) -> tuple[list[Row], list[str]]:
    """The rows of label.csv that have a text and a label, and notes on those that were left out.

    Raises MsapipeError naming the line: for what ``read_labels`` refuses, for a label outside ``scale``, and when no
    row is left.
    """
    rows = read_labels(path)
    low, high = scale
    for row in rows:
        label = row.labels.get("M")
        if label is not None and not low - _ROUNDING <= label <= high + _ROUNDING:
            raise MsapipeError(f"{path}: line {row.line}: the label {label:g} lies outside [{low:g}, {high:g}]")
    bare = {
        "without a text": [row for row in rows if not row.text],
        "without a label": [row for row in rows if row.text and "M" not in row.labels],
    }
    notes = [f"{len(found)} rows {what}, left out: {_lines(found)}" for what, found in bare.items() if found]
    kept = [row for row in rows if row.text and "M" in row.labels]
    if not kept:
        raise MsapipeError(f"{path}: no row has both a text and a label; expected the columns clip_id, text and label")
    if high > 1 and all(abs(row.labels["M"]) <= 1 for row in kept):
        notes.append(f"every label lies in [-1, 1]; the model's scale is [{low:g}, {high:g}]: errors mean little")
    return kept, notes


def _lines(rows: Sequence[Row]) -> str:
    more = f" and {len(rows) - _NAMED} more" if len(rows) > _NAMED else ""
    return "line " + ", ".join(str(row.line) for row in rows[:_NAMED]) + more


class TextStages:
    """The stages of words and text of a pipeline, loaded once, for texts that no clip belongs to.

    Words get their times from the first stage that needs no sound. Raises ConfigError when a stage of the text reads
    sound or pictures, or there is none.
    """

    def __init__(self, spec: PipelineSpec, device: str = "cpu", offline: bool = False) -> None:
        self.spec = spec
        self._words = [use for use in spec.stages.get("words", ()) if set(use.needs()) <= _THERE]
        self._text = spec.stages.get("text", ())
        if not self._text:
            raise ConfigError(f"pipeline {spec.name} has no stage for the text")
        for use in self._text:
            odd = sorted(set(use.needs()) - _THERE)
            if odd:
                raise ConfigError(f"pipeline {spec.name}: {use.where} reads {odd[0]}, which a text alone has not")
        for use in (*self._words, *self._text):
            self._load(use, device, offline)
        # As a run of clips does it: numbers must not depend on how many cores a machine has.
        torch.set_num_threads(1)

    def features(self, text: str, source: Path, recognised: bool = False) -> dict[str, FeatureSequence]:
        """The text's features, as ``msapipe extract`` makes them of a clip whose words are known: {"text": ...}."""
        words = Transcript(tuple(Word(word) for word in text.split()), source=source.name, recognised=recognised)
        return self.features_of(words, source)

    def features_of(self, words: Transcript, source: Path) -> dict[str, FeatureSequence]:
        """The same of words that a recogniser heard, say, with its times and how sure it was of each."""
        slots = {"clip": Clip(source.name, source, text=words.text), "media": MediaInfo("text", None, None, None)}
        slots["transcript"] = words
        for use in self._words:
            timed = use.stage.run(**{name: slots[name] for name in use.needs()})
            if timed is not None:
                words = timed
                break
        slots["words"] = words
        channels = {use.channel: use.stage.run(**{name: slots[name] for name in use.needs()}) for use in self._text}
        return align_channels({"text": channels}, words, self.spec.align)

    def samples(self, rows: Iterable[Row], source: Path, recognised: bool = False) -> Iterator[Sample]:
        """The features of each row with its labels; ``recognised``: a program heard the words."""
        for row in rows:
            features = self.features(row.text, source, recognised)
            yield Sample(row.name, features, row.labels, row.split, row.group, row.text)

    def _load(self, use: Use, device: str, offline: bool) -> None:
        for weights in use.stage.own_weights():
            make_ready(weights, self.spec.accept_licences, offline)
        use.stage.load(device if type(use.stage).on_device else "cpu")


@dataclass(frozen=True)
class TextScores:
    """How near a model comes to labels from the text alone.

    scores: see ``metrics.score``.   mae_rescaled: the error when the labels' own use of the scale is known: a factor
    and an offset, fitted on half of the videos for the other half; None for fewer than four.
    in_interval: share of the labels between the bounds that the model gives nine times in ten, and interval_width:
    their mean distance; None where it gives none.   notes: what a user should know.
    """

    scores: Scores
    mae_rescaled: float | None
    in_interval: float | None
    interval_width: float | None
    notes: tuple[str, ...] = ()


def score_texts(network: FusionModel, card: Card, samples: Sequence[Sample], name: str) -> TextScores:
    """Score labelled samples that have a text and nothing else; the other modalities are missing.

    Raises ConfigError for a model that reads no text, or tokens; FeatureMismatch for another number of columns.
    """
    if "text" not in card.dims or network.reads_tokens:
        what = "runs a language model over word pieces" if network.reads_tokens else "reads no text"
        raise ConfigError(f"model {name} {what}; evaluate it on features: msapipe extract VIDEOS -o FILE")
    width = samples[0].features["text"].values.shape[1]
    if width != card.dims["text"]:
        raise FeatureMismatch(f"the text has {width} columns, model {name} reads {card.dims['text']}")
    outputs = []
    with torch.inference_mode():
        for first in range(0, len(samples), SCORED_AT_ONCE):
            some = samples[first : first + SCORED_AT_ONCE]
            outputs.append(network(collate([sample.features for sample in some], card.dims)))
    truth = torch.tensor([sample.labels["M"] for sample in samples])
    said = torch.cat([output.score for output in outputs]).clamp(*card.scale)  # as predict says it
    scores = score(truth.numpy(), said.numpy(), scheme_of(card.scale))
    rescaled = _rescaled(truth.numpy(), said.numpy(), [sample.video for sample in samples], card.scale)
    empty = sum(not sample.features["text"].valid.any() for sample in samples)
    notes = (f"{empty} texts of which nothing was understood",) if empty else ()
    bounds = [output.interval for output in outputs if output.interval is not None]
    if len(bounds) < len(outputs):
        return TextScores(scores, rescaled, None, None, notes)
    low, high = torch.cat(bounds).clamp(*card.scale).T
    inside = (low - _ROUNDING <= truth) & (truth <= high + _ROUNDING)
    return TextScores(scores, rescaled, float(inside.float().mean()), float((high - low).mean()), notes)


def _rescaled(truth: Floats, said: Floats, videos: Sequence[str], scale: tuple[float, float]) -> float | None:
    """Mean absolute error with a factor and an offset for each half of the videos, fitted on the other half."""
    half = {video: number % 2 for number, video in enumerate(sorted(set(videos)))}
    side = np.array([half[video] for video in videos])
    if len(half) < 4 or any(np.ptp(said[side == one]) == 0 for one in (0, 1)):
        return None
    fitted = np.empty_like(truth)
    for one in (0, 1):
        factor, offset = np.polyfit(said[side != one], truth[side != one], 1)
        fitted[side == one] = factor * said[side == one] + offset
    return float(np.abs(fitted.clip(*scale) - truth).mean())


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path)
    parser.add_argument("--split", choices=("train", "valid", "test"))
    parser.add_argument("--model", default="pocket")
    asked = parser.parse_args()
    folder = model_folder(asked.model)
    card = read_card(folder)
    rows, notes = read_texts(asked.table, card.scale)
    samples = TextStages(spec_of(asked.model)).samples(
        (row for row in rows if asked.split in (None, row.split)), asked.table
    )
    found = score_texts(load_network(folder, card, asked.model), card, list(samples), asked.model)
    for note in (*notes, *found.notes):
        print(f"note: {note}")
    figures = {**found.scores, "mae_rescaled": found.mae_rescaled}
    for name, value in {**figures, "in_interval": found.in_interval, "interval_width": found.interval_width}.items():
        print(f"{name:<20} {'not defined' if value is None else f'{value:.4f}'}")


if __name__ == "__main__":
    try:
        main()
    except MsapipeError as error:
        sys.exit(f"{Path(sys.argv[0]).name}: {error}")
