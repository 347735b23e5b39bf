"""Train the net of the stage ``vision/expression`` and write model.onnx.

    uv run python models/pocket_face/train.py --data ../shared/data --media ../shared/media \
        --teacher ../shared/weights/mediapipe/face_landmarker.task --work FOLDER

The faces that are cut out, what the teacher says of them and the nets that are trained are kept in FOLDER: empty it
after a change. Two seeds are trained side by side, each on one core; the first is shipped, the figures are of both.
Paste the last two lines into msapipe/stages/vision/_expression_net.py.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import logging
import os
import zipfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import cv2
import numpy as np
import torch
from network import exported, folded, network, pooled
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from units import FIELD, Read, Taught, taught

from msapipe.stages.faces.mtcnn import MTCNN
from msapipe.stages.vision._expression_net import (
    EMBEDDING,
    EMOTIONS,
    NEGATIVE,
    SIDE,
    filling,
    normalised,
    picture,
)
from msapipe.stages.vision._pocket_units import TAUGHT
from msapipe.stages.vision._units import UNITS
from msapipe.types import FaceClip, Frames, Speaker

HERE = Path(__file__).resolve().parent
TARGET = HERE / "model.onnx"

VIEWS = ("bordered", "plain")
STEPS = 5  # times that MTCNN sees a photograph: of a person seen less often it wants to be surer
BATCH = 64
BENT, FILMED = 12, 12  # pictures beside each batch, from which only action units are learned
LESSON = 0.5  # what the error of a unit, in shares of its variance, counts beside the loss of emotions
RATE = 3e-3
SMOOTHING = 0.05
ENOUGH = 150  # an emotion with fewer photographs than so is expected that much less often
FIVE = ("anger", "happiness", "neutral", "sadness", "surprise")

TAUGHT_UNITS = np.isin(UNITS, TAUGHT)

log = logging.getLogger("train")


@dataclass(frozen=True)
class Faces:
    """pictures: uint8 (n, 2, 96, 96), each photograph in both views.   emotion: int64 (n,).   training: bool (n,)."""

    pictures: NDArray[np.uint8]
    emotion: NDArray[np.int64]
    training: NDArray[np.bool_]


# --- faces -------------------------------------------------------------------------------------------------------


def prepared(data: Path, work: Path) -> Faces:
    """The labelled photographs as the stage would see them, cut out now or before."""
    kept = work / "faces.npz"
    if not kept.is_file():
        with (data / "faces" / "labels.csv").open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row["emotion"] in EMOTIONS]
        with ProcessPoolExecutor(2, get_context("spawn")) as pool:
            names = [row["image"] for row in rows]
            parts = list(pool.map(cut_out, repeat(data), [names[i : i + 200] for i in range(0, len(names), 200)]))
        work.mkdir(parents=True, exist_ok=True)
        emotion = np.array([EMOTIONS.index(row["emotion"]) for row in rows])
        training = np.array([row["split"] == "train" for row in rows])
        np.savez(kept, pictures=np.concatenate(parts), emotion=emotion, training=training)
    with np.load(kept) as found:
        return Faces(found["pictures"], found["emotion"], found["training"])


def cut_out(data: Path, names: list[str]) -> NDArray[np.uint8]:
    """Both views of some photographs: uint8 (n, 2, 96, 96)."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    stage = MTCNN()
    stage.load("cpu")
    found = []
    with zipfile.ZipFile(data / "faces" / "faces.zip") as archive:
        for name in names:
            coded = np.frombuffer(archive.read(name), np.uint8)
            photograph = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR_RGB), np.uint8)
            found.append([face_in(stage, photograph, view) for view in VIEWS])
    return np.array(found, np.uint8)


