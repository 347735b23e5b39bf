"""How well a GPU is used, in one run: whole pipelines, each network, where it waits, batches, training, its numbers.

Peak: one large product of matrices in bfloat16, measured here, not a data sheet's. TFLOP/s: operations as torch counts
them, over wall time of the whole stage (cropping and copying with it); "in kernels": over the time in which the device
had work. Idle: share of wall time without a kernel, as torch.profiler sees it; the profiler slows the host, so it is an
upper bound. Weights are random, of full size; with ``--quick`` tiny, to try the program, not to be quoted. On a CPU: -.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import across_clips
import numpy as np
import torch
import train
from _extract_networks import CASES, INPUTS
from _extract_pipelines import copies
from _extract_table import SAMPLES, SHARED, wide
from _extract_weights import LR_ASD, checkpoint, has_dtype, pipeline
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from msapipe.cache import Store
from msapipe.cli._training import markdown
from msapipe.engines.local import run_clips
from msapipe.fusion import fusion_models
from msapipe.pipeline.run import Options, Runner
from msapipe.pipeline.spec import load_spec
from msapipe.stages import STAGES
from msapipe.testing import tiny
from msapipe.train.data import load_data
from msapipe.train.loop import Loop
from msapipe.train.settings import Settings
from msapipe.train.study import make_fabric
from msapipe.train.table import TensorTable
from msapipe.types import Clip

Cells = dict[str, object]
TURNS = 5
POSITIVE = SAMPLES / "positive.mp4"
MODELS = ("lf_dnn", "lmf", "tfn", "mult", "misa", "self_mm")
ENCODERS: list[tuple[str, str, dict[str, Any]]] = [
    *((case.slot, case.name, case.params) for case in CASES if case.params.get("size") != 224),
    ("vision", "action_units", {"backend": "libreface"}),
]


@dataclass(frozen=True)
class Place:
    """What is measured on, where files go, and whether only to try."""

    device: str
    quick: bool
    folder: Path

    @property
    def gpu(self) -> bool:
        """Whether the device is one."""
        return self.device != "cpu"

    def seconds(self, run: Callable[[], object]) -> float:
        """Wall time of a call, with all that it gave to the device."""
        wait = partial(torch.cuda.synchronize, self.device) if self.gpu else lambda: None
        wait()
        begun = time.perf_counter()
        run()
        wait()
        return time.perf_counter() - begun

    def busy(self, run: Callable[[], object]) -> tuple[float, float] | None:
        """Seconds in which the device ran a kernel or a copy, and wall seconds; None on a CPU."""
        if not self.gpu:
            return None
        with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as seen:
            whole = self.seconds(run)
        spans = sorted(
            (event.time_range.start, event.time_range.end)
            for event in seen.events() or ()
            if event.device_type == DeviceType.CUDA and not event.is_user_annotation
        )
        total, until = 0.0, 0.0
        for start, end in spans:
            total += max(0.0, end - max(start, until))
            until = max(until, end)
        return total / 1e6, whole


def peak(place: Place) -> float:
    """Operations a second of one large product of matrices in bfloat16: the best of ten."""
    size = 8192 if place.gpu else 1024
    one, other = (torch.randn(size, size, device=place.device).bfloat16() for _ in range(2))
    return max(2 * size**3 / place.seconds(lambda: one @ other) for _ in range(10))


def stage(place: Place, slot: str, name: str, params: dict[str, Any], device: str, dtype: str) -> Callable[[], Any]:
    """A stage's ``run`` on inputs that are ready; its first call is done."""
    cls = STAGES[slot].get(name)
    small = tiny.params(slot, name, place.folder) if place.quick else {}
    weights = small or {"checkpoint": str(checkpoint(name, place.folder))}
    made = cls(**{**params, **weights, **({"dtype": dtype} if has_dtype(cls) else {})})
    made.load(device)
    run = partial(made.run, **{need: INPUTS[need] for need in cls.needs()})
    run()
    return run


def encoders(place: Place, most: float) -> Iterator[Cells]:
    """Each network on a clip of 5 s, in float32 and bfloat16, and how far it is from float32 on the CPU."""
    for slot, name, params in ENCODERS:
        wanted = stage(place, slot, name, params, "cpu", "float32")().values
        with FlopCounterMode(display=False) as counter:
            stage(place, slot, name, params, place.device, "float32")
        flops = counter.get_total_flops()
        for dtype in ("float32", "bfloat16"):
            run = stage(place, slot, name, params, place.device, dtype)
            took = min(place.seconds(run) for _ in range(TURNS))
            busy = place.busy(run)
            off = float(np.abs(run().values - wanted).max() / np.abs(wanted).max())
            yield {
                "encoder": f"{name} {dtype}",
                "ms a clip": f"{1e3 * took:.1f}",
                "GFLOP": f"{flops / 1e9:.2f}",
                "TFLOP/s": f"{flops / took / 1e12:.4g}",
                "of the peak": f"{flops / took / most:.1%}",
                "in kernels": f"{flops / busy[0] / most:.1%}" if busy else "-",
                "idle": f"{1 - busy[0] / busy[1]:.0%}" if busy else "-",
                "largest difference from the CPU": f"{off:.0e}",
            }


