"""How ``pocket`` holds up: words written otherwise, words that were recognised, noise, a modality switched off.

    uv run python models/pocket/robustness.py [--data ../shared/data] [--media ../shared/media]

Prints the tables under "Robustness" of the card, in Markdown; some six minutes on one core. The same data give the
same figures.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from speech import CLEAR, SAMPLE_MEDIA, VARIED, hear, noisy, speeches
from texts import TextStages, read_texts, score_texts
from train import CORPORA, DATA, EVERY, HERE, LIMIT, MODALITIES, PIPELINE, heard_samples, log

from msapipe.api import Pipeline, load
from msapipe.datasets import Row
from msapipe.fusion._base import collate
from msapipe.pipeline.card import read_card
from msapipe.pipeline.network import load_network
from msapipe.pipeline.run import Outcome
from msapipe.pipeline.spec import parse_spec
from msapipe.types import Prediction, Sample, Transcript

Floats = NDArray[np.float32]
Line = Mapping[str, object]


PARTS = ("spelling", "recognised", "dropped")
WRITTEN = "as written down by people"


def without_punctuation(text: str) -> str:
    """Letters, digits, spaces and apostrophes; a dash between two words parts them."""
    return "".join(_unpunctuated(letter) for letter in text)


def _unpunctuated(letter: str) -> str:
    kind = unicodedata.category(letter)
    if letter in "'’" or kind[0] not in "PS":
        return letter
    return " " if kind == "Pd" else ""


def without_apostrophes(text: str) -> str:
    """As ``without_punctuation``, and "don't" becomes "dont"."""
    return without_punctuation(text).replace("'", "").replace("’", "")


SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "lower case": str.lower,
    "upper case": str.upper,
    "no punctuation": without_punctuation,
    "nor apostrophes, lower case": lambda text: without_apostrophes(text).lower(),
}


class Texts:
    """Texts through the pipeline's text stages and the model, voice and face missing."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.spec = parse_spec(PIPELINE.read_text(encoding="utf-8"), "pocket")
        self._stages = TextStages(self.spec)
        self._card = read_card(HERE)
        self._network = load_network(HERE, self._card, "pocket")

    def valid(self, corpus: str) -> list[Row]:
        """The rows of a corpus's validation part."""
        rows, _ = read_texts(self.data / corpus / "label.csv", (-LIMIT, LIMIT))
        return [row for row in rows if row.split == "valid"]

    def samples(self, rows: Iterable[Row], texts: Iterable[str]) -> list[Sample]:
        """The rows with other texts; a text may be empty."""
        changed = [replace(row, text=text) for row, text in zip(rows, texts, strict=True)]
        return list(self._stages.samples(changed, self.data))

    def heard(self, rows: Iterable[Row], transcripts: Iterable[Transcript]) -> list[Sample]:
        """The rows with the words that a recogniser heard."""
        return heard_samples(self._stages, rows, transcripts)

    def figures(self, samples: Sequence[Sample]) -> dict[str, str]:
        """What ``msapipe evaluate`` says of them."""
        found = score_texts(self._network, self._card, samples, "pocket")
        scores = found.scores
        return {
            "MAE": _short(scores["mae"]),
            "corr": _short(scores["corr"]),
            "Acc-2": _short(scores["acc2_non0"]),
            "in the interval": _short(found.in_interval),
            "its mean width": f"{found.interval_width or 0:.2f}",
        }

    @torch.inference_mode()
    def said(self, samples: Sequence[Sample]) -> Floats:
        """One score a text: (N,)."""
        output = self._network(collate([sample.features for sample in samples], self._card.dims))
        return np.asarray(output.score.clamp(-LIMIT, LIMIT).numpy(), np.float32)


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}".replace("0.", ".", 1)


def spelling(texts: Texts) -> Iterator[Line]:
    """Both corpora, written in several ways."""
    for corpus in CORPORA:
        rows = texts.valid(corpus)
        found = {name: texts.samples(rows, [write(row.text) for row in rows]) for name, write in SPELLINGS.items()}
        as_it_is = texts.said(found["as it is"])
        for name, samples in found.items():
            moved = int((np.abs(texts.said(samples) - as_it_is) > 0.005).sum())
            head = {"part": f"CMU-{corpus.upper()} valid", "text": name}
            yield {**head, **texts.figures(samples), "other scores": f"{moved} of {len(rows)}"}


