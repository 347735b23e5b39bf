"""The server's answers, as its OpenAPI page describes them."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


class Problem(BaseModel):
    """Why a request failed."""

    detail: str = Field(description="What was found, what was expected, what to do.")


class Modality(BaseModel):
    """One modality's part in a score."""

    coverage: float = Field(description="Share of valid steps, in [0, 1].")
    missing: bool
    score: float | None = Field(description="What it says by itself.")
    score_without: float | None = Field(description="The clip's score with it switched off.")


class Words(BaseModel):
    """The spoken words."""

    text: str
    source: str
    language: str | None


class ScoredWindow(BaseModel):
    """One stretch of a long clip, in seconds."""

    start: float
    end: float
    score: float
    label: str
    interval: tuple[float, float] | None
    missing: list[str]


class Result(BaseModel):
    """The results of a clip."""

    clip_id: str
    file: str = Field(description="The name that was sent, or the path below the root.")
    status: str
    score: float
    scale: tuple[float, float]
    interval: tuple[float, float] | None = Field(description="Nine times in ten people's label lies in between.")
    polarity: float = Field(description="The score on [-1, 1].")
    label: str
    model: str
    modalities: dict[str, Modality]
    missing: list[str]
    transcript: Words
    timeline: list[ScoredWindow]
    notes: list[str]
    seconds: float
    timings: dict[str, float] = Field(description="Seconds of each step that was computed.")


class JobState(BaseModel):
    """A job, and its result when it is done."""

    id: str
    name: str
    status: Literal["queued", "running", "done", "failed"]
    ahead: int = Field(description="Jobs that wait before it.")
    step: str | None = Field(description="What is being computed.")
    reached: float | None = Field(description="Seconds of the clip that this step has read.")
    length: float | None = Field(description="Seconds that the file says it has.")
    error: str | None
    result: Result | None
    report: str | None = Field(description="Where its page is.")
    events: str = Field(description="Where its progress is told.")


class PathOfClip(BaseModel):
    """The path of a clip on the server."""

    path: str = Field(min_length=1, max_length=4096, description="Relative to the root that the server was given.")


class Health(BaseModel):
    """The state of the server."""

    status: Literal["ok", "stopping"]
    ready: bool = Field(description="Whether the model is loaded.")
    model: str
    waiting: int
    running: int
    version: str
