"""What the kinds of ``msapipe evaluate`` share: what is asked, the rows of a split, and how figures are shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from msapipe.cli import _training as training

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True)
class Asked:
    """What is asked of data of any kind."""

    data: Path
    model: str
    labels: Path | None
    split: str | None
    limit: int | None
    as_json: bool
    console: Console
    per_clip: Path | None = None
    confusion: bool = False
    without: tuple[str, ...] = ()
    noise: tuple[str, ...] = ()

    @property
    def of_a_model(self) -> list[str]:
        """Options that were given and make sense for a fusion model on features only."""
        given: dict[str, object] = {"--per-clip": self.per_clip, "--confusion": self.confusion}
        given |= {"--without": self.without, "--noise": self.noise}
        return [name for name, value in given.items() if value]


class _Splittable(Protocol):
    @property
    def split(self) -> str | None: ...


_Row = TypeVar("_Row", bound=_Splittable)
_Any = TypeVar("_Any")


def choose(rows: list[_Row], asked: Asked) -> tuple[list[_Row], str]:
    """The rows that are asked for and the name of their split: test, or all when no row is of test."""
    from msapipe.errors import ConfigError

    there = sorted({row.split for row in rows if row.split is not None})
    split = asked.split or ("test" if "test" in there else "all")
    chosen = [row for row in rows if split in ("all", row.split)]
    if not chosen:
        raise ConfigError(f"--split {split}: {asked.data} has no such rows; expected {', '.join([*there, 'all'])}")
    if asked.split is None and split == "all" and "train" in there:
        tell(["no row is of test, all are measured, also those of train; choose others with --split"], asked.console)
    return some(chosen, asked.limit), split


def some(rows: list[_Any], limit: int | None) -> list[_Any]:
    """At most ``limit`` rows, evenly apart: tables are often sorted by what is to be told apart."""
    if limit is None or limit >= len(rows):
        return rows
    return [rows[number * len(rows) // limit] for number in range(limit)]


def tell(notes: Iterable[str], console: Console) -> None:
    """Notes for people, beside the figures."""
    from msapipe.cli._batch import escape

    for note in notes:
        console.print(f"note: {escape(note)}", soft_wrap=True)


def show(values: Mapping[str, Any]) -> None:
    """Figures as a Markdown table."""
    rows = [{"metric": name, "value": shown(value)} for name, value in values.items()]
    print(training.markdown(rows))


def shown(value: Any) -> str:
    """One figure."""
    return training.shown(value) if value is None or isinstance(value, float) else str(value)
