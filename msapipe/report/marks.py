"""Text of strangers (file names, subtitles, metadata), made fit to be shown: what cannot be seen becomes a mark."""

from __future__ import annotations


def marked(text: str) -> str:
    r"""The text with control characters, reversals of direction and broken bytes written out; line breaks stay.

    >>> marked("a\x1b[31mb")
    'a\\x1b[31mb'
    """
    return "".join(char if char.isprintable() or char == "\n" else repr(char)[1:-1] for char in text)


def on_one_line(text: str) -> str:
    """The same, with line breaks written out too: for what must stay one row."""
    return marked(text).replace("\n", "\\n")
