"""`pirenderer openapi`: the OpenAPI document of the API."""

import json

import typer

from jobs.settings import read_settings
from service.app import create_app
from service.settings import Settings


def openapi() -> None:
    """Print what /openapi.json answers, without a server: for generators of clients and for linters."""
    app = create_app(read_settings(Settings))
    typer.echo(json.dumps(app.openapi(), indent=2))
