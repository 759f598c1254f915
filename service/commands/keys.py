"""`pirenderer keys`: API keys, made, listed, limited and revoked in the data folder that the front-ends share."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from jobs.settings import read_settings
from service.access.keys import (
    KeyFile,
    KeyRecord,
    KeysAwayError,
    KeyScope,
    OwnerLimits,
    UnknownKeyError,
    UnknownOwnerError,
)
from service.settings import Settings

keys = typer.Typer(no_args_is_help=True, help="Make, list, limit and revoke API keys.")

DataDir = Annotated[Path | None, typer.Option(help="The front-ends' data folder (default: data).")]
JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@keys.command()
def make(
    owner: Annotated[str, typer.Argument(help="Whose jobs the key sees: a name in a-z, 0-9, '.', '_' and '-'.")],
    *,
    scope: Annotated[list[KeyScope] | None, typer.Option(help="What it allows; repeatable (default: all).")] = None,
    rate: Annotated[str | None, typer.Option(help="Requests it allows, as 600/minute; unset: the service's.")] = None,
    quota: Annotated[str | None, typer.Option(help="Jobs it allows, as 1000/day; unset: the service's.")] = None,
    data_dir: DataDir = None,
    as_json: JsonFlag = False,
) -> None:
    """Make a key and print it. It is shown this once: only its digest is kept."""
    try:
        with _file(data_dir) as file:
            key, record = file.make(owner, scopes=frozenset(scope or KeyScope), rate=rate, quota=quota)
    except ValidationError as error:
        raise _bad_parameter(error) from error
    if as_json:
        typer.echo(json.dumps({"key": key, **_shown(record)}))
    else:
        typer.echo(key)
        typer.echo(f"key {record.id} of {record.owner}; it is not shown again", err=True)


@keys.command("list")
def list_keys(data_dir: DataDir = None, as_json: JsonFlag = False) -> None:
    """List the keys, revoked ones too."""
    with _file(data_dir) as file:
        found = [(record, file.limits(record.owner)) for record in file.records()]
    if as_json:
        typer.echo(json.dumps([_shown(record) | _shown_limits(limits) for record, limits in found]))
        return
    table = Table("id", "owner", "scopes", "rate", "quota", "owner's rate", "owner's quota", "made", "revoked")
    for record, limits in found:
        made = f"{record.created_at:%Y-%m-%d %H:%M}"
        revoked = f"{record.revoked_at:%Y-%m-%d %H:%M}" if record.revoked_at else ""
        scopes = ", ".join(sorted(record.scopes))
        bounds = (record.rate, record.quota, limits.rate, limits.quota)
        table.add_row(record.id, record.owner, scopes, *(each or "" for each in bounds), made, revoked)
    Console().print(table)


@keys.command()
def limit(
    owner: Annotated[str, typer.Argument(help="Whose keys share the bounds.")],
    *,
    rate: Annotated[str | None, typer.Option(help="Requests that all of them allow, as 600/minute.")] = None,
    quota: Annotated[str | None, typer.Option(help="Jobs that all of them allow, as 1000/day.")] = None,
    data_dir: DataDir = None,
) -> None:
    """Bound what all keys of an owner do together, at once. What is not given is not bounded so any more.

    Rates and quotas of the keys themselves hold besides; the service's default for keys does not.
    """
    try:
        with _file(data_dir) as file:
            file.limit(owner, limits := OwnerLimits(rate=rate, quota=quota))
    except ValidationError as error:
        raise _bad_parameter(error) from error
    except UnknownOwnerError as error:
        raise typer.BadParameter(str(error)) from error
    told = [f"{each} for {what}" for what, each in (("requests", limits.rate), ("jobs", limits.quota)) if each]
    typer.echo(f"all keys of {owner} share {' and '.join(told) or 'no bounds'}", err=True)


@keys.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="The key's id, as `keys list` shows it.")], data_dir: DataDir = None
) -> None:
    """End a key at once. Its owner's jobs and other keys stay."""
    try:
        with _file(data_dir) as file:
            record = file.revoke(key_id)
    except UnknownKeyError as error:
        raise typer.BadParameter(str(error)) from error
    typer.echo(f"key {record.id} of {record.owner} is revoked", err=True)


@contextlib.contextmanager
def _file(data_dir: Path | None) -> Iterator[KeyFile]:
    """The file of keys; what is wrong with it is said, and ends the command. Raises InvalidSettingsError."""
    try:
        settings = read_settings(Settings, **({"data_dir": data_dir} if data_dir else {}))
        yield KeyFile(settings.keys_path)
    except (KeysAwayError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error


def _bad_parameter(error: ValidationError) -> typer.BadParameter:
    first = error.errors(include_url=False)[0]
    return typer.BadParameter(
        f"{first['loc'][0]}: {first['msg'].removeprefix('Value error, ')}, got {first['input']!r}"
    )


def _shown_limits(limits: OwnerLimits) -> dict[str, str]:
    return {f"owner_{name}": rate for name, rate in limits.model_dump(exclude_none=True).items()}


def _shown(record: KeyRecord) -> dict[str, Any]:
    return record.model_dump(mode="json", exclude={"digest"}, exclude_none=True)
