"""Downloading against a site on this machine: nothing half-written is believed, nothing is asked for twice."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from msapipe.errors import MissingWeights, WeightsError
from msapipe.weights import Checkpoint, Download, _http, _hub, choose, make_ready
from msapipe.weights import fetch as fetch_module
from msapipe.weights._http import Failed
from msapipe.weights.fetch import fetch
from msapipe.weights.folder import MANIFEST
from tests.loopback import Page, Site, serving

DATA = bytes(range(256)) * 4096  # 1 MiB
SHA256 = hashlib.sha256(DATA).hexdigest()
COMMIT, OTHER = "c" * 40, "d" * 40


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Site]:
    """A site that is also the model hub, an empty folder of weights, and no waiting between tries."""
    from huggingface_hub import constants

    with serving() as found:
        monkeypatch.setenv("MSAPIPE_WEIGHTS", str(tmp_path / "weights"))
        monkeypatch.setenv("HF_ENDPOINT", found.url)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
        monkeypatch.setattr(_http, "_WAITS", (0.01, 0.01))
        yield found


def weights(site: Site, sha256: str = SHA256, **fields: Any) -> Download:
    about = {"name": "net", "licence": "MIT", "source": "a test", "bytes": None}
    return Download(**{**about, "url": f"{site.url}/net.pth", "file": "net.pth", "sha256": sha256, **fields})


def checkpoint(**fields: Any) -> Checkpoint:
    return Checkpoint(**{"name": "org/net", "licence": "MIT", "source": "a test", "revision": COMMIT, **fields})


def left(folder: Path) -> list[str]:
    """Names of all files in and beside the folder of some weights, but for the lock and what it says."""
    return sorted(
        path.relative_to(folder.parent).as_posix()
        for path in folder.parent.rglob("*")
        if path.is_file() and path.suffix not in (".lock", ".failed")
    )


def refused(wanted: Download | Checkpoint) -> str:
    """What is said when they cannot be fetched; they are then not here."""
    with pytest.raises(MissingWeights) as caught:
        fetch(wanted)
    assert not wanted.here()
    message = str(caught.value)
    assert message.startswith(wanted.name)
    assert "\n" not in message
    return message


# A file behind a plain address


@pytest.mark.parametrize("known", [SHA256, SHA256[:8], ""])
def test_a_file_is_downloaded_checked_and_found(site: Site, known: str) -> None:
    site.pages["/net.pth"] = Page(DATA)
    wanted = weights(site, known)
    with pytest.raises(MissingWeights, match="net is not on this machine; type: msapipe weights fetch net"):
        wanted.path()
    seen: list[tuple[int, int | None]] = []
    assert fetch(wanted, progress=lambda done, total: seen.append((done, total))) == wanted.path()
    assert wanted.path().read_bytes() == DATA
    assert left(wanted.folder) == [f"{wanted.folder.name}/{MANIFEST}", f"{wanted.folder.name}/net.pth"]
    assert seen[-1] == (len(DATA), len(DATA))
    about = json.loads((wanted.folder / MANIFEST).read_text())
    assert about["files"] == [{"file": "net.pth", "sha256": SHA256, "bytes": len(DATA)}]
    fetch(wanted)
    assert site.sent("/net.pth") == [len(DATA)]


def test_two_lines_say_what_is_fetched(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.pages["/net.pth"] = Page(DATA)
    make_ready(weights(site, bytes=len(DATA)))
    assert [line.split(" into ")[0] for line in caplog.messages] == [
        "fetching net (1.0 MB, MIT) from a test",
        "fetched net",
    ]


@pytest.mark.parametrize("length", [True, False])
def test_a_broken_connection_is_taken_up_again(site: Site, length: bool) -> None:
    cut = 300_000
    site.pages["/net.pth"] = Page(DATA, breaks=[cut, cut], length=length)
    wanted = weights(site)
    if length:
        fetch(wanted)
        assert site.sent("/net.pth") == [cut, cut, len(DATA) - 2 * cut]
    else:  # nothing says that the body is too short, but the hash does
        assert "expected" in refused(wanted)
        assert not left(wanted.folder)


def test_a_server_without_ranges_starts_anew_and_not_for_ever(site: Site) -> None:
    page = site.pages["/net.pth"] = Page(DATA, ranges=False, breaks=[500_000, 600_000])
    fetch(weights(site))
    assert site.sent("/net.pth") == [500_000, 600_000, len(DATA)]
    page.breaks = [500_000] * 20
    with pytest.raises(MissingWeights, match="goes on from where it stopped"):
        fetch(weights(site), force=True)
    assert len(page.breaks) == 17
    assert weights(site).path().read_bytes() == DATA  # what was there before is not lost


def test_parts_of_two_versions_are_not_glued_together(site: Site) -> None:
    page = site.pages["/net.pth"] = Page(DATA[::-1], breaks=[400_000] * 9, ranges=False)
    wanted = weights(site)
    refused(wanted)
    page.breaks, page.data, page.tag, page.ranges = [], DATA, '"v2"', True
    assert fetch(wanted).read_bytes() == DATA
    assert site.asked[-1].range == "bytes=400000-"
    assert site.sent("/net.pth")[-1] == len(DATA)


def test_a_version_without_a_name_is_not_resumed(site: Site) -> None:
    site.pages["/net.pth"] = Page(DATA, breaks=[400_000], tag='W/"weak"')
    fetch(weights(site))
    assert [asked.range for asked in site.asked] == [None, None]


def test_killed_before_the_last_step_nothing_is_asked_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.pages["/net.pth"] = Page(DATA)
    wanted = weights(site)
    for step in ("download", "write_manifest"):
        with monkeypatch.context() as patch:
            original = getattr(fetch_module, step)

            def then_die(*arguments: Any, original: Any = original) -> None:
                original(*arguments)
                raise KeyboardInterrupt

            patch.setattr(fetch_module, step, then_die)
            with pytest.raises(KeyboardInterrupt):
                fetch(wanted)
        assert not wanted.here()
    assert fetch(wanted).read_bytes() == DATA
    assert site.sent("/net.pth") == [len(DATA), 0]  # the second answer: 416, there is no more
    assert len(left(wanted.folder)) == 2


def test_what_an_earlier_version_wanted_is_not_taken_along(site: Site) -> None:
    site.pages["/net.pth"] = Page(DATA)
    part = weights(site).folder.with_name(f"{weights(site).folder.name}.part")
    part.mkdir(parents=True)
    (part / "config.json").write_text("{}")
    fetch(weights(site))
    assert len(left(weights(site).folder)) == 2


def test_a_busy_server_is_asked_again(site: Site) -> None:
    site.pages["/net.pth"] = Page(DATA, refuses=[503, 429])
    fetch(weights(site))
    site.pages["/net.pth"] = Page(DATA, refuses=[503] * 9)
    with pytest.raises(MissingWeights, match="503 Service Unavailable"):
        fetch(weights(site, name="net2"))


@pytest.mark.parametrize(
    ("status", "says"), [(404, "not there any more"), (403, "set HF_TOKEN"), (401, "set HF_TOKEN"), (418, "later")]
)
def test_a_refusal_is_a_sentence(site: Site, status: int, says: str) -> None:
    site.pages["/net.pth"] = Page(b"", status)
    assert says in refused(weights(site))
    assert len(site.asked) == 1


def test_a_server_that_is_not_there_or_silent_is_a_sentence(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "check the network" in refused(weights(site, url="http://127.0.0.1:9/net.pth"))
    assert "nonsense" in refused(weights(site, url="nonsense"))
    monkeypatch.setattr(_http, "_SECONDS_WITHOUT_A_BYTE", 0.2)
    site.pages["/net.pth"] = Page(DATA, silence=0.5)
    assert "ReadTimeout" in refused(weights(site))


@pytest.mark.parametrize("known", [SHA256, SHA256[:8], ""])
def test_a_web_page_is_not_a_file(site: Site, known: str) -> None:
    page = b"\n<!DOCTYPE html><html><head><title>Google Drive -\n Quota exceeded</title></head></html>"
    site.pages["/net.pth"] = Page(page, kind="text/html; charset=utf-8")
    wanted = weights(site, known)
    assert "answers with a web page ('Google Drive - Quota exceeded')" in refused(wanted)
    assert not left(wanted.folder)


@pytest.mark.parametrize("known", [SHA256, SHA256[:8]])
def test_a_file_with_a_wrong_hash_is_deleted(site: Site, known: str) -> None:
    site.pages["/net.pth"] = Page(DATA[:-1] + b"x")
    wanted = weights(site, known)
    assert f"expected {known[:16]}..." in refused(wanted)
    assert not left(wanted.folder)
    site.pages["/net.pth"].data = DATA
    assert fetch(wanted).read_bytes() == DATA


def test_what_was_fetched_first_is_expected_from_there_on(site: Site) -> None:
    page = site.pages["/net.pth"] = Page(DATA)
    wanted = weights(site, "")
    path = fetch(wanted)
    page.data, page.tag = DATA[::-1], '"v2"'
    with pytest.raises(MissingWeights, match=f"expected {SHA256[:16]}"):
        fetch(wanted, force=True)
    assert path.read_bytes() == DATA
    path.write_bytes(b"damaged")
    page.data = DATA
    assert fetch(wanted, force=True).read_bytes() == DATA


def test_a_full_disk_is_a_sentence(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.pages["/net.pth"] = Page(DATA)
    usage = namedtuple("usage", "total used free")
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: usage(10, 9, 1000))
        assert "1.0 MB are lacking and 1,000 bytes free" in refused(weights(site, bytes=len(DATA)))
    assert not site.asked
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", _full(Path.open))
        assert "No space left on device" in refused(weights(site))
    fetch(weights(site))


def _full(original: Any) -> Any:
    class Full:
        def __init__(self, file: IO[bytes]) -> None:
            self.file = file

        def __enter__(self) -> Full:
            return self

        def __exit__(self, *_: object) -> None:
            self.file.close()

        def truncate(self, size: int) -> None:
            self.file.truncate(size)

        def write(self, data: bytes) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def opened(path: Path, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        file = original(path, mode, *arguments, **options)
        return Full(file) if mode == "ab" else file

    return opened


def test_a_folder_that_cannot_be_written_is_a_sentence(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MSAPIPE_WEIGHTS", str(tmp_path / "file"))
    assert "name another folder with MSAPIPE_WEIGHTS" in refused(weights(site))


# Processes

_FETCH = """
import sys
from msapipe.weights import Download
from msapipe.weights.fetch import fetch
url, sha256 = sys.argv[1:]
fetch(Download(name="net", licence="MIT", source="a test", url=url, file="net.pth", sha256=sha256, bytes=None))
"""


def start(site: Site) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", _FETCH, f"{site.url}/net.pth", SHA256], stderr=subprocess.PIPE)


def test_killed_and_started_again_it_goes_on(site: Site) -> None:
    site.pages["/net.pth"] = Page(DATA * 4, pause=0.05)
    wanted = weights(site, hashlib.sha256(DATA * 4).hexdigest())
    process = subprocess.Popen([sys.executable, "-c", _FETCH, wanted.url, wanted.sha256], stderr=subprocess.DEVNULL)
    part = wanted.folder.with_name(f"{wanted.folder.name}.part") / "net.pth.part"
    deadline = time.monotonic() + 30
    while not (part.is_file() and part.stat().st_size >= 1 << 20) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    had = part.stat().st_size
    assert 1 << 20 <= had < len(DATA) * 4
    site.pages["/net.pth"].pause = 0
    assert fetch(wanted).read_bytes() == DATA * 4
    assert site.sent("/net.pth")[-1] == len(DATA) * 4 - had


def test_two_processes_download_once(site: Site) -> None:
    site.pages["/net.pth"] = Page(DATA, pause=0.1)
    both = [start(site), start(site)]
    said = [process.communicate(timeout=60)[1].decode() for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert site.sent("/net.pth") == [len(DATA)]
    assert sum("another process is fetching it" in text for text in said) == 1


def test_what_failed_for_one_fails_for_who_waited(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second asks for nothing; who comes later tries anew."""
    wanted, asked, release = weights(site), [], threading.Event()
    waits = threading.Event()

    def fails(*_: object) -> None:
        asked.append(threading.current_thread().name)
        assert release.wait(60)
        raise Failed("no way to the server")

    monkeypatch.setattr(fetch_module, "_fetch", fails)
    monkeypatch.setattr(fetch_module, "_SECONDS_WITHOUT_A_WORD", 0)
    monkeypatch.setattr(fetch_module.log, "warning", lambda *_: waits.set())
    said: list[str] = []

    def run() -> None:
        try:
            fetch(wanted)
        except MissingWeights as error:
            said.append(str(error))

    first, second = threading.Thread(target=run, name="first"), threading.Thread(target=run, name="second")
    first.start()
    while not asked:
        first.join(0.01)
    second.start()
    assert waits.wait(60)
    release.set()
    first.join(60)
    second.join(60)
    assert asked == ["first"]
    assert len(said) == 2
    assert said[0] == said[1]
    run()
    assert len(asked) == 2