def face_in(stage: MTCNN, photograph: NDArray[np.uint8], view: str) -> NDArray[np.uint8]:
    """The largest face that MTCNN finds, as the stage cuts it out of a video; without one, all of the photograph.

    The photographs end at the face, and MTCNN's box often runs off. "bordered" is how it sees a face with something
    round it: half the photograph's length of black, which is taken away again after the search.
    """
    border = max(photograph.shape[:2]) // 2 if view == "bordered" else 0
    seen = cv2.copyMakeBorder(photograph, border, border, border, border, cv2.BORDER_CONSTANT)
    tracks = stage.run(Frames(lambda: ((np.asarray(seen), i / 10, (i + 1) / 10) for i in range(STEPS))))
    if not len(tracks.row):
        return filling(np.asarray(cv2.cvtColor(photograph, cv2.COLOR_RGB2GRAY), np.uint8), FIELD)
    row = int(tracks.row[0])
    first = np.flatnonzero(tracks.row == row)
    largest = tracks.track[first[np.argmax(tracks.boxes[first, 2] - tracks.boxes[first, 0])]]
    height, width = photograph.shape[:2]
    boxes = tracks.boxes - np.float32(border)
    moved = replace(
        tracks,
        frame_size=(height, width),
        boxes=boxes.clip(0, [width, height, width, height]).astype(np.float32) if border else boxes,
        landmarks=tracks.landmarks - np.float32(border),
        squares=tracks.squares - np.array([border, border, 0], np.float32),
    )
    speaker = Speaker(np.full(STEPS, largest, np.int64), np.ones(STEPS, np.float32))
    return picture(FaceClip(moved, speaker), row, FIELD)


# --- training ----------------------------------------------------------------------------------------------------


def trained(faces: Faces, lessons: Taught, seed: int, epochs: int) -> Any:
    """The net with batch norms, the moving average of its training, in eval mode."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    net = network(normed=True).to(memory_format=torch.channels_last)
    average = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(0.99), use_buffers=True)  # type: ignore[no-untyped-call]
    counts = np.bincount(faces.emotion[faces.training], minlength=len(EMOTIONS))
    # Emotions are drawn by the square root of how often they are; what that leaves uneven the loss takes out.
    drawn = torch.from_numpy(np.sqrt(counts) / np.sqrt(counts).sum()).float()
    steps = epochs * int(faces.training.sum()) // BATCH
    optimiser = torch.optim.AdamW(net.parameters(), RATE, weight_decay=0.05)
    rates = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, steps, pct_start=0.2)
    told = lessons.photographs.units[faces.training]
    variance = torch.from_numpy(np.nanvar(told[:, TAUGHT_UNITS], 0))
    with torch.no_grad():  # begun at the means, or units that are rare would drown all else at first
        net.units.bias.copy_(torch.from_numpy(np.nanmean(told, 0)).clamp(0.001, 0.999).logit())
    for step, (pictures, emotion, units) in enumerate(batches(faces, lessons, drawn, steps)):
        vectors = functional.dropout(net(pictures), 0.3)
        felt = functional.cross_entropy(net.head(vectors[:BATCH]) + drawn.log(), emotion, label_smoothing=SMOOTHING)
        said, known = net.units(vectors)[:, TAUGHT_UNITS].sigmoid(), ~units[:, 0].isnan()
        wrong = ((said[known] - units[known]).square() / variance).mean()
        loss = felt + LESSON * wrong
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        rates.step()
        average.update_parameters(net)
        if step % 50 == 0:
            parts = felt.item(), wrong.item()
            log.info("seed %d, step %d of %d: emotions %.3f, units %.3f", seed, step, steps, *parts)
    return average.module.eval()


def batches(
    faces: Faces, lessons: Taught, drawn: torch.Tensor, steps: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Pictures (88, 1, 64, 64), changed at random, the emotions (64,) of the first, and what the teacher says of the
    units that it knows (88, 15), NaN where it found no face.
    """
    pictures = torch.from_numpy(faces.pictures[faces.training])
    emotion = torch.from_numpy(faces.emotion[faces.training])
    told = torch.from_numpy(lessons.photographs.units[faces.training][:, TAUGHT_UNITS])
    others = [(_clear(lessons.bent, faces.training), BENT), (_clear(lessons.films), FILMED)]
    chance = (drawn / torch.bincount(emotion, minlength=len(EMOTIONS)))[emotion]
    for _ in range(steps):
        chosen = torch.multinomial(chance, BATCH, replacement=True)
        seen, units = [pictures[chosen, torch.randint(len(VIEWS), (BATCH,))]], [told[chosen]]
        for (these, said), count in others:
            some = torch.randint(len(these), (count,))
            seen.append(these[some])
            units.append(said[some])
        yield changed(torch.cat(seen).float()), emotion[chosen], torch.cat(units)


