"""`pirenderer openapi`: the OpenAPI document of the API."""

import json

import typer

from jobs.settings import InvalidSettingsError, read_settings
from service.access.control import InsecureSettingsError
from service.app import create_app
from service.settings import Settings


def openapi() -> None:
    """Print what /openapi.json answers, without a server: for generators of clients and for linters."""
    try:
        app = create_app(read_settings(Settings))
    except (InvalidSettingsError, InsecureSettingsError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from error
    typer.echo(json.dumps(app.openapi(), indent=2))
