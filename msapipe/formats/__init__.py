"""Feature files for other programs. One module per format."""

from pathlib import Path

from msapipe.errors import ConfigError
from msapipe.formats._base import Format
from msapipe.registry import Registry

FORMATS: Registry[Format] = Registry(
    "file format",
    __name__,
    Format,  # type: ignore[type-abstract]  # the registry hands out classes, it makes none
    "msapipe.formats",
)


def format_of(path: Path, to_write: bool = False) -> Format:
    """The format of a name's suffix, or, for a folder to read, of its content.

    Raises ConfigError naming the known suffixes.
    """
    every = (FORMATS.get(name) for name in FORMATS.where())
    classes = [cls for cls in every if cls.writes or not to_write]
    for cls in classes:
        if path.suffix in cls.suffixes:
            return cls()
    if path.is_dir() and not to_write:
        for cls in classes:
            if cls.recognises(path):
                return cls()
    known = ", ".join(suffix for cls in classes for suffix in cls.suffixes)
    raise ConfigError(f"{path}: no format is called {path.suffix!r} (known endings: {known})")


def is_known(path: Path) -> bool:
    """Whether a path holds features, by its name or, for a folder, by its content."""
    try:
        format_of(path)
    except ConfigError:
        return False
    return True


__all__ = ["FORMATS", "Format", "format_of", "is_known"]
