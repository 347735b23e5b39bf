"""A data set with only some channels of its modalities; each stage's features fill known columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from msapipe.errors import ConfigError
from msapipe.registry import did_you_mean
from msapipe.train.data import DataSet
from msapipe.types import FeatureSequence, Sample


def only_channels(data: DataSet, channels: Sequence[str]) -> DataSet:
    """The data with only these channels ("vision.resnet18") of the named modalities; the others stay whole.

    Raises ConfigError for an unknown channel, listing the known ones.
    """
    if not channels:
        return data
    wanted: dict[str, list[str]] = {}
    for name in channels:
        modality, _, channel = name.partition(".")
        wanted.setdefault(modality, []).append(channel)
    _check(data, channels)
    samples = tuple(_narrowed(sample, wanted) for sample in data.samples)
    # The columns are part of a model's features: otherwise two channels of one width would look the same.
    return replace(data, samples=samples, made_by={**data.made_by, "channels": sorted(channels)})


def _check(data: DataSet, channels: Sequence[str]) -> None:
    there = {
        f"{modality}.{channel}"
        for sample in data.samples
        for modality, part in sample.features.items()
        for channel in part.channels
    }
    for name in channels:
        if name not in there:
            raise ConfigError(
                f"channels: {data.name} has none called {name!r}{did_you_mean(name, there)}; channels are known in "
                "features that `msapipe extract` wrote"
            )


def _narrowed(sample: Sample, wanted: Mapping[str, Sequence[str]]) -> Sample:
    features = {
        modality: _columns(part, wanted[modality]) if modality in wanted else part
        for modality, part in sample.features.items()
    }
    return replace(sample, features=features)


def _columns(part: FeatureSequence, channels: Sequence[str]) -> FeatureSequence:
    columns = [column for name in channels for column in range(*part.channels[name])]
    names = tuple(part.names[column] for column in columns) if part.names else ()
    values = part.values[:, columns]
    # A step may be valid for other columns only; zeros in these are then no measurement.
    valid = part.valid & values.any(axis=1)
    return FeatureSequence(values * valid[:, None], part.times, valid, names, {}, part.notes)
