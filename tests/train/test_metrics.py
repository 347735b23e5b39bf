"""Metrics against hand-made vectors (their full list lies beside the project) and against their pitfalls."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from msapipe.errors import ConfigError
from msapipe.train.metrics import highest_errors, multiple_correlation, pearson, psc, score

NAMES = {
    "acc2_neg_nonneg": "acc2_has0",
    "f1_neg_nonneg": "f1_has0",
    "acc2_neg_pos": "acc2_non0",
    "f1_neg_pos": "f1_non0",
}
NOT_REPORTED = {"acc2_nonpos_pos", "acc7_half_away_from_zero"}


def test_every_vector(worked_numbers: Path) -> None:
    vectors = json.loads((worked_numbers / "metrics.json").read_text())["vectors"]
    compared = 0
    for vector in vectors:
        expected = vector["expected"]
        if vector["scheme"] in ("mosi", "sims"):
            found = score(vector["y"], vector["y_hat"], vector["scheme"])
            for name, value in expected.items():
                if name not in NOT_REPORTED:
                    assert found[NAMES.get(name, name)] == pytest.approx(value, abs=1e-5), (vector["name"], name)
                    compared += 1
        elif vector["scheme"] == "psc":
            assert psc(vector["coords"], vector["errors"]) == pytest.approx(expected["psc"], abs=1e-5)
        else:
            assert highest_errors(vector["errors"]).tolist() == expected["indices"]
    assert compared >= 90


def test_halves_round_to_even_and_zero_is_positive_only_where_it_should() -> None:
    found = score([0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 1, 0], [1, 2, 3, -1, -2, -3, 1.5, 0.5], "mosi")
    assert found["acc7"] == 0.375  # rounding halves away from zero would give 0.75
    assert score([0.0, 1, -1], [0.0, 1, -1], "mosi")["acc2_has0"] == 1
    assert score([0.0, 1], [0.1, 1], "sims")["acc2"] == 0.5  # a label of 0 is negative there


def test_sims_bins_are_those_of_float32() -> None:
    found = score([0.1, 0.1, -0.1, 0.4], [0.100000003, 0.0999999, -0.0999999, 0.41], "sims")
    assert found["acc3"] == 0.75


def test_what_is_not_defined_is_none() -> None:
    found = score([1.0, 2.0], [0.5, 0.5], "mosi")
    assert found["corr"] is None
    assert score([0.0, 0.0], [0.1, -0.1], "mosi")["acc2_non0"] is None
    assert score([0.9, -0.9], [0.1, -0.1], "sims")["acc2_weak"] is None
    assert pearson([1], [1]) is None


@pytest.mark.parametrize(("truth", "predicted"), [([1.0], [1.0, 2.0]), ([], []), ([1.0], [np.nan])])
def test_what_cannot_be_measured_is_said(truth: list[float], predicted: list[float]) -> None:
    with pytest.raises(ConfigError, match="metrics need"):
        score(truth, predicted, "mosi")


def test_the_multiple_correlation_does_not_depend_on_the_rotation_of_the_map() -> None:
    random = np.random.default_rng(0)
    places, errors = random.normal(size=(40, 2)), random.random(40)
    turn = np.array([[np.cos(1), -np.sin(1)], [np.sin(1), np.cos(1)]])
    assert multiple_correlation(places @ turn, errors) == pytest.approx(multiple_correlation(places, errors))
    assert psc(places @ turn, errors) != pytest.approx(psc(places, errors))
