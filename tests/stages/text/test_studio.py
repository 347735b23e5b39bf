"""The larger text model: merged maps of low rank, and what it makes of words where its base is at hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from msapipe.errors import WeightsError
from msapipe.stages.text.studio import MPNET, Studio
from msapipe.testing import tiny
from msapipe.types import Transcript, Word


def said(text: str) -> Transcript:
    return Transcript(tuple(Word(word) for word in text.split()), "en")


@pytest.fixture(scope="module")
def params(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return tiny.params("text", "studio", tmp_path_factory.mktemp("tiny"))


def test_maps_are_merged_into_their_layers(params: dict[str, str]) -> None:
    """The scores of the two-branch form: a layer's own product plus up(down(x))."""
    import torch
    from safetensors.torch import load_file
    from transformers import AutoTokenizer, MPNetModel

    stage = Studio(**params)
    stage.load("cpu")
    learned = load_file(params["learned"])
    model = MPNetModel.from_pretrained(params["checkpoint"], dtype=torch.float32, add_pooling_layer=False).eval()
    for name, layer in model.named_modules():
        if isinstance(layer, torch.nn.Linear):
            up, down = learned[f"encoder.{name}.up"], learned[f"encoder.{name}.down"]
            layer.register_forward_hook(lambda _, given, out, up=up, down=down: out + given[0] @ down.T @ up.T)
    pieces = AutoTokenizer.from_pretrained(params["checkpoint"])("a b c", return_tensors="pt")
    with torch.inference_mode():
        states = model(input_ids=pieces["input_ids"]).last_hidden_state[0]
        share = (states @ learned["attention.weight"].T)[:, 0].softmax(0)
        hidden = torch.nn.functional.gelu(torch.cat([share @ states, states.mean(0)]) @ learned["hidden.weight"].T)
        wanted = float((hidden @ learned["score.weight"].T)[0])
    assert stage._reader.score("a b c") == pytest.approx(wanted, rel=1e-4, abs=1e-4)


def test_another_file_is_refused(params: dict[str, str], tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    odd = tmp_path / "odd.safetensors"
    save_file(load_file(params["learned"]) | {"encoder.encoder.layer.9.x.down": torch.zeros(2, 2)}, odd)
    with pytest.raises(WeightsError, match="does not fit"):
        Studio(params["checkpoint"], str(odd)).load("cpu")


@pytest.mark.slow
def test_real_sentences() -> None:
    if not MPNET.here():
        pytest.skip("all-mpnet-base-v2 is not installed; type what msapipe weights list says")
    stage = Studio()
    stage.load("cpu")

    def score(text: str) -> float:
        return float(stage.run(said(text)).values[0, 0])

    assert score("What a wonderful day. I am so happy, and I love this movie.") > 1.5
    assert score("a failure, but like a really ambitious, weird, interesting, idiosyncratic failure") < -0.3
    assert abs(score("the table is in the kitchen")) < 0.6
