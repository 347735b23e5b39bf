"""Clips on this machine: one after the other, or in several worker processes of one thread each."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from queue import Queue, SimpleQueue
from typing import Any

from msapipe.engines.look import Look
from msapipe.engines.wire import clip_message, outcome_of, start_message
from msapipe.errors import EndsRun
from msapipe.interrupts import uninterrupted
from msapipe.pipeline.run import Outcome, Runner
from msapipe.types import Clip

_TRIES = 2
_WORTH_A_POOL = 3
_SECONDS_TO_STOP = 1.0


def run_clips(runner: Runner, clips: Iterable[Clip], jobs: int = 0, brief: bool = False) -> Generator[Outcome]:
    """Yield one outcome per clip, in order of completion.

    jobs: worker processes; 0: one per core if enough clips are left to compute to pay for starting them. ``runner``
    looks up stored results in this process; brief: without reading them. Outcomes that come from a worker, or are
    brief, carry no features (the cache does). Workers get several devices ("cuda:0,cuda:1") in turn. Raises EndsRun
    when no clip can succeed: results must be kept but cannot be, or weights are missing.
    """
    devices = runner.options.device.split(",")
    look = Look(runner, brief)
    source = iter(clips)
    held: list[Clip] = []
    for clip in source:
        outcome = look(clip)
        if outcome is not None:
            yield outcome
        elif jobs == 1:
            yield runner.run(clip)
        else:
            held.append(clip)
            if jobs > 1 or len(held) > _WORTH_A_POOL:
                everything = itertools.chain(held, source)
                yield from _Pool(runner, jobs or max(_cores(), len(devices)), look, devices).run(everything)
                return
    for clip in held:
        yield runner.run(clip)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Worker:
    """A process that is sent clips and answers with outcomes, one line of JSON each (see worker.py).

    multiprocessing is not used: it would run a user's script again, and pickle all messages.
    """

    def __init__(self, start: dict[str, Any]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "msapipe.engines.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._say({**start, "parent": os.getpid()})

    def run(self, clip: Clip) -> Outcome | None:
        """The outcome, or None when the process died on the clip. Raises EndsRun as a Runner does."""
        self._say(clip_message(clip))
        line = self._process.stdout.readline() if self._process.stdout else b""
        if not line.endswith(b"\n"):
            return None
        return outcome_of(clip, json.loads(line))

    def stop(self) -> None:
        """End the process, with a moment to clean up."""
        decoders = _children(self._process.pid)
        self._process.terminate()
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        try:
            self._process.wait(_SECONDS_TO_STOP)
        except subprocess.TimeoutExpired:  # inside a library that ignores signals
            self._process.kill()
            self._process.wait()
        for decoder in decoders:
            _reap(decoder)

    def _say(self, message: dict[str, Any]) -> None:
        if self._process.stdin is not None:
            # The process has died or was stopped; the missing answer will show it.
            with contextlib.suppress(BrokenPipeError, ValueError):
                self._process.stdin.write(json.dumps(message).encode("ascii") + b"\n")
                self._process.stdin.flush()


def _adopt_orphans() -> None:
    """Make the decoders of killed workers children of this process, so that it can wait for them."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER


def _children(process: int) -> list[int]:
    """The child processes of a process, if the system lists them."""
    try:
        return [int(number) for number in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    except OSError:
        return []


def _reap(process: int) -> None:
    """Wait a moment for an orphan, killed by its parent's death, to be gone."""
    with contextlib.suppress(ChildProcessError):  # its parent waited for it
        for _ in range(50):
            if os.waitpid(process, os.WNOHANG)[0]:
                return
            time.sleep(0.01)


class _Pool:
    """Workers, each with a thread that sends it clips and replaces it when it dies."""

    def __init__(
        self, runner: Runner, jobs: int, look: Callable[[Clip], Outcome | None], devices: Sequence[str]
    ) -> None:
        self.runner, self.jobs, self.look = runner, jobs, look
        options = (replace(runner.options, device=devices[number % len(devices)]) for number in range(jobs))
        self._starts = [start_message(runner.spec, runner.store.address, each) for each in options]
        self._tasks: Queue[Clip | None] = Queue()
        self._done: SimpleQueue[Outcome | EndsRun] = SimpleQueue()
        self._workers: dict[int, Worker] = {}
        self._stopping = False
        self._starting = threading.Lock()

    def run(self, clips: Iterator[Clip]) -> Generator[Outcome]:
        """Outcomes as they come; no more than two clips per worker wait, however many there are."""
        _adopt_orphans()
        threads = [threading.Thread(target=self._lead, args=(i,), daemon=True) for i in range(self.jobs)]
        for thread in threads:
            thread.start()
        flying = 0
        try:
            for clip in clips:
                outcome = self.look(clip)
                if outcome is not None:
                    yield outcome
                    continue
                self._tasks.put(clip)
                flying += 1
                if flying >= 2 * self.jobs:
                    yield self._landed()
                    flying -= 1
            for _ in range(flying):
                yield self._landed()
        finally:
            with uninterrupted():  # or workers would be killed by this process's end before they have cleaned up
                self.end()
                for _ in threads:
                    self._tasks.put(None)
                for thread in threads:
                    thread.join(2 * _SECONDS_TO_STOP)
                self.runner.store.sweep()

    def end(self) -> None:
        """Stop all workers, even one that is just starting; no new one starts afterwards."""
        with self._starting:
            self._stopping = True
        stoppers = [threading.Thread(target=worker.stop) for worker in list(self._workers.values())]
        for stopper in stoppers:
            stopper.start()
        for stopper in stoppers:
            stopper.join(2 * _SECONDS_TO_STOP)

    def _landed(self) -> Outcome:
        outcome = self._done.get()
        if isinstance(outcome, EndsRun):
            raise outcome
        return outcome

    def _lead(self, number: int) -> None:
        for clip in iter(self._tasks.get, None):
            try:
                outcome: Outcome | EndsRun | None = self._try(number, clip)
            except EndsRun as error:
                outcome = error
            if outcome is None:
                return
            self._done.put(outcome)

    def _try(self, number: int, clip: Clip) -> Outcome | None:
        """The outcome of a clip, from a new worker if needed; None when the pool is stopping."""
        for _ in range(_TRIES):
            with self._starting:
                if self._stopping:
                    return None
                if number not in self._workers:
                    self._workers[number] = Worker(self._starts[number])
            outcome = self._workers[number].run(clip)
            if outcome is not None:
                return outcome
            if self._stopping:
                return None
            self._workers.pop(number).stop()
        message = f"{clip.path}: the worker process died on it twice; is there enough memory? (or try --jobs 1)"
        return Outcome(clip, "error", error=message)
