from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from msapipe.errors import ConfigError, WeightsError
from msapipe.media import Decoder, MediaOptions
from msapipe.stages.vision._crops import sampled
from msapipe.stages.vision._swin import SwinFeatures, windows
from msapipe.stages.vision._swin_file import architecture, load_model
from msapipe.stages.vision.video_swin import VideoSwin, tiles
from msapipe.testing.tiny import vision_video_swin
from msapipe.types import Clip, EncodedImages, FaceClip, FaceTracks, Speaker

cv2 = pytest.importorskip("cv2")
torch = pytest.importorskip("torch")
video = pytest.importorskip("torchvision.models.video")
Pictures = NDArray[np.uint8]


def strong(net: Any, seed: int = 0) -> Any:
    """Random numbers under which attention is far from a mean, and every bias counts."""
    torch.manual_seed(seed)
    for name, numbers in net.named_parameters():
        wide = numbers[0].numel() ** -0.5 if numbers.dim() > 1 else 0.3
        torch.nn.init.normal_(numbers, std=1.0 if name.endswith("bias_table") else 2 * wide)
    return net.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def net() -> Any:
    return strong(video.SwinTransformer3d([2, 4, 4], 8, [2, 2, 2, 2], [1, 2, 4, 8], [8, 7, 7], num_classes=5))


def film(count: int, size: int, seed: int = 0) -> Pictures:
    return np.random.default_rng(seed).integers(0, 255, (count, size, size, 3), np.uint8)


def as_torchvision_has_it(net: Any, pictures: Pictures) -> NDArray[np.float32]:
    """The public forward up to the head: norm, then the mean over space, not over time."""
    seen = []
    hook = net.norm.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    scaled = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    scaled = (scaled - mean.view(3, 1, 1)) / deviation.view(3, 1, 1)
    with torch.inference_mode():
        net(scaled.transpose(0, 1)[None])
    hook.remove()
    return np.asarray(seen[0][0].mean((1, 2)).numpy(), np.float32)


def difference(found: NDArray[np.float32], wanted: NDArray[np.float32]) -> float:
    assert found.shape == wanted.shape
    return float(np.abs(found - wanted).max() / np.abs(wanted).max())


# --- the network -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "size"), [(1, 32), (2, 128), (7, 100), (16, 128), (19, 64), (33, 129), (40, 50), (63, 36)]
)
def test_the_same_numbers_as_torchvision(net: Any, count: int, size: int) -> None:
    pictures = film(count, size)
    assert difference(SwinFeatures(net)(pictures), as_torchvision_has_it(net, pictures)) < 2e-6


@pytest.mark.slow
def test_the_same_numbers_as_torchvision_at_full_size() -> None:
    whole = strong(video.swin3d_t())
    pictures = film(20, 128)
    assert difference(SwinFeatures(whole)(pictures), as_torchvision_has_it(whole, pictures)) < 2e-6


def test_windows_hold_every_token_once_and_mark_what_the_shift_brought_together() -> None:
    tokens, regions = windows((3, 5, 4), (2, 4, 4), (1, 2, 0))
    assert sorted(tokens[tokens >= 0].tolist()) == list(range(60))
    assert tokens.shape == regions.shape == (4, 32)
    for token, region in zip(tokens, regions, strict=True):
        for one in np.unique(region):
            t, h, _ = np.unravel_index(token[(region == one) & (token >= 0)], (3, 5, 4))
            assert not len(t) or (np.ptp(t) < 2 and np.ptp(h) < 4)


def test_what_ran_before_changes_nothing(net: Any) -> None:
    first = SwinFeatures(net)
    wanted = first(film(18, 64))
    for count, size in [(64, 64), (6, 64), (18, 96), (31, 64)]:
        first(film(count, size))
    assert np.array_equal(first(film(18, 64)), wanted)
    assert np.array_equal(SwinFeatures(net)(film(18, 64)), wanted)


