"""The process that scores clips for a server: requests on standard input, events on standard output, as JSON lines.

The first line gives the cache, the device and what to load at once. A request is {clip, name, page, pipeline,
model}; its answers are any number of {"event": "progress"}, then one {"event": "done", "result"} or {"event":
"failed", "kind", "error"}.
The process ends with its input, or on a signal; a clip that crashes it affects nothing else.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import sys
import time
from collections import OrderedDict
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, Any

# Ctrl-C reaches every process of the terminal; only the server handles it. Set before the slow imports.
signal.signal(signal.SIGINT, signal.SIG_IGN)

from msapipe.cache import open_store  # noqa: E402
from msapipe.errors import EndsRun, MsapipeError, NothingToScore  # noqa: E402
from msapipe.interrupts import not_outlive  # noqa: E402
from msapipe.media.regular import named  # noqa: E402
from msapipe.pipeline.explain import explain  # noqa: E402
from msapipe.pipeline.model_pipeline import choose_spec  # noqa: E402
from msapipe.pipeline.plan import Step  # noqa: E402
from msapipe.pipeline.predict import Model  # noqa: E402
from msapipe.pipeline.progress import Progress  # noqa: E402
from msapipe.pipeline.run import Options, Outcome, Runner  # noqa: E402
from msapipe.pipeline.scoring import as_object, model_of, scored  # noqa: E402
from msapipe.report.clip_page import Told, write_clip_page  # noqa: E402
from msapipe.types import Clip  # noqa: E402

log = logging.getLogger("msapipe")

# Number of loaded pipelines and models that are kept: enough to compare two.
_KEPT = 2
# Seconds between two progress events of one step.
_SAY_EVERY = 0.25


@dataclass
class _Loaded:
    """A loaded pipeline and model."""

    runner: Runner
    model: Model

    def warm(self) -> None:
        """Load libraries and weights before the first clip; errors are reported when a clip needs them."""
        for use in self.runner.spec.uses():
            step = Step(use.slot, "", use, (), "", {}, self.runner.store)
            try:
                self.runner.load(step)
            except MsapipeError as error:
                log.info("%s: %s", step.name, error)
        self.model.load()


class Scoring:
    """Scores clips and reports events to ``out``."""

    def __init__(self, start: dict[str, Any], out: IO[str]) -> None:
        self._start, self._out = start, out
        self._loaded: OrderedDict[tuple[str | None, str | None], _Loaded] = OrderedDict()
        self._told = ("", 0.0)

    def close(self) -> None:
        """End decoding processes and remove unfinished files."""
        for loaded in self._loaded.values():
            loaded.runner.close()

    def warm(self, pipeline: str | None, model: str | None) -> None:
        """Load a pipeline and a model. Raises MsapipeError for unknown names, or if the two do not fit."""
        self._get(pipeline, model).warm()

    def answer(self, request: dict[str, Any]) -> None:
        """Score the clip of a request; errors become events."""
        path = Path(request["clip"])
        try:
            self.tell("done", result=self._score(path, request))
        except NothingToScore as error:
            self._fail("nothing", error, path, request)
        except EndsRun as error:
            self._fail("unavailable", error, path, request)
        except MsapipeError as error:
            self._fail("clip", error, path, request)
        except Exception as error:
            log.warning("internal error", exc_info=True)
            self._fail("internal", error, path, request)

    def _score(self, path: Path, request: dict[str, Any]) -> dict[str, Any]:
        loaded = self._get(request["pipeline"], request["model"])
        clip = Clip(request["name"], path)
        (outcome,) = scored([loaded.runner.run(clip)], loaded.model, loaded.runner)
        found = outcome.values.get("prediction")
        if found is None:
            nothing = outcome.features and not any(part.valid.any() for part in outcome.features.values())
            raise (NothingToScore if nothing else MsapipeError)(outcome.error or "no score")
        outcome.notes = tuple(_renamed(list(outcome.notes), path, request["name"]))
        found = replace(found, notes=tuple(_renamed(list(found.notes), path, request["name"])))
        outcome.values["prediction"] = found
        if request["page"]:
            self._write_page(Path(request["page"]), outcome, loaded, request["name"])
        told: dict[str, Any] = _renamed(as_object(outcome, found), path, request["name"])
        return told

    def _write_page(self, page: Path, outcome: Outcome, loaded: _Loaded, name: str) -> None:
        self.tell("progress", step="report", number=0, steps=1, reached=None, length=None)
        runner = loaded.runner
        why = explain(outcome, outcome.values["prediction"], loaded.model, runner)
        write_clip_page(page, Told(outcome, outcome.values["prediction"], why, runner.spec, name))

    def _get(self, pipeline: str | None, model: str | None) -> _Loaded:
        known = self._loaded.get((pipeline, model))
        if known is None:
            if len(self._loaded) >= _KEPT:
                self._loaded.popitem(last=False)[1].runner.close()
            scorer, reduced = model_of(model, choose_spec(pipeline, model), [], False)
            options = Options(self._start["device"], must_keep=False, offline=self._start["offline"])
            runner = Runner(reduced, open_store(self._start["cache"]), options, self._listen)
            known = self._loaded[pipeline, model] = _Loaded(runner, scorer)
        self._loaded.move_to_end((pipeline, model))
        return known

    def _listen(self, progress: Progress) -> None:
        step, at = self._told
        now = time.monotonic()
        if progress.step != step or now - at > _SAY_EVERY:
            self._told = (progress.step, now)
            self.tell("progress", **asdict(progress))

    def _fail(self, kind: str, error: Exception, path: Path, request: dict[str, Any]) -> None:
        text = str(error) if isinstance(error, MsapipeError) else f"internal error: {type(error).__name__}"
        self.tell("failed", kind=kind, error=_renamed(text, path, request["name"]))

    def tell(self, event: str, **values: Any) -> None:
        """Write an event."""
        self._out.write(json.dumps({"event": event, **values}) + "\n")
        self._out.flush()


def _renamed(value: Any, path: Path, name: str) -> Any:
    """The value with the clip's name in place of its path: clients must not learn the server's folders."""
    if isinstance(value, str):
        return value.replace(str(path), name).replace(named(path), name)
    if isinstance(value, list | tuple):
        return [_renamed(item, path, name) for item in value]
    if isinstance(value, dict):
        return {key: _renamed(item, path, name) for key, item in value.items()}
    return value


def main() -> None:
    """Answer until the input ends."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    out = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)  # library output must not get between two answers
    start = json.loads(sys.stdin.readline())
    not_outlive(start["parent"])
    scoring = Scoring(start, out)
    with contextlib.closing(scoring):
        try:
            scoring.warm(start["pipeline"], start["model"])
        except MsapipeError as error:
            scoring.tell("failed", kind="unavailable", error=str(error))
            return
        scoring.tell("ready")
        for line in sys.stdin:
            scoring.answer(json.loads(line))


if __name__ == "__main__":
    main()
