"""The demo page: upload or record a clip, choose pipeline and model, watch it being scored, compare two models."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from html import escape
from pathlib import Path
from typing import Any

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # gradio reads it once, when imported

import gradio as gr
from fastapi import FastAPI, HTTPException
from fastapi.responses import FileResponse
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request as Asked
from starlette.responses import Response

from msapipe.errors import MsapipeError
from msapipe.report.marks import marked
from msapipe.serve import intake
from msapipe.serve.jobs import Desk, Job
from msapipe.serve.scorer import Request

OWN_PIPELINE = "the model's own"
NO_SECOND = "no other model"
# Browsers may contact only this server, whatever the page's libraries link to.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:; "
    "connect-src 'self' blob: data:; frame-src 'self'; form-action 'self'"
)
_ABOUT = (
    "# msapipe\nA raw video in, a sentiment score out. Everything happens on the machine that serves this page. "
    "Models are wrong about people often: read their cards before you use a score for anything."
)


def make_demo(desk: Desk, pipelines: Sequence[str], models: Sequence[str], temporary: Path) -> FastAPI:
    """The page as an application around a desk, which it opens and closes.

    models: the choices, the first one preselected.   temporary: folder of uploads until they are scored.
    """
    os.environ["GRADIO_TEMP_DIR"] = str(temporary)

    app = FastAPI(lifespan=desk.life, openapi_url=None, docs_url=None, redoc_url=None)

    @app.get("/report/{job_id}")
    async def report(job_id: str) -> FileResponse:
        job = desk.jobs.get(job_id)
        if job is None or job.status != "done" or job.request.page is None:
            raise HTTPException(404, "there is no such report; reports are kept for a while only")
        headers = {"Content-Security-Policy": "sandbox allow-scripts"}
        return FileResponse(job.request.page, media_type="text/html; charset=utf-8", headers=headers)

    app.add_middleware(_Policy)
    page = _page(desk, pipelines, models)
    mounted: FastAPI = gr.mount_gradio_app(
        app,
        page,
        path="/",
        theme=_theme(gr),
        max_file_size=desk.limits.bytes,
        footer_links=[],
        ssr_mode=False,
        pwa=False,
        enable_monitoring=False,
        run_history=False,
    )
    return mounted


def _theme(gr: Any) -> Any:
    """System fonts, so that none is fetched; a blue dark enough for white text."""
    theme = gr.themes.Default(
        primary_hue="blue", font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
    )
    return theme.set(
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        color_accent="*primary_700",
    )


class _Policy(BaseHTTPMiddleware):
    """Adds a content security policy to every page; reports have their own."""

    async def dispatch(self, request: Asked, call_next: RequestResponseEndpoint) -> Response:
        response = await call_next(request)
        response.headers.setdefault("Content-Security-Policy", _POLICY)
        response.headers["Referrer-Policy"] = "no-referrer"
        return response


def _page(desk: Desk, pipelines: Sequence[str], models: Sequence[str]) -> Any:
    with gr.Blocks(title="msapipe", analytics_enabled=False, delete_cache=(600, 3600)) as page:
        gr.Markdown(_ABOUT)
        with gr.Row():
            with gr.Column(scale=1):
                with gr.Tab("Upload"):
                    upload = gr.File(label="A video or sound file", type="filepath", elem_id="upload")
                with gr.Tab("Record"):
                    recording = gr.Video(
                        label="Camera and microphone",
                        sources=["webcam"],
                        include_audio=True,
                        webcam_options=gr.WebcamOptions(mirror=False),  # mirroring would need ffmpeg
                    )
                model = gr.Dropdown(list(models), value=models[0], label="Model", elem_id="model")
                pipeline = gr.Dropdown(
                    [OWN_PIPELINE, *pipelines], value=OWN_PIPELINE, label="Pipeline", elem_id="pipeline"
                )
                second = gr.Dropdown([NO_SECOND, *models], value=NO_SECOND, label="Compare with", elem_id="second")
                button = gr.Button("Score", variant="primary", elem_id="score")
            with gr.Column(scale=3):
                state = gr.HTML("<p>Choose a clip, then press Score.</p>", elem_id="state")
                pages = gr.HTML("", elem_id="pages")

        async def score(
            uploaded: str | None, recorded: str | None, name: str, way: str, other: str
        ) -> AsyncIterator[tuple[str, str]]:
            path = uploaded or recorded
            if path is None:
                yield _alert("Choose a clip first: upload or record one."), ""
                return
            wanted = [name] if other in (NO_SECOND, name) else [name, other]
            async for told in _score(desk, Path(path), wanted, None if way == OWN_PIPELINE else way):
                yield told

        button.click(
            score,
            [upload, recording, model, pipeline, second],
            [state, pages],
            show_progress="hidden",
            concurrency_limit=32,  # the desk has its own limits
            api_visibility="private",
        )
    return page


async def _score(desk: Desk, path: Path, models: Sequence[str], pipeline: str | None) -> AsyncIterator[tuple[str, str]]:
    """The page's content while a clip is scored by one or two models, and afterwards."""
    name = intake.shown_name(path.name)
    jobs: list[Job] = []
    for number, model in enumerate(models, 1):
        try:
            job = await _submit(desk, path, name, model, pipeline)
        except (MsapipeError, OSError) as error:
            yield _alert(str(error)), ""
            return
        jobs.append(job)
        if job.status == "queued":
            yield f"<p role='status'>{escape(name)}: waiting, {desk.waiting} in the queue</p>", ""
        async for _, event in job.follow():
            if event["event"] == "progress":
                yield _progress(event, model, number, len(models)), ""
        if job.status == "failed":
            yield _alert(job.error), ""
            return
    yield (
        _scores([job.result or {} for job in jobs], models),
        "".join(_frame(job, model) for job, model in zip(jobs, models, strict=True)),
    )


