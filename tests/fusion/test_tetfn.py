from __future__ import annotations

from typing import Any

import pytest
import torch

from msapipe.errors import ConfigError
from msapipe.fusion.tetfn import Tetfn
from tests.fusion._clips import BERT, DIMS, TOKEN_DIMS, labelled, learns
from tests.fusion._reference_sizes import dims_of

SMALL: dict[str, Any] = {"d": 8, "heads": 2, "layers": 1, "hidden": (6, 6)}


@pytest.mark.parametrize(
    ("corpus", "params", "count"),
    [
        ("MOSI", {}, 1_254_224),
        ("MOSEI", {"hidden": (32, 32), "units": (64, 32, 16)}, 1_257_360),
        # The reference gives vision the kernel of audio.
        ("SIMS", {"kernels": (3, 5, 5), "units": (64, 16, 32)}, 1_529_968),
    ],
)
def test_parameters_are_those_of_the_reference(corpus: str, params: dict[str, Any], count: int) -> None:
    with torch.device("meta"):
        model = Tetfn(dims_of(corpus), **params)
    assert sum(part.numel() for part in model.parameters()) == count


def test_audio_and_vision_meet_through_the_text() -> None:
    """With all other ways shut, a change of the text still reaches what audio sees of vision."""
    torch.manual_seed(0)
    model = Tetfn(DIMS, **SMALL).eval()
    batch = labelled()
    steps = {"text": model.local(batch.values["text"], batch.mask["text"])}
    steps |= {name: net(batch.values[name], batch.mask[name]) for name, net in model.nets.items()}
    enhanced = model.cross["audio_vision"]
    with torch.inference_mode():
        before = enhanced(steps["audio"], steps["vision"], steps["text"])
        told = enhanced.lower(*steps["vision"], *steps["text"])
        assert torch.equal(before, enhanced.upper(*steps["audio"], told, steps["vision"][1]))
        after = enhanced(steps["audio"], steps["vision"], (steps["text"][0].flip(1), steps["text"][1]))
    assert not torch.allclose(before, after, atol=1e-5)
    assert set(model.cross) == {f"{a}_{b}" for a in DIMS for b in DIMS if a != b}


def test_modalities_are_scored_by_their_largest_valid_step() -> None:
    model, batch = Tetfn(DIMS, **SMALL).eval(), labelled(count=2)
    with torch.inference_mode():
        steps, mask = model.local(batch.values["text"], batch.mask["text"])
        largest = torch.stack([row[there].amax(dim=0) for row, there in zip(steps, mask, strict=True)])
        assert torch.allclose(model.heads["text"](largest).score, model(batch).unimodal["text"], atol=1e-6)


def test_it_needs_text_and_learns_with_a_language_model() -> None:
    with pytest.raises(ConfigError, match="through the text"):
        Tetfn({"audio": 5, "vision": 4})
    grads = learns(Tetfn(TOKEN_DIMS, **SMALL, language_config=BERT), labelled(TOKEN_DIMS))
    assert max(size for name, size in grads.items() if name.startswith("text.")) > 0
