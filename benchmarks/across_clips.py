"""Whether it pays to put several clips into one call of a network: milliseconds a clip, one by one and together.

Words: BERT of full size over sentences as long as MOSI's, sorted by length, padded, the padding masked. Faces: P-Net on
pictures and ResNet18 on crops. ``saved`` is what a clip of 5 s (50 pictures) would gain; ``off by`` is how far the
numbers of a clip change with what it was put together with, relative to the largest. Random weights: as fast, no good.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from timeit import timeit

import numpy as np
import torch
import transformers
from _extract_weights import write_bert
from facenet_pytorch.models.mtcnn import PNet
from torchvision.models import resnet18

PICTURES = 50
Call = Callable[[Sequence[torch.Tensor]], list[torch.Tensor]]


def sentences(count: int) -> list[torch.Tensor]:
    """Token ids, lengths drawn like those of MOSI's sentences, sorted."""
    random = np.random.default_rng(1)
    lengths = np.clip(random.lognormal(np.log(10), 0.65, count), 1, 60).astype(int) + 2
    return [torch.from_numpy(random.integers(5, 20, length)) for length in sorted(lengths)]


def bert(folder: Path, device: str) -> Call:
    net = transformers.AutoModel.from_pretrained(write_bert(folder)).eval().to(device)

    def call(items: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        ids = torch.nn.utils.rnn.pad_sequence(list(items), batch_first=True).to(device)
        mask = torch.arange(ids.shape[1], device=device) < torch.tensor([[len(item)] for item in items], device=device)
        found = net(input_ids=ids, attention_mask=mask.long()).last_hidden_state.cpu()
        return [found[row, : len(item)] for row, item in enumerate(items)]

    return call


def stacked(net: torch.nn.Module, device: str) -> Call:
    net = net.eval().to(device).to(memory_format=torch.channels_last)

    def call(items: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        batch = torch.stack(list(items)).to(device).contiguous(memory_format=torch.channels_last)
        found = net(batch)
        return list((found[0] if isinstance(found, tuple) else found).cpu())

    return call


def measure(name: str, call: Call, items: Sequence[torch.Tensor], a_clip: int, few: int, many: int) -> None:
    """Print the fastest of three, in turns, with ``few`` and with ``many`` in a call; a_clip: items of one clip."""

    def run(size: int) -> list[torch.Tensor]:
        return [out for start in range(0, len(items), size) for out in call(items[start : start + size])]

    one, other = run(few), run(many)
    off = max(float((a - b).abs().max() / a.abs().max()) for a, b in zip(one, other, strict=True))
    times = np.min([[timeit(lambda size=size: run(size), number=1) for size in (few, many)] for _ in range(3)], axis=0)
    slow, fast = 1000 * times * a_clip / len(items)
    saved = slow - fast
    print(f"{name:<26} {few:>4} {many:>5} {slow:>9.1f} {fast:>9.1f} {slow / fast:>6.2f} {saved:>9.1f} {off:>9.0e}")


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    transformers.utils.logging.disable_progress_bar()
    print(f"milliseconds a clip of 5 s, one thread of {os.cpu_count()} cores; few and many: in one call")
    for device in ("cpu", *(("cuda",) if torch.cuda.is_available() else ())):
        head = f"{'few':>4} {'many':>5} {'few, ms':>9} {'many, ms':>9} {'ratio':>6} {'saved, ms':>9} {'off by':>9}"
        print(f"{device:<26} {head}")
        with tempfile.TemporaryDirectory() as place, torch.inference_mode():
            words = bert(Path(place), device)
            for many in (8, 32):
                measure("text: BERT", words, sentences(64), 1, 1, many)
            frames = [torch.randn(3, 180, 320) for _ in range(PICTURES)]
            measure("faces: P-Net, 320 x 180", stacked(PNet(pretrained=False), device), frames, PICTURES, 1, 10)
            crops = [torch.randn(3, 112, 112) for _ in range(PICTURES)]
            measure("vision: ResNet18, 112 px", stacked(resnet18(weights=None), device), crops, PICTURES, 4, PICTURES)


if __name__ == "__main__":
    main()
