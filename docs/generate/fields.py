"""Docstrings as this project writes them, for Markdown: a line "name: what it is" becomes an item of a list."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

_FIELD = re.compile(r"^(?P<names>\w+(?:, \w+)*): (?P<rest>\S.*)$")


class Fields(Extension):
    """Rewrites the docstring of every object before it is drawn."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Called once for each module, class, function and attribute."""
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)


def as_markdown(text: str) -> str:
    """Fields as items, examples as blocks of code; ordinary paragraphs stay what they are."""
    lines: list[str] = []
    in_field = False
    in_code = False
    for number, line in enumerate(text.split("\n")):
        code = line.startswith((">>> ", "... "))
        if code != in_code:
            lines += ["", "```python"] if code else ["```", ""]
            in_code = code
        if code:
            lines.append(line[4:])
            continue
        field = _FIELD.match(line) if number else None
        if field is not None:
            # Several short fields share a line, three spaces apart.
            first, *others = re.split(r" {3}(?=\w+(?:, \w+)*: )", line)
            lines += [*([] if in_field else [""]), *(_item(part) for part in (first, *others))]
            in_field = True
        elif in_field and line.strip():
            lines.append(f"  {line.strip()}")
        else:
            in_field = False
            lines.append(line)
    if in_code:
        lines.append("```")
    return "\n".join(lines)


def _item(part: str) -> str:
    names, _, rest = part.partition(": ")
    return f"- **{names}**: {rest}"
