"""A cache in a storage service: found from any machine, whole or not used, and never a traceback."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import platformdirs
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from msapipe import load
from msapipe.cache import Store, open_store, remote
from msapipe.cache.remote import RemoteStore
from msapipe.cli import doctor
from msapipe.errors import CacheError, ConfigError, MissingLibrary
from msapipe.pipeline.run import Options, Runner
from msapipe.pipeline.spec import parse_spec
from msapipe.types import Clip, Failure
from tests.engines import run_clips
from tests.program import run_program

KEY = "ab" * 32
CHEAP = "schema: 1\nstages: {audio: {use: mfcc, n_mfcc: 5}}"
VALUE = Failure("a value like any other")


class Service(MemoryFileSystem):
    """A service that counts what it is asked, and refuses what it is told to refuse."""

    protocol = "testing"
    store: dict[str, Any] = {}  # noqa: RUF012 - as in the class above
    pseudo_dirs: list[str] = [""]  # noqa: RUF012
    asked: list[str] = []  # noqa: RUF012
    refused: dict[str, Exception] = {}  # noqa: RUF012
    trips: list[int] = []  # noqa: RUF012 - how many objects were asked for together

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(super()._strip_protocol(path.removeprefix("testing://")))

    def _ask(self, what: str) -> None:
        self.asked.append(what)
        if what in self.refused:
            raise self.refused[what]

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        self._ask("put")
        super().pipe_file(path, value, mode, **kwargs)

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **kwargs: Any) -> bytes:
        self._ask("get")
        return bytes(super().cat_file(path, start, end, **kwargs))

    def cat(self, path: list[str], *more: Any, **kwargs: Any) -> Any:
        self.trips.append(len(path))
        return super().cat(path, *more, **kwargs)

    def info(self, path: str, **kwargs: Any) -> Any:
        self._ask("info")
        return super().info(path, **kwargs)

    def find(self, path: str, *more: Any, **kwargs: Any) -> Any:
        self._ask("list")
        return super().find(path, *more, **kwargs)


@pytest.fixture
def service() -> Iterator[type[Service]]:
    fsspec.register_implementation("testing", Service, clobber=True)
    yield Service
    for kept in (Service.store, Service.asked, Service.refused, Service.trips):
        kept.clear()


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes this a machine of that name, with a folder of its own."""
    return lambda name: monkeypatch.setenv("MSAPIPE_CACHE", str(tmp_path / "machines" / name))


def key(number: int) -> str:
    return f"{number % 4:02x}{number:062x}"


@pytest.mark.parametrize("kind", ["memory", "file"])
def test_what_one_machine_puts_another_gets(kind: str, machine: Any, tmp_path: Path) -> None:
    address = (tmp_path / "service" / "deep").as_uri() if kind == "file" else f"memory:/{tmp_path}/deep"
    machine("a")
    here = open_store(address)
    assert isinstance(here, RemoteStore)
    assert not here.has("audio", KEY)
    assert here.get("audio", KEY) is None
    here.put("audio", KEY, VALUE, {"a": 1}, ("a note",))
    machine("b")
    there = open_store(address + "/")
    assert there.root != here.root
    assert there.root.name == here.root.name
    assert there.has("audio", KEY)
    entry = there.get("audio", KEY)
    assert entry is not None
    assert (entry.value, entry.notes, entry.made_from) == (VALUE, ("a note",), {"a": 1})
    assert here.path("audio", KEY).read_bytes() == there.path("audio", KEY).read_bytes()
    there.discard("audio", KEY)
    assert not there.has("audio", KEY)
    machine("c")
    assert not open_store(address).has("audio", KEY)


def test_objects_are_the_entries_of_a_folder(machine: Any, tmp_path: Path) -> None:
    machine("a")
    open_store((tmp_path / "service").as_uri()).put("audio", KEY, VALUE, {}, ())
    Store(tmp_path / "folder").put("audio", KEY, VALUE, {}, ())
    name = f"audio/ab/{KEY}.safetensors"
    assert [path.name for path in (tmp_path / "service").rglob("*.*")] == [f"{KEY}.safetensors"]
    assert (tmp_path / "service" / name).read_bytes() == (tmp_path / "folder" / name).read_bytes()
    assert open_store(tmp_path / "service").has("audio", KEY), "copied to a disk, it is a cache"


def test_a_damaged_object_is_absent_and_is_replaced(machine: Any, tmp_path: Path) -> None:
    address, object_ = (tmp_path / "service").as_uri(), tmp_path / "service" / "audio" / "ab" / f"{KEY}.safetensors"
    machine("a")
    open_store(address).put("audio", KEY, VALUE, {})
    whole = object_.read_bytes()
    for number, damaged in enumerate((whole[:-1], whole[:70], b"", whole[:-3] + b"xyz")):
        object_.write_bytes(damaged)
        machine(f"b{number}")
        store = open_store(address)
        assert store.get("audio", KEY) is None
        assert not store.path("audio", KEY).exists(), "what is not whole does not come near"
        store.put("audio", KEY, VALUE, {})
        assert object_.read_bytes() == whole
    store.path("audio", KEY).write_bytes(whole[:-1])
    assert store.get("audio", KEY) is not None, "damaged near, it is fetched again"
    assert store.path("audio", KEY).read_bytes() == whole


