"""Tiny checkpoints of every architecture, in the real format, so that the production code reads them.

One file per stage, called <slot>_<stage>.py, with ``build(folder) -> params``: it writes a checkpoint with fixed
random parameters into the folder and returns the stage parameters that point to it (mostly
``{"checkpoint": str(folder)}``). A stage without weights to download needs none.
"""

from __future__ import annotations

import importlib
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from msapipe.stages import MODALITIES


def params(slot: str, name: str, folder: Path) -> dict[str, Any]:
    """Parameters that run a stage on a tiny checkpoint, built once below ``folder``; {} if it needs none."""
    module = f"{__name__}.{slot}_{name}"
    if find_spec(module) is None:
        return {}
    place = folder / f"{slot}_{name}"
    done = place / "params.json"
    if not done.is_file():
        import torch

        place.mkdir(parents=True, exist_ok=True)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            found = importlib.import_module(module).build(place / "checkpoint")
        done.write_text(json.dumps(found), encoding="utf-8")
    return dict(json.loads(done.read_text(encoding="utf-8")))


def spec(name: str, folder: Path) -> Path:
    """A bundled pipeline with every checkpoint replaced by a tiny one: <folder>/<name>.yaml."""
    import yaml

    from msapipe.pipeline.spec import load_spec, pipeline_names

    whole = yaml.safe_load(pipeline_names()[name].read_text(encoding="utf-8"))
    stages: dict[str, Any] = {}
    for slot, uses in load_spec(name).stages.items():
        entries = {
            use.channel: {"use": use.name, **use.stage.params(), **params(slot, use.name, folder)} for use in uses
        }
        some = list(entries.values())
        stages[slot] = entries if slot in MODALITIES else some if len(some) > 1 else some[0]
    whole["stages"] = stages
    target = folder / f"{name}.yaml"
    target.write_text(yaml.safe_dump(whole, sort_keys=False), encoding="utf-8")
    return target
