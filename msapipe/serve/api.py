"""The web application: clips, jobs, results, reports, and the server's state."""

from __future__ import annotations

import asyncio
import hmac
import json
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, Response
from fastapi import Path as InPath
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from fastapi.sse import format_sse_event
from starlette.datastructures import UploadFile
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect

from msapipe import __version__
from msapipe.report.marks import on_one_line
from msapipe.serve import intake
from msapipe.serve.counting import CONTENT_TYPE, Counting
from msapipe.serve.docs_page import add_docs
from msapipe.serve.guards import Guards
from msapipe.serve.jobs import Desk, Job, QueueFull, Stopping
from msapipe.serve.schema import Health, JobState, PathOfClip, Problem, Result
from msapipe.serve.scorer import Request as Wanted

# Kind of failure to the status for a waiting client.
_STATUS = {"clip": 422, "nothing": 422, "time": 422, "unavailable": 503, "cancelled": 503, "internal": 503}
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "The form is damaged."},
    401: {"model": Problem, "description": "The token is missing or wrong."},
    403: {"model": Problem, "description": "A page of another site sent it."},
    413: {"model": Problem, "description": "The body is larger than the limit."},
    415: {"model": Problem, "description": "No form with a file, or the file is no video or sound."},
    422: {"model": Problem, "description": "The request does not say what it should, or the clip cannot be scored."},
    429: {"model": Problem, "description": "Too many clips are waiting; see Retry-After."},
    503: {"model": Problem, "description": "No clip can be scored now: stopping, weights missing, disk full."},
}
_UPLOAD = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "format": "binary", "description": "A video or sound file."}
                    },
                },
                "encoding": {"file": {"contentType": "application/octet-stream"}},
            }
        },
    }
}
_RETRY = {"Retry-After": "5"}
_Id = Annotated[str, InPath(pattern="^[0-9a-f]{32}$", description="The id of a job.")]


@dataclass(frozen=True)
class Settings:
    """Settings of an application besides its desk.

    root: the folder below which clips may be named by path, resolved; None: uploads only.   token: the token that
    clients must send, "" for none.   model: the model's name.   hosts: accepted values of the Host header, () for any;
    they stop DNS rebinding, by which a foreign page's own name leads to this server.
    """

    root: Path | None = None
    token: str = ""
    model: str = "pocket"
    hosts: tuple[str, ...] = ()


def problems(*which: int) -> dict[int | str, dict[str, Any]]:
    """The error responses with these statuses, for the OpenAPI page."""
    return {status: _PROBLEMS[status] for status in which}


def make_app(desk: Desk, settings: Settings, counting: Counting) -> FastAPI:
    """The application around a desk, which it opens and closes."""

    app = FastAPI(
        title="msapipe",
        version=__version__,
        description="A raw video in, a sentiment score out.",
        lifespan=desk.life,
        docs_url=None,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
    )
    app.state.desk, app.state.settings, app.state.counting = desk, settings, counting
    counting.watch(desk)
    app.include_router(_open)
    app.include_router(_guarded)
    if settings.root is not None:
        app.include_router(_by_path)
    add_docs(app)
    app.add_exception_handler(RequestValidationError, _misunderstood)
    app.add_exception_handler(ClientDisconnect, _gone)
    if settings.hosts:
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(settings.hosts), www_redirect=False)
    app.add_middleware(Guards, most=desk.limits.bytes, counting=counting)
    return app


_bearer = HTTPBearer(auto_error=False, description="The token that the server was given.")


def _check_token(
    request: Request, given: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)] = None
) -> None:
    expected = request.app.state.settings.token
    sent = given.credentials if given is not None else ""
    if expected and not hmac.compare_digest(sent.encode("utf-8", "replace"), expected.encode()):
        detail = "the token is missing or wrong; send it as: Authorization: Bearer TOKEN"
        raise HTTPException(401, detail, {"WWW-Authenticate": "Bearer"})


_open = APIRouter()
_guarded = APIRouter(dependencies=[Depends(_check_token)], responses=problems(401, 403))
_by_path = APIRouter(dependencies=[Depends(_check_token)], responses=problems(401, 403))


def _desk(request: Request) -> Desk:
    desk: Desk = request.app.state.desk
    return desk


