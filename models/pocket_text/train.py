"""Train the text head of the model ``pocket`` and write pocket_text.safetensors beside this file.

    uv run python models/pocket_text/train.py [--data ../shared/data] [--seed 0] [--out FOLDER]

Only train and validation parts are read. A linear model and a network learn from the train parts; how they are blended,
and one scale and bias to MOSI's labels, come from the validation parts. Everything that is computed alike in use
(tokens, features, network) is imported from msapipe.stages.text.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from everyday import HELD_OUT, HELD_OUT_THINGS, TEMPLATES, THINGS, UNSEEN, sentences
from numpy.typing import NDArray
from safetensors.numpy import save_file
from scipy import sparse
from sklearn.linear_model import Ridge
from torch import nn
from torch.nn import functional

from msapipe.stages.text._pocket_lexicon import STATISTICS, flags, read_valences, statistics
from msapipe.stages.text._pocket_linear import BUCKETS, LinearModel, letter_buckets, share, word_buckets
from msapipe.stages.text._pocket_model import PocketModel, to_arrays
from msapipe.stages.text._pocket_net import WIDTH, forward, network
from msapipe.stages.text._pocket_words import PASSAGE_WORDS, tokens
from msapipe.stages.text.pocket import Pocket

HERE = Path(__file__).resolve().parent
FILE = "pocket_text.safetensors"

Floats = NDArray[np.float32]

# Corpora, and what a row of each weighs in the two models. MELD has classes instead of a score: its row is a side task.
# The last are no corpus but the sentences of everyday.py, on MOSI's scale.
CORPORA = ("mosi", "mosei", "sims_v2", "meld", "everyday")
LINEAR_WEIGHTS = (6.0, 1.0, 0.3, 0.1, 2.0)
NET_WEIGHTS = (4.0, 1.0, 0.3, 0.4, 2.0)
MELD_CLASSES = {"negative": -1.0, "neutral": 0.0, "positive": 1.0}

# The linear model. Its one scale for all corpora is near MOSI's, whose labels spread one and a half times as far as
# MOSEI's; a part's size is how freely the ridge may use it.
LINEAR_SCALES = (1.0, 1.5, 1.0, 1.5, 1.0)
ALPHA = 3.0
LETTER_SIZE, DENSE_SIZE = 0.6, 0.03
LEAST_WORD, LEAST_LETTER = 2, 5  # rows of the train part in which a bucket must occur

# The network.
LEAST_COUNT = 4  # occurrences that bring a word without a GloVe vector into the vocabulary
BRANCHES = 2
EPOCHS, BATCH, RATE, WARM_UP = 2.5, 64, 2e-3, 100
DROPOUT, WORD_DROPOUT, DECAY = 0.35, 0.1, 0.998
SCALES = (1.0, 0.7, 1.0, 1.0)  # where the scale of each corpus begins
SCALE_OF = (0, 1, 2, 3, 0)  # whose scale and bias a corpus has


@dataclass(frozen=True)
class Rows:
    """Labelled texts of all corpora: one entry a text."""

    tokens: list[list[str]]
    label: Floats
    corpus: NDArray[np.int64]
    train: NDArray[np.bool_]
    video: NDArray[np.str_]

    def held_out(self, corpus: int) -> NDArray[np.int64]:
        """Validation rows of a corpus."""
        return np.flatnonzero(~self.train & (self.corpus == corpus))


def read_rows(data: Path) -> Rows:
    """Every text with at least one token."""
    everyday = CORPORA.index("everyday")
    found = [(tokens(text), score, everyday, True, "") for text, score in sentences(TEMPLATES, THINGS)]
    for number, corpus in enumerate(CORPORA[:everyday]):
        with (data / corpus / "label.csv").open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                words = tokens(row.get("text_english") or row["text"])
                if words:
                    found.append((words, _label(corpus, row), number, row["mode"] == "train", row["video_id"]))
    texts, labels, corpora, train, videos = zip(*found, strict=True)
    return Rows(list(texts), np.array(labels, np.float32), np.array(corpora), np.array(train), np.array(videos))


def _label(corpus: str, row: dict[str, str]) -> float:
    if corpus == "meld":
        return MELD_CLASSES[row["sentiment"]]
    return 3 * float(row["label_T"]) if corpus == "sims_v2" else float(row["label"])


def read_glove(data: Path) -> dict[str, Floats]:
    """The vectors of the words of MOSI."""
    with np.load(data / "mosi" / "glove300_subset.npz") as file:
        return {word: row for word, row in zip(file["words"].tolist(), file["vectors"], strict=True) if word.isalnum()}


def vocabulary_of(rows: Rows, glove: dict[str, Floats]) -> list[str]:
    """The unknown word, then all words with a vector or frequent enough in the train parts, in alphabetical order."""
    counts = Counter(word for words, train in zip(rows.tokens, rows.train, strict=True) if train for word in words)
    return ["", *sorted(set(glove) | {word for word, count in counts.items() if count >= LEAST_COUNT})]


def fit_linear(rows: Rows, ids: list[NDArray[np.int64]], vectors: Floats, valences: dict[str, float]) -> LinearModel:
    """A ridge over all four kinds of features, its coefficients folded into tables that need no preparation in use."""
    words, word_size = _bucket_matrix(rows, word_buckets, LEAST_WORD)
    letters, letter_size = _bucket_matrix(rows, letter_buckets, LEAST_LETTER)
    letter_size = letter_size * LETTER_SIZE
    plain = np.stack([statistics(words, valences) for words in rows.tokens]).astype(np.float64)
    known = np.stack([vectors[i[i > 0]].mean(axis=0) if (i > 0).any() else np.zeros(WIDTH) for i in ids])
    dense = np.hstack([plain, known])
    spread = np.concatenate([plain[rows.train].std(axis=0), np.full(WIDTH, known[rows.train].std())])
    dense_size = DENSE_SIZE / np.maximum(spread, 1e-6)
    centre = dense[rows.train].mean(axis=0)
    features = sparse.hstack(
        [
            words @ sparse.diags_array(word_size),
            letters @ sparse.diags_array(letter_size),
            sparse.csr_array((dense - centre) * dense_size),
        ]
    ).tocsr()
    ridge = Ridge(alpha=ALPHA, solver="sparse_cg", tol=1e-4)
    target = rows.label * np.array(LINEAR_SCALES)[rows.corpus]
    weight = np.array(LINEAR_WEIGHTS)[rows.corpus]
    ridge.fit(features[rows.train], target[rows.train], sample_weight=weight[rows.train])
    of_words, of_letters, of_dense = np.split(ridge.coef_, [BUCKETS, 2 * BUCKETS])
    of_dense = of_dense * dense_size
    of_statistics, of_vectors = np.split(of_dense, [len(STATISTICS)])
    return LinearModel(
        (of_words * word_size).astype(np.float32),
        (of_letters * letter_size).astype(np.float32),
        (vectors @ of_vectors).astype(np.float32),
        of_statistics.astype(np.float32),
        float(ridge.intercept_ - centre @ of_dense),
    )


def _bucket_matrix(
    rows: Rows, buckets: Callable[[Sequence[str]], NDArray[np.int64]], least: int
) -> tuple[sparse.csr_array, NDArray[np.float64]]:
    """Share of each bucket in each text, and how freely each may be used: the rarer the more, below least not at."""
    found = [buckets(words) for words in rows.tokens]
    values = np.concatenate([np.full(len(row), share(row)) for row in found])
    ends = np.cumsum([0, *map(len, found)])
    matrix = sparse.csr_array((values, np.concatenate(found), ends), shape=(len(found), BUCKETS))
    texts = np.bincount(matrix[rows.train].indices, minlength=BUCKETS)
    rarity = np.log(rows.train.sum() / np.maximum(texts, 1)) / 5
    return matrix, np.where(texts >= least, rarity, 0.0)


class NetTraining:
    """Training of the network: smooth L1 with a scale and bias a corpus, cross-entropy for MELD, averaged weights."""

    def __init__(self, rows: Rows, ids: list[NDArray[np.int64]], valences: dict[str, float], seed: int) -> None:
        self._rows = rows
        self._ids = [row[:PASSAGE_WORDS] for row in ids]
        self._flags = [flags(words[:PASSAGE_WORDS], valences) for words in rows.tokens]
        self._random = np.random.default_rng(seed)
        torch.manual_seed(seed)

    def run(self, vectors: Floats) -> dict[str, torch.Tensor]:
        """The averaged weights after all epochs, from an embedding that begins with ``vectors``."""
        net = network(len(vectors), BRANCHES)
        with torch.no_grad():
            strangers = ~vectors.any(axis=1)
            strangers[0] = False
            start = vectors + strangers[:, None] * self._random.normal(0, 0.2, vectors.shape)
            net["embedding"].weight.copy_(torch.from_numpy(start.astype(np.float32)))
        scales = nn.Parameter(torch.tensor(SCALES))
        biases = nn.Parameter(torch.zeros(len(SCALES)))
        others = [value for name, value in net.named_parameters() if not name.startswith("embedding")]
        groups = [
            {"params": [net["embedding"].weight], "lr": RATE / 2},
            {"params": [*others, scales, biases], "lr": RATE},
        ]
        optimiser = torch.optim.AdamW(groups, weight_decay=0.01, fused=True)
        steps = int(EPOCHS * self._rows.train.sum() / BATCH)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimiser, lambda step: min(1, step / WARM_UP) * (0.5 + 0.5 * np.cos(np.pi * step / steps))
        )
        average = {name: value.detach().clone() for name, value in net.named_parameters()}
        for step, chosen in enumerate(islice(self._batches(), steps)):
            loss = self._loss(net, chosen, scales, biases)
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_([value for group in groups for value in group["params"]], 5.0)
            optimiser.step()
            schedule.step()
            decay = min(DECAY, (step + 1) / (step + 10))
            with torch.no_grad():
                for name, value in net.named_parameters():
                    average[name].lerp_(value, 1 - decay)
            if step % 100 == 99:
                say(f"  step {step + 1} of {steps}, loss {float(loss.detach()):.3f}")
        return average

    def _batches(self) -> Iterator[NDArray[np.int64]]:
        """Rows of about one length, so that little is padded, in an order that is drawn anew in each epoch."""
        train = np.flatnonzero(self._rows.train)
        lengths = np.array([len(row) for row in self._ids])
        while True:
            order = self._random.permutation(train)
            pools = np.array_split(order, max(1, len(order) // (25 * BATCH)))
            order = np.concatenate([pool[np.argsort(lengths[pool], kind="stable")] for pool in pools])
            batches = np.array_split(order, max(1, len(order) // BATCH))
            yield from (batches[i] for i in self._random.permutation(len(batches)))

    def _loss(
        self, net: nn.ModuleDict, chosen: NDArray[np.int64], scales: torch.Tensor, biases: torch.Tensor
    ) -> torch.Tensor:
        lengths = np.array([len(self._ids[i]) for i in chosen])
        ids = np.zeros((len(chosen), lengths.max()), np.int64)
        lexicon = np.zeros((*ids.shape, 3), np.float32)
        for row, i in enumerate(chosen):
            ids[row, : lengths[row]], lexicon[row, : lengths[row]] = self._ids[i], self._flags[i]
        dropped = self._random.random(ids.shape) < WORD_DROPOUT
        ids[dropped], lexicon[dropped] = 0, 0
        scores, moods = forward(
            net, torch.from_numpy(ids), torch.from_numpy(lexicon), torch.from_numpy(lengths), DROPOUT
        )
        corpus = torch.from_numpy(self._rows.corpus[chosen])
        label = torch.from_numpy(self._rows.label[chosen])[:, None].expand_as(scores)
        shared = torch.tensor(SCALE_OF)[corpus]
        said = scores * scales[shared, None] + biases[shared, None]
        score_loss = functional.smooth_l1_loss(said, label, reduction="none").sum(dim=1)
        mood = (label.round().clamp(-1, 1) + 1).long()
        mood_loss = functional.cross_entropy(moods.transpose(1, 2), mood, reduction="none").sum(dim=1)
        weight = torch.tensor(NET_WEIGHTS)[corpus]
        return (weight * torch.where(corpus == CORPORA.index("meld"), mood_loss, score_loss)).mean()


def line(said: NDArray[np.float64], label: Floats) -> tuple[float, float]:
    """Slope and bias by least squares."""
    slope, bias = np.polyfit(said, label, 1)
    return float(slope), float(bias)


def fit_blend(rows: Rows, parts: NDArray[np.float64]) -> Floats:
    """Share of the linear model, of the network, and bias: the ratio by both corpora, the scale by MOSI alone.

    229 rows of MOSI cannot tell a ratio well; so the one is taken that leaves the least error, summed over the
    validation parts of MOSI and of MOSEI, each in units of what the better of the two models leaves alone.
    """
    ratios = np.arange(0, 1.01, 0.05)
    total = np.zeros(len(ratios))
    for corpus in (0, 1):
        held = rows.held_out(corpus)
        errors = []
        for ratio in ratios:
            said = parts[held] @ (ratio, 1 - ratio)
            slope, bias = line(said, rows.label[held])
            errors.append(np.square(slope * said + bias - rows.label[held]).mean())
        total += np.array(errors) / min(errors[0], errors[-1])
    ratio = ratios[total.argmin()]
    held = rows.held_out(0)
    slope, bias = line(parts[held] @ (ratio, 1 - ratio), rows.label[held])
    return np.array([slope * ratio, slope * (1 - ratio), bias], np.float32)


def measures(said: NDArray[np.float64], label: Floats) -> str:
    """MAE, correlation, and accuracy of the sign where the label is not 0."""
    clear = label != 0
    return (
        f"MAE {np.abs(said - label).mean():.3f}  corr {np.corrcoef(said, label)[0, 1]:.3f}  "
        f"Acc-2 {((said > 0) == (label > 0))[clear].mean():.3f}"
    )


def left_out_by_video(rows: Rows, said: NDArray[np.float64]) -> NDArray[np.float64]:
    """MOSI's validation rows, the scale and bias of each video fitted on the other videos."""
    held = rows.held_out(0)
    out = np.zeros(len(held))
    for video in np.unique(rows.video[held]):
        own = rows.video[held] == video
        slope, bias = line(said[held][~own], rows.label[held][~own])
        out[own] = slope * said[held][own] + bias
    return out


