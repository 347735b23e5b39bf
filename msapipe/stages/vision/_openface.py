"""Run OpenFace's program FeatureExtraction on the speaker's face crops, and read its table.

Baltrusaitis et al., "OpenFace 2.0: Facial Behavior Analysis Toolkit" (FG 2018).
"""

from __future__ import annotations

import contextlib
import csv
import os
import shutil
import signal
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from msapipe.errors import ConfigError, MissingLibrary, MsapipeError
from msapipe.stages.vision._crops import crops
from msapipe.stages.vision._units import INTENSITIES, PRESENCES, UNITS, Floats, validity
from msapipe.types import FaceClip
from msapipe.weights import Own

PROGRAM = "FeatureExtraction"
VARIABLE = "MSAPIPE_OPENFACE"
WANTED = ("-aus", "-2Dfp", "-pose", "-gaze")

# Side of a crop in pixels; landmarks are poor on faces below a hundred pixels.
SIZE = 256

# Time limits in seconds: startup (it loads hundreds of megabytes) and per crop; it needs a tenth of that.
TO_START, PER_PICTURE = 120.0, 3.0


def find_program(named: str) -> Own:
    """The program, as weights that the results depend on: ``named``, else MSAPIPE_OPENFACE, else on the PATH.

    Raises ConfigError if ``named`` does not exist, MissingLibrary if there is none.
    """
    wanted = named or os.environ.get(VARIABLE, "")
    found = shutil.which(os.path.expanduser(wanted or PROGRAM))
    if found is None and wanted:
        raise ConfigError(
            f"action_units: program {wanted} ({'program' if named else VARIABLE}) cannot be run; "
            f"expected the path of OpenFace's {PROGRAM}, or its name on the PATH"
        )
    if found is None:
        raise MissingLibrary(
            f"action_units with backend: openface needs OpenFace's program, and no {PROGRAM} is on the PATH; "
            f"build it (github.com/TadasBaltrusaitis/OpenFace) and name it: program: /path/to/{PROGRAM}, or "
            f"{VARIABLE}=/path/to/{PROGRAM}"
        )
    return Own(
        name="openface",
        licence="OpenFace: academic or non-profit research only",
        source="github.com/TadasBaltrusaitis/OpenFace",
        commercial=False,
        where=Path(found).resolve(),  # it looks for its models beside itself, not beside a link
    )


class OpenFace:
    """Measures the speaker's face with OpenFace: 17 intensities, 17 presences."""

    validity = validity(UNITS, UNITS)
    about: tuple[str, ...] = ()

    def __init__(self, program: Path, confidence: float) -> None:
        self._program = program
        self._confidence = confidence

    def measure(self, clip: FaceClip) -> tuple[NDArray[np.bool_], Floats]:
        """Columns (T, 34); rows that OpenFace did not track, or with too little confidence, are invalid.

        Raises MsapipeError if the program fails, hangs, or writes an unexpected table.
        """
        valid = np.zeros(len(clip), np.bool_)
        values = np.zeros((len(clip), 2 * len(UNITS)), np.float32)
        rows = np.flatnonzero(clip.valid)
        if not len(rows):
            return valid, values
        with TemporaryDirectory(prefix="msapipe-openface-") as name:
            folder = Path(name)
            write_pictures(clip, folder / "face")
            command = [str(self._program), "-fdir", str(folder / "face"), "-out_dir", str(folder / "out"), *WANTED]
            said = run_program(command, folder, TO_START + PER_PICTURE * len(rows))
            tables = sorted((folder / "out").glob("*.csv"))
            if len(tables) != 1:
                raise MsapipeError(f"OpenFace wrote {len(tables)} tables, expected one .csv; {said}")
            place, sure, found = read_table(tables[0], len(rows))
        kept = (sure > 0) & (sure >= self._confidence)
        valid[rows[place[kept]]] = True
        values[rows[place[kept]]] = found[kept]
        return valid, values


def write_pictures(clip: FaceClip, folder: Path) -> None:
    """Write the loose crop of every row with a face as a PNG, in order."""
    import cv2

    folder.mkdir()
    for rows, pictures in crops(clip, "loose", SIZE):
        for row, picture in zip(rows.tolist(), pictures, strict=True):
            path = folder / f"{row:08}.png"
            if not cv2.imwrite(str(path), picture[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1]):
                raise MsapipeError(f"{path} cannot be written; is the folder of temporary files full?")


def run_program(command: list[str], folder: Path, seconds: float) -> str:
    """Run a program and return the end of its output; raises MsapipeError if it fails or takes too long.

    Its output goes to a file: a program that it starts could hold a pipe open for ever.
    """
    log = folder / "log.txt"
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with log.open("wb") as out:
        try:
            process = subprocess.Popen(
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**threads, **os.environ},
                start_new_session=True,
            )
        except OSError as error:
            raise MsapipeError(f"OpenFace's program {command[0]} cannot be started: {error}") from error
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise MsapipeError(
                f"OpenFace's program {command[0]} was stopped: it took longer than {seconds:.0f} s; {_last_words(log)}"
            ) from None
        finally:
            _end(process)
    if code:
        how = f"crashed (signal {-code})" if code < 0 else f"failed (exit code {code})"
        raise MsapipeError(f"OpenFace's program {command[0]} {how}; {_last_words(log)}")
    return _last_words(log)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the program and its children, unless it has ended."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _last_words(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    said = " | ".join(line.strip() for line in lines if line.strip())[-300:]
    return f"it said: {said}" if said else "it said nothing"


def read_table(path: Path, pictures: int) -> tuple[NDArray[np.int64], NDArray[np.float64], Floats]:
    """Read OpenFace's table of ``pictures`` crops, numbered from 1; rows may be missing.

    Returns the crop of each row (n,) from 0; the confidence in [0, 1] (n,), 0 if success is 0 or a value is not finite;
    and columns (n, 34): intensities scaled from 0-5 to [0, 1], presences without AU28_c. Raises MsapipeError for any
    other table.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            names, *lines = list(csv.reader(file, skipinitialspace=True)) or [[]]
        take = _columns(names)
        numbers = np.array([[float(line[column]) for column in take] for line in lines], np.float64)
    except (OSError, ValueError, IndexError, csv.Error) as error:
        raise MsapipeError(f"OpenFace's table cannot be read: {error}") from error
    frame, success, confidence, units = np.split(numbers.reshape(-1, len(take)), [1, 2, 3], axis=1)
    place = frame[:, 0] - 1
    if not np.isin(place, np.arange(pictures)).all() or len(np.unique(place)) < len(place):
        raise MsapipeError(f"OpenFace's table must hold frames 1 to {pictures}, each once at most; it holds others")
    tracked = np.isfinite(numbers).all(1) & (success[:, 0] > 0)
    units[:, : len(UNITS)] /= 5
    values = np.where(tracked[:, None], np.clip(units, 0, 1), 0).astype(np.float32)
    return place.astype(np.int64), np.where(tracked, confidence[:, 0], 0), values


def _columns(names: list[str]) -> list[int]:
    """Indices of the columns frame, success, confidence, 17 intensities, 17 presences."""
    wanted = ("frame", "success", "confidence", *INTENSITIES, *PRESENCES)
    missing = [name for name in wanted if name not in names]
    if missing:
        raise MsapipeError(
            f"OpenFace's table has no column {', '.join(missing[:4])}; it has {', '.join(names[:4]) or 'none'}, ..., "
            f"{len(names)} in all. Are its models of action units (AU_predictors) beside the program?"
        )
    return [names.index(name) for name in wanted]