def recognised(texts: Texts) -> Iterator[Line]:
    """Sentences of MOSI: as people wrote them down, as the recogniser hears them from eSpeak, and without words."""
    rows = texts.valid("mosi")[::EVERY]
    written = [row.text for row in rows]
    clear = speeches(written, CLEAR)
    heard = {
        "recognised, a clear voice": hear(texts.spec, clear),
        "the same, white noise at 10 dB": hear(
            texts.spec, (noisy(samples, seed) for seed, samples in enumerate(clear))
        ),
        "recognised, six voices in turn": hear(texts.spec, speeches(written, VARIED)),
        "none": [Transcript(recognised=True)] * len(rows),
    }
    truth = texts.said(texts.samples(rows, written))
    for name in (WRITTEN, *heard):
        found = written if name == WRITTEN else [transcript.text for transcript in heard[name]]
        samples = texts.samples(rows, written) if name == WRITTEN else texts.heard(rows, heard[name])
        yield {
            "words": name,
            "word errors": f"{word_errors(written, found):.0%}",
            "nothing heard": sum(not text for text in found),
            **texts.figures(samples),
            "mean change": f"{np.abs(texts.said(samples) - truth).mean():.2f}",
        }


def word_errors(written: Iterable[str], heard: Iterable[str]) -> float:
    """Words wrong, missing or too many, over the number of words written; case and apostrophes do not count."""
    wrong = total = 0
    for one, other in zip(written, heard, strict=True):
        a, b = (without_apostrophes(text).lower().split() for text in (one, other))
        row = list(range(len(b) + 1))
        for i, word in enumerate(a, 1):
            before, row = row, [i]
            for j, guess in enumerate(b, 1):
                row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (word != guess)))
        wrong, total = wrong + row[-1], total + len(a)
    return wrong / total


def dropped(media: Path) -> Iterator[Line]:
    """Score and interval of clips, whole and with each modality switched off."""
    groups = {
        "sample clips": sorted(SAMPLE_MEDIA.glob("*.mp4")),
        "real clips": sorted(path for path in media.rglob("*") if path.suffix in (".mp4", ".mpg")),
    }
    with tempfile.TemporaryDirectory() as cache, load("pocket", cache=cache, device="cpu") as pipeline:
        for name, paths in groups.items():
            outcomes = [outcome for outcome in pipeline.run(paths) if outcome.status != "error"]
            for off in MODALITIES:
                able = [outcome for outcome in outcomes if _can_lose(outcome, off)]
                pairs = [(pipeline.score(outcome), _rest(pipeline, outcome, off)) for outcome in able]
                if pairs:
                    yield {"clips": name, "off": off, "clips that had it": len(pairs), **_compared(pairs)}


def _can_lose(outcome: Outcome, off: str) -> bool:
    """Whether a clip has this modality and another."""
    return off not in outcome.missing and len(outcome.missing) < len(MODALITIES) - 1


def _rest(pipeline: Pipeline, outcome: Outcome, off: str) -> Prediction:
    return pipeline.score(
        replace(outcome, features={name: part for name, part in outcome.features.items() if name != off})
    )


def _compared(pairs: Sequence[tuple[Prediction, Prediction]]) -> dict[str, str]:
    moved = np.abs([whole.score - rest.score for whole, rest in pairs])
    before, after = (np.mean([_width(pair[side]) for pair in pairs]) for side in (0, 1))
    other = sum(whole.label != rest.label for whole, rest in pairs)
    return {
        "mean change": f"{moved.mean():.2f}",
        "largest": f"{moved.max():.2f}",
        "another label": str(other),
        "width with it": f"{before:.2f}",
        "width without it": f"{after:.2f}",
    }


def _width(prediction: Prediction) -> float:
    low, high = prediction.interval or (-LIMIT, LIMIT)
    return high - low


def table(lines: Iterable[Line]) -> str:
    """Markdown; the columns are those of the first line."""
    rows = list(lines)
    head = ["| " + " | ".join(rows[0]) + " |", "|" + "---|" * len(rows[0])]
    return "\n".join(head + ["| " + " | ".join(map(str, row.values())) + " |" for row in rows])


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--media", type=Path, default=DATA.parent / "media")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)
    texts = Texts(options.data)
    parts = {"spelling": spelling(texts), "recognised": recognised(texts), "dropped": dropped(options.media)}
    for lines in (parts[name] for name in options.parts):
        log.info("%s\n", table(lines))


if __name__ == "__main__":
    main()
