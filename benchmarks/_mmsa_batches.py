"""Every batch of MMSA's own data loader, run by ``mmsa_loader.py`` in an environment that has MMSA and not msapipe.

Argument: a folder with ``asked.json``, the arguments of ``MMDataLoader``. Each array of each clip goes to
``loaded.npz`` there, as SPLIT/CLIP/KEY.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from MMSA.data_loader import MMDataLoader


def main() -> None:
    folder = Path(sys.argv[1])
    asked = json.loads((folder / "asked.json").read_text())
    found: dict[str, np.ndarray] = {}
    for split, loader in MMDataLoader(asked, 0).items():
        for batch in loader:
            for row, clip in enumerate(batch["id"]):
                at = f"{split}/{clip}"
                for key in ("text", "audio", "vision", "audio_lengths", "vision_lengths"):
                    if key in batch:
                        found[f"{at}/{key}"] = np.array(batch[key][row])
                for letter, labels in batch["labels"].items():
                    found[f"{at}/{letter}"] = np.array(labels[row])
                found[f"{at}/words"] = np.frombuffer(batch["raw_text"][row].encode(), np.uint8)
    found["sizes"] = np.array([*asked["feature_dims"], *asked["seq_lens"]])
    np.savez(folder / "loaded.npz", **found)


if __name__ == "__main__":
    main()
