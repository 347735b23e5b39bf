"""The API over a scorer that the test leads: what is answered, what is refused, what is kept."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from msapipe.serve.api import Settings, make_app
from msapipe.serve.counting import Counting
from msapipe.serve.jobs import Desk, Limits
from tests.serve.fakes import RESULT, FakeScorer, files_below

FILM = b"\x00\x00\x00\x18ftypmp42" + bytes(range(256)) * 8


@contextmanager
def serving(scorer: FakeScorer, settings: Settings | None = None, **limits: Any) -> Iterator[TestClient]:
    counting = Counting()
    desk = Desk(lambda: scorer, Limits(**limits), counting.job)
    with TestClient(make_app(desk, settings or Settings(), counting)) as client:
        yield client
    assert not desk.folder.exists()


def upload(name: str = "a.mp4", data: bytes = FILM) -> dict[str, tuple[str, bytes, str]]:
    return {"file": (name, data, "video/mp4")}


def folder_of(client: TestClient) -> Path:
    folder: Path = client.app.state.desk.folder  # type: ignore[attr-defined]
    return folder


@pytest.fixture
def scorer() -> FakeScorer:
    fake = FakeScorer()
    fake.gate.set()
    return fake


def test_a_clip_is_scored_and_nothing_of_it_stays(scorer: FakeScorer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor for a moment: a slow disk holds back the answer."""
    remove = shutil.rmtree

    def slowly(*arguments: Any, **options: Any) -> None:
        time.sleep(0.2)
        remove(*arguments, **options)

    monkeypatch.setattr("msapipe.serve.jobs.shutil.rmtree", slowly)
    with serving(scorer) as client:
        answer = client.post("/predict", files=upload("../../etc/<b>.mp4"))
        assert (answer.status_code, answer.json()["score"]) == (200, 1.5)
        assert answer.json()["file"] == "<b>.mp4"
        assert files_below(folder_of(client)) == []
    assert scorer.seen[0][1] == FILM


def test_another_name_for_this_machine_is_refused(scorer: FakeScorer) -> None:
    with serving(scorer, Settings(hosts=("localhost", "[::1]"))) as client:
        asked = {name: client.get("/health", headers={"Host": name}).status_code for name in HOSTS}
    assert asked == HOSTS


HOSTS = {"localhost:8000": 200, "[::1]:8000": 200, "elsewhere.example": 400}


def test_a_job_tells_its_progress_and_keeps_result_and_report(scorer: FakeScorer) -> None:
    scorer.gate.clear()
    with serving(scorer) as client:
        taken = client.post("/jobs", files=upload())
        assert taken.status_code == 202
        at = taken.headers["location"]
        assert re.fullmatch("/jobs/[0-9a-f]{32}", at)
        assert client.get(f"{at}/report").status_code == 409
        scorer.gate.set()
        told = client.get(f"{at}/events").text
        assert [line.split()[1] for line in told.splitlines() if line.startswith("event")] == ["progress", "done"]
        data = [json.loads(line[5:]) for line in told.splitlines() if line.startswith("data:")]
        assert data[0] == {"step": "faces/mtcnn", "number": 3, "steps": 9, "reached": 1.0, "length": 4.0}
        assert data[1] == {"result": RESULT}
        again = client.get(f"{at}/events", headers={"Last-Event-ID": "0"}).text
        assert "progress" not in again
        assert "done" in again
        state = client.get(at).json()
        assert (state["status"], state["result"]["label"], state["report"]) == ("done", "positive", f"{at}/report")
        report = client.get(state["report"])
        assert report.text == "<p>page</p>"
        assert report.headers["content-security-policy"] == "sandbox allow-scripts"
        assert [Path(name).name for name in files_below(folder_of(client))] == ["page.html"]
        assert client.delete(at).status_code == 204
        assert client.get(at).status_code == 404
        assert files_below(folder_of(client)) == []


