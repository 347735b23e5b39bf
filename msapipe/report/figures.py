"""Figures of results, drawn without a screen."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from msapipe.errors import ConfigError, MissingLibrary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from msapipe.train.embedding import Embedding

Color = Literal["error", "label", "cluster"]
_COLORS: dict[Color, tuple[str, str]] = {
    "error": ("|label - prediction|", "viridis"),
    "label": ("label", "coolwarm"),
    "cluster": ("cluster", "tab10"),
}

ENDINGS = (".png", ".svg", ".pdf")


def check_figure(path: Path) -> None:
    """Raise, before any computation, if a figure cannot be drawn or written."""
    if path.suffix.lower() not in ENDINGS:
        raise ConfigError(f"{path}: found the ending {path.suffix!r}, a figure ends in {', '.join(ENDINGS)}")
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"{path}: there is no folder {path.parent}; make it first")
    _new_figure()


def draw_embeddings(found: Sequence[tuple[str, Embedding]], color: Color = "error") -> Figure:
    """Titled maps side by side, one point per clip; rings mark the tenth with the largest errors.

    color: of the points, by |label - prediction|, by label, or by cluster; one scale for all maps.
    """
    figure = _new_figure(len(found))
    values = [_values(embedding, color) for _, embedding in found]
    low, high = min(part.min() for part in values), max(part.max() for part in values)
    name, map_name = _COLORS[color]
    for number, (title, embedding) in enumerate(found):
        axes = figure.add_subplot(1, len(found), number + 1)
        x, y = embedding.places.T
        points = axes.scatter(x, y, c=values[number], cmap=map_name, vmin=low, vmax=high, s=18, linewidths=0)
        top = embedding.highest
        axes.scatter(
            x[top],
            y[top],
            s=60,
            facecolors="none",
            edgecolors="crimson",
            linewidths=1.2,
            label=f"the {len(top)} largest errors",
        )
        axes.set(title=title, xticks=[], yticks=[], xlabel=_measures(embedding))
        axes.set_aspect("equal", adjustable="datalim")
        axes.legend(loc="best", frameon=True)
    figure.colorbar(points, ax=figure.axes, label=name)
    return figure


def _values(embedding: Embedding, color: Color) -> NDArray[np.float64]:
    chosen = {"error": embedding.errors, "label": embedding.labels, "cluster": embedding.clusters}
    return np.asarray(chosen[color], np.float64)


def draw_diagnostics(record: Mapping[str, Any], words: Sequence[str] = ()) -> Figure:
    """A model's diagnostics for one clip: gates as bars, values per step as lines, attention as maps.

    record: see ``train.per_clip.records``.   words: one per step, if known, shown on the axes.
    """
    said = record["diagnostics"].items()
    drawn = {name: value for name, value in said if isinstance(value, dict | list)}
    if record["unimodal"]:
        drawn = {"score by itself": record["unimodal"], **drawn}
    if not drawn:
        raise ConfigError("the model says nothing of a clip beside its score: it has no gates and no attention")
    figure = _new_figure(min(3, len(drawn)), math.ceil(len(drawn) / 3))
    for number, (name, value) in enumerate(drawn.items(), 1):
        axes = figure.add_subplot(math.ceil(len(drawn) / 3), min(3, len(drawn)), number)
        axes.set_title(name)
        if isinstance(value, dict):
            axes.bar(list(value), list(value.values()))
        elif value and isinstance(value[0], list):
            picture = axes.imshow(np.array(value, np.float64), cmap="viridis")
            figure.colorbar(picture, ax=axes)
            _label(axes, len(value), words, both=True)
        else:
            axes.plot(value, marker=".")
            _label(axes, len(value), words, both=False)
    numbers = "".join(f", {name} {value:.3f}" for name, value in said if isinstance(value, int | float))
    label = record["labels"].get("M")
    score = f"score {record['score']:.2f}" + ("" if label is None else f", label {label:g}")
    figure.suptitle(f"{record['id']}: {score}{numbers}")
    return figure


def _label(axes: Axes, steps: int, words: Sequence[str], both: bool) -> None:
    """Put words on the axes if there is one per step."""
    if len(words) != steps:
        axes.set_xlabel("step")
        return
    axes.set_xticks(range(steps), words, rotation=90)
    if both:
        axes.set_yticks(range(steps), words)


def save(figure: Figure, path: Path) -> None:
    """Write a figure in the format of the file's suffix."""
    try:
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}; name another file") from error


def _measures(found: Embedding) -> str:
    def shown(value: float | None) -> str:
        return "not defined" if value is None else f"{value:.3f}"

    return (
        f"PSC {shown(found.psc)} (p {shown(found.psc_p)}; depends on the map's rotation)\n"
        f"multiple correlation {shown(found.psc_r)} (p {shown(found.psc_r_p)})"
    )


def _new_figure(columns: int = 1, rows: int = 1) -> Figure:
    """An empty figure on Agg, which needs no screen, sized for this many subplots."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingLibrary(f'a figure needs matplotlib ({error}); type: uv pip install "msapipe[figures]"') from error
    figure = Figure(figsize=(7.0 * columns, 6.0 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    return figure
