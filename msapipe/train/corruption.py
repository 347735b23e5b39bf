"""Features corrupted on purpose: how accurate a model stays without a modality, or with noise on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from msapipe.errors import ConfigError
from msapipe.registry import did_you_mean
from msapipe.types import FeatureSequence, Sample


def without(samples: Sequence[Sample], modalities: Sequence[str], reads: Sequence[str]) -> list[Sample]:
    """The samples without some modalities. Raises ConfigError for one that the model does not read, or for all."""
    for name in modalities:
        _check(name, reads, "--without")
    if not set(reads) - set(modalities):
        raise ConfigError(f"--without {','.join(modalities)}: nothing is left that the model reads")
    return [_without(sample, set(modalities)) for sample in samples]


def _without(sample: Sample, modalities: set[str]) -> Sample:
    kept = {name: part for name, part in sample.features.items() if name not in modalities}
    return replace(sample, features=kept, tokens=None if "text" in modalities else sample.tokens)


def noisy(samples: Sequence[Sample], decibel: Mapping[str, float], reads: Sequence[str], seed: int = 0) -> list[Sample]:
    """The samples with Gaussian noise on the features of some modalities.

    decibel: modality to signal-to-noise ratio (dB). A column's signal is its variance over all valid steps of all
    samples: at 0 dB the noise has the same variance. The noise depends only on the seed and the clip's name. Raises
    ConfigError for a modality that the model does not read, or that holds token ids.
    """
    std = {}
    for name in decibel:
        _check(name, reads, "--noise")
        rows = [s.features[name].values[s.features[name].valid] for s in samples if name in s.features]
        together = np.concatenate(rows) if rows else np.zeros((0, 1), np.float32)
        if not len(together):
            raise ConfigError(f"--noise {name}: no clip has any")
        if name == "text" and _are_ids(samples):
            raise ConfigError("--noise text: the text is made of token ids, which cannot be more or less so")
        std[name] = together.astype(np.float64).std(axis=0)
    return [_noisy(sample, decibel, std, seed) for sample in samples]


def _noisy(sample: Sample, decibel: Mapping[str, float], std: Mapping[str, NDArray[np.float64]], seed: int) -> Sample:
    features = dict(sample.features)
    for name, ratio in decibel.items():
        if name in features:
            random = np.random.default_rng([seed, *f"{name} {sample.id}".encode()])
            features[name] = _louder(features[name], std[name] * 10 ** (-ratio / 20), random)
    return replace(sample, features=features)


def _louder(part: FeatureSequence, deviation: NDArray[np.float64], random: np.random.Generator) -> FeatureSequence:
    noise = random.normal(size=part.values.shape) * deviation
    values = np.where(part.valid[:, None], part.values + noise, 0.0).astype(np.float32)
    return replace(part, values=values)


def _check(name: str, reads: Sequence[str], option: str) -> None:
    if name not in reads:
        raise ConfigError(f"{option} {name}: the model reads no such modality{did_you_mean(name, reads)}")


def _are_ids(samples: Sequence[Sample]) -> bool:
    if any(sample.tokens is not None for sample in samples):
        return True
    return any(s.features["text"].names[:1] == ("input_id",) for s in samples if "text" in s.features)


def parse_noise(texts: Sequence[str]) -> dict[str, float]:
    """``audio=10dB`` to {"audio": 10.0}; raises ConfigError for anything else."""
    found = {}
    for text in texts:
        name, _, ratio = text.partition("=")
        try:
            found[name.strip()] = float(ratio.strip().lower().removesuffix("db"))
        except ValueError as error:
            raise ConfigError(f"--noise {text}: expected MODALITY=RATIO in decibels, as in audio=10dB") from error
    return found
