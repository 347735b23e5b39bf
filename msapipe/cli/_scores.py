"""The scores of many clips: one table at the end, and files with one row per clip."""

from __future__ import annotations

import csv
import json
import os
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from msapipe.cli._streams import escape
from msapipe.errors import ConfigError, MissingLibrary, MsapipeError
from msapipe.report.marks import on_one_line

if TYPE_CHECKING:
    from rich.console import Console

    from msapipe.pipeline.run import Outcome
    from msapipe.types import Prediction

# Up to this many clips are printed one by one; more become a table.
FEW = 3
_WIDTH = 17  # characters of a bar
# Columns of a scores file; "alone" and "without" follow, one pair per modality.
_COLUMNS = ("clip_id", "file", "status", "score", "low", "high", "polarity", "label", "missing", "model")
_TEXT = ("transcript", "source", "language", "notes", "error", "seconds")
ENDINGS = (".csv", ".jsonl", ".parquet")
_NOTES_SHOWN = 5


def check_output(path: Path | None) -> None:
    """Raise, before any computation, if scores cannot be written."""
    if path is None:
        return
    if path.suffix.lower() not in ENDINGS:
        raise ConfigError(f"--output {path}: found the ending {path.suffix!r}, scores end in {', '.join(ENDINGS)}")
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"--output {path}: there is no folder {path.parent}; make it first")
    if path.suffix.lower() == ".parquet":
        try:
            import pyarrow.parquet  # noqa: F401
        except ImportError as error:
            raise MissingLibrary(f"--output {path}: {error}; type: pip install 'msapipe[parquet]'") from error


def row_of(outcome: Outcome, found: Prediction | None) -> dict[str, Any]:
    """A clip as a flat row; missing numbers are None."""
    words = outcome.values.get("transcript")
    row: dict[str, Any] = dict.fromkeys(_COLUMNS)
    row |= {"clip_id": outcome.clip.id, "file": str(outcome.clip.path), "status": outcome.status, "missing": ""}
    notes = dict.fromkeys(outcome.notes)
    if found is not None:
        notes |= dict.fromkeys(found.notes)
        low, high = found.interval or (None, None)
        row |= {"score": found.score, "low": low, "high": high, "polarity": found.polarity, "label": found.label}
        row |= {"missing": " ".join(found.missing), "model": found.model}
        for name, part in found.modalities.items():
            own = {"alone": part.score, "without": part.score_without, "coverage": part.coverage}
            row |= {f"{name}_{kind}": value for kind, value in own.items()}
    return row | {
        "transcript": words.text if words is not None else "",
        "source": words.source if words is not None else "none",
        "language": words.language if words is not None else None,
        "notes": "; ".join(notes),
        "error": outcome.error,
        "seconds": round(outcome.seconds, 3),
    }


