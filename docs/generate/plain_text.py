"""Docstrings as this project writes them, for Markdown: "name: what it is" becomes an item of a list."""

from __future__ import annotations

import re

_NAMES = r"[a-z]\w*(?:,\s[a-z]\w*)*: "
_FIELD = re.compile(rf"^{_NAMES}\S")
# Short fields share a line, three spaces apart; the names of one may be on two lines.
_BETWEEN = re.compile(rf"(?: {{3}}|(?<!,)\n)(?={_NAMES})")
_CODE = re.compile(r"(``.*?``|`.*?`)", re.DOTALL)


def as_markdown(text: str) -> str:
    """Fields as items, examples as blocks of code; ordinary paragraphs stay what they are."""
    return "\n\n".join(_block(block) for block in text.split("\n\n"))


def literally(text: str) -> str:
    """Plain text with what Markdown would take for its own escaped, outside of code."""
    return "".join(
        part if number % 2 else re.sub(r"([*_])", r"\\\1", part.replace("<", "&lt;"))
        for number, part in enumerate(_CODE.split(text))
    )


def _block(block: str) -> str:
    lines = block.split("\n")
    if lines[0].startswith(">>> "):
        code = "\n".join(line[4:] for line in lines)
        return f"```python\n{code}\n```"
    if "├──" in block:
        return f"```\n{block}\n```"
    first = next((number for number, line in enumerate(lines) if _FIELD.match(line)), None)
    if first is None:
        return literally(block)
    fields = _BETWEEN.split("\n".join(line.strip() for line in lines[first:]))
    items = [_item(" ".join(field.split("\n"))) for field in fields]
    return "\n".join([*map(literally, lines[:first]), "", *items])


def _item(field: str) -> str:
    names, _, rest = field.partition(": ")
    return f"- **{literally(names)}**: {literally(rest)}"
