"""Faults of a run: kills, several runs at once, a full disk, damaged entries, signals, broken decoders, keys."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

from faults import REPOSITORY, Found, Lab, Row, different, end_group, group_lives, lines_of, tree

from msapipe.testing.damage import damage as damaged

BREAK = """
import os
kind, _, name = os.environ.get("FAULT", "").partition(":")
if name:
    import av
    open_ = av.open
    def broken(file, *rest, **more):
        if isinstance(file, (str, bytes, os.PathLike)) and os.path.basename(os.fsdecode(file)) == name:
            if kind == "abort": os.abort()
            if kind == "segv":
                import ctypes
                ctypes.string_at(0)
            if kind == "exit": os._exit(0)
            if kind == "hang":
                import time
                while True: time.sleep(3600)
            if kind == "oom":
                hoard = []
                while True: hoard.append(bytearray(64 << 20))
        return open_(file, *rest, **more)
    av.open = broken
"""


def kills(lab: Lab) -> Found:
    """Row 3."""
    clips, count, rng = lab.clips(4), 50 if lab.full else 10, random.Random(3)
    bad = again = 0
    with lab.reference(clips) as wanted:
        begun = time.monotonic()
        lab.extract(clips, cache=lab.place("timed"), more=("--jobs", "2"))
        whole = time.monotonic() - begun
        for _ in range(count):
            cache, report = lab.place("cache"), lab.place("killed.jsonl")
            process = lab.start(
                "extract", clips, "--cache", cache, "--report", report, "-p", lab.pipeline, "--jobs", "2"
            )
            time.sleep(rng.uniform(0, whole))  # a random point, no limit
            end_group(process)
            done = {line["file"] for line in lines_of(report) if line["status"] in ("ok", "partial")}
            rerun = lab.extract(clips, cache=cache, more=("--jobs", "2"))
            again += sum(line["computed"] for line in rerun.lines if line["file"] in done)
            bad += bool(rerun.code or different(tree(cache), wanted))
            shutil.rmtree(cache)
    figure = f"{count - bad} of {count} caches identical, {again} finished clips computed again"
    return Found(
        3, f"kill -9 at {count} random points, then a rerun", "all identical, 0 again", figure, not bad + again
    )


def pairs(lab: Lab) -> Found:
    """Row 4."""
    clips, worst, bad = lab.clips(4), 0.0, 0
    with lab.reference(clips) as wanted:
        for count in (2, 4):
            cache = lab.place("cache")
            reports = [lab.place("r.jsonl") for _ in range(count)]
            runs = [
                lab.start("extract", clips, "--cache", cache, "--report", report, "-p", lab.pipeline, "--jobs", "1")
                for report in reports
            ]
            codes = [run.communicate()[1] is None or run.returncode for run in runs]
            computed = sum(line["computed"] for report in reports for line in lines_of(report))
            worst = max(worst, computed / 4)
            bad += different(tree(cache), wanted) + sum(map(bool, codes))
    figure = f"{bad} differing files or exit codes; computed {worst:.2f} x the clips at most"
    return Found(4, "2, then 4 runs at once on one cache", "0; at most 1.1 x", figure, bad == 0 and worst <= 1.1)


def full_disk(lab: Lab) -> Found:
    """Row 5."""
    fault, promised = "disk full (4 MB)", "one clear error, exit code 1, 0 torn entries, rerun identical"
    small, clips = lab.place("small"), lab.clips(4)
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(small)], stderr=subprocess.DEVNULL)
    if mounted.returncode:
        return Found(5, fault, promised, "needs root to mount a small disk", None)
    try:
        with lab.reference(clips) as wanted:
            # Sounds and small pictures fit; what fills the disk is put there.
            (small / "ballast").write_bytes(bytes(3_900_000))
            run = lab.extract(clips, cache=small / "cache", more=("--jobs", "2"))
            kept = tree(small / "cache") if (small / "cache").is_dir() else {}
            torn = sum(wanted.get(name) != found for name, found in kept.items())
            (small / "ballast").unlink()
            cache = lab.place("moved")
            shutil.copytree(small / "cache", cache) if (small / "cache").is_dir() else None
            rerun = lab.extract(clips, cache=cache, more=("--jobs", "2"))
            same = different(tree(cache), wanted) == 0
    finally:
        subprocess.run(["umount", str(small)])
    clear = run.said.count("cannot be written") == 1 and "Traceback" not in run.said
    told = len(run.lines) == 4
    figure = f"exit {run.code}, {'one' if clear else 'NO'} clear error, {len(run.lines)} of 4 clips told, {torn} torn, "
    figure += f"rerun {'identical' if same else 'DIFFERENT'} (exit {rerun.code})"
    return Found(5, fault, promised, figure, run.code == 1 and clear and told and torn == 0 and same)


def read_only(lab: Lab) -> Found:
    """Row 6."""
    fault, promised = "read-only cache", "hits served, a miss says so, every clip a line"
    clips, cache, view = lab.clips(3), lab.place("cache"), lab.place("view")
    lab.extract(clips / "00.mp4", clips / "02.mp4", cache=cache)
    view.mkdir()
    if subprocess.run(["mount", "--bind", str(cache), str(view)], stderr=subprocess.DEVNULL).returncode:
        return Found(6, fault, promised, "needs root to mount", None)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(view)], check=True)
        run = lab.extract(clips, cache=view, more=("--jobs", "1"))
    finally:
        subprocess.run(["umount", str(view)])
    status = {name: line["status"] for name, line in run.by_name().items()}
    served = sum(status.get(name) in ("ok", "partial") for name in ("00.mp4", "02.mp4"))
    said = "cannot be written" in (run.by_name().get("01.mp4", {}).get("error") or "")
    figure = f"{served} of 2 hits served, the miss {'says so' if said else 'SAYS NOTHING'}, {len(run.lines)} of 3 lines"
    return Found(6, fault, promised, figure, served == 2 and said and "Traceback" not in run.said)


def damage(lab: Lab) -> Found:
    """Row 7: found, that is computed again to the same bytes, by a plain rerun."""
    clips, cache, rng = lab.clips(12), lab.place("cache"), random.Random(7)
    lab.extract(clips, cache=cache, more=("--jobs", "2"))
    before, missed, count = tree(cache), 0, 20
    for path in rng.sample(sorted(cache.rglob("*.safetensors")), count):
        damaged(path, rng)
    run = lab.extract(clips, cache=cache)
    missed = different(tree(cache), before)
    figure = f"{count - missed} of {count} found and computed again, exit {run.code}"
    return Found(
        7, "20 entries flipped or cut, times of change kept", "20 of 20", figure, missed == 0 and run.code == 0
    )


def deaths(lab: Lab) -> Found:
    """Row 11."""
    count = 40 if lab.full else 6
    shim = lab.place("shim")
    shim.mkdir()
    (shim / "sitecustomize.py").write_text(BREAK)
    bad = []
    for kind in ("abort", "segv", "exit"):
        clips, cache = lab.clips(count), lab.place("cache")
        (clips / "01.mp4").rename(clips / "poison.mp4")
        env = {"PYTHONPATH": str(shim), "FAULT": f"{kind}:poison.mp4"}
        first = lab.extract(clips, cache=cache, more=("--jobs", "2"), env=env)
        status = {name: line["status"] for name, line in first.by_name().items()}
        others = sum(found != "error" for name, found in status.items() if name != "poison.mp4")
        again = lab.extract(clips, cache=cache, env=env).by_name()["poison.mp4"]
        asked = lab.extract(clips, cache=cache, more=("--retry",)).by_name()["poison.mp4"]
        if others != count - 1 or status["poison.mp4"] != "error" or first.code != 3:
            bad.append(f"{kind}: {others} others")
        if "not tried again" not in (again["error"] or "") or asked["status"] == "error":
            bad.append(f"{kind}: quarantine")
    figure = "; ".join(bad) or f"{count - 1} of {count - 1} others finish, quarantined, tried again when asked"
    return Found(
        11, "the decoder aborts, crashes, exits on one clip", "the others finish; quarantined", figure, not bad
    )


def limits(lab: Lab) -> Found:
    """Row 12."""
    shim, clips = lab.place("shim"), lab.clips(2)
    shim.mkdir()
    (shim / "sitecustomize.py").write_text(BREAK)
    (clips / "01.mp4").rename(clips / "poison.mp4")
    limit, worst, bad = 10.0, 0.0, 0
    for kind in ("hang", "oom"):
        env = {"PYTHONPATH": str(shim), "FAULT": f"{kind}:poison.mp4", "MSAPIPE_DECODE_SECONDS": str(limit)}
        run = lab.extract(clips, cache=lab.place("cache"), more=("--jobs", "1"), env=env)
        line = run.by_name()["poison.mp4"]
        bad += line["status"] != "error" or run.code != 3
        worst = max(worst, line["seconds"])
    figure = f"{bad} not as promised; the clip took {worst:.1f} s of a limit of {limit:g}"
    return Found(
        12, "the decoder hangs, or eats memory", "ends at its limit + 10 s", figure, not bad and worst <= limit + 10
    )


def signals(lab: Lab) -> Found:
    """Row 13."""
    clips, count, rng = lab.clips(3), 40 if lab.full else 8, random.Random(13)
    slowest = orphans = codes = 0.0
    left: list[str] = []
    begun = time.monotonic()
    lab.extract(clips, cache=lab.place("timed"))
    whole = time.monotonic() - begun
    for number in range(count):
        cache, temporary = lab.place("cache"), lab.place("tmp")
        temporary.mkdir()
        jobs = ("--jobs", str(1 + number % 2))
        report, env = lab.place("report.jsonl"), {"TMPDIR": str(temporary)}
        process = lab.start("extract", clips, "--cache", cache, "--report", report, "-p", lab.pipeline, *jobs, env=env)
        while not report.exists() and process.poll() is None:  # before, it is Python that starts, not the program
            time.sleep(0.01)
        time.sleep(rng.uniform(0, whole))  # a random point, no limit
        process.send_signal((signal.SIGINT, signal.SIGTERM)[number // 2 % 2])
        begun = time.monotonic()
        process.communicate()
        slowest = max(slowest, time.monotonic() - begun)
        orphans += group_lives(process)
        codes += process.returncode not in (0, 130)
        left += [path.name for path in (*temporary.iterdir(), *(cache / "writing").glob("*"))]
        end_group(process)
    figure = (
        f"{count} times: slowest {slowest:.1f} s, {len(left)} files left{' ' if left else ''}{', '.join(left[:3])}, "
        f"{orphans:.0f} orphans, {codes:.0f} other codes"
    )
    return Found(
        13, "SIGINT, SIGTERM", "2 s, 0 files, 0 orphans", figure, not (left or orphans or codes) and slowest <= 2
    )


def keys(lab: Lab) -> Found:
    """Row 19: bytes of the same size and times are another clip, another name is the same one."""
    clips, cache = lab.clips(1), lab.place("cache")
    clip = clips / "00.mp4"
    lab.extract(clip, cache=cache)
    again = lab.extract(clip, cache=cache).lines[0]["computed"]
    moved = clip.rename(clips / "other name.mp4")
    renamed = lab.extract(moved, cache=cache).lines[0]["computed"]
    times, data = moved.stat(), bytearray(moved.read_bytes())
    data[-1] ^= 1
    moved.write_bytes(data)
    os.utime(moved, ns=(times.st_atime_ns, times.st_mtime_ns))
    changed = lab.extract(moved, cache=cache).lines[0]["computed"]
    spec = lab.place("changed.yaml")
    source = lab.pipeline if lab.pipeline.endswith(".yaml") else REPOSITORY / "pipelines" / f"{lab.pipeline}.yaml"
    text = Path(source).read_text(encoding="utf-8")
    spec.write_text(text.replace("rate: 16000", "rate: 8000"), encoding="utf-8")
    lab.pipeline, before = str(spec), lab.pipeline
    setting = lab.extract(moved, cache=cache).lines[0]["computed"]
    lab.pipeline = before
    met = (again, renamed, changed, setting) == (False, False, True, True)
    figure = f"again {again}, renamed {renamed}, other bytes {changed}, other setting {setting}"
    return Found(19, "one change at a time (computed?)", "again, renamed: no; bytes, setting: yes", figure, met)


RUN_ROWS: dict[int, Row] = {
    3: kills, 4: pairs, 5: full_disk, 6: read_only, 7: damage, 11: deaths, 12: limits, 13: signals, 19: keys,
}  # fmt: skip
