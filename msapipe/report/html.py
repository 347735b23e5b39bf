"""A self-contained page of HTML: no script, font or picture from elsewhere, and every text is escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NewType

from msapipe.errors import ConfigError
from msapipe.report.marks import marked
from msapipe.report.template import write_text

Html = NewType("Html", str)
"""Text in which everything is escaped already; made by the functions of this module."""

ENDINGS = (".html", ".htm")
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 64rem; padding: 0 1rem; color: #222; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; } td, th { padding: .15rem 1.2rem .15rem 0; text-align: left; vertical-align: top; }
th { border-bottom: 1px solid #999; } td { overflow-wrap: anywhere; } figure { margin: 1rem 0; }
svg { max-width: 100%; } rect { fill: #4a78b0; } text { font: 11px system-ui, sans-serif; text-anchor: middle; }
@media (prefers-color-scheme: dark) { body { background: #1c1c1c; color: #ddd; } text { fill: #ddd; } }
"""
_BAR, _HEIGHT, _MARGIN = 44, 120, 18


def check_page(path: Path) -> None:
    """Raise ConfigError, before any computation, if a page cannot be written."""
    if path.suffix.lower() not in ENDINGS:
        raise ConfigError(f"{path}: found the ending {path.suffix!r}, a page ends in {' or '.join(ENDINGS)}")
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"{path}: there is no folder {path.parent}; make it first")


def write_page(path: Path, title: str, parts: Iterable[Html]) -> None:
    """Write a page with a title and its parts; raises ConfigError when the file cannot be written."""
    lines = (
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width">',
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
        f"<title>{_text(title)}</title><style>{_STYLE}</style></head>",
        f"<body><h1>{_text(title)}</h1>",
        *parts,
        "</body></html>\n",
    )
    write_text(path, "\n".join(lines))


def section(title: str, *parts: Html) -> Html:
    """A heading and its content."""
    return Html("\n".join((f"<section><h2>{_text(title)}</h2>", *parts, "</section>")))


def paragraph(text: str) -> Html:
    """A paragraph of plain text."""
    return Html(f"<p>{_text(text)}</p>")


def table(rows: Iterable[Sequence[object]], columns: Sequence[str] = ()) -> Html:
    """Rows of text cells, below the column names if there are any."""
    head = [f"<tr>{''.join(f'<th>{_text(name)}</th>' for name in columns)}</tr>"] if columns else []
    body = [f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in row)}</tr>" for row in rows]
    return Html("\n".join(("<table>", *head, *body, "</table>")))


def bars(counts: Mapping[str, int], caption: str) -> Html:
    """One bar per name, with its count as height and both as text."""
    most = max(counts.values(), default=0) or 1
    shapes = []
    for place, (name, count) in enumerate(counts.items()):
        left, high = place * _BAR, _HEIGHT * count / most
        middle, top = left + _BAR / 2, _MARGIN + _HEIGHT - high
        shapes += [
            f'<rect x="{left + 3}" y="{top:.1f}" width="{_BAR - 6}" height="{high:.1f}"/>',
            f'<text x="{middle:g}" y="{top - 4:.1f}">{count}</text>',
            f'<text x="{middle:g}" y="{_HEIGHT + 2 * _MARGIN - 4}">{_text(name)}</text>',
        ]
    width, height = max(1, len(counts)) * _BAR, _HEIGHT + 2 * _MARGIN
    svg = f'<svg role="img" width="{width}" height="{height}" viewBox="0 0 {width} {height}">{"".join(shapes)}</svg>'
    return Html(f"<figure><figcaption>{_text(caption)}</figcaption>{svg}</figure>")


def _text(value: object) -> str:
    return html.escape(marked(str(value)))
