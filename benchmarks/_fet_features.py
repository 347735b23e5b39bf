"""MFCC by librosa and states of BERT, as MMSA-FET's run_single makes them; run by MMSA-FET's own Python.

Arguments: a JSON file {"clips": [[path, text], ...], "bert": folder}, and a folder for its files. Prints one line of
JSON, seconds of processor time: "all" from the start of the process, "others" of the clips after the first, "example"
of those with the thirteen features of librosa that its example has.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch


def spent() -> float:
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime


def run(tool: Any, clips: list[list[str]], place: Path) -> tuple[float, float]:
    """Seconds up to the end, and those of the clips after the first."""
    times = []
    for number, (path, words) in enumerate(clips):
        found = tool.run_single(path, text=words)
        np.savez(place / f"{number}.npz", audio=found["audio"], text=found["text"])
        times.append(spent())
    return times[-1], times[-1] - times[0]


def main() -> None:
    asked, place = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    torch.set_num_threads(1)
    import MSA_FET

    mfcc = {"n_mfcc": 40, "win_length": 400, "n_mels": 64}
    audio = {"tool": "librosa", "sample_rate": 16000, "n_fft": 512, "hop_length": 160, "features": {"mfcc": mfcc}}
    text = {"model": "bert", "device": "cpu", "pretrained": asked["bert"], "args": {}}
    folders = {"tmp_dir": place / "tmp", "log_dir": place / "log", "verbose": 0}
    tool = MSA_FET.FeatureExtractionTool({"audio": audio, "text": text}, **folders)
    whole, others = run(tool, asked["clips"], place)
    example = json.loads((Path(MSA_FET.__file__).parent / "example_configs" / "librosa.json").read_text())
    tool = MSA_FET.FeatureExtractionTool({**example, "text": text}, **folders)
    (place / "example").mkdir()
    _, slower = run(tool, asked["clips"], place / "example")
    print(json.dumps({"all": whole, "others": others, "example": slower}))


if __name__ == "__main__":
    main()
