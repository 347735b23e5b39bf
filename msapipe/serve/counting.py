"""Metrics of a server, in the format that Prometheus reads."""

from __future__ import annotations

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from msapipe.serve.jobs import Desk, Job

CONTENT_TYPE = CONTENT_TYPE_LATEST
_BOUNDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)


class Counting:
    """Counts requests and jobs of one server."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        labels = ("method", "route", "status")
        self._requests = Counter("msapipe_requests", "Requests answered.", labels, registry=self._registry)
        self._jobs = Counter("msapipe_jobs", "Jobs that ended, by how.", ("status",), registry=self._registry)
        self._steps = Counter("msapipe_step_seconds", "Seconds spent, by step.", ("step",), registry=self._registry)
        self._seconds = Histogram(
            "msapipe_job_seconds", "Seconds of scoring a clip.", buckets=_BOUNDS, registry=self._registry
        )
        self._received = Counter("msapipe_received_bytes", "Bytes of request bodies.", registry=self._registry)
        self._waiting = Gauge("msapipe_jobs_waiting", "Jobs in the queue.", registry=self._registry)
        self._running = Gauge("msapipe_jobs_running", "Jobs being scored.", registry=self._registry)

    def watch(self, desk: Desk) -> None:
        """Report the length of a desk's queue in the metrics."""
        self._waiting.set_function(lambda: desk.waiting)
        self._running.set_function(lambda: desk.running)

    def request(self, method: str, route: str, status: int, received: int) -> None:
        """Count an answered request; route: its pattern, which keeps the number of metrics small."""
        self._requests.labels(method, route, str(status)).inc()
        self._received.inc(received)

    def job(self, job: Job) -> None:
        """Count a job that has ended."""
        self._jobs.labels(job.kind or job.status).inc()
        if job.result is not None:
            self._seconds.observe(job.result["seconds"])
            for step, seconds in job.result["timings"].items():
                self._steps.labels(step).inc(seconds)

    def text(self) -> bytes:
        """All metrics as text."""
        return generate_latest(self._registry)
