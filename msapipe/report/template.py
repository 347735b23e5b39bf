"""Pages from templates: texts are escaped, hidden characters marked, and only msapipe's own script runs."""

from __future__ import annotations

import base64
import hashlib
import os
import tempfile
from pathlib import Path
from typing import Any

from msapipe.errors import ConfigError
from msapipe.report.marks import marked, without_controls

_FOLDER = Path(__file__).with_name("templates")


def render(template: str, values: dict[str, Any], script: str = "", media: str = "data:") -> str:
    """A page as text.

    script: the name of the script embedded in the page; browsers run no other, by its hash.
    media: allowed sources of sound and films, as in a content security policy.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    code = (_FOLDER / script).read_text(encoding="utf-8") if script else ""
    allowed = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    scripts = f"; script-src 'sha256-{allowed}'" if code else ""
    policy = f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src {media}{scripts}"
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        finalize=lambda value: marked(value) if type(value) is str else value,
    )
    style = (_FOLDER / "page.css").read_text(encoding="utf-8")
    ours = {"policy": policy, "style": Markup(style), "script": Markup(code)}
    return environment.get_template(template).render({**values, **ours})


def write_text(path: Path, text: str) -> None:
    """Write a page, whole or not at all; raises ConfigError when the file cannot be written."""
    try:
        with tempfile.TemporaryDirectory(dir=path.absolute().parent, prefix=".page-") as folder:
            made = Path(folder) / "page"
            # A file's name may hold bytes that are not text.
            made.write_bytes(without_controls(text).encode("utf-8", "backslashreplace"))
            os.replace(made, path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}; name another file") from error
