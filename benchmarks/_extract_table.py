"""What the parts of extract.py share: a row of the table, processor time, clips cut to size."""

from __future__ import annotations

import os
import resource
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import imageio_ffmpeg

SAMPLES = Path(__file__).resolve().parents[1] / "sample_media"
SHARED = Path(__file__).resolve().parents[2] / "shared" / "media"
HEAD = ("part", "ours", "theirs", "ratio", "agreement", "reach", "limit")
TICKS = os.sysconf("SC_CLK_TCK")


class Row(NamedTuple):
    """A line of the table.

    ours, theirs: seconds of processor time, or None.   unit: what they are printed in, "ms" or "s".
    reach: the figure aimed at, as text.   agreement: how equal the two are.   limit: what bounds ours.
    """

    part: str
    ours: float | None
    theirs: float | None
    unit: str = "s"
    agreement: str = ""
    reach: str = ""
    limit: str = ""

    def cells(self) -> tuple[str, ...]:
        """The row as text."""
        both = self.ours is not None and self.theirs is not None
        ratio = f"{self.theirs / self.ours:.1f}" if both and self.ours else ""
        times = (_time(value, self.unit) for value in (self.ours, self.theirs))
        return (self.part, *times, ratio, self.agreement, self.reach, self.limit)


def _time(seconds: float | None, unit: str) -> str:
    if seconds is None:
        return "-"
    return f"{seconds * 1e3:.1f} ms" if unit == "ms" else f"{seconds:.2f} s"


def markdown(rows: Iterable[Row]) -> str:
    """The rows as a table in Markdown."""
    lines = [HEAD, ("---",) * len(HEAD), *(row.cells() for row in rows)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def spent() -> float:
    """Seconds of processor time of this process, its running children (decoders) and those that have ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime + _children(os.getpid())


def _children(parent: int) -> float:
    """Of running ones, and theirs; in steps of 10 ms."""
    total = 0.0
    for tasks in Path(f"/proc/{parent}/task").glob("*/children"):
        for child in tasks.read_text().split():
            fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
            # utime, stime, and those of its own children that have ended
            total += sum(map(int, fields[11:15])) / TICKS + _children(int(child))
    return total


def timed(run: Callable[[], object]) -> float:
    """Seconds of processor time that a call takes."""
    begun = spent()
    run()
    return spent() - begun


def in_turns(ours: Callable[[], object], theirs: Callable[[], object], times: int = 3) -> tuple[float, float]:
    """The fastest of some calls of each, one after the other, so that what else the machine does hits both."""
    every = [(timed(ours), timed(theirs)) for _ in range(times)]
    return min(a for a, _ in every), min(b for _, b in every)


def ffmpeg(*arguments: str) -> None:
    """Run the ffmpeg of imageio-ffmpeg."""
    program = imageio_ffmpeg.get_ffmpeg_exe()
    subprocess.run([program, "-v", "error", "-nostdin", "-y", *arguments], check=True)


# The picture at full height in the middle, a blurred copy behind it, as players and broadcasters fill a wide screen.
WIDE = (
    "split[a][b];[a]scale=-2:{h}:flags=bicubic[front];[b]scale={w}:{h}:force_original_aspect_ratio=increase,"
    "crop={w}:{h},boxblur=20[back];[back][front]overlay=(W-w)/2:0,setsar=1"
)


def wide(source: Path, target: Path, width: int = 1280, height: int = 720, seconds: float = 5.0) -> Path:
    """The first seconds of a talking head, scaled to a wide picture by ffmpeg; made once."""
    if not target.is_file():
        picture = WIDE.format(w=width, h=height)
        coding = ("-c:v", "libx264", "-preset", "veryfast", "-crf", "20", "-pix_fmt", "yuv420p", "-c:a", "aac")
        ffmpeg("-i", str(source), "-t", str(seconds), "-vf", picture, *coding, str(target))
    return target
