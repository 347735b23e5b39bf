"""Forward passes of MMSA's own models against ours with the same weights: the largest difference of each output.

``--mmsa /path/to/python``: an interpreter that has MMSA (``uv venv there; uv pip install --python there/bin/python
MMSA "transformers<5"``). ``_mmsa_models.py`` runs there. Inputs are random clips of full length, of MMSA's sizes for
MOSI, the language model is a BERT of two layers, and models are in eval mode; losses that both have are compared too.
MCTN's parts are put together along time: MMSA's own pass runs along the batch. MMSA's release 2.2.1 has no TETFN: it is
compared where the file ``models/multiTask/TETFN.py`` of MMSA's repository lies beside the release's others.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from msapipe.cli._training import markdown
from msapipe.fusion import fusion_models
from msapipe.fusion._base import Batch, FusionModel, Output

LEAST = 1e-5
Names = Mapping[str, str]
LETTERS = {"text": ("t", "l", "text"), "audio": ("a", "a", "audio"), "vision": ("v", "v", "video")}


def heads() -> dict[str, str]:
    """Those of Self-MM."""
    found = {}
    for number, layer in enumerate(("first", "second", "score"), 1):
        found[f"fusion.{layer}"] = f"post_fusion_layer_{number}"
        for name, (_, _, word) in LETTERS.items():
            found[f"heads.{name}.{layer}"] = f"post_{word}_layer_{number}"
    return found


def self_mm() -> Names:
    nets = {
        f"nets.{name}.{ours}": f"{LETTERS[name][2]}_model.{theirs}"
        for name in ("audio", "vision")
        for ours, theirs in (("lstm", "rnn"), ("layers.1", "linear_1"))
    }
    return {"text.model.net": "text_model.model", **heads(), **nets}


def misa() -> Names:
    found = {
        "text.model.net": "bertmodel.model",
        "shared.0": "shared.shared_1",
        "discriminator": "sp_discriminator.sp_discriminator_layer_1",
        "attend.attend.attention.in_proj.weight": "transformer_encoder.layers.0.self_attn.in_proj_weight",
        "attend.attend.attention.in_proj.bias": "transformer_encoder.layers.0.self_attn.in_proj_bias",
        "attend.attend.attention.out_proj": "transformer_encoder.layers.0.self_attn.out_proj",
        "attend.attend.norm": "transformer_encoder.layers.0.norm1",
        "attend.feed.norm": "transformer_encoder.layers.0.norm2",
        "attend.feed.layers.0": "transformer_encoder.layers.0.linear1",
        "attend.feed.layers.3": "transformer_encoder.layers.0.linear2",
        "fusion.0": "fusion.fusion_layer_1",
        "fusion.3": "fusion.fusion_layer_3",
        "text_norm": "tlayer_norm",
    }
    for name, (letter, _, _) in LETTERS.items():
        found[f"project.{name}.0"] = f"project_{letter}.project_{letter}"
        found[f"project.{name}.2"] = f"project_{letter}.project_{letter}_layer_norm"
        found[f"private.{name}.0"] = f"private_{letter}.private_{letter}_{3 if letter == 'a' else 1}"
        found[f"rebuild.{name}"] = f"recon_{letter}.recon_{letter}_1"
        found[f"nets.{name}.first"] = f"{letter}rnn1"
        found[f"nets.{name}.second"] = f"{letter}rnn2"
        found[f"nets.{name}.norm"] = f"{letter}layer_norm"
    return found


def mag_bert() -> Names:
    return {
        "text.net.embeddings": "model.bert.embeddings",
        "text.net.encoder": "model.bert.encoder",
        "pooler": "model.bert.pooler.dense",
        "gate.gates.audio": "model.bert.MAG.W_ha",
        "gate.gates.vision": "model.bert.MAG.W_hv",
        "gate.values.audio": "model.bert.MAG.W_a",
        "gate.values.vision": "model.bert.MAG.W_v",
        "gate.finish.0": "model.bert.MAG.LayerNorm",
        "score": "model.classifier",
    }


def mfn(ours: str = "", theirs: str = "") -> Names:
    found = {f"{ours}cells.{name}": f"{theirs}lstm_{letter}" for name, (_, letter, _) in LETTERS.items()}
    parts = {"attention": "att1", "proposal": "att2", "retain": "gamma1", "update": "gamma2", "out": "out"}
    for mine, other in parts.items():
        found |= {f"{ours}{mine}.{at}": f"{theirs}{other}_fc{number}" for at, number in ((0, 1), (3, 2))}
    return found


def mfm() -> Names:
    found = {**mfn("memory.", "mfn_encoder."), "to_z": "last_to_zy_fc1"}
    for at, number in ((0, 1), (3, 2)):
        found[f"to_f.layers.{at}"] = f"zy_to_fy_fc{number}"
        found[f"score.{at}"] = f"fy_to_y_fc{number}"
        for name, (_, letter, _) in LETTERS.items():
            found[f"factors.{name}.layers.{at}"] = f"z{letter}_to_f{letter}_fc{number}"
    for name, (_, letter, _) in LETTERS.items():
        found[f"encoders.{name}.lstm"] = f"encoder_{letter}.lstm"
        found[f"encoders.{name}.layers.1"] = f"encoder_{letter}.fc1"
        found[f"decoders.{name}.cell"] = f"decoder_{letter}.lstm"
        found[f"decoders.{name}.out"] = f"decoder_{letter}.fc1"
    return found


def mctn() -> Names:
    found = {"read": "regression.rnn", "weigh": "regression.linear", "score": "regression.linear2"}
    for number, name in enumerate(("first", "second"), 1):
        found[f"{name}.encoder"] = f"encoder{number}.rnn"
        found[f"{name}.begin"] = f"encoder{number}.fc"
        found[f"{name}.likeness.0"] = f"attn{number}.attn"
        found[f"{name}.likeness.2"] = f"attn{number}.v"
        found[f"{name}.decoder"] = f"decoder{number}.rnn"
        found[f"{name}.outs.any"] = f"decoder{number}.fc_out"
    return found


def subnets() -> Names:
    """Of TFN and LF-DNN."""
    found = {"subnets.nets.text.lstm": "text_subnet.rnn", "subnets.nets.text.layers.1": "text_subnet.linear_1"}
    for name in ("audio", "vision"):
        theirs = f"{LETTERS[name][2]}_subnet"
        found[f"subnets.nets.{name}.norm"] = f"{theirs}.norm"
        found |= {f"subnets.nets.{name}.layers.{at}": f"{theirs}.linear_{n}" for at, n in ((1, 1), (3, 2), (5, 3))}
    layers = {"layers.0": 1, "layers.2": 2, "score": 3}
    return found | {f"decision.{ours}": f"post_fusion_layer_{number}" for ours, number in layers.items()}


def lmf() -> Names:
    factors = {f"factors.{name}": f"{word}_factor" for name, (_, _, word) in LETTERS.items()}
    return {**subnets(), **factors, "fusion_weights": "fusion_weights", "fusion_bias": "fusion_bias"}


def ef_lstm() -> Names:
    return {"norm": "norm", "lstm": "lstm", "hidden.1": "linear", "score.1": "out"}


def encoder(ours: str, theirs: str, depth: int) -> dict[str, str]:
    """A transformer encoder's parts."""
    found = {f"{ours}.norm": f"{theirs}.layer_norm"}
    for number in range(depth):
        mine, other = f"{ours}.layers.{number}", f"{theirs}.layers.{number}"
        found |= {f"{mine}.attend.norm": f"{other}.layer_norms.0", f"{mine}.feed.norm": f"{other}.layer_norms.1"}
        found |= {f"{mine}.feed.layers.0": f"{other}.fc1", f"{mine}.feed.layers.3": f"{other}.fc2"}
        found[f"{mine}.attend.attention.out_proj"] = f"{other}.self_attn.out_proj"
        for part in ("weight", "bias"):
            found[f"{mine}.attend.attention.in_proj.{part}"] = f"{other}.self_attn.in_proj_{part}"
    return found


