"""A plain mutation loop on our own parsers: good inputs, damaged at random, must be read or refused, never more.

A crash is any error but those that the parser promises; a hang is an input that takes longer than ``--limit`` seconds
of this process's time. An input that fails is written to the folder for temporary files. Prints a line a parser:
inputs, refused, the slowest, and how much the process grew.
"""

from __future__ import annotations

import argparse
import io
import json
import pickle
import random
import resource
import struct
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from msapipe.cache.store import entry_bytes, read_entry
from msapipe.datasets import reader_of
from msapipe.documents import read_json, read_yaml
from msapipe.errors import MsapipeError
from msapipe.formats._safe_pickle import read_plain
from msapipe.formats.csd import Csd
from msapipe.formats.safetensors import Safetensors
from msapipe.media._protocol import LENGTHS, lengths, parse, unpack_info
from msapipe.pipeline.spec import load_spec, parse_spec
from msapipe.sidecars import sidecars_of
from msapipe.stages.transcript._formats import read_file
from msapipe.types import FeatureSequence, Sample

SRT = "1\n00:00:01,000 --> 00:00:02,500\n<i>Good</i> morning, {\\an8}all.\n\n2\n00:00:03,000 --> 00:00:04,000\n- Yes?\n"
VTT = "WEBVTT\nLanguage: en\n\nNOTE x\n\n00:01.000 --> 00:02.000 line:0\n<v Anna>Good <00:01.500>day\n\n"
ASS = (
    "[Script Info]\nScriptType: v4.00+\n[Events]\nFormat: Layer, Start, End, Style, Text\n"
    "Dialogue: 0,0:00:01.00,0:00:02.00,Default,{\\pos(1,2)}Good\\Nday\n"
)
WORDS = json.dumps({"segments": [{"start": 0.0, "end": 1.0, "text": "a b", "words": [{"word": "a", "start": 0.1}]}]})
TTML = '<tt xmlns="http://www.w3.org/ns/ttml"><body><div><p begin="1s" end="2s">Good<br/>day</p></div></body></tt>'
SAMI = "<SAMI><BODY><SYNC Start=1000><P Class=ENCC>Good day<SYNC Start=2000><P>&nbsp;</BODY></SAMI>"
LRC, SUB, TSV = "[00:01.00]Good day\n[00:02.50]yes\n", "{25}{50}Good|day\n", "start\tend\ttext\n1000\t2000\tGood day\n"
CSV = 'video_id,clip_id,text,label,mode\nv,1,"a, b",0.5,train\nv,2,c,-1,test\n'
TRICKS = [b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"9" * 400, b"[" * 300, b"<" * 300, b"{" * 300, b"\r", b"-->", b"&#x0;"]
TRICKS += [b"&lol;" * 50, b"\x1b[2J", "\u202e".encode(), b"1e999", b"nan", b"-1", b"*a", b"&a", b"!!python", b'"', b"'"]


@dataclass
class Target:
    """A parser: its good inputs, what it does with one, and which errors it may raise."""

    seeds: list[bytes]
    read: Callable[[bytes], object]
    may: tuple[type[Exception], ...] = (MsapipeError,)


