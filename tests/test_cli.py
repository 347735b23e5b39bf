"""The command line as a user meets it: what is printed where, and the exit code."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from msapipe.pipeline.run import Outcome
from tests.program import run_program


def msapipe(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the program in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "msapipe", *arguments], capture_output=True, text=True, timeout=120, **options
    )


@pytest.fixture(scope="module")
def cache(sample_cache: Path, outcomes: dict[str, Outcome]) -> str:
    """The cache in which the sample clips are."""
    assert outcomes
    return str(sample_cache)


def test_help_version_and_usage() -> None:
    assert msapipe("--version").stdout.startswith("msapipe ")
    assert "predict" in msapipe("--help").stdout
    assert msapipe("predict").returncode == 2
    wrong = msapipe("extrct")
    assert wrong.returncode == 2
    assert "Did you mean 'extract'" in wrong.stderr


def test_predict_as_json(samples: Path, cache: str) -> None:
    done = msapipe("predict", str(samples / "positive.mp4"), str(samples / "no_face.mp4"), "--json", "--cache", cache)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["clip_id"] for line in lines] == ["positive.mp4", "no_face.mp4"]
    assert set(lines[0]) >= {
        *("clip_id", "file", "score", "scale", "label", "modalities", "transcript", "notes", "missing", "seconds"),
    }
    assert lines[0]["scale"] == [-3, 3]
    assert lines[0]["transcript"]["source"] == "whisper"
    assert set(lines[0]["modalities"]["text"]) == {"coverage", "missing", "score", "score_without"}
    assert lines[1]["missing"] == ["vision"]


def test_predict_for_people(samples: Path, cache: str) -> None:
    done = msapipe("predict", str(samples / "no_face.mp4"), "--cache", cache)
    assert done.returncode == 0
    for part in (
        "no_face.mp4",
        "on [-3, +3]",
        "vision",
        "missing",
        "transcript (whisper)",
        "was assumed",
        "time",
    ):
        assert part in done.stdout, part
    assert "Traceback" not in done.stderr


def test_extract_reports_every_file(samples: Path, cache: str, tmp_path: Path) -> None:
    clips = tmp_path / "clips"
    clips.mkdir()
    for name in ("no_face.mp4", "silent_face.mp4"):
        shutil.copy(samples / name, clips / name)
    (clips / "broken.mp4").write_bytes((samples / "vfr.mp4").read_bytes()[:2000])
    (clips / "empty.mp4").touch()
    (clips / "readme.md").write_text("no clip")
    report, features = tmp_path / "report.jsonl", tmp_path / "features.safetensors"
    done = msapipe(
        *("extract", str(clips), "--cache", cache, "--report", str(report), "-o", str(features)),
        *("--save-crops", str(tmp_path / "crops")),
    )
    assert done.returncode == 3, done.stderr
    lines = {Path(line["file"]).name: line for line in map(json.loads, report.read_text().splitlines())}
    assert {name: line["status"] for name, line in lines.items()} == {
        "no_face.mp4": "partial",
        "silent_face.mp4": "partial",
        "broken.mp4": "error",
        "empty.mp4": "error",
        "readme.md": "skipped",
    }
    assert all(set(line) >= {"file", "status", "computed", "error", "seconds"} for line in lines.values())
    assert not any(line["computed"] for line in lines.values())
    assert "broken.mp4" in lines["broken.mp4"]["error"]
    crops = sorted(path.name for path in (tmp_path / "crops" / "silent_face.mp4").iterdir())
    assert crops[:2] == ["000000_aligned.png", "000000_loose.png"]
    from msapipe.formats import FORMATS

    read = {sample.id: sample.features for sample in FORMATS.get("safetensors")().read(features)}
    assert list(read) == ["no_face.mp4", "silent_face.mp4"]
    assert read["no_face.mp4"]["audio"].coverage > 0.5


def test_everything_fails_and_nothing_is_there(tmp_path: Path) -> None:
    (tmp_path / "a b 'c'.mp4").write_text("text")
    done = msapipe("extract", str(tmp_path / "a b 'c'.mp4"), "--cache", str(tmp_path / "cache"))
    assert done.returncode == 1
    assert "a b 'c'.mp4" in done.stderr
    gone = msapipe("predict", str(tmp_path / "gone.mp4"), "--json", "--cache", str(tmp_path / "cache"))
    assert gone.returncode == 1
    assert json.loads(gone.stdout)["score"] is None
    (tmp_path / "empty").mkdir()
    assert "without any media file" in msapipe("extract", str(tmp_path / "empty")).stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--pipeline", "poket"], "did you mean 'pocket'"),
        (["--device", "cuda:77"], "device 'cuda:77': this machine has"),
        (["--devices", "77,78"], "device '77': this machine has"),
        (["-o", "x.csv"], "known endings: .csd"),
        (["-o", "no/such/folder/x.safetensors"], "make it first"),
    ],
)
def test_what_is_wrong_with_the_command_is_a_sentence(arguments: list[str], says: str, samples: Path) -> None:
    done = msapipe("extract", str(samples / "positive.mp4"), *arguments)
    assert done.returncode == 2
    assert says in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_a_file_that_could_not_be_written_is_refused_before_anything_is_computed(
    samples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("h5py")
    (tmp_path / "there.csd").mkdir()
    for name, code, says in (("there.csd", 2, "is there already"), ("x.pkl", 1, "is in no split, which MMSA needs")):
        output = tmp_path / name
        assert run_program("extract", samples / "positive.mp4", "-o", output, "--cache", tmp_path / "cache") == code
        assert says in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "cache").exists()


def test_plan_list_and_dry_run(samples: Path, cache: str, tmp_path: Path) -> None:
    clip = str(samples / "positive.mp4")
    planned = json.loads(msapipe("plan", clip, "--json", "--cache", cache).stdout)
    steps = {step["step"]: step for step in planned["steps"]}
    assert steps["faces/mtcnn"]["cached"]
    assert not steps["words/spread"]["cached"]
    listed = msapipe("list").stdout
    for part in ("pocket", "faces/mtcnn", "MIT", "folder", "late", "safetensors"):
        assert part in listed, part
    assert msapipe("list", "modles").returncode == 2
    dry = msapipe("extract", clip, "--dry-run", "--cache", str(tmp_path / "cache"))
    assert "would compute" in dry.stdout
    assert not (tmp_path / "cache").exists()


def test_cache_commands(cache: str, tmp_path: Path) -> None:
    copy = tmp_path / "cache"
    shutil.copytree(cache, copy)
    assert "faces" in msapipe("cache", "stat", "--cache", str(copy)).stdout
    assert msapipe("cache", "verify", "--cache", str(copy)).returncode == 0
    victim = sorted((copy / "faces").glob("*/*"))[0]
    victim.write_bytes(victim.read_bytes()[:100])
    damaged = msapipe("cache", "verify", "--cache", str(copy))
    assert damaged.returncode == 1
    assert "1 damaged" in damaged.stdout
    assert "removed 1 of" in msapipe("cache", "prune", "--cache", str(copy)).stdout
    assert msapipe("cache", "verify", "--cache", str(copy)).returncode == 0
    msapipe("cache", "prune", "--slot", "faces", "--cache", str(copy))
    assert not list((copy / "faces").glob("*/*"))


def test_environment_variables_are_options(samples: Path, cache: str, tmp_path: Path) -> None:
    env = {**os.environ, "MSAPIPE_CACHE": cache, "MSAPIPE_PIPELINE": "poket"}
    assert msapipe("plan", str(samples / "positive.mp4"), env=env).returncode == 2
    env["MSAPIPE_PIPELINE"] = "pocket"
    assert msapipe("plan", str(samples / "positive.mp4"), env=env).returncode == 0


def test_doctor_finds_all_well(tmp_path: Path) -> None:
    done = msapipe("doctor", "--cache", str(tmp_path / "cache"))
    assert done.returncode == 0, done.stdout
    for part in (
        "Python",
        "opencv-python",
        "ffmpeg",
        "device",
        "cache",
        "decoder",
        "weights: ",
        "pipeline pocket: ready",
    ):
        assert part in done.stdout, part


def _tree(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.suffix not in (".lock", ".jsonl", ".log")
    }


def _start(*arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "msapipe", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


@pytest.mark.parametrize("jobs", [pytest.param("1", marks=pytest.mark.slow), "2"])
def test_killed_and_run_again_the_cache_is_the_same(samples: Path, cache: str, tmp_path: Path, jobs: str) -> None:
    clips = [str(samples / f"{name}.mp4") for name in ("subtitled", "silent_face")]
    command = ["extract", *clips, "--cache", str(tmp_path / "cache"), "--jobs", jobs]
    process = _start(*command)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("cache/faces/*/*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert msapipe(*command).returncode == 0
    whole = _tree(Path(cache))
    assert all(whole[name] == data for name, data in _tree(tmp_path / "cache").items())
    assert {name.split("/")[0] for name in _tree(tmp_path / "cache")} >= {"media", "faces", "vision", "audio", "text"}


def test_interrupted_it_stops_at_once_and_leaves_nothing_half_done(samples: Path, tmp_path: Path) -> None:
    process = _start("extract", str(samples), "--cache", str(tmp_path / "cache"), "--jobs", "1")
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("cache/media/*/*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert not list(tmp_path.glob("cache/writing/*"))
    assert subprocess.run(["pgrep", "-g", str(process.pid)], stdout=subprocess.DEVNULL).returncode != 0
