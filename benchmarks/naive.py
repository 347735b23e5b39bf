"""Features of a clip as most repositories extract them: the same libraries, one call after the other.

OpenCV reads all pictures, facenet-pytorch looks at each sampled one, torchvision's resnet18 and LibreFace's net see one
crop at a time, swin3d_t sees the clip of crops; ffmpeg writes the sound to a file, librosa reads it at 16 kHz and makes
MFCC; transformers' networks run with their plain attention, in float32. What msapipe does besides is left out: word
times, who speaks, crops of every face. It is the other side of extract.py.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import cv2
import librosa
import numpy as np
import torch
from _extract_table import ffmpeg, spent
from facenet_pytorch import MTCNN
from numpy.typing import NDArray
from PIL import Image
from torchvision.models import resnet18
from torchvision.models.video import swin3d_t
from torchvision.transforms import functional
from transformers import AutoModel, AutoTokenizer, Wav2Vec2FeatureExtractor

from msapipe.stages.vision._libreface import read_net

Floats = NDArray[np.float32]
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Naive:
    """The extractors of a list of names, loaded once; the checkpoints are those of msapipe's stages.

    names: of resnet18, action_units, video_swin, wav2vec2, hubert, mfcc, bert.   fps: pictures a second that are looked
    at for faces; Video Swin always sees ten of them.   peak_db: to what the sound is raised; MFCC depend on it.
    """

    def __init__(
        self, checkpoints: dict[str, Path], names: list[str], fps: int = 10, peak_db: float | None = None
    ) -> None:
        self.names, self.fps, self.peak_db = names, fps, peak_db
        self.faces = MTCNN(device="cpu")
        self.nets: dict[str, Any] = {}
        for name in names:
            if name != "mfcc":
                self.nets[name] = getattr(self, f"_load_{name}", self._load_speech)(checkpoints[name])

    @torch.no_grad()
    def __call__(self, clip: Path, text: str) -> dict[str, Floats]:
        """Features of a clip, in which ``text`` is said, by name."""
        out: dict[str, Floats] = {}
        if {"resnet18", "action_units", "video_swin"} & set(self.names):
            out |= self._seen(self._boxes(self._pictures(clip)))
        if {"wav2vec2", "hubert", "mfcc"} & set(self.names):
            out |= self._heard(clip)
        if "bert" in self.names:
            out["bert"] = self._read(text)
        return out

    def _load_resnet18(self, path: Path) -> Any:
        net = resnet18(weights=None)
        net.load_state_dict(torch.load(path, weights_only=True))
        net.fc = torch.nn.Identity()
        return net.eval()

    def _load_video_swin(self, path: Path) -> Any:
        net = swin3d_t(weights=None)
        net.load_state_dict(torch.load(path, weights_only=True))
        return net.eval()

    def _load_action_units(self, path: Path) -> Any:
        return read_net(path)

    def _load_speech(self, path: Path) -> Any:
        net = AutoModel.from_pretrained(path, attn_implementation="eager").eval()
        return Wav2Vec2FeatureExtractor.from_pretrained(path), net

    def _load_bert(self, path: Path) -> Any:
        net = AutoModel.from_pretrained(path, attn_implementation="eager").eval()
        return AutoTokenizer.from_pretrained(path), net

    def _pictures(self, clip: Path) -> list[NDArray[np.uint8]]:
        """All pictures are decoded, some are kept."""
        film = cv2.VideoCapture(str(clip))
        rate, kept, number = film.get(cv2.CAP_PROP_FPS), [], 0
        while True:
            there, picture = film.read()
            if not there:
                return kept
            if number >= len(kept) * rate / self.fps:
                kept.append(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
            number += 1

    def _boxes(self, pictures: list[NDArray[np.uint8]]) -> list[Image.Image]:
        """The largest face of each picture, cut out."""
        crops = []
        for picture in pictures:
            image = Image.fromarray(picture)
            boxes, _ = self.faces.detect(image)
            if boxes is not None:
                crops.append(image.crop(tuple(boxes[0])))
        return crops

    def _seen(self, crops: list[Image.Image]) -> dict[str, Floats]:
        out = {}
        if "resnet18" in self.names:
            out["resnet18"] = np.concatenate([self.nets["resnet18"](_tensor(crop, 112)[None]) for crop in crops])
        if "action_units" in self.names:
            net, rows = self.nets["action_units"], []
            for crop in crops:
                found = net["encoder"](_tensor(crop, 224)[None]).flatten(1)
                rows.append(torch.cat([net["classifier"](found), net["classifier_2"](found)], 1))
            out["action_units"] = torch.cat(rows).numpy()
        if "video_swin" in self.names:
            net, some = self.nets["video_swin"], crops[:: max(1, round(self.fps / 10))]
            film = torch.stack([_tensor(crop, 128) for crop in some], 1)[None]
            out["video_swin"] = net.norm(net.features(net.patch_embed(film)))[0].mean((1, 2)).numpy()
        return out

    def _heard(self, clip: Path) -> dict[str, Floats]:
        wave = clip.with_suffix(".wav")
        ffmpeg("-i", str(clip), "-vn", "-acodec", "pcm_s16le", str(wave))
        samples, rate = librosa.load(wave, sr=16000)
        wave.unlink()
        if self.peak_db is not None:
            samples *= 10 ** (self.peak_db / 20) / np.abs(samples).max()
        out = {}
        for name in {"wav2vec2", "hubert"} & set(self.names):
            prepare, net = self.nets[name]
            inputs = prepare(samples, sampling_rate=rate, padding=True, return_tensors="pt")
            out[name] = net(**inputs).last_hidden_state[0].numpy()
        if "mfcc" in self.names:
            settings = {"n_mfcc": 40, "n_fft": 512, "win_length": 400, "hop_length": 160, "n_mels": 64}
            out["mfcc"] = librosa.feature.mfcc(y=samples, sr=rate, **settings).T
        return out

    def _read(self, text: str) -> Floats:
        tokens, net = self.nets["bert"]
        return np.asarray(net(**tokens(text, return_tensors="pt")).last_hidden_state[0, 1:-1].numpy())


def _tensor(crop: Image.Image, size: int) -> torch.Tensor:
    scaled = functional.to_tensor(crop.resize((size, size), Image.Resampling.BILINEAR))
    return functional.normalize(scaled, MEAN, DEVIATION)


def main() -> None:
    """MFCC and BERT of clips: arguments and answer are those of _fet_features.py."""
    asked, place = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    torch.set_num_threads(1)
    naive, times = Naive({"bert": Path(asked["bert"])}, ["mfcc", "bert"]), []
    for number, (path, text) in enumerate(asked["clips"]):
        found = naive(Path(path), text)
        np.savez(place / f"{number}.npz", audio=found["mfcc"], text=found["bert"])
        times.append(spent())
    print(json.dumps({"all": times[-1], "others": times[-1] - times[0]}))


if __name__ == "__main__":
    main()
