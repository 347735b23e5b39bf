"""Models side by side: means and deviations over seeds, sizes, times, and whether a difference is one."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from msapipe.errors import RecipeError
from msapipe.train.data import DataSet
from msapipe.train.metrics import mean_and_deviation, scheme_of, score
from msapipe.train.split import folds
from msapipe.train.study import Trained, constant

Row = dict[str, str]


def compare_runs(
    data: DataSet,
    runs: Mapping[str, Sequence[Trained]],
    published: Mapping[str, Mapping[str, str]],
    parts: Sequence[DataSet] = (),
) -> list[Row]:
    """A row a model, after one for always predicting the training split's mean.

    parts: the folds, when it was cross-validated; then every labelled clip was tested once.

    The paired test is Student's on the absolute errors of the same test clips, averaged over seeds, against the
    first model; p is printed.
    """
    parts = parts or [data]
    split = "test" if parts[0].split("test") else "valid"
    tested = [[s for s in part.split(split) if "M" in s.labels] for part in parts]
    truth = {s.id: s.labels["M"] for of_part in tested for s in of_part}
    floor = [
        value
        for part, of_part in zip(parts, tested, strict=True)
        for value in constant(len(of_part), part.split("train"))
    ]
    rows = [_floor(score(list(truth.values()), floor, scheme_of(data.scale)), split)]
    first: np.ndarray | None = None
    for name, of_seeds in runs.items():
        errors = np.mean([[abs(run.predictions[split][clip] - truth[clip]) for clip in truth] for run in of_seeds], 0)
        row: Row = {"model": name, "split": split}
        for metric, value in mean_and_deviation([run.scores[split] for run in of_seeds]).items():
            row[metric] = "-" if value is None else f"{value[0]:.3f} ± {value[1]:.3f}"
        row["parameters"] = f"{of_seeds[0].parameters:,}"
        row["seconds"] = f"{np.mean([run.seconds for run in of_seeds]):.1f}"
        row["p against the first"] = "-" if first is None else f"{_paired(first, errors):.3g}"
        row |= {f"published {metric}": value for metric, value in published.get(name, {}).items()}
        first = errors if first is None else first
        rows.append(row)
    columns = list(dict.fromkeys(name for row in rows[::-1] for name in row))
    return [{name: row.get(name, "") for name in columns} for row in rows]


def cross_validation(data: DataSet, count: int) -> list[DataSet]:
    """The data set once a fold, split by video: every clip is in the test of one of them."""
    return [replace(data, samples=tuple(s for side in sides for s in side)) for sides in folds(data.samples, count)]


def joined(data: DataSet, of_folds: Sequence[Trained]) -> Trained:
    """One seed's runs over all folds as one: predictions for every clip, scored together."""
    said = {clip: value for run in of_folds for clip, value in run.predictions["test"].items()}
    truth = {s.id: s.labels["M"] for s in data.samples if "M" in s.labels}
    scores = score(list(truth.values()), [said[clip] for clip in truth], scheme_of(data.scale))
    return replace(
        of_folds[0],
        scores={"test": scores},
        predictions={"test": said},
        epochs=sum(run.epochs for run in of_folds),
        seconds=sum(run.seconds for run in of_folds),
    )


def _floor(scores: Mapping[str, float | None], split: str) -> Row:
    shown = {name: "-" if value is None else f"{value:.3f}" for name, value in scores.items()}
    return {"model": "mean of the training split", "split": split, **shown}


def _paired(one: np.ndarray, other: np.ndarray) -> float:
    from scipy.stats import ttest_rel

    return float(ttest_rel(one, other).pvalue) if np.any(one != other) else 1.0


def read_published(path: Path) -> dict[str, dict[str, str]]:
    """Published rows by model: metric to value as printed; of several, the first. Names are compared without case."""
    found: dict[str, dict[str, str]] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for entry in csv.DictReader(file):
                name = entry["model"].lower().replace("-", "_").replace(" ", "_")
                found.setdefault(name, {}).setdefault(entry["metric"], entry["value"])
    except (OSError, KeyError, UnicodeDecodeError, csv.Error) as error:
        raise RecipeError(f"--published {path}: expected a CSV with model, metric and value: {error}") from error
    return found


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """The rows as a CSV file."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
