"""The page that shows the API, served locally: an installed package holds swagger's files."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import RedirectResponse, Response

_FOLDER = Path(__file__).with_name("templates")
_KINDS = {".js": "text/javascript", ".css": "text/css"}
# swagger sets inline styles, and loads its icons from data URLs.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def add_docs(app: FastAPI) -> None:
    """Serve /docs and its files; / redirects there."""
    swagger = resources.files("fastapi_swagger") / "resources"
    files = {name: (swagger / name).read_bytes() for name in ("swagger-ui.css", "swagger-ui-bundle.js")}
    files["start.js"] = (_FOLDER / "start.js").read_bytes()
    page = (_FOLDER / "docs.html").read_text(encoding="utf-8")

    @app.get("/", include_in_schema=False)
    async def home() -> RedirectResponse:
        return RedirectResponse("docs")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return Response(page, media_type="text/html", headers={"Content-Security-Policy": _POLICY})

    @app.get("/docs/{name}", include_in_schema=False)
    async def part(name: str) -> Response:
        if name not in files:
            return Response(status_code=404)
        return Response(files[name], media_type=_KINDS[Path(name).suffix])
