"""Faults of files: broken and odd media, playlists, rows and links that lead out, hostile names, bombs, code."""

from __future__ import annotations

import csv
import json
import os
import pickle
import shutil
import socket
import subprocess
import sys
import threading
import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from faults import SAMPLES, SHARED, Found, Lab, Row

SHOWN = 3


def make_bad(lab: Lab, seed: int) -> Path | None:
    """The synthetic half of the odd files, made anew; None where that cannot be done here."""
    tool = SHARED / "badmedia" / "tools" / "make_bad.py"
    if not tool.is_file():
        return None
    import imageio_ffmpeg

    programs, out = lab.place("bin"), lab.place(f"bad-{seed}")
    programs.mkdir()
    (programs / "ffmpeg").symlink_to(imageio_ffmpeg.get_ffmpeg_exe())
    path = f"{programs}{os.pathsep}{os.environ.get('PATH', '')}"
    made = subprocess.run(
        [sys.executable, str(tool), str(out), "--seed", str(seed)],
        env={**os.environ, "PATH": path},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return out if made.returncode == 0 and (out / "synthetic_rows.json").is_file() else None


def wanted_rows(lab: Lab) -> list[tuple[Path, str]]:
    """Odd files and what is expected of them."""
    rows = []
    manifest = SHARED / "badmedia" / "MANIFEST.csv"
    if manifest.is_file():
        with manifest.open(newline="", encoding="utf-8") as file:
            rows = [(manifest.parent / row["file"], row["expect"]) for row in csv.DictReader(file)]
    if not lab.full:
        rows = [row for row in rows if row[0].is_file() and row[0].stat().st_size < 200_000][::6]
    for seed in range(1, 21) if lab.full else ():
        if (made := make_bad(lab, seed)) is not None:
            found = json.loads((made / "synthetic_rows.json").read_text())["rows"]
            rows += [(made / row["file"], row["expect"]) for row in found]
    return [(path, expect) for path, expect in rows if path.is_file()]


def as_expected(line: dict[str, object], expect: str) -> bool:
    """Whether a report line is one that the manifest's words leave open."""
    failed = line["status"] == "error"
    if expect.startswith("clear error") and " or " not in expect:
        return failed
    if failed:
        return "clear error" in expect or "refused" in expect
    missing = line.get("missing") or ()
    return not ("no audio -> audio" in expect and "audio" not in missing)


def odd_files(lab: Lab) -> Found:
    """Rows 1 and 2."""
    fault = "odd and broken files, all in one run"
    promised = "a line each with file and cause, <= 60 s each; 100 % of clear errors, >= 95 % of the rest"
    rows = wanted_rows(lab)
    if not rows:
        return Found(1, fault, promised, "needs ../shared/badmedia", None)
    run = lab.extract(*(path for path, _ in rows), cache=lab.place("cache"), more=("--jobs", "2"))
    lines = {line["file"]: line for line in run.lines}
    silent = [path.name for path, _ in rows if str(path) not in lines]
    bare = [
        line["file"]
        for line in run.lines
        if line["status"] == "error" and Path(line["file"]).name not in (line["error"] or "")
    ]
    slow = max((line["seconds"] for line in run.lines), default=0.0)
    right: dict[bool, list[bool]] = {True: [], False: []}
    wrong = []
    for path, expect in rows:
        if str(path) in lines:
            met = as_expected(lines[str(path)], expect)
            right[expect.startswith("clear error") and " or " not in expect].append(met)
            wrong += [] if met else [path.name]
    share = {kind: sum(found) / max(1, len(found)) for kind, found in right.items()}
    figure = (
        f"{len(rows)} files, exit {run.code}, {len(silent)} dropped, {len(bare)} errors without a name, slowest "
        f"{slow:.0f} s; clear errors {sum(right[True])} of {len(right[True])}, others {sum(right[False])} of "
        f"{len(right[False])} {' '.join(wrong[:SHOWN])}"
    )
    met = not (silent or bare) and run.code in (0, 1, 3) and slow <= 60 and share[True] == 1 and share[False] >= 0.95
    return Found(1, fault, promised, figure, met)


def playlists(lab: Lab) -> Found:
    """Row 8: a listener counts who connects, and the sound of the file that is named must not be heard."""
    folder = lab.place("lists")
    folder.mkdir()
    victim = folder / "victim.bin"
    shutil.copy(SAMPLES / "negative.mp4", victim)
    came: list[object] = []
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(0.2)
        over = threading.Event()

        def listen() -> None:
            while not over.is_set():
                try:
                    came.append(listener.accept())
                except TimeoutError:
                    continue

        thread = threading.Thread(target=listen)
        thread.start()
        web = f"http://127.0.0.1:{listener.getsockname()[1]}/x.mp4"
        texts = {
            "concat": f"ffconcat version 1.0\nfile '{victim}'\n",
            "hls": f"#EXTM3U\n#EXTINF:1,\n{web}\n#EXT-X-ENDLIST\n",
            "hls_file": f"#EXTM3U\n#EXTINF:1,\nfile://{victim}\n#EXT-X-ENDLIST\n",
            "pls": f"[playlist]\nFile1={web}\n",
            "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
            "mpd": f'<?xml version="1.0"?><MPD><Period><BaseURL>{web}</BaseURL></Period></MPD>',
            "smil": f'<smil><body><video src="{web}"/></body></smil>',
            "late": f"\n\n  \nffconcat version 1.0\nfile '{web}'\n",
            "bom": f"\ufeff#EXTM3U\n{web}\n",
        }
        for name, text in texts.items():
            (folder / f"{name}.mp4").write_text(text, encoding="utf-8")
        run = lab.extract(*(folder / f"{name}.mp4" for name in texts), cache=lab.place("cache"))
        over.set()
        thread.join()
    refused = sum(line["status"] == "error" for line in run.lines)
    figure = f"{refused} of {len(texts)} refused, {len(came)} connections"
    return Found(8, "playlists named .mp4", "refused, 0 sockets", figure, refused == len(texts) and not came)


def leading_out(lab: Lab) -> Found:
    """Row 9: rows, links to media, words and labels that lead out of the root."""
    root, outside = lab.place("root"), lab.place("outside")
    for folder in (root / "Raw" / "v", outside):
        folder.mkdir(parents=True)
    secret = "secretsecret"
    shutil.copy(SAMPLES / "negative.mp4", root / "Raw" / "v" / "1.mp4")
    shutil.copy(SAMPLES / "positive.mp4", outside / "2.mp4")
    (outside / "words.txt").write_text(f"{secret} words of gold\n")
    (root / "Raw" / "v" / "1.txt").symlink_to(outside / "words.txt")
    (root / "Raw" / "v" / "1.en.srt").symlink_to(outside / "words.txt")
    (root / "Raw" / "v" / "2.mp4").symlink_to(outside / "2.mp4")
    (root / "Raw" / "w").symlink_to(outside)
    rows = ["v,1", "v,2", "w,2", f"..,{outside.name}/2", f"x,{outside}/2", "v,../../../../etc/hostname"]
    (root / "label.csv").write_text("video_id,clip_id,label\n" + "".join(f"{row},0.5\n" for row in rows))
    run = lab.extract(root, cache=lab.place("cache"), more=("-o", lab.place("out.safetensors")))
    good = [line["file"] for line in run.lines if line["status"] != "error"]
    leaked = [
        path for path in lab.folder.rglob("*") if path.is_file() and not path.is_symlink() and path.parent != outside
    ]
    leaked = [path for path in leaked if secret.encode() in path.read_bytes()]
    other = lab.place("linked")
    other.mkdir()
    (other / "label.csv").symlink_to(root / "label.csv")
    labels = lab.extract(other, cache=lab.place("cache"))
    figure = f"{len(run.lines) - len(good)} of {len(rows) - 1} refused, {len(leaked)} files with outside words"
    met = len(good) == 1 and len(run.lines) == len(rows) and not leaked and labels.code != 0
    return Found(9, "rows and links that lead out of the root", "refused, nothing read", figure, met)


def hostile_names(lab: Lab) -> Found:
    """Row 10."""
    folder, cache = lab.place("names"), lab.place("cache")
    folder.mkdir()
    names = [
        "a b.mp4",
        "-i.mp4",
        "<img src=x>.mp4",
        "q'\";$(x).mp4",
        "é日\U0001f600.mp4",
        "\x1b[31m\x07.mp4",
        "%s%n.mp4",
    ]
    data = (SAMPLES / "silent_face.mp4").read_bytes()
    for number, name in enumerate(names):
        (folder / name).write_bytes(data + (12).to_bytes(4, "big") + b"free" + number.to_bytes(4, "big"))
    broken = os.fsencode(folder) + b"/\xff\xfe.mp4"
    Path(os.fsdecode(broken)).write_bytes(data)
    os.mkfifo(folder / "pipe.mp4")
    (folder / "dir.mp4").mkdir()
    run = lab.extract(folder, cache=cache, more=("--jobs", "2"))
    by_name = run.by_name()
    kept = sum(by_name.get(name, {}).get("status") in ("ok", "partial") for name in names)
    escape = "\x1b" in run.said
    pipe = by_name.get("pipe.mp4", {})
    entries = len(list((cache / "faces").rglob("*.safetensors")))
    figure = (
        f"{kept} of {len(names)} names kept, {entries} results of {len(names) + 1} clips, FIFO {pipe.get('status')} "
    )
    figure += f"in {pipe.get('seconds', 99):.1f} s, escapes printed: {escape}"
    met = kept == len(names) and entries == len(names) + 1 and pipe.get("status") == "error" and not escape
    return Found(10, "hostile names, a FIFO", "kept exactly; refused <= 2 s", figure, met and pipe["seconds"] <= 2)


def length(lab: Lab) -> Found:
    """Row 14; hours only at full strength, and of people who speak where ../shared is there."""
    from length import make, make_speech, measure, speech_here

    seconds, speech = (3 * 3600, speech_here()) if lab.full else (1200, False)
    most = []
    for count in (4, seconds):
        clip = lab.place(f"{count}.mkv")
        (make_speech if speech else make)(clip, count)
        most.append(max(measure(clip, lab.pipeline, lab.place("cache"))[1].values()))
        clip.unlink()
    figure = f"{seconds} s of {'speech' if speech else 'a tone'}: {most[1] - most[0]:+} MB ({most[1]} MB)"
    return Found(14, "a video of hours, with sound", "4 s + 300 MB at most", figure, most[1] - most[0] <= 300)


def bombs(lab: Lab) -> Found:
    """Row 15: more pixels than the limit; a small file of very many pictures."""
    large, many = lab.place("large.avi"), lab.place("many.mkv")
    for path, size, count in ((large, 9000, 1), (many, 640, 3000 if lab.full else 300)):
        with av.open(str(path), "w") as out:
            video = out.add_stream("mjpeg" if path is large else "mpeg4", rate=25)
            video.width = video.height = size
            video.pix_fmt = "yuvj420p" if path is large else "yuv420p"
            picture = av.VideoFrame.from_ndarray(np.zeros((size, size, 3), np.uint8), format="rgb24")
            for number in range(count):
                picture.pts = number
                out.mux(video.encode(picture))
            out.mux(video.encode(None))
    run = lab.extract(large, many, cache=lab.place("cache"), more=("--jobs", "1"))
    lines = run.by_name()
    refused = lines[large.name]["status"] == "error"
    figure = f"81 million pixels {'refused' if refused else 'READ'} in {lines[large.name]['seconds']:.1f} s; "
    figure += f"pictures in {many.stat().st_size // 1000} kB: {lines[many.name]['status']}, {run.megabytes} MB"
    met = refused and lines[large.name]["seconds"] <= 2 and run.megabytes <= 2048
    return Found(15, "pixel and packet bombs", "<= 2 s to refuse, <= 2 GB", figure, met)


def sounds(lab: Lab) -> Found:
    """Row 16."""
    from safetensors.numpy import load_file

    folder, rate = lab.place("sounds"), 16000
    folder.mkdir()
    at = np.arange(5 * rate)
    square = np.where(np.sin(at * 2 * np.pi * 200 / rate) > 0, 32767, -32768)
    made = {"silent": 0 * at, "dc": 0 * at + 20000, "square": square, "click": np.where(at == 9, 32767, 0)}
    for name, samples in made.items():
        with wave.open(str(folder / f"{name}.wav"), "wb") as out:
            out.setparams((1, 2, rate, len(at), "NONE", ""))
            out.writeframes(samples.astype("<i2").tobytes())
    odd = np.where(at % 7 == 0, np.nan, np.where(at % 11 == 0, np.inf, 0.1 * np.sin(at / 9))).astype("<f4").tobytes()
    head = b"WAVEfmt " + (16).to_bytes(4, "little") + b"\3\0\1\0" + rate.to_bytes(4, "little")
    head += (4 * rate).to_bytes(4, "little") + b"\4\0\x20\0data" + len(odd).to_bytes(4, "little")
    (folder / "nan.wav").write_bytes(b"RIFF" + (len(head) + len(odd)).to_bytes(4, "little") + head + odd)
    cache = lab.place("cache")
    run = lab.extract(folder, cache=cache)
    bad = sum(
        not np.isfinite(values).all()
        for path in cache.rglob("*.safetensors")
        for values in load_file(path).values()
        if values.dtype.kind == "f"
    )
    lines = run.by_name()
    lies = [name for name in ("dc.wav", "square.wav") if any("is silent" in note for note in lines[name]["notes"])]
    words = sum("text" not in line["missing"] for line in run.lines)
    figure = (
        f"{bad} arrays with NaN, words invented in {words} of {len(run.lines)}, called silent and is not: {len(lies)}"
    )
    met = not (bad or words or lies) and all(line["status"] == "partial" for line in run.lines)
    return Found(16, "silent, constant, clipped, NaN sound", "0 NaN, 0 words, 0 wrong reasons", figure, met)


def times(lab: Lab) -> Found:
    """Row 17: pictures at odd times keep them."""
    from msapipe.media import Decoder, MediaOptions
    from msapipe.types import Clip

    stamps = [0, 40, 80, 500, 520, 1500, 1900, 1940, 2000]
    path = lab.place("vfr.mkv")
    with av.open(str(path), "w") as out:
        video = out.add_stream("ffv1", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        video.codec_context.time_base = video.time_base = Fraction(1, 1000)
        for stamp in stamps:
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), stamp // 10, np.uint8), format="rgb24")
            frame.pts, frame.time_base = stamp, video.codec_context.time_base
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
    with Decoder() as decoder:
        batches = list(decoder.frames(Clip("c", path), MediaOptions(fps=1000)).batches(8))
    found = np.concatenate([batch.times[:, 0] for batch in batches])
    off = float(np.abs(found - np.array(stamps) / 1000).max()) if len(found) == len(stamps) else 99.0
    return Found(
        17, "variable frame rate", "from time stamps, <= 1 frame", f"{1000 * off:.1f} ms off at most", off <= 0.04
    )


class _Code:
    def __init__(self, mark: Path) -> None:
        self.mark = str(mark)

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.mark}",)