def test_many_entries_are_not_asked_for_one_by_one(service: type[Service], machine: Any) -> None:
    machine("a")
    here = open_store("testing://bucket/cache")
    for number in range(300):
        here.put("summary", key(number), VALUE, {})
    machine("b")
    there = open_store("testing://bucket/cache")
    service.asked.clear()
    assert [there.has("summary", key(number)) for number in range(290, 400)] == [True] * 10 + [False] * 100
    assert service.asked.count("list") == 1
    assert len(service.asked) == remote._ASKED_SINGLY + 1
    service.asked.clear()
    assert there.get("summary", key(400)) is None, "not in the listing"
    assert not service.asked
    assert there.get("summary", key(5)) is not None
    assert service.asked == ["get"] * 75, "a shelf together"
    service.asked.clear()
    assert all(there.get("summary", key(number)) for number in range(1, 300, 4))
    assert not service.asked


def test_who_is_about_to_compute_looks_past_the_listing(
    service: type[Service], machine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "_ASKED_SINGLY", 0)
    machine("a")
    here = open_store("testing://bucket/cache")
    assert not here.has("audio", KEY)
    machine("b")
    open_store("testing://bucket/cache").put("audio", KEY, VALUE, {})
    assert here.get("audio", KEY) is None
    service.asked.clear()
    with here.claim(KEY):
        here.bring([("audio", KEY), ("audio", key(1))])
        assert here.get("audio", KEY) is not None
        assert here.get("audio", key(1)) is None
        assert service.asked == ["get", "get"], "each once"
    with here.claim(KEY):
        assert here.get("audio", key(1)) is None
        assert service.asked == ["get", "get", "get"], "it may have come meanwhile"


@pytest.mark.parametrize(
    ("what", "does"),
    [
        ("put", lambda store: store.put("audio", KEY, VALUE, {})),
        ("get", lambda store: store.get("audio", KEY)),
        ("info", lambda store: store.has("audio", KEY)),
        ("list", lambda store: [store.has("audio", key(number)) for number in range(100)]),
        ("put", lambda store: store.try_out()),
    ],
)
def test_what_the_service_refuses_is_a_sentence(what: str, does: Any, service: type[Service], machine: Any) -> None:
    machine("a")
    store = open_store("testing://bucket/cache")
    service.refused[what] = RuntimeError("Unable to locate\n credentials")
    with pytest.raises(CacheError, match=r"testing://bucket/cache cannot be .*Error: Unable to locate credentials; ch"):
        does(store)
    assert not list(store.root.glob("audio/*/*")), "what is near was in the service"


