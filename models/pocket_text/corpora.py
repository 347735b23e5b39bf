"""Labelled texts that the text heads learn from, and the noise that training adds to them."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from everyday import TEMPLATES, THINGS, sentences

from msapipe.stages.text._passages import normal

CORPORA = ("mosi", "mosei", "sims_v2", "meld", "everyday")  # the last: sentences of everyday.py, on MOSI's scale
MELD_CLASSES = ("negative", "neutral", "positive")
PUNCTUATION = str.maketrans("", "", '.,;:!?"()[]')


@dataclass(frozen=True)
class Row:
    """A text; ``label`` is a score on the corpus's scale, for MELD the number of the class."""

    text: str
    label: float
    corpus: str
    train: bool
    video: str


def read_rows(data: Path) -> list[Row]:
    """Train and validation rows of every corpus that have a letter or digit."""
    rows = [Row(text, score, "everyday", True, "") for text, score in sentences(TEMPLATES, THINGS)]
    for corpus in CORPORA[:-1]:
        with (data / corpus / "label.csv").open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                text = normal(row.get("text_english") or row["text"])
                if any(letter.isalnum() for letter in text):
                    rows.append(Row(text, _label(corpus, row), corpus, row["mode"] == "train", row["video_id"]))
    return rows


def _label(corpus: str, row: dict[str, str]) -> float:
    if corpus == "meld":
        return float(MELD_CLASSES.index(row["sentiment"]))
    return 3 * float(row["label_T"]) if corpus == "sims_v2" else float(row["label"])


class Noise:
    """What a recogniser or a typist does to a text: no punctuation, words lost, doubled or taken for others."""

    def __init__(
        self, rows: list[Row], random: np.random.Generator, *, plain: float = 0.4, misheard: float = 0.2
    ) -> None:
        self._words = [word for row in rows if row.train for word in row.text.split()]
        self._random, self._plain, self._misheard = random, plain, misheard

    def __call__(self, text: str) -> str:
        """The text, changed or not."""
        if self._random.random() < self._plain:
            text = text.translate(PUNCTUATION)
            if self._random.random() < self._plain:
                text = text.replace("'", "")
        if self._random.random() < self._misheard:
            text = self.mishear(text.split(), self._random.uniform(0.05, 0.25))
        return text or "?"

    def mishear(self, words: list[str], share: float) -> str:
        """A text in which about this share of the words is lost, doubled or another one."""
        heard = []
        for word, chance in zip(words, self._random.random(len(words)), strict=True):
            if chance >= share:
                heard.append(word)
            elif chance >= 0.5 * share:
                heard.append(self._words[self._random.integers(len(self._words))])
            elif chance >= 0.45 * share:
                heard += [word, word]
        return " ".join(heard or words)
