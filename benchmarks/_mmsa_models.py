"""MMSA's own models with random weights, run by ``mmsa_forward.py`` where there is MMSA and not msapipe.

Argument: a folder. Every model's weights go to ``NAME/weight/...`` of ``models.npz`` there, what it says to
``NAME/said/...``, its inputs to ``inputs/...``.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any

import MMSA.models as zoo
import numpy as np
import torch
from easydict import EasyDict
from transformers import BertConfig, BertModel

STEPS, CLIPS, DIMS, WORDS = 12, 4, (768, 5, 20), 50
MODELS = ("self_mm", "misa", "mag_bert", "mfm", "mctn", "mfn", "tfn", "lf_dnn", "lmf", "ef_lstm", "mult")
# Settings of MMSA's repository for MOSI. Its release 2.2.1 has neither these nor the model.
TETFN = {"a_lstm_hidden_size": 16, "v_lstm_hidden_size": 64, "dst_feature_dims": 50, "nheads": 5}
TETFN |= {f"conv1d_kernel_size_{letter}": 1 for letter in "lav"}
TETFN |= {f"{letter}_lstm_{what}": value for letter in "av" for what, value in (("layers", 1), ("dropout", 0.0))}
TETFN |= {f"post_{name}_dim": size for name, size in (("fusion", 64), ("text", 32), ("audio", 32), ("video", 16))}
TETFN |= {f"post_{name}_dropout": 0.0 for name in ("fusion", "text", "audio", "video")}
TETFN |= {f"{name}_dropout": 0.0 for name in ("attn", "relu", "embed", "res")}
TETFN |= {"attn_dropout_a": 0.0, "attn_dropout_v": 0.0, "need_data_aligned": True, "use_finetune": True}
BERT = {"vocab_size": WORDS, "num_hidden_layers": 2, "intermediate_size": 128, "max_position_embeddings": 64}


def configured(name: str, corpus: str = "mosi") -> EasyDict:
    """MMSA's settings of a model, and what its own code adds to them."""
    import MMSA

    folder = Path(MMSA.__file__).parent / "config" / "config_regression.json"
    if name == "tetfn":
        found = {"commonParams": {**TETFN, "transformers": "bert"}, "datasetParams": {corpus: {}}}
    else:
        found = json.loads(folder.read_text())[name]
    more = {"feature_dims": list(DIMS), "seq_lens": [STEPS] * 3, "train_mode": "regression", "device": "cpu"}
    more |= {"pretrained": "bert-base-uncased", "language": "en"}
    return EasyDict(
        {**found["commonParams"], **found["datasetParams"][corpus], **more, "pretrained": "bert-base-uncased"}
    )


def inputs() -> dict[str, torch.Tensor]:
    """Clips of full length, as tokens and as features."""
    torch.manual_seed(1)
    ids = torch.randint(5, WORDS, (CLIPS, STEPS))
    return {
        "tokens": torch.stack([ids, torch.ones_like(ids), torch.zeros_like(ids)], 1).float(),
        "text": torch.randn(CLIPS, STEPS, DIMS[0]),
        "audio": torch.randn(CLIPS, STEPS, DIMS[1]),
        "vision": torch.randn(CLIPS, STEPS, DIMS[2]),
    }


def bert_here() -> None:
    """A small BERT in a folder of the name that MMSA's code asks for."""
    torch.manual_seed(2)
    net = BertModel(BertConfig(**BERT))
    with torch.no_grad():
        for part in net.parameters():
            part.add_(0.05 * torch.randn_like(part))
    net.save_pretrained("bert-base-uncased")
    Path("bert-base-uncased/vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abc"]))


def run(name: str, given: dict[str, torch.Tensor]) -> tuple[Any, dict[str, torch.Tensor]]:
    """A model in eval mode, and what it says."""
    args = configured({"mag_bert": "bert_mag"}.get(name, name))
    tokens, text, audio, vision = (given[key] for key in ("tokens", "text", "audio", "vision"))
    ends = torch.full((CLIPS,), STEPS)
    if name == "self_mm":
        model = zoo.multiTask.SELF_MM(args).eval()
        return model, {key: part for key, part in model(tokens, (audio, ends), (vision, ends)).items() if len(key) == 1}
    if name == "misa":
        model = zoo.singleTask.MISA(args).eval()
        return model, model(tokens, audio, vision)
    if name == "mag_bert":
        model = zoo.singleTask.BERT_MAG(args).eval()
        return model, model(tokens, audio, vision)
    if name == "mfm":
        model = zoo.singleTask.MFM(args).eval()
        said, rebuilt, _, _ = model(text, audio, vision)
        return model, {"M": said, "rebuilt": rebuilt}
    if name == "mctn":
        return translated(zoo.singleTask.MCTN(args).eval(), text, audio, vision)
    if name == "tetfn":
        from MMSA.models.multiTask.TETFN import TETFN as Tetfn

        model = Tetfn(args).eval()
        return model, {k: part for k, part in model(tokens, (audio, ends), (vision, ends)).items() if len(k) == 1}
    if name in ("tfn", "lf_dnn", "lmf"):
        model = getattr(zoo.singleTask, name.upper())(args).eval()
        return model, {"M": model(text, audio.mean(1, keepdim=True), vision.mean(1, keepdim=True))["M"]}
    if name in ("ef_lstm", "mult"):
        args.update(seq_lens=STEPS)
        model = getattr(zoo.singleTask, name.upper())(args).eval()
        return model, {"M": model(text, audio, vision)["M"]}
    model = zoo.singleTask.MFN(args).eval()
    return model, model(text, audio, vision)


def translated(model: Any, *sequences: torch.Tensor) -> tuple[Any, dict[str, torch.Tensor]]:
    """MCTN's parts along time, steps first.

    Its own forward pass gives them clips first: their recurrences then run over the clips of a batch, which read one
    another, and ours could not be compared.
    """
    model.seq2seq1.device = model.seq2seq2.device = "cpu"
    text, audio, vision = (
        torch.nn.functional.pad(part, (0, DIMS[0] - part.shape[2])).transpose(0, 1) for part in sequences
    )
    joint, seen = model.seq2seq1(text, vision, 0.5)
    _, back = model.seq2seq1(seen, text, 0.5)
    joint, heard = model.seq2seq2(joint, audio, 0.5)
    states, _ = model.regression.rnn(joint)
    weight = torch.tanh(model.regression.linear(states)).softmax(dim=0)
    said = model.regression.linear2((weight * states).sum(dim=0))
    pairs = ((seen, vision), (back, text), (heard, audio))
    errors = [torch.nn.functional.mse_loss(one, other) for one, other in pairs]
    return model, {"M": said, "translated": 0.1 * torch.stack(errors).sum()}


def main() -> None:
    os.chdir(sys.argv[1])
    bert_here()
    given = inputs()
    found = {f"inputs/{name}": part.numpy() for name, part in given.items()}
    lacking = importlib.util.find_spec("MMSA.models.multiTask.TETFN") is None
    for name in MODELS if lacking else (*MODELS, "tetfn"):
        torch.manual_seed(3)
        with torch.no_grad():
            model, said = run(name, given)
        found |= {f"{name}/weight/{key}": part.detach().numpy() for key, part in model.state_dict().items()}
        found |= {f"{name}/said/{key}": torch.as_tensor(part).detach().numpy() for key, part in said.items()}
    np.savez("models.npz", **found)


if __name__ == "__main__":
    main()
