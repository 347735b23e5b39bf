"""A .csd is read by the rules of the CMU SDK, and sequences of others are read here."""

from __future__ import annotations

import json
import re
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from msapipe.errors import ConfigError, MsapipeError
from msapipe.formats import FORMATS, _csd_look, format_of
from tests.formats.clips import some_clips

h5py = pytest.importorskip("h5py")

# The list of the SDK (mmdatasdk/configurations/metadataconfigs.py), with its missing comma and without.
TEMPLATE = (
    "root name",
    "computational sequence description",
    "dimension namescomputational sequence version",
    "dimension names",
    "computational sequence version",
    "alignment compatible",
    "dataset name",
    "dataset version",
    "creator",
    "contact",
    "featureset bib citation",
    "dataset bib citation",
    "uuid",
    "md5",
)


def sdk_read(path: Path) -> tuple[dict[str, tuple[Any, Any]], dict[str, Any]]:
    """What the SDK's read_CSD, validate_data_format and validate_metadata_format do."""
    with h5py.File(path, "r") as file:
        root = file[next(iter(file.keys()))]
        data = {name: (entry["features"][()], entry["intervals"][()]) for name, entry in root["data"].items()}
        metadata = {key: json.loads(value[0]) for key, value in root["metadata"].items()}
    for features, intervals in data.values():
        assert features.ndim >= 2
        assert intervals.ndim == 2
        assert len(features) == len(intervals)
    assert set(TEMPLATE) <= set(metadata)
    return data, metadata


def test_one_file_a_channel_by_the_rules_of_the_sdk(tmp_path: Path) -> None:
    folder, clips = tmp_path / "mosi.csd", some_clips()
    assert FORMATS.get("csd")().write(folder, clips) == 6
    names = sorted(file.name for file in folder.glob("*.csd"))
    assert names == ["audio.csd", "labels.csd", "text.csd", "vision_au.csd", "vision_resnet_18.csd"]
    data, metadata = sdk_read(folder / "vision_au.csd")
    assert metadata["root name"] == "vision_au"
    assert metadata["dimension names"] == ["d"]
    vision = clips[2].features["vision"]
    assert np.array_equal(data["v2$_$1"][0], vision.values[:, 3:])
    assert np.abs(data["v2$_$1"][1] - vision.times).max() <= 1e-6
    labels, metadata = sdk_read(folder / "labels.csd")
    assert metadata["root name"] == "All Labels"
    assert metadata["dimension names"] == ["sentiment", "sentiment of text"]
    assert labels["v2$_$1"][0].tolist() == [[0.0, 0.5]]
    assert labels["v2$_$1"][1].tolist() == [[0.0, 0.9]]


def test_entries_have_names_that_hdf5_and_the_sdk_take(tmp_path: Path) -> None:
    from dataclasses import replace

    ids = ["a/b[0].mp4", "a_b_0_.mp4", ".", "x\udcff"]
    clips = [replace(clip, id=name) for clip, name in zip(some_clips()[: len(ids)], ids, strict=True)]
    FORMATS.get("csd")().write(tmp_path / "x.csd", clips)
    assert list(sdk_read(tmp_path / "x.csd" / "audio.csd")[0]) == ["a_b_0_.mp4", "a_b_0_.mp4~2", "_", "x_"]
    assert [clip.id for clip in format_of(tmp_path / "x.csd").read(tmp_path / "x.csd")] == ids


def write_foreign(path: Path, root: str, entries: dict[str, tuple[Any, Any]]) -> None:
    with h5py.File(path, "w") as file:
        for name, (features, intervals) in entries.items():
            file[f"{root}/data/{name}/features"] = features
            file[f"{root}/data/{name}/intervals"] = intervals
        file[f"{root}/metadata/root name"] = [root.encode()]


