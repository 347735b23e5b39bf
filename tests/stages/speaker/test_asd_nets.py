"""The networks that tell who speaks against their definition, written here with plain functions; and the cepstrum."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from msapipe.errors import WeightsError
from msapipe.stages.speaker import _lr_asd, _talknet
from msapipe.stages.speaker._asd_input import cepstrum
from msapipe.stages.speaker._asd_nets import Network, parts

State = dict[str, Tensor]
WEIGHTS = "weights/lr_asd"


def random_state(network: Callable[[], Any]) -> State:
    """Random weights, and random statistics in every normalisation."""
    torch.manual_seed(1)
    state: State = network().state_dict()
    for name, value in state.items():
        if name.endswith("running_var"):
            value.uniform_(0.5, 1.5)
        elif name.endswith(("running_mean", "bias", "beta")):
            value.normal_(0, 0.1)
        elif value.ndim == 1 and name.endswith("weight"):
            value.uniform_(0.5, 1.5)
    return state


def inputs(pictures: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    sound = torch.randn(4 * pictures, 13, generator=generator) * 8
    return sound, torch.randint(0, 256, (pictures, 112, 112), generator=generator).to(torch.uint8)


def norm(s: State, name: str, x: Tensor, eps: float) -> Tensor:
    mean, var = s[f"{name}.running_mean"], s[f"{name}.running_var"]
    return F.batch_norm(x, mean, var, s[f"{name}.weight"], s[f"{name}.bias"], eps=eps)


def lr_asd_by_definition(s: State, sound: Tensor, pictures: Tensor) -> Tensor:
    """Liao et al., 2025: three visual and three acoustic blocks, a gate, two GRUs, a gate, a linear layer."""
    x = ((pictures.float() / 255 - 0.4161) / 0.1688)[None, None]
    y = sound.T[None, None]
    for i in (1, 2, 3):
        see, hear = f"model.visualEncoder.block{i}", f"model.audioEncoder.block{i}"
        for part, padding in (("s_1", (0, 2, 2)), ("s_2", (0, 1, 1)), ("t_1", (2, 0, 0)), ("t_2", (1, 0, 0))):
            stride = (1, 2, 2) if (i, part) == (1, "s_1") else 1
            x = F.conv3d(x, s[f"{see}.{part}.weight"], None, stride, padding)
            x = F.relu(norm(s, f"{see}.{part[0]}_norm_{part[2]}", x, 1e-3))
        for part, padding in (("m_1", (2, 0)), ("m_2", (1, 0)), ("t_1", (0, 2)), ("t_2", (0, 1))):
            y = F.conv2d(y, s[f"{hear}.{part}.weight"], None, 1, padding)
            y = F.relu(norm(s, f"{hear}.{part[0]}_norm_{part[2]}", y, 1e-3))
        if i < 3:
            x = F.max_pool3d(x, (1, 3, 3), (1, 2, 2), (0, 1, 1))
            y = F.max_pool3d(y, (1, 1, 3), (1, 1, 2), (0, 0, 1))
    seen = F.adaptive_max_pool2d(x.transpose(1, 2)[0], 1)[:, :, 0, 0].T[None]
    both = torch.cat([y.mean(2), seen], 1)

    def gate(name: str, z: Tensor) -> Tensor:
        return z * torch.sigmoid(norm(s, f"{name}.bn", F.conv1d(z, s[f"{name}.attention.weight"]), 1e-3))

    z = gate("model.fusion", both)[0].T
    there = gru(s, "model.detector.gru_forward", z)
    back = gru(s, "model.detector.gru_backward", z.flip(0)).flip(0)
    z = gate("model.detector.attention", torch.cat([there, back], 1).T[None])[0].T
    return F.linear(z, s["lossAV.FC.weight"], s["lossAV.FC.bias"])[:, 1]


def gru(s: State, name: str, rows: Tensor) -> Tensor:
    """Cho et al., 2014, as torch has it: (T, in) to (T, 64)."""
    state, out = torch.zeros(64), []
    for row in rows:
        a = F.linear(row, s[f"{name}.weight_ih_l0"], s[f"{name}.bias_ih_l0"]).chunk(3)
        b = F.linear(state, s[f"{name}.weight_hh_l0"], s[f"{name}.bias_hh_l0"]).chunk(3)
        reset, update = torch.sigmoid(a[0] + b[0]), torch.sigmoid(a[1] + b[1])
        state = (1 - update) * torch.tanh(a[2] + reset * b[2]) + update * state
        out.append(state)
    return torch.stack(out)


def talknet_by_definition(s: State, sound: Tensor, pictures: Tensor) -> Tensor:
    """Tao et al., 2021: a ResNet with a temporal convolution, an SE-ResNet, cross- and self-attention."""
    heard, seen = talknet_sound(s, sound), talknet_pictures(s, pictures)
    heard, seen = attend(s, "model.crossA2V", heard, seen), attend(s, "model.crossV2A", seen, heard)
    both = torch.cat([heard, seen], 1)
    return F.linear(attend(s, "model.selfAV", both, both), s["lossAV.FC.weight"], s["lossAV.FC.bias"])[:, 1]


def talknet_sound(s: State, sound: Tensor) -> Tensor:
    e = "model.audioEncoder"
    y = F.conv2d(sound.T[None, None], s[f"{e}.conv1.weight"], None, (2, 1), 3)
    y = F.relu(norm(s, f"{e}.bn1", y, 1e-5))
    for layer, count in ((1, 3), (2, 4), (3, 6), (4, 3)):
        for i in range(count):
            b, stride = f"{e}.layer{layer}.{i}", 2 if layer in (2, 3) and i == 0 else 1
            z = norm(s, f"{b}.bn1", F.relu(F.conv2d(y, s[f"{b}.conv1.weight"], None, stride, 1)), 1e-5)
            z = norm(s, f"{b}.bn2", F.conv2d(z, s[f"{b}.conv2.weight"], None, 1, 1), 1e-5)
            w = F.adaptive_avg_pool2d(z, 1)[:, :, 0, 0]
            w = F.relu(F.linear(w, s[f"{b}.se.fc.0.weight"], s[f"{b}.se.fc.0.bias"]))
            w = torch.sigmoid(F.linear(w, s[f"{b}.se.fc.2.weight"], s[f"{b}.se.fc.2.bias"]))
            if f"{b}.downsample.0.weight" in s:
                y = norm(s, f"{b}.downsample.1", F.conv2d(y, s[f"{b}.downsample.0.weight"], None, stride), 1e-5)
            y = F.relu(z * w[:, :, None, None] + y)
    return y.mean(2)[0].T


def talknet_pictures(s: State, pictures: Tensor) -> Tensor:
    v = "model.visualFrontend"
    x = ((pictures.float() / 255 - 0.4161) / 0.1688)[None, None]
    x = F.conv3d(x, s[f"{v}.frontend3D.0.weight"], None, (1, 2, 2), (2, 3, 3))
    x = F.max_pool3d(F.relu(norm(s, f"{v}.frontend3D.1", x, 1e-3)), (1, 3, 3), (1, 2, 2), (0, 1, 1))
    x = x[0].transpose(0, 1)
    for layer in (1, 2, 3, 4):
        r, stride = f"{v}.resnet.layer{layer}", 1 if layer == 1 else 2
        z = F.relu(norm(s, f"{r}.bn1a", F.conv2d(x, s[f"{r}.conv1a.weight"], None, stride, 1), 1e-3))
        z = F.conv2d(z, s[f"{r}.conv2a.weight"], None, 1, 1)
        kept = z + (x if stride == 1 else F.conv2d(x, s[f"{r}.downsample.weight"], None, stride))
        x = F.relu(norm(s, f"{r}.outbna", kept, 1e-3))
        x = F.relu(norm(s, f"{r}.bn1b", F.conv2d(x, s[f"{r}.conv1b.weight"], None, 1, 1), 1e-3))
        x = F.conv2d(x, s[f"{r}.conv2b.weight"], None, 1, 1) + kept
        x = F.relu(norm(s, f"{r}.outbnb", x, 1e-3))
    x = F.avg_pool2d(x, 4)[:, :, 0, 0].T[None]
    for i in range(5):
        t = f"model.visualTCN.net.{i}.net"
        z = F.conv1d(norm(s, f"{t}.1", F.relu(x), 1e-5), s[f"{t}.2.weight"], None, 1, 1, 1, 512)
        z = F.prelu(z, s[f"{t}.3.weight"])
        z = s[f"{t}.4.gamma"] * (z - z.mean()) / torch.sqrt(z.var(correction=0) + 1e-8) + s[f"{t}.4.beta"]
        x = x + F.conv1d(z, s[f"{t}.5.weight"])
    c = "model.visualConv1D.net"
    x = F.relu(norm(s, f"{c}.1", F.conv1d(x, s[f"{c}.0.weight"], s[f"{c}.0.bias"], 1, 2), 1e-5))
    return F.conv1d(x, s[f"{c}.3.weight"], s[f"{c}.3.bias"])[0].T


def attend(s: State, name: str, x: Tensor, other: Tensor) -> Tensor:
    """Eight heads; ``other`` asks, ``x`` answers and is added to: (T, C)."""
    width = x.shape[1]
    w, b = s[f"{name}.self_attn.in_proj_weight"].chunk(3), s[f"{name}.self_attn.in_proj_bias"].chunk(3)
    rows = (F.linear(part, w[i], b[i]) for i, part in enumerate((other, x, x)))
    q, k, v = (part.reshape(len(part), 8, -1).transpose(0, 1) for part in rows)
    mixed = torch.softmax(q @ k.transpose(1, 2) / (width / 8) ** 0.5, -1) @ v
    o = f"{name}.self_attn.out_proj"
    asked = F.linear(mixed.transpose(0, 1).reshape(-1, width), s[f"{o}.weight"], s[f"{o}.bias"])
    x = F.layer_norm(x + asked, (width,), s[f"{name}.norm1.weight"], s[f"{name}.norm1.bias"])
    z = F.relu(F.linear(x, s[f"{name}.linear1.weight"], s[f"{name}.linear1.bias"]))
    z = x + F.linear(z, s[f"{name}.linear2.weight"], s[f"{name}.linear2.bias"])
    return F.layer_norm(z, (width,), s[f"{name}.norm2.weight"], s[f"{name}.norm2.bias"])


KINDS = {"lr_asd": (_lr_asd.network, lr_asd_by_definition), "talknet": (_talknet.network, talknet_by_definition)}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pictures", [1, 12])
def test_equals_its_definition(kind: str, pictures: int, tmp_path: Path) -> None:
    network, reference = KINDS[kind]
    state = random_state(network)
    torch.save(state, tmp_path / "some.model")
    sound, seen = inputs(pictures)
    found = Network(tmp_path / "some.model", "cpu").scores(sound.numpy(), seen.numpy(), (6,))
    expected = reference(state, sound, seen).numpy()
    assert found.dtype == np.float32
    assert expected.std() > 0.002 or pictures == 1
    assert np.abs(found - expected).max() <= 1e-5


@pytest.mark.parametrize("file", ["pretrain_AVA.model", "finetuning_TalkSet.model"])
def test_published_weights_equal_the_definition(file: str, shared: Path) -> None:
    path = shared / WEIGHTS / file
    sound, seen = inputs(12)
    found = Network(path, "cpu").scores(sound.numpy(), seen.numpy(), (6,))
    state = torch.load(path, weights_only=True, map_location="cpu")
    assert np.abs(found - lr_asd_by_definition(state, sound, seen).numpy()).max() <= 1e-5


@pytest.mark.gpu
@pytest.mark.parametrize("kind", KINDS)
def test_gpu_equals_cpu(kind: str, tmp_path: Path) -> None:
    torch.save(random_state(KINDS[kind][0]), tmp_path / "some.model")
    sound, seen = (part.numpy() for part in inputs(60))
    on_cpu, on_gpu = (
        Network(tmp_path / "some.model", device).scores(sound, seen, (1, 6)) for device in ("cpu", "cuda")
    )
    assert np.abs(on_cpu - on_gpu).max() <= 1e-4


def test_talknet_is_as_large_as_the_published_one() -> None:
    network = _talknet.network()
    assert f"{sum(p.numel() for p in network['model'].parameters()) / 2**20:.2f}" == "15.01"  # as its program prints
    assert sum(v.numel() * v.element_size() for v in network.state_dict().values()) == pytest.approx(63e6, rel=0.01)


def test_the_score_is_the_mean_over_passes_in_parts(tmp_path: Path) -> None:
    state = random_state(_lr_asd.network)
    torch.save(state, tmp_path / "some.model")
    sound, seen = inputs(50)
    found = Network(tmp_path / "some.model", "cpu").scores(sound.numpy(), seen.numpy(), (1, 2))
    halves = [lr_asd_by_definition(state, sound[4 * a : 4 * b], seen[a:b]) for a, b in ((0, 25), (25, 50))]
    expected = (torch.cat(halves) + lr_asd_by_definition(state, sound, seen)) / 2
    assert np.abs(found - expected.numpy()).max() <= 1e-5


def test_parts_are_equally_long() -> None:
    assert list(parts(10, 3)) == [(0, 3), (3, 6), (6, 10)]
    assert list(parts(7, 0)) == [(0, 7)]


def test_names_may_begin_with_module(tmp_path: Path) -> None:
    torch.save({f"module.{name}": value for name, value in random_state(_lr_asd.network).items()}, tmp_path / "a.model")
    Network(tmp_path / "a.model", "cpu")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("change", ["lacks", "has one more", "other shape"])
def test_weights_that_do_not_fit_are_refused(kind: str, change: str, tmp_path: Path) -> None:
    state = random_state(KINDS[kind][0])
    name = "lossAV.FC.bias"
    if change == "lacks":
        del state[name]
    else:
        state[f"{name}2" if change == "has one more" else name] = torch.zeros(3)
    torch.save(state, tmp_path / "odd.model")
    with pytest.raises(WeightsError, match=r"lossAV\.FC\.bias"):
        Network(tmp_path / "odd.model", "cpu")


@pytest.mark.parametrize(
    "content", [{"layer.weight": torch.zeros(2)}, {}, {"state": {"a": 1}}, [1, 2], "text", b"junk"]
)
def test_other_files_are_refused(content: Any, tmp_path: Path) -> None:
    path = tmp_path / "other.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(WeightsError, match=r"other\.pt"):
        Network(path, "cpu")


def slow_cepstrum(samples: np.ndarray) -> np.ndarray:
    """What python_speech_features computes, sum by sum."""
    signal = np.append(samples[0], samples[1:] - 0.97 * samples[:-1])
    rows = 1 + int(np.ceil(max(len(signal) - 400, 0) / 160))
    signal = np.append(signal, np.zeros((rows - 1) * 160 + 400 - len(signal)))
    mels = np.linspace(0, 2595 * np.log10(1 + 8000 / 700), 28)
    corner = [int(513 * 700 * (10 ** (mel / 2595) - 1) / 16000) for mel in mels]
    out = np.zeros((rows, 13))
    for row in range(rows):
        power = np.abs(np.fft.fft(signal[row * 160 : row * 160 + 400], 512)[:257]) ** 2 / 512
        bands = np.zeros(26)
        for j in range(26):
            for i in range(corner[j], corner[j + 1]):
                bands[j] += power[i] * (i - corner[j]) / (corner[j + 1] - corner[j])
            for i in range(corner[j + 1], corner[j + 2]):
                bands[j] += power[i] * (corner[j + 2] - i) / (corner[j + 2] - corner[j + 1])
        eps = np.finfo(float).eps
        logs = np.log(np.where(bands == 0, eps, bands))
        for n in range(13):
            angle = [np.cos(np.pi * n * (2 * j + 1) / 52) for j in range(26)]
            out[row, n] = np.dot(logs, angle) * np.sqrt((1 if n == 0 else 2) / 26)
            out[row, n] *= 1 + 11 * np.sin(np.pi * n / 22)
        out[row, 0] = np.log(power.sum() or eps)
    return out


@pytest.mark.parametrize("count", [100, 400, 3333])
def test_cepstrum_by_its_formulas(count: int) -> None:
    whole = np.random.default_rng(0).integers(-20000, 20000, count).astype(np.float64)
    whole[: count // 3] = 0
    expected = slow_cepstrum(whole)
    found = cepstrum((whole / 32768).astype(np.float32), len(expected))
    assert np.abs(found - expected).max() < 1e-4


def test_sound_is_silent_after_its_end() -> None:
    found = cepstrum(np.zeros(0, np.float32), 4)
    silent = np.log(np.finfo(float).eps)
    assert np.allclose(found[:, 0], silent)
    assert np.abs(found[:, 1:]).max() < 1e-4
    assert cepstrum(np.zeros(9, np.float32), 0).shape == (0, 13)
    noise = np.random.default_rng(0).uniform(-1, 1, 16000).astype(np.float32)
    assert np.array_equal(cepstrum(noise, 300)[:50], cepstrum(noise, 50))
