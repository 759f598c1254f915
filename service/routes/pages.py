"""The pages: / to use the service by hand, and /docs to read of its calls and try them."""

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse

from service.context import ContextDep
from service.http.middleware import content_security_policy

router = APIRouter(include_in_schema=False)

WEB = Path(__file__).parents[1] / "web"
SAMPLES = Path(__file__).parents[1] / "samples"


@router.get("/")
def page() -> FileResponse:
    """A portrait, a pose or speech, and what comes of them."""
    return FileResponse(WEB / "index.html")


@router.get("/docs")
def docs(context: ContextDep) -> FileResponse:
    """Swagger UI, whose style sheet holds its pictures."""
    policy = content_security_policy(context.artifacts.origin, images="data:")
    return FileResponse(WEB / "docs.html", headers={"Content-Security-Policy": policy})