# A checkpoint of a hub

FILES = {
    "config.json": b'{"model_type": "bert"}',
    "tokenizer.json": b"{}",
    "vocab.txt": b"a\nb\n",
    "spiece.model": b"\x01",
    "README.md": b"read me",
    "tf_model.h5": b"no",
    "onnx/config.json": b"no",
    "model.safetensors": DATA,
    "pytorch_model.bin": DATA[::-1],
}
WANTED = ["config.json", "model.safetensors", MANIFEST, "spiece.model", "tokenizer.json", "vocab.txt"]


def test_a_checkpoint_is_fetched_at_its_commit(site: Site) -> None:
    site.add_repository("org/net", COMMIT, FILES)
    folder = fetch(checkpoint())
    assert sorted(path.name for path in folder.iterdir()) == WANTED
    assert folder == checkpoint().folder == choose((), f"org/net@{COMMIT}", "a test").path()
    assert all(f"/{COMMIT}" in asked.path for asked in site.asked)
    for name in set(WANTED) - {MANIFEST}:
        assert (folder / name).read_bytes() == FILES[name]


def test_numbers_come_as_safetensors_first_then_in_shards_then_as_bin() -> None:
    shards = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
    index = "model.safetensors.index.json"
    binary = ("pytorch_model.bin", "pytorch_model-00001-of-00001.bin", "pytorch_model.bin.index.json")
    assert _hub.numbers(("model.safetensors", index, *shards, *binary)) == ("model.safetensors",)
    assert _hub.numbers((index, *shards, *binary)) == (index, *shards)
    assert _hub.numbers(("model.fp16.safetensors", *shards, *binary)) == ("pytorch_model.bin",)
    assert _hub.numbers(binary[1:]) == (binary[2], binary[1])
    assert _hub.numbers(("config.json", "tf_model.h5", *shards)) == ()


