"""Read untrusted YAML and JSON within bounds on size, depth and repetition, and shorten values for messages."""

from __future__ import annotations

import json
import os
import re
import reprlib
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any

# Characters of a YAML text, and of its content after every alias is expanded.
MOST_YAML, MOST_EXPANDED = 4_000_000, 8_000_000
# Values in a YAML text after aliases are expanded.
MOST_VALUES = 200_000
# Nesting depth of lists and mappings.
MOST_DEPTH = 50
# Characters of a JSON text: the limit of a safetensors header.
MOST_JSON = 100_000_000

_NESTING = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)
_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother, _SHORT.maxlong = 3, 200, 200, 60


def text_of(path: Path, most: int) -> str:
    """The UTF-8 text of a regular file of at most ``most`` bytes; raises OSError, or ValueError for any other file."""
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode):
        raise ValueError("this is no regular file")
    with path.open("rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise ValueError(f"more than {most} bytes; no more are read")
    return data.decode("utf-8-sig")


def read_yaml(text: str) -> Any:
    """Plain values of a YAML text; raises ValueError (a one-line sentence) for invalid YAML or a passed bound."""
    import yaml

    if len(text) > MOST_YAML:
        raise ValueError(f"{len(text)} characters of YAML; at most {MOST_YAML} are read")
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        _check_events(yaml.parse(text, Loader=loader))
        return yaml.load(text, Loader=loader)  # a safe loader
    except (yaml.YAMLError, ValueError, OverflowError, TypeError, AttributeError) as error:
        # The loader raises ValueError for a date such as 2001-99-99 or a number of 5,000 digits.
        raise ValueError(f"not valid YAML: {' '.join(str(error).split())}") from error


def read_json(text: str | bytes) -> Any:
    """Plain values of a JSON text; raises ValueError for invalid JSON or a passed bound."""
    if len(text) > MOST_JSON:
        raise ValueError(f"{len(text)} characters of JSON; at most {MOST_JSON} are read")
    if isinstance(text, bytes):
        text = text.decode("utf-8-sig")
    if text.count("[") + text.count("{") > MOST_DEPTH:
        depth = 0
        for token in _NESTING.finditer(text):
            depth += (token[0] in "[{") - (token[0] in "]}")
            if depth > MOST_DEPTH:
                raise ValueError(f"lists within lists, {depth} deep; at most {MOST_DEPTH} are read")
    return json.loads(text)


def shown(value: object) -> str:
    """A value as shown in messages; long ones are cut."""
    return _SHORT.repr(value)


def _check_events(events: Iterable[Any]) -> None:
    """Raise ValueError if a text nests too deeply or expands to too much; no value is built.

    The size of an anchored node is known when the node ends, so each alias counts with its full expansion.
    """
    import yaml

    named: dict[str, tuple[int, int, int]] = {}  # anchor to values, characters, depth
    open_: list[tuple[str | None, int, int, int]] = [(None, 0, 0, 0)]
    for event in events:
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in named:
                raise ValueError(f"the alias *{event.anchor} names nothing that ends before it")
            _add(open_, *named[event.anchor])
        elif isinstance(event, yaml.ScalarEvent):
            size = (1, len(event.value), 0)
            if event.anchor:
                named[event.anchor] = size
            _add(open_, *size)
        elif isinstance(event, yaml.CollectionStartEvent):
            open_.append((event.anchor, 1, 2, 0))
            _bound("lists within lists", len(open_) - 1, MOST_DEPTH)
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, values, letters, depth = open_.pop()
            if anchor:
                named[anchor] = (values, letters, depth + 1)
            _add(open_, values, letters, depth + 1)


def _add(open_: list[tuple[str | None, int, int, int]], values: int, letters: int, depth: int) -> None:
    """Add to the counts of the innermost open collection."""
    anchor, before, written, deepest = open_[-1]
    open_[-1] = (anchor, before + values, written + letters, max(deepest, depth))
    _bound("values", before + values, MOST_VALUES)
    _bound("characters once aliases are replaced", written + letters, MOST_EXPANDED)
    _bound("lists within lists", len(open_) - 1 + depth, MOST_DEPTH)


def _bound(what: str, found: int, most: int) -> None:
    if found > most:
        raise ValueError(f"{what}: {found}; at most {most} are read")
