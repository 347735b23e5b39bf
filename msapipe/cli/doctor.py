"""msapipe doctor: what this machine has and lacks, each with a fix."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from msapipe.cli import _options as options
from msapipe.cli import _streams
from msapipe.cli._streams import escape
from msapipe.stages import CHAINS

if TYPE_CHECKING:
    from msapipe.pipeline.spec import PipelineSpec


@dataclass(frozen=True)
class Check:
    """One line: what was checked, whether it is good, what was found, and what to type if it is not."""

    name: str
    good: bool
    found: str
    fix: str = ""


# Package to its purpose; with the name for pip where it differs.
_PACKAGES = {
    "av": "decoding",
    "torch": "models",
    "torchvision": "visual features",
    "torchaudio": "acoustic features",
    "transformers": "textual features",
    "facenet_pytorch": "faces",
    "cv2": "faces",
    "pocketsphinx": "speech recognition",
    "vaderSentiment": "textual features",
    "safetensors": "the cache",
}
_PIP_NAMES = {"cv2": "opencv-python", "facenet_pytorch": "facenet-pytorch"}
# System libraries that wheels need, and the Debian package of each.
_SYSTEM_LIBRARIES = {
    "libGL.so.1": "libgl1",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libgthread-2.0.so.0": "libglib2.0-0",
    "libsndfile.so.1": "libsndfile1",
    "libxcb.so.1": "libxcb1",
    "libX11.so.6": "libx11-6",
    "libgomp.so.1": "libgomp1",
}


def doctor(cache: options.Cache = None, device: options.Device = "auto") -> int:
    """Check Python, packages, ffmpeg, device, cache, decoder and weights; say how to fix problems."""
    checks: tuple[Callable[[], Iterator[Check]], ...] = (
        _python,
        _packages,
        _ffmpeg,
        lambda: _device(device),
        lambda: _cache(options.cache_folder(cache)),
        _decoder,
        _weights,
        _pipelines,
        _models,
    )
    out = _streams.console()
    bad = 0
    for check in checks:
        for line in check():
            bad += not line.good
            verdict = "[green]ok[/green]  " if line.good else "[red]bad[/red] "
            out.print(f"{verdict} {line.name}: {escape(line.found)}", soft_wrap=True)
            if line.fix:
                out.print(f"     fix: {escape(line.fix)}", soft_wrap=True)
    out.print("all is well" if not bad else f"{bad} things to mend")
    return 1 if bad else 0


def library_fix(message: str, package: str) -> str:
    """What to type when a package cannot load a system library."""
    for library, debian in _SYSTEM_LIBRARIES.items():
        if library in message:
            headless = ", or: uv pip install opencv-python-headless" if package == "cv2" else ""
            return f"apt-get install {debian}{headless}"
    return f"uv pip install --reinstall {_PIP_NAMES.get(package, package)}"


def _python() -> Iterator[Check]:
    found = ".".join(map(str, sys.version_info[:3]))
    good = (3, 11) <= sys.version_info[:2] <= (3, 13)
    fix = "" if good else "uv python install 3.12, then uv run --python 3.12 msapipe doctor"
    yield Check("Python", good, found, fix)


def _packages() -> Iterator[Check]:
    import importlib
    from importlib.metadata import PackageNotFoundError, version

    for module, what_for in _PACKAGES.items():
        pip_name = _PIP_NAMES.get(module, module)
        try:
            importlib.import_module(module)
            found = version(pip_name)
        except PackageNotFoundError:
            found = "installed"
        except Exception as error:  # noqa: BLE001 - a broken package may raise anything
            found = f"{type(error).__name__}: {error} (needed for {what_for})"
            yield Check(pip_name, False, found, library_fix(str(error), module))
            continue
        yield Check(pip_name, True, found)


def _ffmpeg() -> Iterator[Check]:
    import subprocess

    try:
        import imageio_ffmpeg

        program = imageio_ffmpeg.get_ffmpeg_exe()
        first = subprocess.run([program, "-version"], capture_output=True, text=True, check=True, timeout=20).stdout
        yield Check("ffmpeg", True, first.partition(" Copyright")[0])
    except (ImportError, RuntimeError, OSError, subprocess.SubprocessError) as error:
        yield Check("ffmpeg", False, str(error), "uv pip install --reinstall imageio-ffmpeg")


def _device(name: str) -> Iterator[Check]:
    from msapipe.errors import ConfigError
    from msapipe.pipeline.device import resolve_device

    try:
        import torch

        found = resolve_device(name)
        detail = torch.cuda.get_device_name(found) if found.startswith("cuda") else f"{os.cpu_count()} cores"
        yield Check("device", True, f"{found} ({detail})")
    except ConfigError as error:
        yield Check("device", False, str(error), "--device auto")
    except ImportError as error:
        yield Check("device", False, str(error), library_fix(str(error), "torch"))


def _cache(place: str) -> Iterator[Check]:
    import shutil
    import tempfile

    from msapipe.cache import open_store
    from msapipe.cache.remote import RemoteStore
    from msapipe.errors import MsapipeError

    try:
        store = open_store(place)
        if isinstance(store, RemoteStore):
            store.try_out()
            yield Check("storage service", True, f"{store.address} can be written")
    except MsapipeError as error:
        yield Check("storage service", False, str(error), str(error).rpartition("; ")[2])
        return
    folder = where = store.root
    while not where.exists():
        where = where.parent
    try:
        with tempfile.TemporaryFile(dir=where):
            free = shutil.disk_usage(where).free / 1e9
        fix = "" if free > 1 else "msapipe cache prune, or --cache DIR"
        yield Check("cache", free > 1, f"{folder}, {free:.0f} GB free", fix)
    except OSError as error:
        yield Check("cache", False, f"{folder}: {error.strerror}", "name another folder: --cache DIR or MSAPIPE_CACHE")


def _decoder() -> Iterator[Check]:
    import tempfile
    import wave
    from pathlib import Path

    from msapipe.errors import MsapipeError
    from msapipe.media import Decoder, MediaOptions
    from msapipe.types import Clip

    with tempfile.TemporaryDirectory() as folder, Decoder() as decoder:
        path = Path(folder) / "silence.wav"
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, 16000, 0, "NONE", ""))
            file.writeframes(bytes(3200))
        try:
            sound = decoder.waveform(Clip("silence", path), MediaOptions())
            yield Check("decoder", True, f"a child process decodes ({len(sound.samples)} samples)")
        except MsapipeError as error:
            fix = "uv pip install --reinstall av; or raise MSAPIPE_DECODE_MEMORY_MB"
            yield Check("decoder", False, str(error), fix)


def _weights() -> Iterator[Check]:
    """One line per damaged file, and one for all the rest."""
    from msapipe.errors import WeightsError
    from msapipe.stages.known_weights import every_weights

    here = [(weights, stages) for weights, stages in every_weights().items() if weights.here()]
    good = 0
    for weights, stages in here:
        try:
            weights.path()
            good += 1
        except WeightsError as error:
            yield Check(f"weights of {', '.join(stages)}", False, str(error), str(error).rpartition("; ")[2])
    yield Check("weights", True, f"{good} here with the right bytes; all of them: msapipe weights list")


def _pipelines() -> Iterator[Check]:
    from msapipe.errors import MsapipeError
    from msapipe.pipeline.spec import load_spec, pipeline_names

    for name in pipeline_names():
        try:
            yield Check(f"pipeline {name}", True, readiness(load_spec(name)))
        except MsapipeError as error:
            yield Check(f"pipeline {name}", False, str(error), "uv pip install --reinstall msapipe")


def readiness(spec: PipelineSpec) -> str:
    """ "ready", or which weights are missing, how large they are, and what to type.

    A missing source with an alternative (the next in a list) does not count, but is named.
    """
    from msapipe.weights import Weights, accepted

    may = {*accepted(), *spec.accept_licences}
    missing: dict[Weights, None] = {}
    refused: dict[Weights, None] = {}
    passed_over: list[str] = []
    for uses in spec.stages.values():
        chain = uses[0].slot in CHAINS
        for number, use in enumerate(uses):
            lacking = [weights for weights in use.stage.own_weights() if not weights.here()]
            if chain and lacking and number + 1 < len(uses):
                passed_over.append(f"{use.slot}/{use.name}")
                continue
            missing |= dict.fromkeys(lacking)
            refused |= dict.fromkeys(
                weights for weights in use.stage.own_weights() if not (weights.commercial or weights.name in may)
            )
    accept = "".join(f" --accept-licence {weights.name}" for weights in refused)
    command = f"type: msapipe weights fetch --pipeline {spec.called}{accept}"
    parts = []
    if missing:
        named = ", ".join(weights.name for weights in missing)
        parts.append(f"missing {named} ({_in_all([weights.size for weights in missing])})")
    if refused:
        parts.append(f"licence not accepted: {', '.join(weights.name for weights in refused)}")
    if passed_over:
        parts.append(f"another source stands in for {', '.join(passed_over)}")
    return "; ".join([*([] if missing or refused else ["ready"]), *parts, *([command] if parts else [])])


def _in_all(sizes: list[int | None]) -> str:
    from msapipe.weights.kinds import size_in_words

    known = [size for size in sizes if size is not None]
    if len(known) == len(sizes):
        return size_in_words(sum(known))
    return f"more than {size_in_words(sum(known))}" if known else size_in_words(None)


def _models() -> Iterator[Check]:
    from msapipe.errors import MsapipeError
    from msapipe.pipeline.card import model_names, read_card

    for name, folder in model_names().items():
        try:
            yield Check(f"model {name}", True, read_card(folder).about)
        except MsapipeError as error:
            yield Check(f"model {name}", False, str(error), "uv pip install --reinstall msapipe")
