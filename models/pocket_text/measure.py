"""Figures of a text head on the validation parts and on everyday sentences that it did not learn."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from corpora import Noise, Row
from everyday import HELD_OUT, HELD_OUT_THINGS, UNSEEN, sentences
from finetune import say
from numpy.typing import NDArray

Scores = NDArray[np.float64]


def line(said: Scores, label: Scores) -> tuple[float, float]:
    """Slope and bias by least squares."""
    slope, bias = np.polyfit(said, label, 1)
    return float(slope), float(bias)


def measures(said: Scores, label: Scores) -> str:
    """MAE, correlation, and accuracy of the sign where the label is not 0."""
    clear = label != 0
    return (
        f"MAE {np.abs(said - label).mean():.3f}  corr {np.corrcoef(said, label)[0, 1]:.3f}  "
        f"Acc-2 {((said > 0) == (label > 0))[clear].mean():.3f}"
    )


def own_scale(said: Scores, label: Scores, video: NDArray[np.str_]) -> Scores:
    """Slope and bias fitted on one half of the videos, used on the other, both ways."""
    names = np.unique(video)
    half = np.isin(video, names[np.random.default_rng(0).permutation(len(names))[: len(names) // 2]])
    out = np.zeros(len(said))
    for part in (half, ~half):
        slope, bias = line(said[~part], label[~part])
        out[part] = slope * said[part] + bias
    return out


def report(score: Callable[[Sequence[str]], Scores], rows: list[Row], *, quick: bool = False) -> None:
    """Say the figures; ``quick`` leaves out noise and everyday sentences."""
    for corpus in ("mosi", "mosei"):
        held = [row for row in rows if row.corpus == corpus and not row.train]
        label, video = np.array([row.label for row in held]), np.array([row.video for row in held])
        texts = [row.text for row in held]
        said = score(texts)
        say(f"{corpus} valid, as it is: {measures(said, label)}")
        say(f"{corpus} valid, own scale, fitted on other videos: {measures(own_scale(said, label, video), label)}")
        if corpus == "mosi" and not quick:
            noise = Noise(rows, np.random.default_rng(0))
            wrong = score([noise.mishear(text.split(), 0.2) for text in texts])
            say(f"{corpus} valid, 20 % of words wrong: {measures(wrong, label)}")
    if not quick:
        report_everyday(score)


def report_everyday(score: Callable[[Sequence[str]], Scores]) -> None:
    """Signs and means of everyday sentences that were not learned."""
    for name, templates in (("held out", HELD_OUT), ("unseen", UNSEEN)):
        pairs = list(sentences(templates, HELD_OUT_THINGS))
        said, meant = score([text for text, _ in pairs]), np.array([label for _, label in pairs])
        for value in templates:
            of = said[meant == value]
            right = f"sign {(of * value > 0).mean():.3f}  " if value else ""
            size = f"mean {of.mean():+.2f}  size {np.abs(of).mean():.2f}"
            say(f"everyday, {name}, meant {value:+.1f}, {len(of)}: {right}{size}")
        clear = meant != 0
        say(f"everyday, {name}: right sign {(said * meant > 0)[clear].mean():.3f} of {clear.sum()}")
