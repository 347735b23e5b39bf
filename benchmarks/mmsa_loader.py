"""Pickles written by ``msapipe.formats`` in MMSA's own data loader: is every array there, and the same?

``--mmsa /path/to/python``: an interpreter that has MMSA (``uv venv there; uv pip install --python there/bin/python
MMSA``). Random clips of CMU-MOSI's and CH-SIMS's sizes are written once aligned and once not, loaded there by
``MMDataLoader`` (every split, with and without ``use_bert``), and each batch is compared with the clips by id.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from msapipe.cli._training import markdown
from msapipe.formats.mmsa import Mmsa
from msapipe.types import FeatureSequence, Sample

MODALITIES = ("text", "audio", "vision")
# Steps and columns of MMSA's files, and which labels they hold.
SETTINGS: dict[str, dict[str, Any]] = {
    "mosi, aligned": {"steps": (50, 50, 50), "columns": (768, 5, 20), "letters": "M"},
    "mosi, unaligned": {"steps": (50, 500, 375), "columns": (768, 5, 20), "letters": "M"},
    "sims, aligned": {"steps": (39, 39, 39), "columns": (768, 33, 709), "letters": "MTAV"},
    "sims, unaligned": {"steps": (39, 400, 55), "columns": (768, 33, 709), "letters": "MTAV"},
}


def clips(setting: dict[str, Any], count: int, aligned: bool) -> list[Sample]:
    """Random clips of unequal lengths, one of them as long as the longest."""
    random = np.random.default_rng(1)
    low = -1.0 if "V" in setting["letters"] else -3.0

    def part(steps: int, width: int) -> FeatureSequence:
        start = np.arange(steps) / 10
        values = random.standard_normal((steps, width), np.float32)
        return FeatureSequence(values, np.stack([start, start + 0.1], axis=1), np.ones(steps, bool))

    def clip(number: int) -> Sample:
        most = setting["steps"]
        share = 1.0 if number == 0 else random.uniform(0.05, 1.0)
        steps = [max(2, round(share * (most[0] if aligned else longest))) for longest in most]
        features = {name: part(steps[i], setting["columns"][i]) for i, name in enumerate(MODALITIES)}
        tokens = np.stack([random.integers(100, 21_000, steps[0]), np.ones(steps[0]), np.zeros(steps[0])])
        labels = {letter: random.uniform(low, -low) for letter in setting["letters"]}
        split = ("train", "valid", "test")[number % 3]
        video, words = f"v{number}", f"words {number}"
        return Sample(f"{video}$_$1", features, labels, split, video, words, tokens.astype(np.int64))

    return [clip(number) for number in range(count)]


def expected(sample: Sample, setting: dict[str, Any], aligned: bool, bert: bool) -> dict[str, np.ndarray]:
    """What the loader should give for a clip."""
    found: dict[str, np.ndarray] = {}
    for steps, name in zip(setting["steps"], MODALITIES, strict=True):
        values = sample.features[name].values
        found[name] = np.pad(values, ((0, steps - len(values)), (0, 0)))
        if name != "text" and not aligned:
            found[f"{name}_lengths"] = np.array(len(values))
    if bert:
        tokens = np.asarray(sample.tokens, np.float32)
        found["text"] = np.pad(tokens, ((0, 0), (0, setting["steps"][0] - tokens.shape[1])))
    found |= {letter: np.array([value], np.float32) for letter, value in sample.labels.items()}
    return found | {"words": np.frombuffer(sample.text.encode(), np.uint8)}


def compare(mmsa: str, name: str, count: int, bert: bool, folder: Path) -> dict[str, object]:
    """A row of the table; stops at the first array that differs."""
    setting, aligned = SETTINGS[name], name.endswith(", aligned")
    samples = clips(setting, count, aligned)
    path = folder / "features.pkl"
    Mmsa().write(path, samples)
    asked = {
        **{"dataset_name": name.partition(",")[0], "train_mode": "regression", "batch_size": 4},
        **{"custom_feature": str(path), "feature_T": "", "feature_A": "", "feature_V": ""},
        **{"need_data_aligned": aligned, "use_bert": bert, "feature_dims": [0, 0, 0], "seq_lens": [0, 0, 0]},
    }
    (folder / "asked.json").write_text(json.dumps(asked))
    done = subprocess.run([mmsa, Path(__file__).with_name("_mmsa_batches.py"), folder], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{name}: MMSA's loader failed:\n{done.stderr}")
    with np.load(folder / "loaded.npz") as file:
        loaded = dict(file)
    sizes = loaded.pop("sizes").tolist()
    wanted = {
        f"{sample.split}/{sample.id}/{key}": values
        for sample in samples
        for key, values in expected(sample, setting, aligned, bert).items()
    }
    if set(wanted) != set(loaded):
        sys.exit(f"{name}: MMSA loads {sorted(set(loaded) ^ set(wanted))[:3]} and others, or does not")
    odd = [key for key, values in wanted.items() if not np.array_equal(loaded[key].reshape(values.shape), values)]
    if odd:
        sys.exit(f"{name}: {len(odd)} of {len(wanted)} arrays differ, {odd[0]} first")
    return {
        "file": name,
        "use_bert": bert,
        "feature_dims": sizes[:3],
        "seq_lens": sizes[3:],
        "clips": count,
        "arrays, all equal": len(wanted),
        "MB": f"{path.stat().st_size / 1e6:.1f}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mmsa", required=True, help="a Python that has MMSA")
    parser.add_argument("--clips", type=int, default=24)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        cases = [(name, bert) for name in SETTINGS for bert in (False, True)]
        rows = [compare(asked.mmsa, name, asked.clips, bert, Path(folder)) for name, bert in cases]
    print(markdown(rows))


if __name__ == "__main__":
    main()
