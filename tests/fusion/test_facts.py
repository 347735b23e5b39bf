"""What ``msapipe list fusion`` says of each model is true."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from msapipe.fusion import fusion_models
from msapipe.fusion._base import FusionModel
from msapipe.train.params import assign, of_preset
from tests.fusion._reference_sizes import dims_of
from tests.program import run_program

NAMES = sorted(fusion_models().where())
WANTED = {"inputs", "aligned", "tasks", "parameters"}


@pytest.mark.parametrize("name", NAMES)
def test_facts_are_written_out_and_the_count_is_right(name: str) -> None:
    cls: Any = fusion_models().get(name)
    facts = fusion_models().facts(name, "facts")
    if not cls.__module__.startswith("msapipe."):
        pytest.skip("a plug-in")
    assert set(facts) >= WANTED
    assert facts == dict(cls.facts)
    with torch.device("meta"):
        model: FusionModel = cls(dims_of("MOSI"))
    assert sum(part.numel() for part in model.parameters()) == facts["parameters"]


def test_they_are_listed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    assert run_program("list", "fusion") == 0
    said = capsys.readouterr().out
    row = next(line for line in said.splitlines() if line.startswith("self_mm "))
    for part in ("Yu et al.", "2021", "tokens, audio, vision", "guessed T A V", "159,332"):
        assert part in row
    monkeypatch.setenv("COLUMNS", "80")
    assert run_program("list", "fusion") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert (
        "Yu et al. 2021; inputs tokens, audio, vision; aligned no; tasks M, guessed T A V; 159,332 parameters" in said
    )


PRESETS = [(name, corpus) for name in NAMES for corpus in fusion_models().keys(name, "presets")]


@pytest.mark.parametrize(("name", "corpus"), PRESETS)
def test_a_preset_is_one_that_the_model_takes(name: str, corpus: str) -> None:
    cls: Any = fusion_models().get(name)
    params, _ = assign(cls, of_preset(cls, name, corpus))
    with torch.device("meta"):
        cls(dims_of({"mosi": "MOSI", "mosei": "MOSEI", "sims": "SIMS"}.get(corpus, "SIMS v2")), **params)


@pytest.mark.parametrize(
    ("name", "corpus", "count"),
    [
        ("self_mm", "sims_v2", 382_452),
        ("misa", "sims_v2", 20_804_909),
        ("tetfn", "sims", 1_529_968),
        ("tetfn", "sims_v2", 1_522_352),
        ("tetfn", "mosei", 1_257_360),
        ("mfm", "mosei", 5_996_541),
        ("mfm", "sims", 3_478_888),
    ],
)
def test_a_preset_has_the_size_of_its_source(name: str, corpus: str, count: int) -> None:
    cls: Any = fusion_models().get(name)
    params, _ = assign(cls, of_preset(cls, name, corpus))
    with torch.device("meta"):
        model = cls(dims_of({"mosei": "MOSEI"}.get(corpus, "SIMS")), **params)
    assert sum(part.numel() for part in model.parameters()) == count