def code(lab: Lab) -> Found:
    """Row 18."""
    mark = lab.place("executed")
    data = pickle.dumps({"train": _Code(mark)})
    np.savez(lab.folder / "x.npz", a=np.array([_Code(mark)], object), allow_pickle=True)
    sources = {"f.pkl": data, "f.csd": data, "f.safetensors": data, "f.parquet": data}
    advice = refused = 0
    for name, content in sources.items():
        path = lab.place(name)
        path.write_bytes(content)
        process = lab.start("convert", path, lab.place("out.safetensors"))
        said = process.communicate()[1].decode()
        refused += process.returncode != 0
        advice += "weights_only" in said or "allow_pickle" in said
    spec = lab.place("r.yaml")
    checkpoint = lab.place("w.pt")
    checkpoint.write_bytes(data)
    spec.write_text(
        "schema: 1\nstages:\n  faces: mtcnn\n  speaker: largest\n"
        f"  vision: {{use: resnet18, checkpoint: {checkpoint}}}\nmedia: {{}}\n"
    )
    lab.pipeline = str(spec)
    run = lab.extract(SAMPLES / "negative.mp4", cache=lab.place("cache"))
    told = json.dumps(run.lines) + run.said
    advice += "weights_only" in told
    refused += run.code != 0 or "vision" in run.lines[0]["missing"]
    figure = f"{refused} of {len(sources) + 1} refused, {int(mark.exists())} executions, {advice} advise to allow it"
    return Found(
        18, "files that run code", "refused, 0 executions", figure, refused == 5 and not mark.exists() and not advice
    )


def server(_lab: Lab) -> Found:
    """Row 20."""
    return Found(20, "a server under load", "-", "is tried by its own tests", None)


FILE_ROWS: dict[int, Row] = {
    1: odd_files, 8: playlists, 9: leading_out, 10: hostile_names, 14: length, 15: bombs, 16: sounds, 17: times,
    18: code, 20: server,
}  # fmt: skip
