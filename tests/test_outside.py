"""What was not run for want of real media is said."""

from __future__ import annotations

from typing import cast

import pytest

from tests.outside import OUTSIDE, left_out


class Skipped:
    def __init__(self, nodeid: str, reason: str) -> None:
        self.nodeid, self.longrepr = nodeid, ("a.py", 3, f"Skipped: {reason}")


def test_tests_without_media_are_counted_and_named() -> None:
    skipped = [
        Skipped("tests/a.py::test_one[x]", f"/shared is not there: {OUTSIDE}"),
        Skipped("tests/a.py::test_one[y]", f"/shared is not there: {OUTSIDE}"),
        Skipped("tests/b.py::test_two", f"/shared is not there: {OUTSIDE}"),
        Skipped("tests/b.py::test_three", "needs the extra ray"),
    ]
    assert left_out(cast(list[pytest.TestReport], skipped)) == [
        "3 tests need real media and were not run:",
        "  tests/a.py::test_one (2 cases)",
        "  tests/b.py::test_two",
    ]
    assert left_out(cast(list[pytest.TestReport], skipped[3:])) == []
