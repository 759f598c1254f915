"""What is declared, locked and installed agrees."""

import re
import tomllib
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.paths import ROOT

LOCKS = {  # and the extras that each is made of
    name: extras.split()
    for name, extras in re.findall(r"(?m)^lock (\w+) (.*)$", (ROOT / "requirements/lock").read_text())
}


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def locked(name: str) -> dict[str, str]:
    """Package to version."""
    text = (ROOT / f"requirements/{name}.txt").read_text()
    return {canonicalize_name(package): version for package, version in re.findall(r"(?m)^([\w.-]+)==(\S+)", text)}


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_has_what_its_extras_ask_for(name: str, project: dict[str, Any]) -> None:
    extras = [text for extra in LOCKS[name] for text in project["optional-dependencies"][extra]]
    found = locked(name) | locked("torch")
    for requirement in map(Requirement, [*project["dependencies"], *extras]):
        package = canonicalize_name(requirement.name)
        assert package in found, f"run requirements/lock: {package} is missing in {name}.txt"
        assert found[package] in requirement.specifier, f"run requirements/lock: {name}.txt, {requirement}"


@pytest.mark.parametrize("name", LOCKS)
def test_every_locked_package_has_hashes_and_torch_is_not_among_them(name: str) -> None:
    text = (ROOT / f"requirements/{name}.txt").read_text()
    packages = re.split(r"\n(?=\S)", re.sub(r"(?m)^#.*\n", "", text))
    assert len(packages) == len(locked(name))
    assert all("--hash=sha256:" in package for package in packages)
    assert not re.search(r"(?m)^(torch|triton|nvidia|cuda)\b", text)


def test_locks_agree_on_versions() -> None:
    everything = locked("dev")
    assert all(locked(name).items() <= everything.items() for name in LOCKS)


def test_users_get_no_test_tools(project: dict[str, Any]) -> None:
    tools = {canonicalize_name(Requirement(text).name) for text in project["optional-dependencies"]["dev"]}
    assert tools & set(locked("train")) == {"packaging"}  # libraries need it as well
    assert "requirements/train.txt" in (ROOT / "Dockerfile").read_text()
    assert "dev" not in re.findall(r"requirements/(\w+)", (ROOT / "Dockerfile").read_text())


def test_the_newest_changes_are_those_of_this_version(project: dict[str, Any]) -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    assert re.findall(r"(?m)^## (\d\S*) - \d{4}-\d\d-\d\d$", text)[0] == project["version"]


def test_the_client_is_of_this_version_and_needs_httpx_alone(project: dict[str, Any]) -> None:
    client = tomllib.loads((ROOT / "clients/python/pyproject.toml").read_text())["project"]
    assert [client[name] for name in ("version", "requires-python", "license")] == [
        project[name] for name in ("version", "requires-python", "license")
    ]
    assert client["dependencies"] == [text for text in project["dependencies"] if text.startswith("httpx>")]


@pytest.mark.parametrize("package", ["jobs", "service", "worker", "model", "clients/python/pirenderer_client"])
def test_packages_say_that_they_have_types(package: str) -> None:
    assert (ROOT / package / "py.typed").exists()