def write_scores(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write rows in the format of the suffix, all or nothing; raises MsapipeError when the file cannot be written."""
    write = {".csv": _csv, ".jsonl": _jsonl, ".parquet": _parquet}[path.suffix.lower()]
    middle = dict.fromkeys(name for row in rows for name in row if name not in (*_COLUMNS, *_TEXT))
    columns = [*_COLUMNS, *middle, *_TEXT]
    try:
        with tempfile.TemporaryDirectory(dir=path.absolute().parent, prefix=".scores-") as folder:
            made = Path(folder) / "scores"
            write(made, columns, [{name: _clean(row.get(name)) for name in columns} for row in rows])
            os.replace(made, path)
    except OSError as error:
        raise MsapipeError(f"--output {path} cannot be written: {error.strerror}; name another file") from error


def _clean(value: Any) -> Any:
    """Escape bytes in names that are not text, which a text file cannot hold."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


def _csv(path: Path, columns: list[str], rows: list[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


def _jsonl(path: Path, columns: list[str], rows: list[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def _parquet(path: Path, columns: list[str], rows: list[dict[str, Any]]) -> None:
    import pyarrow
    import pyarrow.parquet

    text = {"clip_id", "file", "status", "label", "missing", "model", *_TEXT} - {"seconds"}
    kinds = [(name, pyarrow.string() if name in text else pyarrow.float64()) for name in columns]
    schema = pyarrow.schema(kinds)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows, schema=schema), path)


@dataclass
class ScoreTable:
    """Rows for people, drawn when all clips are done."""

    rows: list[tuple[str, str, str, str, str]] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)
    ascii_only: bool = False
    scale: str = ""

    def add(self, outcome: Outcome, found: Prediction | None) -> None:
        """Keep the table's values of a clip."""
        name = on_one_line(outcome.clip.id)
        if found is None:
            reason = (outcome.error or "").removeprefix(f"{outcome.clip.path}: ")
            self.rows.append((name, "", "", "error", on_one_line(reason)))
            return
        low, high = (f"{end:+g}" for end in found.scale)
        self.scale = f"{low}{'to'.center(_WIDTH - len(low + high))}{high}"
        words = outcome.values.get("transcript")
        text = on_one_line(words.text) if words is not None else ""
        self.rows.append((name, f"{found.score:+.2f}", bar(found, self.ascii_only), on_one_line(found.label), text))
        self.notes.update(list(dict.fromkeys((*outcome.notes, *found.notes))))

    def show(self, out: Console) -> None:
        """Draw the table as wide as the screen; longer text is cut, never wrapped."""
        from rich.table import Table
        from rich.text import Text

        from msapipe.cli._show import line_of

        colours = {"negative": "red", "positive": "green", "error": "red bold"}
        names = ("clip", "score", self.scale, "label", "words")
        widths = self._widths(names, out.width)
        table = Table(box=None, padding=(0, 1, 0, 0), show_edge=False)
        for name, width in zip(names, widths, strict=True):
            justify: Literal["left", "right"] = "right" if name == "score" else "left"
            # Without a minimum width, rich makes columns narrower than their numbers in favour of the words.
            table.add_column(Text(name), width=width, min_width=width, no_wrap=True, justify=justify)
        for name, score, drawn, label, text in self.rows:
            style = colours.get(label, "yellow")
            short = _short(name, widths[0])
            table.add_row(Text(short), Text(score, style), Text(drawn, style), Text(label, style), Text(text))
        out.print(table)
        for note, count in self.notes.most_common(_NOTES_SHOWN):
            line_of(out, f"note ({count} {'clip' if count == 1 else 'clips'}): {escape(note)}")
        if len(self.notes) > _NOTES_SHOWN:
            line_of(out, f"and {len(self.notes) - _NOTES_SHOWN} more kinds of notes (--json prints all)")

    def _widths(self, names: tuple[str, ...], width: int) -> list[int]:
        """Width of each column in characters: numbers and labels get what they need, name and words share the rest."""
        from rich.cells import cell_len

        found = [max(cell_len(row[at]) for row in ([*self.rows, names])) for at in range(len(names))]
        found[0] = min(found[0], max(12, width // 4))
        found[3] = min(found[3], 12)
        found[4] = max(10, min(found[4], width - sum(found[:4]) - len(names)))
        return found


def _short(name: str, width: int) -> str:
    """A name cut at the front, since its end tells clips apart."""
    from rich.cells import cell_len

    if cell_len(name) <= width:
        return name
    while name and cell_len(name) > width - 1:
        name = name[1:]
    return f"…{name}"


def bar(found: Prediction, ascii_only: bool = False) -> str:
    """The interval on the scale, with the score in it: "······┊···├──●──┤"."""
    rest, line, dot, middle = (".", "-", "o", "|") if ascii_only else ("·", "─", "●", "┊")
    low, high = found.scale

    def place(value: float) -> int:
        return round((value - low) / (high - low) * (_WIDTH - 1))

    cells = [rest] * _WIDTH
    if low < 0 < high:
        cells[place(0.0)] = middle
    first, last = (place(bound) for bound in found.interval or (found.score, found.score))
    cells[first : last + 1] = line * (last + 1 - first)
    cells[place(found.score)] = dot
    return "".join(cells)
