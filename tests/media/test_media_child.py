"""A child that crashes, hangs or eats memory: named, ended in time, and without harm to the next call."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from msapipe.errors import ConfigError, DecoderDied
from msapipe.media import Decoder, Limits, MediaOptions, _protocol
from msapipe.types import Clip
from tests.media.making import sine, write_sound, write_video

BREAK = """
import os, av
open_ = av.open
def broken(file, *rest, **more):
    if os.path.basename(os.fsdecode(file)) == "poison.mp4":
        kind = os.environ["FAULT"]
        if kind == "abort": os.abort()
        if kind == "segv": import ctypes; ctypes.string_at(0)
        if kind == "exit": os._exit(0)
        if kind == "print": print("noise", flush=True); os.write(1, b"noise" * 100)
        if kind == "hang":
            import time
            time.sleep(3600)
        if kind == "oom":
            hoard = []
            while True: hoard.append(bytearray(64 << 20))
    return open_(file, *rest, **more)
av.open = broken
"""


@pytest.fixture
def poison(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A good file that makes the decoder fail as FAULT says."""
    (tmp_path / "sitecustomize.py").write_text(BREAK)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return write_sound(tmp_path / "a.wav", sine()).rename(tmp_path / "poison.mp4")


SHORT = Limits(stall_seconds=0.5, seconds=5)
ROOMY = Limits(memory_mb=1024)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("abort", "crashed .SIGABRT"),
        ("segv", "crashed .SIGSEGV"),
        ("exit", r"ended by itself .exit code 0"),
        ("hang", "hung.*MSAPIPE_DECODE_SECONDS"),
        ("oom", "ran out of memory.*1024 MB.*MSAPIPE_DECODE_MEMORY_MB"),
    ],
)
def test_faults(poison: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, said: str) -> None:
    monkeypatch.setenv("FAULT", fault)
    good = write_sound(tmp_path / "good.wav", sine())
    # Only the child that hangs is met by a short limit: on a busy machine a good one may be silent for longer.
    limits = {"hang": SHORT, "oom": ROOMY}.get(fault, Limits())
    with Decoder(limits) as decoder:
        with pytest.raises(DecoderDied, match=said) as caught:
            decoder.probe(poison)
        if fault == "hang":
            decoder._limits = Limits()
        assert str(caught.value).startswith(f"{poison}: ")
        assert decoder.probe(good).audio
        decoder._limits = limits
        with pytest.raises(DecoderDied):
            list(decoder.frames(Clip("a", poison), MediaOptions()).batches(8))
        decoder._limits = Limits()
        assert len(decoder.waveform(Clip("a", good), MediaOptions()).samples) == 16000


def test_prints_do_not_disturb(poison: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAULT", "print")
    with Decoder(Limits()) as decoder:
        assert decoder.probe(poison).audio


def test_time_limit_names_its_variable(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", [i / 100 for i in range(3000)])
    said = r"its limit.*MSAPIPE_DECODE_SECONDS above 0\.001"
    with Decoder(Limits(stall_seconds=600, seconds=0.001)) as decoder, pytest.raises(DecoderDied, match=said):
        list(decoder.frames(Clip("a", path), MediaOptions(fps=1000)).batches(8))


def test_the_limit_grows_with_what_was_decoded() -> None:
    limits = Limits()
    assert limits.allowance(3 * 3600, 10**9) == 35 + 4000
    assert limits.allowance(100, 10**9) == 135
    assert limits.allowance(3600, 10**6) == 39


def children() -> set[int]:
    """Process ids of the children of this process."""
    return {int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()}


def test_left_half_way_and_interleaved(decoder: Decoder, tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", [i / 25 for i in range(100)], sound=sine())
    clip, options = Clip("a", path), MediaOptions(fps=25)
    for batch in decoder.frames(clip, options).batches(4):
        assert len(batch.pixels) == 4
        break
    half = decoder.frames(clip, options).batches(10)
    first = next(half)
    assert len(decoder.waveform(clip, options).samples) > 15000
    rest = list(half)
    assert len(first.pixels) + sum(len(batch.pixels) for batch in rest) == 100


def test_close_ends_the_children(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "a.wav", sine())
    before = children()
    decoder = Decoder(Limits())
    decoder.probe(path)
    started = children() - before
    assert len(started) == 1
    decoder.probe(path)
    assert children() - before == started
    decoder.close()
    assert children() == before
    assert decoder.probe(path).audio
    decoder.close()


def test_a_child_that_died_between_two_calls(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "a.wav", sine())
    before = children()
    with Decoder(Limits()) as decoder:
        decoder.probe(path)
        (child,) = children() - before
        os.kill(child, signal.SIGINT)  # ignored: the parent decides
        assert decoder.probe(path).audio
        os.kill(child, signal.SIGKILL)
        assert decoder.probe(path).audio


PARENT = """
import sys, threading, time
from pathlib import Path
from msapipe.media import Decoder, Limits
threading.Timer(2, lambda: print("hanging", flush=True)).start()
Decoder(Limits()).probe(Path(sys.argv[1]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a hanging child with its parent")
def test_no_orphan_of_a_killed_parent(poison: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAULT", "hang")
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(poison)], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"hanging\n"
    (child,) = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
    parent.kill()
    parent.wait()
    parent.stdout.close()
    for _ in range(50):
        status = Path(f"/proc/{child}/status")
        if not status.exists() or "State:\tZ" in status.read_text():
            return
        time.sleep(0.1)
    os.kill(int(child), signal.SIGKILL)
    pytest.fail("the child outlived its parent")


def test_media_is_cheap_to_import() -> None:
    code = "import sys, msapipe.media; print([n for n in ('av', 'torch', 'cv2') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_limits_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MSAPIPE_DECODE_SECONDS", raising=False)
    monkeypatch.delenv("MSAPIPE_DECODE_MEMORY_MB", raising=False)
    assert Limits.from_environment() == Limits()
    monkeypatch.setenv("MSAPIPE_DECODE_SECONDS", "9")
    monkeypatch.setenv("MSAPIPE_DECODE_MEMORY_MB", "1024")
    assert Limits.from_environment() == Limits(20 * 9 / 35, 9, 1024)
    for bad in ("soon", "-1", "nan", "inf"):
        monkeypatch.setenv("MSAPIPE_DECODE_SECONDS", bad)
        with pytest.raises(ConfigError, match=f"MSAPIPE_DECODE_SECONDS is '{bad}'"):
            Limits.from_environment()


@pytest.mark.parametrize("wrong", [{"fps": 0}, {"fps": float("nan")}, {"rate": 1}, {"peak_db": 3}, {"max_side": 0}])
def test_impossible_options(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        MediaOptions(**wrong)  # type: ignore[arg-type]


def test_a_message_that_is_cut_off_is_nonsense() -> None:
    with pytest.raises(ValueError, match="ends after 3 bytes"):
        _protocol.lengths(b"abc")