def _job(request: Request, job_id: _Id) -> Job:
    job = _desk(request).jobs.get(job_id)
    if job is None:
        raise HTTPException(404, "there is no such job; results are kept for a while only")
    return job


_OfDesk = Annotated[Desk, Depends(_desk)]
_OfJob = Annotated[Job, Depends(_job)]
_NO_JOB: dict[int | str, dict[str, Any]] = {404: {"model": Problem, "description": "No such job."}, **problems(422)}


@_open.get("/health", responses={503: {"model": Health, "description": "The server is being stopped."}})
async def health(request: Request, response: Response, desk: _OfDesk) -> Health:
    """Whether the server is alive, and whether its model is loaded."""
    response.status_code = 503 if desk.stopping else 200
    return Health(
        status="stopping" if desk.stopping else "ok",
        ready=desk.ready,
        model=request.app.state.settings.model,
        waiting=desk.waiting,
        running=desk.running,
        version=__version__,
    )


@_guarded.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(request: Request) -> Response:
    """Metrics for Prometheus."""
    return Response(request.app.state.counting.text(), media_type=CONTENT_TYPE)


@_guarded.post(
    "/predict", openapi_extra=_UPLOAD, response_model=Result, responses=problems(400, 413, 415, 422, 429, 503)
)
async def predict(request: Request, desk: _OfDesk) -> Any:
    """Score a clip and wait for the result. A client that disconnects cancels it."""
    job = await _take_upload(request, desk, page=False)
    end, gone = asyncio.create_task(job.end()), asyncio.create_task(_until_gone(request))
    await asyncio.wait([end, gone], return_when=asyncio.FIRST_COMPLETED)
    for task in (end, gone):
        task.cancel()
    if not job.finished:
        await desk.cancel(job)
    if job.result is None:
        raise HTTPException(_STATUS[job.kind], job.error, _RETRY if _STATUS[job.kind] == 503 else None)
    return job.result


@_guarded.post("/jobs", status_code=202, openapi_extra=_UPLOAD, responses=problems(400, 413, 415, 422, 429, 503))
async def new_job(request: Request, response: Response, desk: _OfDesk) -> JobState:
    """Submit a clip to be scored; its report is made too."""
    return _taken(request, response, await _take_upload(request, desk, page=True))


@_by_path.post("/jobs/by-path", status_code=202, responses=problems(400, 413, 422, 429, 503) | _NO_JOB)
async def new_job_by_path(request: Request, response: Response, asked: PathOfClip, desk: _OfDesk) -> JobState:
    """Submit a clip below the server's root."""
    _check_room(desk)
    root: Path = request.app.state.settings.root
    try:
        path = await asyncio.to_thread(intake.below_root, root, asked.path)
    except intake.NoSuchFile as error:
        raise HTTPException(404, str(error)) from None
    except intake.BadPath as error:
        raise HTTPException(422, str(error)) from None
    name = on_one_line(path.relative_to(root).as_posix())
    folder = await asyncio.to_thread(desk.new_folder)
    return _taken(request, response, _submit(desk, Job(name, folder, Wanted(path, name, folder / "page.html"))))


@_guarded.get("/jobs/{job_id}", responses=_NO_JOB)
async def job_state(request: Request, job: _OfJob) -> JobState:
    """The state of a job, and its result."""
    return _state(request, job)


@_guarded.get(
    "/jobs/{job_id}/events",
    response_class=StreamingResponse,
    responses=_NO_JOB | {200: {"content": {"text/event-stream": {}}, "description": "Events: progress, done, failed."}},
)
async def job_events(request: Request, job: _OfJob) -> StreamingResponse:
    """All events of a job, as server-sent events; Last-Event-ID resumes after that event."""
    last = request.headers.get("last-event-id", "")
    after = int(last) + 1 if last.isascii() and last.isdigit() and len(last) < 10 else 0

    async def told() -> AsyncIterator[bytes]:
        async for number, event in job.follow(after):
            values = {name: value for name, value in event.items() if name != "event"}
            yield format_sse_event(data_str=json.dumps(values), event=event["event"], id=str(number))

    return StreamingResponse(told(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})


