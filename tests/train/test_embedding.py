"""The map of fused features: what it measures on planted errors, what it draws, and when it refuses."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from msapipe.errors import ConfigError, MissingLibrary
from msapipe.formats import FORMATS
from msapipe.fusion._base import Batch, FusionModel, Output
from msapipe.report import figures
from msapipe.train import embedding
from msapipe.train.embedding import Embedding, chance, embed, tsne
from msapipe.train.metrics import multiple_correlation, psc
from msapipe.types import FeatureSequence, Sample
from tests.program import run_program

COUNT = 120


class Plain(FusionModel):
    """Fuses by taking the first step as it is, and scores 0."""

    standardizes = False

    def forward(self, batch: Batch) -> Output:
        first = batch.values["text"][:, 0]
        return Output(score=torch.zeros(len(batch)), features={"fused": first} if self.fuses else {})

    fuses = True


def clips(count: int = COUNT, width: int = 4, split: str = "test") -> list[Sample]:
    """Clips on a line in feature space; the label, and with it the error of a score of 0, grows along it."""
    random = np.random.default_rng(0)
    found = []
    for i in range(count):
        values = random.normal(scale=0.05, size=(1, width)).astype(np.float32)
        values[0, 0] += 10 * i / count
        part = FeatureSequence(values, np.array([[0.0, 1.0]]), np.array([True]), tuple(map(str, range(width))))
        found.append(Sample(f"{split}{i:03d}", {"text": part}, {"M": 3 * i / count}, split, f"{split}{i}"))
    return found


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The two main components in place of t-SNE."""

    def components(rows: np.ndarray, seed: int, perplexity: float = 30.0) -> np.ndarray:
        centred = rows - rows.mean(0)
        return np.asarray(centred @ np.linalg.svd(centred, full_matrices=False)[2][:2].T, np.float64)

    monkeypatch.setattr(embedding, "tsne", components)


def test_errors_that_lie_together_are_seen() -> None:
    unlabelled = [Sample("none", clips(1)[0].features)]
    found = embed(Plain({"text": 4}), [*clips(), *unlabelled])
    assert len(found.ids) == COUNT
    assert found.places.shape == (COUNT, 2)
    assert found.errors == pytest.approx([3 * i / COUNT for i in range(COUNT)], abs=1e-6)
    assert found.highest.tolist() == list(range(108, 120))
    assert found.psc_r is not None
    assert found.psc is not None
    assert found.psc_r > 0.8
    assert found.psc_r >= found.psc
    assert found.psc_p == found.psc_r_p == pytest.approx(1 / 1001)
    again = embed(Plain({"text": 4}), clips())
    np.testing.assert_array_equal(again.places, found.places)
    assert again.psc_r_p == found.psc_r_p


def test_tsne_has_the_settings_of_the_paper(monkeypatch: pytest.MonkeyPatch) -> None:
    import sklearn.manifold

    asked: dict[str, object] = {}

    def recorded(**settings: object) -> SimpleNamespace:
        asked.update(settings)
        return SimpleNamespace(fit_transform=lambda rows: rows[:, :2])

    monkeypatch.setattr(sklearn.manifold, "TSNE", recorded)
    tsne(np.random.default_rng(0).normal(size=(5, 3)), seed=4)
    assert asked == {
        "n_components": 2,
        "perplexity": 30,
        "learning_rate": 200,
        "early_exaggeration": 12,
        "max_iter": 2000,
        "init": "pca",
        "random_state": 4,
        "n_jobs": 1,
    }


def test_chance_is_one_in_a_thousand_for_a_law_and_common_for_noise() -> None:
    random = np.random.default_rng(1)
    places = random.normal(size=(60, 2))
    law, noise = places @ [0.6, -0.8], random.normal(size=60)
    assert chance(multiple_correlation, places, law, 0) == pytest.approx(1 / 1001)
    assert 0.05 < (chance(multiple_correlation, places, noise, 0) or 0) < 1
    assert chance(psc, places, np.ones(60), 0) is None
    # Two errors: either order has |r| = 1, so that every shuffle reaches as much.
    assert chance(psc, [[0, 0], [1, 2]], [0.1, 0.9], 0) == 1


def test_turning_the_map_changes_psc_alone() -> None:
    random = np.random.default_rng(2)
    places = random.normal(size=(50, 2))
    errors = places[:, 0] + 0.1 * random.normal(size=50)
    turned = places @ (np.array([[1, -1], [1, 1]]) / np.sqrt(2))
    assert multiple_correlation(turned, errors) == pytest.approx(multiple_correlation(places, errors))
    assert (psc(turned, errors) or 0) > (psc(places, errors) or 0) + 0.1


@pytest.mark.parametrize("rows", [np.full((120, 3), np.nan), 5 + np.eye(120) * 1e-7, np.eye(120) * 1e-30])
def test_features_that_would_end_the_process_are_refused(rows: np.ndarray) -> None:
    with pytest.raises(ConfigError, match="differ between clips"):
        tsne(rows, 0)


