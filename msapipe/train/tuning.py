"""A search for settings. Each trial follows from the earlier ones, so that a killed search resumes unchanged.

Bergstra et al., "Algorithms for Hyper-Parameter Optimization" (2011), as implemented in optuna.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from msapipe.cache import digest
from msapipe.documents import read_json
from msapipe.errors import ConfigError, EndsRun, MissingLibrary, MsapipeError
from msapipe.fusion._base import FusionModel
from msapipe.train.data import DataSet
from msapipe.train.params import assign
from msapipe.train.study import Study, Trained

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_RANGE = re.compile(rf"({_NUMBER})\.\.({_NUMBER})(\s+log)?")
# A comma outside [brackets].
_COMMA = re.compile(r",(?![^\[]*\])")


@dataclass(frozen=True)
class Range:
    """Numbers from low to high, inclusive; integers if both are.   log: sampled uniformly on a log scale."""

    low: float
    high: float
    log: bool = False

    def distribution(self) -> BaseDistribution:
        """The range as an optuna distribution."""
        distributions = load_optuna().distributions
        if isinstance(self.low, int) and isinstance(self.high, int):
            whole: BaseDistribution = distributions.IntDistribution(self.low, self.high, log=self.log)
            return whole
        real: BaseDistribution = distributions.FloatDistribution(self.low, self.high, log=self.log)
        return real

    def text(self, value: float) -> str:
        """The number as text, to three digits; the trial uses exactly this value."""
        if isinstance(value, int):
            return str(value)
        return repr(min(max(float(f"{value:.3g}"), self.low), self.high))

    def value(self, text: str) -> float:
        """The number in a text."""
        return int(text) if isinstance(self.low, int) and isinstance(self.high, int) else float(text)


@dataclass(frozen=True)
class Choices:
    """Values as the user types them."""

    texts: tuple[str, ...]

    def distribution(self) -> BaseDistribution:
        """The choices as an optuna distribution."""
        distribution: BaseDistribution = load_optuna().distributions.CategoricalDistribution(self.texts)
        return distribution

    def text(self, value: str) -> str:
        """The choice itself."""
        return value

    def value(self, text: str) -> str:
        """The choice itself."""
        return text


Space = Mapping[str, Range | Choices]


def read_space(
    cls: type[FusionModel], texts: Sequence[str], assignments: Sequence[str] = ()
) -> dict[str, Range | Choices]:
    """A space of ``key=LOW..HIGH``, ``key=LOW..HIGH log`` and ``key=A,B,C`` texts.

    Keys and types are those of ``--set``. assignments: fixed settings, which may not vary. Raises ConfigError.
    """
    taken = {text.partition("=")[0].strip() for text in assignments}
    space: dict[str, Range | Choices] = {}
    for text in texts:
        name, _, values = text.partition("=")
        name, values = name.strip(), values.strip()
        if name in taken:
            raise ConfigError(f"--space {text}: {name} is given twice, here and in another --space or --set")
        taken.add(name)
        found = _RANGE.fullmatch(values)
        space[name] = _range(cls, text, name, *found.groups()) if found else _choices(cls, text, name, values)
    if not space:
        raise ConfigError("--space: name at least one setting, as in --space 'lr=1e-4..1e-2 log'")
    return space


def _range(cls: type[FusionModel], text: str, name: str, low: str, high: str, log: str | None) -> Range:
    ends = [_typed(cls, text, name, end) for end in (low, high)]
    if any(type(end) not in (int, float) for end in ends):
        raise ConfigError(f"--space {text}: {name} is no number; give its values, as in {name}=A,B,C")
    if not ends[0] < ends[1]:
        raise ConfigError(f"--space {text}: the lowest must be below the highest")
    if log and ends[0] <= 0:
        raise ConfigError(f"--space {text}: log needs numbers above 0")
    return Range(ends[0], ends[1], bool(log))


def _choices(cls: type[FusionModel], text: str, name: str, values: str) -> Choices:
    texts = tuple(dict.fromkeys(part.strip() for part in _COMMA.split(values)))
    for value in texts:
        _typed(cls, text, name, value)
    if len(texts) < 2:
        raise ConfigError(f"--space {text}: expected LOW..HIGH or several values; one value goes to --set {name}=...")
    return Choices(texts)


def _typed(cls: type[FusionModel], text: str, name: str, value: str) -> Any:
    """A value as the type of its model parameter or training setting."""
    try:
        params, settings = assign(cls, [f"{name}={value}"])
    except ConfigError as error:
        raise ConfigError(f"--space {text}: {str(error).removeprefix('--set ')}") from error
    return params[name] if name in params else getattr(settings, name)


@dataclass(frozen=True)
class Trial:
    """One trial.

    chosen: setting to value, as typed.   error: mean absolute error over the validation split; None if the training
    failed, for ``reason``.
    """

    number: int
    chosen: dict[str, str]
    error: float | None
    reason: str = ""
    epochs: int = 0
    parameters: int = 0
    seconds: float = 0.0

    @property
    def rank(self) -> tuple[float, int]:
        """Sort key, smaller is better; failed trials come last."""
        return (math.inf if self.error is None else self.error, self.number)

    @property
    def assignments(self) -> list[str]:
        """The chosen settings, for ``--set``."""
        return [f"{name}={value}" for name, value in self.chosen.items()]


class Search:
    """Tries settings of a model on the training split and judges them by the validation split, with one seed.

    The test split is removed from the data first.   make: the study of a model on data with ``key=value`` texts of the
    space.   folder: holds the file of finished trials, whose name depends on everything that could change one.
    """

    def __init__(
        self,
        data: DataSet,
        make: Callable[[DataSet, Sequence[str]], Study],
        space: Space,
        folder: Path,
        seed: int = 1111,
    ) -> None:
        load_optuna()
        self.data = replace(data, samples=tuple(sample for sample in data.samples if sample.split != "test"))
        self.make, self.space, self.folder, self.seed = make, dict(space), folder, seed
        plain = make(self.data, ())
        if not len(plain.tables["valid"].labelled(("M",))):
            raise MsapipeError(f"{data.name}: no clip of the validation split has a label, and a search goes by those")
        ways = [[name, type(part).__name__, asdict(part)] for name, part in space.items()]
        key = digest({"study": plain.folder.name, "space": ways, "seed": seed})
        self.file = folder / f"trials-{key[:12]}.json"

    def run(
        self, count: int, train: Callable[[Study], Trained], tell: Callable[[Trial], None] = lambda trial: None
    ) -> list[Trial]:
        """The first ``count`` trials; stored ones are not repeated.

        train: trains a study with the search's seed.   tell: called after every trial. Raises MsapipeError when all
        trials failed.
        """
        trials = self._read()[:count]
        for number in range(len(trials), count):
            trial = self._try(number, suggest(self.space, trials, self.seed), train)
            trials.append(trial)
            self._write(trials)
            tell(trial)
        if all(trial.error is None for trial in trials):
            raise MsapipeError(f"all {len(trials)} trials failed, the first for: {trials[0].reason}")
        return trials

    def _try(self, number: int, chosen: dict[str, str], train: Callable[[Study], Trained]) -> Trial:
        trial = Trial(number, chosen, None)
        try:
            found = train(self.make(self.data, trial.assignments))
        except (EndsRun, MissingLibrary):
            raise
        except MsapipeError as error:
            return replace(trial, reason=str(error))
        # The weights of trials are not needed: the chosen settings are trained again with more seeds.
        found.weights.unlink(missing_ok=True)
        return replace(
            trial,
            error=found.error("valid"),
            epochs=found.epochs,
            parameters=found.parameters,
            seconds=round(found.seconds, 3),
        )

    def _read(self) -> list[Trial]:
        try:
            return [Trial(**entry) for entry in read_json(self.file.read_text(encoding="utf-8"))]
        except FileNotFoundError:
            return []

    def _write(self, trials: Sequence[Trial]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        part = self.file.with_suffix(".part")
        part.write_text(json.dumps([asdict(trial) for trial in trials], indent=1) + "\n", encoding="utf-8")
        os.replace(part, self.file)


def suggest(space: Space, trials: Sequence[Trial], seed: int) -> dict[str, str]:
    """The trial after ``trials``: setting to value, as typed. The same trials and seed give the same answer."""
    optuna = load_optuna()
    kinds = {name: part.distribution() for name, part in space.items()}
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=(seed * 100_003 + len(trials)) % 2**32))
    for trial in trials:
        study.add_trial(
            optuna.trial.create_trial(
                params={name: space[name].value(text) for name, text in trial.chosen.items()},
                distributions=kinds,
                value=trial.rank[0],
            )
        )
    asked = study.ask(kinds).params
    return {name: part.text(asked[name]) for name, part in space.items()}


def load_optuna() -> ModuleType:
    """The package optuna, limited to warnings."""
    try:
        import optuna
    except ImportError as error:
        raise MissingLibrary(f'a search needs optuna ({error}); type: uv pip install "msapipe[tune]"') from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
