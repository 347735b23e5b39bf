"""Every example runs on the sample clips, the notebook too."""

from __future__ import annotations

import ast
import json
import runpy
from pathlib import Path
from typing import Any

import pytest

from msapipe.pipeline.run import Outcome
from tests.conftest import ROOT, SAMPLES

EXAMPLES = ROOT / "examples"
NOTEBOOK = EXAMPLES / "first_steps.ipynb"
QUICK = ("features_in_pandas", "own_stage", "score_one_clip")
TRAINING = ("compare_models", "train_on_a_folder")


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch, sample_cache: Path, outcomes: dict[str, Outcome]) -> None:
    """In the checkout, over the cache in which the sample clips lie."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("MSAPIPE_CACHE", str(sample_cache))
    monkeypatch.syspath_prepend(str(EXAMPLES))


def main_of(name: str) -> Any:
    return runpy.run_path(str(EXAMPLES / f"{name}.py"))["main"]


def code_cells() -> list[dict[str, Any]]:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def test_no_example_is_forgotten() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {*QUICK, *TRAINING}
    told = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert [path.name for path in EXAMPLES.iterdir() if path.is_file() and path.name not in told] == ["README.md"]


def test_score_one_clip(capsys: pytest.CaptureFixture[str]) -> None:
    main_of("score_one_clip")(str(SAMPLES / "subtitled.mp4"))
    said = capsys.readouterr().out
    assert said.startswith("Prediction(+")
    assert "text: alone" in said
    assert "words: " in said


def test_own_stage(capsys: pytest.CaptureFixture[str]) -> None:
    main_of("own_stage")(str(SAMPLES / "positive.mp4"))
    assert "'light': (41, 42)" in capsys.readouterr().out


def test_features_in_pandas(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pandas")
    main_of("features_in_pandas")(str(SAMPLES / "positive.mp4"))
    said = capsys.readouterr().out
    assert "expression.valence" in said
    assert "Prediction(-" in said


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAINING)
def test_training(name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    main_of(name)(None, str(tmp_path))
    said = capfd.readouterr().out
    assert "lmf" in said if name == "compare_models" else "model" in said


def test_the_notebook_was_run_and_holds_no_error() -> None:
    cells = code_cells()
    assert [cell["execution_count"] for cell in cells] == [*range(1, len(cells) + 1)]
    kinds = {output["output_type"] for cell in cells for output in cell["outputs"]}
    assert kinds == {"execute_result", "stream"}


def test_the_notebook_runs() -> None:
    """Without a kernel: its cells hold plain Python. The last line of a cell is shown, as a notebook does."""
    names: dict[str, Any] = {}
    for cell in code_cells():
        tree = ast.parse("".join(cell["source"]))
        if isinstance(tree.body[-1], ast.Expr):
            tree.body[-1] = ast.Assign([ast.Name("shown", ast.Store())], tree.body[-1].value)
        exec(compile(ast.fix_missing_locations(tree), str(NOTEBOOK), "exec"), names)
        assert len(repr(names.pop("shown", None))) < 400
