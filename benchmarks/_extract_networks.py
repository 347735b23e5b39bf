"""Each neural feature stage on a 5 s clip (50 faces, 5 s of sound, 20 words) against the plain use of its network.

Plain: torchvision's swin3d_t over the whole clip, its resnet18 one picture at a time, transformers' AutoModel with its
plain attention; from pictures, samples and words that are ready. A stage's time includes decoding and warping the
crops; "off by" is the norm of the difference over the norm. Where weights were not downloaded, networks of the same
size with random numbers take their place. Also on a GPU, where there is one, and then in seconds of wall time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import transformers
from _extract_table import Row, timed
from _extract_weights import TEXT, checkpoint, has_dtype
from numpy.typing import NDArray
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import resnet18
from torchvision.models.video import swin3d_t
from transformers import AutoModel

from msapipe.stages import STAGES
from msapipe.stages.vision._imagenet import normalised
from msapipe.testing import fakes

Run = Callable[[], NDArray[np.float32]]

FACES = fakes.face_clip(50)
SOUND = fakes.waveform(5.0)
INPUTS = {"face_clip": FACES, "waveform": SOUND, "words": fakes.transcript(TEXT)}
TURNS = 4


class Case(NamedTuple):
    """A stage, the checkpoint that it is measured with, the plain use of the same, and the ratios aimed at."""

    slot: str
    name: str
    checkpoint: str
    plain: Callable[[Path, str], Run]
    reach: tuple[str, str]
    params: dict[str, Any] = {}  # noqa: RUF012 - never changed


def pictures(cut: Callable[[int, int], NDArray[np.uint8]], size: int, device: str) -> torch.Tensor:
    """All crops, normalised, on the device: (50, 3, size, size)."""
    scaled = normalised(np.stack([cut(row, size) for row in range(len(FACES))]))
    return torch.from_numpy(scaled).contiguous().to(device)


def read_torchvision(make: Callable[..., Any], path: Path, device: str) -> Any:
    net = make(weights=None)
    net.load_state_dict(torch.load(path, weights_only=True))
    return net.eval().to(device)


def plain_swin(path: Path, device: str) -> Run:
    net = read_torchvision(swin3d_t, path, device)
    film = pictures(FACES.loose, 128, device).transpose(0, 1)[None]
    return lambda: net.norm(net.features(net.patch_embed(film)))[0].mean((1, 2)).cpu().numpy()


def plain_resnet(size: int, path: Path, device: str) -> Run:
    net = read_torchvision(resnet18, path, device)
    net.fc = torch.nn.Identity()
    faces = pictures(FACES.aligned, size, device)
    return lambda: np.concatenate([net(face[None]).cpu().numpy() for face in faces])


def plain_speech(path: Path, device: str) -> Run:
    net = AutoModel.from_pretrained(path, attn_implementation="eager").eval().to(device)
    prepare = transformers.AutoFeatureExtractor.from_pretrained(path)
    ready = partial(prepare, SOUND.samples, sampling_rate=SOUND.rate, return_tensors="pt")
    return lambda: net(**ready().to(device)).last_hidden_state[0].cpu().numpy()


def plain_bert(path: Path, device: str) -> Run:
    net = AutoModel.from_pretrained(path, attn_implementation="eager").eval().to(device)
    tokens = transformers.AutoTokenizer.from_pretrained(path)
    return lambda: net(**tokens(TEXT, return_tensors="pt").to(device)).last_hidden_state[0, 1:-1].cpu().numpy()


EMOTION = "audeering/wav2vec2-large-robust-12-ft-emotion-msp-dim"
CASES = (
    Case("vision", "resnet18", "imagenet", partial(plain_resnet, 112), ("2", "3.5"), {"size": 112}),
    Case("vision", "resnet18", "imagenet", partial(plain_resnet, 224), ("", ""), {"size": 224}),
    Case("vision", "video_swin", "swin3d_t", plain_swin, ("3", "")),
    Case("audio", "wav2vec2", EMOTION, plain_speech, ("", "1.7")),
    Case("audio", "hubert", "facebook/hubert-base-ls960", plain_speech, ("", "1.7")),
    Case("text", "bert", "google-bert/bert-base-uncased", plain_bert, ("", "1.7"), {"unit": "piece"}),
)


def peak(dtype: str) -> float:
    """Floating point operations a second of a large product of matrices on one thread."""
    a = torch.randn(1536, 1536).to(getattr(torch, dtype))
    return max(2 * 1536**3 / timed(lambda: a @ a) for _ in range(6))


def wall(run: Callable[[], object]) -> float:
    begun = time.perf_counter()
    run()
    return time.perf_counter() - begun


def stage_of(case: Case, path: Path, device: str, dtype: str) -> Run:
    """Its ``run``, ready to be called."""
    cls = STAGES[case.slot].get(case.name)
    more = {"dtype": dtype} if has_dtype(cls) else {}
    stage = cls(checkpoint=str(path), **case.params, **more)
    stage.load(device)
    torch.set_num_threads(1)
    run = partial(stage.run, **{name: INPUTS[name] for name in cls.needs()})
    return lambda: run().values


def compare(case: Case, place: Path, device: str, peaks: dict[str, float]) -> Iterator[Row]:
    """A row in float32 and one in bfloat16: plain and both of ours in turns."""
    cls = STAGES[case.slot].get(case.name)
    real = cls(checkpoint=case.checkpoint).own_weights()[0]
    path = real.path() if real.here() else checkpoint(case.name, place)
    kind = "real weights" if real.here() else "random weights"
    clock = timed if device == "cpu" else wall
    dtypes = ["float32", *(["bfloat16"] if has_dtype(cls) else [])]
    ours = {dtype: stage_of(case, path, device, dtype) for dtype in dtypes}
    plain = case.plain(path, device)
    first = {dtype: clock(run) for dtype, run in ours.items()}
    wanted = plain()
    name = " ".join([case.name, *(f"{size} px" for size in [case.params.get("size")] if size)])
    calls = (*ours.values(), plain)
    *fastest, theirs = np.min([[clock(call) for call in calls] for _ in range(TURNS)], axis=0)
    for dtype, seconds, reach in zip(dtypes, fastest, case.reach[: len(dtypes)], strict=True):
        off = np.linalg.norm(ours[dtype]() - wanted) / np.linalg.norm(wanted)
        agreement = f"off by {off:.1e} ({kind})"
        limit = f"first call {first[dtype]:.2f} s"
        if device == "cpu":
            with FlopCounterMode(display=False) as counter:
                ours["float32"]()
            share = counter.get_total_flops() / seconds / peaks[dtype]
            limit = f"GEMM peak, {share:.0%} of {peaks[dtype] / 1e9:.0f} GFLOP/s; {limit}"
        yield Row(f"{name} {dtype}, {device}", float(seconds), float(theirs), "s", agreement, reach, limit)
    if not has_dtype(cls):
        yield Row(f"{name} bfloat16, {device}", None, float(theirs), "s", "no dtype", case.reach[1])


def rows(place: Path) -> Iterator[Row]:
    """Two rows a network."""
    transformers.utils.logging.disable_progress_bar()
    peaks = {dtype: peak(dtype) for dtype in ("float32", "bfloat16")}
    with torch.inference_mode():
        for device in ("cpu", *(("cuda",) if torch.cuda.is_available() else ())):
            for case in CASES:
                yield from compare(case, place, device, peaks)
