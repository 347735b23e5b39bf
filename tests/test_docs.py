"""What the documentation shows is there: generated pages, files that it includes, commands and links."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch
import yaml

from msapipe.fusion import fusion_models
from msapipe.pipeline.spec import pipeline_names
from msapipe.stages import STAGES
from msapipe.testing.contract import check_fusion
from tests.conftest import ROOT
from tests.fusion._reference_sizes import dims_of

DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))


def module_of(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module", autouse=True)
def _beside() -> Iterator[None]:
    """The files of docs/generate import each other, as MkDocs lets its hooks do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(DOCS / "generate"))
        yield


@pytest.fixture(scope="module")
def made(_beside: None) -> dict[str, str]:
    """The generated pages."""
    pages: dict[str, str] = module_of(DOCS / "generate" / "catalogue.py").pages()
    return pages


def test_every_pipeline_stage_and_model_has_a_page(made: dict[str, str]) -> None:
    def own(where: dict[str, str]) -> set[str]:
        return {name for name, module in where.items() if module.startswith("msapipe.")}

    assert {f"pipelines/{name}.md" for name in pipeline_names()} <= set(made)
    assert {f"stages/{slot}/{name}.md" for slot, all_ in STAGES.items() for name in own(all_.where())} <= set(made)
    assert {f"fusion/{name}.md" for name in own(fusion_models().where())} <= set(made)
    assert {f"models/{path.parent.name}.md" for path in (ROOT / "models").glob("*/README.md")} <= set(made)


def test_pages_say_what_the_code_says(made: dict[str, str]) -> None:
    assert "| parameters | 1,138,033 |" in made["fusion/misa.md"]
    assert made["fusion/misa.md"].count("::: msapipe.fusion.misa.Misa") == 1
    assert "reads `face_clip`" in made["stages/vision/resnet18.md"]
    assert "[`smp`](../../pipelines/smp.md)" in made["stages/vision/resnet18.md"]
    assert "not every use" in made["stages/vision/resnet18.md"]
    assert "align: {thin: 32}" in made["pipelines/smp.md"]
    assert "README.md" not in made["models/pocket.md"]


def test_links_lead_to_pages(made: dict[str, str]) -> None:
    """MkDocs asks the same, and more, where it is installed: of what is generated here in every run."""
    texts = made | {path.name: path.read_text(encoding="utf-8") for path in PAGES}
    wrong = []
    for page, text in texts.items():
        for target in re.findall(r"\]\((?!https?:)([^)#]+\.md)", text):
            path = (DOCS / page).parent.joinpath(target).resolve()
            inside = path.is_relative_to(DOCS.resolve())
            if (path.relative_to(DOCS.resolve()).as_posix() not in texts) if inside else not path.is_file():
                wrong.append(f"{page}: {target}")
    assert not wrong


def test_files_that_pages_show_are_there() -> None:
    shown = [file for page in PAGES for file in re.findall(r'--8<-- "([^"]+)"', page.read_text(encoding="utf-8"))]
    assert len(shown) >= 8
    assert [file for file in shown if not (ROOT / file).is_file()] == []


def test_commands_in_pages_are_commands() -> None:
    from msapipe.cli._app import app

    known = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    known |= {str(group.name) for group in app.registered_groups}
    texts = [path.read_text(encoding="utf-8") for path in (*PAGES, ROOT / "README.md", ROOT / "CONTRIBUTING.md")]
    used = {name for text in texts for name in re.findall(r"(?:^|[`(] *|&& )msapipe ([a-z]+)", text, re.MULTILINE)}
    assert len(used) > 10
    assert used <= known


def test_fields_of_docstrings_become_lists() -> None:
    as_markdown = module_of(DOCS / "generate" / "plain_text.py").as_markdown
    text = "A clip.\n\nid: unique.   path, other,\nthird: of the\nfile.\n\n>>> load()\n... more"
    assert as_markdown(text) == (
        "A clip.\n\n\n- **id**: unique.\n- **path, other, third**: of the file.\n\n```python\nload()\nmore\n```"
    )
    assert as_markdown("Note: this is no field.") == "Note: this is no field."
    assert as_markdown("dia<D>_utt*.mp4 and `a_b*`") == r"dia&lt;D>\_utt\*.mp4 and `a_b*`"


def test_nothing_is_fetched_by_a_page() -> None:
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    assert config["theme"]["font"] is False
    assert "offline" not in config["plugins"]  # it fetches a script
    assert not [value for value in (*config["extra_css"], *config.get("extra_javascript", ())) if "//" in value]


@pytest.fixture(scope="module")
def gated_mean() -> ModuleType:
    return module_of(DOCS / "snippets" / "gated_mean.py")


def test_the_model_that_is_shown_counts_its_parameters(gated_mean: ModuleType) -> None:
    with torch.device("meta"):
        model = gated_mean.GatedMean(dims_of("MOSI"))
    assert sum(part.numel() for part in model.parameters()) == gated_mean.GatedMean.facts["parameters"]


@pytest.mark.slow
def test_the_model_that_is_shown_keeps_the_contract(gated_mean: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gated_mean", gated_mean)
    check_fusion(gated_mean.GatedMean)
