"""A bar while a list of clips is worked on, on a terminal and in a notebook."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

T = TypeVar("T")


def with_bar(items: Iterable[T], wanted: bool | None = None, total: int | None = None) -> Iterator[T]:
    """The items, and on standard error how many are done.

    wanted: None for a bar where somebody looks: more than one item, and a terminal or a notebook.   total: how many
    items there are, where they do not tell it themselves.
    """
    total = len(items) if isinstance(items, Sized) else total
    if wanted is None:
        wanted = total is not None and total > 1 and _watched()
    if not wanted:
        yield from items
        return
    # The plain bar: the one of widgets needs a package, and warns where it is not there.
    from tqdm.std import tqdm

    with tqdm(items, total=total, unit="clip", file=sys.stderr, dynamic_ncols=True) as bar:
        yield from bar


def _watched() -> bool:
    """Whether standard error is read by a person; a notebook's is no terminal."""
    return "ipykernel" in sys.modules or sys.stderr.isatty()
