"""What mkdocstrings calls for every docstring that it reads."""

from __future__ import annotations

from typing import Any

from griffe import Extension, Object
from plain_text import as_markdown


class Fields(Extension):
    """Rewrites the docstring of every object before it is drawn."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Called once for each module, class, function and attribute."""
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)
