"""A server process around an application: its socket, signals and shutdown."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator

import uvicorn
from fastapi import FastAPI

from msapipe.errors import MsapipeError
from msapipe.serve.connections import Patience, bounded
from msapipe.serve.jobs import Desk

_SECONDS_FOR_ANSWERS = 3


class _Server(uvicorn.Server):
    """Leaves signals to msapipe: the first one lets running jobs finish, the second one does not."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def open_socket(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 is any free one. Raises MsapipeError when it cannot listen."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=1024)
    except (OSError, OverflowError) as error:
        number = getattr(error, "errno", None)
        because = os.strerror(number) if number and number > 0 else error
        raise MsapipeError(
            f"cannot listen on {host} port {port}: {because}; name another with --host, --port"
        ) from None


def run(app: FastAPI, desk: Desk, listening: socket.socket, grace: float, patience: Patience | None = None) -> None:
    """Serve until a signal; then wait up to ``grace`` seconds for running jobs."""
    config = uvicorn.Config(
        app,
        http=bounded(patience or Patience()),
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=_SECONDS_FOR_ANSWERS,
    )
    server = _Server(config)

    async def serve() -> None:
        loop, asked = asyncio.get_running_loop(), asyncio.Event()

        def stop() -> None:
            if asked.is_set():
                server.should_exit = server.force_exit = True
            desk.stopping = True
            asked.set()

        with _on_signals(lambda: loop.call_soon_threadsafe(stop)):
            ending = asyncio.create_task(_end(server, desk, asked, grace))
            await server.serve(sockets=[listening])
            ending.cancel()

    asyncio.run(serve())


async def _end(server: uvicorn.Server, desk: Desk, asked: asyncio.Event, grace: float) -> None:
    """Once asked to stop, keep answering until the present jobs are done."""
    await asked.wait()
    await desk.finish(grace)
    # Connections cut off now are no errors to log, and logging to an unread pipe could block the shutdown.
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    server.should_exit = True


@contextlib.contextmanager
def _on_signals(stop: Callable[[], object]) -> Iterator[None]:
    before = {number: signal.signal(number, lambda *_: stop()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
