"""ResNet18 against torchvision: the same random numbers, in each layout in which checkpoints come."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import nn
from torchvision import transforms
from torchvision.models import resnet18, resnet34

from msapipe.cache import stage_key
from msapipe.errors import ConfigError, MissingWeights, WeightsError
from msapipe.stages.vision._imagenet import normalised
from msapipe.stages.vision._rectified import by_bits
from msapipe.stages.vision._resnet18 import ON_CPU
from msapipe.stages.vision._winograd import Winograd, by_winograd
from msapipe.stages.vision.resnet18 import Resnet18
from msapipe.testing import fakes
from msapipe.weights import Download
from tests.stages.vision.pictures import clip_of, noise

SIZE = 64
State = dict[str, torch.Tensor]


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def net() -> nn.Module:
    """torchvision's resnet18 with random numbers everywhere, in batch norms too."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        made = resnet18(weights=None).eval()
        for module in made.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, 0, 0.1)
    return made.requires_grad_(False)


def stage(file: Path, **params: Any) -> Resnet18:
    made = Resnet18(str(file), **{"size": SIZE, **params})
    made.load("cpu")
    return made


def by_torchvision(net: nn.Module, pictures: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """The 512 numbers that torchvision's own net and transforms give of crops."""
    before = transforms.Compose(
        [transforms.ToTensor(), transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])]
    )
    body = nn.Sequential(*list(net.children())[:-1])
    return np.stack([body(before(picture)[None]).flatten().numpy() for picture in pictures])


# --- layouts -----------------------------------------------------------------------------------------------------


def libreface(net: nn.Module) -> dict[str, Any]:
    whole = nn.Module()
    whole.encoder = nn.Sequential(*list(net.children())[:-1])
    whole.classifier = nn.Sequential(
        nn.Linear(512, 128), nn.ReLU(), nn.BatchNorm1d(128), nn.Dropout(), nn.Linear(128, 8)
    )
    return {"model": whole.state_dict()}


def dan(net: nn.Module) -> dict[str, Any]:
    whole = nn.Module()
    whole.features = nn.Sequential(*list(net.children())[:-2])
    whole.cat_head0 = nn.ModuleDict({"sa": nn.Conv2d(512, 256, 1), "ca": nn.Linear(512, 32)})
    whole.fc, whole.bn = nn.Linear(512, 8), nn.BatchNorm1d(8)
    return {"iter": 6, "model_state_dict": whole.state_dict(), "optimizer_state_dict": {"state": {}}}


def old_torchvision(net: nn.Module) -> dict[str, Any]:
    """As before batch norms counted batches; so is the file of ImageNet."""
    return {name: tensor for name, tensor in net.state_dict().items() if "num_batches" not in name}


def half(net: nn.Module) -> dict[str, Any]:
    return {"state_dict": {name: tensor.half() for name, tensor in net.state_dict().items()}}


@pytest.mark.parametrize(
    ("layout", "tolerance"), [(libreface, 1e-5), (dan, 1e-5), (old_torchvision, 1e-5), (half, 0.02)]
)
def test_numbers_are_torchvisions(
    net: nn.Module, tmp_path: Path, layout: Callable[[nn.Module], dict[str, Any]], tolerance: float
) -> None:
    torch.save(layout(net), tmp_path / "net.pt")
    clip = clip_of(noise(6))
    got = stage(tmp_path / "net.pt").run(clip)
    want = by_torchvision(net, [clip.aligned(row, SIZE) for row in range(6)])
    assert got.values.shape == (6, 512)
    assert got.names[-1] == "resnet18_511"
    assert np.abs(got.values - want).max() < tolerance * want.max()
    assert np.abs(want[0] - want[1]).max() > 0.05 * want.max()


def test_safetensors_folders_and_the_loose_crop(net: nn.Module, tmp_path: Path) -> None:
    save_file(net.state_dict(), tmp_path / "model.safetensors")
    clip = clip_of(noise(2))
    got = stage(tmp_path, crop="loose").run(clip).values
    want = by_torchvision(net, [clip.loose(row, SIZE) for row in range(2)])
    assert np.abs(got - want).max() < 1e-5 * want.max()


def test_pixels_are_scaled_as_torchvision_does_bit_for_bit() -> None:
    every = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 16, 16, 3)
    scale = transforms.Compose(
        [transforms.ToTensor(), transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])]
    )
    assert np.array_equal(normalised(every)[0], scale(every[0]).numpy())


