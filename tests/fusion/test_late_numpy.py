"""Late fusion in numpy against the network that was trained."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file
from safetensors.torch import save_file

from msapipe.fusion._late_numpy import Scorer
from msapipe.fusion.late import Late
from msapipe.pipeline.card import model_folder, read_card
from msapipe.pipeline.network import InTorch, load_network, load_scorer
from msapipe.types import FeatureSequence

DIMS = {"text": 3, "audio": 5, "vision": 4}


def clips(dims: dict[str, int], seed: int) -> list[dict[str, FeatureSequence]]:
    """Clips of several lengths, some steps and modalities missing, one with nothing valid."""
    made: list[dict[str, FeatureSequence]] = []
    draw = np.random.default_rng(seed)
    for there in ((1, 1, 1), (1, 0, 1), (0, 0, 1), (1, 1, 0), (0, 1, 0)):
        clip = {}
        for (name, width), here in zip(dims.items(), there, strict=True):
            steps = int(draw.integers(1, 9))
            times = np.stack([np.arange(steps), np.arange(steps) + 1], 1).astype(np.float64)
            values = draw.normal(0, 2, (steps, width)).astype(np.float32)
            if here or draw.random() < 0.5:
                seen = (draw.random(steps) < 0.7) & bool(here)
                clip[name] = FeatureSequence.masked(values, times, seen, tuple(f"{name}_{i}" for i in range(width)))
        made.append(clip)
    return made


def network(seed: int, calibrated: tuple[str, ...]) -> Late:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = Late(DIMS, limit=3.0, calibrated=calibrated)
        for name, value in made.state_dict().items():
            value.copy_(torch.rand_like(value) + 0.5 if "std" in name or name == "reach" else torch.randn_like(value))
    return made.eval()


@given(seed=st.integers(0, 10_000), calibrated=st.sampled_from([(), ("text",), ("text", "audio")]))
def test_both_say_the_same(tmp_path_factory: pytest.TempPathFactory, seed: int, calibrated: tuple[str, ...]) -> None:
    made = network(seed, calibrated)
    file = tmp_path_factory.mktemp("late") / "model.safetensors"
    save_file(made.state_dict(), file)
    plain, want = Scorer(load_file(file), DIMS, 3.0, calibrated), InTorch(made, DIMS)
    for without in (None, "text", "vision"):
        given_, expected = plain(clips(DIMS, seed), without), want(clips(DIMS, seed), without)
        assert given_.interval is not None
        assert expected.interval is not None
        assert np.abs(given_.score - expected.score).max() < 1e-4
        assert np.abs(given_.interval - expected.interval).max() < 1e-4
        for name in DIMS:
            assert np.abs(given_.unimodal[name] - expected.unimodal[name]).max() < 1e-4


@pytest.mark.parametrize("name", ["pocket", "studio"])
def test_shipped_models_are_scored_by_it(name: str) -> None:
    folder = model_folder(name)
    card = read_card(folder)
    scorer = load_scorer(folder, card, name)
    assert isinstance(scorer, Scorer)
    some = clips(card.dims, 0)
    want = InTorch(load_network(folder, card, name), card.dims)(some)
    assert np.abs(scorer(some).score - want.score).max() < 1e-5


def test_numbers_of_another_model_are_refused() -> None:
    numbers = {name: value.numpy() for name, value in network(0, ()).state_dict().items()}
    for wrong in (
        {**numbers, "more": numbers["mean"]},
        {**numbers, "mean": numbers["mean"][:2]},
        {name: value for name, value in numbers.items() if name != "heads.text.linear.bias"},
    ):
        with pytest.raises(ValueError, match="has the shape"):
            Scorer(wrong, DIMS)
    with pytest.raises(ValueError, match="found limit"):
        Scorer(numbers, DIMS, calibrated=("speech",))


def test_a_clip_is_scored_without_torch(samples: Path, tmp_path: Path) -> None:
    program = (
        "import sys; from msapipe.cli import main\n"
        "sys.argv = ['msapipe', 'predict', sys.argv[1], '--cache', sys.argv[2]]\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print('heavy:', sorted({'torch', 'torchvision', 'transformers', 'librosa', 'numba'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(samples / "positive.mp4"), str(tmp_path / "cache")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "positive  on [-3, +3]" in done.stdout, done.stderr
    assert "heavy: []" in done.stdout
