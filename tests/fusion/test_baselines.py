"""What the six baselines share: parameter counts of the reference, subsets of modalities, masks, refusals."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import pytest
import torch

from msapipe.errors import ConfigError
from msapipe.fusion._base import Batch, FusionModel, absolute_error, collate
from msapipe.fusion.ef_lstm import EfLstm
from msapipe.fusion.lf_dnn import LfDnn
from msapipe.fusion.lmf import Lmf
from msapipe.fusion.mfn import Mfn
from msapipe.fusion.sf import Sf
from msapipe.fusion.tfn import Tfn
from msapipe.testing import fakes

WIDTHS = {"MOSI": (768, 5, 20), "MOSEI": (768, 74, 35), "SIMS": (768, 33, 709), "SIMS v2": (768, 33, 709)}

# Model, corpus, what of the reference's configuration changes the count, the count.
COUNTS: list[tuple[type[FusionModel], str, dict[str, Any], int]] = [
    (EfLstm, "MOSI", {}, 885_605),
    (EfLstm, "MOSEI", {"hidden": 256, "layers": 2}, 1_754_725),
    (EfLstm, "SIMS", {"hidden": 32, "layers": 3, "steps": 39}, 215_695),
    (EfLstm, "SIMS v2", {"hidden": 128, "layers": 3, "steps": 39}, 1_120_591),
    (LfDnn, "MOSI", {}, 597_171),
    (LfDnn, "MOSEI", {"hidden": (128, 32, 128), "text_out": 128}, 572_283),
    (LfDnn, "SIMS", {"hidden": (128, 32, 128), "units": 32}, 635_821),
    (LfDnn, "SIMS v2", {"hidden": (64, 32, 64), "units": 32}, 300_973),
    (Tfn, "MOSI", {}, 9_497_043),
    (Tfn, "MOSEI", {"hidden": (128, 16, 128), "text_out": 128, "units": 16}, 5_042_539),
    (Tfn, "SIMS", {"text_out": 256, "units": 32}, 35_632_077),
    (Tfn, "SIMS v2", {"text_out": 128, "units": 32}, 18_178_893),
    (Lmf, "MOSI", {}, 505_071),
    (Lmf, "MOSEI", {"rank": 4}, 508_475),
    (Lmf, "SIMS", {"hidden": (64, 16, 64), "rank": 4}, 272_381),
    (Lmf, "SIMS v2", {"hidden": (64, 32, 64), "rank": 4}, 274_557),
    (Mfn, "MOSI", {}, 2_172_657),
    (
        Mfn,
        "MOSEI",
        {
            "hidden": (128, 32, 128),
            "memory": 128,
            "attention": (128, 0.2),
            "proposal": (128, 0.5),
            "retain": (256, 0.7),
            "update": (256, 0.0),
            "out": (128, 0.5),
        },
        1_276_865,
    ),
    (
        Mfn,
        "SIMS",
        {
            "hidden": (64, 16, 64),
            "memory": 64,
            "attention": (128, 0.2),
            "proposal": (128, 0.0),
            "retain": (64, 0.2),
            "update": (64, 0.7),
            "out": (64, 0.7),
        },
        601_505,
    ),
    (
        Mfn,
        "SIMS v2",
        {
            "hidden": (128, 16, 128),
            "memory": 400,
            "attention": (32, 0.2),
            "proposal": (128, 0.5),
            "retain": (32, 0.5),
            "update": (32, 0.2),
            "out": (64, 0.2),
        },
        1_179_377,
    ),
]


@pytest.mark.parametrize(("cls", "corpus", "params", "count"), COUNTS)
def test_parameter_counts_are_those_of_the_reference(
    cls: type[FusionModel], corpus: str, params: dict[str, Any], count: int
) -> None:
    dims = dict(zip(("text", "audio", "vision"), WIDTHS[corpus], strict=True))
    with torch.device("meta" if cls is Tfn else "cpu"):  # a tensor network's numbers need not be drawn
        model = cls(dims, **params)
    assert sum(part.numel() for part in model.parameters()) == count


DIMS = {"text": 6, "audio": 5, "vision": 4}
SMALL: dict[type[FusionModel], dict[str, Any]] = {
    Sf: {},
    LfDnn: {},
    Tfn: {"hidden": (8, 4, 6), "text_out": 5, "units": 8},
    Lmf: {},
    EfLstm: {"hidden": 8, "layers": 2, "steps": 9},
    Mfn: {"hidden": (6, 4, 5), "memory": 7},
}
MODELS = pytest.mark.parametrize("cls", SMALL)
SUBSETS = [subset for size in (1, 2, 3) for subset in combinations(DIMS, size)]


def build(cls: type[FusionModel], dims: Mapping[str, int] = DIMS) -> FusionModel:
    """A small model whose batch norms have seen something."""
    torch.manual_seed(0)
    model = cls(dims, **SMALL[cls]).train()
    model(batch(dims))
    return model.eval()


def batch(dims: Mapping[str, int] = DIMS, clips: int = 4) -> Batch:
    made = collate([fakes.features(dict(dims), steps=3 + i, seed=i) for i in range(clips)], dims)
    made.labels = {"M": torch.linspace(-2, 2, clips)}
    return made


@MODELS
@pytest.mark.parametrize("names", SUBSETS)
def test_any_modalities_will_do(cls: type[FusionModel], names: tuple[str, ...]) -> None:
    dims = {name: DIMS[name] for name in names}
    model, clips = build(cls, dims).train(), batch(dims)
    out = model(clips)
    assert out.score.shape == (4,)
    assert out.features["fused"].shape[0] == 4
    absolute_error(out.score, clips.labels["M"]).backward()
    for name, part in model.named_parameters():
        assert part.grad is not None, name
        assert part.grad.isfinite().all(), name


@MODELS
def test_what_is_masked_out_is_not_read(cls: type[FusionModel]) -> None:
    model, clips = build(cls), batch()
    for mask in clips.mask.values():
        mask[:, 1] = False
    with torch.inference_mode():
        expected = model(clips).score
        for name, mask in clips.mask.items():
            clips.values[name][~mask] = 1e3
        assert torch.equal(model(clips).score, expected)


@MODELS
@pytest.mark.parametrize("name", DIMS)
def test_more_padding_moves_no_score(cls: type[FusionModel], name: str) -> None:
    model, clips = build(cls), batch()
    with torch.inference_mode():
        expected = model(clips).score
        clips.values[name] = torch.nn.functional.pad(clips.values[name], (0, 0, 0, 7))
        clips.mask[name] = torch.nn.functional.pad(clips.mask[name], (0, 7))
        assert torch.allclose(model(clips).score, expected, atol=1e-6)


@MODELS
@pytest.mark.parametrize("name", DIMS)
def test_a_missing_modality_is_the_same_as_one_switched_off(cls: type[FusionModel], name: str) -> None:
    model = build(cls)
    clips = [fakes.features(DIMS, steps=3 + i, seed=i) for i in range(4)]
    without = [{key: value for key, value in clip.items() if key != name} for clip in clips]
    with torch.inference_mode():
        there, off = model(collate(clips, DIMS)).score, model(collate(clips, DIMS).without(name)).score
        missing = model(collate(without, DIMS)).score
    assert torch.allclose(missing, off, atol=1e-6)
    assert not torch.allclose(there, off, atol=1e-6)


@MODELS
def test_a_lone_clip_can_be_learned_from(cls: type[FusionModel]) -> None:
    model, clip = build(cls).train(), batch(clips=1)
    out = model(clip)
    assert out.score.shape == (1,)
    model.loss(out, clip, "all").backward()
    assert all(part.grad is not None and part.grad.isfinite().all() for part in model.parameters())


@pytest.mark.parametrize(
    ("cls", "params", "sentence"),
    [
        (Sf, {"units": -1}, "units: found -1"),
        (Sf, {"dropout": 1.0}, "dropout: found 1.0"),
        (LfDnn, {"hidden": (8, 0, 8)}, "hidden: found"),
        (LfDnn, {"post_dropout": -0.1}, "post_dropout: found -0.1"),
        (Tfn, {"text_out": 0}, "text_out: found 0"),
        (Tfn, {"output_range": (1.0, -1.0)}, "output_range: found 1.0 to -1.0"),
        (Lmf, {"rank": 0}, "rank: found 0"),
        (Lmf, {"hidden": (1, 8, 8)}, "hidden: found"),
        (Lmf, {"factor_lr": 0.0}, "lr, factor_lr: found"),
        (EfLstm, {"layers": 0}, "layers: found 0"),
        (Mfn, {"memory": 0}, "memory: found 0"),
        (Mfn, {"update": (32, 1.5)}, "update: found 1.5"),
    ],
)
def test_impossible_parameters_are_refused(cls: type[FusionModel], params: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence.replace("(", r"\(")):
        cls(DIMS, **params)
