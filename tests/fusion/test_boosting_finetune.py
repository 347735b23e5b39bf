"""Boosting over tokens, sound and pictures: its networks see what the extracting stages see, and they learn."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray

from msapipe.errors import ConfigError, MissingWeights, WeightsError
from msapipe.fusion import _speech_encoder, _video_encoder
from msapipe.fusion._base import Batch, Phase, collate, owners
from msapipe.fusion._speech_encoder import SpeechEncoder
from msapipe.fusion._video_encoder import VideoEncoder
from msapipe.fusion.boosting import Boosting
from msapipe.stages import Stage
from msapipe.stages.audio.hubert import Hubert
from msapipe.stages.audio.samples import Samples
from msapipe.stages.text.tokens import Tokens
from msapipe.stages.vision.pixels import Pixels
from msapipe.stages.vision.video_swin import VideoSwin
from msapipe.testing import fakes, tiny
from msapipe.testing.tiny._speech import CONFIG, write_preprocessor
from msapipe.train.loop import Loop
from msapipe.train.settings import Settings
from msapipe.train.table import TensorTable
from msapipe.types import EncodedImages, FaceClip, FeatureSequence, Sample, Speaker, Waveform

cv2 = pytest.importorskip("cv2")
SIDE = 32
DIMS = {"text": 3, "audio": 320, "vision": 3 * SIDE * SIDE}
# The sizes of the tiny checkpoint of video_swin, and those of one that is quicker.
SWIN = {"embed_dim": 8, "depths": [2, 2, 2, 2], "num_heads": [1, 2, 4, 8], "window_size": [8, 7, 7]}
SMALL = {"embed_dim": 8, "depths": [2, 2], "num_heads": [1, 2], "window_size": [2, 3, 3]}


@pytest.fixture(scope="module")
def params(tiny_weights: Path) -> dict[str, Any]:
    """Boosting's, that lead to tiny checkpoints."""
    from torchvision.models.video import SwinTransformer3d

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        torch.save(SwinTransformer3d([2, 4, 4], **SMALL).state_dict(), tiny_weights / "small.pth")
    return {
        "language_model": tiny.params("text", "tokens", tiny_weights)["checkpoint"],
        "speech_model": tiny.params("audio", "hubert", tiny_weights)["checkpoint"],
        "video_model": str(tiny_weights / "small.pth"),
        "video_config": json.dumps(SMALL),
    }


@pytest.fixture(scope="module")
def layer_norm(tiny_weights: Path) -> str:
    """As hubert-large, but without normalising the sound: no statistics over time."""
    from transformers import HubertConfig, HubertModel

    folder = tiny_weights / "finetuned_large"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = HubertConfig(**CONFIG, feat_extract_norm="layer", do_stable_layer_norm=True, conv_bias=True)
        HubertModel(config).save_pretrained(folder)
    write_preprocessor(folder, return_attention_mask=True)
    path = folder / "preprocessor_config.json"
    path.write_text(path.read_text().replace('"do_normalize": true', '"do_normalize": false'))
    return str(folder)


def made(stage: Stage, given: Any) -> FeatureSequence:
    stage.load("cpu")
    found = stage.run(given)
    assert isinstance(found, FeatureSequence)
    return found


def noise(count: int, seed: int = 0, loud: float = 0.2) -> Waveform:
    """Noise that grows."""
    random = np.random.default_rng(seed)
    return Waveform((random.normal(0, loud, count) * np.linspace(0.2, 1, count)).astype(np.float32), 16000)


def face_clip(seen: list[bool], seed: int = 0) -> FaceClip:
    """Another picture in every frame; the speaker in those that are seen."""
    pictures: NDArray[np.uint8] = np.random.default_rng(seed).integers(0, 255, (len(seen), 64, 64, 3), np.uint8)
    crops = EncodedImages.join([cv2.imencode(".png", picture)[1].tobytes() for picture in pictures])
    speaker = Speaker(np.where(seen, 0, -1), np.ones(len(seen), np.float32))
    return FaceClip(replace(fakes.face_tracks(len(seen)), crops=crops), speaker)


def as_batch(name: str, *sequences: FeatureSequence) -> Batch:
    return collate([{name: sequence} for sequence in sequences], {name: sequences[0].values.shape[1]})


# --- the networks -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 399, 400, 16000, 16079, 16080, 16390])
@pytest.mark.parametrize("kind", ["group", "layer"])
def test_hubert_over_samples_is_the_stage_hubert(
    count: int, kind: str, params: dict[str, Any], layer_norm: str
) -> None:
    checkpoint = params["speech_model"] if kind == "group" else layer_norm
    expected = made(Hubert(checkpoint=checkpoint, floor_db=-120), noise(count))
    batch = as_batch("audio", made(Samples(), noise(count)))
    encoder = SpeechEncoder(checkpoint, "", 320, "here").eval()
    encoder.load()
    with torch.inference_mode():
        states, mask = encoder(batch.values["audio"], batch.mask["audio"])
    assert mask.all()
    assert states.shape == (1, *expected.values.shape)
    assert np.abs(states[0].numpy() - expected.values).max() < 1e-5


