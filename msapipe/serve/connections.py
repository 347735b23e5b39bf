"""Limits for slow connections: clients that do not send a request, or read its answer, in time are cut off."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: 46\r\n"
    b'Retry-After: 5\r\nConnection: close\r\n\r\n{"detail": "too many connections; come later"}'
)


@dataclass(frozen=True)
class Patience:
    """Seconds that a client may take.

    head: to send the head of a request.   silence: between two pieces of a body.   body: to send a whole body.
    reading: to read an answer.   connections: how many may be open at once.
    """

    head: float = 10.0
    silence: float = 10.0
    body: float = 120.0
    reading: float = 30.0
    connections: int = 1000


def bounded(patience: Patience) -> type[H11Protocol]:
    """uvicorn's protocol with these limits."""

    class Bounded(H11Protocol):
        """One connection."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self._begun = time.monotonic()
            self._in_body = False
            self._late: asyncio.TimerHandle | None = None
            self._unread: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            """Set the limit for the first request."""
            super().connection_made(transport)
            if len(self.connections) > patience.connections:
                transport.write(_FULL)
                transport.close()
                return
            self._wait(patience.head)

        def data_received(self, data: bytes) -> None:
            """Handle a piece of a request and set the limit for the next piece."""
            state_before = self.conn.their_state
            super().data_received(data)
            now, state = time.monotonic(), self.conn.their_state
            if state is h11.SEND_BODY:
                if not self._in_body:
                    self._in_body, self._begun = True, now
                self._wait(min(patience.silence, self._begun + patience.body - now))
            elif state is h11.IDLE and self.conn.trailing_data[0]:
                if state_before is not h11.IDLE or self._in_body:
                    self._begun = now
                self._in_body = False
                self._wait(self._begun + patience.head - now)
            else:  # the request is complete, or uvicorn limits the wait for the next one
                self._in_body, self._begun = False, now
                self._wait(None)

        def pause_writing(self) -> None:
            """Start the limit for a client that has stopped reading."""
            super().pause_writing()
            self._unread = self.loop.call_later(patience.reading, self.transport.abort)

        def resume_writing(self) -> None:
            """Stop that limit: the client reads again."""
            super().resume_writing()
            if self._unread is not None:
                self._unread.cancel()

        def connection_lost(self, exc: Exception | None) -> None:
            """Cancel all limits."""
            self._wait(None)
            if self._unread is not None:
                self._unread.cancel()
            super().connection_lost(exc)

        def _wait(self, seconds: float | None) -> None:
            if self._late is not None:
                self._late.cancel()
            self._late = None if seconds is None else self.loop.call_later(max(seconds, 0.0), self._too_late)

        def _too_late(self) -> None:
            if self.flow.read_paused:  # the server itself is slow
                self._wait(patience.silence)
            else:
                self.transport.abort()

    return Bounded
