"""Connect to a Ray cluster and check each of its nodes before clips are sent to it."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
import threading
import uuid
from collections.abc import Iterator
from typing import Any

from msapipe import __version__
from msapipe.cache import Store, open_store
from msapipe.cluster._run_folder import RunFolder
from msapipe.errors import ConfigError, EndsRun, MissingLibrary, MsapipeError

log = logging.getLogger("msapipe")

# Ray itself retries for two minutes and then ends the process.
_SECONDS_TO_CONNECT = 5.0
# Allows for a node that starts Python from a slow network disk.
_SECONDS_TO_ANSWER = 120.0


def import_ray() -> Any:
    """The ray module with ray.data; raises MissingLibrary."""
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise MissingLibrary(
            f"--engine ray needs the package ray: {error}; type: uv pip install 'msapipe[ray]'"
        ) from error
    return ray


@contextlib.contextmanager
def connected(address: str | None) -> Iterator[Any]:
    """The ray module, connected; a connection made here is closed at the end, which ends its workers.

    address: HOST:PORT, "auto" (the cluster of this machine), or None: RAY_ADDRESS, else the cluster of this machine,
    else a new one on it. An existing connection is reused. The cluster decides whether nodes must show a token
    (RAY_AUTH_MODE). Raises EndsRun.
    """
    ray = import_ray()
    if ray.is_initialized():
        yield ray
        return
    _check_port(address or os.environ.get("RAY_ADDRESS", ""))
    debug = log.isEnabledFor(logging.DEBUG)
    with _signals_kept():
        try:
            ray.init(address, logging_level="INFO" if debug else "ERROR", log_to_driver=debug)
        except (OSError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
            raise EndsRun(f"no Ray cluster can be joined at {address or 'this machine'}: {line_of(error)}") from error
    with _notices_apart(ray):
        try:
            yield ray
        finally:
            ray.shutdown()


@contextlib.contextmanager
def folder_of_run(store: Store) -> Iterator[RunFolder]:
    """A new folder in the cache, removed with the run; raises CacheError."""
    folder = RunFolder(store, f"run-{uuid.uuid4().hex}")
    try:
        folder.make()
        yield folder
    finally:
        folder.remove()


def check_nodes(ray: Any, folder: RunFolder) -> None:
    """Raise EndsRun when a node has another version of msapipe, or does not see the folder just made in the cache."""
    look_around = ray.remote(num_cpus=0, max_retries=0)(_look_around)
    where = (folder.store.address, folder.name)
    asked = [
        (node["NodeManagerAddress"], look_around.options(scheduling_strategy=_only_on(node)).remote(*where))
        for node in ray.nodes()
        if node["Alive"]
    ]
    for name, answer in asked:
        try:
            version, wrong = ray.get(answer, timeout=_SECONDS_TO_ANSWER)
        except (ray.exceptions.NodeDiedError, ray.exceptions.TaskUnschedulableError):
            continue  # it has left the cluster since
        except ray.exceptions.RayError as error:
            message = f"node {name} cannot run msapipe {__version__}: {line_of(error)}; is it installed there?"
            raise EndsRun(message) from error
        if version != __version__:
            raise EndsRun(f"node {name} has msapipe {version}, this machine {__version__}; install the same")
        if wrong:
            raise EndsRun(f"node {name}: {wrong}")


def gpu_actors(ray: Any, share: float) -> int:
    """How many actors with this share of a GPU fit on the nodes together; raises ConfigError when none does."""
    gpus = [node["Resources"].get("GPU", 0.0) for node in ray.nodes() if node["Alive"]]
    fitting = sum(int(count / share + 1e-6) for count in gpus)  # ten times 0.1 is one
    if not fitting:
        raise ConfigError(f"--gpus-per-actor {share:g}: no node has that; the cluster has {sum(gpus):g} GPUs")
    return fitting


def line_of(error: BaseException) -> str:
    """The last line of an error's message, the informative one in Ray's errors."""
    lines = str(error).strip().splitlines()
    return lines[-1].strip() if lines else type(error).__name__


def _look_around(cache: str, run: str) -> tuple[str, str]:
    """Run on a node: its msapipe version, and why it cannot see the run's folder ("" when it can)."""
    try:
        if RunFolder(open_store(cache), run).is_seen():
            return __version__, ""
    except MsapipeError as error:
        return __version__, str(error)
    return __version__, (
        f"it does not see the cache {cache}; with --cache name a folder that every node sees under the same path, "
        "or a storage service"
    )


def _only_on(node: dict[str, Any]) -> Any:
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)


def _check_port(address: str) -> None:
    """Raise EndsRun when nothing listens at HOST:PORT."""
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdigit():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), _SECONDS_TO_CONNECT).close()
    except (OSError, OverflowError) as error:
        raise EndsRun(f"no Ray cluster can be joined at {address}: nobody answers ({line_of(error)})") from error


@contextlib.contextmanager
def _notices_apart(ray: Any) -> Iterator[None]:
    """Send Ray's messages about its nodes to standard error (nowhere with --quiet); Ray has no option for it.

    Standard output is for results, and programs that read them cannot parse log lines.
    """
    worker = ray._private.worker
    shown = getattr(worker, "print_worker_logs", None)
    if shown is None:  # a version of Ray that handles this elsewhere
        yield
        return

    def show(lines: dict[str, Any], _stream: Any, *more: Any) -> None:
        if log.isEnabledFor(logging.WARNING):
            shown(lines, sys.stderr, *more)

    worker.print_worker_logs = show
    try:
        yield
    finally:
        worker.print_worker_logs = shown


@contextlib.contextmanager
def _signals_kept() -> Iterator[None]:
    """Ray ends the process on SIGTERM; in this block the signal ends the run, which also disconnects from Ray."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
