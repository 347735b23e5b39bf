"""Word errors and speed of transcript/pocketsphinx on the sample clips and jfk.flac; audio/mfcc against librosa."""

from __future__ import annotations

import ast
import re
import time
from pathlib import Path

import librosa
import numpy as np

from msapipe.media import Decoder, MediaOptions
from msapipe.stages import STAGES
from msapipe.types import Clip, Waveform

SAMPLES = Path(__file__).resolve().parents[1] / "sample_media"
JFK = Path(__file__).resolve().parents[2] / "shared" / "media" / "audio" / "jfk.flac"
JFK_WORDS = "and so my fellow americans ask not what your country can do for you ask what you can do for your country"


def truths() -> dict[Path, str]:
    """What each clip says, by the program that made it."""
    for node in ast.parse((SAMPLES / "make.py").read_text()).body:
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "WORDS" and node.value:
            spoken = {SAMPLES / f"{clip}.mp4": " ".join(text) for clip, text in ast.literal_eval(node.value).items()}
    return {path: text for path, text in {**spoken, JFK: JFK_WORDS}.items() if path.is_file() and text}


def errors(truth: str, heard: str) -> tuple[int, int]:
    """Edit distance in words, and the number of words."""
    a, b = (re.findall(r"[a-z']+", text.lower()) for text in (truth, heard))
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row = row, [i]
        for j, y in enumerate(b, 1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (x != y)))
    return row[-1], len(a)


def main() -> None:
    recogniser = STAGES["transcript"].get("pocketsphinx")()
    recogniser.load("cpu")
    with Decoder() as decoder:
        for path, truth in truths().items():
            sound = decoder.waveform(Clip(path.name, path), MediaOptions())
            begun = time.perf_counter()
            heard = recogniser.run(waveform=sound).text
            share = (time.perf_counter() - begun) / sound.seconds
            wrong, words = errors(truth, heard)
            print(f"{path.name:<18} {wrong:>2} of {words:>2} words wrong, {share:.2f} x real time: {heard}")
    mfcc = STAGES["audio"].get("mfcc")(deltas=False, energy=False, pitch=False)
    mfcc.load("cpu")
    minute = Waveform(np.random.default_rng(0).uniform(-0.5, 0.5, 60 * 16000).astype(np.float32), 16000)
    settings = {"sr": 16000, "n_mfcc": 40, "n_fft": 400, "hop_length": 160, "n_mels": 64}
    for run in ("first", "second"):
        begun = time.perf_counter()
        mfcc.run(waveform=minute)
        ours = time.perf_counter() - begun
        begun = time.perf_counter()
        librosa.feature.mfcc(y=minute.samples, **settings)
        theirs = time.perf_counter() - begun
        print(f"mfcc of a minute, {run} call: ours {ours * 1e3:.0f} ms, librosa {theirs * 1e3:.0f} ms")


if __name__ == "__main__":
    main()
