"""The numbers of every stage of the default recipe, as they were when its version was last raised.

When numbers change on purpose: raise the stage's version, then write the files anew with
``MSAPIPE_WRITE_GOLDEN=1 uv run pytest tests/test_golden.py``.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from msapipe.pipeline.recipe import load_recipe
from msapipe.pipeline.run import Outcome
from msapipe.types import FaceTracks, FeatureSequence, Speaker, Transcript

GOLDEN = Path(__file__).parent / "golden"
WRITE = os.environ.get("MSAPIPE_WRITE_GOLDEN") == "1"
CLIP = "two_faces"
STEPS = [(use.slot, use.name, use.stage.version) for use in load_recipe("pocket").uses()]


def summary(value: Any) -> dict[str, Any]:
    """What a value comes to in a few numbers that any machine agrees on."""
    if isinstance(value, FeatureSequence):
        return {
            "shape": list(value.values.shape),
            "valid": int(value.valid.sum()),
            "mean": value.values.mean(0).round(4).tolist(),
            "spread": value.values.std(0).round(4).tolist(),
        }
    if isinstance(value, FaceTracks):
        return {
            "faces": value.faces_per_frame.tolist(),
            "boxes": value.boxes.mean(0).round(2).tolist(),
            "landmarks": value.landmarks.mean(0).round(2).tolist(),
        }
    if isinstance(value, Speaker):
        return {"track": value.track.tolist(), "score": round(float(value.score.mean()), 4)}
    if isinstance(value, Transcript):
        words = [[w.text, w.start, w.end, w.estimated] for w in value.words]
        return {"source": value.source, "words": words}
    return {"value": str(value)}


def same(a: Any, b: Any, at: str = "") -> None:
    if isinstance(a, dict):
        assert a.keys() == b.keys(), at
        for key in a:
            same(a[key], b[key], f"{at}.{key}")
    elif isinstance(a, list) and a and isinstance(a[0], int | float) and not isinstance(a[0], bool):
        assert len(a) == len(b), at
        assert np.allclose(a, b, rtol=2e-3, atol=2e-3), at
    elif isinstance(a, list):
        assert len(a) == len(b), at
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            same(x, y, f"{at}[{i}]")
    elif isinstance(a, float):
        assert b == pytest.approx(a, rel=2e-3, abs=2e-3), at
    else:
        assert a == b, at


@pytest.mark.parametrize(("slot", "name", "version"), STEPS)
def test_golden(slot: str, name: str, version: int, outcomes: dict[str, Outcome]) -> None:
    path = GOLDEN / f"{slot}_{name}_v{version}.json"
    found = json.loads(json.dumps(summary(of_stage(slot, name, outcomes))))
    if WRITE:
        path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    assert path.is_file(), f"{path.name} is not there: see the top of this file"
    same(json.loads(path.read_text(encoding="utf-8")), found, path.name)


def of_stage(slot: str, name: str, outcomes: dict[str, Outcome]) -> Any:
    """What one stage makes of the sample clip, given what stands before it."""
    outcome = outcomes["subtitled" if name in ("subtitles", "spread") else CLIP]
    if slot not in ("transcript", "words"):
        return outcome.values[slot]
    (use,) = [use for use in load_recipe("pocket").uses() if (use.slot, use.name) == (slot, name)]
    use.stage.load("cpu")
    return use.stage.run(**{need: outcome.values[need] for need in type(use.stage).needs()})


def test_golden_files_belong_to_stages_of_today() -> None:
    known = {f"{slot}_{name}_v{version}.json" for slot, name, version in STEPS}
    assert {path.name for path in GOLDEN.glob("*.json")} == known