@pytest.mark.parametrize(
    "seen",
    [[True] * 8, [True] * 5, [True], [False, False, False, True, True, False, False, False, True, False, False]],
)
def test_video_swin_over_pixels_is_the_stage_video_swin(seen: list[bool], tiny_weights: Path) -> None:
    clip = face_clip(seen)
    checkpoint = tiny.params("vision", "video_swin", tiny_weights)["checkpoint"]
    expected = made(VideoSwin(checkpoint=checkpoint, size=64), clip)
    batch = as_batch("vision", made(Pixels(size=64), clip))
    encoder = VideoEncoder(checkpoint, json.dumps({**SWIN, "num_classes": 5}), 3 * 64 * 64, "here").eval()
    encoder.load()
    with torch.inference_mode():
        states, mask = encoder(batch.values["vision"], batch.mask["vision"])
    assert mask[0].tolist() == expected.valid.tolist()
    assert np.abs(states[0].numpy() - expected.values).max() < 1e-5


def test_clips_of_other_lengths_beside_it_do_not_move_a_clip(params: dict[str, Any], layer_norm: str) -> None:
    sounds = [made(Samples(), noise(count, seed=count)) for count in (5000, 12345, 900, 100)]
    faces = [made(Pixels(size=SIDE), face_clip([True] * count, seed=count)) for count in (3, 9, 1, 4)]
    swin = VideoEncoder(params["video_model"], params["video_config"], DIMS["vision"], "here")
    base, large = (SpeechEncoder(named, "", 320, "here") for named in (params["speech_model"], layer_norm))
    for name, clips, encoder in (("audio", sounds, base), ("audio", sounds, large), ("vision", faces, swin)):
        encoder.eval().load()  # type: ignore[operator]
        whole = as_batch(name, *clips)
        whole.values[name][~whole.mask[name]] = 1e3
        with torch.inference_mode():
            together, there = encoder(whole.values[name], whole.mask[name])
            for row, clip in enumerate(clips):
                one = as_batch(name, clip)
                alone, mask = encoder(one.values[name], one.mask[name])
                assert int(there[row].sum()) == int(mask.sum())
                assert torch.allclose(together[row][there[row]], alone[mask], atol=1e-5)
                assert not together[row][~there[row]].any()


def test_sound_of_silence_is_finite(params: dict[str, Any]) -> None:
    encoder = SpeechEncoder(params["speech_model"], "", 320, "here").eval()
    states, mask = encoder(torch.zeros(1, 4, 320), torch.ones(1, 4, dtype=torch.bool))
    assert states.isfinite().all()
    assert mask.shape == (1, 3)


def test_what_is_masked_out_within_the_sound_is_silence(params: dict[str, Any]) -> None:
    batch = as_batch("audio", made(Samples(), noise(4000)))
    rows, mask = batch.values["audio"], batch.mask["audio"]
    mask[0, 3] = False
    silent = rows.masked_fill(~mask.unsqueeze(-1), 0.0)
    encoder = SpeechEncoder(params["speech_model"], "", 320, "here").eval()
    with torch.inference_mode():
        assert torch.equal(encoder(rows, mask)[0], encoder(silent, torch.ones_like(mask))[0])


def test_no_layer_is_left_out_in_training() -> None:
    config = json.dumps({"model_type": "hubert", **CONFIG, "layerdrop": 1.0, "mask_time_prob": 0.9})
    encoder = SpeechEncoder("", config, 320, "here").train()
    batch = as_batch("audio", made(Samples(), noise(4000)))
    encoder(batch.values["audio"], batch.mask["audio"])[0].square().sum().backward()
    without = {name for name, part in encoder.named_parameters() if part.grad is None}
    assert without == {name for name, _ in encoder.named_parameters() if not name.startswith(SpeechEncoder.learning)}


def test_wav2vec2_is_a_speech_model_too(tiny_weights: Path) -> None:
    folder = tiny.params("audio", "wav2vec2", tiny_weights)["checkpoint"]
    encoder = SpeechEncoder(folder, "", 320, "here").eval()
    encoder.load()
    batch = as_batch("audio", made(Samples(), noise(4000)))
    with torch.inference_mode():
        sound = encoder._sound(batch.values["audio"][0], batch.mask["audio"][0])
        states, _ = encoder(batch.values["audio"], batch.mask["audio"])
        assert torch.allclose(states, encoder.net(sound[None]).last_hidden_state, atol=1e-5)


