"""openSMILE's acoustic features (eGeMAPS, ComParE and others), per 10 ms or per clip (extra opensmile)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from msapipe.errors import MissingLibrary
from msapipe.stages._base import Stage
from msapipe.types import FeatureSequence, Waveform
from msapipe.weights import InPackage, Weights

_HOP = 0.010  # seconds from row to row, in all of these sets
_REACH = 0.060  # seconds of the longest window

FeatureSetName = Literal["eGeMAPSv02", "eGeMAPSv01b", "GeMAPSv01b", "ComParE_2016", "emobase", "IS09", "IS10", "IS13"]


def _config(file: str, sha256: str, size: int) -> InPackage:
    return InPackage(
        name="opensmile",
        package="opensmile",
        file=f"core/config/{file}.conf",
        sha256=sha256,
        bytes=size,
        licence="audEERING Research License (research only)",
        source="https://github.com/audeering/opensmile-python, wheel opensmile 2.6.0",
        commercial=False,
    )


_CONFIGS: dict[str, InPackage] = {
    "eGeMAPSv02": _config(
        "egemaps/v02/eGeMAPSv02", "ef451953badced2ed112ba4ffb997f9d2a7e7c444a09e8092665eadd9f24109e", 1567
    ),
    "eGeMAPSv01b": _config(
        "egemaps/v01b/eGeMAPSv01b", "9c325c522b771f06e626faa5679612f707650bf24ec3282ea0a88980b5ee9cd1", 1574
    ),
    "GeMAPSv01b": _config(
        "gemaps/v01b/GeMAPSv01b", "090f6adec479c16b9685c9eefe2d6b3a58f7096bed17cec01f8595ed664e5c2c", 1490
    ),
    "ComParE_2016": _config(
        "compare/ComParE_2016", "0f04ad58d498d249d1ea4cf46a5ca792c7eb6f20adb7122f355ba16b4a5a375b", 1602
    ),
    "emobase": _config("emobase/emobase", "d243a0fb7f07be01e27969c54faee9c50e35bed25f3d7498ef74129e77c11a5a", 8632),
    "IS09": _config("is09-13/IS09_emotion", "c084e9c90f205959e34bb63f368d41e75727b52eccb6c647d0e940b02465d89b", 2661),
    "IS10": _config(
        "is09-13/IS10_paraling_compat", "f3a165905f5fa89fecb338bcb5c8012041e9ea34230e3dba514de660ceafe0b2", 13250
    ),
    "IS13": _config("is09-13/IS13_ComParE", "7c7194f62c3a84c02f967628f4137a3abd39800f9c445e0aaf41fce660287605", 1664),
}


@dataclass
class Opensmile(Stage):
    """openSMILE's features (Eyben et al., 2010; eGeMAPS: Eyben et al., 2016): (T, 25) with the defaults.

    level "lld": low-level descriptors, one row every 10 ms: 25 columns for eGeMAPSv02, 23 for v01b, 18 for GeMAPS,
    65 for ComParE_2016 and IS13, 26 for emobase, 16 for IS09, 38 for IS10.   level "functionals": one row for the
    whole clip: 88, 88, 62, 6373, 6373, 988, 384, 1582 columns. Names, order, units and ranges are openSMILE's own.

    Times (seconds): row i covers [i * 10 ms, (i + 1) * 10 ms), the last one up to the end of the sound. openSMILE's
    windows begin there and are 20 to 60 ms long, so there are a few rows fewer than 10 ms steps.
    valid: the 60 ms from the row's start are not digital silence. A sound shorter than openSMILE's windows gives one
    invalid row. Values that are not finite become 0.
    """

    weights: ClassVar[tuple[Weights, ...]] = tuple(_CONFIGS.values())

    feature_set: FeatureSetName = "eGeMAPSv02"
    level: Literal["lld", "functionals"] = "lld"

    def own_weights(self) -> tuple[Weights, ...]:
        """The configuration of the feature set."""
        return (_CONFIGS[self.feature_set],)

    def load(self, device: str) -> None:
        """Load the library; raises MissingLibrary if it is not installed."""
        try:
            import opensmile
        except (ImportError, OSError) as error:  # OSError: its own shared library
            raise MissingLibrary(
                f"opensmile does not load: {error}; type: uv sync --extra opensmile, or uv pip install opensmile"
            ) from error
        _CONFIGS[self.feature_set].path()
        levels = opensmile.FeatureLevel
        with warnings.catch_warnings(action="ignore", category=UserWarning):  # warns of a newer feature set
            self._smile = opensmile.Smile(
                opensmile.FeatureSet[self.feature_set],
                levels.LowLevelDescriptors if self.level == "lld" else levels.Functionals,
                loglevel=0,
            )
        self._names = tuple(map(str, self._smile.feature_names))

    def run(self, waveform: Waveform) -> FeatureSequence:
        """Sound of any length and sampling rate to (T, D)."""
        # openSMILE converts to 16 bits without clipping: 1.0 would become -1.0.
        samples = np.clip(waveform.samples, -1, 32767 / 32768)
        if not len(samples):
            return FeatureSequence(
                np.zeros((0, len(self._names)), np.float32), np.zeros((0, 2)), np.zeros(0, bool), self._names
            )
        with warnings.catch_warnings(action="ignore", category=UserWarning):  # warns of short sound
            values = self._smile.process_signal(samples, waveform.rate).to_numpy(np.float32)
        starts = np.arange(len(values)) * _HOP
        times = np.stack([starts, np.append(starts[1:], waveform.seconds)], axis=1)
        reach = np.stack([starts, starts + _REACH], axis=1) if self.level == "lld" else times
        finite = np.isfinite(values)
        valid = finite.any(axis=1) & _sounds(samples, waveform.rate, reach)
        values = np.where(finite, values, np.float32(0))
        return FeatureSequence.masked(values, times, valid, self._names, _notes(finite, waveform.seconds))


def _notes(finite: NDArray[np.bool_], seconds: float) -> tuple[str, ...]:
    if not finite.any():
        return (f"{seconds * 1000:.0f} ms of sound are too short for openSMILE's windows",)
    odd = int((~finite).sum())
    return (f"{odd} of {finite.size} numbers of openSMILE are not finite; they are 0",) if odd else ()


def _sounds(samples: NDArray[np.float32], rate: int, times: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether each stretch of time has a sample that is not zero in 16 bits: (T,)."""
    count = np.concatenate([[0], np.cumsum(np.abs(samples) >= 1 / 32768)])
    first, last = np.clip(np.round(times * rate).astype(np.int64), 0, len(samples)).T
    return np.asarray(count[last] > count[first])