# --- the file ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["swin3d_t", "swin3d_s", "swin3d_b"])
def test_every_published_size_is_told_from_its_shapes(name: str) -> None:
    sizes = {
        "swin3d_t": (96, [2, 2, 6, 2], [3, 6, 12, 24]),
        "swin3d_s": (96, [2, 2, 18, 2], [3, 6, 12, 24]),
        "swin3d_b": (128, [2, 2, 18, 2], [4, 8, 16, 32]),
    }
    with torch.device("meta"):
        state = getattr(video, name)().state_dict()
    found = architecture(state)
    assert (found.pop("embed_dim"), found.pop("depths"), found.pop("num_heads")) == sizes[name]
    assert found == {"patch_size": [2, 4, 4], "window_size": [8, 7, 7], "mlp_ratio": 4, "num_classes": 400}


def test_other_windows_and_widths_are_read_strictly(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    net = strong(video.SwinTransformer3d([2, 4, 4], 12, [2, 4], [3, 2], [4, 5, 5], mlp_ratio=2.0, num_classes=3))
    save_file(net.state_dict(), tmp_path / "own.safetensors")
    read = load_model(tmp_path)
    assert all(torch.equal(tensor, net.state_dict()[name]) for name, tensor in read.state_dict().items())
    pictures = film(11, 60)
    assert difference(SwinFeatures(read)(pictures), as_torchvision_has_it(net, pictures)) < 2e-6


def other_nets() -> dict[str, Any]:
    from torchvision.models import resnet18, swin_t

    whole = video.SwinTransformer3d([2, 4, 4], 8, [2, 2], [1, 2], [2, 3, 3], num_classes=2).state_dict()
    return {
        "patch_embed.proj.weight": swin_t(weights=None).state_dict(),
        "has no patch_embed": resnet18(weights=None).state_dict(),
        "features.2.1.mlp.3.bias": {k: v for k, v in whole.items() if k != "features.2.1.mlp.3.bias"},
        "extra": {**whole, "extra": torch.zeros(1)},
        "size mismatch": {**whole, "norm.weight": torch.zeros(3)},
        "it has no": [1, 2, 3],
    }


def test_another_network_is_refused_in_one_sentence(tmp_path: Path) -> None:
    for said, state in other_nets().items():
        torch.save(state, tmp_path / "net.pth")
        with pytest.raises(WeightsError, match=said) as refused:
            load_model(tmp_path / "net.pth")
        assert "\n" not in str(refused.value)
        assert "expected the state dict of torchvision's SwinTransformer3d" in str(refused.value)


def test_a_broken_file_is_refused(tmp_path: Path) -> None:
    for text in (b"", b"<html>not found</html>", b"PK\x03\x04 half of a zip"):
        (tmp_path / "net.pth").write_bytes(text)
        with pytest.raises(WeightsError, match="cannot be read"):
            load_model(tmp_path / "net.pth")


def test_the_catalogue_is_that_of_torchvision() -> None:
    known = {weights.name: weights for weights in VideoSwin.weights}
    theirs = {
        "swin3d_t": video.Swin3D_T_Weights.KINETICS400_V1,
        "swin3d_s": video.Swin3D_S_Weights.KINETICS400_V1,
        "swin3d_b": video.Swin3D_B_Weights.KINETICS400_V1,
        "swin3d_b_22k": video.Swin3D_B_Weights.KINETICS400_IMAGENET22K_V1,
    }
    assert {name: weights.url for name, weights in theirs.items()} == {n: known[n].url for n in known}  # type: ignore[attr-defined]
    assert all(weights.identity in theirs[name].url for name, weights in known.items())


# --- the clip ----------------------------------------------------------------------------------------------------


def face_clip(seen: list[bool], fps: float = 10, pictures: Pictures | None = None) -> FaceClip:
    """Picture i is grey of brightness 2 i, unless ``pictures`` are given; a face where ``seen``."""
    found = np.flatnonzero(seen)
    if pictures is None:
        pictures = np.stack(
            [np.full((32, 32, 3), 2 * (i % 120), np.uint8) for i in range(len(seen))] or [film(1, 1)[0]]
        )
    jpeg = [cv2.imencode(".jpg", pictures[i][..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 100])[1].tobytes() for i in found]
    edges = np.arange(len(seen) + 1) / fps
    tracks = FaceTracks(
        times=np.column_stack([edges[:-1], edges[1:]]),
        frame_size=(240, 320),
        track=np.zeros(len(found), np.int64),
        row=found.astype(np.int64),
        boxes=np.tile(np.array([10, 10, 40, 40], np.float32), (len(found), 1)),
        landmarks=np.zeros((len(found), 5, 2), np.float32),
        score=np.ones(len(found), np.float32),
        squares=np.tile(np.array([5, 5, 42], np.float32), (len(found), 1)),
        crops=EncodedImages.join(jpeg),
    )
    return FaceClip(tracks, Speaker(np.zeros(len(seen), np.int64), np.ones(len(seen), np.float32)))


class Watcher:
    """Stands in for the network: notes which pictures it was shown; a row is the mean of their numbers, and 1."""

    width = 2

    def __init__(self) -> None:
        self.shown: list[list[int]] = []

    def __call__(self, pictures: Pictures) -> NDArray[np.float32]:
        numbers = np.rint(pictures[:, 5, 5, 0] / 2)
        self.shown.append([int(number) for number in numbers])
        assert len(numbers) % 2 == 0
        return np.stack([numbers.reshape(-1, 2).mean(1), np.ones(len(numbers) // 2)], axis=1).astype(np.float32)


def watched(**params: Any) -> tuple[VideoSwin, Watcher]:
    stage, watcher = VideoSwin(**params), Watcher()
    stage._net, stage._names = watcher, ("number", "one")  # type: ignore[assignment]
    return stage, watcher


def test_rows_are_pairs_with_their_times_and_the_last_picture_is_repeated() -> None:
    stage, watcher = watched()
    out = stage.run(face_clip([True] * 5))
    assert watcher.shown == [[0, 1, 2, 3, 4, 4]]
    assert out.values[:, 0].tolist() == [0.5, 2.5, 4]
    assert np.allclose(out.times, [[0, 0.2], [0.2, 0.4], [0.4, 0.5]])
    assert out.valid.all()
    assert out.notes == ()


@pytest.mark.parametrize("fps", [25, 30, 24000 / 1001, 50, 12.5])
def test_a_faster_clip_is_thinned_as_the_decoder_would(fps: float) -> None:
    edges = np.arange(int(fps * 2) + 1) / fps
    times = np.column_stack([edges[:-1], edges[1:]])
    kept, ends = sampled(times, 10)
    assert all(np.any((times[kept, 0] >= k / 10 - 0.005) & (times[kept, 0] < (k + 1) / 10)) for k in range(19))
    assert len(kept) in (20, 19)
    assert np.allclose(ends[:-1], times[kept[1:], 0])
    assert ends[-1] == times[-1, 1]
    again, _ = sampled(np.column_stack([times[kept, 0], ends]), 10)
    assert again.tolist() == list(range(len(kept)))


def test_rounded_time_stamps_lose_no_picture() -> None:
    starts = np.array([0, 0.0999, 0.2001, 0.2999, 0.4, 0.4998])
    kept, _ = sampled(np.column_stack([starts, np.append(starts[1:], 0.6)]), 10)
    assert kept.tolist() == list(range(6))


def test_thinning_agrees_with_what_a_slower_pipeline_decodes(samples: Path) -> None:
    with Decoder() as decoder:
        clip = Clip("positive", samples / "positive.mp4")
        fast, slow = (
            np.concatenate([batch.times for batch in decoder.frames(clip, MediaOptions(fps=fps)).batches(16)])
            for fps in (25, 10)
        )
    kept, ends = sampled(fast, 10)
    assert len(fast) > 2 * len(slow)
    assert np.array_equal(np.column_stack([fast[kept, 0], ends]), slow)


def test_a_slower_clip_is_taken_as_it_is_and_says_so() -> None:
    stage, watcher = watched()
    out = stage.run(face_clip([True] * 4, fps=5))
    assert watcher.shown == [[0, 1, 2, 3]]
    assert np.allclose(out.times, [[0, 0.4], [0.4, 0.8]])
    assert "10 pictures a second; the clip has 5" in out.notes[0]


def test_a_picture_without_a_face_is_stood_in_for_by_the_nearest() -> None:
    stage, watcher = watched()
    out = stage.run(face_clip([False, True, True, False, False, False, False, False, True, True]))
    assert watcher.shown == [[1, 1, 2, 2, 2, 2, 8, 8, 8, 9]]
    assert out.valid.tolist() == [True, True, False, False, True]
    assert not out.values[2:4].any()
    assert out.values[[0, 1, 4], 0].tolist() == [1, 2, 8.5]


def test_faces_far_apart_are_clips_of_their_own() -> None:
    seen = [True] * 5 + [False] * 13 + [True] * 6 + [False] * 30
    stage, watcher = watched()
    out = stage.run(face_clip(seen))
    assert watcher.shown == [[0, 1, 2, 3, 4, 4], [18, 19, 20, 21, 22, 23]]
    assert np.flatnonzero(out.valid).tolist() == [0, 1, 2, 9, 10, 11]
    patient, watcher = watched(longest_gap=2.0)
    patient.run(face_clip(seen))
    assert [len(shown) for shown in watcher.shown] == [24]


def test_nobody_and_nothing() -> None:
    stage, watcher = watched()
    nobody = stage.run(face_clip([False] * 5))
    assert nobody.values.shape == (3, 2)
    assert not nobody.valid.any()
    assert stage.run(face_clip([])).values.shape == (0, 2)
    assert watcher.shown == []


def test_a_long_clip_is_seen_in_tiles_of_bounded_size_every_row_once() -> None:
    stage, watcher = watched(window=32, overlap=16)
    out = stage.run(face_clip([True] * 101))
    assert max(len(shown) for shown in watcher.shown) == 32
    assert [shown[0] for shown in watcher.shown] == [0, 16, 32, 48, 64, 80]
    assert out.values[:, 1].tolist() == [1] * 51
    assert out.values[:50, 0].tolist() == [2 * i + 0.5 for i in range(50)]


@pytest.mark.parametrize(("window", "overlap"), [(32, 8), (16, 8), (8, 0), (24, 16)])
def test_tiles_cover_every_row_once_and_leave_context(window: int, overlap: int) -> None:
    for count in range(1, 130):
        made = list(tiles(count, window, overlap))
        assert [row for _, rows in made for row in range(count)[rows]] == list(range(count))
        for tile, rows in made:
            assert tile.stop - tile.start <= window
            assert tile.start == 0 or rows.start - tile.start == overlap // 2
            assert tile.stop == count or tile.stop - rows.stop == overlap // 2
            assert tile.start % 8 == 0


def test_rows_at_a_seam_are_nearly_those_of_the_whole_clip(tmp_path: Path) -> None:
    """A face that turns from one picture into another, just longer than the window, in one piece and in tiles."""
    parameters = vision_video_swin.build(tmp_path / "tiny")
    share = (0.5 - 0.5 * np.cos(np.arange(40) / 6))[:, None, None, None]
    smooth = [cv2.GaussianBlur(film(1, 64, seed)[0], (0, 0), 6).astype(float) for seed in (1, 2)]
    clip = face_clip([True] * 40, pictures=(share * smooth[0] + (1 - share) * smooth[1]).astype(np.uint8))

    def run(window: int, overlap: int) -> NDArray[np.float32]:
        stage = VideoSwin(**parameters, window=window, overlap=overlap)
        stage.load("cpu")
        return stage.run(clip).values

    whole, tiled, bare = run(48, 16), run(32, 16), run(32, 0)
    length = np.linalg.norm(whole, axis=1).mean()
    off = np.linalg.norm(tiled - whole, axis=1) / length
    assert off.max() < 0.05
    assert off.mean() < 0.01
    assert np.linalg.norm(bare - whole, axis=1).max() / length > 2 * off.max()
    assert np.linalg.norm(np.diff(tiled, axis=0), axis=1)[11] < 2 * np.linalg.norm(np.diff(whole, axis=0), axis=1).max()


@pytest.mark.parametrize(
    "params",
    [
        {"size": 16},
        {"size": 1024},
        {"fps": 0.0},
        {"fps": float("nan")},
        {"window": 40},
        {"overlap": 8},
        {"overlap": 64},
        {"window": 0, "overlap": 0},
        {"overlap": -16},
        {"longest_gap": -1.0},
    ],
)
def test_impossible_parameters_are_refused(params: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(params))):
        VideoSwin(**params)
