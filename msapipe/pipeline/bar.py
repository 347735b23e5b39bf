"""A progress bar for lists of clips, on a terminal and in a notebook."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

T = TypeVar("T")


def with_bar(items: Iterable[T], wanted: bool | None = None, total: int | None = None) -> Iterator[T]:
    """Yield the items, with a progress bar on standard error.

    wanted: None shows the bar when somebody watches: more than one item, and a terminal or a notebook.   total: the
    number of items, where it cannot be taken from ``items``.
    """
    total = len(items) if isinstance(items, Sized) else total
    if wanted is None:
        wanted = total is not None and total > 1 and _watched()
    if not wanted:
        yield from items
        return
    # The plain bar: the widget bar needs another package, and warns without it.
    from tqdm.std import tqdm

    with tqdm(items, total=total, unit="clip", file=sys.stderr, dynamic_ncols=True) as bar:
        yield from bar


def _watched() -> bool:
    """Whether a person reads standard error. A notebook counts, although it is no terminal."""
    return "ipykernel" in sys.modules or sys.stderr.isatty()
