"""Sentences spoken by eSpeak NG, clean or with noise, and what the pipeline's recogniser hears in them."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msapipe.pipeline.spec import PipelineSpec
from msapipe.stages._speech import RATE, at_16k
from msapipe.types import Transcript, Waveform

SAMPLE_MEDIA = Path(__file__).resolve().parents[2] / "sample_media"
# eSpeak NG's voices and words a minute: the one that the recogniser hears best, and six that are taken in turn.
CLEAR = (("en-us+f2", 140),)
VARIED = (
    ("en-us+m2", 150),
    ("en-us+f2", 140),
    ("en-us+m3", 170),
    ("en-us+f3", 160),
    ("en+m3", 150),
    ("en+f2", 160),
)
NOISE_DB = 10.0  # below the mean power of the whole sound, the silence at its ends included

Floats = NDArray[np.float32]


def speeches(sentences: Sequence[str], voices: Sequence[tuple[str, int]]) -> list[Floats]:
    """The sentences by each voice in turn, by the program that makes the sample clips: 16 kHz, peak at -3 dB."""
    program = _program(SAMPLE_MEDIA / "voice.py")
    synthesiser = program.Synthesiser()
    spoken = []
    for number, sentence in enumerate(sentences):
        name, speed = voices[number % len(voices)]
        said = synthesiser.speak([sentence.lower()], program.Voice(name, speed))
        spoken.append(levelled(at_16k(Waveform(said.samples, program.RATE))))
    return spoken


def _program(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(path)
    program = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = program  # dataclasses look it up there
    spec.loader.exec_module(program)
    return program


def levelled(samples: Floats) -> Floats:
    """The loudest sample at -3 dB, as the pipeline decodes sound."""
    return np.asarray(samples * (10 ** (-3 / 20) / np.abs(samples).max()), np.float32)


def noisy(samples: Floats, seed: int) -> Floats:
    """With white noise NOISE_DB below it."""
    noise = np.random.default_rng(seed).normal(size=len(samples))
    gain = np.sqrt(np.square(samples).mean() / np.square(noise).mean()) * 10 ** (-NOISE_DB / 20)
    return levelled(np.asarray(samples + gain * noise, np.float32))


def hear(spec: PipelineSpec, sounds: Iterable[Floats]) -> list[Transcript]:
    """What the first Whisper of the pipeline that is on this machine hears; nothing where it hears no words."""
    recognisers = (use.stage for use in spec.stages["transcript"] if use.name == "whisper")
    stage = next(stage for stage in recognisers if all(weights.here() for weights in stage.own_weights()))
    stage.load("cpu")
    return [stage.run(waveform=Waveform(samples, RATE)) or Transcript(recognised=True) for samples in sounds]
