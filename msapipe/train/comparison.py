"""Models side by side: means and deviations over seeds, sizes, times, and whether a difference is one."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from msapipe.errors import RecipeError
from msapipe.train.data import DataSet
from msapipe.train.metrics import mean_and_deviation, scheme_of, score
from msapipe.train.study import Trained, constant

Row = dict[str, str]


def compare_runs(
    data: DataSet, runs: Mapping[str, Sequence[Trained]], published: Mapping[str, Mapping[str, str]]
) -> list[Row]:
    """A row a model, after one for always predicting the training split's mean.

    The paired test is Student's on the absolute errors of the same test clips, averaged over seeds, against the
    first model; p is printed.
    """
    split = "test" if data.split("test") else "valid"
    truth = {s.id: s.labels["M"] for s in data.split(split) if "M" in s.labels}
    floor = constant(len(truth), data.split("train"))
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