@pytest.mark.parametrize(("size", "channels"), [((7, 7), 40), ((9, 14), 24), ((28, 29), 64), ((1, 2), 8)])
def test_winograd_is_the_convolution(size: tuple[int, int], channels: int) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        conv = nn.Conv2d(channels, 2 * channels, 3, padding=1).requires_grad_(False)
        pictures = torch.randn(5, channels, *size).to(memory_format=torch.channels_last)
    want = nn.functional.conv2d(pictures.double(), conv.weight.double(), conv.bias.double(), padding=1)
    rooms: dict[str, Any] = {}
    got = Winograd(conv, rooms)(pictures)
    assert got.shape == want.shape
    assert (got - want).abs().max() < 1e-5 * want.abs().max()
    for room in rooms.values():
        room.fill_(torch.nan)  # what was computed before is in no number
    assert torch.equal(Winograd(conv, rooms)(pictures), got)


def test_only_fitting_convolutions_become_winograd() -> None:
    kinds = [(3, 1, 1), (3, 2, 1), (1, 1, 0), (3, 1, 0)]
    body = nn.Sequential(*(nn.Conv2d(4, 4, kernel, stride, padding) for kernel, stride, padding in kinds))
    by_winograd(body)
    assert [isinstance(conv.forward, Winograd) for conv in body] == [True, False, False, False]


@pytest.mark.parametrize("size", [(112, 112), (7, 8), (8, 7), (2, 1), (1, 1)])
def test_rectifying_and_pooling_by_bits_is_exact(size: tuple[int, int]) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        pictures = torch.randn(3, 16, *size).bfloat16().to(memory_format=torch.channels_last)
    pictures[:2, 0] = torch.tensor([-0.0, torch.inf])[:, None, None].bfloat16()
    body = nn.Sequential(nn.ReLU(), nn.MaxPool2d(3, 2, 1))
    want = body(pictures)
    got = by_bits(body)(pictures.clone())
    assert torch.equal(got, want)
    assert got.is_contiguous(memory_format=torch.channels_last)


# --- what a face must not depend on ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "size", [SIZE, pytest.param(112, marks=pytest.mark.slow), pytest.param(224, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_face_has_the_same_numbers_among_any_others(net: nn.Module, tmp_path: Path, size: int, dtype: Any) -> None:
    torch.save(net.state_dict(), tmp_path / "net.pt")
    made, faces, many = stage(tmp_path / "net.pt", size=size, dtype=dtype), noise(2 * ON_CPU[1] + 1), ON_CPU[1]
    alone = np.concatenate([made.run(clip_of([face])).values for face in faces])
    for count in (2, many - 1, many, many + 1, len(faces)):
        assert np.array_equal(made.run(clip_of(faces[:count])).values, alone[:count])
    assert np.array_equal(made.run(clip_of(faces[::-1])).values, alone[::-1])


def test_rows_without_the_speaker_are_zero_and_move_no_other(net: nn.Module, tmp_path: Path) -> None:
    torch.save(net.state_dict(), tmp_path / "net.pt")
    made, faces, seen = stage(tmp_path / "net.pt"), noise(6), [True, False, False, True, True, False]
    every, some = made.run(clip_of(faces)), made.run(clip_of(faces, seen))
    assert some.valid.tolist() == seen
    assert not some.values[~some.valid].any()
    assert np.array_equal(some.values[some.valid], every.values[some.valid])


def test_nothing_black_and_the_random_state(net: nn.Module, tmp_path: Path) -> None:
    torch.save(net.state_dict(), tmp_path / "net.pt")
    state = torch.random.get_rng_state()
    made = stage(tmp_path / "net.pt")
    assert torch.equal(torch.random.get_rng_state(), state)
    assert made.run(fakes.face_clip(0)).values.shape == (0, 512)
    assert not made.run(fakes.face_clip(3, seen=False)).valid.any()
    black = made.run(clip_of([np.zeros((100, 100, 3), np.uint8)]))
    assert black.valid.tolist() == [True]
    assert black.notes == ()


# --- the catalogue -----------------------------------------------------------------------------------------------