async def _submit(desk: Desk, path: Path, name: str, model: str, pipeline: str | None) -> Job:
    """Submit a copy of the clip as a job. Raises WrongKind, QueueFull, Stopping, or OSError."""
    desk.check()
    folder = await asyncio.to_thread(desk.new_folder)
    with path.open("rb") as file:
        clip = await asyncio.to_thread(intake.keep_upload, file, folder, name)
    job = Job(name, folder, Request(clip, name, folder / "page.html", pipeline, model))
    desk.submit(job)
    return job


def _alert(text: str) -> str:
    return f"<p role='alert' id='problem'>{escape(marked(text))}</p>"


def _progress(event: dict[str, Any], model: str, number: int, of: int) -> str:
    """The current step and model, and the seconds of the clip read so far."""
    which = f", model {number} of {of} ({model})" if of > 1 else ""
    share = event["number"] / max(event["steps"], 1)
    read = ""
    if event["reached"] is not None and event["length"]:
        done = min(event["reached"] / event["length"], 1.0)
        share += done / max(event["steps"], 1)
        read = f": {event['reached']:.1f} of {event['length']:.1f} s"
    bar = f"<progress max='1' value='{share:.3f}' aria-label='{escape(event['step'])}'></progress>"
    return f"<p role='status' id='progress'>{escape(event['step'])}{read}{escape(which)} {bar}</p>"


def _scores(results: Sequence[dict[str, Any]], models: Sequence[str]) -> str:
    """A table with one column per model."""
    names = list(dict.fromkeys(name for result in results for name in result["modalities"]))
    rows = [
        ("score", [f"{result['score']:+.2f}" for result in results]),
        ("nine times in ten between", [_interval(result["interval"]) for result in results]),
        ("label", [result["label"] for result in results]),
        *((f"{name} alone", [_alone(result, name) for result in results]) for name in names),
        ("words", [result["transcript"]["text"][:300] for result in results]),
        ("notes", ["; ".join(result["notes"]) for result in results]),
    ]
    head = "".join(f"<th scope='col'>{escape(marked(model))}</th>" for model in models)
    body = "".join(
        f"<tr><th scope='row'>{escape(name)}</th>{''.join(f'<td>{escape(marked(cell))}</td>' for cell in cells)}</tr>"
        for name, cells in rows
    )
    return f"<table id='scores'><thead><tr><th scope='col'>model</th>{head}</tr></thead><tbody>{body}</tbody></table>"


def _interval(bounds: Sequence[float] | None) -> str:
    return "not known" if bounds is None else f"{bounds[0]:+.1f} and {bounds[1]:+.1f}"


def _alone(result: dict[str, Any], name: str) -> str:
    part = result["modalities"].get(name)
    if part is None:
        return "not read"
    return "missing" if part["missing"] else "no score of its own" if part["score"] is None else f"{part['score']:+.2f}"


def _frame(job: Job, model: str) -> str:
    title = escape(f"Report: {job.name}, model {model}", quote=True)
    return (
        f"<iframe title='{title}' src='report/{job.id}' sandbox='allow-scripts' "
        "style='width:100%;height:80vh;border:1px solid #8888'></iframe>"
    )
