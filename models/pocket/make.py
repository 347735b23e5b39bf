"""Write model.yaml and model.safetensors of the model ``pocket`` from the numbers stated here.

Nothing is learned: each number is a stated guess that a person can read and argue with. Run after a stage of the
recipe changed its version or its columns:

    uv run python models/pocket/make.py
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import numpy as np
import torch
import yaml
from safetensors.torch import save_file

from msapipe.fusion.late import Late
from msapipe.pipeline.card import signature
from msapipe.pipeline.recipe import parse_recipe
from msapipe.stages import STAGES
from msapipe.testing import fakes

HERE = Path(__file__).resolve().parent
RECIPE = HERE.parents[1] / "pipelines" / "pocket.yaml"
LIMIT = 3.0

# Column -> (what is neutral, what counts as one step, score of that step), of the mean over time and, where the name
# begins with "spread of", of the standard deviation over time.
HEADS: dict[str, dict[str, tuple[float, float, float]]] = {
    # The sentiment of the whole text in [-1, 1] by VADER; the same number stands at every word.
    "text": {"lexicon.text_compound": (0.0, 1.0, 4.0)},
    # Mouth corners: how wide and how high, against the distance of the eyes.
    "vision": {"geometry.smile": (0.82, 0.12, 0.7)},
    # A lively voice is a little more often a pleased one; without labels nothing surer can be said.
    "audio": {"spread of mfcc.pitch_hz": (60.0, 60.0, 0.1)},
}

# How far each modality is believed, relative to the others.
TRUST = {"text": 0.75, "audio": 0.05, "vision": 0.20}


def columns() -> dict[str, tuple[str, ...]]:
    """Names of the columns of each modality, as the recipe's stages give them."""
    recipe = parse_recipe(RECIPE.read_text(encoding="utf-8"), "pocket")
    found: dict[str, tuple[str, ...]] = {}
    for name in recipe.modalities:
        (use,) = recipe.stages[name]
        stage = STAGES[name].get(use.name)()
        stage.load("cpu")
        part = stage.run(**fakes.inputs(type(stage).needs()))
        found[name] = tuple(f"{use.channel}.{label}" for label in part.names)
    return found


def weights(names: dict[str, tuple[str, ...]]) -> Late:
    """The stated numbers as a model."""
    model = Late({name: len(labels) for name, labels in names.items()}, LIMIT)
    with torch.no_grad():
        for name, labels in names.items():
            head = model.heads[name]
            head.linear.weight.zero_()
            head.linear.bias.zero_()
            for label, (neutral, step, score) in HEADS[name].items():
                column = label.removeprefix("spread of ")
                place = labels.index(column) + (len(labels) if column != label else 0)
                head.center[place], head.spread[place] = neutral, step
                head.linear.weight[0, place] = score
        model.log_trust.copy_(torch.from_numpy(np.log([TRUST[name] for name in names]).astype(np.float32)))
    return model


def main() -> None:
    """Write both files."""
    names = columns()
    model = weights(names)
    target = HERE / "model.safetensors"
    save_file(model.state_dict(), target)
    card = {
        "schema_version": 1,
        "about": "stated weights over lexicon, voice and mouth geometry; uncalibrated, English",
        "use": "late",
        "version": Late.version,
        "params": {"limit": LIMIT},
        "scale": [-LIMIT, LIMIT],
        "labels": [
            {"name": "negative", "below": -0.5},
            {"name": "neutral", "below": 0.5},
            {"name": "positive"},
        ],
        "align": None,
        "dims": {name: len(labels) for name, labels in names.items()},
        "features": signature(parse_recipe(RECIPE.read_text(encoding="utf-8"), "pocket")),
        "weights": {
            "file": target.name,
            "sha256": hashlib.sha256(target.read_bytes()).hexdigest(),
            "bytes": target.stat().st_size,
        },
        "trained": {"dataset": None, "command": "uv run python models/pocket/make.py"},
        "calibrated": False,
        "licence": "Apache-2.0",
        "papers": ["Hutto and Gilbert (2014), VADER", "Baltrusaitis, Ahuja and Morency (2019), section 5.1"],
    }
    (HERE / "model.yaml").write_text(yaml.safe_dump(card, sort_keys=False, width=110), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
