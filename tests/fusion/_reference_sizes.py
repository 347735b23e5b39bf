"""Widths of the reference's features of each corpus."""

from __future__ import annotations

WIDTHS = {"MOSI": (768, 5, 20), "MOSEI": (768, 74, 35), "SIMS": (768, 33, 709), "SIMS v2": (768, 33, 709)}


def dims_of(corpus: str) -> dict[str, int]:
    return dict(zip(("text", "audio", "vision"), WIDTHS[corpus], strict=True))