def misheard(words: list[str], others: list[str], random: np.random.Generator) -> list[str]:
    """A text in which every tenth word is lost and every tenth another one."""
    fate = random.random(len(words))
    kept = [
        others[random.integers(len(others))] if chance < 0.1 else word
        for word, chance in zip(words, fate, strict=True)
        if not 0.1 <= chance < 0.2
    ]
    return kept or words


def report(rows: Rows, model: PocketModel, parts: NDArray[np.float64]) -> None:
    """Figures on the validation parts, of the model as it is stored."""
    label = rows.label
    for corpus, name in ((0, "MOSI"), (1, "MOSEI")):
        held = rows.held_out(corpus)
        score = np.array([model.score(rows.tokens[i]) for i in held])
        for part, said in (("linear", parts[held, 0]), ("network", parts[held, 1]), ("blend", score)):
            slope, bias = line(said, label[held])
            say(f"{name} valid, {part}, own scale: {measures(slope * said + bias, label[held])}")
        say(f"{name} valid, blend as it is:   {measures(score, label[held])}")
        if corpus == 0:
            every = np.zeros(len(label))
            every[held] = score
            say(f"{name} valid, scale by video left out: {measures(left_out_by_video(rows, every), label[held])}")
            others = [word for words, train in zip(rows.tokens, rows.train, strict=True) if train for word in words]
            random = np.random.default_rng(0)
            wrong = np.array([model.score(misheard(rows.tokens[i], others, random)) for i in held])
            say(f"{name} valid, 20 % of words wrong: {measures(wrong, label[held])}")


