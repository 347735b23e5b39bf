"""Compare models: means and standard deviations over seeds, sizes, times, and significance of differences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from msapipe.errors import ConfigError
from msapipe.train.data import DataSet
from msapipe.train.metrics import Scores, mean_and_deviation, scheme_of, score
from msapipe.train.split import folds
from msapipe.train.study import Study, Trained, constant
from msapipe.types import Sample

FLOOR = "mean of the training split"


@dataclass(frozen=True)
class Row:
    """The results of one model.

    scores: metric to mean and sample standard deviation over seeds, None where undefined.   seconds: per seed.
    difference: its mean absolute error less the first model's; below 0 is better.   p: p-value of the difference, see
    ``clustered_p``; p_holm: corrected for the number of models.
    published: metric to value as printed.
    """

    label: str
    scores: dict[str, tuple[float, float] | None]
    seeds: tuple[int, ...] = ()
    parameters: int | None = None
    seconds: float | None = None
    difference: float | None = None
    p: float | None = None
    p_holm: float | None = None
    published: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Comparison:
    """Rows over the same clips, the baseline first.

    split: the split of the clips.   clips, videos: their numbers.   command: the command that made it.
    """

    rows: tuple[Row, ...]
    data: str
    split: str
    clips: int
    videos: int
    command: str = ""

    @property
    def metrics(self) -> list[str]:
        """Names of all rows' metrics, in order."""
        return list(dict.fromkeys(name for row in self.rows[::-1] for name in row.scores))


def compare_runs(
    data: DataSet,
    runs: Mapping[str, Sequence[Trained]],
    published: Mapping[str, Mapping[str, str]],
    parts: Sequence[DataSet] = (),
    command: str = "",
) -> Comparison:
    """One row per model, after a baseline that always predicts the training split's mean.

    runs: label to the results of each seed.   published: label to printed figures.   parts: the folds of a
    cross-validation, in which every labelled clip is tested once.

    The test is ``clustered_p`` on absolute errors against the first model's, on the same test clips, averaged over
    seeds; with several models p is corrected by Holm's method.
    """
    parts = parts or [data]
    split = "test" if parts[0].split("test") else "valid"
    tested = [[s for s in part.split(split) if "M" in s.labels] for part in parts]
    clips = {s.id: s for of_part in tested for s in of_part}
    floor = _floor(data, parts, tested)
    first: NDArray[np.float64] | None = None
    rows = []
    for label, of_seeds in runs.items():
        errors = _errors(of_seeds, split, clips)
        row = _row(label, of_seeds, split, published.get(label, {}))
        if first is not None:
            apart = errors - first
            p = clustered_p(apart, [sample.video for sample in clips.values()])
            row = replace(row, difference=float(apart.mean()), p=p)
        first = errors if first is None else first
        rows.append(row)
    corrected = holm([row.p for row in rows])
    rows = [replace(row, p_holm=p) for row, p in zip(rows, corrected, strict=True)]
    videos = len({sample.video for sample in clips.values()})
    return Comparison((Row(FLOOR, floor), *rows), data.name, split, len(clips), videos, command)


def _row(label: str, of_seeds: Sequence[Trained], split: str, published: Mapping[str, str]) -> Row:
    return Row(
        label,
        mean_and_deviation([run.scores[split] for run in of_seeds]),
        tuple(run.seed for run in of_seeds),
        of_seeds[0].parameters,
        float(np.mean([run.seconds for run in of_seeds])),
        published=published,
    )


def _errors(of_seeds: Sequence[Trained], split: str, clips: Mapping[str, Sample]) -> NDArray[np.float64]:
    """Absolute error of each clip, averaged over the seeds: (N,)."""
    truth = {clip: sample.labels["M"] for clip, sample in clips.items()}
    each = [[abs(run.predictions[split][clip] - truth[clip]) for clip in truth] for run in of_seeds]
    return np.asarray(np.mean(each, axis=0), np.float64)


def _floor(
    data: DataSet, parts: Sequence[DataSet], tested: Sequence[Sequence[Sample]]
) -> dict[str, tuple[float, float] | None]:
    """Scores of the baseline that always predicts the training split's mean label."""
    truth = [s.labels["M"] for of_part in tested for s in of_part]
    said = [
        value
        for part, of_part in zip(parts, tested, strict=True)
        for value in constant(len(of_part), part.split("train"))
    ]
    return mean_and_deviation([score(truth, said, scheme_of(data.scale))])


def clustered_p(differences: ArrayLike, clusters: Sequence[str]) -> float | None:
    """Two-sided p-value of the mean of paired differences (N,), which may correlate within clusters.

    A t-test whose standard error sums the residuals within each cluster (Liang and Zeger, 1986; with the factor
    G / (G - 1) for G clusters, and G - 1 degrees of freedom). If every clip is its own cluster, it is Student's
    paired test. None for a single cluster; 1 if all differences are 0.
    """
    from scipy.stats import t

    apart = np.asarray(differences, np.float64)
    names, number = np.unique(np.asarray(clusters), return_inverse=True)
    count = len(names)
    if count < 2:
        return None
    if not apart.any():
        return 1.0
    residuals = np.bincount(number, apart - apart.mean(), count)
    error = np.sqrt(count / (count - 1) * (residuals**2).sum()) / len(apart)
    if error == 0:
        return 0.0
    return float(2 * t.sf(abs(apart.mean() / error), count - 1))


def holm(values: Sequence[float | None]) -> list[float | None]:
    """Corrected p-values (Holm, 1979): each times the number of those not smaller, made monotone, at most 1."""
    known = sorted((value, at) for at, value in enumerate(values) if value is not None)
    out: list[float | None] = [None] * len(values)
    highest = 0.0
    for rank, (value, at) in enumerate(known):
        highest = max(highest, min(1.0, value * (len(known) - rank)))
        out[at] = highest
    return out


def cross_validation(data: DataSet, count: int) -> list[DataSet]:
    """The data set once per fold, split by video; every clip is in the test split of exactly one."""
    return [replace(data, samples=tuple(s for side in sides for s in side)) for sides in folds(data.samples, count)]


def joined(data: DataSet, of_folds: Sequence[Trained]) -> Trained:
    """One seed's runs over all folds as a single run: the predictions for all clips, scored together."""
    said = {clip: value for run in of_folds for clip, value in run.predictions["test"].items()}
    truth = {s.id: s.labels["M"] for s in data.samples if "M" in s.labels}
    scores: Scores = score(list(truth.values()), [said[clip] for clip in truth], scheme_of(data.scale))
    return replace(
        of_folds[0],
        scores={"test": scores},
        predictions={"test": said},
        epochs=sum(run.epochs for run in of_folds),
        seconds=sum(run.seconds for run in of_folds),
    )


def drop_models(runs: Sequence[Trained]) -> int:
    """Delete the weights of trained models; scores and predictions stay. Returns the number of bytes freed."""
    freed = 0
    for run in runs:
        if run.weights.is_file():
            freed += run.weights.stat().st_size
            run.weights.unlink()
    return freed


def forget_without_models(study: Study, seeds: Sequence[int]) -> None:
    """Forget seeds whose scores are stored without a model, so that they are trained again."""
    for seed in seeds:
        folder = study.folder / str(seed)
        if not (folder / "model.safetensors").is_file():
            (folder / "result.json").unlink(missing_ok=True)


def distinct(labels: Sequence[str]) -> Iterator[str]:
    """The labels unchanged; raises ConfigError for duplicates."""
    for label in labels:
        if labels.count(label) > 1:
            raise ConfigError(f"--models: {label} is named twice")
        yield label
