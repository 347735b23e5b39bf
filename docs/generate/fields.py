"""Docstrings as this project writes them, for Markdown: a line "name: what it is" becomes an item of a list."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

_FIELD = re.compile(r"^(?P<names>[a-z]\w*(?:, [a-z]\w*)*): (?P<rest>\S.*)$")
_SEVERAL = re.compile(r" {3}(?=\w+(?:, \w+)*: )")


class Fields(Extension):
    """Rewrites the docstring of every object before it is drawn."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Called once for each module, class, function and attribute."""
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)


def as_markdown(text: str) -> str:
    """Fields as items, examples as blocks of code; ordinary paragraphs stay what they are."""
    return "\n\n".join(_block(block) for block in text.split("\n\n"))


def _block(block: str) -> str:
    lines = block.split("\n")
    if lines[0].startswith(">>> "):
        code = "\n".join(line[4:] for line in lines)
        return f"```python\n{code}\n```"
    first = next((number for number, line in enumerate(lines) if _FIELD.match(line)), None)
    if first is None:
        return block
    fields: list[str] = []
    for line in lines[first:]:
        if _FIELD.match(line):
            fields.append(line)
        else:
            fields[-1] += f" {line.strip()}"
    # Several short fields share a line, three spaces apart.
    items = [f"- **{part.replace(': ', '**: ', 1)}" for field in fields for part in _SEVERAL.split(field)]
    return "\n".join([*lines[:first], "", *items])
