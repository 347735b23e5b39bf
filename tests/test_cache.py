from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

from msapipe.cache import Store, _files, digest, file_digest, index
from msapipe.cache.codec import Value, decode, encode
from msapipe.cache.store import _DTYPES, entry_bytes, entry_pieces
from msapipe.errors import CacheError
from msapipe.testing import fakes
from msapipe.types import (
    CaptionTrack,
    Contribution,
    FaceTracks,
    Failure,
    FeatureSequence,
    MediaInfo,
    Prediction,
    Speaker,
    Summary,
    Transcript,
    Word,
)

KEY = "ab" * 32


def values() -> list[Value]:
    part = Contribution(0.5, False, 1.0, None)
    return [
        fakes.features({"text": 3})["text"],
        FeatureSequence(np.zeros((0, 3), np.float32), np.zeros((0, 2)), np.zeros(0, bool), ("a", "b", "c")),
        fakes.face_tracks(3, 2),
        fakes.face_tracks(3, 0),
        Speaker(np.array([0, -1]), np.array([1, 0], np.float32)),
        Transcript((Word("caf\u00e9", 0.1, 0.2, 0.5), Word("\U0001f600", estimated=True)), "en", "sidecar"),
        MediaInfo(
            "mp4", "h264", None, 3.0, (CaptionTrack(2, (Word("cue", 1.0, 2.0),), "en", forced=True),), ("a note",), 25.0
        ),
        Failure("the decoder died"),
        Summary(("text",), ("text is missing",), {"audio": 0.5}, (("media", KEY), ("audio", KEY))),
        Prediction(1.0, (-3.0, 3.0), 1 / 3, "positive", "pocket", {"text": part}, ("n",), {"text": KEY}),
        None,
    ]


