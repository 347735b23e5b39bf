"""Clips on a Ray cluster: one task per clip on the CPUs, and actors that share the GPUs for pipelines that use them.

Results go straight into the cache: a folder with file locks (NFS) that all nodes see under the same path, or one in a
storage service, with a local folder in front of it on each node. Only the names of clips and their outcomes pass
through Ray. All nodes must have msapipe, and see the clips and any checkpoints of the user under the same paths.
When a node is lost, its clips in flight run again elsewhere and reuse the results that it stored.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Generator, Iterable, Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any

from msapipe.cluster._nodes import (
    check_nodes,
    connected,
    folder_of_run,
    gpu_actors,
    import_ray,
    line_of,
)
from msapipe.cluster._run_folder import RunFolder
from msapipe.engines.look import Look
from msapipe.engines.wire import answer, clip_message, ended, outcome_of, runner_of, start_message
from msapipe.errors import ConfigError, EndsRun
from msapipe.pipeline.run import Options, Outcome, Runner
from msapipe.pipeline.spec import PipelineSpec
from msapipe.types import Clip

log = logging.getLogger("msapipe")

# Ray retries without end, but must not for a clip that kills every process; few clips lose four nodes by bad luck.
_TRIES = 4
# One clip per block, so that a failure costs no other clip. The driver tracks blocks, hence the limit.
_MOST_BLOCKS = 20_000


def run_clips(
    runner: Runner,
    clips: Iterable[Clip],
    address: str | None = None,
    gpus_per_actor: float | None = None,
    brief: bool = False,
) -> Generator[Outcome]:
    """Yield one outcome per clip, in order of completion, like the local engine.

    address: see ``connected``.   gpus_per_actor: the share of a GPU that each actor takes; 0: CPUs only; None: a whole
    one if the cluster has any. ``runner`` looks up stored results first; brief: without reading them.
    Outcomes that come from the cluster, or are brief, carry no features (the cache does).
    Raises EndsRun when no clip can succeed, MissingLibrary without ray, ConfigError for what a cluster cannot do.
    """
    device = runner.options.device
    if device not in ("auto", "cpu"):
        raise ConfigError(f"--device {device}: Ray says which GPU an actor gets; type --device auto")
    import_ray()
    look = Look(runner, brief)
    held: list[Clip] = []
    for clip in clips:
        outcome = look(clip)
        if outcome is None:
            held.append(clip)
        else:
            yield outcome
    if held:
        try:
            with folder_of_run(runner.store) as folder, connected(address) as ray:
                check_nodes(ray, folder)
                yield from _outcomes(ray, _dataset(ray, runner, held, folder, gpus_per_actor), held)
        finally:
            runner.store.sweep()


def _outcomes(ray: Any, dataset: Any, clips: list[Clip]) -> Iterator[Outcome]:
    """The outcome of each clip. Raises EndsRun as a runner does, and when the cluster is lost."""
    unheard = dict(enumerate(clips))
    try:
        for row in dataset.iter_rows():
            yield outcome_of(unheard.pop(int(row["number"])), json.loads(row["answer"]))
    except ray.exceptions.RayError as error:
        raise EndsRun(f"the Ray cluster failed: {line_of(error)}; the same command goes on from there") from error
    for clip in unheard.values():
        message = f"{clip.path}: Ray lost it (--verbose shows how); run the same command again"
        yield Outcome(clip, "error", error=message)


def _dataset(ray: Any, runner: Runner, clips: list[Clip], folder: RunFolder, gpus_per_actor: float | None) -> Any:
    """The clips as rows with their one or two lazy steps; nothing runs yet."""
    spec, cache, options = runner.spec, runner.store.address, runner.options
    share = _gpu_share(ray, spec, options, gpus_per_actor)
    rows = [{"number": number, "clip": json.dumps(clip_message(clip))} for number, clip in enumerate(clips)]
    on_cpus = replace(options, device="cpu")
    with _context(ray):
        dataset = ray.data.from_items(rows, override_num_blocks=min(len(rows), _MOST_BLOCKS))
        if not share:
            return dataset.map(_run, fn_args=(_start(spec, cache, on_cpus, folder),), num_cpus=1)
        first = spec.on_cpu()
        if first is not None and not options.overwrite:  # or both steps would recompute the same
            part = replace(on_cpus, in_part=True)
            dataset = dataset.map(_prepare, fn_args=(_start(first, cache, part, folder),), num_cpus=1)
        return dataset.map(
            _Models,
            fn_constructor_args=(_start(spec, cache, options, folder),),
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=gpu_actors(ray, share)),
            num_cpus=0,  # or the actors could take the CPU that the first step, which they wait for, needs
            num_gpus=share,
        )


def _gpu_share(ray: Any, spec: PipelineSpec, options: Options, named: float | None) -> float:
    if options.device == "cpu" or not spec.can_use_gpu:
        return 0.0
    if named is None:
        return 1.0 if ray.cluster_resources().get("GPU", 0.0) >= 1.0 else 0.0
    return named


@contextlib.contextmanager
def _context(ray: Any) -> Iterator[None]:
    """The Ray Data settings of data sets made inside."""
    quiet = not log.isEnabledFor(logging.DEBUG)
    logging.getLogger("ray.data").setLevel(logging.CRITICAL if quiet else logging.INFO)
    context = ray.data.DataContext.get_current().copy()
    context.max_errored_blocks = -1  # a failed clip is reported and does not end the others
    context.enable_progress_bars = False  # msapipe has its own
    context.print_on_execution_start = not quiet
    with ray.data.DataContext.current(context):
        yield


def _start(spec: PipelineSpec, cache: str, options: Options, folder: RunFolder) -> str:
    """The start message, with the run's folder and the working folder, which relative paths start from on nodes too."""
    return json.dumps({**start_message(spec, cache, options), "run": folder.name, "from": os.getcwd()})


