"""msapipe weights as a user meets it: a plug-in's weights lie on a site on this machine."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import msapipe
from msapipe.cli import _exit, doctor
from msapipe.cli._app import app
from msapipe.errors import MissingWeights
from msapipe.pipeline.spec import load_spec, pipeline_names
from msapipe.weights.kinds import check_anew
from tests.loopback import Page, Site, serving

FREE, BOUND = b"free" * 50_000, b"bound" * 50_000
COMMIT = "c" * 40

PLUG_IN = '''"""The first byte of its weights, once."""
from dataclasses import dataclass
from typing import ClassVar
import numpy as np
from msapipe.stages import CheckpointStage
from msapipe.types import FeatureSequence, MediaInfo
from msapipe.weights import Download, Weights

@dataclass
class FirstByte(CheckpointStage):
    """float32 (T, 1)"""
    weights: ClassVar[tuple[Weights, ...]] = (
        Download(name="free-net", licence="MIT", source="a test", url="{url}/free", file="net.pth",
                 sha256="{free}", bytes=200000),
        Download(name="bound-net", licence="CC-BY-NC-4.0", source="a test", commercial=False, url="{url}/bound",
                 file="net.pth", sha256="{bound}", bytes=250000),
    )
    checkpoint: str = "free-net"

    def load(self, device: str) -> None:
        self.byte = self.own_weights()[0].path().read_bytes()[0]

    def run(self, media: MediaInfo) -> FeatureSequence:
        values = np.full((1, 1), self.byte, np.float32)
        return FeatureSequence.masked(values, np.array([[0.0, 1.0]]), np.ones(1, bool), ("byte",))
'''


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    returncode: int
    stdout: str
    stderr: str


Run = Callable[..., Done]


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as found:
        found.pages["/free"], found.pages["/bound"] = Page(FREE), Page(BOUND)
        yield found


@pytest.fixture
def run(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Run]:
    """The program as the command line starts it, with the plug-in installed and the site as its hub."""
    from huggingface_hub import constants

    room = tmp_path / "plug-in"
    about = room / "first_byte-0.1.dist-info"
    about.mkdir(parents=True)
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in (("free", FREE), ("bound", BOUND))}
    (room / "first_byte.py").write_text(PLUG_IN.format(url=site.url, **hashes))
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: first_byte\nVersion: 0.1\n")
    (about / "entry_points.txt").write_text("[msapipe.vision]\nfirst_byte = first_byte:FirstByte\n")
    (tmp_path / "free.yaml").write_text("schema: 1\nstages: {vision: {use: first_byte}}\n")
    bound = "schema: 1\nstages: {vision: {use: first_byte, checkpoint: bound-net}}\n"
    (tmp_path / "bound.yaml").write_text(bound)
    (tmp_path / "accepting.yaml").write_text(f"{bound}accept_licences: [bound-net]\n")
    variables = {"MSAPIPE_WEIGHTS": "weights", "MSAPIPE_CACHE": "cache", "HF_HOME": "hub"}
    for name, folder in variables.items():
        monkeypatch.setenv(name, str(tmp_path / folder))
    monkeypatch.setenv("PYTHONPATH", str(room))  # for worker processes
    monkeypatch.setenv("HF_ENDPOINT", site.url)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.syspath_prepend(str(room))
    monkeypatch.delitem(sys.modules, "first_byte", raising=False)
    monkeypatch.chdir(tmp_path)
    logger = logging.getLogger("msapipe")
    handlers, level = logger.handlers, logger.level

    def run(*arguments: str) -> Done:
        check_anew()
        monkeypatch.setattr(sys, "argv", ["msapipe", *arguments])
        code = _exit.run(app)
        done = Done(code, *capfd.readouterr())
        assert "Traceback" not in done.stderr, done.stderr
        assert "internal error" not in done.stderr
        return done

    yield run
    logger.handlers = handlers
    logger.setLevel(level)


def test_list_fetch_path_and_verify(run: Run, site: Site, tmp_path: Path) -> None:
    listed = {line["name"]: line for line in map(json.loads, run("weights", "list", "--json").stdout.splitlines())}
    assert listed["MTCNN P-Net"]["here"]
    assert {name: listed["bound-net"][name] for name in ("stages", "bytes", "commercial", "accepted", "here")} == {
        **{"stages": ["vision/first_byte"], "bytes": 250000, "commercial": False, "accepted": False, "here": False}
    }
    fetched = run("weights", "fetch", "free")
    assert fetched.returncode == 0, fetched.stderr
    assert "free-net: 0.2 MB, licence MIT, from a test" in fetched.stderr
    path = Path(run("weights", "path", "free-net").stdout.strip())
    assert path.read_bytes() == FREE
    assert fetched.stdout == f"free-net: {path}\n"
    assert run("weights", "path").stdout.strip() == str(tmp_path / "weights")
    lines = run("weights", "list").stdout.splitlines()
    assert max(map(len, lines)) <= 80
    first = lines.index("free-net")
    assert lines[first : first + 4] == [
        *("free-net", "  is    0.2 MB, MIT", "  for   vision/first_byte", "  here  weights folder")
    ]
    first = lines.index("bound-net")
    assert lines[first : first + 5] == [
        "bound-net",
        "  is    0.2 MB, CC-BY-NC-4.0, not for every use (not accepted)",
        *("  for   vision/first_byte", "  no    not on this machine"),
        "  type  msapipe weights fetch bound-net --accept-licence bound-net",
    ]
    only = run("weights", "list", "--pipeline", "bound.yaml", "--json").stdout
    assert [json.loads(line)["name"] for line in only.splitlines()] == ["bound-net"]
    verified = run("weights", "verify")
    assert verified.returncode == 0
    assert f"good  free-net: {path}" in verified.stdout


def test_a_damaged_file_is_found_and_mended(run: Run, site: Site, tmp_path: Path) -> None:
    run("weights", "fetch", "free-net")
    path = Path(run("weights", "path", "free-net").stdout.strip())
    path.write_bytes(FREE[:-1] + b"x")
    for command in (("weights", "verify"), ("weights", "verify", "free-net"), ("weights", "path", "free-net")):
        done = run(*command)
        assert done.returncode == 1
        assert "type: msapipe weights fetch --force free-net" in done.stdout + done.stderr
    assert _doctor("free-net") == (False, "type: msapipe weights fetch --force free-net")
    assert run("weights", "fetch", "--force", "free-net").returncode == 0
    assert all(line.good for line in doctor._weights())


def _doctor(name: str) -> tuple[bool, str]:
    """Whether the doctor finds these weights well, and the fix."""
    line = next(line for line in doctor._weights() if line.found.startswith(name))
    return line.good, line.fix


def test_doctor_says_of_a_pipeline_whether_it_is_ready(run: Run, site: Site, tmp_path: Path) -> None:
    free, bound = (load_spec(str(tmp_path / f"{name}.yaml")) for name in ("free", "bound"))
    assert doctor.readiness(free) == f"missing free-net (0.2 MB); type: msapipe weights fetch --pipeline {free.source}"
    assert doctor.readiness(bound).startswith("missing bound-net (0.2 MB); licence not accepted: bound-net; type: ")
    assert doctor.readiness(bound).endswith("bound.yaml --accept-licence bound-net")
    run("weights", "fetch", "free-net")
    assert doctor.readiness(free) == "ready"
    lines = {line.name: line for line in doctor._pipelines()}
    assert lines.keys() == {f"pipeline {name}" for name in pipeline_names()}
    assert lines["pipeline pocket"].found.startswith("ready")


def test_a_plug_in_that_cannot_be_imported_is_named_and_left(
    run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "plug-in" / "first_byte.py").write_text("import no_such_library")
    done = run("weights", "list")
    assert done.returncode == 0
    assert "MTCNN P-Net" in done.stdout
    assert caplog.messages == ["vision/first_byte cannot be loaded: No module named 'no_such_library'"]


def test_a_licence_is_accepted_once_or_by_the_pipeline(run: Run, site: Site, tmp_path: Path) -> None:
    command = "msapipe weights fetch bound-net --accept-licence bound-net"
    refused = run("weights", "fetch", "bound-net")
    assert refused.returncode == 1
    assert command in refused.stderr
    assert "accept_licences: [bound-net]" in refused.stderr
    typo = run("weights", "fetch", "bound-net", "--accept-licence", "bound")
    assert typo.returncode == 2
    assert "did you mean 'bound-net'" in typo.stderr
    assert run("weights", "fetch", "--pipeline", "bound.yaml").returncode == 1
    assert not site.asked
    assert run("weights", "fetch", "--pipeline", "accepting.yaml").returncode == 0
    assert run("weights", "fetch", "bound-net").returncode == 1  # the pipeline has accepted, not the user
    assert run("weights", *command.split()[2:]).returncode == 0
    assert run("weights", "fetch", "bound-net").returncode == 0
    assert site.sent("/bound") == [len(BOUND)]
    assert json.loads(run("weights", "list", "-p", "bound.yaml", "--json").stdout)["accepted"]


def test_what_is_wrong_with_the_command_is_a_sentence(run: Run, site: Site) -> None:
    for arguments, says in (
        (("fetch",), "fetch what?"),
        (("fetch", "fre-net"), "did you mean 'free-net'"),
        (("fetch", "facebook/"), "several weights begin with 'facebook/'"),
        (("path", "org/net@12"), "40 digits of a commit"),
        (("list", "--pipeline", "poket"), "did you mean 'pocket'"),
    ):
        done = run("weights", *arguments)
        assert done.returncode == 2, arguments
        assert says in done.stderr
    missing = run("weights", "path", "free-net")
    assert missing.returncode == 1
    assert missing.stderr.strip().endswith("type: msapipe weights fetch free-net")
    site.pages["/free"] = Page(b"", 404)
    some = run("weights", "fetch", "free-net", "MTCNN P-Net")
    assert some.returncode == 3
    assert "404 Not Found" in some.stderr


def test_any_checkpoint_of_the_hub(run: Run, site: Site, tmp_path: Path) -> None:
    site.add_repository("org/net", COMMIT, {"config.json": b"{}", "model.safetensors": FREE})
    name = f"org/net@{COMMIT}"
    assert run("weights", "fetch", name).returncode == 0
    folder = Path(run("weights", "path", name).stdout.strip())
    assert folder == tmp_path / "weights" / "org" / "net" / COMMIT[:12]
    (folder / "config.json").write_bytes(b"[]")
    verified = run("weights", "verify")
    assert verified.returncode == 1
    assert f"type: msapipe weights fetch --force {name}" in verified.stdout


def test_extract_fetches_once_unless_offline(run: Run, site: Site, samples: Path, tmp_path: Path) -> None:
    clips = [str(samples / f"{name}.mp4") for name in ("no_face", "silent_face")]
    extract = ("extract", *clips, "--pipeline", "free.yaml")
    offline = run(*extract, "--offline")
    assert offline.returncode == 1
    assert "--offline is set; type: msapipe weights fetch free-net" in offline.stderr
    assert not site.asked
    done = run(*extract, "--jobs", "2")
    assert done.returncode == 0, done.stderr
    assert "fetching free-net (0.2 MB, MIT) from a test" in done.stderr
    assert site.sent("/free") == [len(FREE)]
    shutil.rmtree(tmp_path / "cache")
    assert run(*extract, "--offline").returncode == 0


def test_extract_ends_at_a_licence_that_is_not_accepted(run: Run, site: Site, samples: Path) -> None:
    extract = ("extract", str(samples / "no_face.mp4"), "--pipeline", "bound.yaml")
    refused = run(*extract)
    assert refused.returncode == 1
    assert "may not be used for every purpose: CC-BY-NC-4.0" in refused.stderr
    assert not site.asked
    assert run(*extract, "--accept-licence", "bound-net").returncode == 0
    assert run(*extract, "--overwrite").returncode == 0


def test_predict_knows_the_options(run: Run, samples: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = str(samples / "no_face.mp4")
    typo = run("predict", clip, "--accept-licence", "fre-net")
    assert typo.returncode == 2
    assert "did you mean 'free-net'" in typo.stderr
    monkeypatch.setenv("MSAPIPE_OFFLINE", "1")
    predict = ("predict", clip, "-p", "free.yaml", "--model", "pocket", "--allow-mismatch")
    assert "--offline is set; type: msapipe weights fetch free-net" in run(*predict).stderr


@pytest.mark.usefixtures("run")
def test_load_offline(site: Site, samples: Path, tmp_path: Path) -> None:
    with msapipe.load(str(tmp_path / "free.yaml"), offline=True) as pipeline:
        with pytest.raises(MissingWeights, match="--offline is set"):
            pipeline.features(samples / "no_face.mp4")
        assert not site.asked
    with msapipe.load(str(tmp_path / "free.yaml")) as pipeline:
        assert pipeline.features(samples / "no_face.mp4")["vision"].values[0, 0] == ord("f")
