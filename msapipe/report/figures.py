"""Figures of results, drawn without a screen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from msapipe.errors import MissingLibrary, RecipeError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from msapipe.train.embedding import Embedding

ENDINGS = (".png", ".svg", ".pdf")


def check_figure(path: Path) -> None:
    """Raise, before anything is computed, where a figure cannot be drawn or written."""
    if path.suffix.lower() not in ENDINGS:
        raise RecipeError(f"{path}: found the ending {path.suffix!r}, a figure ends in {', '.join(ENDINGS)}")
    if not path.absolute().parent.is_dir():
        raise RecipeError(f"{path}: there is no folder {path.parent}; make it first")
    _new_figure()


def draw_embedding(embedding: Embedding, title: str) -> Figure:
    """Each clip a point, coloured by its error; rings mark the tenth with the largest errors."""
    figure = _new_figure()
    axes = figure.add_subplot()
    x, y = embedding.places.T
    points = axes.scatter(x, y, c=embedding.errors, cmap="viridis", s=18, linewidths=0)
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
    figure.colorbar(points, label="|label - prediction|")
    axes.set(title=title, xticks=[], yticks=[], xlabel=_measures(embedding))
    axes.set_aspect("equal", adjustable="datalim")
    axes.legend(loc="best", frameon=True)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write a figure in the format that its ending names."""
    try:
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise RecipeError(f"{path} cannot be written: {error.strerror}; name another file") from error


def _measures(found: Embedding) -> str:
    def shown(value: float | None) -> str:
        return "not defined" if value is None else f"{value:.3f}"

    return (
        f"PSC {shown(found.psc)} (p {shown(found.psc_p)}; depends on the map's rotation)\n"
        f"multiple correlation {shown(found.psc_r)} (p {shown(found.psc_r_p)})"
    )


def _new_figure() -> Figure:
    """An empty figure on Agg, which needs no screen."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingLibrary(f'a figure needs matplotlib ({error}); type: uv pip install "msapipe[figures]"') from error
    figure = Figure(figsize=(7.0, 6.0), layout="constrained")
    FigureCanvasAgg(figure)
    return figure
