"""Clips through an engine with a runner of their own, which is closed behind them."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from pathlib import Path

from msapipe.cache import open_store
from msapipe.cluster import ray
from msapipe.engines import local
from msapipe.pipeline.run import Options, Outcome, Runner
from msapipe.pipeline.spec import PipelineSpec
from msapipe.types import Clip


def run_clips(
    clips: Iterable[Clip], spec: PipelineSpec, cache: str | Path, options: Options, jobs: int = 0, brief: bool = False
) -> Generator[Outcome]:
    """As ``engines.local.run_clips``."""
    with Runner(spec, open_store(cache), options) as runner:
        yield from local.run_clips(runner, clips, jobs, brief)


def run_on_ray(
    clips: Iterable[Clip],
    spec: PipelineSpec,
    cache: str | Path,
    options: Options,
    address: str | None = None,
    gpus_per_actor: float | None = None,
    brief: bool = False,
) -> Generator[Outcome]:
    """As ``cluster.ray.run_clips``."""
    with Runner(spec, open_store(cache), options) as runner:
        yield from ray.run_clips(runner, clips, address, gpus_per_actor, brief)
