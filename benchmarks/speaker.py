"""speaker/active with LR-ASD's published weights over the real media; silero-vad says where speech is.

Each line of the table is a clip; below it, each promise with the worst clip and whether it is kept. A folder with other
weights, or a file, may be named: ``python benchmarks/speaker.py ./finetuning_TalkSet.model``.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from silero_vad import get_speech_timestamps, load_silero_vad

from msapipe.media import Decoder, MediaOptions
from msapipe.stages import STAGES
from msapipe.stages.speaker.active import Active
from msapipe.types import Clip, EncodedImages, FaceTracks, Waveform

SAMPLES = Path(__file__).resolve().parents[1] / "sample_media"
SHARED = Path(__file__).resolve().parents[2] / "shared"
OPTIONS = MediaOptions(fps=25)


class Bench:
    """Everything that is loaded once."""

    def __init__(self, checkpoint: str, decoder: Decoder) -> None:
        torch.set_num_threads(1)
        self.decoder, self.vad = decoder, load_silero_vad()
        self.detector = STAGES["faces"].get("mtcnn")()
        self.active = Active(checkpoint=checkpoint)
        for stage in (self.detector, self.active):
            stage.load("cpu")
        self.pictures, self.seconds = 0, 0.0

    def clip(self, path: Path) -> tuple[FaceTracks, Waveform]:
        """Faces and sound of a file at 25 pictures a second."""
        clip = Clip(path.name, path)
        return self.detector.run(self.decoder.frames(clip, OPTIONS)), self.decoder.waveform(clip, OPTIONS)

    def score(self, faces: FaceTracks, sound: Waveform) -> np.ndarray:
        """face_score, its time taken."""
        begun = time.process_time()
        score = self.active.run(faces, sound).face_score
        self.seconds += time.process_time() - begun
        self.pictures += len(score)
        return score

    def speech(self, sound: Waveform, times: np.ndarray) -> np.ndarray:
        """Which pictures fall into speech: bool (T,)."""
        spans = get_speech_timestamps(torch.from_numpy(sound.samples), self.vad)
        middle = times.mean(1) * sound.rate
        return np.any([(middle >= span["start"]) & (middle < span["end"]) for span in spans], axis=0)


def frozen(faces: FaceTracks) -> FaceTracks:
    """The first picture of a face all the time."""
    first, count = faces.crops.data[: faces.crops.offsets[1]].tobytes(), len(faces.row)
    still = {name: np.repeat(getattr(faces, name)[:1], count, 0) for name in ("boxes", "squares")}
    return replace(faces, crops=EncodedImages.join([first] * count), **still)


def changed(sound: Waveform, samples: np.ndarray) -> Waveform:
    return replace(sound, samples=np.ascontiguousarray(samples, np.float32))


def talking_head(bench: Bench, path: Path, silent_face: FaceTracks) -> dict[str, float]:
    """What is promised of one talking face."""
    faces, sound = bench.clip(path)
    speech = bench.speech(sound, faces.times)[faces.row]
    own = bench.score(faces, sound)
    length = round(silent_face.times[-1, 1] * sound.rate)
    other = bench.score(silent_face, changed(sound, np.resize(sound.samples, length)))
    return {
        "speech > 0": float((own[speech] > 0).mean()),
        "pauses > 0": float((own[~speech] > 0).mean()) if path.name.startswith("grid") else float("nan"),
        "silence lowers": float(own.mean() - bench.score(faces, changed(sound, 0 * sound.samples)).mean()),
        "1 s late lowers": float(own.mean() - bench.score(faces, changed(sound, np.roll(sound.samples, 16000))).mean()),
        "silent face < 0": float((other < 0).mean()),
        "above silent face": float(own.mean() - other.mean()),
        "frozen < 0": float((bench.score(frozen(faces), sound)[speech] < 0).mean()),
    }


PROMISES = {  # least, most
    "speech > 0": (0.85, 1.0),
    "pauses > 0": (0.0, 0.10),
    "silence lowers": (2.5, np.inf),
    "1 s late lowers": (1e-6, np.inf),
    "silent face < 0": (0.90, 1.0),
    "above silent face": (1.5, np.inf),
    "frozen < 0": (0.90, 1.0),
    "left one of two faces": (0.95, 1.0),
}


def two_faces(bench: Bench) -> float:
    """Share of the speech in which the left one, who speaks, is chosen."""
    faces, sound = bench.clip(SAMPLES / "two_faces.mp4")
    speech = bench.speech(sound, faces.times)
    return float((bench.active.run(faces, sound).track[speech] == faces.track[np.argmin(faces.boxes[:, 0])]).mean())


def main() -> None:
    checkpoint = str(Path(sys.argv[1]).absolute() if sys.argv[1:] else SHARED / "weights/lr_asd/pretrain_AVA.model")
    names = [name for name in PROMISES if name != "left one of two faces"]
    print(f"{'clip':<18}" + "".join(f"{name:>19}" for name in names))
    with Decoder() as decoder:
        bench = Bench(checkpoint, decoder)
        silent_face, _ = bench.clip(SHARED / "media/faces/silent_face_pexels.mp4")
        found: dict[str, list[float]] = {name: [] for name in PROMISES}
        for path in sorted((SHARED / "media/speech").glob("*.mp*")):
            row = talking_head(bench, path, silent_face)
            print(f"{path.stem:<18}" + "".join(f"{row[name]:>19.3f}" for name in names), flush=True)
            for name, value in row.items():
                found[name].append(value)
        found["left one of two faces"].append(two_faces(bench))
    for name, (least, most) in PROMISES.items():
        worst = np.nanmax(found[name]) if name == "pauses > 0" else np.nanmin(found[name])
        limit = f"at most {most}" if name == "pauses > 0" else f"at least {least}"
        print(f"{name:<22} worst {worst:.3f}, {limit}: {'kept' if least <= worst <= most else 'BROKEN'}")
    print(f"{bench.seconds / bench.pictures * 1e3:.1f} CPU-ms a face and picture")


if __name__ == "__main__":
    main()