def test_a_bucket_that_is_not_there_is_not_made(
    service: type[Service], machine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    monkeypatch.setattr(Service, "mkdir", lambda self, path, create_parents=True: made.append((path, create_parents)))
    machine("a")
    service.refused["put"] = FileNotFoundError("The specified bucket does not exist")
    with pytest.raises(CacheError, match="cannot be written: FileNotFoundError: The specified bucket does not exist"):
        open_store("testing://bucket/cache").put("audio", KEY, VALUE, {})
    assert ("/bucket", True) not in made
    assert not any(parents for _, parents in made)
    assert "/bucket" not in [path for path, _ in made]


def test_a_near_folder_that_cannot_be_written_is_named(machine: Any, tmp_path: Path) -> None:
    (tmp_path / "machines").write_text("in the way")
    machine("a")
    with pytest.raises(CacheError, match="what is near of the cache memory://x, cannot be written"):
        open_store("memory://x").put("audio", KEY, VALUE, {})


@pytest.mark.parametrize(
    ("address", "error", "message"),
    [
        ("s4://bucket/cache", ConfigError, "no kind of storage is called 's4'; expected a folder, or an address such"),
        ("memory://bucket/*", ConfigError, "one folder"),
        (Path("s3://bucket/cache"), ConfigError, "give it as a string"),
        ("sftp://me:secret@host/cache", ConfigError, "(?!.*secret)holds a password"),
    ],
)
def test_what_is_no_address_is_said(address: str | Path, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        open_store(address)


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "fsspec.implementations.sftp", raising=False)
    monkeypatch.setitem(sys.modules, "paramiko", None)
    with pytest.raises(
        MissingLibrary, match=r"sftp://host/cache needs the package paramiko: .*uv pip install paramiko"
    ):
        open_store("sftp://host/cache")


def test_which_places_are_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for place in (tmp_path, str(tmp_path), "C:/cache", "a folder: with a colon", "~/cache"):
        store = open_store(place)
        assert type(store) is Store
        assert store.address == str(store.root) == str(Path(place).expanduser().absolute())
    monkeypatch.setenv("MSAPIPE_CACHE", str(tmp_path))
    assert open_store().address == str(tmp_path)
    monkeypatch.setenv("MSAPIPE_CACHE", "memory://x")
    store = open_store()
    assert store.address == "memory://x"
    assert store.root.is_relative_to(platformdirs.user_cache_path("msapipe"))


def test_a_second_machine_computes_nothing_and_exports_the_same(samples: Path, machine: Any, tmp_path: Path) -> None:
    (tmp_path / "cheap.yaml").write_text(CHEAP)
    address = (tmp_path / "service").as_uri()
    clips = (samples / "positive.mp4", samples / "vfr.mp4")
    common = ("extract", *clips, "-p", tmp_path / "cheap.yaml", "--cache", address, "-q", "--jobs", 2)
    for name in ("a", "b"):
        machine(name)
        report, features = tmp_path / f"{name}.jsonl", tmp_path / f"{name}.safetensors"
        assert run_program(*common, "--report", report, "-o", features) in (0, 3)
        assert report.read_text().count('"computed": true') == (2 if name == "a" else 0)
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    near = [sorted(path.name for path in (tmp_path / "machines" / name).rglob("*.safetensors")) for name in "ab"]
    assert near[0] == near[1] == sorted(path.name for path in (tmp_path / "service").rglob("*.safetensors"))


def test_a_damaged_object_is_computed_again(samples: Path, machine: Any, tmp_path: Path) -> None:
    spec, clips = parse_spec(CHEAP, "cheap"), [Clip("a", samples / "positive.mp4")]
    address = (tmp_path / "service").as_uri()
    machine("a")
    assert [outcome.computed for outcome in run_clips(clips, spec, address, Options(), 2)] == [True], "by a worker"
    (object_,) = (tmp_path / "service" / "audio").rglob("*.safetensors")
    whole = object_.read_bytes()
    object_.write_bytes(whole[:1000])
    machine("b")
    assert [outcome.computed for outcome in run_clips(clips, spec, address, Options(), 1)] == [True]
    assert object_.read_bytes() == whole
    machine("c")
    assert [outcome.computed for outcome in run_clips(clips, spec, address, Options(), 1)] == [False]


def test_the_results_of_a_clip_are_fetched_together(service: type[Service], samples: Path, machine: Any) -> None:
    spec, clips = parse_spec(CHEAP, "cheap"), [Clip("a", samples / "positive.mp4")]
    for name in ("a", "b"):
        machine(name)
        service.trips.clear()
        with Runner(spec, open_store("testing://bucket/cache")) as runner:
            assert runner.run(clips[0]).computed == (name == "a")
        assert service.trips == [3], "media, audio, and whether the decoder died on it"


def test_a_run_ends_with_one_sentence(
    service: type[Service], samples: Path, machine: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cheap.yaml").write_text(CHEAP)
    machine("a")
    service.refused["put"] = PermissionError("Access Denied")
    common = ("-p", tmp_path / "cheap.yaml", "--cache", "testing://bucket/cache", "-q", "--jobs", 1)
    assert run_program("extract", samples / "positive.mp4", samples / "vfr.mp4", *common) == 1
    said = capsys.readouterr()
    assert not said.out
    assert said.err.count("Access Denied") == 1
    assert "Traceback" not in said.err
    with load(str(tmp_path / "cheap.yaml"), cache="testing://bucket/cache") as pipeline:
        (outcome,) = pipeline.run([samples / "positive.mp4"])
    assert outcome.status in ("ok", "partial"), "a single clip is scored, and nothing is kept"
    assert any("Access Denied" in note for note in outcome.notes)


def test_commands_about_the_cache_speak_of_what_is_near(
    machine: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    machine("a")
    address = (tmp_path / "service").as_uri()
    open_store(address).put("audio", KEY, VALUE, {})
    assert run_program("cache", "verify", "--cache", address) == 0
    said = capsys.readouterr()
    assert said.out == "1 entries, 0 damaged\n"
    assert f"of {address}, what is near" in said.err
    assert run_program("cache", "prune", "--slot", "audio", "--cache", address) == 0
    assert len(list((tmp_path / "service").rglob("*.safetensors"))) == 1
    assert open_store(address).get("audio", KEY) is not None


def test_the_doctor_tries_the_service(service: type[Service], machine: Any) -> None:
    machine("a")
    tried, room = doctor._cache("testing://bucket/cache")
    assert (tried.good, tried.found) == (True, "testing://bucket/cache can be written")
    assert str(open_store("testing://bucket/cache").root) in room.found
    assert not service.store
    service.refused["put"] = PermissionError("Access Denied")
    (tried,) = doctor._cache("testing://bucket/cache")
    assert not tried.good
    assert "Access Denied" in tried.found


def test_a_folder_needs_no_fsspec() -> None:
    code = "import sys, msapipe.cache; msapipe.cache.open_store('.'); sys.exit('fsspec' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
