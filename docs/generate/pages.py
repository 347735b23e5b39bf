"""What MkDocs calls while it builds: adds the generated pages, and makes the navigation of what there is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from catalogue import pages
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

# Pages in the order of reading; a page of docs/ that is not named here comes under "More" by itself.
GUIDE = {
    "Start": ("index.md", "tutorial.md", "concepts.md", "python.md", "faq.md"),
    "Use": ("formats.md", "datasets.md", "clusters.md", "comparison.md"),
    "Extend": ("add-a-stage.md", "add-a-model.md", "add-a-data-set.md"),
    "Figures": ("measured.md", "papers.md", "results.md", "report.md", "reliability.md"),
}
# A link of a page of docs/ to a file of the repository that is no page: a reader of the pages has its name.
_OUTSIDE = re.compile(r"\[[^\]]*\]\(\.\./([\w/.-]+)\)")
# Folders of generated pages, each behind the page of all.
REFERENCE = {"Pipelines": "pipelines", "Stages": "stages", "Fusion models": "fusion", "Trained models": "models"}


def on_config(config: MkDocsConfig) -> None:
    """The navigation: guides that are there, then every generated page."""
    made = pages()
    there = {path.relative_to(config.docs_dir).as_posix() for path in Path(config.docs_dir).glob("*.md")} | set(made)
    nav: list[Any] = [{title: [_entry(page) for page in names if page in there]} for title, names in GUIDE.items()]
    named = {page for names in GUIDE.values() for page in names}
    if more := sorted(page for page in there if "/" not in page and page not in named):
        nav.append({"More": more})
    for title, folder in REFERENCE.items():
        inside = sorted(page for page in made if page.startswith(f"{folder}/") and not page.endswith("/index.md"))
        nav.append({title: [f"{folder}/index.md", *({_name(page): page} for page in inside)]})
    config.nav = nav


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages to those that were written by hand."""
    for path, text in pages().items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Files outside of docs/ are named, not linked."""
    return markdown if "/" in page.file.src_uri else _OUTSIDE.sub(r"`\1`", markdown)


def _entry(page: str) -> Any:
    # The first page has the title of the whole.
    return {"Overview": page} if page == "index.md" else page


def _name(page: str) -> str:
    return page.removesuffix(".md").partition("/")[2]
