"""``msapipe compare`` over every fusion model on labelled CMU-MOSI features, a table a setting.

a: 25 videos, a vector a clip of text, audio and vision, five folds by video.
b: the official training split with GloVe words and 73 acoustic columns, tested on the official validation split.
t: as b, with the words as tokens of all-MiniLM-L6-v2, which the models fine-tune, on every third training clip.
Settings a and b are those of ``mosi.py``, with its departures from the papers as variants. Killed and started again,
it goes on where it stopped; more seeds train only what is missing. Published figures (``--published``) stand beside.
"""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from mosi import changes, data_of, official, refused, utterances
from tables import msapipe

from msapipe.errors import ConfigError
from msapipe.formats import FORMATS
from msapipe.fusion import fusion_models
from msapipe.stages.text.tokens import Tokens
from msapipe.train.data import DataSet
from msapipe.train.fitness import check_fit
from msapipe.train.labels import read_labels
from msapipe.types import Sample, Transcript, Word
from msapipe.weights.encoders import MINILM

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "mosi"
# The times of these features are counts: a word's share of a clip is what there is of them.
NO_TIMES = {"raven": {"spans": "windows"}}
# The models that run a language model, and are told nothing else here.
OTHER_FAMILY = ("mag_xlnet",)


def split_samples() -> list[Sample]:
    """Clips of (b), each with its split."""
    train, stop, test = next(official())
    sides = (("train", train), ("valid", stop), ("test", test))
    return [replace(sample, split=name) for name, side in sides for sample in side]


def spoken() -> list[Sample]:
    """The same, a third of those to learn from, their words as tokens."""
    stage = Tokens(checkpoint=MINILM.name)
    stage.load("cpu")
    told = {row.name.replace("/", "_"): row.text for row in read_labels(DATA / "label.csv")}
    found = []
    whole = split_samples()
    train = [sample for sample in whole if sample.split == "train"]
    for sample in (*train[::3], *(sample for sample in whole if sample.split != "train")):
        text = stage.run(Transcript(tuple(Word(word) for word in told[sample.id].split())))
        found.append(replace(sample, features={**sample.features, "text": text}, text=told[sample.id]))
    return found


def written(setting: str, folder: Path) -> Path:
    """The features of a setting as a file."""
    path = folder / f"mosi_{setting}.safetensors"
    if path.is_file():
        return path
    made_by: dict[str, Any] | None = None
    if setting == "a":
        train, stop, test = next(utterances())
        samples = sorted((replace(s, split=None) for s in (*train, *stop, *test)), key=lambda sample: sample.id)
    elif setting == "b":
        samples = split_samples()
    else:
        samples = spoken()
        made_by = {"features": {"text": {"tokens": {"use": "tokens", "checkpoint": MINILM.name}}}, "align": None}
    FORMATS.get("safetensors")().write(path, samples, made_by)
    return path


def variants(setting: str, names: Sequence[str] = ()) -> list[str]:
    """The models of a setting as ``--models`` takes them, or those of ``names``; what cannot be trained is said."""
    registry = fusion_models()
    found = []
    for name in names or registry.where():
        cls = registry.get(name)
        if name == "late" or (setting == "t" and (not cls.reads_tokens or name in OTHER_FAMILY)):
            continue
        values: dict[str, Any] = {}
        if setting == "t":
            reason = _unfit(name, {"language_model": MINILM.name}, data_of("b", 0))
        else:
            for change in changes(setting, name):
                values |= {**change.settings, **change.params}
            reason = refused(setting, name)
            if reason and name in NO_TIMES:
                values |= NO_TIMES[name]
                reason = _unfit(name, values, data_of(setting, 0))
        if reason:
            print(reason)
            continue
        found.append(":".join([name, *(f"{key}={_typed(value)}" for key, value in values.items())]))
    return found


def _unfit(name: str, params: dict[str, Any], data: DataSet) -> str:
    try:
        check_fit(name, fusion_models().get(name), params, data)
    except ConfigError as error:
        return str(error)
    return ""


def _typed(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def command(setting: str, features: Path, asked: argparse.Namespace) -> str:
    """What is typed after ``msapipe``."""
    options: Sequence[str] = ("--folds", "5") if setting == "a" else ()
    epochs = {"a": asked.epochs_a, "b": asked.epochs_b, "t": asked.epochs_t}[setting]
    words = [
        "compare",
        str(features),
        "--models",
        ",".join(variants(setting, asked.models)),
        *options,
        "--seeds",
        asked.seeds,
    ]
    words += ["--set", f"epochs={epochs}", "--set", "patience=6", "--scale", "-3,3", "--device", "cpu", "--overwrite"]
    words += ["-o", str(asked.folder / setting), "--latex", str(asked.folder / f"{setting}.tex")]
    if setting == "t":
        words += ["--set", f"language_model={MINILM.name}"]
    if asked.published:
        where = f"{asked.published_where},group={'BERT' if setting == 't' else 'Glove'}"
        words += ["--published", str(asked.published), "--published-where", where]
    return shlex.join(words)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--settings", default="abt")
    parser.add_argument("--models", type=lambda text: text.split(","), default=[], help="these only, by commas")
    parser.add_argument("--seeds", default="1111")
    parser.add_argument("--epochs-a", type=int, default=30)
    parser.add_argument("--epochs-b", type=int, default=12)
    parser.add_argument("--epochs-t", type=int, default=4)
    parser.add_argument("--published", type=Path, help="a CSV of published results")
    parser.add_argument("--published-where", default="paper=003,table=I,dataset=CMU-MOSI", help="which of them")
    parser.add_argument("--folder", type=Path, default=Path("comparison-runs"))
    asked = parser.parse_args()
    torch.set_num_threads(1)
    asked.folder.mkdir(parents=True, exist_ok=True)
    for setting in asked.settings:
        code, out, error = msapipe(command(setting, written(setting, asked.folder), asked))
        print(f"\n## ({setting})\n\n{out if code == 0 else error}", flush=True)


if __name__ == "__main__":
    main()
