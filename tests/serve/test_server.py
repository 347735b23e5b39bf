"""A real server process, over sockets: slow clients, hostile names, its end."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest

from msapipe.serve.connections import Patience
from tests.conftest import SAMPLES

_SERVE = """
import sys
from msapipe.serve.api import Settings, make_app
from msapipe.serve.connections import Patience
from msapipe.serve.counting import Counting
from msapipe.serve.jobs import Desk, Limits
from msapipe.serve.server import open_socket, run
from tests.serve.fakes import FakeScorer
from pathlib import Path
scorer = FakeScorer()
scorer.gate.is_set = lambda: not Path(sys.argv[1]).exists()
listening = open_socket("127.0.0.1", 0)
print(f"http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
desk = Desk(lambda: scorer, Limits(megabytes=1))
silence = float(sys.argv[4])
patience = Patience(head=0.5, silence=silence, body=2 * silence, connections=300)
grace = float(sys.argv[2])
run(make_app(desk, Settings(Path(sys.argv[3])), Counting()), desk, listening, grace, patience)
print("folder left:", desk.folder.exists(), flush=True)
"""
HOSTILE = ("../../../pwn.mp4", "/tmp/pwn.mp4", "..\\pwn.mp4", "-i.mp4", "<img src=x>.mp4", "\x1b[1m")
FILM = b"\x00\x00\x00\x18ftypmp42" + bytes(range(256)) * 8


@contextlib.contextmanager
def server(hold: Path, grace: float = 20.0, silence: float = 0.5) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The address of a server whose scorer waits while the file ``hold`` is there."""
    command = [sys.executable, "-c", _SERVE, str(hold), str(grace), str(SAMPLES), str(silence)]
    # Killed in the end, it leaves its folder: beside ``hold``.
    env = {**os.environ, "TMPDIR": str(hold.parent)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip(), process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def connected(address: str) -> socket.socket:
    host, port = address.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), 30)


def cut_off(slow: socket.socket) -> bool:
    """Whether the server ends the connection (the time limit of the socket is the test's)."""
    try:
        while slow.recv(4096):
            pass
    except ConnectionError:
        return True
    return True


def test_slow_connections_are_bounded_and_hurt_nobody(tmp_path: Path) -> None:
    heads = [
        b"",
        b"POST /predict HTTP/1.1\r\nHost: x\r\n",
        b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\na",
        b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        b'Content-Length: 900000\r\n\r\n--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nabc',
    ]
    with server(tmp_path / "no") as (address, _):
        slow = [connected(address) for _ in range(200)]
        for number, each in enumerate(slow):
            each.sendall(heads[number % len(heads)])
        assert httpx2.post(f"{address}/predict", files={"file": ("a.mp4", FILM)}, timeout=10).status_code == 200
        assert all(cut_off(each) for each in slow)
        for each in slow:
            each.close()


def test_a_body_that_trickles_ends_at_its_limit(tmp_path: Path) -> None:
    with server(tmp_path / "no") as (address, _):
        slow, ended = connected(address), threading.Event()
        slow.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n")
        slow.sendall(b'Content-Length: 900000\r\n\r\n--b\r\nContent-Disposition: form-data; name="file"\r\n\r\n')
        pieces = 0
        while pieces < 200:  # never silent for half a second, and yet cut off after one
            try:
                slow.sendall(b"a")
            except ConnectionError:
                break
            pieces += 1
            ended.wait(0.05)
        assert pieces < 200
        slow.close()


def test_too_many_connections_are_503(tmp_path: Path) -> None:
    with server(tmp_path / "no") as (address, _):
        slow = [connected(address) for _ in range(300)]
        last = connected(address)
        assert b"503" in last.recv(100)
        for each in [*slow, last]:
            each.close()


def test_names_are_never_paths(tmp_path: Path) -> None:
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    with server(tmp_path / "no") as (address, _):
        for name in HOSTILE:
            sent = name.replace("\\", "\\\\")
            body = f'--b\r\nContent-Disposition: form-data; name="file"; filename="{sent}"\r\n\r\n'.encode() + FILM
            answer = httpx2.post(f"{address}/predict", content=body + b"\r\n--b--\r\n", headers=kind, timeout=30)
            assert (name, answer.status_code) == (name, 200)
            assert not set("/\x1b\0") & set(answer.json()["file"])


