"""A scorer that says what a test wants, when the test wants it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from msapipe.serve.scorer import Request, ScorerDied

RESULT: dict[str, Any] = {
    "clip_id": "a.mp4",
    "file": "a.mp4",
    "status": "ok",
    "score": 1.5,
    "scale": [-3.0, 3.0],
    "interval": [0.5, 2.5],
    "polarity": 0.5,
    "label": "positive",
    "model": "fake",
    "modalities": {"text": {"coverage": 1.0, "missing": False, "score": 1.0, "score_without": None}},
    "missing": [],
    "transcript": {"text": "hello", "source": "whisper", "language": "en"},
    "timeline": [],
    "notes": [],
    "seconds": 0.5,
    "timings": {"fusion": 0.1},
}


@dataclass
class FakeScorer:
    """Scores only while ``gate`` is open.

    seen: every request, and whether its file was there.   fails: a failure's kind and text instead of a result.
    """

    gate: threading.Event = field(default_factory=threading.Event)
    seen: list[tuple[Request, bytes]] = field(default_factory=list)
    fails: tuple[str, str] | None = None
    dies: bool = False
    stopped: int = 0

    async def ready(self) -> None:
        return

    async def events(self, request: Request) -> AsyncGenerator[dict[str, Any]]:
        self.seen.append((request, request.clip.read_bytes()))
        yield {"event": "progress", "step": "faces/mtcnn", "number": 3, "steps": 9, "reached": 1.0, "length": 4.0}
        while not self.gate.is_set():
            await asyncio.sleep(0.005)
        if self.dies:
            raise ScorerDied(f"{request.name}: the process died")
        if self.fails is not None:
            yield {"event": "failed", "kind": self.fails[0], "error": self.fails[1]}
            return
        if request.page is not None:
            request.page.write_text("<p>page</p>")
        yield {"event": "done", "result": {**RESULT, "file": request.name}}

    async def stop(self) -> None:
        self.stopped += 1


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
