"""`pirenderer healthy`: whether this machine's API or worker lives, for what watches a container."""

from enum import StrEnum
from http.client import HTTPConnection, HTTPException
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from jobs.machine import machine
from jobs.redis_url import without_password
from jobs.settings import InvalidSettingsError, SharedSettings, read_settings
from service.settings import Settings

ANSWER_S = 3.0
LIVES = (200, 503)  # it may have all the connections that it takes, and says so itself


class Part(StrEnum):
    """What may be asked after."""

    API = "api"
    WORKER = "worker"


class UnhealthyError(Exception):
    """It does not live, as far as can be told; the text says why."""


def healthy(
    part: Annotated[Part, typer.Argument(help="What is asked after.")],
    host: Annotated[str | None, typer.Option(help="Address that the API was told to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port that the API was told to listen on.")] = None,
    redis_url: Annotated[str | None, typer.Option(help="Redis that the worker was given.")] = None,
) -> None:
    """Say whether this machine's API answers, or whether a worker of this machine is heard of.

    Exits 0 when it does, else 1. What is not given here is taken from the PIRENDERER_ variables. While Redis does not
    answer nothing is known of workers: that exits 0, since to start them again would not help.
    """
    given: dict[str, Any] = {"host": host, "port": port, "redis_url": redis_url}
    given = {name: value for name, value in given.items() if value is not None}
    try:
        if part is Part.API:
            said = ask_api(read_settings(Settings, **given).local_url)
        else:
            said = ask_for_worker(read_settings(SharedSettings, **given))
    except (InvalidSettingsError, UnhealthyError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error
    typer.echo(said)


def ask_api(url: str) -> str:
    """What the API at `url` answers. Raises UnhealthyError."""
    address = urlsplit(url)
    connection = HTTPConnection(address.hostname or "", address.port, timeout=ANSWER_S)
    try:
        connection.request("GET", "/healthz")
        status = connection.getresponse().status
    except (OSError, HTTPException) as error:
        raise UnhealthyError(f"{url}/healthz does not answer: {error}") from error
    finally:
        connection.close()
    if status not in LIVES:
        raise UnhealthyError(f"{url}/healthz answers {status}")
    return f"{url}/healthz answers {status}"


def ask_for_worker(settings: SharedSettings) -> str:
    """Which workers of this machine are heard of. Raises UnhealthyError when none is."""
    import redis  # noqa: PLC0415 - the API is asked every few seconds, and without Redis in two thirds of the time

    from jobs.redis_clients import redis_client  # noqa: PLC0415
    from jobs.store.scripts import Scripts  # noqa: PLC0415
    from jobs.store.workers import Workers  # noqa: PLC0415

    address = without_password(settings.redis_url)
    bounds = {"socket_connect_timeout": ANSWER_S, "socket_timeout": ANSWER_S}
    with redis_client(settings.redis_url, decode_responses=True, **bounds) as client:
        try:
            names = Workers(Scripts(client), settings.live_s).names()
        except (redis.AuthenticationError, redis.ResponseError) as error:  # which a worker is told as well
            raise UnhealthyError(f"{address} refuses us: {error}") from error
        except redis.RedisError as error:
            return f"{address} does not answer, so nothing is known of workers: {error}"
    here = [name for name in names if name.startswith(f"{machine()}:")]
    if not here:
        raise UnhealthyError(f"no worker of this machine ({machine()}) was heard of for {settings.live_s} s")
    return f"heard of: {', '.join(here)}"