@pytest.mark.parametrize(
    ("data", "status", "says"),
    [(b"hello, this is text", 415, "text file"), (b"", 415, "empty"), (b"#EXTM3U\nhttp://x/y.ts", 415, "playlist")],
)
def test_what_is_no_clip_is_415(scorer: FakeScorer, data: bytes, status: int, says: str) -> None:
    with serving(scorer) as client:
        answer = client.post("/predict", files=upload(data=data))
        assert (answer.status_code, says in answer.json()["detail"]) == (status, True)
        assert not list(folder_of(client).iterdir())
    assert not scorer.seen


def test_other_bodies_are_refused(scorer: FakeScorer) -> None:
    with serving(scorer) as client:
        assert client.post("/predict", content=FILM, headers={"Content-Type": "video/mp4"}).status_code == 415
        assert client.post("/predict", files={"other": ("a.mp4", FILM)}).status_code == 422
        assert client.post("/predict", data={"file": "text"}, files={"x": ("a", b"b")}).status_code == 422
        damaged = client.post("/predict", content=b"--x", headers={"Content-Type": "multipart/form-data"})
        assert damaged.status_code == 400
        assert client.post("/jobs", files=[("file", ("a", FILM)), ("file", ("b", FILM))]).status_code == 400


def test_too_large_is_413_by_what_is_declared_and_by_what_comes(scorer: FakeScorer) -> None:
    with serving(scorer, megabytes=0.1) as client:
        declared = client.post("/predict", files=upload(data=FILM * 200))
        assert (declared.status_code, "at most 0.1 MB" in declared.json()["detail"]) == (413, True)
        kind = {"Content-Type": "multipart/form-data; boundary=x"}
        head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        streamed = client.post("/predict", content=iter([head, *[FILM] * 200]), headers=kind)
        assert streamed.status_code == 413
        assert not list(folder_of(client).iterdir())
        assert client.post("/predict", files=upload(data=FILM * 40)).status_code == 200


def test_a_full_queue_is_429_and_stopping_503(scorer: FakeScorer) -> None:
    scorer.gate.clear()
    with serving(scorer, queue=1) as client:
        first = client.post("/jobs", files=upload()).json()["id"]
        while client.get(f"/jobs/{first}").json()["status"] == "queued":
            pass
        second = client.post("/jobs", files=upload()).json()
        assert (second["status"], second["ahead"]) == ("queued", 0)
        third = client.post("/jobs", files=upload())
        assert (third.status_code, third.headers["retry-after"]) == (429, "5")
        assert client.delete(f"/jobs/{second['id']}").status_code == 204
        assert client.post("/jobs", files=upload()).status_code == 202
        client.app.state.desk.stopping = True  # type: ignore[attr-defined]
        assert client.post("/jobs", files=upload()).status_code == 503
        assert client.get("/health").status_code == 503


def test_a_clip_that_takes_too_long_is_given_up(scorer: FakeScorer) -> None:
    scorer.gate.clear()
    with serving(scorer, seconds=0.05) as client:
        answer = client.post("/predict", files=upload())
        assert (answer.status_code, "longer than the limit of 0.05 s" in answer.json()["detail"]) == (422, True)
        assert scorer.stopped == 1
        scorer.gate.set()
        assert client.post("/predict", files=upload()).status_code == 200


@pytest.mark.parametrize(("kind", "status"), [("clip", 422), ("nothing", 422), ("unavailable", 503), ("internal", 503)])
def test_a_failure_has_its_status(scorer: FakeScorer, kind: str, status: int) -> None:
    scorer.fails = (kind, "a.mp4: because")
    with serving(scorer) as client:
        answer = client.post("/predict", files=upload())
        assert (answer.status_code, answer.json()) == (status, {"detail": "a.mp4: because"})
        assert f'msapipe_jobs_total{{status="{kind}"}} 1.0' in client.get("/metrics").text


def test_a_process_that_dies_fails_its_clip_only(scorer: FakeScorer) -> None:
    scorer.dies = True
    with serving(scorer) as client:
        assert client.post("/predict", files=upload()).status_code == 422
        scorer.dies = False
        assert client.post("/predict", files=upload()).status_code == 200


