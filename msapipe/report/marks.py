"""Make untrusted text (file names, subtitles, metadata) fit to be shown: invisible characters become marks."""

from __future__ import annotations

import re
import unicodedata

# Controls, formats, surrogates, private and unassigned characters, line separators.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
# Controls that a terminal obeys when a page is shown with `less` or `cat`.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
# Line breaks are layout; joiners are part of emoji, and of Persian and Hindi words.
_NEEDED = frozenset("\n\N{ZERO WIDTH JOINER}\N{ZERO WIDTH NON-JOINER}")


def marked(text: str) -> str:
    r"""The text with control characters, text direction marks and broken bytes written out; line breaks stay.

    >>> marked("a\x1b[31mb")
    'a\\x1b[31mb'
    """
    return "".join(repr(char)[1:-1] if _hidden(char) else char for char in text)


def _hidden(char: str) -> bool:
    return char not in _NEEDED and unicodedata.category(char) in _HIDDEN


def on_one_line(text: str) -> str:
    """As ``marked``, with line breaks written out too, for text that must stay on one row."""
    return marked(text).replace("\n", "\\n")


def without_controls(page: str) -> str:
    """A whole page with control characters written out; tabs and line breaks stay. Its texts are already marked."""
    return _CONTROLS.sub(lambda match: repr(match[0])[1:-1], page)
