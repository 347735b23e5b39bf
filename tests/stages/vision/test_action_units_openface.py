"""OpenFace: its real table, and runs of stand-ins for its program."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from msapipe.errors import MsapipeError
from msapipe.stages.vision import _openface
from msapipe.stages.vision._openface import read_table
from msapipe.stages.vision.action_units import ActionUnits
from msapipe.testing import fakes
from msapipe.types import EncodedImages, FaceClip, FaceTracks, FeatureSequence, Speaker

cv2 = pytest.importorskip("cv2")

UNITS = ("01", "02", "04", "05", "06", "07", "09", "10", "12", "14", "15", "17", "20", "23", "25", "26", "45")
RATED = [f"AU{unit}_r" for unit in UNITS]
SEEN = [f"AU{unit}_c" for unit in (*UNITS[:-1], "28", UNITS[-1])]
HEADER = ", ".join(["frame", "timestamp", "confidence", "success", "gaze_0_x", "pose_Tx", "x_0", *RATED, *SEEN])


def line(frame: int, confidence: float = 0.9, success: int = 1, **units: float) -> str:
    values = {"frame": frame, "timestamp": 0, "confidence": confidence, "success": success, **units}
    return ",".join(f"{values.get(name, 0):g}" for name in HEADER.split(", "))


def table(path: Path, *lines: str, header: str = HEADER) -> Path:
    path.write_text("\n".join([header, *lines, ""]))
    return path


# --- the table ---------------------------------------------------------------------------------------------------


def test_the_table_of_the_real_program(shared: Path) -> None:
    path = shared / "media/images/openface_output_example.csv"
    place, sure, values = read_table(path, 100)
    header, *lines = path.read_text().splitlines()
    assert ", AU28_c, " in header
    assert place.tolist() == list(range(100))
    assert np.array_equal(sure, np.array([text.split(",")[2] for text in lines], float))
    rated = np.array([text.split(",")[-35:-18] for text in lines], float)
    seen = np.array([text.split(",")[-18:] for text in lines], float)
    assert np.allclose(values[:, :17], rated / 5)
    assert np.array_equal(values[:, 17:], np.delete(seen, 16, axis=1))
    assert values[:, :17].max() > 0.1


def test_rows_may_be_missing_and_lost(tmp_path: Path) -> None:
    path = table(
        tmp_path / "t.csv",
        line(2, AU12_r=5, AU12_c=1),
        line(4, success=0),
        line(3, AU45_r=6, AU28_c=1),
        line(1, AU01_r=float("nan")),
    )
    place, sure, values = read_table(path, 5)
    assert place.tolist() == [1, 3, 2, 0]
    assert sure.tolist() == [0.9, 0, 0.9, 0]
    assert values[0, [8, 17 + 8]].tolist() == [1, 1]
    assert values[2, 16] == 1  # more than 5 is 5
    assert values[2, 17:].sum() == 0  # AU28_c is none of the columns
    assert not values[3].any()


@pytest.mark.parametrize(
    ("lines", "header", "says"),
    [
        ([line(1), line(1)], HEADER, "each once"),
        ([line(0)], HEADER, "frames 1 to 5"),
        ([line(6)], HEADER, "frames 1 to 5"),
        (["1,2"], HEADER, "cannot be read"),
        ([line(1).replace("0.9", "x")], HEADER, "cannot be read"),
        ([], HEADER.replace("AU07_r, AU09_r, ", ""), "no column AU07_r, AU09_r;"),
        ([], "", "it has none"),
    ],
)
def test_other_tables_are_refused(tmp_path: Path, lines: list[str], header: str, says: str) -> None:
    with pytest.raises(MsapipeError, match=says):
        read_table(table(tmp_path / "t.csv", *lines, header=header), 5)


# --- the program -------------------------------------------------------------------------------------------------


def grey_faces(greys: list[int | None]) -> FaceClip:
    """A face of one grey in each picture, or none."""
    faces = fakes.face_tracks(len(greys))
    pictures = [cv2.imencode(".jpg", np.full((67, 67, 3), grey or 0, np.uint8))[1].tobytes() for grey in greys]
    tracks = FaceTracks(**{**vars(faces), "crops": EncodedImages.join(pictures)})
    track = np.array([-1 if grey is None else 0 for grey in greys], np.int64)
    return FaceClip(tracks, Speaker(track, np.ones(len(greys), np.float32)))


def program(path: Path, body: str) -> str:
    """A stand-in for FeatureExtraction: ``body`` has the arguments, the pictures' paths and ``write(lines)``."""
    start = f"""#!{sys.executable}
import os, sys, time
from pathlib import Path
given = sys.argv[1:]
pictures = sorted(Path(given[given.index("-fdir") + 1]).iterdir())
out = Path(given[given.index("-out_dir") + 1])
names = {HEADER.split(", ")!r}
def write(rows, name="face.csv"):
    out.mkdir(exist_ok=True)
    lines = [",".join(str(row.get(name, 0)) for name in names) for row in rows]
    (out / name).write_text("\\n".join([{HEADER!r}, *lines, ""]))
def row(frame, **units):
    return dict(frame=frame, confidence=0.9, success=1, **units)
"""
    path.write_text(start + body)
    path.chmod(0o755)
    return str(path)


