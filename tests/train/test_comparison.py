"""Comparing variants: what they are, whether a difference is one, and the tables that come out."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import ttest_rel

from msapipe.errors import ConfigError, UnknownName
from msapipe.formats import FORMATS
from msapipe.fusion import fusion_models
from msapipe.report.comparison import csv_text, latex, markdown
from msapipe.train.channels import only_channels
from msapipe.train.comparison import Comparison, Row, clustered_p, holm
from msapipe.train.data import DataSet
from msapipe.train.params import assign, of_preset
from msapipe.train.published import read_published
from msapipe.train.variants import ablation_names, load_ablation, parse_variants
from msapipe.types import FeatureSequence, Sample
from tests.program import run_program


def clip(number: int, split: str, video: str) -> Sample:
    random = np.random.default_rng(number)
    label = float(random.uniform(-1, 1))
    times = np.array([[0.0, 1.0], [1.0, 2.0]])
    features = {
        name: FeatureSequence(
            (random.normal(size=(2, 4)) + label).astype(np.float32),
            times,
            np.ones(2, bool),
            (),
            {"one": (0, 1), "two": (1, 4)} if name == "vision" else {},
        )
        for name in ("text", "audio", "vision")
    }
    return Sample(f"clip{number}", features, dict.fromkeys("MTAV", label), split, video)


def clips() -> list[Sample]:
    split = ["train"] * 24 + ["valid"] * 8 + ["test"] * 12
    return [clip(number, side, f"{side}{number // 3}") for number, side in enumerate(split)]


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("compared") / "features.safetensors"
    FORMATS.get("safetensors")().write(path, clips())
    return path


QUICK = ("--seeds", "1,2", "--set", "epochs=1", "--device", "cpu")


def test_variants_are_read_with_their_settings() -> None:
    plain, gate, pair, quoted, listed = parse_variants(
        ["agfn, agfn:fusion=ieg", "smp:modalities=text+audio:preset=sims,dec:stages='1,3',lf_dnn:hidden=[8,8,8]"]
    )
    assert (plain.model, plain.assignments) == ("agfn", ())
    assert (gate.label, gate.assignments) == ("agfn:fusion=ieg", ("fusion=ieg",))
    assert (pair.modalities, pair.preset, pair.assignments) == (("text", "audio"), "sims", ())
    assert quoted.assignments == ("stages='1,3'",)
    assert listed.assignments == ("hidden=[8,8,8]",)
    for text, said in (("dec:stages=1,3", "in quotes"), ("agfn:ieg", "expected key=value"), (" ", "at least one")):
        with pytest.raises(ConfigError, match=said):
            parse_variants([text])
    with pytest.raises(ConfigError, match="no modality is called 'smell'"):
        parse_variants(["smp:modalities=smell"])


@pytest.mark.parametrize("name", ablation_names())
def test_every_row_of_a_bundled_ablation_is_a_model(name: str) -> None:
    ablation = load_ablation(name)
    for variant in ablation.variants:
        cls = fusion_models().get(variant.model)
        corpus = str(variant.preset or ablation.preset)
        # A system whose source gives no settings of that corpus has its defaults, and that is said.
        own = of_preset(cls, variant.model, corpus) if corpus in cls.presets else []
        params, _ = assign(cls, [*own, *variant.assignments, "language_model=" if "language" in name else "batch=8"])
        widths = {"text": 6, "audio": 4, "vision": 4}
        dims = {modality: widths[modality] for modality in variant.modalities or widths}
        params.pop("language_model", None)  # an XLNet of 110 million numbers
        cls(dims, **params)


def test_an_ablation_that_is_none_says_where(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text("schema: 1\nrows: [{model: tfn}, {modle: lmf}]\n")
    with pytest.raises(ConfigError, match=r"own\.yaml: rows, number 2: modle; did you mean 'model'"):
        load_ablation(str(path))
    path.write_text("schema: 1\nrows: [{model: tfn}, {model: tfn}]\n")
    with pytest.raises(ConfigError, match="two are called 'tfn'"):
        load_ablation(str(path))
    with pytest.raises(UnknownName, match="did you mean 'agfn_table3'"):
        load_ablation("agfn_tabel3")


MODELS_WITH_PRESETS = [
    (name, corpus) for name in fusion_models().where() for corpus in fusion_models().get(name).presets
]


@pytest.mark.parametrize(("name", "corpus"), MODELS_WITH_PRESETS)
def test_a_preset_is_what_set_takes_and_builds_the_model(name: str, corpus: str) -> None:
    cls = fusion_models().get(name)
    params, settings = assign(cls, of_preset(cls, name, corpus))
    model = cls({"text": 6, "audio": 4, "vision": 4}, **params)
    assert all(phase.epochs > 0 for phase in settings.of(model.phases()))
    assert cls.presets[corpus].source
    assert corpus in fusion_models().keys(name, "presets")  # read without importing it


def test_presets_set_what_the_papers_state() -> None:
    cls = fusion_models().get("agfn")
    params, settings = assign(cls, of_preset(cls, "agfn", "mosei"))
    (phase,) = settings.of(cls({"text": 2, "audio": 2}, **params).phases())
    assert (params["layers"], params["vat_steps"]) == (2, 3)
    assert (phase.batch, phase.patience, {group.weight_decay for group in phase.groups}) == (128, 4, {0.05})
    assert {group.lr for group in phase.groups} == {1e-4, 5e-5}
    with pytest.raises(UnknownName, match=r"agfn has no such preset \(known: mosei, mosi\)"):
        of_preset(cls, "agfn", "iemocap")


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("ef_lstm", (885605, 1754725, 215695, 1120591)),
        ("lf_dnn", (597171, 572283, 635821, 300973)),
        ("lmf", (505071, 508475, 272381, 274557)),
        ("mfn", (2172657, 1276865, 601505, 1179377)),
    ],
)
def test_baselines_have_the_size_of_the_reference_at_every_preset(name: str, counts: tuple[int, ...]) -> None:
    corpora = {"mosi": (5, 20), "mosei": (74, 35), "sims": (33, 709), "sims_v2": (33, 709)}
    steps = {"mosi": 50, "mosei": 50, "sims": 39, "sims_v2": 39}
    cls = fusion_models().get(name)
    for (corpus, (audio, vision)), count in zip(corpora.items(), counts, strict=True):
        params, _ = assign(cls, of_preset(cls, name, corpus))
        own = {"steps": steps[corpus]} if name == "ef_lstm" else {}
        model = cls({"text": 768, "audio": audio, "vision": vision}, **params, **own)
        assert sum(part.numel() for part in model.parameters()) == count, corpus


def test_where_every_clip_is_its_own_video_the_test_is_students() -> None:
    random = np.random.default_rng(0)
    one, other = random.normal(size=40), random.normal(0.3, size=40)
    assert clustered_p(one - other, [f"{i}" for i in range(40)]) == pytest.approx(ttest_rel(one, other).pvalue)


def test_clips_of_one_video_count_less_than_as_many_videos() -> None:
    random = np.random.default_rng(1)
    of_video = random.normal(0.4, size=10)
    apart = np.repeat(of_video, 8)  # eight times the same is told once
    whole = clustered_p(apart, [f"{i // 8}" for i in range(80)])
    assert whole == pytest.approx(clustered_p(of_video, [f"{i}" for i in range(10)]))
    alone = clustered_p(apart, [f"{i}" for i in range(80)])
    assert whole is not None
    assert alone is not None
    assert alone < whole / 10
    assert clustered_p([1.0, 2.0], ["a", "a"]) is None
    assert clustered_p([0.0, 0.0], ["a", "b"]) == 1


def test_holm_by_hand() -> None:
    assert holm([0.01, None, 0.04, 0.03]) == pytest.approx([0.03, None, 0.06, 0.06])
    assert holm([0.5, 0.6]) == [1.0, 1.0]


def table() -> Comparison:
    rows = (
        Row("mean of the training split", {"mae": (1.0, 0.0), "corr": None}),
        Row("a_b", {"mae": (0.5, 0.01), "corr": (0.7, 0.02)}, (1, 2), 10, 1.5),
        Row(
            "c & d", {"mae": (0.25, 0.02), "corr": (0.6, 0.02)}, (1, 2), 20, 2.5, -0.25, 0.0004, 0.0008, {"MAE": "0.2"}
        ),
    )
    return Comparison(rows, "data.pkl", "test", 12, 4, "msapipe compare data.pkl")


def test_the_tables_say_the_numbers_the_command_n_and_seeds() -> None:
    rows = list(csv.DictReader(csv_text(table()).splitlines()))
    assert float(rows[2]["mae_mean"]) == 0.25
    assert float(rows[2]["mae_deviation"]) == 0.02
    assert float(rows[2]["p_holm"]) == 0.0008
    assert (rows[0]["mae_deviation"], rows[0]["corr_mean"], rows[1]["p"]) == ("", "", "")
    assert (rows[1]["seeds"], rows[1]["clips"], rows[1]["command"]) == ("1 2", "12", "msapipe compare data.pkl")
    assert rows[2]["published MAE"] == "0.2"
    text = markdown(table())
    assert "| a_b | 0.500 ± 0.010 | 0.700 ± 0.020 | 10 | 1.5 |" in text
    assert "12 clips of 4 videos" in text
    assert "2 seeds (1, 2)" in text
    assert "Command: msapipe compare data.pkl" in text
    made = latex(table())
    assert r"a\_b & 0.500 $\pm$ 0.010 & \textbf{0.700} $\pm$ 0.020" in made
    assert r"c \& d & \textbf{0.250}" in made
    assert made.count(r"\\") == 4
    assert "% Command: msapipe compare data.pkl" in made


def test_published_rows_are_of_one_paper_and_one_data_set(tmp_path: Path) -> None:
    path = tmp_path / "published.csv"
    path.write_text("paper,dataset,model,metric,value\n0,A,TFN,MAE,0.9\n0,B,TFN,MAE,0.6\n1,A,TFN,MAE,0.8\n")
    assert read_published(path, {"mine": "tfn"}, {"paper": "0", "dataset": "B"}) == {"mine": {"MAE": "0.6"}}
    with pytest.raises(ConfigError, match="tfn has several results; choose with --published-where dataset=A or B"):
        read_published(path, {"tfn": "tfn"}, {"paper": "0"})
    with pytest.raises(ConfigError, match=r"papre.*did you mean 'paper'"):
        read_published(path, {"tfn": "tfn"}, {"papre": "0"})
    with pytest.raises(ConfigError, match="no such row is of lmf; of TFN"):
        read_published(path, {"lmf": "lmf"}, {"paper": "1"})


def test_channels_are_columns_and_two_of_one_width_are_told_apart() -> None:
    data = DataSet("data", tuple(clips()), {"features": {}, "align": None}, (-1.0, 1.0))
    found = only_channels(data, ["vision.two"])
    assert found.dims == {"text": 4, "audio": 4, "vision": 3}
    np.testing.assert_array_equal(
        found.samples[0].features["vision"].values, data.samples[0].features["vision"].values[:, 1:]
    )
    assert found.made_by != only_channels(data, ["vision.one"]).made_by
    with pytest.raises(ConfigError, match=r"none called 'vision\.tow'; did you mean 'vision\.two'"):
        only_channels(data, ["vision.tow"])


def test_variants_are_compared_and_leave_no_models(
    features: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, tex = tmp_path / "out", tmp_path / "table.tex"
    models = ("--models", "agfn:d=8:heads=2,agfn:d=8:heads=2:fusion=ieg,smp:width=8:modalities=text+audio")
    models += ("--models", "smp:width=8:channels=vision.one+vision.two:modalities=vision")
    assert run_program("compare", features, *models, *QUICK, "-o", out, "--latex", tex) == 0
    printed = capsys.readouterr().out
    assert "| agfn:d=8:heads=2:fusion=ieg |" in printed
    assert r"\begin{tabular}" in tex.read_text()
    with (out / "comparison.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 5
    assert rows[2]["p"]
    assert rows[2]["p_holm"]
    assert rows[0]["videos"] == "5"
    assert not list(out.rglob("model.safetensors"))
    assert len(list(out.rglob("result.json"))) == 8
    assert run_program("compare", features, "--models", "tfn:units=4", *QUICK, "-o", out) == 2
    assert "holds another comparison" in capsys.readouterr().err
    assert "fusion=ieg" in (out / "comparison.md").read_text()
    again = ("--models", "agfn:d=8:heads=2", *QUICK, "-o", out, "--overwrite", "--keep-models")
    assert run_program("compare", features, *again) == 0
    assert len(list(out.rglob("model.safetensors"))) == 2


def test_what_cannot_be_built_is_refused_before_anything_is_trained(
    features: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run_program("compare", features, "--models", "sf,agfn:d=8:heads=3", *QUICK, "-o", out) == 2
    said = capsys.readouterr().err
    assert "agfn:d=8:heads=3: heads: found 3, expected a divisor" in said
    assert not list(out.rglob("result.json"))


def test_a_bundled_ablation_in_one_command(features: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    published = tmp_path / "published.csv"
    published.write_text("paper,table,dataset,model,metric,value\n000,3,CMU-MOSI,AGFN w/ IEG,MAE,0.73\n")
    quick = ("--seeds", "1", "--set", "epochs=1", "--set", "d=8", "--set", "heads=2", "--device", "cpu")
    arguments = ("--ablation", "agfn_table3", *quick, "--published", published, "-o", tmp_path / "out")
    assert run_program("compare", features, *arguments) == 0
    printed = capsys.readouterr().out
    assert "| AGFN w/o GFM |" in printed
    assert "published MAE" in printed
    assert "published: as printed there" in printed
    for wrong, said in (
        (("--models", "tfn", "--ablation", "agfn_table3"), "one of them"),
        ((), "one of them"),
        (("--models", "tfn", "--preset", "mosy"), ""),
    ):
        code = run_program("compare", features, *wrong, *QUICK, "-o", tmp_path / "other")
        assert said in capsys.readouterr().err
        assert code == (2 if said else 0)  # a model without the preset has its defaults, and that is said


def test_unimodal_scores_are_measured_by_their_own_labels(
    features: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "model"
    assert run_program("train", features, "-m", "boosting", "--set", "regime=joint", *QUICK, "-o", model) == 0
    capsys.readouterr()
    assert run_program("evaluate", features, "--model", model, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert {"mae_T", "acc2_A", "corr_V", "f1_T"} <= set(found)
    history = json.loads(next(model.rglob("history.json")).read_text())
    assert 0 <= history[0]["valid_f1"] <= 1
