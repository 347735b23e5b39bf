"""Expression: the net against its parts, the crops against drawn faces, the shipped weights against people."""

from __future__ import annotations

import csv
import zipfile
from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from msapipe.api import Pipeline
from msapipe.errors import WeightsError
from msapipe.pipeline.run import Outcome
from msapipe.stages._neutral import centred
from msapipe.stages.faces.mtcnn import MTCNN
from msapipe.stages.vision._expression_net import (
    COUNT,
    EMOTIONS,
    NEGATIVE,
    POCKET_FACE,
    SIDE,
    filling,
    load_net,
    normalised,
    picture,
)
from msapipe.stages.vision._units import UNITS
from msapipe.stages.vision.expression import NEUTRAL, Expression
from msapipe.testing import fakes
from msapipe.types import EncodedImages, FaceClip, Frames, Speaker
from tests.stages.vision.pictures import clip_of, noise

SHIPPED = Expression.weights[0]

# The net in torch stands beside the program that trains it.
spec = spec_from_file_location("network", Path(__file__).resolve().parents[3] / "models/pocket_face/network.py")
assert spec is not None
assert spec.loader is not None
training = module_from_spec(spec)
spec.loader.exec_module(training)

# Least macro recall of five emotions and share of right signs: of the photographs themselves, as the card promises, and
# of photographs amid black, on which the net was not trained and is worse.
PROMISED = [(False, 0.62, 0.86), (True, 0.57, 0.83)]


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def stage() -> Expression:
    made = Expression()
    made.load("cpu")
    return made