def run(path: Path, body: str, clip: FaceClip, confidence: float = 0.7) -> FeatureSequence:
    stage = ActionUnits(backend="openface", program=program(path / "FeatureExtraction", body), confidence=confidence)
    stage.load("cpu")
    return stage.run(clip)


def test_rows_are_those_of_the_speakers_pictures(tmp_path: Path) -> None:
    body = """
import cv2
assert given[0] == "-fdir" and given[4:] == ["-aus", "-2Dfp", "-pose", "-gaze"], given
assert {path.suffix for path in pictures} == {".png"}
write([row(i, AU04_r=cv2.imread(str(path)).mean() / 255 * 5) for i, path in enumerate(pictures, 1)])
"""
    out = run(tmp_path, body, grey_faces([50, None, 100, None, 200]))
    assert out.valid.tolist() == [True, False, True, False, True]
    grey = out.values[:, out.names.index("AU04_r")] * 255
    assert grey.tolist() == pytest.approx([50, 0, 100, 0, 200], abs=1)
    assert out.notes == ()


def test_pictures_keep_their_colours(tmp_path: Path) -> None:
    body = """
import cv2
blue, green, red = cv2.imread(str(pictures[0])).mean((0, 1))
write([row(1, AU01_r=red / 51, AU02_r=green / 51, AU04_r=blue / 51)])
"""
    clip = fakes.face_clip(1)
    want = clip.loose(0, 256).mean((0, 1)) / 255
    assert len(set(want.round(2))) == 3
    assert run(tmp_path, body, clip).values[0, :3].tolist() == pytest.approx(want.tolist(), abs=1e-6)


def test_rows_that_it_lost_left_out_or_doubts_are_invalid(tmp_path: Path) -> None:
    body = """
write([row(1, AU12_r=1), {**row(2, AU12_r=2), "success": 0}, {**row(4, AU12_r=3), "confidence": 0.6}, row(5, AU12_r=4)])
"""
    clip = grey_faces([100] * 6)
    out = run(tmp_path, body, clip)
    assert out.valid.tolist() == [True, False, False, False, True, False]
    assert out.values[:, 8].tolist() == pytest.approx([0.2, 0, 0, 0, 0.8, 0])
    assert run(tmp_path, body, clip, confidence=0.5).valid.tolist() == [True, False, False, True, True, False]
    assert run(tmp_path, body, clip, confidence=0).valid.tolist() == [True, False, False, True, True, False]


def test_without_a_face_nothing_is_run(tmp_path: Path) -> None:
    out = run(tmp_path, "sys.exit(1)", fakes.face_clip(3, seen=False))
    assert out.values.shape == (3, 34)
    assert not out.valid.any()


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("print('no models found'); sys.exit(1)", r"failed \(exit code 1\); it said: no models found"),
        ("os.kill(os.getpid(), 11)", r"crashed \(signal 11\); it said nothing"),
        ("print('done')", "wrote 0 tables, expected one .csv; it said: done"),
        ("write([]); write([], 'other.csv')", "wrote 2 tables"),
        ("out.mkdir(); (out / 'a.csv').write_bytes(b'\\xff\\xfe')", "cannot be read"),
    ],
)
def test_a_program_that_fails_says_why(tmp_path: Path, body: str, says: str) -> None:
    with pytest.raises(MsapipeError, match=says):
        run(tmp_path, body, fakes.face_clip(2))


def test_a_file_that_is_no_program_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "FeatureExtraction"
    path.write_bytes(b"\x7fELF nothing")
    path.chmod(0o755)
    stage = ActionUnits(backend="openface", program=str(path))
    stage.load("cpu")
    with pytest.raises(MsapipeError, match="cannot be started"):
        stage.run(fakes.face_clip(1))


def gone(process: int) -> bool:
    """Whether a process has ended; one that nobody has reaped yet has ended too."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_program_that_hangs_is_stopped_with_all_that_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_openface, "TO_START", 1.0)
    monkeypatch.setattr(_openface, "PER_PICTURE", 0.1)
    note = tmp_path / "started"
    body = f"""
import subprocess
child = subprocess.Popen(["sleep", "60"])
Path({str(note)!r}).write_text(f"{{child.pid}} {{os.getpid()}} {{out.parent}}")
time.sleep(60)
"""
    with pytest.raises(MsapipeError, match="longer than 1 s"):
        run(tmp_path, body, fakes.face_clip(2))
    child, itself, folder = note.read_text().split()
    deadline = time.monotonic() + 60
    while not (gone(int(child)) and gone(int(itself))) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert gone(int(child))
    assert gone(int(itself))
    assert not os.path.exists(folder)