class _Worker:
    """On a node: a process's runner, and the count of processes that died on a clip."""

    def __init__(self, start: str) -> None:
        message = json.loads(start)
        with contextlib.suppress(OSError):
            os.chdir(message["from"])
        self._runner = runner_of(message)
        self._folder = RunFolder(self._runner.store, message["run"])

    def run(self, row: dict[str, Any]) -> dict[str, Any]:
        """The answer for a clip (see ``answer``); each attempt is counted in the run's folder."""
        clip = json.loads(row["clip"])
        try:
            tries = self._folder.begin(row["number"])
        except EndsRun as error:
            return ended(error)
        if tries > _TRIES:
            message = f"{clip['path']}: {_TRIES} processes died on it; do the nodes have enough memory?"
            return {"status": "error", "error": message, "missing": [], "notes": []}
        answered = answer(self._runner, clip)
        self._folder.end(row["number"])
        return answered


@lru_cache(maxsize=4)
def _worker(start: str) -> _Worker:
    """The only worker of this process, so that it loads its stages once."""
    return _Worker(start)


def _prepare(row: dict[str, Any], start: str) -> dict[str, Any]:
    """The first step: caches whatever needs no GPU. Errors are left for the second step, which meets them again."""
    return {**row, "first": json.dumps(_worker(start).run(row))}


def _run(row: dict[str, Any], start: str) -> dict[str, Any]:
    """The only step, or the second of two."""
    answered = _worker(start).run(row)
    first = json.loads(row.get("first", "{}"))
    if "timings" in first and "timings" in answered:
        answered = _both(first, answered)
    return {"number": row["number"], "answer": json.dumps(answered)}


class _Models:
    """The second step as an actor, which holds the models on its share of a GPU."""

    def __init__(self, start: str) -> None:
        self._start = start

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        return _run(row, self._start)


def _both(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """The second step's answer, with the timings of the first added."""
    spent = dict(first["timings"])
    for name, seconds in second["timings"].items():
        spent[name] = spent.get(name, 0.0) + seconds
    computed, seconds = first["computed"] or second["computed"], first["seconds"] + second["seconds"]
    return {**second, "computed": computed, "seconds": seconds, "timings": spent}
