"""Reject impossible parameters, each with one sentence."""

from __future__ import annotations

from msapipe.errors import ConfigError


def check_sizes(**sizes: int | tuple[int, ...]) -> None:
    """Reject numbers of units, layers or steps below 1."""
    for name, given in sizes.items():
        for size in given if isinstance(given, tuple) else (given,):
            if size < 1:
                raise ConfigError(f"{name}: found {given}, expected 1 or more")


def check_dropouts(**shares: float) -> None:
    """Reject dropout rates outside [0, 1)."""
    for name, share in shares.items():
        if not 0 <= share < 1:
            raise ConfigError(f"{name}: found {share}, expected at least 0 and less than 1")