def crossing(prefix: str, depth: int) -> dict[str, str]:
    """The transformers of MulT, and of TETFN where they are plain."""
    letters = {name: letter for name, (_, letter, _) in LETTERS.items()} | {"text": "l"}
    found = {}
    for own, letter in letters.items():
        found |= encoder(f"{prefix}memory.{own}", f"trans_{letter}_mem", depth)
        for other in letters.keys() - {own}:
            found |= encoder(f"{prefix}cross.{own}_{other}", f"trans_{letter}_with_{letters[other]}", depth)
    return found


def mult() -> Names:
    local = {f"crossmodal.local.{name}.conv": f"proj_{letter}" for name, letter in zip(LETTERS, "lav", strict=True)}
    return {**crossing("crossmodal.", 4), **local, "hidden": "proj1", "back": "proj2", "score": "out_layer"}


def tetfn() -> Names:
    found = {**crossing("", 2), **heads(), "text.model.net": "text_model.model", "local.conv": "proj_l"}
    for name in ("audio", "vision"):
        theirs = f"{LETTERS[name][2]}_model"
        found |= {f"nets.{name}.lstm": f"{theirs}.rnn", f"nets.{name}.local.conv": f"{theirs}.conv"}
    for own, other in (("audio", "vision"), ("vision", "audio")):
        for part, depth in (("lower", 1), ("upper", 2)):
            theirs = f"trans_{own[0]}_with_{other[0]}.{part}_mha"
            found |= encoder(f"cross.{own}_{other}.{part}", theirs, depth)
    return found