def test_it_ends_when_the_clips_in_hand_are_done(tmp_path: Path) -> None:
    hold = tmp_path / "hold"
    hold.touch()
    with server(hold) as (address, process), httpx2.Client(base_url=address, timeout=30) as client:
        at = client.post("/jobs", files={"file": ("a.mp4", FILM)}).headers["location"]
        with client.stream("GET", f"{at}/events") as told:
            lines = told.iter_lines()
            assert next(lines) == "event: progress"
            process.send_signal(signal.SIGTERM)
            while client.get("/health").status_code == 200:
                pass
            assert client.post("/jobs", files={"file": ("a.mp4", FILM)}).status_code == 503
            hold.unlink()
            assert "event: done" in list(lines)
        assert process.wait(20) == 0
        assert process.stdout is not None
        assert process.stdout.read() == "folder left: False\n"


def test_clients_that_are_cut_off_at_the_end_are_no_error(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with server(tmp_path / "no", grace=0.1, silence=60) as (address, process):
        waiting = connected(address)
        waiting.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n")
        waiting.sendall(b"Expect: 100-continue\r\nContent-Length: 900\r\n\r\n")
        assert waiting.recv(4096).startswith(b"HTTP/1.1 100")  # it reads on
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        waiting.close()
    assert "Traceback" not in capfd.readouterr().err


def test_a_second_signal_does_not_wait(tmp_path: Path) -> None:
    hold = tmp_path / "hold"
    hold.touch()
    with server(hold, grace=600) as (address, process):
        at = httpx2.post(f"{address}/jobs", files={"file": ("a.mp4", FILM)}).headers["location"]
        process.send_signal(signal.SIGINT)
        while httpx2.get(f"{address}/health").status_code == 200:
            pass
        assert httpx2.get(f"{address}{at}").json()["status"] == "running"
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0


def test_a_port_in_use_is_said() -> None:
    from msapipe.errors import MsapipeError
    from msapipe.serve.server import open_socket

    with open_socket("127.0.0.1", 0) as taken, pytest.raises(MsapipeError, match=r"in use; name another"):
        open_socket("127.0.0.1", taken.getsockname()[1])


def test_patience_has_limits_by_default() -> None:
    assert all(value > 0 for value in vars(Patience()).values())


@pytest.mark.slow
def test_the_program_scores_real_clips_and_leaves_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "msapipe", "serve", "--port", "0", "--root", str(SAMPLES), "--cache"]
    environment = {**os.environ, "TMPDIR": str(tmp_path / "temporary")}
    (tmp_path / "temporary").mkdir()
    process = subprocess.Popen([*command, str(tmp_path / "cache")], stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stderr is not None
    try:
        found = re.search(r"http://[\d.:]+", process.stderr.readline())
        assert found is not None
        with httpx2.Client(base_url=found[0], timeout=300) as client, ThreadPoolExecutor(50) as many:
            clip = (SAMPLES / "positive.mp4").read_bytes()

            def one(number: int) -> int:
                return client.post("/predict", files={"file": (f"{number}.mp4", clip)}).status_code

            assert set(many.map(one, range(50))) <= {200, 429, 503}
            job = client.post("/jobs/by-path", json={"path": "negative.mp4"}).headers["location"]
            told = [json.loads(line[5:]) for line in client.get(f"{job}/events").text.splitlines() if "data:" in line]
            assert any(event.get("reached") for event in told)
            assert told[-1]["result"]["label"] == "negative"
            report = client.get(f"{job}/report").text
            assert "negative.mp4" in report
            assert str(SAMPLES) not in report
            broken = client.post("/predict", files={"file": ("a.mp4", FILM)})
            assert broken.status_code == 422
            assert "a.mp4" in broken.json()["detail"]
            assert str(tmp_path) not in broken.text
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert not list((tmp_path / "temporary").iterdir())
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
