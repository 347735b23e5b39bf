"""Checks on every request: the size of its body and its origin; each is counted with its result."""

from __future__ import annotations

from urllib.parse import urlsplit

from fastapi import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from msapipe.serve.counting import Counting

# Bytes of a form beside the file: boundaries, headers and other fields.
_BESIDE = 1 << 16
# Largest body that is no upload; such bodies are read into memory.
_PLAIN = 1 << 16

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})


class Guards:
    """An application behind limits.

    Bodies longer than ``most`` bytes (64 kB for anything but uploads) get 413, unread if their length is declared.
    Requests that a page of another site makes a browser send get 403: there are no cookies to protect, but a browser
    can reach a machine that the other site cannot.
    """

    def __init__(self, app: ASGIApp, most: int, counting: Counting) -> None:
        self._app, self._most, self._counting = app, most, counting

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        upload = headers.get(b"content-type", "").startswith("multipart/form-data")
        most = self._most + _BESIDE if upload else _PLAIN
        received, status = 0, 500

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > most:
                raise HTTPException(413, _too_large(most if not upload else self._most))
            return message

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            refusal = _refusal(headers, most, most if not upload else self._most)
            if refusal is not None:
                await refusal(scope, receive, noted)
            else:
                await self._app(scope, counted, noted)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            method = scope["method"] if scope["method"] in _METHODS else "other"
            self._counting.request(method, route, status, received)


def _refusal(headers: dict[bytes, str], most: int, told: int) -> JSONResponse | None:
    origin, length = headers.get(b"origin"), headers.get(b"content-length", "0")
    if origin is not None and urlsplit(origin).netloc != headers.get(b"host", ""):
        return JSONResponse({"detail": "pages of other sites may not use this server"}, 403)
    if length.isdigit() and int(length) > most:
        return JSONResponse({"detail": _too_large(told)}, 413)
    return None


def _too_large(most: int) -> str:
    return f"the body is too large: at most {most / 1e6:g} MB are taken"
