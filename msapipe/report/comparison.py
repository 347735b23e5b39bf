"""A comparison as a table: Markdown, LaTeX, CSV with one number per cell, and cells for a terminal."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable

from msapipe.train.comparison import Comparison, Row

# Metrics that are better when smaller; all others are better when larger.
LESS = ("mae",)
# Columns that do not measure the model.
COUNTS = ("n_weak",)

_ESCAPES = {mark: f"\\{mark}" for mark in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "→": r"$\rightarrow$",
    "±": r"$\pm$",
}


def cells(found: Comparison) -> list[dict[str, str]]:
    """Cells for people: one row per model, "mean ± deviation"."""
    published = list(dict.fromkeys(name for row in found.rows for name in row.published))
    return [
        {
            "model": row.label,
            **{name: _shown(row, name) for name in found.metrics},
            "parameters": "" if row.parameters is None else f"{row.parameters:,}",
            "seconds": "" if row.seconds is None else f"{row.seconds:.1f}",
            "difference": "" if row.difference is None else f"{row.difference:+.3f}",
            "p": _probability(row.p),
            "p (Holm)": _probability(row.p_holm),
            **{f"published {name}": row.published.get(name, "") for name in published},
        }
        for row in found.rows
    ]


def about(found: Comparison) -> list[str]:
    """Notes that readers need beside the numbers."""
    seeds = next((row.seeds for row in found.rows if row.seeds), ())
    printed = any(row.published for row in found.rows)
    return [
        f"{found.data}, {found.split}: {found.clips} clips of {found.videos} videos; mean ± sample deviation over "
        f"{len(seeds)} seed{'s' * (len(seeds) != 1)} ({', '.join(map(str, seeds))}).",
        "difference: of the mean absolute error from that of the first model. p: t-test of the paired errors, clustered"
        " by video, against the first model; corrected for the number of models by Holm's method.",
        *["published: as printed there, of the paper's own features and split, which are others than here."] * printed,
        f"Command: {found.command}",
    ]


def markdown(found: Comparison) -> str:
    """A Markdown table with its notes."""
    rows = cells(found)
    columns = list(rows[0])
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" + "---:|" * (len(columns) - 1)]
    lines += ["| " + " | ".join(row[name].replace("|", "\\|") for name in columns) + " |" for row in rows]
    return "\n".join([*lines, "", *(f"{line}\n" for line in about(found))])


def latex(found: Comparison) -> str:
    """A table for LaTeX with booktabs; the best mean of each metric is bold."""
    metrics = [name for name in found.metrics if not name.startswith(COUNTS)]
    published = list(dict.fromkeys(name for row in found.rows for name in row.published))
    heads = ["Model", *map(_tex, metrics), r"$p$ (Holm)", *(f"{_tex(name)} (published)" for name in published)]
    best = {name: _best(found, name) for name in metrics}
    body = []
    for row in found.rows:
        line = [_tex(row.label)]
        line += [_tex_score(row, name, best[name]) for name in metrics]
        line += [_tex(_probability(row.p_holm)), *(_tex(row.published.get(name, "")) for name in published)]
        body.append("    " + " & ".join(line) + r" \\")
    notes = [f"% {line}" for line in about(found)]
    opening = [r"\begin{tabular}{l" + "r" * (len(heads) - 1) + "}", r"  \toprule"]
    head = ["    " + " & ".join(heads) + r" \\", r"  \midrule"]
    lines = [*notes, *opening, *head, *body, r"  \bottomrule", r"\end{tabular}"]
    return "\n".join(lines) + "\n"


def csv_text(found: Comparison) -> str:
    """One number per cell: ``<metric>_mean``, ``<metric>_deviation`` ...; every row repeats the command and counts."""
    published = list(dict.fromkeys(name for row in found.rows for name in row.published))
    out = io.StringIO()
    lines = [_numbers(found, row, published) for row in found.rows]
    writer = csv.DictWriter(out, list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return out.getvalue()


WRITERS: dict[str, Callable[[Comparison], str]] = {".md": markdown, ".tex": latex, ".csv": csv_text}


def _numbers(found: Comparison, row: Row, published: list[str]) -> dict[str, object]:
    line: dict[str, object] = {"model": row.label, "data": found.data, "split": found.split}
    line |= {"clips": found.clips, "videos": found.videos, "seeds": " ".join(map(str, row.seeds))}
    for name in found.metrics:
        mean, deviation = row.scores.get(name) or (None, None)
        line |= {f"{name}_mean": mean, f"{name}_deviation": deviation if row.seeds else None}
    line |= {"parameters": row.parameters, "seconds": row.seconds, "difference": row.difference}
    line |= {"p": row.p, "p_holm": row.p_holm}
    line |= {f"published {name}": row.published.get(name) for name in published}
    return {**line, "command": found.command}


def _shown(row: Row, metric: str) -> str:
    value = row.scores.get(metric)
    if value is None:
        return "-"
    if metric.startswith(COUNTS):
        return f"{value[0]:.0f}"
    return f"{value[0]:.3f} ± {value[1]:.3f}" if len(row.seeds) > 1 else f"{value[0]:.3f}"


def _probability(value: float | None) -> str:
    if value is None:
        return ""
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def _best(found: Comparison, metric: str) -> float | None:
    values = [value[0] for row in found.rows if (value := row.scores.get(metric)) is not None]
    if not values:
        return None
    return min(values) if metric.startswith(LESS) else max(values)


def _tex_score(row: Row, metric: str, best: float | None) -> str:
    value = row.scores.get(metric)
    if value is None:
        return "--"
    mean = f"{value[0]:.3f}"
    mean = rf"\textbf{{{mean}}}" if best is not None and mean == f"{best:.3f}" else mean
    return rf"{mean} $\pm$ {value[1]:.3f}" if len(row.seeds) > 1 else mean


def _tex(text: str) -> str:
    return "".join(_ESCAPES.get(letter, letter) for letter in text)