def test_the_numbers_of_another_commit(site: Site) -> None:
    own = {name: data for name, data in FILES.items() if name != "model.safetensors"}
    site.add_repository("org/net", COMMIT, own)
    site.add_repository("org/net", OTHER, {"model.safetensors": DATA, "config.json": b"another"})
    folder = fetch(checkpoint(weights_revision=OTHER, sha256=SHA256))
    assert sorted(path.name for path in folder.iterdir()) == WANTED
    assert (folder / "config.json").read_bytes() == FILES["config.json"]
    shutil.rmtree(folder)
    assert (fetch(checkpoint()) / "pytorch_model.bin").read_bytes() == DATA[::-1]


def test_shards_and_their_index(site: Site) -> None:
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    files = {name: DATA for name in index["weight_map"].values()}
    files["model.safetensors.index.json"] = json.dumps(index).encode()
    site.add_repository("org/net", COMMIT, {"config.json": b"{}", **files})
    assert len(list(fetch(checkpoint()).iterdir())) == 5
    index["weight_map"]["b"] = "../../outside.safetensors"
    files["model.safetensors.index.json"] = json.dumps(index).encode()
    site.add_repository("org/net", OTHER, {"config.json": b"{}", **files})
    assert "outside.safetensors', which does not belong" in refused(checkpoint(revision=OTHER))


