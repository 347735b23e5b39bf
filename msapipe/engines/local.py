"""Clips on this machine: one behind the other, or by several worker processes with one thread each."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from msapipe.cache import Store
from msapipe.pipeline.recipe import Recipe
from msapipe.pipeline.run import Options, Outcome, Runner
from msapipe.types import Clip

_TRIES = 2
_WORTH_A_POOL = 3
_worker: Runner | None = None


def run_clips(
    clips: Iterable[Clip], recipe: Recipe, cache: Path, options: Options, jobs: int = 0
) -> Generator[Outcome]:
    """One outcome a clip, in order of completion.

    jobs: worker processes; 0: one a core when enough clips are left to compute to pay for starting them. What is
    stored is looked up in this process. Outcomes that come from a worker carry no features (the cache does).
    Raises CacheError when results must be kept and cannot be.
    """
    with Runner(recipe, Store(cache), options) as runner:
        source = iter(clips)
        held: list[Clip] = []
        for clip in source:
            outcome = runner.look_up(clip)
            if outcome is not None:
                yield outcome
            elif jobs == 1:
                yield runner.run(clip)
            else:
                held.append(clip)
                if jobs > 1 or len(held) > _WORTH_A_POOL:
                    yield from _Pool(runner, cache, jobs or _cores()).run(itertools.chain(held, source))
                    return
        for clip in held:
            yield runner.run(clip)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Pool:
    """Worker processes, kept fed but not flooded; when one dies, all are started anew with what was in flight."""

    def __init__(self, runner: Runner, cache: Path, jobs: int) -> None:
        self.runner, self.cache, self.jobs = runner, cache, jobs
        self.flight: dict[Future[Outcome], Clip] = {}
        self.again: list[Clip] = []
        self.tries: Counter[str] = Counter()

    def run(self, clips: Iterator[Clip]) -> Generator[Outcome]:
        """Outcomes as they come."""
        more = True
        while more or self.again:
            start = (self.runner.recipe, self.cache, self.runner.options)
            context = multiprocessing.get_context("spawn")
            executor = ProcessPoolExecutor(self.jobs, context, _start_worker, start)
            try:
                yield from self._feed(executor, clips)
                more = False
                executor.shutdown()
            except BrokenProcessPool:
                yield from self._after_a_death()
            finally:
                _end(executor, self.cache)

    def _feed(self, executor: ProcessPoolExecutor, clips: Iterator[Clip]) -> Generator[Outcome]:
        self.flight = {executor.submit(_run, clip): clip for clip in self.again}
        self.again = []
        for clip in clips:
            outcome = self.runner.look_up(clip)
            if outcome is not None:
                yield outcome
                continue
            self.flight[executor.submit(_run, clip)] = clip
            while len(self.flight) >= 2 * self.jobs:
                yield from self._landed()
        while self.flight:
            yield from self._landed()

    def _landed(self) -> Generator[Outcome]:
        for done in wait(self.flight, return_when=FIRST_COMPLETED).done:
            outcome = done.result()
            del self.flight[done]
            yield outcome

    def _after_a_death(self) -> Generator[Outcome]:
        for clip in self.flight.values():
            self.tries[clip.id] += 1
            if self.tries[clip.id] < _TRIES:
                self.again.append(clip)
            else:
                message = f"{clip.path}: the worker process died on it twice; is there enough memory?"
                yield Outcome(clip, "error", error=message)
        self.flight = {}


def _end(pool: ProcessPoolExecutor, cache: Path) -> None:
    """Stop the workers at once (at the end of a run they are gone already) and clear up behind them."""
    workers = multiprocessing.active_children()
    for worker in workers:
        worker.terminate()
    pool.shutdown(wait=False, cancel_futures=True)
    for worker in workers:
        worker.join(1)
    Store(cache).sweep()


def _start_worker(recipe: Recipe, cache: Path, options: Options) -> None:
    # Ctrl-C reaches every process of the terminal; only the first one decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    global _worker
    _worker = Runner(recipe, Store(cache), options)


def _run(clip: Clip) -> Outcome:
    if _worker is None:
        raise RuntimeError("the worker was not started")
    outcome = _worker.run(clip)
    outcome.values.clear()
    outcome.features.clear()
    return outcome
