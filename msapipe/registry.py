"""Map names to classes. Built-in classes are named after their files, so there is no list to maintain."""

from __future__ import annotations

import ast
import difflib
import importlib
import inspect
import os
import pkgutil
import sys
from collections.abc import Iterable
from functools import cache
from importlib.metadata import EntryPoints, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Generic, TypeVar, cast

from msapipe.errors import ConfigError, UnknownName

T = TypeVar("T")


# Comparing two names costs the product of their lengths.
_LONGEST_NAME = 200


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """End of an error message: the nearest known name, if there is a near one, and a list of all names."""
    known = sorted(set(known))
    near = difflib.get_close_matches(name, known, 1) if len(name) <= _LONGEST_NAME else []
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"{hint} (known: {', '.join(known) or 'none'})"


@cache
def _entry_points(path: tuple[str, ...]) -> EntryPoints:
    """Entry points of the packages on ``path``; cached, since the search takes hundredths of a second."""
    return cast("EntryPoints", entry_points())  # Python 3.11 returns another type with the same interface


class Registry(Generic[T]):
    """Finds the classes of one ``kind``: files below ``package``, and entry points of other packages.

    An entry point is declared in the group ``group`` as ``name = "module:Class"``. ``MSAPIPE_PLUGINS=0`` switches
    entry points off.
    """

    def __init__(self, kind: str, package: str, base: type[T], group: str) -> None:
        self.kind, self.package, self.base, self.group = kind, package, base, group

    def where(self) -> dict[str, str]:
        """Name to "module" or "module:attribute", sorted; imports none of them.

        Raises ConfigError if a plug-in uses a name that is already taken.
        """
        spec = find_spec(self.package)
        folders = list(spec.submodule_search_locations or []) if spec else []
        found = {
            info.name: f"{self.package}.{info.name}"
            for info in pkgutil.iter_modules(folders)
            if not info.name.startswith("_")
        }
        if os.environ.get("MSAPIPE_PLUGINS", "1") != "0":
            for entry in _entry_points(tuple(sys.path)).select(group=self.group):
                if entry.name in found:
                    raise ConfigError(
                        f"two {self.kind}s are called {entry.name!r}: {found[entry.name]} and {entry.value}; "
                        "uninstall the plug-in, or set MSAPIPE_PLUGINS=0"
                    )
                found[entry.name] = entry.value
        return dict(sorted(found.items()))

    def get(self, name: str) -> type[T]:
        """The class called ``name``; raises UnknownName, which suggests the nearest known name."""
        where = self.where()
        if name not in where:
            raise UnknownName(f"no {self.kind} is called {name!r}{did_you_mean(name, where)}")
        path, _, attribute = where[name].partition(":")
        module = importlib.import_module(path)
        if attribute:
            found = getattr(module, attribute)
            if not (inspect.isclass(found) and issubclass(found, self.base)):
                raise ConfigError(f"{where[name]} is not a {self.base.__name__}")
            return found
        own = [
            value
            for value in vars(module).values()
            if inspect.isclass(value)
            and issubclass(value, self.base)
            and value.__module__ == path
            and not inspect.isabstract(value)
        ]
        if len(own) != 1:
            raise ConfigError(f"{path} must define exactly one {self.base.__name__}, found {len(own)}")
        return own[0]

    def about(self, name: str) -> str:
        """First line of a module's docstring, read without importing it; for a plug-in, where it comes from."""
        tree = self._read(name)
        if tree is None:
            return f"plug-in {self.where()[name]}"
        return (ast.get_docstring(tree) or "").partition("\n")[0]

    def keys(self, name: str, attribute: str) -> list[str]:
        """Keys of a dictionary literal in a class of the module, read without importing it; [] if there is none."""
        return [str(key.value) for key, _ in self._written(name, attribute) if isinstance(key, ast.Constant)]

    def facts(self, name: str, attribute: str) -> dict[str, object]:
        """The same dictionary if its values are constants; {} if no class has one."""
        return {
            str(key.value): value.value
            for key, value in self._written(name, attribute)
            if isinstance(key, ast.Constant) and isinstance(value, ast.Constant)
        }

    def _written(self, name: str, attribute: str) -> list[tuple[ast.expr | None, ast.expr]]:
        tree = self._read(name)
        written = [
            line.value
            for part in (tree.body if tree else ())
            if isinstance(part, ast.ClassDef)
            for line in part.body
            if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and line.target.id == attribute
        ]
        return [
            pair
            for value in written
            if isinstance(value, ast.Dict)
            for pair in zip(value.keys, value.values, strict=True)
        ]

    def _read(self, name: str) -> ast.Module | None:
        """Parsed source of a built-in module; None for a plug-in."""
        where = self.where()[name]
        spec = find_spec(where) if ":" not in where and where.startswith("msapipe.") else None
        if spec is None or spec.origin is None:
            return None
        return ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