def test_paths_stay_below_the_root(scorer: FakeScorer, tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "in").mkdir(parents=True)
    (root / "in" / "clip.mp4").write_bytes(FILM)
    (tmp_path / "outside.mp4").write_bytes(b"secret")
    (root / "link.mp4").symlink_to(tmp_path / "outside.mp4")
    (root / "folder").symlink_to(tmp_path)
    (root / "good.mp4").symlink_to(root / "in" / "clip.mp4")
    os.mkfifo(root / "pipe.mp4")
    refused = {
        "../outside.mp4": 422,
        "in/../../outside.mp4": 422,
        str(tmp_path / "outside.mp4"): 422,
        "link.mp4": 422,
        "folder/outside.mp4": 422,
        "pipe.mp4": 422,
        "in": 422,
        ".": 422,
        "a\0b": 422,
        "": 422,
        "~/x.mp4": 404,
        "nothing.mp4": 404,
        "x" * 3000: 404,
        "\ud800.mp4": 422,
    }
    kind = {"Content-Type": "application/json"}
    with serving(scorer, Settings(root=root.resolve())) as client:
        for path, status in refused.items():
            answer = client.post("/jobs/by-path", content=json.dumps({"path": path}), headers=kind)
            assert (path, answer.status_code) == (path, status)
            assert str(tmp_path) not in answer.text.replace(path, "")
        assert not scorer.seen
        for path in ("in/clip.mp4", "good.mp4"):
            at = client.post("/jobs/by-path", json={"path": path}).headers["location"]
            assert "done" in client.get(f"{at}/events").text
    assert [request.clip for request, _ in scorer.seen] == [root.resolve() / "in" / "clip.mp4"] * 2
    assert (root / "in" / "clip.mp4").exists()
    with serving(scorer) as client:  # no root, no paths
        assert client.post("/jobs/by-path", json={"path": "in/clip.mp4"}).status_code == 405


def test_a_token_guards_all_but_health_and_the_page(scorer: FakeScorer) -> None:
    with serving(scorer, Settings(token="sésame")) as client:
        for given in (None, "Bearer wrong", "Bearer ", "Basic c2VzYW1l", "sésame".encode()):
            headers: Any = {} if given is None else {"Authorization": given}
            answer = client.post("/predict", files=upload(), headers=headers)
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
            assert client.get("/metrics", headers=headers).status_code == 401
        assert client.get("/health").status_code == client.get("/docs").status_code == 200
        assert not scorer.seen
    with serving(scorer, Settings(token="sesame")) as client:
        assert client.post("/predict", files=upload(), headers={"Authorization": "Bearer sesame"}).status_code == 200


def test_pages_of_other_sites_are_refused(scorer: FakeScorer) -> None:
    with serving(scorer) as client:
        for origin, status in (("http://evil.example", 403), ("null", 403), ("http://testserver", 200)):
            assert client.post("/predict", files=upload(), headers={"Origin": origin}).status_code == status


def test_the_page_of_the_api_asks_nobody_else(scorer: FakeScorer) -> None:
    with serving(scorer) as client:
        page = client.get("/")
        assert page.url.path == "/docs"
        assert "http" not in page.text
        for name in re.findall(r'(?:src|href)="(docs/[^"]+)"', page.text):
            assert len(client.get(f"/{name}").content) > 100
        assert client.get("/docs/..%2f..%2fapi.py").status_code == 404
        described = client.get("/openapi.json").json()["paths"]
        assert set(described["/predict"]["post"]["responses"]) >= {"200", "401", "413", "415", "422", "429", "503"}


def test_results_are_kept_for_a_while_only(scorer: FakeScorer) -> None:
    with serving(scorer, keep=2) as client:
        made = []
        for _ in range(4):
            made.append(client.post("/jobs", files=upload()).headers["location"])
            client.get(f"{made[-1]}/events")
        kept = [client.get(at).status_code for at in made]
        assert kept[0] == 404
        assert kept[-2:] == [200, 200]
        assert len(files_below(folder_of(client))) <= 3


def test_a_server_that_never_opens_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    Desk(FakeScorer, Limits())
    assert not list(tmp_path.iterdir())