@_guarded.get(
    "/jobs/{job_id}/report",
    response_class=FileResponse,
    responses=_NO_JOB
    | {
        200: {"content": {"text/html": {}}, "description": "The page of the clip."},
        409: {"model": Problem, "description": "There is none: it is not done, or it failed."},
    },
)
async def job_report(job: _OfJob) -> FileResponse:
    """The report of a clip: one page without outside resources."""
    page = job.request.page
    if job.status != "done" or page is None or not page.is_file():
        raise HTTPException(409, f"there is no report: the job is {job.status}. {job.error}".strip())
    # The page may run its own script, but without access to this server's origin.
    headers = {"Content-Security-Policy": "sandbox allow-scripts", "X-Content-Type-Options": "nosniff"}
    return FileResponse(page, media_type="text/html; charset=utf-8", headers=headers)


@_guarded.delete("/jobs/{job_id}", status_code=204, responses=_NO_JOB)
async def forget_job(job: _OfJob, desk: _OfDesk) -> None:
    """Cancel a job and delete everything kept of it."""
    await desk.cancel(job)


def _check_room(desk: Desk) -> None:
    try:
        desk.check()
    except QueueFull as error:
        raise HTTPException(429, str(error), _RETRY) from None
    except Stopping as error:
        raise HTTPException(503, str(error), _RETRY) from None


def _submit(desk: Desk, job: Job) -> Job:
    _check_room(desk)
    desk.submit(job)
    return job


async def _take_upload(request: Request, desk: Desk, page: bool) -> Job:
    """Store and submit the clip of a form; room in the queue is checked before and after the body is read."""
    _check_room(desk)
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise HTTPException(415, "expected a form (multipart/form-data) with the clip in its field 'file'")
    async with request.form(max_files=1, max_fields=10) as form:
        upload = form.get("file")
        if not isinstance(upload, UploadFile):
            raise HTTPException(422, "expected the clip as a file in the field 'file' of the form")
        name = intake.shown_name(upload.filename)
        try:
            folder = await asyncio.to_thread(desk.new_folder)
        except OSError as error:
            raise HTTPException(503, f"no clip can be kept: {error.strerror}", _RETRY) from None
        try:
            path = await asyncio.to_thread(intake.keep_upload, upload.file, folder, name)
            return _submit(desk, Job(name, folder, Wanted(path, name, folder / "page.html" if page else None)))
        except BaseException as error:
            await asyncio.to_thread(shutil.rmtree, folder, True)
            if isinstance(error, intake.WrongKind):
                raise HTTPException(415, str(error)) from None
            if isinstance(error, OSError):
                raise HTTPException(503, f"the clip cannot be kept: {error.strerror}", _RETRY) from None
            raise


async def _until_gone(request: Request) -> None:
    while not await request.is_disconnected():
        await asyncio.sleep(0.5)


def _taken(request: Request, response: Response, job: Job) -> JobState:
    state = _state(request, job)
    response.headers["Location"] = request.app.url_path_for("job_state", job_id=job.id)
    return state


def _state(request: Request, job: Job) -> JobState:
    desk, path = _desk(request), request.app.url_path_for
    order = list(desk.jobs.values())
    last: dict[str, Any] = next((event for event in reversed(job.events) if event["event"] == "progress"), {})
    return JobState(
        id=job.id,
        name=job.name,
        status=job.status,
        ahead=sum(each.status == "queued" for each in order[: order.index(job)]) if job.status == "queued" else 0,
        step=last.get("step"),
        reached=last.get("reached"),
        length=last.get("length"),
        error=job.error or None,
        result=None if job.result is None else Result.model_validate(job.result),
        report=path("job_report", job_id=job.id) if job.status == "done" and job.request.page else None,
        events=path("job_events", job_id=job.id),
    )


async def _misunderstood(_: Request, error: Exception) -> JSONResponse:
    """One sentence on the error in a request."""
    told = error.errors() if isinstance(error, RequestValidationError) else []
    parts = (f"{'.'.join(str(part) for part in each['loc'])}: {each['msg']}" for each in told)
    return JSONResponse({"detail": "; ".join(parts)}, 422)


async def _gone(_: Request, __: Exception) -> Response:
    """The client has disconnected."""
    return Response(status_code=400)
