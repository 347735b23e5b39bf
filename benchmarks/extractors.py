"""Each neural feature stage on a 5 s clip (50 faces, 5 s of sound, 20 words) against the plain use of its network.

Plain: torchvision's swin3d_t over the whole clip, its resnet18 one picture at a time, transformers' AutoModel; from
pictures, samples and words that are ready. A stage's time includes decoding and warping the crops. All on one thread.
Where weights were not downloaded, networks of the same size with random numbers take their place: as fast, no good.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from timeit import timeit
from typing import Any, NamedTuple

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from torchvision.models import resnet18
from torchvision.models.video import swin3d_t
from transformers import AutoModel, HubertConfig, Wav2Vec2Config

from msapipe.stages import STAGES
from msapipe.stages.vision._imagenet import normalised
from msapipe.testing import fakes

Run = Callable[[], NDArray[np.float32]]

FACES = fakes.face_clip(50)
SOUND = fakes.waveform(5.0)
TEXT = "what a wonderful day it is and i do not hate any of it but the rain could have waited"
INPUTS = {"face_clip": FACES, "waveform": SOUND, "words": fakes.transcript(TEXT)}


class Case(NamedTuple):
    """A stage, how to write a checkpoint of full size in its real format, and the plain use of the same checkpoint."""

    slot: str
    name: str
    checkpoint: str
    write: Callable[[Path], Path]
    plain: Callable[[Path, str], Run]
    params: dict[str, Any] = {}  # noqa: RUF012 - never changed


def write_torchvision(make: Callable[..., Any], folder: Path) -> Path:
    torch.save(make(weights=None).state_dict(), folder / "net.pth")
    return folder / "net.pth"


def write_speech(config: Any, masks: bool, folder: Path) -> Path:
    AutoModel.from_config(config).save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor(return_attention_mask=masks).save_pretrained(folder)
    return folder


def write_bert(folder: Path) -> Path:
    pieces = dict.fromkeys(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *TEXT.split()])
    transformers.BertTokenizer(vocab={piece: i for i, piece in enumerate(pieces)}).save_pretrained(folder)
    transformers.BertModel(transformers.BertConfig()).save_pretrained(folder)
    return folder


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


def plain_resnet(path: Path, device: str) -> Run:
    net = read_torchvision(resnet18, path, device)
    net.fc = torch.nn.Identity()
    faces = pictures(FACES.aligned, 224, device)
    return lambda: np.concatenate([net(face[None]).cpu().numpy() for face in faces])


def plain_speech(path: Path, device: str) -> Run:
    net = AutoModel.from_pretrained(path).eval().to(device)
    prepare = transformers.AutoFeatureExtractor.from_pretrained(path)
    ready = partial(prepare, SOUND.samples, sampling_rate=SOUND.rate, return_tensors="pt")
    return lambda: net(**ready().to(device)).last_hidden_state[0].cpu().numpy()


def plain_bert(path: Path, device: str) -> Run:
    net = AutoModel.from_pretrained(path).eval().to(device)
    tokens = transformers.AutoTokenizer.from_pretrained(path)
    return lambda: net(**tokens(TEXT, return_tensors="pt").to(device)).last_hidden_state[0, 1:-1].cpu().numpy()


LARGE = {"hidden_size": 1024, "num_attention_heads": 16, "intermediate_size": 4096}
ROBUST = Wav2Vec2Config(**LARGE, feat_extract_norm="layer", conv_bias=True, do_stable_layer_norm=True)
EMOTION = "audeering/wav2vec2-large-robust-12-ft-emotion-msp-dim"
CASES = (
    Case("vision", "video_swin", "swin3d_t", partial(write_torchvision, swin3d_t), plain_swin),
    Case("vision", "resnet18", "imagenet", partial(write_torchvision, resnet18), plain_resnet),
    Case("audio", "wav2vec2", EMOTION, partial(write_speech, ROBUST, True), plain_speech),
    Case("audio", "hubert", "facebook/hubert-base-ls960", partial(write_speech, HubertConfig(), False), plain_speech),
    Case("text", "bert", "google-bert/bert-base-uncased", write_bert, plain_bert, {"unit": "piece"}),
)


def compare(case: Case, place: Path, device: str) -> str:
    """The first run and the fastest of three more, in turns, so that what else the machine does hits both."""
    cls = STAGES[case.slot].get(case.name)
    weights = cls(checkpoint=case.checkpoint).own_weights()[0]
    kind, path = ("real", weights.path()) if weights.here() else ("random", case.write(place))
    stage = cls(checkpoint=str(path), **case.params)
    stage.load(device)
    run = partial(stage.run, **{name: INPUTS[name] for name in cls.needs()})
    with torch.inference_mode():
        plain = case.plain(path, device)
        first, wanted = timeit(run, number=1), plain()
        ours, theirs = np.min([(timeit(run, number=1), timeit(plain, number=1)) for _ in range(3)], axis=0)
        off = np.abs(run().values - wanted).max() / np.abs(wanted).max()
    return f"{first:>7.3f} {ours:>7.3f} {theirs:>7.3f} {theirs / ours:>6.2f} {off:>9.0e}  {kind:<7} {case.checkpoint}"


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    transformers.utils.logging.disable_progress_bar()
    print("seconds for a clip of 5 s, one thread; random: weights not downloaded, random numbers in a net of that size")
    print(f"{'stage':<12} {'device':<6} {'first':>7} {'ours':>7} {'plain':>7} {'ratio':>6} {'off by':>9}  weights")
    for device in ("cpu", *(("cuda",) if torch.cuda.is_available() else ())):
        for case in CASES:
            with tempfile.TemporaryDirectory() as place:
                print(f"{case.name:<12} {device:<6} {compare(case, Path(place), device)}", flush=True)


if __name__ == "__main__":
    main()
