"""What the command line can say of models and their training: every value, and one phase or group alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest

from msapipe.errors import ConfigError
from msapipe.fusion import fusion_models
from msapipe.fusion._base import Group, Phase
from msapipe.fusion.dec import Dec
from msapipe.train.params import assign, parameters
from msapipe.train.settings import Settings

DIMS = {"text": 4, "audio": 3, "vision": 2}


def literals(hint: Any) -> Iterator[Any]:
    """All values of the literals in a type."""
    for part in get_args(hint):
        if get_origin(hint) is Literal:
            yield part
        else:
            yield from literals(part)


def values(hint: Any) -> Iterator[tuple[str, Any]]:
    """What a user types, and what it means."""
    several = get_origin(hint) is tuple
    found = list(literals(hint))
    for value in found:
        yield str(value), (value,) if several else value
    if several and len(found) > 1:
        yield ",".join(map(str, found[:2])), tuple(found[:2])
        yield f"[{', '.join(map(str, found[:2]))}]", tuple(found[:2])
    if hint is str:
        yield from (("12", "12"), ("./a b", "./a b"), ("no", "no"), ("", ""))
    if hint is bool:
        yield from (("true", True), ("no", False))
    if hint is float:
        yield from (("1e-4", 1e-4), ("2", 2.0))


PARAMETERS = [
    (name, parameter, text, value)
    for name in sorted(fusion_models().where())
    for parameter, hint in get_type_hints(fusion_models().get(name).__init__).items()
    if parameter in parameters(fusion_models().get(name))
    for text, value in values(hint)
]


@pytest.mark.parametrize(("name", "parameter", "text", "value"), PARAMETERS)
def test_every_value_of_every_parameter_can_be_typed(name: str, parameter: str, text: str, value: Any) -> None:
    found, _ = assign(fusion_models().get(name), [f"{parameter}={text}"])
    assert found == {parameter: value}
    assert type(found[parameter]) is type(value)


def test_the_parameters_are_those_of_the_registry() -> None:
    named = {(name, parameter, text) for name, parameter, text, _ in PARAMETERS}
    assert {("dec", "stages", "0"), ("dec", "stages", "1,2"), ("hma", "msg", "text,audio")} <= named


PHASES = (
    Phase("pretrain", (Group(lr=1e-3),), epochs=200, batch=8),
    Phase("fit", (Group(lr=4e-4, name="heads"), Group(("net.",), lr=1e-4, name="language_model")), epochs=50),
)


def settings(*texts: str) -> list[Phase]:
    return assign(Dec, texts)[1].of(PHASES)


def test_plain_settings_keep_the_shares_of_phases_and_groups() -> None:
    first, second = settings("epochs=20", "lr=2e-3", "batch=5")
    assert (first.epochs, second.epochs, first.batch, second.batch) == (20, 5, 5, 5)
    assert [group.lr for group in (*first.groups, *second.groups)] == pytest.approx([2e-3, 2e-3, 5e-4])
    assert [phase.epochs for phase in settings("epochs=1")] == [1, 1]
    assert settings() == list(PHASES)


def test_one_phase_and_one_group_can_be_set_alone() -> None:
    first, second = settings("phase.pretrain.epochs=7", "group.language_model.lr=3e-6", "phase.fit.patience=null")
    assert (first.epochs, second.epochs, second.patience) == (7, 50, None)
    assert [group.lr for group in (*first.groups, *second.groups)] == [1e-3, 4e-4, 3e-6]
    first, second = settings("lr=1e-2", "phase.fit.group.heads.lr=5e-5", "phase.pretrain.lr=1e-6")
    assert [group.lr for group in (*first.groups, *second.groups)] == pytest.approx([1e-6, 5e-5, 2.5e-3])


@pytest.mark.parametrize("name", sorted(fusion_models().where()))
def test_every_phase_and_group_of_every_model_has_a_name_to_call_it_by(name: str) -> None:
    cls = fusion_models().get(name)
    for phase in cls(DIMS).phases():
        assert len({group.name for group in phase.groups}) == len(phase.groups)
        for group in phase.groups:
            _, asked = assign(cls, [f"phase.{phase.name}.epochs=3", f"group.{group.name}.lr=0.5"])
            changed = {found.name: found for found in asked.of(cls(DIMS).phases())}[phase.name]
            assert changed.epochs == 3
            assert {part.name: part.lr for part in changed.groups}[group.name] == 0.5


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("phase.pretrian.epochs=3", r"no phase is called 'pretrian'; did you mean 'pretrain'"),
        ("group.lm.lr=3", "no group is called 'lm'.*there is all, heads, language_model"),
        ("group.heads.epochs=3", "no setting 'epochs'"),
        ("phase.fit=3", r"expected phase\.NAME\.key"),
        ("phase.fit.epochs=many", r"--set phase\.fit\.epochs"),
        ("phase.fit.epochs=0", "epochs: found 0"),
        ("group.heads.lr=-1", "lr: found -1"),
        ("stages=4", "--set stages: .*found '4'"),
    ],
)
def test_a_wrong_setting_is_one_sentence(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        settings(text)


def test_how_many_clips_are_scored_at_once_is_a_setting(tmp_path: Path) -> None:
    assert assign(Dec, ["scored_at_once=4"])[1] == Settings(scored_at_once=4)
    with pytest.raises(ConfigError, match="scored_at_once: found 0"):
        assign(Dec, ["scored_at_once=0"])
