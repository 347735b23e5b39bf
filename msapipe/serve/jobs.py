"""Clips that wait, run and are done: a bounded queue, some scoring processes, results that are kept for a while."""

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

# Results are looked through this often, in seconds, for those that were kept long enough.
_SWEEP_EVERY = 10.0


@dataclass(frozen=True)
class Limits:
    """What a server takes on.

    megabytes: of an upload (10^6 bytes).   seconds: for scoring one clip.   at_once: clips scored side by side.
    queue: clips that wait.   keep: finished jobs that are kept, and keep_seconds for how long.
    """

    megabytes: float = 100.0
    seconds: float = 300.0
    at_once: int = 1
    queue: int = 64
    keep: int = 1000
    keep_seconds: float = 3600.0

    @property
    def bytes(self) -> int:
        """The largest upload."""
        return int(self.megabytes * 1e6)


class QueueFull(MsapipeError):
    """So many clips are waiting already."""


class Stopping(MsapipeError):
    """The server is being stopped and takes no more clips."""


@dataclass(eq=False)
class Job:
    """One clip on its way.

    id: unguessable.   folder: its own, for what is uploaded and written, taken away with it.
    events: all that happened, in order.   kind: of a failure: "clip", "nothing" to score, "time", "unavailable",
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
        """Whether nothing more will happen."""
        return self.status in ("done", "failed")

    def tell(self, event: dict[str, Any]) -> None:
        """Something happened."""
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
        """It will not be scored."""
        if not self.finished:
            self.tell({"event": "failed", "kind": kind, "error": error})

    async def follow(self, after: int = 0) -> AsyncGenerator[tuple[int, dict[str, Any]]]:
        """Its events from the number ``after`` on, with their numbers, up to the last one."""
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
        """Wait until it is done or has failed."""
        async for _ in self.follow(len(self.events)):
            pass


class Scores(Protocol):
    """What scores clips, one at a time; see ``Scorer``."""

    async def ready(self) -> None:
        """Wait until a clip can be scored at once."""

    def events(self, request: Request) -> AsyncGenerator[dict[str, Any]]:
        """What happens to a clip."""

    async def stop(self) -> None:
        """Give up the clip in hand, and all that it holds."""


class Desk:
    """Takes jobs, has them scored in order, and keeps what came of them.

    scorers: a new one whenever it is called.   on_end: called with every job that has ended.
    """

    def __init__(
        self, scorers: Callable[[], Scores], limits: Limits, on_end: Callable[[Job], None] | None = None
    ) -> None:
        self.limits = limits
        self.stopping = False
        self.ready = False
        self.jobs: dict[str, Job] = {}
        self.folder = Path(tempfile.mkdtemp(prefix="msapipe-serve-"))
        self._scorers = scorers
        self._on_end = on_end
        self._waiting: asyncio.Queue[Job] = asyncio.Queue()
        self._running: dict[str, asyncio.Task[None]] = {}
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def waiting(self) -> int:
        """How many jobs wait."""
        return sum(job.status == "queued" and job.id not in self._running for job in self.jobs.values())

    @property
    def running(self) -> int:
        """How many jobs are being scored."""
        return len(self._running)

    def open(self) -> None:
        """Begin to score; called once, in the loop that the jobs will live in."""
        self._tasks = [asyncio.create_task(self._lead()) for _ in range(self.limits.at_once)]
        self._tasks.append(asyncio.create_task(self._sweep()))

    def check(self) -> None:
        """Raise QueueFull or Stopping where a job would not be taken now."""
        if self.stopping:
            raise Stopping("the server is being stopped; try again later")
        if self.waiting >= self.limits.queue:
            raise QueueFull(f"{self.waiting} clips are waiting already, which is the limit; try again later")

    def new_folder(self) -> Path:
        """A folder for one job, under a random name."""
        return Path(tempfile.mkdtemp(dir=self.folder))

    def submit(self, job: Job) -> None:
        """Take a job. Raises QueueFull or Stopping."""
        self.check()
        self._forget()
        self.jobs[job.id] = job
        self._waiting.put_nowait(job)

    async def cancel(self, job: Job) -> None:
        """Give a job up, wherever it is, and forget it."""
        task = self._running.get(job.id)
        job.fail("cancelled", f"{job.name}: given up")
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        self.jobs.pop(job.id, None)
        await asyncio.to_thread(shutil.rmtree, job.folder, True)

    @contextlib.asynccontextmanager
    async def life(self, _app: object) -> AsyncIterator[None]:
        """Open while an application lives: its ``lifespan``."""
        self.open()
        try:
            yield
        finally:
            await self.close()

    async def finish(self, seconds: float) -> None:
        """Take no more jobs, and wait until those that are here are done, so many seconds at most."""
        self.stopping = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                for job in list(self.jobs.values()):
                    await job.end()

    async def close(self) -> None:
        """Take no more jobs, and give up those that are here."""
        self.stopping = True
        for job in self.jobs.values():
            job.fail("cancelled", f"{job.name}: the server was stopped before it was scored; send it again")
        for task in (*self._running.values(), *self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await asyncio.to_thread(shutil.rmtree, self.folder, True)

    async def _lead(self) -> None:
        """Score one job after the other by a process of its own."""
        scorer = self._scorers()
        try:
            while True:
                with contextlib.suppress(Unavailable, OSError):  # it is said to the next who asks
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
        """Tell a job all that happens to it; afterwards it is finished, and the scorer fit for another one."""
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
            # The upload is not needed any more, and gone before anybody hears of the end; the report stays.
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
        """Let go of the jobs that ended long ago, and of the oldest ones where there are too many."""
        ended = sorted((job for job in self.jobs.values() if job.finished), key=lambda job: job.ended)
        now = time.monotonic()
        for number, job in enumerate(ended):
            if now - job.ended > self.limits.keep_seconds or len(ended) - number > self.limits.keep:
                del self.jobs[job.id]
                shutil.rmtree(job.folder, ignore_errors=True)