def test_every_hash_of_a_checkpoint_is_checked(site: Site) -> None:
    site.add_repository("org/net", COMMIT, FILES)
    for name, says in (("config.json", "expected " + "[0-9a-f]{40}"), ("model.safetensors", "expected [0-9a-f]{16}")):
        page = site.pages[f"/org/net/resolve/{COMMIT}/{name}"]
        page.data = page.data[:-1] + b"x"
        with pytest.raises(MissingWeights, match=says):
            fetch(checkpoint())
        page.data = FILES[name]
    page.data = DATA[:-9]
    assert f"the body ended after {len(DATA) - 9:,} of {len(DATA):,} bytes" in refused(checkpoint())
    assert "is HF_ENDPOINT a faithful mirror?" in refused(checkpoint(sha256="0" * 64))
    page.data = DATA
    small = site.sent(f"/org/net/resolve/{COMMIT}/vocab.txt")
    fetch(checkpoint(sha256=SHA256))
    assert site.sent(f"/org/net/resolve/{COMMIT}/vocab.txt") == small  # whole files are not asked for again


def test_a_name_that_leads_out_of_the_folder_is_refused(site: Site) -> None:
    for name in ("../config.json", "/etc/config.json", "a/../../config.json", "..\\config.json", "C:\\config.json"):
        site.add_repository("org/net", COMMIT, {**FILES, name: b"{}"})
        assert "leads out of the folder" in refused(checkpoint())


