"""Tests that need real media, which lie beside the repository and not in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import pytest

OUTSIDE = "real media lie outside the repository"


def left_out(skipped: Iterable[pytest.TestReport]) -> list[str]:
    """How many tests were skipped for want of real media, and which: a function a line."""
    ids = [report.nodeid for report in skipped if OUTSIDE in str(report.longrepr)]
    if not ids:
        return []
    functions = Counter(nodeid.partition("[")[0] for nodeid in ids)
    named = [f"  {name}" + (f" ({count} cases)" if count > 1 else "") for name, count in sorted(functions.items())]
    return [f"{len(ids)} tests need real media and were not run:", *named]