def test_public_sequences_are_cut_by_their_labels(tmp_path: Path) -> None:
    seconds = np.arange(6.0)
    times = np.stack([seconds, seconds + 1], axis=1)
    covarep = np.stack([seconds + 1, -np.inf * np.ones(6)], axis=1)
    words = np.array([[b"sp"], [b"good"], [b"film"], [b"sp"], [b"no"], [b"end"]])
    write_foreign(tmp_path / "CMU_MOSI_COVAREP.csd", "COVAREP", {"vid": (covarep, times)})
    write_foreign(tmp_path / "CMU_MOSI_TimestampedWords.csd", "words", {"vid": (words, times)})
    labels = np.array([[2.4, 0.0], [-1.0, 0.0]])
    write_foreign(tmp_path / "CMU_MOSI_Labels.csd", "All Labels", {"vid": (labels, [[0.0, 2.5], [4.0, 5.0]])})
    one, two = format_of(tmp_path).read(tmp_path)
    assert (one.id, one.video, one.labels, one.text) == ("vid[0]", "vid", {"M": 2.4}, "good film")
    assert one.features["audio"].values.tolist() == [[1, 0], [2, 0], [3, 0]]
    assert one.features["audio"].times.tolist() == [[0, 1], [1, 2], [2, 2.5]]
    assert (two.id, two.text, two.features["audio"].times.tolist()) == ("vid[1]", "no", [[0, 1]])
    alone = list(format_of(tmp_path / "CMU_MOSI_COVAREP.csd").read(tmp_path / "CMU_MOSI_COVAREP.csd"))
    assert [(clip.id, clip.features["audio"].values.shape) for clip in alone] == [("vid", (6, 2))]


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    times = np.array([[0.0, 1.0]])
    write_foreign(tmp_path / "my.csd", "my features", {"v": (np.ones((1, 2)), times)})
    with pytest.raises(MsapipeError, match=r"my\.csd: cannot tell whether 'my features' is text"):
        list(FORMATS.get("csd")().read(tmp_path))
    (tmp_path / "my.csd").rename(tmp_path / "audio.csd")
    write_foreign(tmp_path / "covarep.csd", "COVAREP", {"v": (np.ones((1, 2)), times)})
    with pytest.raises(MsapipeError, match=r"audio\.csd and covarep\.csd are both audio"):
        list(FORMATS.get("csd")().read(tmp_path))
    write_foreign(tmp_path / "audio.csd", "audio", {"v": (np.ones((2, 2)), times)})
    with pytest.raises(MsapipeError, match=r"audio\.csd: v: expected features \(T, D\) and intervals"):
        list(FORMATS.get("csd")().read(tmp_path / "audio.csd"))
    (tmp_path / "audio.csd").write_bytes(b"no HDF5")
    with pytest.raises(MsapipeError, match=r"audio\.csd: not an HDF5 file"):
        list(FORMATS.get("csd")().read(tmp_path / "audio.csd"))
    with pytest.raises(ConfigError, match=r"audio\.csd: is there already"):
        FORMATS.get("csd")().write(tmp_path / "audio.csd", some_clips())


READ = """
import os, sys
from pathlib import Path
from msapipe.errors import MsapipeError
from msapipe.formats.csd import Csd
try:
    list(Csd().read(Path(sys.argv[1])))
except MsapipeError as error:
    print(error)
del os.environ["MSAPIPE_DECODE_SECONDS"]
print(len(list(Csd().read(Path(sys.argv[2])))), "clips")
"""


def looping(good: bytes) -> bytes:
    """The file with the length of the free space in its heap of texts set to 0: HDF5 2.0 steps over it for ever."""
    data, at = bytearray(good), good.index(b"GCOL") + 16
    while struct.unpack_from("<H", data, at)[0]:  # 0 is the number of the free space
        at += 16 + -(-struct.unpack_from("<Q", data, at + 8)[0] // 8) * 8
    struct.pack_into("<Q", data, at + 8, 0)
    return bytes(data)


def test_a_damaged_file_in_which_hdf5_loops_is_refused_and_the_next_one_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MSAPIPE_DECODE_SECONDS", "5")
    folder, bad = tmp_path / "good.csd", tmp_path / "text.csd"
    FORMATS.get("csd")().write(folder, some_clips())
    bad.write_bytes(looping((folder / "text.csd").read_bytes()))
    # In a process of its own, since what hangs inside HDF5 cannot be stopped.
    done = subprocess.run([sys.executable, "-c", READ, bad, folder], capture_output=True, text=True, timeout=300)
    refused, read = done.stdout.splitlines()
    assert refused.startswith(f"{bad}: a damaged HDF5 file: the library hung for ")
    assert read == "6 clips"


def test_a_file_on_which_hdf5_crashes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    FORMATS.get("csd")().write(tmp_path / "good.csd", some_clips())

    def dying(limits: object) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-c", "import os; os.abort()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )

    monkeypatch.setattr(_csd_look, "_running", dying)
    with pytest.raises(MsapipeError, match="the library crashes on it"):
        list(FORMATS.get("csd")().read(tmp_path / "good.csd"))


@pytest.mark.parametrize(("rows", "claim"), [(2**33, "137.4"), (2**22, "0.1"), (2**18, "0.0")])
def test_an_array_that_claims_more_than_its_file_can_hold(tmp_path: Path, rows: int, claim: str) -> None:
    with h5py.File(tmp_path / "text.csd", "w") as file:
        file.create_group("text/metadata")
        file.create_dataset("text/data/v/features", shape=(rows, 4), dtype=np.float32)
        file.create_dataset("text/data/v/intervals", shape=(rows, 2), dtype=np.float32)
    with pytest.raises(MsapipeError, match=f"features claims to be {re.escape(claim)} GB large"):
        list(FORMATS.get("csd")().read(tmp_path / "text.csd"))


def test_an_array_where_a_group_should_be(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "text.csd", "w") as file:
        file.create_group("text/data")
        file.create_dataset("text/metadata", data=np.zeros(3))
    with pytest.raises(MsapipeError, match="looked for in an array"):
        list(FORMATS.get("csd")().read(tmp_path / "text.csd"))


def test_what_the_other_process_cannot_read_this_one_does_not_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    FORMATS.get("csd")().write(tmp_path / "good.csd", some_clips())
    with h5py.File(tmp_path / "good.csd" / "text.csd", "a") as file:
        name = next(iter(file["text/data"]))
        del file[f"text/data/{name}/intervals"]
    monkeypatch.setattr(_csd_look, "unlooked", lambda path: pytest.fail("it was tried"))
    with pytest.raises(MsapipeError, match=f"{re.escape(name)}: expected features and intervals"):
        list(FORMATS.get("csd")().read(tmp_path / "good.csd" / "text.csd"))