@pytest.mark.parametrize(
    ("page", "says"),
    [
        (Page(b"", 404, headers={"X-Error-Code": "RevisionNotFound"}), f"has no commit {COMMIT}"),
        (Page(b"", 404, headers={"X-Error-Code": "RepoNotFound"}), "knows no org/net"),
        (Page(b"", 403, headers={"X-Error-Code": "GatedRepo"}), "is gated; accept its terms there, and set HF_TOKEN"),
        (Page(b"", 401), "answers 401 Unauthorized; set HF_TOKEN"),
        (Page(b"", 500), "answers 500 Internal Server Error"),
        (Page(b"<html>hello</html>"), "does not answer as a model hub does"),
        (Page(b"[]"), "does not answer as a model hub does"),
        (
            Page(b'{"id": "org/net", "sha": "main", "siblings": [{"rfilename": "model.safetensors", "size": 1}]}'),
            "with commit main",
        ),
    ],
)
def test_a_hub_that_does_not_have_it_is_a_sentence(site: Site, page: Page, says: str) -> None:
    site.pages[f"/api/models/org/net/revision/{COMMIT}"] = page
    assert says in refused(checkpoint())


def test_a_repository_without_numbers_or_hashes_is_a_sentence(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.add_repository("org/net", COMMIT, {"config.json": b"{}", "tf_model.h5": b"no"})
    assert "neither model.safetensors nor pytorch_model.bin" in refused(checkpoint())
    listing = {"id": "org/net", "sha": COMMIT, "siblings": [{"rfilename": "model.safetensors"}]}
    site.pages[f"/api/models/org/net/revision/{COMMIT}"] = Page(json.dumps(listing).encode())
    assert "states no hash of model.safetensors" in refused(checkpoint())
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert "check the network" in refused(checkpoint())


def test_the_token_goes_to_the_hub_and_nowhere_else(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    site.add_repository("org/net", COMMIT, FILES)
    with serving() as store:
        store.pages["/blob"] = Page(DATA, breaks=[1000])
        site.pages[f"/org/net/resolve/{COMMIT}/model.safetensors"].leads_to = f"{store.url}/blob"
        fetch(checkpoint())
        assert {asked.token for asked in site.asked} == {"Bearer hf_secret"}
        assert {asked.token for asked in store.asked} == {None}
        assert store.sent("/blob") == [1000, len(DATA) - 1000]


def test_a_hub_that_was_told_to_be_offline(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE is set" in refused(checkpoint())
    assert "HF_HUB_OFFLINE is set" in refused(weights(site))


# A folder that is carried, or damaged


def test_a_carried_folder_needs_no_network(site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    site.pages["/net.pth"] = Page(DATA)
    site.add_repository("org/net", COMMIT, FILES)
    fetch(weights(site))
    fetch(checkpoint())
    shutil.move(tmp_path / "weights", tmp_path / "elsewhere")
    assert not weights(site).here()
    monkeypatch.setenv("MSAPIPE_WEIGHTS", str(tmp_path / "elsewhere"))
    asked = len(site.asked)
    for carried in (weights(site), checkpoint()):
        make_ready(carried, offline=True)
        assert carried.path().is_relative_to(tmp_path / "elsewhere")
    assert len(site.asked) == asked
    text = "".join(path.read_text() for path in (tmp_path / "elsewhere").rglob(MANIFEST))
    assert str(tmp_path) not in text


def test_offline_nothing_is_asked(site: Site) -> None:
    with pytest.raises(MissingWeights, match=r"--offline is set; type: msapipe weights fetch net$"):
        make_ready(weights(site), offline=True)
    assert not site.asked


def test_a_failed_fetch_is_not_tried_for_every_clip(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    from msapipe.weights import ready

    for _ in range(3):
        with pytest.raises(MissingWeights, match="net could not be fetched"):
            make_ready(weights(site))
    assert len(site.asked) == 1
    site.pages["/net.pth"] = Page(DATA)
    monkeypatch.setattr(ready, "_SECONDS_BETWEEN_TRIES", 0)
    make_ready(weights(site))
    assert weights(site).path().read_bytes() == DATA


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ([{"file": "../net.pth", "sha256": SHA256, "bytes": 1}], "'../net.pth', which leads out of the folder"),
        ([{"file": "/etc/passwd", "sha256": SHA256, "bytes": 1}], "'/etc/passwd', which leads out of the folder"),
        ([{"file": "..\\net.pth", "sha256": SHA256, "bytes": 1}], "leads out of the folder"),
        ([{"file": "gone.pth", "sha256": SHA256, "bytes": 1}], "gone.pth is missing"),
        ([{"file": "net.pth", "sha256": "0" * 64, "bytes": 1}], "expected 000"),
        ([{"file": "net.pth"}], "cannot be read"),
        ([], "names no file"),
        (3, "cannot be read"),
    ],
)
def test_a_wrong_manifest_is_mended_by_what_is_said(site: Site, files: object, says: str) -> None:
    site.pages["/net.pth"] = Page(DATA)
    wanted = weights(site)
    fetch(wanted)
    (wanted.folder / MANIFEST).write_text(json.dumps({"files": files}))
    with pytest.raises(WeightsError) as caught:
        wanted.path()
    assert says in str(caught.value)
    assert str(caught.value).endswith("type: msapipe weights fetch --force net")
    assert fetch(wanted, force=True).read_bytes() == DATA


def test_a_folder_with_another_file_of_its_own_hash_is_not_believed(site: Site) -> None:
    site.pages["/net.pth"] = Page(DATA)
    wanted = weights(site)
    path = fetch(wanted)
    other = {"file": "net.pth", "sha256": hashlib.sha256(b"other").hexdigest(), "bytes": 5}
    path.write_bytes(b"other")
    (wanted.folder / MANIFEST).write_text(json.dumps({"files": [other]}))
    with pytest.raises(WeightsError, match=r"no file in .* has the sha256 .* that msapipe expects"):
        wanted.path()
