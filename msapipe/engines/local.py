"""Clips on this machine: one behind the other, or by several worker processes with one thread each."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import Counter, deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from msapipe.cache import Store
from msapipe.pipeline.recipe import Recipe
from msapipe.pipeline.run import Options, Outcome, Runner
from msapipe.types import Clip

_TRIES = 2
_worker: Runner | None = None


def run_clips(clips: Iterable[Clip], recipe: Recipe, cache: Path, options: Options, jobs: int) -> Generator[Outcome]:
    """One outcome a clip, in order of completion; with several jobs, outcomes carry no features (the cache does).

    Raises CacheError when results must be kept and cannot be.
    """
    if jobs == 1:
        with Runner(recipe, Store(cache), options) as runner:
            for clip in clips:
                yield runner.run(clip)
    else:
        yield from _in_processes(deque(clips), recipe, cache, options, jobs)


def default_jobs(clips: int) -> int:
    """A worker a core, when there are clips enough to pay for starting them."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, clips) if clips > 3 else 1


def _in_processes(waiting: deque[Clip], recipe: Recipe, cache: Path, options: Options, jobs: int) -> Iterator[Outcome]:
    """Keep the pool fed but not flooded; when a worker dies, start anew with what was in flight."""
    tries: Counter[str] = Counter()
    while waiting:
        flight: dict[Future[Outcome], Clip] = {}
        pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), _start_worker, (recipe, cache, options))
        try:
            while waiting or flight:
                while waiting and len(flight) < 2 * jobs:
                    clip = waiting.popleft()
                    flight[pool.submit(_run, clip)] = clip
                for done in wait(flight, return_when=FIRST_COMPLETED).done:
                    outcome = done.result()
                    del flight[done]
                    yield outcome
            pool.shutdown()
        except BrokenProcessPool:
            for clip in flight.values():
                tries[clip.id] += 1
                if tries[clip.id] < _TRIES:
                    waiting.append(clip)
                else:
                    message = f"{clip.path}: the worker process died on it twice; is there enough memory?"
                    yield Outcome(clip, "error", error=message)
        finally:
            _end(pool, cache)


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