def mutated(data: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """The input with some bytes changed, taken out, put in, doubled, or of another input."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        at = rng.randrange(len(out) + 1)
        kind = rng.randrange(7)
        if kind == 0 and out:
            out[at - 1] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del out[at : at + rng.randrange(1, 30)]
        elif kind == 2:
            out[at:at] = rng.choice(TRICKS)
        elif kind == 3:
            out[at:at] = rng.randbytes(rng.randrange(1, 9))
        elif kind == 4:
            piece = out[at : at + rng.randrange(1, 60)]
            out[at:at] = piece * rng.choice((1, 2, 50))
        elif kind == 5:
            other = rng.choice(others)
            cut = rng.randrange(len(other) + 1)
            out[at:] = other[cut:]
        else:
            out[at : at + 8] = struct.pack("<q", rng.choice((0, 1, -1, 2**31, 2**62, len(out))))
    return bytes(out[:200_000])


def targets(folder: Path) -> dict[str, Target]:
    """Every parser of ours of files of others, and of what the decoding process says."""

    def file(name: str, read: Callable[[Path], object]) -> Callable[[bytes], object]:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)

        def through(data: bytes) -> object:
            path.write_bytes(data)
            return read(path)

        return through

    def words(suffix: str) -> Callable[[bytes], object]:
        return file(f"words{suffix}", lambda path: read_file(path, "en", 25.0))

    part = FeatureSequence(np.ones((3, 2), np.float32), np.arange(6.0).reshape(3, 2), np.ones(3, bool), ("a", "b"))
    samples = [Sample(f"v/{n}", {"text": part, "audio": part}, {"M": 0.5}, "train", "v", "words") for n in range(2)]
    Safetensors().write(folder / "seed.safetensors", samples)
    split = {"id": ["v$_$1"], "raw_text": ["a"], "text": np.ones((1, 2, 3), np.float32), "regression_labels": [0.5]}
    pickles = [pickle.dumps({"train": split}, protocol) for protocol in (2, 4)]
    specs = [load_spec(name).text.encode() for name in ("pocket", "plain", "boosting")]
    header = json.dumps({"kind": "info", "format": "mov", "video": "h264", "audio": None, "seconds": 1.0}).encode()
    message = LENGTHS.pack(len(header), 0) + header
    return {
        "srt": Target([SRT.encode(), SRT.encode("utf-16")], words(".srt")),
        "vtt": Target([VTT.encode()], words(".vtt")),
        "ass": Target([ASS.encode()], words(".ass")),
        "json": Target([WORDS.encode()], words(".json")),
        "ttml": Target([TTML.encode()], words(".ttml")),
        "sami": Target([SAMI.encode()], words(".smi")),
        "lines": Target([LRC.encode(), SUB.encode(), TSV.encode()], words(".sub")),
        "labels": Target(
            [CSV.encode(), CSV.replace(",", ";").encode("utf-16")],
            file("data/label.csv", lambda path: list(reader_of(path.parent, "table").read())),
        ),
        "names": Target(
            [b"clip.en.srt", b"clip.mp4.auto.vtt", "cli\u0301p.forced.ass".encode()],
            lambda data: [sidecars_of(folder / data.decode("latin1").replace("/", "").replace("\0", ""))],
        ),
        "pipeline": Target(specs, lambda data: parse_spec(data.decode("utf-8", "replace"), "r")),
        "yaml": Target(specs, lambda data: read_yaml(data.decode("utf-8", "replace")), (ValueError,)),
        "document": Target([WORDS.encode(), b'{"a": [1, {"b": null}]}'], read_json, (ValueError,)),
        "pickle": Target(pickles, file("f.pkl", read_plain)),
        "features": Target(
            [(folder / "seed.safetensors").read_bytes()],
            file("f.safetensors", lambda path: list(Safetensors().read(path))),
        ),
        "csd": Target(_csd_seeds(folder, samples), file("csd/text.csd", lambda path: list(Csd().read(path)))),
        "entry": Target([entry_bytes(part, {"a": 1}, ("note",))], file("e.safetensors", read_entry), (ValueError,)),
        "messages": Target([message], _message, (ValueError, TypeError, KeyError, OverflowError)),
    }


def _csd_seeds(folder: Path, samples: list[Sample]) -> list[bytes]:
    Csd().write(folder / "made.csd", samples)
    made = folder / "made.csd"
    return [path.read_bytes() for path in (sorted(made.glob("*.csd")) if made.is_dir() else [made])]


def _message(data: bytes) -> object:
    stream = io.BytesIO(data)
    header_size, _ = lengths(stream.read(LENGTHS.size))
    return unpack_info(parse(stream.read(header_size)))


def grown() -> int:
    """Megabytes of this process at its largest."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def fuzz(name: str, target: Target, seconds: float, limit: float, rng: random.Random) -> bool:
    """Whether all went well; prints the line of a parser."""
    count = refused = 0
    slowest, before = 0.0, 0
    failures: list[str] = []
    over = time.monotonic() + seconds
    while time.monotonic() < over:
        data = mutated(rng.choice(target.seeds), target.seeds, rng)
        begun = time.process_time()
        try:
            target.read(data)
        except target.may:
            refused += 1
        except Exception as error:  # noqa: BLE001  # what is looked for
            failures.append(f"{type(error).__name__}: {str(error)[:100]}")
            Path(tempfile.gettempdir(), f"fuzz-{name}-{len(failures)}").write_bytes(data)
        took = time.process_time() - begun
        slowest = max(slowest, took)
        if took > limit:
            failures.append(f"{took:.1f} s")
            Path(tempfile.gettempdir(), f"fuzz-{name}-{len(failures)}").write_bytes(data)
        count += 1
        before = before or (grown() if count == 500 else 0)
    more = f"+{grown() - before} MB" if before else "-"
    said = f"{len(failures)} FAILED: {', '.join(sorted(set(failures))[:3])}" if failures else "none failed"
    print(f"| {name} | {count} | {refused} | {slowest:.2f} s | {more} | {said} |", flush=True)
    return not failures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0, help="for each parser")
    parser.add_argument("--limit", type=float, default=5.0, help="seconds of one input")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="*")
    asked = parser.parse_args()
    print("| parser | inputs | refused | slowest | memory | |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        good = [
            fuzz(name, target, asked.seconds, asked.limit, random.Random(asked.seed))
            for name, target in targets(Path(folder)).items()
            if not asked.only or name in asked.only
        ]
    sys.exit(0 if all(good) else 1)


if __name__ == "__main__":
    main()
