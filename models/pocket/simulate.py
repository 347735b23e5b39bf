"""What the fusion ``late`` gains over a text score by itself: labels of SIMS v2, seen by simulated heads.

    uv run python models/pocket/simulate.py [--data ../shared/data]

Prints the table of the card; about ten minutes on one core. The gains are upper bounds for ``pocket``: simulated noise
is independent from head to head, and labels of SIMS lean more on voice and face than those of people who just talk.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import QuantileRegressor
from train import DATA, LIMIT, MODALITIES, Doubles, assume_text_sees_all, cpu, log, sims_labels, within

from msapipe.fusion._base import Batch
from msapipe.fusion.late import Late
from msapipe.train.evaluate import predict
from msapipe.train.loop import Loop
from msapipe.train.settings import Settings
from msapipe.train.table import TensorTable
from msapipe.types import FeatureSequence, Sample

SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Condition:
    """Heads that see the labels T, A and V through noise.

    correlation: of each head with its label over the train part; 0: noise alone.   missing: share of clips without a
    modality.   varying: each head's noise differs by clip, by a factor within 1/3 and 3, and it knows by which.
    believed: what the heads that are not learned are taken for, if not for what they are.
    """

    correlation: tuple[float, float, float]
    missing: float = 0.0
    varying: bool = False
    believed: tuple[float, float, float] | None = None


WEAK = (0.72, 0.35, 0.40)
GOOD = (0.927, 0.588, 0.698)  # noise of deviation 0.75, 2.5 and 2.0
CONDITIONS = {
    "weak heads": Condition(WEAK),
    "good heads": Condition(GOOD),
    "weak, 30 % missing": Condition(WEAK, missing=0.3),
    "good, 30 % missing": Condition(GOOD, missing=0.3),
    "weak, noise differs by clip": Condition(WEAK, varying=True),
    "good, noise differs by clip": Condition(GOOD, varying=True),
    "weak text, the others noise": Condition((0.72, 0.0, 0.0)),
    "weak heads, taken for half as good": Condition(WEAK, believed=(0.72, 0.175, 0.2)),
    "half as good, taken for weak": Condition((0.72, 0.175, 0.2), believed=WEAK),
}


def simulated(labels: Doubles, condition: Condition, deviation: Doubles, random: np.random.Generator) -> list[Sample]:
    """Clips of one row: what a head says and, where noise varies, the logarithm of its precision."""
    correlation = np.array(condition.correlation)
    noise = np.where(correlation > 0, deviation * np.sqrt(1 / np.maximum(correlation, 1e-9) ** 2 - 1), deviation)
    factor = random.uniform(-1, 1, (len(labels), 3)) * (np.log(3) if condition.varying else 0.0)
    seen = labels[:, 1:] * (correlation > 0) + random.normal(size=factor.shape) * noise * np.exp(factor)
    there = random.random(factor.shape) >= condition.missing
    out = []
    for i, row in enumerate(labels):
        columns = np.stack([seen[i], -2 * factor[i]], axis=1).astype(np.float32)
        features = {
            name: FeatureSequence(columns[j : j + 1], np.array([[0.0, 1.0]]), np.ones(1, bool))
            for j, name in enumerate(MODALITIES)
            if there[i, j]
        }
        out.append(Sample(str(i), features, dict(zip("MTAV", row.tolist(), strict=True))))
    return out


def said_by(samples: list[Sample], name: str) -> Doubles:
    """What the head of a modality says of each clip, NaN where it is missing."""
    return np.array([s.features[name].values[0, 0] if name in s.features else np.nan for s in samples], np.float64)


def labels_of(samples: list[Sample]) -> Doubles:
    """M of each clip."""
    return np.array([sample.labels["M"] for sample in samples])


def text_lines(train: list[Sample]) -> tuple[QuantileRegressor, IsotonicRegression]:
    """The straight line and the rising curve from text to M that have the least absolute and squared error."""
    text, label = said_by(train, "text"), labels_of(train)
    known = np.isfinite(text)
    line = QuantileRegressor(quantile=0.5, alpha=0.0).fit(text[known, None], label[known])
    return line, IsotonicRegression(out_of_bounds="clip").fit(text[known], label[known])


def text_alone(train: list[Sample], valid: list[Sample]) -> float:
    """Error of the text score after calibration, by whichever of the two is better on ``valid``."""
    text, label = said_by(valid, "text"), labels_of(valid)
    known = np.isfinite(text)
    errors = []
    for curve, inputs in zip(text_lines(train), (text[:, None], text), strict=True):
        said = np.full(len(text), np.median(labels_of(train)))
        said[known] = np.clip(curve.predict(inputs[known]), -LIMIT, LIMIT)
        errors.append(float(np.abs(said - label).mean()))
    return min(errors)


def learned(train: list[Sample], valid: list[Sample], seed: int) -> Late:
    """Trained as ``msapipe train --model late`` does it."""
    dims = dict.fromkeys(MODALITIES, 2)
    torch.manual_seed(seed)
    model = Late(dims)
    settings = Settings(seed=seed, lr=0.02, epochs=25, batch=256)
    Loop(model, TensorTable.of(train, dims), TensorTable.of(valid, dims), settings, cpu()).run()
    return model


def stated(train: list[Sample], condition: Condition) -> Late:
    """Put together as ``pocket`` is: a calibrated text score, voice and face of a known correlation."""
    model = Late(dict.fromkeys(MODALITIES, 2), calibrated=("text",))
    labels = np.array([[sample.labels[name] for name in "MTAV"] for sample in train])
    assume_text_sees_all(model, labels.mean(0), labels.std(0), np.corrcoef(labels.T))
    with torch.no_grad():
        for parameter in model.heads.parameters():
            parameter.zero_()
        text, known = said_by(train, "text"), np.isfinite(said_by(train, "text"))
        line, _ = text_lines(train)
        slope, bias = float(line.coef_[0]), float(line.intercept_)
        heard, believed = model.heads["text"].linear, condition.believed or condition.correlation
        heard.weight[0, 0], heard.bias[0] = slope, bias
        left = (slope * text + bias - labels[:, 0])[known].var()
        trusts = [labels[:, 0].var() / left - 1]
        for j, name in enumerate(MODALITIES[1:], 1):
            model.heads[name].linear.weight[0, 0] = 1.0
            trusts.append(believed[j] ** 2 / (1 - believed[j] ** 2))
        model.log_trust.copy_(torch.tensor(trusts).clamp(min=1e-3).log())
        if condition.varying:
            for name in MODALITIES:
                model.heads[name].trust.weight[0, 1] = 1.0
    return model.eval()


def simulation(data: Path) -> Iterator[str]:
    """The table of the card, line by line: mean absolute errors on the valid part, mean over seeds."""
    yield "| simulated heads | text alone | learned | gain | in interval | stated | gain |"
    yield "|---|---|---|---|---|---|---|"
    parts = {split: sims_labels(data, split) for split in ("train", "valid")}
    deviation = parts["train"][:, 1:].std(0)
    for name, condition in CONDITIONS.items():
        found = []
        for seed in SEEDS:
            random = np.random.default_rng(seed)
            train, valid = (simulated(labels, condition, deviation, random) for labels in parts.values())
            table = TensorTable.of(valid, dict.fromkeys(MODALITIES, 2))
            free, fixed = predict(learned(train, valid, seed), table, cpu()), stated(train, condition)
            errors = [error(part.score, table.whole) for part in (free, predict(fixed, table, cpu()))]
            found.append([text_alone(train, valid), *errors, float(within(free.interval, table.whole).float().mean())])
        alone, fused, put, held = np.mean(found, axis=0)
        spread = np.std([1 - row[1] / row[0] for row in found], ddof=1)
        yield (
            f"| {name} | {alone:.3f} | {fused:.3f} | {1 - fused / alone:.1%} (sd {spread:.1%}) | {held:.1%} "
            f"| {put:.3f} | {1 - put / alone:.1%} |"
        )


def error(said: torch.Tensor, batch: Batch) -> float:
    """Mean absolute error."""
    return float((said - batch.labels["M"]).abs().mean())


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)
    for line in simulation(options.data):
        log.info(line)


if __name__ == "__main__":
    main()