MODELS: dict[str, tuple[Callable[[], Names], dict[str, Any]]] = {
    "self_mm": (self_mm, {}),
    "misa": (misa, {}),
    "mag_bert": (mag_bert, {}),
    "mfm": (mfm, {}),
    "mctn": (mctn, {"outputs": "padded", "teacher": 1.0}),
    "mfn": (mfn, {}),
    "tfn": (subnets, {}),
    "lf_dnn": (subnets, {}),
    "lmf": (lmf, {}),
    "ef_lstm": (ef_lstm, {"steps": 12}),
    "mult": (mult, {"positions": False, "causal": True}),
    "tetfn": (tetfn, {"positions": False, "causal": True}),
}
FINE_TUNED = ("self_mm", "misa", "mag_bert", "tetfn")


def copied(model: FusionModel, names: Names, theirs: Mapping[str, NDArray[np.float32]]) -> None:
    """Give the model MMSA's weights; KeyError where it has a parameter that MMSA has not."""
    mine = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    with torch.no_grad():
        for name, part in mine.items():
            start = max((prefix for prefix in names if name.startswith(prefix)), key=len, default=None)
            if start is None:
                if isinstance(part, nn.Parameter):
                    raise KeyError(f"{name}: which of MMSA's is it?")
                continue
            other = names[start] + name.removeprefix(start)
            found = theirs.get(other, theirs.get(other.removesuffix("_l0")))
            if found is None and not isinstance(part, nn.Parameter):
                continue
            if found is None:
                raise KeyError(f"{name}: MMSA has no {other}")
            part.copy_(torch.from_numpy(_turned(name, found, part)))


def _turned(name: str, found: NDArray[np.float32], part: Tensor) -> NDArray[np.float32]:
    """MMSA's gates of MAG read the other modality before the text, ours behind it."""
    if name.startswith("gate.gates.") and name.endswith("weight"):
        other = found.shape[1] - part.shape[0]
        return np.concatenate([found[:, other:], found[:, :other]], axis=1)
    return found.reshape(tuple(part.shape))


def compare(name: str, data: Mapping[str, NDArray[np.float32]], folder: Path) -> dict[str, object]:
    """The largest differences of a model."""
    build, params = MODELS[name]
    inputs = {key.partition("/")[2]: torch.from_numpy(part) for key, part in data.items() if key.startswith("inputs/")}
    weights = {k.removeprefix(f"{name}/weight/"): v for k, v in data.items() if k.startswith(f"{name}/weight/")}
    said = {
        k.removeprefix(f"{name}/said/"): torch.from_numpy(v) for k, v in data.items() if k.startswith(f"{name}/said/")
    }
    dims = {key: inputs[key].shape[2] for key in ("text", "audio", "vision")}
    if name in FINE_TUNED:
        params = {**params, "language_model": str(folder / "bert-base-uncased")}
    model = fusion_models().get(name)(dims, **params)
    batch = batch_of(inputs, name in FINE_TUNED)
    model.begin("all", lambda: [batch])
    copied(model, build(), weights)
    with torch.no_grad():
        output = model.eval()(batch)
        found = {"M": output.score, **{part[0].upper(): value for part, value in output.unimodal.items()}}
        found |= losses(name, model, batch)
    gaps = {
        key: float((found[key].flatten() - part.flatten()).abs().max()) for key, part in said.items() if key in found
    }
    worst = max(gaps.values())
    return {
        "model": name,
        "compared": ", ".join(f"{key} {gap:.1e}" for key, gap in gaps.items()),
        "largest difference": f"{worst:.1e}",
        "within 1e-5": worst <= LEAST,
    }


def batch_of(inputs: Mapping[str, Tensor], tokens: bool) -> Batch:
    """Clips of full length."""
    values = {name: inputs[name] for name in ("text", "audio", "vision")}
    mask = {name: torch.ones(part.shape[:2], dtype=torch.bool) for name, part in values.items()}
    index = torch.arange(len(values["text"]))
    labels = {"M": torch.zeros(len(index))}
    return Batch(values, mask, tokens=inputs["tokens"].long() if tokens else None, index=index, labels=labels)


def losses(name: str, model: FusionModel, batch: Batch) -> dict[str, Tensor]:
    """Those that MMSA's forward pass gives too, without dropout."""
    if name not in ("mfm", "mctn"):
        return {}
    model.train()
    for part in model.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
    output: Output = model(batch)
    if name == "mctn":
        return {"translated": 0.1 * torch.stack(list(output.losses.values())).sum()}
    weight = {"text": 0.5, "audio": 0.01, "vision": 0.5}
    return {"rebuilt": torch.stack([output.losses[key] * share for key, share in weight.items()]).sum()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mmsa", type=Path, required=True, help="an interpreter that has MMSA")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        script = Path(__file__).with_name("_mmsa_models.py")
        subprocess.run([str(asked.mmsa), str(script), name], check=True, capture_output=True)
        data = dict(np.load(folder / "models.npz"))
        rows = [compare(model, data, folder) for model in MODELS if any(key.startswith(f"{model}/") for key in data)]
    print(markdown(rows))
    if not all(row["within 1e-5"] for row in rows):
        raise SystemExit("a model differs from MMSA's")


if __name__ == "__main__":
    main()
