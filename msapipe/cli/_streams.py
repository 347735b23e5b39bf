"""The only way to the terminal: control characters are written out in everything that we or a library print.

Untrusted names, words and errors may hold sequences that move the cursor, set the title or hide text. Colours and
bars come from rich, which adds them after its text is cleaned.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from msapipe.report.marks import marked

if TYPE_CHECKING:
    from rich.console import Console


class Cleaned:
    """A text stream that writes marks for invisible characters; otherwise it behaves like the wrapped stream."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.rich_proxied_file = stream  # rich looks for it, and cleans the text itself: see ``console``

    def write(self, text: str) -> int:
        """Write the text; returns its length."""
        self.stream.write(clean(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write each."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def clean(text: str) -> str:
    """The text with marks for invisible characters; tabs and line breaks stay."""
    if text.isascii() and text.replace("\n", "").replace("\t", "").isprintable():
        return text
    return "\t".join(marked(part) for part in text.split("\t"))


@contextmanager
def cleaned() -> Iterator[None]:
    """Clean standard output and standard error inside the block."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (Cleaned(stream) for stream in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def console(stderr: bool = False, quiet: bool = False) -> Console:
    """A rich console on standard output or error; its colours pass, its text is cleaned."""
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment

    class _Console(Console):
        def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
            for text, style, control in super().render(renderable, options):
                yield Segment(text if control else clean(text), style, control)

    return _Console(stderr=stderr, quiet=quiet, highlight=False)


def tell_errors(errors: Iterable[str], console: Console) -> None:
    """Print one line for each file, clip or address that cannot be used."""
    for error in errors:
        console.print(f"[red]error[/red] {escape(error)}", soft_wrap=True)


def tell_notes(notes: Iterable[str], console: Console) -> None:
    """Print one line per note."""
    for note in notes:
        console.print(f"note: {escape(note)}", soft_wrap=True)


def escape(text: str) -> str:
    """Escape text that may hold square brackets or control characters."""
    from rich.markup import escape as escaped

    return escaped(marked(text))
