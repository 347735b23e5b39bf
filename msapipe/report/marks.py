"""Text of strangers (file names, subtitles, metadata), made fit to be shown: what cannot be seen becomes a mark."""

from __future__ import annotations

import unicodedata

# Controls, formats, halves of surrogate pairs, private and unassigned characters, separators of lines.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
# Line breaks are layout; joiners make emoji of families, and words of Persian and Hindi, what they are.
_NEEDED = frozenset("\n\N{ZERO WIDTH JOINER}\N{ZERO WIDTH NON-JOINER}")


def marked(text: str) -> str:
    r"""The text with control characters, reversals of direction and broken bytes written out; line breaks stay.

    >>> marked("a\x1b[31mb")
    'a\\x1b[31mb'
    """
    return "".join(repr(char)[1:-1] if _hidden(char) else char for char in text)


def _hidden(char: str) -> bool:
    return char not in _NEEDED and unicodedata.category(char) in _HIDDEN


def on_one_line(text: str) -> str:
    """The same, with line breaks written out too: for what must stay one row."""
    return marked(text).replace("\n", "\\n")
