"""A prediction and its explanation for people, on standard output."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

from rich.console import Console
from rich.padding import Padding
from rich.table import Table

from msapipe.cli import _streams
from msapipe.cli._streams import escape
from msapipe.report.marks import on_one_line

if TYPE_CHECKING:
    from msapipe.pipeline.explain import Explanation, WordEffect
    from msapipe.pipeline.run import Outcome
    from msapipe.types import Prediction

# At most this many windows of a long clip are listed; the line above them shows all.
_MOST_ROWS = 20
_WORDS_SHOWN = 8
_BLOCKS = "▁▂▃▄▅▆▇█"


def show(outcome: Outcome, found: Prediction, timings: bool = False) -> None:
    """Print the score and its parts; ``timings``: a table of them instead of a line."""
    out = _streams.console()
    low, high = found.scale
    out.print(f"[bold]{escape(on_one_line(str(outcome.clip.path)))}[/bold]", soft_wrap=True)
    sure = _bounds(found.interval)
    score = f"[{_colour(found.label)} bold]{found.score:+.2f}{sure}  {escape(found.label)}[/]"
    line_of(out, f"{score}  on [{low:+g}, {high:+g}], model {escape(found.model)}")
    _show_modalities(out, found)
    if found.timeline:
        _show_timeline(out, found)
    words = outcome.values.get("transcript")
    if words is not None and words.words:
        line_of(out, f"transcript ({escape(words.source)}): {escape(words.text)}")
    for note in dict.fromkeys((*outcome.notes, *found.notes)):
        line_of(out, f"note: {escape(note)}")
    if not timings:
        spent = ", ".join(f"{name} {seconds:.2f}" for name, seconds in outcome.timings.items() if seconds >= 0.005)
        line_of(out, f"[dim]time: {outcome.seconds:.2f} s ({spent or 'all from the cache'})[/dim]")
    else:
        _show_timings(out, outcome)


def show_explanation(found: Prediction, why: Explanation) -> None:
    """Each modality's own score, trust and effect, the words that moved the text, gates, and what was missing."""
    out = _streams.console()
    table = _table("why", "alone", "moves the score by", "trust")
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


def line_of(out: Console, text: str) -> None:
    """Print an indented line (markup): on a terminal wrapped between words, elsewhere unwrapped for other programs."""
    if out.is_terminal:
        out.print(Padding(text, (0, 0, 0, 2)))
    else:
        out.print(f"  {text}", soft_wrap=True)


def _show_modalities(out: Console, found: Prediction) -> None:
    table = _table("modality", "alone", "score without it", "coverage")
    for name, part in found.modalities.items():
        if part.missing:
            table.add_row(name, "missing", "", "0%")
        else:
            table.add_row(name, _number(part.score), _number(part.score_without), f"{part.coverage:.0%}")
    out.print(table)


def _show_timeline(out: Console, found: Prediction) -> None:
    """Print all windows as one line of blocks, then the first of them with times and scores."""
    if not out.options.ascii_only:
        first, last = found.timeline[0], found.timeline[-1]
        out.print(f"  {_clock(first.start)} {_line(found)} {_clock(ceil(last.end))}", soft_wrap=True)
    table = _table("from", "to", "score", "", "missing")
    for window in found.timeline[:_MOST_ROWS]:
        score = f"[{_colour(window.label)}]{window.score:+.2f}{_bounds(window.interval)}[/]"
        missing = ", ".join(window.missing)
        table.add_row(_clock(window.start), _clock(ceil(window.end)), score, escape(window.label), missing)
    out.print(table)
    if len(found.timeline) > _MOST_ROWS:
        out.print(f"  ... {len(found.timeline) - _MOST_ROWS} more windows (--json prints all)")


def _line(found: Prediction) -> str:
    """One block per window, higher for a better score, and a dot for a window with nothing to score."""
    low, high = found.scale
    first = found.timeline[0]
    length = first.end - first.start
    blocks = {}
    for window in found.timeline:
        step = int((window.score - low) / (high - low) * len(_BLOCKS))
        blocks[round(window.start / length)] = _BLOCKS[min(step, len(_BLOCKS) - 1)]
    return "".join(blocks.get(number, "·") for number in range(min(blocks), max(blocks) + 1))


def _show_timings(out: Console, outcome: Outcome) -> None:
    """Print the seconds of every computed step, and the steps from the cache."""
    spent = dict(outcome.timings)
    spent["other"] = max(0.0, outcome.seconds - sum(spent.values()))
    table = _table("time", "seconds", "share")
    if "loading" in spent:
        _time_row(table, "loading", spent.pop("loading"), outcome.seconds)
    steps = outcome.plan.steps if outcome.plan is not None else ()
    for name in dict.fromkeys(step.name for step in steps):
        if name in spent:
            _time_row(table, name, spent.pop(name), outcome.seconds)
        else:
            stored = any(step.stored for step in steps if step.name == name)
            table.add_row(name, "cached" if stored else "not needed", "")
    for name, seconds in spent.items():
        _time_row(table, name, seconds, outcome.seconds)
    _time_row(table, "in all", outcome.seconds, outcome.seconds)
    out.print(table)


def _time_row(table: Table, name: str, seconds: float, whole: float) -> None:
    table.add_row(name, f"{seconds:.2f}", f"{seconds / whole:.0%}" if whole > 0 else "")


def _table(*columns: str) -> Table:
    """A table without lines, its first column left-aligned and the others right-aligned."""
    table = Table(box=None, padding=(0, 2), show_edge=False)
    for number, name in enumerate(columns):
        table.add_column(name, justify="right" if number else "left", no_wrap=True)
    return table


def _colour(label: str) -> str:
    return {"negative": "red", "positive": "green"}.get(label, "yellow")


def _bounds(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else f" [{interval[0]:+.1f}, {interval[1]:+.1f}]"


def _number(value: float | None, how: str = "+.2f") -> str:
    return "-" if value is None else format(value, how)


def _clock(seconds: float) -> str:
    """Seconds as 1:30, or 1:02:03 from an hour on."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