def report_everyday(model: PocketModel) -> None:
    """Signs and means of everyday sentences that were not learned."""
    for name, templates in (("held out", HELD_OUT), ("unseen", UNSEEN)):
        said = [(model.score(tokens(text)), score) for text, score in sentences(templates, HELD_OUT_THINGS)]
        for meant in templates:
            scores = np.array([score for score, label in said if label == meant])
            right = f"sign {(scores * meant > 0).mean():.3f}  " if meant else ""
            sizes = f"mean {scores.mean():+.2f}  mean size {np.abs(scores).mean():.2f}"
            say(f"everyday, {name}, meant {meant:+.1f}, {len(scores)} sentences: {right}{sizes}")


def say(text: str) -> None:
    """A line to the terminal, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> None:
    """Train, write the file, and say how good it is."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--data", type=Path, default=HERE.parents[2] / "shared" / "data")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--out", type=Path, default=HERE)
    given = options.parse_args()
    torch.set_num_threads(1)
    began = time.monotonic()
    lexicon = Pocket.weights[1].path()
    valences = read_valences(lexicon)
    rows, glove = read_rows(given.data), read_glove(given.data)
    vocabulary = vocabulary_of(rows, glove)
    number = {word: i for i, word in enumerate(vocabulary)}
    ids = [np.array([number.get(word, 0) for word in words], np.int64) for words in rows.tokens]
    vectors = np.stack([glove.get(word, np.zeros(WIDTH, np.float32)) for word in vocabulary])
    say(f"{len(rows.label)} texts, {len(vocabulary)} words, {len(glove)} of them with a vector")
    linear = fit_linear(rows, ids, vectors, valences)
    say(f"linear model after {time.monotonic() - began:.0f} s")
    state = NetTraining(rows, ids, valences, given.seed).run(vectors)
    unblended = PocketModel(to_arrays(vocabulary, linear, state, np.zeros(3, np.float32)), valences)
    parts = np.zeros((len(rows.label), 2))
    for i in [*rows.held_out(0), *rows.held_out(1)]:
        parts[i] = unblended.parts(rows.tokens[i])
    blend = fit_blend(rows, parts)
    given.out.mkdir(parents=True, exist_ok=True)
    target = given.out / FILE
    save_file(to_arrays(vocabulary, linear, state, blend), target)
    say(f"blend {blend.tolist()} after {time.monotonic() - began:.0f} s")
    stored = PocketModel.read(target, lexicon)
    report(rows, stored, parts)
    report_everyday(stored)
    say(f'    sha256="{hashlib.sha256(target.read_bytes()).hexdigest()}",')
    say(f"    bytes={target.stat().st_size},")


if __name__ == "__main__":
    main()