def pipelines(place: Place) -> Iterator[Cells]:
    """New clips through ``boosting`` and ``smp`` in bfloat16: one process, then as many as there are cores."""
    source = SHARED / "speech" / "retalk_1.mp4"
    clips = copies(wide(source, place.folder / "film.mp4") if source.is_file() else POSITIVE, place.folder)
    count, every = (2, (1,)) if place.quick else (24, (1, os.cpu_count() or 1))
    for name in ("boosting", "smp"):
        lacks = name == "boosting" and not LR_ASD.is_file() and not place.quick
        changes = {"speaker": {"use": "largest"}} if lacks else {}
        path = tiny.spec(name, place.folder) if place.quick else pipeline(name, place.folder, "bfloat16", **changes)
        for jobs in every:
            found = _through(place, path, clips, count, jobs)
            yield {"pipeline": name + " without active speaker" * lacks, "processes": jobs} | found


def _through(place: Place, path: Path, clips: Iterator[Clip], count: int, jobs: int) -> Cells:
    """Hours of video an hour, the first clip of one process left out; what most of the time goes to."""
    store = Store(place.folder / f"cache-{path.stem}-{jobs}")
    with Runner(load_spec(str(path)), store, Options(device=place.device)) as runner:
        said: dict[str, float] = {}

        def run(some: int) -> float:
            seconds = 0.0
            for outcome in run_clips(runner, map(_kept, islice(clips, some)), jobs):
                if outcome.error:
                    raise RuntimeError(outcome.error)
                seconds += 5.0
                for step, took in outcome.timings.items():
                    said[step] = said.get(step, 0.0) + took
            return seconds

        if jobs == 1:
            run(1)
        said.clear()
        shown: list[float] = []
        took = place.seconds(lambda: shown.append(run(count)))
        busy = place.busy(lambda: run(2)) if jobs == 1 else None
    first = sorted(said.items(), key=lambda item: -item[1])[:4]
    return {
        "video hours a device hour": f"{shown[0] / took:.1f}",
        "idle": f"{1 - busy[0] / busy[1]:.0%}" if busy else "-",
        "most of the time": ", ".join(f"{step} {part / (sum(said.values()) or 1):.0%}" for step, part in first),
    }


def _kept(clip: Clip) -> Clip:
    """The clip under another name, with its words: workers may read it after the next one was made."""
    path = clip.path.with_name(f"kept_{clip.path.name}")
    os.link(clip.path, path)
    os.link(clip.path.with_suffix(".json"), path.with_suffix(".json"))
    return replace(clip, id=path.name, path=path)


def batches(place: Place) -> Iterator[Cells]:
    """Several clips in one call of a network against one after the other, as across_clips.py measures it."""
    folder = place.folder / "bert"
    folder.mkdir()
    count = 16 if place.quick else 256
    words = across_clips.bert(folder, place.device)
    crops = [torch.randn(3, 112, 112) for _ in range(across_clips.PICTURES)]
    faces = across_clips.stacked(across_clips.resnet18(weights=None), place.device)
    for name, call, items, a_clip, many in (
        ("BERT, a sentence a clip", words, across_clips.sentences(count), 1, (8,) if place.quick else (8, 32, 128)),
        ("ResNet18, 50 crops a clip", faces, crops, across_clips.PICTURES, (across_clips.PICTURES,)),
    ):
        for size in many:
            with contextlib.redirect_stdout(io.StringIO()) as said, torch.inference_mode():
                across_clips.measure("", call, items, a_clip, 1, size)
            head = ("one by one, ms a clip", "together", "ratio", "saved, ms", "off by")
            yield {"batch": name, "in a call": size} | dict(zip(head, said.getvalue().split()[2:], strict=True))


def training(place: Place) -> Iterator[Cells]:
    """Clips learned a second (validation with it) in epochs after the first, on random features of MOSI's sizes."""
    path, clips = place.folder / "aligned.pkl", 64 if place.quick else 1284
    train.write(path, "aligned", clips, False)
    data = load_data(path)
    for model in MODELS[:2] if place.quick else MODELS:
        tables = [TensorTable.of(data.split(name), data.dims) for name in ("train", "valid")]
        torch.manual_seed(1)
        built, ends = fusion_models().get(model)(data.dims), list[float]()
        given = (Settings(epochs=4, patience=10**6), make_fabric(place.device))
        Loop(built, *tables, *given, tell=lambda _: ends.append(time.perf_counter())).run()  # noqa: B023
        took = min(np.diff(ends)[:3])
        yield {"model": model, "clips": clips, "clips learned a second": f"{clips / took:.0f}"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda:0", help="cuda:N, or cpu to try the program")
    parser.add_argument("--quick", action="store_true", help="tiny networks, few clips")
    asked = parser.parse_args()
    if (gpu := asked.device != "cpu") and not torch.cuda.is_available():
        parser.error("torch sees no GPU here: nothing was measured; to try the program: --device cpu --quick")
    print(f"device: {torch.cuda.get_device_name(asked.device) if gpu else 'cpu; no figure of a GPU is measured'}")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        place = Place(asked.device, asked.quick, Path(folder))
        most = peak(place)
        print(f"peak of one product of matrices in bfloat16, measured now: {most / 1e12:.3g} TFLOP/s")
        for part in (partial(encoders, most=most), pipelines, batches, training):
            print(f"\n{markdown(part(place))}", flush=True)


if __name__ == "__main__":
    main()
