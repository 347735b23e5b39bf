from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from msapipe.errors import ConfigError
from msapipe.report.html import bars, check_page, paragraph, section, table, write_page

EVIL = "<script>alert(1)</script> & \"quoted\" 'too' \udcff"


class Strict(HTMLParser):
    """Every tag that is opened is closed, and what is read is kept."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert not {name for name, _ in attrs} & {"src", "href", "onload"}
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read_page(path: Path) -> Strict:
    page = Strict()
    page.feed(path.read_text(encoding="utf-8"))
    assert not page.open
    return page


def test_every_text_is_escaped_and_nothing_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    parts = [section(EVIL, paragraph(EVIL), table([(EVIL, 3)], (EVIL,)), bars({EVIL: 2}, EVIL))]
    write_page(path, EVIL, parts)
    page = read_page(path)
    assert "script" not in page.tags
    assert page.text.count("<script>alert(1)</script>") == 8
    assert page.text.count("\\udcff") == 8
    assert not re.search(r"https?:|url\(|@import", path.read_text())


def test_bars_are_as_high_as_their_counts() -> None:
    heights = [float(found) for found in re.findall(r'height="([\d.]+)"/>', bars({"a": 1, "b": 4, "c": 0}, "x"))]
    assert heights == [30.0, 120.0, 0.0]
    assert "<rect" not in bars({}, "none")


def test_a_page_that_cannot_be_written_is_said_before(tmp_path: Path) -> None:
    check_page(tmp_path / "x.HTML")
    with pytest.raises(ConfigError, match=r"ends in \.html"):
        check_page(tmp_path / "x.pdf")
    with pytest.raises(ConfigError, match="make it first"):
        check_page(tmp_path / "no" / "x.html")
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(ConfigError, match="cannot be written"):
        write_page(tmp_path / "folder.html", "x", [])
