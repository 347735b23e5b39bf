"""What `msapipe serve` and `msapipe demo` refuse before they listen."""

from __future__ import annotations

from pathlib import Path

import pytest

from msapipe.cli.serve import address_of, need
from msapipe.errors import MissingLibrary
from msapipe.serve.intake import shown_name
from tests.program import run_program


def test_a_missing_extra_says_what_to_install() -> None:
    with pytest.raises(MissingLibrary, match=r"needs no_such_library; type: pip install 'msapipe\[serve\]'"):
        need("serve", "json", "no_such_library")


def test_a_root_that_everybody_could_read_needs_a_token(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_program("serve", "--host", "0.0.0.0", "--root", tmp_path) == 2
    assert "needs a token" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "says"),
    [(("--root", "/no/such/folder"), "expected a folder"), (("--model", "no-such-model"), "no model is called")],
)
def test_what_cannot_be_served_is_said(options: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_program("serve", *options) == 2
    assert says in capsys.readouterr().err


def test_where_a_browser_finds_it() -> None:
    assert address_of("0.0.0.0", 80) == "http://127.0.0.1:80"
    assert address_of("::1", 80) == "http://[::1]:80"


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("a/b\\c.mp4", "c.mp4"),
        ("../..", ".."),
        ("", "clip"),
        (None, "clip"),
        ("a\x00\x1b[1m\n.mp4", "a\\x00\\x1b[1m\\n.mp4"),
        ("x" * 5000, "x" * 120),
    ],
)
def test_a_name_is_shown_and_nothing_else(sent: str | None, shown: str) -> None:
    assert shown_name(sent) == shown
