"""Waiting, running and finished clips: a bounded queue, some scoring processes, results kept for a while."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import shutil
import tempfile
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from msapipe.errors import MsapipeError
from msapipe.serve.scorer import Request, Unavailable

Status = Literal["queued", "running", "done", "failed"]

# Seconds between two searches for expired results.
_SWEEP_EVERY = 10.0


@dataclass(frozen=True)
class Limits:
    """Limits of a server.

    megabytes: of an upload (10^6 bytes).   seconds: for scoring one clip.   at_once: clips scored in parallel.
    queue: clips that may wait.   keep: finished jobs that are kept, and keep_seconds for how long.
    """

    megabytes: float = 100.0
    seconds: float = 300.0
    at_once: int = 1
    queue: int = 64
    keep: int = 1000
    keep_seconds: float = 3600.0

    @property
    def bytes(self) -> int:
        """The largest upload in bytes."""
        return int(self.megabytes * 1e6)


class QueueFull(MsapipeError):
    """The queue is full."""


class Stopping(MsapipeError):
    """The server is stopping and takes no more clips."""


@dataclass(eq=False)
class Job:
    """One clip to be scored.

    id: unguessable.   folder: its own, for uploaded and written files, deleted with it.
    events: all events so far, in order.   kind: of a failure: "clip", "nothing" to score, "time", "unavailable",
    "internal", "cancelled".
    """

    name: str
    folder: Path
    request: Request
    id: str = field(default_factory=lambda: secrets.token_hex(16))
    status: Status = "queued"
    events: list[dict[str, Any]] = field(default_factory=list)
    result: dict[str, Any] | None = None
    kind: str = ""
    error: str = ""
    ended: float = 0.0
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def finished(self) -> bool:
        """Whether the job is done or has failed."""
        return self.status in ("done", "failed")

    def tell(self, event: dict[str, Any]) -> None:
        """Record an event and wake its followers."""
        if event["event"] == "done":
            self.status, self.result = "done", event["result"]
        elif event["event"] == "failed":
            self.status, self.kind, self.error = "failed", event["kind"], event["error"]
        elif self.status == "queued":
            self.status = "running"
        if self.finished:
            self.ended = time.monotonic()
        self.events.append(event)
        self._news.set()
        self._news = asyncio.Event()

    def fail(self, kind: str, error: str) -> None:
        """Record a failure as the last event."""
        if not self.finished:
            self.tell({"event": "failed", "kind": kind, "error": error})

    async def follow(self, after: int = 0) -> AsyncGenerator[tuple[int, dict[str, Any]]]:
        """Yield its events from number ``after`` on, with their numbers, up to the last one."""
        number = after
        while True:
            news = self._news
            while number < len(self.events):
                yield number, self.events[number]
                number += 1
            if self.finished:
                return
            await news.wait()

    async def end(self) -> None:
        """Wait until the job is done or has failed."""
        async for _ in self.follow(len(self.events)):
            pass


class Scores(Protocol):
    """An object that scores clips, one at a time; see ``Scorer``."""

    async def ready(self) -> None:
        """Wait until a clip can be scored without delay."""

    def events(self, request: Request) -> AsyncGenerator[dict[str, Any]]:
        """The events of a clip."""

    async def stop(self) -> None:
        """Cancel the current clip, and release everything."""


class Desk:
    """Takes jobs, has them scored in order, and keeps their results.

    scorers: returns a new scorer on each call.   on_end: called with every job that has ended.
    folder: made by ``open`` and removed by ``close``, so that a server that could not start leaves nothing.
    """

    folder: Path

    def __init__(
        self, scorers: Callable[[], Scores], limits: Limits, on_end: Callable[[Job], None] | None = None
    ) -> None:
        self.limits = limits
        self.stopping = False
        self.ready = False
        self.jobs: dict[str, Job] = {}
        self._scorers = scorers
        self._on_end = on_end
        self._waiting: asyncio.Queue[Job] = asyncio.Queue()
        self._running: dict[str, asyncio.Task[None]] = {}
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def waiting(self) -> int:
        """Number of waiting jobs."""
        return sum(job.status == "queued" and job.id not in self._running for job in self.jobs.values())

    @property
    def running(self) -> int:
        """Number of jobs being scored."""
        return len(self._running)

    def open(self) -> None:
        """Start scoring; called once, in the event loop of the jobs."""
        self.folder = Path(tempfile.mkdtemp(prefix="msapipe-serve-"))
        self._tasks = [asyncio.create_task(self._lead()) for _ in range(self.limits.at_once)]
        self._tasks.append(asyncio.create_task(self._sweep()))

    def check(self) -> None:
        """Raise QueueFull or Stopping if a job would be refused now."""
        if self.stopping:
            raise Stopping("the server is being stopped; try again later")
        if self.waiting >= self.limits.queue:
            raise QueueFull(f"{self.waiting} clips are waiting already, which is the limit; try again later")

    def new_folder(self) -> Path:
        """A folder for one job, under a random name."""
        return Path(tempfile.mkdtemp(dir=self.folder))

    def submit(self, job: Job) -> None:
        """Queue a job. Raises QueueFull or Stopping."""
        self.check()
        self._forget()
        self.jobs[job.id] = job
        self._waiting.put_nowait(job)

    async def cancel(self, job: Job) -> None:
        """Cancel a job in any state, and forget it."""
        task = self._running.get(job.id)
        job.fail("cancelled", f"{job.name}: given up")
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        self.jobs.pop(job.id, None)
        await asyncio.to_thread(shutil.rmtree, job.folder, True)

    @contextlib.asynccontextmanager
    async def life(self, _app: object) -> AsyncIterator[None]:
        """An application's ``lifespan``: open while the application lives."""
        self.open()
        try:
            yield
        finally:
            await self.close()

    async def finish(self, seconds: float) -> None:
        """Take no more jobs, and wait up to ``seconds`` until the present ones are done."""
        self.stopping = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                for job in list(self.jobs.values()):
                    await job.end()

    async def close(self) -> None:
        """Take no more jobs, and cancel the present ones."""
        self.stopping = True
        for job in self.jobs.values():
            job.fail("cancelled", f"{job.name}: the server was stopped before it was scored; send it again")
        for task in (*self._running.values(), *self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await asyncio.to_thread(shutil.rmtree, self.folder, True)

    async def _lead(self) -> None:
        """Score one job after the other in a process of its own."""
        scorer = self._scorers()
        try:
            while True:
                with contextlib.suppress(Unavailable, OSError):  # the next job reports the error
                    await scorer.ready()
                    self.ready = True
                job = await self._waiting.get()
                if job.finished:
                    continue
                task = asyncio.create_task(self._score(scorer, job))
                self._running[job.id] = task
                try:
                    await asyncio.wait([task])
                finally:
                    if not task.done():
                        task.cancel()
                        await asyncio.wait([task])
                    self._running.pop(job.id, None)
        finally:
            await scorer.stop()

    async def _score(self, scorer: Scores, job: Job) -> None:
        """Pass all events to a job; afterwards it is finished, and the scorer is ready for another one."""
        last: dict[str, Any] | None = None
        why = ("internal", f"{job.name}: it was given up")
        try:
            async with asyncio.timeout(self.limits.seconds):
                async for event in scorer.events(job.request):
                    if event["event"] != "progress":
                        last = event
                    elif not job.finished:
                        job.tell(event)
        except TimeoutError:
            limit = f"{self.limits.seconds:g} s"
            why = "time", f"{job.name}: scoring it took longer than the limit of {limit}; send a shorter clip"
        except (Unavailable, OSError) as error:
            why = "unavailable", str(error)
        except MsapipeError as error:
            why = "clip", str(error)
        finally:
            if last is None:
                await scorer.stop()
            # Delete the upload before anybody hears of the end; the report stays.
            if job.request.page is None:
                await asyncio.to_thread(shutil.rmtree, job.folder, True)
            elif job.request.clip.is_relative_to(job.folder):
                await asyncio.to_thread(job.request.clip.unlink, True)
            if last is not None and not job.finished:
                job.tell(last)
            job.fail(*why)
            if self._on_end is not None:
                self._on_end(job)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_EVERY)
            self._forget()

    def _forget(self) -> None:
        """Drop jobs that ended long ago, and the oldest ones if there are too many."""
        ended = sorted((job for job in self.jobs.values() if job.finished), key=lambda job: job.ended)
        now = time.monotonic()
        for number, job in enumerate(ended):
            if now - job.ended > self.limits.keep_seconds or len(ended) - number > self.limits.keep:
                del self.jobs[job.id]
                shutil.rmtree(job.folder, ignore_errors=True)
