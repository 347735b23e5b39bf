"""The stage whatever measures: columns, notes, validity, parameters, what its results are kept under."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from msapipe.errors import ConfigError, MissingLibrary, MissingWeights
from msapipe.stages.vision import _units
from msapipe.stages.vision.action_units import ActionUnits
from msapipe.testing import fakes
from msapipe.types import FaceClip, FeatureSequence
from msapipe.weights.ready import check_licence

ORDER = ("01", "02", "04", "05", "06", "07", "09", "10", "12", "14", "15", "17", "20", "23", "25", "26", "45")


class Given:
    """A backend that gives intensities 1/20, 2/20, ... and every second presence, and cannot read the second row."""

    about = ("of a test",)

    def __init__(self) -> None:
        self.validity = _units.validity([1, 2, 4, 5], [1, 7])

    def measure(self, clip: FaceClip) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
        values = np.zeros((len(clip), 34), np.float32)
        values[:, :4] = np.array([0.1, 0.2, 0.3, 0.19], np.float32)
        values[:, 17 + 5] = 1  # AU07_c
        return np.arange(len(clip)) != 1, values


def measured(**params: Any) -> FeatureSequence:
    stage = ActionUnits(**params)
    stage._backend = Given()
    return stage.run(fakes.face_clip(3))


def column(out: FeatureSequence, name: str) -> list[float]:
    return [round(value, 6) for value in out.values[:, out.names.index(name)].tolist()]


def test_columns_are_those_of_openface() -> None:
    out = measured()
    assert out.names == tuple([f"AU{unit}_r" for unit in ORDER] + [f"AU{unit}_c" for unit in ORDER])
    assert out.values.shape == (3, 34)
    assert out.valid.tolist() == [True, False, True]
    assert column(out, "AU04_r") == [0.3, 0, 0.3]


def test_presences_that_a_backend_lacks_come_from_intensities() -> None:
    out = measured()
    assert column(out, "AU01_c") == [0, 0, 0]  # given, so 0.1 does not count
    assert column(out, "AU02_c") == [1, 0, 1]  # 0.2 is from 0.2 on
    assert column(out, "AU04_c") == [1, 0, 1]
    assert column(out, "AU05_c") == [0, 0, 0]
    assert column(out, "AU07_c") == [1, 0, 1]
    assert column(measured(presence=0.15), "AU05_c") == [1, 0, 1]
    assert column(measured(presence=0.25), "AU02_c") == [0, 0, 0]


def test_notes_name_what_is_not_given() -> None:
    lacking, derived, about = measured(presence=0.25).notes
    assert lacking.startswith("AU06_r, AU07_r, ")
    assert lacking.endswith("AU26_c, AU45_c: not given by libreface, always 0")
    assert "AU07_c" not in lacking
    assert derived == "AU02_c, AU04_c, AU05_c: derived, 1 where the intensity is 0.25 or more"
    assert about == "of a test"


def test_validity_says_where_each_value_is_from() -> None:
    out = measured(validity=True)
    assert out.values.shape == (3, 68)
    assert out.names[34:] == tuple(f"{name}_valid" for name in out.names[:34])
    assert np.array_equal(out.values[:, :34], measured().values)
    said = {name: column(out, f"{name}_valid") for name in ("AU01_r", "AU07_r", "AU01_c", "AU02_c", "AU07_c", "AU45_c")}
    first = {"AU01_r": 1, "AU07_r": 0, "AU01_c": 1, "AU02_c": 0.5, "AU07_c": 1, "AU45_c": 0}
    assert said == {name: [value, 0, value] for name, value in first.items()}


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"backend": "facet"}, "libreface, openface, mediapipe, pocket"),
        ({"presence": 1.5}, "presence"),
        ({"confidence": -0.1}, "confidence"),
        ({"presence": float("nan")}, "presence"),
        ({"program": "/bin/FeatureExtraction"}, "backend: openface"),
        ({"backend": "openface", "checkpoint": "libreface-au"}, "checkpoint"),
        ({"backend": "pocket", "checkpoint": "libreface-au"}, "checkpoint"),
    ],
)
def test_impossible_parameters_are_refused(params: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        ActionUnits(**params)


def test_weights_are_those_of_the_backend() -> None:
    assert [w.name for w in ActionUnits().own_weights()] == ["libreface-au"]
    (model,) = ActionUnits(backend="mediapipe").own_weights()
    assert (model.name, model.commercial) == ("mediapipe-face-landmarker", True)
    with pytest.raises(ConfigError, match="no checkpoint is called 'mediapipe-face-landmarker'"):
        ActionUnits(checkpoint="mediapipe-face-landmarker").own_weights()


def test_default_checkpoint_has_one_key() -> None:
    assert ActionUnits().params() == ActionUnits(checkpoint="libreface-au").params()
    assert ActionUnits().params() != ActionUnits(backend="mediapipe").params()


@pytest.mark.parametrize("backend", ["mediapipe", "pocket"])
def test_what_has_no_dtype_has_none_in_its_key(backend: Any) -> None:
    assert ActionUnits(backend=backend, dtype="bfloat16").params() == ActionUnits(backend=backend).params()
    assert ActionUnits(dtype="bfloat16").params() == {**ActionUnits().params(), "dtype": "bfloat16"}


def program(path: Path, text: str = "exit 0") -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_openface_is_kept_under_the_bytes_of_its_program(tmp_path: Path) -> None:
    first = ActionUnits(backend="openface", program=program(tmp_path / "one"))
    same = ActionUnits(backend="openface", program=program(tmp_path / "two"))
    other = ActionUnits(backend="openface", program=program(tmp_path / "three", "exit 1"))
    identities = [stage.own_weights()[0].identity for stage in (first, same, other)]
    assert identities[0] == identities[1] != identities[2]
    assert first.params() == same.params()
    assert str(tmp_path) not in str(first.params())


@pytest.mark.parametrize("backend", ["libreface", "openface"])
def test_licences_for_research_must_be_accepted(tmp_path: Path, backend: Any) -> None:
    named = program(tmp_path / "FeatureExtraction") if backend == "openface" else ""
    (weights,) = ActionUnits(backend=backend, program=named).own_weights()
    with pytest.raises(MissingWeights, match="may not be used for every purpose"):
        check_licence(weights)
    check_licence(weights, ["openface" if backend == "openface" else "libreface-au"])


def test_openface_is_found_by_name_by_variable_or_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = ActionUnits(backend="openface")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingLibrary, match="no FeatureExtraction is on the PATH"):
        stage.own_weights()
    program(tmp_path / "FeatureExtraction")
    assert stage.own_weights()[0].path() == tmp_path / "FeatureExtraction"
    program(tmp_path / "other")
    monkeypatch.setenv("MSAPIPE_OPENFACE", str(tmp_path / "other"))
    assert stage.own_weights()[0].path() == tmp_path / "other"
    with pytest.raises(ConfigError, match=r"program /no/where .* cannot be run"):
        ActionUnits(backend="openface", program="/no/where").own_weights()
    (tmp_path / "other").chmod(0o644)
    with pytest.raises(ConfigError, match="MSAPIPE_OPENFACE"):
        stage.own_weights()