def test_the_catalogue() -> None:
    known = {weights.name: weights for weights in Resnet18.weights if isinstance(weights, Download)}
    assert list(known) == ["libreface-affectnet8", "dan-affectnet8", "imagenet"]
    assert [weights.commercial for weights in known.values()] == [False, True, True]
    assert all(weights.url.startswith("https://") for weights in known.values())
    with pytest.raises(MissingWeights, match="msapipe weights fetch libreface-affectnet8"):
        Resnet18().load("cpu")


def test_imagenet_says_what_it_does_not_know(net: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(old_torchvision(net), tmp_path / "resnet18-f37072fd.pth")
    monkeypatch.setattr(Download, "path", lambda weights: tmp_path / weights.file)
    made = Resnet18("imagenet", size=SIZE)
    made.load("cpu")
    assert "not facial expressions" in made.run(clip_of(noise(1))).notes[0]


def test_every_parameter_and_the_file_are_in_the_key(net: nn.Module, tmp_path: Path) -> None:
    torch.save(net.state_dict(), tmp_path / "one.pt")
    torch.save({"model": net.state_dict()}, tmp_path / "two.pt")

    def key(**params: Any) -> Any:
        made = Resnet18(**params)
        identities = [weights.identity for weights in made.own_weights()]
        return str(stage_key("vision", "resnet18", made.version, made.params(), identities, {}))

    one, two = str(tmp_path / "one.pt"), str(tmp_path / "two.pt")
    keys = [key(checkpoint=one), key(checkpoint=two), key(checkpoint=one, size=112), key(checkpoint=one, crop="loose")]
    assert len(set(keys)) == 4
    assert str(tmp_path) not in "".join(keys)


@pytest.mark.parametrize("params", [{"crop": "tight"}, {"size": 16}, {"size": 4096}])
def test_impossible_parameters_are_refused(params: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(params))):
        Resnet18(**params)


# --- files that are something else -------------------------------------------------------------------------------


def without(state: State) -> Any:
    return {name: tensor for name, tensor in state.items() if not name.startswith("layer3.1.bn2")}


def reshaped(state: State) -> Any:
    return {**state, "layer2.0.conv1.weight": torch.zeros(128, 64, 1, 1)}


def with_another_head(state: State) -> Any:
    return {**state, "projector.weight": torch.zeros(2, 2)}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (without, r"4 tensors are missing \(layer3.1.bn2.weight, "),
        (reshaped, r"layer2.0.conv1.weight is \(128, 64, 1, 1\), expected \(128, 64, 3, 3\)"),
        (with_another_head, r"1 are unknown \(projector.weight\)"),
        (lambda state: resnet34(weights=None).state_dict(), r"are unknown \(layer1.2.conv1.weight"),
        (
            lambda state: {f"net.{name}": tensor for name, tensor in state.items()},
            "found net.conv1.weight, .*expected one",
        ),
        (lambda state: {"model": {"epoch": 3}}, "expected names and tensors"),
        (lambda state: [1, 2], "found list"),
    ],
)
def test_another_net_is_refused(net: nn.Module, tmp_path: Path, change: Callable[[State], Any], sentence: str) -> None:
    torch.save(change(net.state_dict()), tmp_path / "net.pt")
    with pytest.raises(WeightsError, match=sentence):
        stage(tmp_path / "net.pt")


def test_a_numbered_layout_with_a_wrong_number_is_refused(net: nn.Module, tmp_path: Path) -> None:
    state = libreface(net)["model"]
    torch.save({**state, "encoder.9.weight": torch.zeros(2)}, tmp_path / "net.pt")
    with pytest.raises(WeightsError, match=r"1 are unknown \(encoder.9.weight\)"):
        stage(tmp_path / "net.pt")


def test_broken_files_code_and_crowded_folders_are_refused(net: nn.Module, tmp_path: Path) -> None:
    torch.save(net, tmp_path / "code.pt")
    torch.save(net.state_dict(), tmp_path / "cut.pt")
    (tmp_path / "cut.pt").write_bytes((tmp_path / "cut.pt").read_bytes()[:1000])
    (tmp_path / "text.safetensors").write_text("no numbers")
    (tmp_path / "empty.pth").touch()
    for name in ("code.pt", "cut.pt", "text.safetensors", "empty.pth"):
        with pytest.raises(WeightsError, match=f"{name} cannot be read"):
            stage(tmp_path / name)
    with pytest.raises(WeightsError, match=r"found code.pt, cut.pt, .*name the file itself"):
        stage(tmp_path)