def _clear(read: Read, rows: NDArray[np.bool_] | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures in which the teacher found a face, of some rows, and the units that it knows."""
    found = ~np.isnan(read.units[:, 0])
    kept = found if rows is None else found & rows
    return torch.from_numpy(read.pictures[kept]), torch.from_numpy(read.units[kept][:, TAUGHT_UNITS])


def changed(faces: torch.Tensor) -> torch.Tensor:
    """Faces (n, 96, 96) in [0, 255]: moved, mirrored, lit and blurred otherwise, normalised, one spot covered."""
    count = len(faces)

    def between(low: float, high: float) -> torch.Tensor:
        return torch.rand(count) * (high - low) + low

    angle, scale = between(-0.26, 0.26), between(0.85, 1.15) * SIDE / FIELD
    cos, sin = angle.cos() * scale, angle.sin() * scale
    mirror = torch.where(torch.rand(count) < 0.5, -1.0, 1.0)
    stretch = between(0.92, 1.08)
    rows = [mirror * cos * stretch, -sin, between(-0.08, 0.08), mirror * sin * stretch, cos, between(-0.08, 0.08)]
    grid = functional.affine_grid(torch.stack(rows, 1).view(-1, 2, 3), [count, 1, SIDE, SIDE], align_corners=False)
    seen = functional.grid_sample(faces[:, None], grid, padding_mode="border", align_corners=False)
    seen = (seen / 255).clamp(0, 1) ** between(-0.5, 0.5).exp().view(-1, 1, 1, 1)
    coarse = functional.interpolate(functional.avg_pool2d(seen, 2), scale_factor=2.0, mode="bilinear")
    seen = torch.where(torch.rand(count, 1, 1, 1) < 0.2, coarse, seen)
    flat = seen.flatten(1)
    seen = (seen - flat.mean(1).view(-1, 1, 1, 1)) / (flat.std(1).view(-1, 1, 1, 1) + 1 / 255)
    x, y, side = between(0, SIDE), between(0, SIDE), between(0, 24)
    place = torch.arange(SIDE)
    columns = (place[None] - x[:, None]).abs() < side[:, None] / 2
    lines = (place[None] - y[:, None]).abs() < side[:, None] / 2
    return seen.masked_fill((lines[:, :, None] & columns[:, None])[:, None], 0)


# --- what is shipped ---------------------------------------------------------------------------------------------


def finished(net: Any, faces: Faces) -> tuple[Any, float]:
    """The net for use in half precision, its probabilities calibrated, its embedding fitted; and the temperature.

    The head's biases hold the logarithm of how often each emotion is expected: equally often, but those with few
    photographs less. The temperature is what fits these probabilities best on the validation part, every emotion
    having the weight that is expected of it.
    """
    net = folded(net)
    counts = np.bincount(faces.emotion[faces.training], minlength=len(EMOTIONS))
    expected = torch.from_numpy(np.minimum(1, counts / ENOUGH)).float()
    with torch.inference_mode():
        fitted = vectors(net, faces, faces.training, 0)
        mean = fitted.mean(0)
        _, _, directions = torch.linalg.svd(fitted - mean, full_matrices=False)
        logits = torch.cat([net.head(vectors(net, faces, ~faces.training, view)) for view in range(len(VIEWS))])
    emotion = torch.from_numpy(np.tile(faces.emotion[~faces.training], len(VIEWS)))
    weight = expected / torch.bincount(emotion, minlength=len(EMOTIONS))
    candidates = torch.arange(0.3, 3, 0.01)
    losses = [functional.cross_entropy(logits / t + expected.log(), emotion, weight) for t in candidates]
    temperature = float(candidates[int(torch.stack(losses).argmin())])
    with torch.no_grad():
        net.head.weight.div_(temperature)
        net.head.bias.div_(temperature).add_(expected.log())
        net.embedding.weight.copy_(directions[:EMBEDDING])
        net.embedding.bias.copy_(-directions[:EMBEDDING] @ mean)
    return net.half().float(), temperature


def vectors(net: Any, faces: Faces, which: NDArray[np.bool_], view: int) -> torch.Tensor:
    """What the net makes of one view of some faces: (n, 160)."""
    edge = (FIELD - SIDE) // 2
    pictures = normalised(faces.pictures[which, view, edge:-edge, edge:-edge])
    return torch.cat([pooled(net, part) for part in torch.from_numpy(pictures).split(64)])  # type: ignore[no-untyped-call]


def figures(net: Any, faces: Faces) -> dict[str, float]:
    """Scores on the validation part, of each view and emotion."""
    found = {}
    emotion = faces.emotion[~faces.training]
    for view, called in enumerate(VIEWS):
        with torch.inference_mode():
            chance = net.head(vectors(net, faces, ~faces.training, view)).softmax(1).numpy()
        recall = {name: float((chance.argmax(1) == i)[emotion == i].mean()) for i, name in enumerate(EMOTIONS)}
        valence = chance[:, EMOTIONS.index("happiness")] - chance[:, [EMOTIONS.index(n) for n in NEGATIVE]].sum(1)
        happy = emotion == EMOTIONS.index("happiness")
        negative = np.isin(emotion, [EMOTIONS.index(name) for name in NEGATIVE])
        found[f"{called} macro recall of 5"] = float(np.mean([recall[name] for name in FIVE]))
        found[f"{called} positive against negative"] = float(
            ((valence[happy] > 0).mean() + (valence[negative] < 0).mean()) / 2
        )
        found |= {f"{called} {name}": value for name, value in recall.items()}
    return found


def as_taught(net: Any, faces: Faces, lessons: Taught) -> dict[str, float]:
    """How the net's units correlate with what the teacher says of people and films that were not trained on."""
    found = {}
    parts = {
        "photographs": _clear(lessons.photographs, ~faces.training),
        "bent photographs": _clear(lessons.bent, ~faces.training),
        "other films": _clear(lessons.unseen),
    }
    edge = (FIELD - SIDE) // 2
    for name, (pictures, told) in parts.items():
        seen = torch.from_numpy(normalised(pictures[:, edge:-edge, edge:-edge].numpy()))
        with torch.inference_mode():
            said = torch.cat([net.units(pooled(net, part)).sigmoid() for part in seen.split(64)])  # type: ignore[no-untyped-call]
        each = [np.corrcoef(a, b)[0, 1] for a, b in zip(said[:, TAUGHT_UNITS].T.numpy(), told.T.numpy(), strict=True)]
        found[f"{name}: units, mean correlation"] = float(np.mean(each))
        found |= {f"{name}: AU{unit:02}": float(value) for unit, value in zip(TAUGHT, each, strict=True)}
    return found


def run(
    work: Path, data: Path, media: Path, teacher: Path, seed: int, epochs: int
) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
    """Train one seed: the state of the net for use, and its figures."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    faces = prepared(data, work)
    lessons = taught(faces.pictures[:, VIEWS.index("plain")], media, teacher, work)
    kept = work / f"net-seed{seed}-epochs{epochs}.safetensors"
    if not kept.is_file():
        state = trained(faces, lessons, seed, epochs).state_dict()
        save_file({name: tensor.contiguous() for name, tensor in state.items()}, kept)
    net = network(normed=True)
    net.load_state_dict(load_file(kept), strict=True)
    net, temperature = finished(net, faces)
    return net.state_dict(), {"temperature": temperature, **figures(net, faces), **as_taught(net, faces, lessons)}


def main() -> None:
    """Train, write, say how good it is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=HERE.parents[2] / "shared" / "data")
    parser.add_argument("--media", type=Path, default=HERE.parents[2] / "shared" / "media")
    parser.add_argument("--teacher", type=Path, required=True, help="MediaPipe's face_landmarker.task")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    chosen = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    faces = prepared(chosen.data, chosen.work)
    taught(faces.pictures[:, VIEWS.index("plain")], chosen.media, chosen.teacher, chosen.work)
    train = partial(run, chosen.work, chosen.data, chosen.media, chosen.teacher, epochs=chosen.epochs)
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        done = list(pool.map(train, chosen.seeds))
    for name in done[0][1]:
        each = [scores[name] for _, scores in done]
        log.info("%-40s mean %.3f  (%s)", name, np.mean(each), ", ".join(f"{value:.3f}" for value in each))
    net = network()
    net.load_state_dict(done[0][0], strict=True)
    TARGET.write_bytes(exported(net.eval()))
    log.info('SHA256 = "%s"', hashlib.sha256(TARGET.read_bytes()).hexdigest())
    log.info("BYTES = %d", TARGET.stat().st_size)


if __name__ == "__main__":
    main()
