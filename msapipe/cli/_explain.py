"""An explanation for people on standard output, and as an object for ``--json``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table

from msapipe.cli._batch import escape
from msapipe.cli._show import line_of, standard_output
from msapipe.report.marks import on_one_line

if TYPE_CHECKING:
    from msapipe.pipeline.explain import Explanation, WordEffect
    from msapipe.types import Prediction

_WORDS_SHOWN = 8


def show_explanation(found: Prediction, why: Explanation) -> None:
    """Each modality's own score, trust and effect, the words that moved the text, gates, and what was missing."""
    out = standard_output()
    table = Table(box=None, padding=(0, 2), show_edge=False)
    for number, name in enumerate(("why", "alone", "moves the score by", "trust")):
        table.add_column(name, justify="right" if number else "left", no_wrap=True)
    for name, part in found.modalities.items():
        if part.missing:
            table.add_row(name, "missing", "", "")
            continue
        moves = None if part.score_without is None else found.score - part.score_without
        table.add_row(name, _number(part.score), _number(moves), _number(why.trust.get(name), ".2f"))
    out.print(table)
    strongest = why.strongest(_WORDS_SHOWN)
    if strongest:
        told = ", ".join(_told(word) for word in strongest)
        line_of(out, f"words that move the text: {escape(told)}")
    if why.method:
        line_of(out, f"[dim]{escape(why.method)}[/dim]")
    for name, value in why.diagnostics.items():
        flat = value.ravel()
        if len(flat) <= 8:
            told = ", ".join(f"{number:.3f}" for number in flat)
        else:
            shape = " x ".join(map(str, value.shape))
            told = f"{shape} numbers, {flat.min():.3g} to {flat.max():.3g} (--html draws them)"
        line_of(out, f"{escape(name)}: {told}")


def _told(word: WordEffect) -> str:
    at = "" if word.start is None else f" at {word.start:.1f} s"
    return f"{on_one_line(word.text)} {word.adds:+.2f}{at}"


def _number(value: float | None, how: str = "+.2f") -> str:
    return "-" if value is None else format(value, how)


def explained(why: Explanation) -> dict[str, Any]:
    """What ``--json --explain`` adds to a clip's object."""
    return {"explanation": why.to_dict()}
