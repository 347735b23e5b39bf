"""Web addresses among a command's paths: fetched before any computation."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from msapipe.cli._streams import escape

if TYPE_CHECKING:
    from rich.console import Console

    from msapipe.cli._batch import Tally

_SAY_EVERY_SECONDS = 10.0


def from_web(paths: list[str], cache: str, offline: bool, tally: Tally, console: Console) -> list[str]:
    """The same paths, with files for addresses; an address without a clip is counted and left out.

    Raises MissingLibrary, with what to install, if clips cannot be fetched at all.
    """
    from msapipe.errors import MissingLibrary, MsapipeError
    from msapipe.pipeline.web import fetch_clip, is_address

    here = []
    for path in paths:
        if not is_address(path):
            here.append(path)
            continue
        try:
            found = fetch_clip(path, cache, offline=offline, report=_telling(path, console))
        except MissingLibrary:
            raise
        except MsapipeError as error:
            tally.refuse_address(path, str(error))
        else:
            here.append(str(found))
            console.print(f"{escape(path)} is {escape(str(found))}", soft_wrap=True)
    return here


def _telling(address: str, console: Console) -> Callable[[int, int | None], None]:
    """A callback that prints the progress of a download now and then."""
    said = time.perf_counter()

    def tell(done: int, total: int | None) -> None:
        nonlocal said
        if time.perf_counter() - said > _SAY_EVERY_SECONDS:
            said = time.perf_counter()
            of = f" of {total / 1e6:.0f}" if total else ""
            console.print(f"{escape(address)}: {done / 1e6:.0f}{of} MB", soft_wrap=True)

    return tell