def test_the_catalogues_are_those_of_the_stages() -> None:
    hubert = {weights.name: weights for weights in Hubert.weights}
    assert [hubert[weights.name] for weights in _speech_encoder.KNOWN] == list(_speech_encoder.KNOWN)
    swin = {weights.name: weights for weights in VideoSwin.weights}
    known = [known.checkpoint for known in _video_encoder.KNOWN.values()]
    assert [swin[weights.name] for weights in known] == known


@pytest.mark.parametrize("name", sorted(_video_encoder.KNOWN))
def test_sizes_of_published_video_networks_are_torchvision_s(name: str) -> None:
    from torchvision.models import video

    with torch.device("meta"):
        theirs = getattr(video, name)()
        ours = VideoEncoder(name, "", DIMS["vision"], "here").net
    shapes = {key: part.shape for key, part in theirs.state_dict().items() if not key.startswith("head.")}
    assert {key: part.shape for key, part in ours.state_dict().items()} == shapes
    depth = [part.p for part in theirs.modules() if type(part).__name__ == "StochasticDepth"]
    if name == "swin3d_t":
        assert [part.p for part in ours.modules() if type(part).__name__ == "StochasticDepth"] == depth


# --- the model ----------------------------------------------------------------------------------------------------


def clip(tokens: Tokens, loud: float, seed: int) -> dict[str, FeatureSequence]:
    """Half a second of noise, some words, a face now and then."""
    return {
        "text": tokens.run(fakes.transcript("I hate it" if seed % 2 else "what a wonderful day")),
        "audio": made(Samples(), noise(8000 + 500 * (seed % 3), seed, loud)),
        "vision": made(Pixels(size=SIDE), face_clip([True, True, seed % 2 == 0, True, False], seed)),
    }


@pytest.fixture(scope="module")
def samples(params: dict[str, Any]) -> list[Sample]:
    """Twelve clips; the label of every modality says whether a high tone is in the sound."""
    tokens = Tokens(checkpoint=params["language_model"])
    tokens.load("cpu")
    found = []
    for seed in range(12):
        features = clip(tokens, 0.05, seed)
        label = 1.0 if seed % 4 < 2 else -1.0
        rows = features["audio"].values
        tone = np.sin(np.arange(rows.size) * (0.9 if label > 0 else 0.1)).astype(np.float32)
        features["audio"] = replace(features["audio"], values=rows + 0.3 * tone.reshape(rows.shape))
        found.append(Sample(f"clip{seed}", features, dict.fromkeys("MTAV", label)))
    return found


def batch_of(samples: list[Sample]) -> Batch:
    return TensorTable.of(samples, DIMS).whole


def begun(params: Mapping[str, Any], **more: Any) -> Boosting:
    torch.manual_seed(0)
    model = Boosting(DIMS, **params, **more)
    model.begin(model.phases()[0].name, lambda: [])
    return model


@pytest.mark.parametrize("fusion", ["sf", "mult"])
def test_scores_of_each_clip_by_itself_and_without_a_modality(
    fusion: Any, params: dict[str, Any], samples: list[Sample]
) -> None:
    model = begun(params, fusion=fusion, regime="joint").eval()
    some = samples[:4]
    with torch.inference_mode():
        together = model(batch_of(some))
        for row, sample in enumerate(some):
            assert torch.allclose(model(batch_of([sample])).score, together.score[row], atol=1e-5)
        assert set(together.unimodal) == set(DIMS)
        moved = [model(batch_of(some).without(name)).score for name in DIMS]
        assert all(score.isfinite().all() for score in moved)
        assert all((score - together.score).abs().min() > 1e-4 for score in moved)
        assert model(collate([{}], DIMS)).score.isfinite().all()


@pytest.mark.parametrize("regime", ["single", "joint", "two_step"])
def test_all_learns_but_the_convolutions_and_each_group_by_its_rate(
    regime: Any, params: dict[str, Any], samples: list[Sample]
) -> None:
    model = begun(params, fusion="sf", regime=regime).train()
    batch = batch_of(samples[:3])
    learned: set[str] = set()
    for phase in model.phases():
        mine = owners(model, phase)
        model.zero_grad()
        model.loss(model(batch), batch, phase.name).backward()  # type: ignore[no-untyped-call]
        named = dict(model.named_parameters())
        assert all(named[name].grad is not None for name in mine)
        assert all(rate_of(phase, mine[name]) == (1e-5 if name.startswith("extractors.") else 1e-4) for name in mine)
        learned |= set(mine)
    left = {name for name, _ in model.named_parameters()} - learned
    assert left
    assert all(name.startswith("extractors.audio.net.feature_extractor.") for name in left)


def rate_of(phase: Phase, group: int) -> float:
    return phase.groups[group].lr