@pytest.mark.parametrize("value", values(), ids=lambda value: type(value).__name__)
def test_what_is_put_comes_back(value: Value, tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put("text", KEY, value, {"a": 1}, ("a note",))
    entry = store.get("text", KEY)
    assert entry is not None
    assert type(entry.value) is type(value)
    assert entry_bytes(entry.value, {}, ()) == entry_bytes(value, {}, ())
    assert (entry.notes, entry.made_from) == (("a note",), {"a": 1})


@pytest.mark.parametrize("value", values(), ids=lambda value: type(value).__name__)
def test_without_pictures_all_else_comes_back_and_is_verified(value: Value, tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put("text", KEY, value, {"a": 1}, ("a note",))
    entry = store.get("text", KEY, pictures=False)
    assert entry is not None
    assert (entry.notes, entry.made_from) == (("a note",), {"a": 1})
    has_pictures = isinstance(value, FaceTracks)
    if has_pictures:
        assert isinstance(entry.value, FaceTracks)
        assert len(entry.value.crops) == len(value.crops)
        assert not len(entry.value.crops.data)
        value = replace(value, crops=entry.value.crops)
    assert entry_bytes(entry.value, {}, ()) == entry_bytes(value, {}, ())
    store.path("text", KEY).write_bytes(store.path("text", KEY).read_bytes().replace(b"a note", b"a nope"))
    assert store.get("text", KEY) is None
    assert store.get("text", KEY, pictures=False) is None


def test_the_same_value_is_the_same_bytes_in_another_process() -> None:
    code = "import sys; from tests.test_cache import *; sys.stdout.buffer.write(entry_bytes(values()[5], {'b': 1}, ()))"
    runs = [
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            check=True,
            cwd=Path(__file__).parents[1],
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
        ).stdout
        for seed in (1, 2)
    ]
    assert runs[0] == runs[1] == entry_bytes(values()[5], {"b": 1}, ())


def test_every_flipped_byte_and_every_cut_is_found(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put("text", KEY, fakes.features({"text": 3})["text"], {"a": 1})
    path = store.path("text", KEY)
    whole = path.read_bytes()
    for place in random.Random(0).sample(range(len(whole)), min(200, len(whole))):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << (place % 8)
        path.write_bytes(damaged)
        assert store.get("text", KEY) is None, f"byte {place} of {len(whole)}"
        path.write_bytes(whole[:place])
        assert store.get("text", KEY) is None, f"cut at {place}"


def test_nothing_is_written_before_it_is_needed(tmp_path: Path) -> None:
    store = Store(tmp_path / "cache")
    assert store.get("text", KEY) is None
    assert not store.has("text", KEY)
    assert list(store.entries()) == []
    assert not (tmp_path / "cache").exists()


def test_a_cache_that_cannot_be_made_is_named_with_the_fix(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CacheError, match=r"file/cache cannot be written.*--cache DIR"):
        Store(tmp_path / "file" / "cache").put("text", KEY, None, {})


def test_the_folder_for_unfinished_files_goes_away(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put("text", KEY, None, {})
    assert len(list((tmp_path / "writing").iterdir())) == 1
    other = Store(tmp_path)
    assert other.sweep() == 0, "the folder of a living process was swept away"
    store.close()
    assert list((tmp_path / "writing").iterdir()) == []


def test_what_a_killed_process_left_is_swept_away(tmp_path: Path) -> None:
    code = textwrap.dedent(f"""
        import os, signal
        from pathlib import Path
        from msapipe.cache import Store
        store = Store(Path({str(tmp_path)!r}))
        store.put("text", "{KEY}", None, {{}})
        (store._writing() / "half.safetensors").write_bytes(b"half")
        os.kill(os.getpid(), signal.SIGKILL)
    """)
    subprocess.run([sys.executable, "-c", code], check=False)
    assert list((tmp_path / "writing").glob("*/half.safetensors"))
    store = Store(tmp_path)
    store.put("text", "cd" * 32, None, {})
    assert not list((tmp_path / "writing").glob("*/half.safetensors"))


def test_the_index_is_rebuilt_from_the_entries(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for number in range(3):
        store.put("text", digest({"n": number}), None, {})
    before = index.read(tmp_path)
    (tmp_path / index.NAME).unlink()
    assert index.read(tmp_path) is None
    assert index.rebuild(tmp_path, store.entries()) == before
    with (tmp_path / index.NAME).open("a") as file:
        file.write('{"slot": "te')
    assert index.read(tmp_path) == before


@given(st.dictionaries(st.text(), st.one_of(st.integers(), st.text(), st.booleans(), st.none()), max_size=5))
def test_a_key_does_not_depend_on_the_order_of_fields(parts: dict[str, object]) -> None:
    assert digest(parts) == digest(dict(reversed(parts.items())))
    assert len(digest(parts)) == 64


def test_codec_refuses_parts_that_do_not_fit() -> None:
    kind, arrays, plain = encode(fakes.features({"text": 3})["text"])
    arrays["valid"] = arrays["valid"][:-1]
    with pytest.raises(ValueError, match="valid must be bool"):
        decode(kind, arrays, plain)


def test_a_file_is_read_again_whenever_it_may_have_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip, cache = tmp_path / "clip.mp4", tmp_path / "cache"
    clip.write_bytes(b"first")
    cache.mkdir()
    assert Store(cache).file_digest(clip) == hashlib.sha256(b"first").hexdigest()
    assert not (cache / "files.jsonl").exists(), "it has changed a moment ago and may do so again unseen"
    monkeypatch.setattr(_files, "_SETTLED_SECONDS", -1.0)
    reads: list[Path] = []
    monkeypatch.setattr(_files, "file_digest", lambda path: reads.append(path) or file_digest(path))
    for _ in range(3):
        assert Store(cache).file_digest(clip) == hashlib.sha256(b"first").hexdigest()
    assert len(reads) == 1
    old = clip.stat()
    clip.write_bytes(b"other")
    os.utime(clip, ns=(old.st_atime_ns, old.st_mtime_ns))
    assert Store(cache).file_digest(clip) == hashlib.sha256(b"other").hexdigest(), "same name, size and date"
    with (cache / "files.jsonl").open("a") as file:
        file.write('torn [1, 2\n["a"]\n')
    assert Store(cache).file_digest(clip) == hashlib.sha256(b"other").hexdigest()
    assert len(reads) == 2


def test_a_folder_that_another_process_sweeps_away_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, swept = Store(tmp_path / "cache"), []
    acquire = FileLock.acquire

    def late(lock: FileLock, *args: object, **more: object) -> object:
        if not swept and lock.lock_file.endswith("alive.lock"):
            swept.append(lock.lock_file)
            shutil.rmtree(Path(lock.lock_file).parent)
            raise FileNotFoundError(2, "No such file or directory")
        return acquire(lock, *args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(FileLock, "acquire", late)
    store.put("failures", KEY, Failure("oh"), {})
    store.close()
    assert swept
    assert store.has("failures", KEY)


@pytest.mark.parametrize("seed", range(20))
def test_an_entry_is_what_safetensors_writes(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    made = np.random.default_rng(seed)
    shapes = [tuple(made.integers(0, 4, made.integers(0, 3))) for _ in _DTYPES]
    arrays = {
        f'{made.integers(1000)}é"\\': np.asarray(9 * made.random(shape)).astype(dtype)
        for dtype, shape in zip(_DTYPES, shapes, strict=True)
    }
    monkeypatch.setattr("msapipe.cache.store.encode", lambda value: ("T", arrays, {"x": 'é"\\\n'}))
    found = entry_bytes(None, {"a": "ü"}, ("a note\u2028",))
    head = json.loads(found[8 : 8 + int.from_bytes(found[:8], "little")])
    assert save({name: np.ascontiguousarray(item) for name, item in arrays.items()}, head["__metadata__"]) == found


def test_long_features_are_not_copied_to_be_written() -> None:
    values = np.ones((1000, 8), np.float32)
    part = FeatureSequence(values, np.stack([np.arange(1000.0), np.arange(1000.0) + 1], axis=1), np.ones(1000, bool))
    pieces = entry_pieces(part, {}, ())
    assert any(np.shares_memory(np.frombuffer(piece, np.uint8), values) for piece in pieces)