@pytest.mark.parametrize(
    ("samples", "fuses", "said"),
    [
        (clips(9), True, "needs at least 10 labelled clips, found 9"),
        (clips(), False, "Plain has no feature 'fused'"),
        (clips(width=1), True, "found 1, and differences"),
        (
            [Sample(f"{i}", clips(1)[0].features, {"M": 0.0}) for i in range(COUNT)],
            True,
            "differences up to 0",
        ),
    ],
)
def test_where_there_is_no_map_it_says_so(samples: list[Sample], fuses: bool, said: str) -> None:
    model = Plain({"text": samples[0].features["text"].values.shape[1]})
    model.fuses = fuses
    with pytest.raises(ConfigError, match=said):
        embed(model, samples)


def test_the_figure_shows_every_clip_and_rings_the_largest_errors(quick: None, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    found = embed(Plain({"text": 4}), clips())
    figure = figures.draw_embeddings([("title", found), ("again", found)])
    assert len(figure.axes) == 3  # two maps and one scale of colours
    points, rings = figure.axes[0].collections
    np.testing.assert_allclose(points.get_offsets(), found.places)
    np.testing.assert_allclose(points.get_array(), found.errors)
    np.testing.assert_allclose(rings.get_offsets(), found.places[-12:])
    assert "rotation" in figure.axes[0].get_xlabel()
    for ending, magic in ((".png", b"\x89PNG"), (".pdf", b"%PDF"), (".svg", b"<?xml")):
        figures.save(figure, tmp_path / f"map{ending}")
        assert (tmp_path / f"map{ending}").read_bytes().startswith(magic)


def test_what_is_not_defined_is_said_in_the_figure() -> None:
    pytest.importorskip("matplotlib")
    zeros = np.zeros(2)
    side = np.zeros(2, np.int64)
    nothing = Embedding(("a", "b"), np.eye(2), zeros, side, 30.0, zeros, np.array([0]), None, None, None, None)
    assert "PSC not defined" in figures.draw_embeddings([("title", nothing)]).axes[0].get_xlabel()


@pytest.mark.parametrize("color", ["label", "cluster"])
def test_points_are_coloured_by_what_is_asked_for(quick: None, color: str) -> None:
    pytest.importorskip("matplotlib")
    found = embed(Plain({"text": 4}), clips(60))
    figure = figures.draw_embeddings([("title", found)], color)  # type: ignore[arg-type]
    values = {"label": found.labels, "cluster": found.clusters}[color]
    np.testing.assert_allclose(figure.axes[0].collections[0].get_array(), values)
    assert found.labels == pytest.approx([3 * i / 60 for i in range(60)])
    # Clips lie on a line: two clusters are its halves.
    assert len(set(found.clusters[:28])) == 1 == len(set(found.clusters[32:]))
    assert found.perplexity == pytest.approx(59 / 3)


def test_a_figure_that_cannot_be_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"found the ending '\.gif'"):
        figures.check_figure(tmp_path / "map.gif")
    with pytest.raises(ConfigError, match="make it first"):
        figures.check_figure(tmp_path / "gone" / "map.png")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingLibrary, match=r'uv pip install "msapipe\[figures\]"'):
        figures.check_figure(tmp_path / "map.png")


def test_from_a_model_folder_to_a_figure(quick: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    features, model, figure = (tmp_path / name for name in ("f.safetensors", "model", "map.png"))
    samples = [*clips(16, split="train"), *clips(8, split="valid"), *clips()]
    FORMATS.get("safetensors")().write(features, samples)
    options = ("--set", "epochs=1", "--set", "units=8", "--seeds", "1", "--device", "cpu")
    assert run_program("train", features, "-m", "tfn", "-o", model, *options) == 0
    capsys.readouterr()
    assert run_program("embed", features, "--model", model, "-o", figure, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["clips"], found["split"], found["perplexity"]) == (COUNT, "test", 30)
    assert 0 <= found["psc"] <= found["psc_r"] <= 1
    assert 0 < found["psc_r_p"] <= 1
    assert len(found["highest_errors"]) == 12
    assert figure.read_bytes().startswith(b"\x89PNG")
    two = ("--model", model, "--model", model, "--color", "label")
    assert run_program("embed", features, *two, "-o", figure) == 0
    assert f"| psc_r | {found['psc_r']:.4f} |" in capsys.readouterr().out
    for arguments, said in (
        (("--split", "valid"), "found 8"),
        (("--split", "dev"), "--split dev"),
        (("-o", tmp_path / "map.txt"), "a figure ends in"),
    ):
        assert run_program("embed", features, "--model", model, "-o", figure, *arguments) == 2
        printed = capsys.readouterr().err
        assert said in printed
        assert "Traceback" not in printed
    other = tmp_path / "other.safetensors"
    FORMATS.get("safetensors")().write(other, clips())
    assert run_program("embed", other, "--model", model, "-o", figure) == 1
    assert "does not fit" in capsys.readouterr().err
    assert run_program("embed", other, "--model", model, "-o", figure, "--allow-mismatch") == 0
