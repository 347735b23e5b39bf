"""Published results to print beside one's own: rows of one table of one paper on one data set."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from msapipe.errors import ConfigError
from msapipe.registry import did_you_mean

# Columns that distinguish several results of one model and metric.
KEYS = ("paper", "table", "dataset", "group")
NEEDED = ("model", "metric", "value")


def read_published(path: Path, names: Mapping[str, str], where: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Label to printed figures by metric.

    path: a CSV with model, metric, value, and any of paper, table, dataset, group.   names: label to the model's name
    in the file, ignoring case, hyphens and spaces.   where: column to the value that rows must have.
    Raises ConfigError for a missing file or column, and if a model has two values of one metric; the message then lists
    the columns to choose by.
    """
    rows = _rows(path)
    columns = list(rows[0]) if rows else []
    for column in where:
        if column not in columns:
            raise ConfigError(f"--published-where {column}: {path}{did_you_mean(column, columns)}")
    chosen = [row for row in rows if all(row[column] == value for column, value in where.items())]
    found = {label: _of_model(path, chosen, name) for label, name in names.items()}
    if not any(found.values()):
        there = sorted({row["model"] for row in chosen})
        raise ConfigError(f"--published {path}: no such row is of {', '.join(names.values())}; of {', '.join(there)}")
    return found


def _of_model(path: Path, rows: list[dict[str, str]], name: str) -> dict[str, str]:
    mine = [row for row in rows if _plain(row["model"]) == _plain(name)]
    found = {row["metric"]: row["value"] for row in mine}
    if len(found) < len(mine):
        apart = {key: sorted({row.get(key, "") for row in mine} - {""}) for key in KEYS}
        choices = "; ".join(f"{key}={' or '.join(values)}" for key, values in apart.items() if len(values) > 1)
        raise ConfigError(f"--published {path}: {name} has several results; choose with --published-where {choices}")
    return found


def _plain(name: str) -> str:
    return name.lower().replace("-", "_").replace(" ", "_")


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"--published {path}: cannot be read: {error}") from error
    if not rows or any(name not in rows[0] for name in NEEDED):
        raise ConfigError(f"--published {path}: expected a CSV with the columns {', '.join(NEEDED)}")
    return rows