def test_a_frozen_network_and_other_features_beside_it(params: dict[str, Any]) -> None:
    speech = {"speech_model": params["speech_model"]}
    dims = {"text": 6, "audio": 320, "vision": 4}
    model = Boosting(dims, **speech, fusion="sf", features="handcrafted", freeze=("audio",))
    assert (set(model.networks), model.raw) == ({"audio"}, {"audio"})
    assert [group.prefixes for group in model.phases()[0].groups] == [("fusion.", "heads."), ("extractors.vision.",)]


def test_two_steps_learn_from_the_sound_and_are_built_again_without_checkpoints(
    params: dict[str, Any], samples: list[Sample]
) -> None:
    torch.manual_seed(0)
    model = Boosting(DIMS, **params, fusion="sf", regime="two_step")
    before = {name: part.clone() for name, part in model.state_dict().items()}
    table = TensorTable.of(samples, DIMS)
    ids = table.whole.values["text"].clone()
    rates = {f"group.{name}.lr": 3e-3 for name in ("heads", "language_model", "speech_model", "video_model")}
    settings = Settings(epochs=3, batch=4, single=rates)
    history = Loop(model, table, table, settings, Fabric(accelerator="cpu", devices=1)).run()
    assert [line["phase"] for line in history] == [name for name in (*DIMS, "fusion") for _ in range(3)]
    heard = [float(line["loss"]) for line in history if line["phase"] == "audio"]
    assert heard[-1] < 0.6 * heard[0]
    assert torch.equal(table.whole.values["text"], ids)
    assert not any(model.get_buffer(f"center_{name}").any() for name in DIMS)
    after = model.state_dict()
    for part in ("text.net.", "audio.net.encoder.", "vision.net."):
        assert any(not torch.equal(after[name], before[name]) for name in after if f"extractors.{part}" in name)

    gone = {name: "./gone" for name in params if name.endswith("_model")}
    again = Boosting(DIMS, fusion="sf", regime="two_step", **gone, **model.kept_params()).eval()
    again.load_state_dict(after, strict=True)
    with torch.inference_mode():
        assert torch.equal(again(batch_of(samples)).score, model.eval()(batch_of(samples)).score)


def test_the_numbers_of_the_checkpoints_are_read_when_training_begins(params: dict[str, Any]) -> None:
    from transformers import HubertModel

    model = Boosting(DIMS, **params)
    theirs = HubertModel.from_pretrained(params["speech_model"]).state_dict()
    name = "encoder.layers.0.attention.k_proj.weight"
    network = model.networks["audio"]
    assert not torch.equal(network.net.state_dict()[name], theirs[name])
    model.begin("single", lambda: [])
    assert torch.equal(network.net.state_dict()[name], theirs[name])
    swin = torch.load(params["video_model"], weights_only=True)
    assert torch.equal(model.networks["vision"].net.state_dict()["norm.weight"], swin["norm.weight"])


@pytest.mark.parametrize(
    ("dims", "given", "said"),
    [
        ({"audio": 5}, {"speech_config": "{}"}, "320 columns a row, found audio of 5 columns; extract .* samples"),
        ({"audio": 320}, {"speech_config": '{"model_type": "bert"}'}, "speech_model is a bert"),
        ({"audio": 320}, {"speech_config": "hubert"}, "no configuration of a speech network"),
        ({"audio": 320}, {"speech_model": "hubert"}, "no checkpoint is called 'hubert'"),
        ({"vision": 768}, {"video_model": "swin3d_t"}, "found vision of 768 columns; extract .* pixels"),
        ({"vision": 3072}, {"video_model": "swin"}, "no checkpoint is called 'swin'"),
        ({"vision": 3072}, {"video_config": '{"embed_dim": 8}'}, "video_config: no sizes"),
    ],
)
def test_bad_parameters_are_refused(dims: dict[str, int], given: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Boosting(dims, **given)  # type: ignore[arg-type]


def test_checkpoints_of_other_sizes_are_refused(params: dict[str, Any], tmp_path: Path) -> None:
    speech = json.dumps({"model_type": "hubert", **CONFIG, "num_hidden_layers": 4})
    with pytest.raises(WeightsError, match="does not fit the speech network"):
        begun({**params, "speech_config": speech})
    with pytest.raises(WeightsError, match="does not fit the video network"):
        begun({**params, "video_config": json.dumps({**SMALL, "num_heads": [2, 2]})})
    (tmp_path / "net.pth").write_bytes(b"<html>not found</html>")
    with pytest.raises(WeightsError, match=r"net\.pth does not fit"):
        begun({**params, "video_model": str(tmp_path / "net.pth")})
    with pytest.raises(MissingWeights, match="swin3d_t"):
        begun({**params, "video_model": "swin3d_t"})