def random_net() -> Any:
    """A net as in training, with random numbers everywhere, in batch norms too."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        made = training.network(normed=True).eval()
        for module in made.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
                torch.nn.init.uniform_(module.weight, 0.5, 1.5)
                torch.nn.init.normal_(module.bias, 0, 0.1)
    return made.requires_grad_(False)


# --- the net -----------------------------------------------------------------------------------------------------


def by_hand(state: dict[str, torch.Tensor], pictures: torch.Tensor) -> torch.Tensor:
    """The folded net, written out as convolutions."""

    def layer(name: str, values: torch.Tensor, stride: int) -> torch.Tensor:
        weight = state[f"{name}.weight"]
        return torch.conv2d(values, weight, state[f"{name}.bias"], stride, weight.shape[-1] // 2)

    values = layer("stem", pictures, 2).clamp(min=0)
    for block, stride in enumerate((1, 2, 2, 2)):
        name = f"blocks.{block}"
        past = layer(f"{name}.past", values, stride) if stride == 2 else values
        values = (past + layer(f"{name}.second", layer(f"{name}.first", values, stride).clamp(min=0), 1)).clamp(min=0)
    assert values.shape[1:] == (160, 4, 4)
    return values.sum((2, 3)) / 16


def test_folding_changes_nothing_and_the_net_is_what_is_written_out() -> None:
    net = random_net()
    pictures = torch.from_numpy(np.random.default_rng(0).normal(size=(3, 1, SIDE, SIDE)).astype(np.float32))
    want, use = net(pictures), training.folded(net)
    assert not [module for module in use.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert (use(pictures) - want).abs().max() < 1e-4 * want.max()
    assert (by_hand(use.state_dict(), pictures) - want).abs().max() < 1e-4 * want.max()
    assert torch.equal(use.head.weight, net.head.weight)
    assert torch.equal(use.units.weight, net.units.weight)
    assert torch.equal(use.embedding.bias, net.embedding.bias)
    assert (want[0] - want[1]).abs().max() > 0.01 * want.max()


def test_a_face_and_its_mirror_image_are_the_same() -> None:
    net = training.folded(random_net())
    pictures = torch.randn(2, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(training.pooled(net, pictures), training.pooled(net, pictures.flip(3)), atol=1e-5)
    assert torch.allclose(training.pooled(net, pictures), (net(pictures) + net(pictures.flip(3))) / 2, atol=1e-5)


def test_the_file_is_the_net_and_half_precision_costs_nothing(tmp_path: Path) -> None:
    net = training.folded(random_net())
    (tmp_path / "net.onnx").write_bytes(training.exported(net))
    pictures = torch.randn(4, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    chances, units, embedding = load_net(tmp_path / "net.onnx").run(None, {"pictures": pictures.numpy()})
    half = training.folded(random_net()).half().float()
    for made, most in ((half, 1e-4), (net, 2e-3)):
        seen = training.pooled(made, pictures)
        assert np.abs(chances - made.head(seen).softmax(1).numpy()).max() < most
        assert np.abs(units - made.units(seen).sigmoid().numpy()).max() < most
        assert np.abs(embedding - made.embedding(seen).numpy()).max() < 20 * most * np.abs(embedding).max()


def test_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("no numbers")
    for name in ("text", "missing"):
        with pytest.raises(WeightsError, match=f"{name}.onnx cannot be read as an ONNX model"):
            load_net(tmp_path / f"{name}.onnx")


# --- the pictures that it sees -----------------------------------------------------------------------------------


def marked(angle: float, scale: float) -> FaceClip:
    """A grey clip of one face whose landmarks are white dots, turned by ``angle`` degrees and ``scale`` as large."""
    clip = fakes.face_tracks(1)
    middle = np.array([48, 48], np.float32)
    turn = cv2.getRotationMatrix2D((0, 0), angle, scale)[:, :2]
    template = np.array([[38, 52], [74, 52], [56, 72], [42, 92], [71, 92]], np.float32) - (56, 72)
    points = (template / 2 @ turn.T + middle).astype(np.float32)
    square = np.full((96, 96, 3), 60, np.uint8)
    for point in points:
        cv2.circle(square, tuple(round(float(value)) for value in point), 2, (255, 255, 255), -1)
    tracks = replace(
        clip,
        frame_size=(300, 300),
        boxes=np.array([[114, 114, 183, 183]], np.float32),
        landmarks=points[None] + 100,
        squares=np.array([[100, 100, 96]], np.float32),
        crops=EncodedImages.join([cv2.imencode(".jpg", square)[1].tobytes()]),
    )
    return FaceClip(tracks, Speaker(np.zeros(1, np.int64), np.ones(1, np.float32)))


@pytest.mark.parametrize(("angle", "scale"), [(0, 1), (25, 1), (-40, 1.3), (10, 0.7)])
def test_faces_are_turned_upright_and_made_as_large(angle: float, scale: float) -> None:
    found = picture(marked(angle, scale), 0)
    assert found.shape == (SIDE, SIDE)
    for x, y in ((20.3, 25.2), (43.6, 25.1), (32.0, 38.4), (22.5, 52.0), (41.7, 51.9)):
        spot = found[int(y) - 2 : int(y) + 3, int(x) - 2 : int(x) + 3]
        assert spot.max() > found.mean() + 40, (x, y)
    assert found[:20].max() < 90
    wide = picture(marked(angle, scale), 0, 96)
    assert np.abs(wide[16:80, 16:80].astype(int) - found).max() <= 2


def test_what_lies_outside_the_picture_repeats_its_edge() -> None:
    inside = marked(0, 1.3)
    outside = marked(0, 1.3)
    outside.squares = inside.squares - np.array([130, 0, 0], np.float32)
    outside.landmarks = inside.landmarks - np.array([130, 0], np.float32)
    found = picture(outside, 0, 96)
    assert found.min() > 40  # no black bar to the left
    assert np.ptp(found[48, :10]) < 6


def test_a_face_larger_than_the_picture_is_taken_whole() -> None:
    clip = marked(0, 1)
    clip.squares = np.array([[0, 0, 96]], np.float32)
    clip.frame_size = (60, 60)
    clip.boxes = np.array([[-5, -5, 64, 64]], np.float32)
    grey = cv2.cvtColor(clip.square(0), cv2.COLOR_RGB2GRAY)
    assert np.array_equal(picture(clip, 0), filling(np.asarray(grey[:60, :60], np.uint8)))
    clip.boxes = np.array([[5, 5, 55, 55]], np.float32)
    assert not np.array_equal(picture(clip, 0), filling(np.asarray(grey[:60, :60], np.uint8)))


def test_light_and_contrast_do_not_count() -> None:
    face = cv2.cvtColor(noise(1)[0], cv2.COLOR_BGR2GRAY)[:SIDE, :SIDE].astype(np.float32)
    bright, dark = face[None] * 0.8 + 40, face[None] * 0.4 + 5
    found = normalised(np.concatenate([bright, dark]).astype(np.uint8))
    assert np.abs(found.mean((1, 2, 3))).max() < 1e-4
    assert np.abs(found[0] - found[1]).max() < 0.3 < np.ptp(found)
    assert np.array_equal(normalised(np.full((1, SIDE, SIDE), 7, np.uint8)), np.zeros((1, 1, SIDE, SIDE), np.float32))


# --- the stage ---------------------------------------------------------------------------------------------------


def test_columns_are_probabilities_valence_smile_and_an_embedding(stage: Expression) -> None:
    found = stage.run(clip_of(noise(6)))
    assert found.values.shape == (6, 41)
    assert found.names[:9] == (*EMOTIONS, "valence", "smile")
    assert found.names[9:] == tuple(f"embedding_{i}" for i in range(32))
    chances = dict(zip(EMOTIONS, found.values[:, : len(EMOTIONS)].T, strict=True))
    assert np.abs(found.values[:, :7].sum(1) - 1).max() < 1e-5
    assert found.values[:, :7].min() >= 0
    emotion, smile = chances["happiness"] - sum(chances[name] for name in NEGATIVE), found.values[:, 8]
    away = emotion - NEUTRAL
    free = away / np.where(away > 0, 1 - NEUTRAL, 1 + NEUTRAL)
    assert np.allclose(found.values[:, 7], np.minimum(free, np.maximum(2 * smile, -1)), atol=1e-6)


def test_numbers_are_those_of_the_net_written_out(stage: Expression) -> None:
    clip = clip_of(noise(3))
    state = {
        number.name.removeprefix("net.").removesuffix(".half"): torch.from_numpy(numpy_helper.to_array(number).copy())
        for number in onnx.load(SHIPPED.path()).graph.initializer
    }
    state = {name: tensor.float() for name, tensor in state.items()}
    pictures = torch.from_numpy(normalised(np.stack([picture(clip, row) for row in range(3)])))
    vectors = (by_hand(state, pictures) + by_hand(state, pictures.flip(3))) / 2
    chances = torch.softmax(vectors @ state["head.weight"].T + state["head.bias"], 1)
    units = torch.sigmoid(vectors @ state["units.weight"].T + state["units.bias"]).numpy()
    smile, frown = (units[:, UNITS.index(unit)] for unit in (12, 15))
    embedding = vectors @ state["embedding.weight"].T + state["embedding.bias"]
    found = stage.run(clip).values
    assert np.abs(found[:, :7] - chances.numpy()).max() < 1e-4
    assert np.abs(found[:, 8] - (smile - frown)).max() < 1e-4
    assert np.abs(found[:, 9:] - embedding.numpy()).max() < 1e-3


def test_the_neutral_point_becomes_zero_and_the_ends_stay() -> None:
    said = np.array([-1, -0.625, -0.25, 0.375, 1], np.float32)
    assert centred(said, -0.25).tolist() == pytest.approx([-1, -0.5, 0, 0.5, 1])
    assert centred(said, 0.0).tolist() == said.tolist()
    assert centred(said, -0.25).dtype == np.float32


def test_a_face_has_the_same_numbers_among_any_others(stage: Expression) -> None:
    faces = noise(2 * COUNT + 1)
    alone = np.concatenate([stage.run(clip_of([face])).values for face in faces])
    for count in (2, COUNT - 1, COUNT, COUNT + 1, len(faces)):
        assert np.array_equal(stage.run(clip_of(faces[:count])).values, alone[:count])
    assert np.array_equal(stage.run(clip_of(faces[::-1])).values, alone[::-1])


def test_rows_without_the_speaker_are_zero_and_move_no_other(stage: Expression) -> None:
    faces, seen = noise(6), [True, False, False, True, True, False]
    every, some = stage.run(clip_of(faces)), stage.run(clip_of(faces, seen))
    assert some.valid.tolist() == seen
    assert not some.values[~some.valid].any()
    assert np.array_equal(some.values[some.valid], every.values[some.valid])


def test_nothing_and_nobody(stage: Expression) -> None:
    assert stage.run(fakes.face_clip(0)).values.shape == (0, 41)
    assert not stage.run(fakes.face_clip(3, seen=False)).valid.any()
    black = stage.run(clip_of([np.zeros((100, 100, 3), np.uint8), noise(1)[0]]))
    assert black.valid.tolist() == [False, True]


def test_the_file_is_small_and_the_card_beside_it() -> None:
    assert SHIPPED.path().stat().st_size == POCKET_FACE.bytes <= 1_200_000
    assert (SHIPPED.path().parent / "README.md").is_file()


def test_loading_draws_no_random_numbers() -> None:
    state = torch.random.get_rng_state()
    Expression().load("cpu")
    assert torch.equal(torch.random.get_rng_state(), state)


# --- faces in films ----------------------------------------------------------------------------------------------


@pytest.mark.xfail(strict=True, reason="the shipped net takes this drawn frown for a smile: known, see its card")
def test_a_frown_is_no_positive_face_and_a_smile_is(outcomes: dict[str, Outcome]) -> None:
    smiling, frowning = (_means(outcomes[name]) for name in ("positive", "negative"))
    assert smiling["valence"] > 0.5
    assert frowning["valence"] < 0.05
    assert smiling["smile"] - frowning["smile"] > 0.5


def _means(outcome: Outcome) -> dict[str, float]:
    found = outcome.features["vision"]
    means = found.values[found.valid].mean(0)
    return {name.rpartition(".")[2]: float(value) for name, value in zip(found.names, means, strict=True)}


@pytest.mark.slow
def test_people_who_only_talk_are_about_neutral(pocket: Pipeline, shared: Path) -> None:
    paths = sorted((shared / "media" / "speech").glob("*.mp[4g]"))
    if not paths:
        pytest.skip("the films of talkers are not there")
    said = [_means(outcome)["valence"] for outcome in pocket.run(paths)]
    assert abs(float(np.median(said))) < 0.1
    assert float(np.std(said)) < 0.2


# --- people that it has not seen ---------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(("black", "least", "least_sign"), PROMISED)
def test_it_reads_people_who_were_not_trained_on(
    stage: Expression, shared: Path, black: bool, least: float, least_sign: float
) -> None:
    folder = shared / "data" / "faces"
    if not (folder / "faces.zip").is_file():
        pytest.skip("the photographs are not there")
    with (folder / "labels.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "valid" and row["emotion"] in EMOTIONS]
    detector = MTCNN()
    detector.load("cpu")
    told, said, valence = [], [], []
    with zipfile.ZipFile(folder / "faces.zip") as archive:
        for row in rows:
            found = stage.run(in_a_video(detector, archive.read(row["image"]), black))
            if found.valid.any():
                values = found.values[found.valid][0]
                told.append(row["emotion"])
                said.append(EMOTIONS[int(values[:7].argmax())])
                valence.append(values[7])
    labels, guesses, valences = np.array(told), np.array(said), np.array(valence)
    five = ("anger", "happiness", "neutral", "sadness", "surprise")
    recall = {name: float((guesses[labels == name] == name).mean()) for name in five}
    happy, negative = valences[labels == "happiness"] > 0, valences[np.isin(labels, NEGATIVE)] < 0
    assert len(labels) > 0.9 * len(rows)
    assert np.mean(list(recall.values())) > least, recall
    assert (happy.mean() + negative.mean()) / 2 > least_sign


def in_a_video(detector: MTCNN, coded: bytes, black: bool) -> FaceClip:
    """A photograph, as it is or amid black, as a still video; its largest face speaks."""
    photograph = cv2.imdecode(np.frombuffer(coded, np.uint8), cv2.IMREAD_COLOR_RGB)
    border = max(photograph.shape[:2]) // 2 if black else 0
    seen = np.asarray(cv2.copyMakeBorder(photograph, *[border] * 4, cv2.BORDER_CONSTANT), np.uint8)
    tracks = detector.run(Frames(lambda: ((seen, i / 10, (i + 1) / 10) for i in range(5))))
    first = tracks.row == tracks.row[:1]
    widths = np.where(first, tracks.boxes[:, 2] - tracks.boxes[:, 0], -1)
    largest = tracks.track[widths.argmax()] if len(widths) else -1
    return FaceClip(tracks, Speaker(np.full(5, largest, np.int64), np.ones(5, np.float32)))
