"""The rows of benchmarks/faults.py that a machine without special rights can run, at small strength."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
ROWS = (1, 3, 7, 8, 9, 10, 11, 13, 16, 17, 18, 19)

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and process groups")]


@pytest.mark.parametrize("row", ROWS)
def test_row(row: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from _faults_files import FILE_ROWS  # type: ignore[import-not-found]
    from _faults_runs import RUN_ROWS  # type: ignore[import-not-found]
    from faults import Lab  # type: ignore[import-not-found]

    lab = Lab(tmp_path)
    if row in RUN_ROWS:
        lab.light()
    found = {**RUN_ROWS, **FILE_ROWS}[row](lab)
    if found.met is None:
        pytest.skip(found.figure)
    assert found.met, f"{found.fault}: {found.figure}; promised: {found.promised}"
