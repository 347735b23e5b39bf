"""What VADER's lexicon says of tokens and of a text: read here without punctuation and capitals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_NO = "not no never none nobody nothing neither nor nowhere without hardly barely scarcely rarely seldom lacks"
_MORE = (
    "absolutely amazingly awfully completely deeply definitely enormously entirely especially exceptionally extremely "
    "fully greatly highly hugely incredibly insanely intensely particularly perfectly pretty quite really remarkably "
    "so strongly such super terribly thoroughly too total totally tremendously truly unbelievably utterly very"
)
_LESS = "almost fairly kinda less little marginally moderately occasionally partly rather slightly somewhat sorta"
NEGATORS = frozenset(_NO.split())
BOOSTERS = dict.fromkeys(_MORE.split(), 1.0) | dict.fromkeys(_LESS.split(), -1.0)

_REACH = 3  # tokens over which a negator or booster works, as in VADER
_FLIP, _STEP = -0.74, 0.293  # what they do to a valence, as in VADER
_ALPHA = 15.0  # of VADER's compound

_STATISTICS = (
    "sum mean most least last after_but before_but compound plain_sum plain_mean positive negative positive_share "
    "negative_share negators boosters log_length"
)
STATISTICS = tuple(_STATISTICS.split())


def read_valences(path: Path) -> dict[str, float]:
    """Valence in [-4, 4] of each entry of VADER's file that is one token; not of "like", see ``tokens``."""
    valences: dict[str, float] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        entry, mean = line.split("\t")[:2]
        word = entry.replace("'", "")
        if word.isascii() and word.isalnum() and word == word.lower():
            valences.setdefault(word, float(mean))
    valences.pop("like", None)
    return valences


def flags(tokens: Sequence[str], valences: dict[str, float]) -> Floats:
    """Valence over 4, negator and booster of each token: (T, 3), in [-1, 1]."""
    rows = [(valences.get(token, 0.0) / 4, float(token in NEGATORS), BOOSTERS.get(token, 0.0)) for token in tokens]
    return np.array(rows, np.float32).reshape(-1, 3)


def negated(tokens: Sequence[str]) -> list[bool]:
    """Which tokens stand at most three behind a negator, with no "but" between."""
    out, left = [], 0
    for token in tokens:
        out.append(left > 0)
        left = _REACH if token in NEGATORS else 0 if token == "but" else max(0, left - 1)
    return out


def statistics(tokens: Sequence[str], valences: dict[str, float]) -> Floats:
    """The numbers that STATISTICS names, of a text: (17,)."""
    plain, negator, booster = flags(tokens, valences).T.astype(np.float64) if tokens else np.zeros((3, 0))
    plain = plain * 4
    context = plain.copy()
    for i in np.flatnonzero(plain):
        near = slice(max(0, i - _REACH), i)
        context[i] += np.sign(plain[i]) * _STEP * booster[near].sum()
    context *= np.where(negated(tokens), _FLIP, 1.0)
    count = max(1, len(tokens))
    but = max((i for i, token in enumerate(tokens) if token == "but"), default=-1)
    loaded = context[context != 0]
    total = context.sum()
    positive, negative = (context > 0).sum(), (context < 0).sum()
    numbers = (
        total,
        total / count,
        context.max(initial=0),
        context.min(initial=0),
        loaded[-1] if len(loaded) else 0.0,
        context[but + 1 :].sum() if but >= 0 else 0.0,
        context[: but + 1].sum(),
        total / np.sqrt(total**2 + _ALPHA),
        plain.sum(),
        plain.sum() / count,
        positive,
        negative,
        positive / count,
        negative / count,
        negator.sum(),
        booster.sum(),
        np.log1p(len(tokens)),
    )
    return np.array(numbers, np.float32)
