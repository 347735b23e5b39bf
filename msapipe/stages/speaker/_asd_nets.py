"""Reads an active speaker detection network of either kind, and runs it window by window."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import msapipe.stages.speaker._lr_asd as lr_asd
import msapipe.stages.speaker._talknet as talknet
from msapipe.errors import WeightsError
from msapipe.stages.speaker._asd_input import FPS, HEARD
from msapipe.weights.torch_file import load_tensors

Floats = NDArray[np.float32]


class Network:
    """LR-ASD or TalkNet, read from its authors' weights file; the parameter names tell which one it is.

    Raises WeightsError if the file is of neither, or has missing or unexpected parameters.
    """

    def __init__(self, file: Path, device: str) -> None:
        import torch

        state = _state(file)
        known = {lr_asd.MARK: ("LR-ASD", lr_asd), talknet.MARK: ("TalkNet", talknet)}
        found = [item for mark, item in known.items() if mark in state]
        if not found:
            raise WeightsError(
                f"{file} holds neither LR-ASD nor TalkNet: no parameter in it is called {' or '.join(known)} "
                f"(the first is {next(iter(state), 'missing')}); take a file that their authors publish"
            )
        name, module = found[0]
        self._torch, self._device = torch, torch.device(device)
        self._logits, self._net = module.logits, module.network()
        try:
            self._net.load_state_dict(state, strict=True)
        except RuntimeError as error:
            raise WeightsError(f"{file} does not fit {name}: {' '.join(str(error).split())[:300]}") from error
        self._net.eval().requires_grad_(False).to(self._device)

    def scores(self, sound: Floats, pictures: NDArray[np.uint8], windows: Sequence[int]) -> Floats:
        """How likely each frame's face is speaking: float32 (T,), the logit averaged over passes.

        sound: (4T, 13).   pictures: (T, 112, 112) grey.   windows: seconds; for each one, the network runs over the
        whole input in parts of about that length, none much shorter than the others.
        """
        total = np.zeros(len(pictures), np.float64)
        for seconds in windows:
            for begin, end in parts(len(pictures), round(len(pictures) / (seconds * FPS))):
                total[begin:end] += self._ask(sound[HEARD * begin : HEARD * end], pictures[begin:end])
        return np.asarray(total / len(windows), np.float32)

    def _ask(self, sound: Floats, pictures: NDArray[np.uint8]) -> Floats:
        torch = self._torch
        exact = torch.backends.cudnn.flags(allow_tf32=False, deterministic=True)
        with torch.inference_mode(), exact:
            heard, seen = (torch.from_numpy(part.astype(np.float32)).to(self._device) for part in (sound, pictures))
            return np.asarray(self._logits(self._net, heard, seen).cpu().numpy(), np.float32)


def parts(length: int, count: int) -> Iterator[tuple[int, int]]:
    """Start and end of ``count`` parts, at least one, whose lengths differ by at most one frame."""
    return pairwise(length * i // max(count, 1) for i in range(max(count, 1) + 1))


def _state(file: Path) -> dict[str, Any]:
    """Parameters of a file written by torch; some files prefix every name with ``module.``."""
    import torch

    try:
        state = load_tensors(file)
    except (OSError, ValueError) as error:
        raise WeightsError(f"{file} is not a file of weights that torch reads: {error}") from error
    if not (isinstance(state, dict) and all(isinstance(item, torch.Tensor) for item in state.values())):
        raise WeightsError(f"{file} holds {type(state).__name__}, expected names with tensors (a state_dict)")
    return {str(name).removeprefix("module."): item for name, item in state.items()}
