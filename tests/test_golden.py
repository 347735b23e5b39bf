"""The numbers of every stage of every pipeline, as they were when its version was last raised.

Stages with weights to download run on tiny ones, with fixed random numbers. When numbers change on purpose: raise the
stage's version, then write the files anew with ``MSAPIPE_WRITE_GOLDEN=1 uv run pytest tests/test_golden.py``.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from msapipe.cache import Store
from msapipe.pipeline.plan import plan
from msapipe.pipeline.run import Options, Runner
from msapipe.pipeline.spec import PipelineSpec, load_spec, parse_spec, pipeline_names
from msapipe.testing import tiny
from msapipe.types import Clip, FaceTracks, FeatureSequence, Speaker, Transcript

GOLDEN = Path(__file__).parent / "golden"
WRITE = os.environ.get("MSAPIPE_WRITE_GOLDEN") == "1"
CHAINS = ("transcript", "words")  # sources of words are asked for by themselves
COLUMNS = 96  # of each sequence that are written down

# Slot, name and version of every stage, with the pipeline that is asked for it: pocket if it can be.
STEPS = {
    (use.slot, use.name, use.stage.version): name
    for name in sorted(pipeline_names(), key=lambda name: (name != "pocket", name), reverse=True)
    for use in load_spec(name).uses()
}


def summary(value: Any) -> dict[str, Any]:
    """What a value comes to in a few numbers that any machine agrees on."""
    if isinstance(value, FeatureSequence):
        return {
            "shape": list(value.values.shape),
            "valid": int(value.valid.sum()),
            "mean": value.values[:, :COLUMNS].mean(0).round(4).tolist(),
            "std": value.values[:, :COLUMNS].std(0).round(4).tolist(),
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


@pytest.fixture(scope="module")
def golden_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("golden-cache")


@pytest.mark.parametrize(("slot", "name", "version"), sorted(STEPS))
def test_golden(
    slot: str,
    name: str,
    version: int,
    samples: Path,
    golden_cache: Path,
    tiny_weights: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MSAPIPE_ACCEPT_LICENCES", "opensmile")
    path = GOLDEN / f"{slot}_{name}_v{version}.json"
    clip = samples / ("subtitled.mp4" if name in ("subtitles", "spread") else "two_faces.mp4")
    spec = pipeline_for(slot, name, STEPS[slot, name, version], tiny_weights)
    found = json.loads(json.dumps(summary(of_stage(slot, name, spec, Clip(clip.name, clip), golden_cache))))
    if WRITE:
        path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    assert path.is_file(), f"{path.name} is not there: see the top of this file"
    same(json.loads(path.read_text(encoding="utf-8")), found, path.name)


def pipeline_for(slot: str, name: str, spec: str, tiny_weights: Path) -> PipelineSpec:
    """The pipeline on tiny weights; for a source of words one that asks no other source."""
    if slot not in CHAINS:
        return load_spec(spec if spec == "pocket" else str(tiny.spec(spec, tiny_weights)))
    stages: dict[str, Any] = {slot: {"use": name, **tiny.params(slot, name, tiny_weights)}}
    if slot == "words":
        stages["transcript"] = "subtitles" if name == "spread" else "pocketsphinx"
    text = yaml.safe_dump({"schema": 1, "media": {"fps": 10, "rate": 16000, "peak_db": -3}, "stages": stages})
    return parse_spec(text, f"only {name}")


def of_stage(slot: str, name: str, spec: PipelineSpec, clip: Clip, cache: Path) -> Any:
    """What one stage makes of a sample clip, given what stands before it."""
    store = Store(cache)
    with Runner(spec, store, Options("cpu", offline=True)) as runner:
        outcome = runner.run(clip)
    assert outcome.error is None, outcome.error
    (step,) = (s for s in plan(clip, spec, store).steps if s.use and (s.slot, s.use.name) == (slot, name))
    entry = store.get(slot, step.key)
    assert entry is not None, outcome.notes
    return entry.value


def test_golden_files_belong_to_stages_of_today() -> None:
    known = {f"{slot}_{name}_v{version}.json" for slot, name, version in STEPS}
    assert {path.name for path in GOLDEN.glob("*.json")} == known
