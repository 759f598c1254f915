"""Alerts: that Prometheus takes them, that they go off when they are to, and that Kubernetes has the same; and what the
dashboard shows."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from tests.support.paths import ROOT
from tests.support.processes import PATIENCE_S

FOLDER = ROOT / "deploy" / "monitoring"
OPERATOR = ROOT / "deploy" / "kubernetes" / "components" / "monitoring" / "alerts.yaml"
NEARLY_FULL = "0.85"


def groups() -> list[dict[str, Any]]:
    return cast("list[dict[str, Any]]", yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"])


@pytest.fixture
def promtool() -> str:
    """Prometheus' own checker."""
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("no promtool on PATH (Debian: prometheus)")
    return found


def run(promtool: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([promtool, *arguments], capture_output=True, text=True, timeout=PATIENCE_S, check=False)


def test_each_alert_says_how_bad_it_is_and_what_to_do() -> None:
    alerts = [rule for group in groups() for rule in group["rules"]]
    assert len({alert["alert"] for alert in alerts}) == len(alerts) >= 10
    for alert in alerts:
        assert alert["labels"]["severity"] in ("warning", "critical"), alert
        assert set(alert["annotations"]) == {"summary", "runbook"}, alert
        assert len(alert["annotations"]["runbook"]) > 60, alert


def test_each_alert_is_made_go_off() -> None:
    tested = (FOLDER / "alerts.test.yaml").read_text()
    assert [rule["alert"] for group in groups() for rule in group["rules"] if rule["alert"] not in tested] == []


def test_the_operator_of_kubernetes_has_the_same() -> None:
    assert yaml.safe_load(OPERATOR.read_text())["spec"]["groups"] == groups(), "copy them from deploy/monitoring"


def test_prometheus_takes_them(promtool: str) -> None:
    checked = run(promtool, "check", "rules", FOLDER / "alerts.yaml")
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_they_go_off_when_they_are_to(promtool: str, tmp_path: Path) -> None:
    for file in FOLDER.glob("*.yaml"):
        shutil.copy(file, tmp_path)
    tested = run(promtool, "test", "rules", tmp_path / "alerts.test.yaml")
    assert tested.returncode == 0, tested.stdout + tested.stderr
    rules = tmp_path / "alerts.yaml"
    assert NEARLY_FULL in rules.read_text()
    rules.write_text(rules.read_text().replace(NEARLY_FULL, "0.95"))
    assert run(promtool, "test", "rules", tmp_path / "alerts.test.yaml").returncode != 0


def dashboard() -> dict[str, Any]:
    return cast("dict[str, Any]", json.loads((FOLDER / "grafana.json").read_text()))


def shown() -> list[str]:
    return [target["expr"] for panel in dashboard()["panels"] for target in panel["targets"]]


def test_the_dashboard_shows_the_service_that_is_chosen() -> None:
    chosen = [each for each in dashboard()["templating"]["list"] if each["type"] == "query"]
    assert [each["name"] for each in chosen] == ["namespace", "job"]
    for each in chosen:  # one machine has no namespaces: what lacks the label is shown, too
        assert (each["includeAll"], each["allValue"], each["current"]["value"]) == (True, ".*", "$__all")
    for expression in shown():
        metrics = re.findall(r"\b(?:pirenderer_\w+|up\b)\{?", expression)
        chosen_by = expression.count('{namespace=~"$namespace", job=~"$job"')
        assert metrics
        assert len(metrics) == chosen_by, expression


def test_prometheus_reads_what_the_dashboard_shows(promtool: str, tmp_path: Path) -> None:
    rules = [
        {"record": f"shown:{number}", "expr": re.sub(r"\$\w+", ".*", expression)}
        for number, expression in enumerate(shown())
    ]
    assert len(rules) >= 30
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "shown", "rules": rules}]}))
    checked = run(promtool, "check", "rules", file)
    assert checked.returncode == 0, checked.stdout + checked.stderr
