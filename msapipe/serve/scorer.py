"""The server's side of a scoring process: started when needed, killed and replaced when it hangs or dies."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from msapipe.errors import MsapipeError

# Bytes of one line: enough for the result of an hours-long clip, with every window and word.
_LONGEST_LINE = 1 << 26
_SECONDS_TO_STOP = 1.0


@dataclass(frozen=True)
class Start:
    """The first message to a scoring process.

    cache: a folder or an address.   device: as torch names it.   offline: nothing is downloaded.
    pipeline, model: names or paths to load at once; None as in ``msapipe.load``.
    """

    cache: str
    device: str = "cpu"
    offline: bool = False
    pipeline: str | None = None
    model: str | None = None


@dataclass(frozen=True)
class Request:
    """One clip to be scored.

    clip: its file.   name: its name in all answers.   page: path of its report, None for none.
    pipeline, model: None for those that the process was started with.
    """

    clip: Path
    name: str
    page: Path | None = None
    pipeline: str | None = None
    model: str | None = None


class ScorerDied(MsapipeError):
    """The process ended while scoring a clip."""


class Unavailable(MsapipeError):
    """No clip can be scored now: weights are missing, or the cache cannot be reached."""


class Scorer:
    """One process, one clip at a time."""

    def __init__(self, start: Start) -> None:
        self._start = start
        self._process: Process | None = None

    async def ready(self) -> None:
        """Start the process and wait until everything is loaded. Raises Unavailable when this fails."""
        if self._process is not None and self._process.returncode is None:
            return
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "msapipe.serve._scoring"), stdin=PIPE, stdout=PIPE, limit=_LONGEST_LINE
        )
        await self._say({**asdict(self._start), "parent": os.getpid()})
        told = await self._heard()
        if told is None or told["event"] != "ready":
            await self.stop()
            raise Unavailable(told["error"] if told else "the scoring process ended while it was starting")

    async def events(self, request: Request) -> AsyncGenerator[dict[str, Any]]:
        """The events of a clip, the last one "done" or "failed".

        Raises ScorerDied when the process ends first, Unavailable when it cannot start. A caller that stops iterating
        before the last event must call ``stop``.
        """
        await self.ready()
        await self._say(
            {
                "clip": str(request.clip),
                "name": request.name,
                "page": str(request.page or ""),
                "pipeline": request.pipeline or self._start.pipeline,
                "model": request.model or self._start.model,
            }
        )
        while True:
            told = await self._heard()
            if told is None:
                await self.stop()
                raise ScorerDied(f"{request.name}: the process that scored it died; is there enough memory?")
            yield told
            if told["event"] != "progress":
                return

    async def stop(self) -> None:
        """End the process, with a moment to clean up."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), _SECONDS_TO_STOP)
        except TimeoutError:  # inside a library that ignores signals
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), _SECONDS_TO_STOP)

    async def _say(self, message: dict[str, Any]) -> None:
        if self._process is not None and self._process.stdin is not None:
            # The process has died; the missing answer will show it.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self._process.stdin.write(json.dumps(message).encode("ascii") + b"\n")
                await self._process.stdin.drain()

    async def _heard(self) -> dict[str, Any] | None:
        if self._process is None or self._process.stdout is None:
            return None
        try:
            line = await self._process.stdout.readline()
        except ValueError:  # longer than any valid answer
            return None
        told: dict[str, Any] | None = json.loads(line) if line.endswith(b"\n") else None
        return told
