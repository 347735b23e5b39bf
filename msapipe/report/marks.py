"""Text of strangers (file names, subtitles, metadata), made fit to be shown: what cannot be seen becomes a mark."""

from __future__ import annotations

import re
import unicodedata

# Controls, formats, halves of surrogate pairs, private and unassigned characters, separators of lines.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
# What a terminal obeys, in a page that is looked at with `less` or `cat`.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
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


def without_controls(page: str) -> str:
    """A whole page with control characters written out; tabs and line breaks stay. Its texts are marked before."""
    return _CONTROLS.sub(lambda match: repr(match[0])[1:-1], page)
