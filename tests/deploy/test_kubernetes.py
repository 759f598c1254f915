"""The files for clusters are valid, agree with each other, and say what the code understands."""

from collections.abc import Callable, Iterator
from pathlib import Path

import jsonschema
import pytest
import yaml
from typer.testing import CliRunner

from jobs.settings import PREFIX, SECRETS, read_settings
from service.app import create_app
from service.cli import app
from service.commands.healthy import ANSWER_S
from service.running.connections import GRACE_S
from service.running.supervisor import STOP_S
from service.settings import Settings
from service.variables import setting_variables
from service.version import package_version
from tests.deploy.conftest import KUBERNETES, PAGE, Objects, check_redis, container, of_kind, pods, settings, snippets
from tests.support import kubectl
from tests.support.kubernetes_schemas import check
from tests.support.paths import ROOT
from worker.settings import WorkerSettings

OPTIONAL = {"pirenderer-api", "pirenderer-worker", "pirenderer-s3"}  # secrets that may be missing


@pytest.mark.slow
def test_all_objects_are_valid(objects: Objects) -> None:
    for each in objects:
        check(each)
    names = [(each["kind"], each["metadata"]["name"]) for each in objects]
    assert len(names) == len(set(names))
    assert {each["metadata"]["namespace"] for each in objects} == {"pirenderer"}
    assert all(each["metadata"]["labels"]["app.kubernetes.io/name"] == "pirenderer" for each in objects)


@pytest.mark.parametrize("kind", ["Deployment", "ScaledObject", "TriggerAuthentication", "ServiceMonitor"])
def test_a_field_that_is_misspelt_is_found(kind: str, everything: Objects) -> None:
    found = next(each for each in everything if each["kind"] == kind)
    with pytest.raises(jsonschema.ValidationError, match="misspelt"):
        check(found | {"spec": found["spec"] | {"misspelt": 1}})


def test_the_base_has_no_namespace() -> None:
    assert not any("namespace" in each["metadata"] for each in kubectl.built(KUBERNETES / "base"))


def test_selectors_find_pods(objects: Objects) -> None:
    labels = {name: template["metadata"]["labels"] for name, template in pods(objects).items()}

    def found(wanted: dict[str, str]) -> list[str]:
        return [name for name, has in labels.items() if wanted.items() <= has.items()]

    for name, each in of_kind(objects, "Deployment", "StatefulSet").items():
        assert found(each["spec"]["selector"]["matchLabels"]) == [name]
        for spread in each["spec"]["template"]["spec"].get("topologySpreadConstraints", ()):
            assert found(spread["labelSelector"]["matchLabels"]) == [name]
    for name, each in of_kind(objects, "Service").items():
        assert found(each["spec"]["selector"]) == [name]
    budgets = of_kind(objects, "PodDisruptionBudget")
    assert set(budgets) == {"pirenderer-api", "pirenderer-worker"}
    for name, each in budgets.items():
        assert found(each["spec"]["selector"]["matchLabels"]) == [name]


def test_ports_agree(objects: Objects) -> None:
    services = of_kind(objects, "Service")
    for name, service in services.items():
        (port,), (own,) = service["spec"]["ports"], container(pods(objects)[name])["ports"]
        assert port["targetPort"] == own["name"]
        assert port["port"] == own["containerPort"]
    api = container(pods(objects)["pirenderer-api"])
    assert api["args"][api["args"].index("--port") + 1] == str(api["ports"][0]["containerPort"])
    for ingress in of_kind(objects, "Ingress").values():
        backend = ingress["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]
        assert backend["port"]["name"] == services[backend["name"]]["spec"]["ports"][0]["name"]
    for monitor in of_kind(objects, "ServiceMonitor").values():
        service = services["pirenderer-api"]
        assert monitor["spec"]["endpoints"][0]["port"] == service["spec"]["ports"][0]["name"]
        assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()


def commands(objects: Objects) -> Iterator[list[str]]:
    for template in pods(objects).values():
        each = container(template)
        if each["image"].startswith("redis"):
            continue
        assert "command" not in each  # the image's entrypoint is `pirenderer`
        yield each["args"]
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            if (line := each.get(probe, {}).get("exec", {}).get("command")) is not None:
                assert line[0] == "pirenderer"
                yield line[1:]


def test_commands_exist(objects: Objects) -> None:
    lines = list(commands(objects))
    assert ["worker"] in lines
    for line in lines:
        result = CliRunner().invoke(app, [*line, "--help"])
        assert result.exit_code == 0, (line, result.output)


def test_probes_ask_what_the_api_answers(everything: Objects) -> None:
    paths = set(create_app(Settings()).openapi()["paths"])
    api = container(pods(everything)["pirenderer-api"])
    asked = {probe: api[probe]["httpGet"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert {probe: each["path"] for probe, each in asked.items()} == {
        "startupProbe": "/healthz",
        "livenessProbe": "/healthz",  # it asks no other: a Redis that is away is no reason to start a front-end again
        "readinessProbe": "/readyz",
    }
    (monitor,) = of_kind(everything, "ServiceMonitor").values()
    assert {*(each["path"] for each in asked.values()), monitor["spec"]["endpoints"][0]["path"]} <= paths


def test_probes_that_start_a_process_have_the_time(everything: Objects) -> None:
    """One takes half a second of a core, and Redis may take as long to be connected to as to answer."""
    worker = container(pods(everything)["pirenderer-worker"])
    for probe in ("startupProbe", "livenessProbe"):
        assert worker[probe]["timeoutSeconds"] > 2 * ANSWER_S
        assert worker[probe]["periodSeconds"] >= worker[probe]["timeoutSeconds"]
    dead_s = worker["livenessProbe"]["periodSeconds"] * worker["livenessProbe"]["failureThreshold"]
    assert dead_s > WorkerSettings().live_s


def test_settings_are_known_and_valid(objects: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    known = setting_variables()
    ours = settings(objects)
    assert set(ours) <= known
    for template in pods(objects).values():
        names = {each["name"] for each in container(template).get("env", ())}
        assert {name for name in names if name.startswith(PREFIX)} <= known
    for name, value in ours.items():
        monkeypatch.setenv(name, value)
    front, worker = read_settings(Settings), read_settings(WorkerSettings)
    api = container(pods(objects)["pirenderer-api"])
    mounts = {each["name"]: each["mountPath"] for each in api["volumeMounts"]}
    assert str(front.keys_path) == f"{mounts['keys']}/keys.json"
    assert str(front.data_dir) == mounts["data"] == str(worker.data_dir)
    assert mounts["redis"] == str(SECRETS)
    bucket = not of_kind(objects, "PersistentVolumeClaim")
    assert (front.s3_bucket is not None) == (worker.s3_bucket is not None) == bucket


def test_pods_read_the_settings_and_no_others(objects: Objects) -> None:
    maps = of_kind(objects, "ConfigMap")
    for name, template in pods(objects).items():
        assert template["spec"]["enableServiceLinks"] is False, name  # PIRENDERER_API_PORT=tcp://... is no setting
        for source in container(template).get("envFrom", ()):
            assert source.get("configMapRef", source.get("secretRef"))["name"] in {*maps, *OPTIONAL}
        for variable in container(template).get("env", ()):
            if "valueFrom" in variable:  # what has to be set, or the pod does not start
                reference = variable["valueFrom"]["configMapKeyRef"]
                assert reference["key"] == variable["name"]
                assert reference["key"] in maps[reference["name"]]["data"]
        for volume in template["spec"]["volumes"]:
            assert volume.get("configMap", {}).get("name", "") in {"", *maps}
            claim = volume.get("persistentVolumeClaim", {}).get("claimName")
            assert claim is None or claim in of_kind(objects, "PersistentVolumeClaim")


def test_pods_may_do_little(objects: Objects) -> None:
    """As the restricted standard of Kubernetes asks, and some more."""
    for name, template in pods(objects).items():
        spec, each = template["spec"], container(template)
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] > 0
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert each["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert spec["automountServiceAccountToken"] is False
        assert spec["serviceAccountName"] in of_kind(objects, "ServiceAccount")
        assert "memory" in each["resources"]["limits"]
        assert {"cpu", "memory"} <= set(each["resources"]["requests"])
        assert not any("hostPath" in volume for volume in spec["volumes"])
        secrets = {volume["secret"]["secretName"] for volume in spec["volumes"] if "secret" in volume}
        assert ("pirenderer-keys" in secrets) == (name == "pirenderer-api")


def test_nothing_secret_is_in_the_files(objects: Objects) -> None:
    assert not of_kind(objects, "Secret")


def test_a_pod_that_leaves_has_the_time_it_needs(objects: Objects) -> None:
    api, worker = pods(objects)["pirenderer-api"], pods(objects)["pirenderer-worker"]
    command, seconds = container(api)["lifecycle"]["preStop"]["exec"]["command"]
    assert command == "sleep"
    assert api["spec"]["terminationGracePeriodSeconds"] >= int(seconds) + GRACE_S + STOP_S
    assert {"name": "REMAP_SIGTERM", "value": "SIGQUIT"} in container(worker)["env"]
    assert worker["spec"]["terminationGracePeriodSeconds"] > STOP_S
    deployment = of_kind(objects, "Deployment")["pirenderer-api"]["spec"]
    assert deployment["replicas"] >= 2
    assert deployment["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


def test_images_are_of_this_version_and_redis_is_that_of_compose(build: Callable[[str], Objects]) -> None:
    def images(name: str) -> dict[str, str]:
        return {each: container(template)["image"] for each, template in pods(build(name)).items()}

    version = package_version()
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["redis"]["image"]
    assert images("gpu") == {
        "pirenderer-api": f"pirenderer-api:{version}",
        "pirenderer-worker": f"pirenderer:{version}",
        "pirenderer-redis": compose,
    }
    assert images("cpu")["pirenderer-worker"] == f"pirenderer:{version}-cpu"
    assert images("documented")["pirenderer-worker"] == f"registry.example/pirenderer:{version}"
    for image in ("pirenderer-api", "pirenderer", "pirenderer"):
        assert f"registry.example/{image}:{version}" in PAGE


def test_redis_is_set_as_in_compose(objects: Objects) -> None:
    (found,) = [each for name, each in of_kind(objects, "ConfigMap").items() if name.startswith("pirenderer-redis")]
    assert found["data"] == {"redis.conf": (ROOT / "docker/redis.conf").read_text()}


def test_workers_are_scaled_by_what_the_api_tells(everything: Objects) -> None:
    (scaled,), (auth,) = (of_kind(everything, kind).values() for kind in ("ScaledObject", "TriggerAuthentication"))
    deployment = of_kind(everything, "Deployment")[scaled["spec"]["scaleTargetRef"]["name"]]
    assert "replicas" not in deployment["spec"]  # else each apply would set it
    (trigger,) = scaled["spec"]["triggers"]
    service = of_kind(everything, "Service")["pirenderer-api"]
    host = f"{service['metadata']['name']}.{service['metadata']['namespace']}.svc"
    assert trigger["metadata"]["url"] == f"http://{host}:{service['spec']['ports'][0]['port']}/metrics"
    assert trigger["metadata"]["valueLocation"] in snippets("yaml")[-1]
    assert trigger["authenticationRef"]["name"] == auth["metadata"]["name"]
    assert auth["spec"]["secretTargetRef"][0]["parameter"] == "token"  # which `bearer` asks for


def test_live_sessions_wait_for_workers_that_are_scaled(build: Callable[[str], Objects]) -> None:
    """Else a session from none would end before a worker has begun, and a second one would start no other."""
    (scaled,) = of_kind(build("keda"), "ScaledObject").values()
    ours = settings(build("keda"))
    assert int(ours["PIRENDERER_LIVE_WAITING"]) > 0
    pod_starts_s = 60
    assert float(ours["PIRENDERER_LIVE_WAIT_S"]) >= scaled["spec"]["pollingInterval"] + pod_starts_s
    assert "PIRENDERER_LIVE_WAITING" not in settings(build("gpu"))


def test_gpus_are_one_for_each_worker(build: Callable[[str], Objects]) -> None:
    worker = pods(build("gpu"))["pirenderer-worker"]
    assert container(worker)["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert settings(build("gpu"))["PIRENDERER_DEVICE"] == "cuda"
    assert "nvidia.com/gpu" not in container(pods(build("cpu"))["pirenderer-worker"])["resources"]["limits"]


def test_uploads_pass_the_way_in(everything: Objects) -> None:
    (ingress,) = of_kind(everything, "Ingress").values()
    given = ingress["metadata"]["annotations"]
    limits = Settings()
    largest = limits.max_portrait_bytes + limits.max_audio_bytes + limits.max_video_bytes + limits.max_motion_bytes
    assert int(given["nginx.ingress.kubernetes.io/proxy-body-size"].removesuffix("m")) << 20 >= largest
    assert ingress["spec"]["rules"][0]["host"] in settings(everything)["PIRENDERER_PUBLIC_URL"]


def test_workers_alone_have_what_signs(build: Callable[[str], Objects]) -> None:
    objects = build("signed")
    for each in objects:
        check(each)
    having = {name: container(template)["volumeMounts"] for name, template in pods(objects).items()}
    having = {name: [mount for mount in mounts if mount["name"] == "c2pa"] for name, mounts in having.items()}
    assert [name for name, mounts in having.items() if mounts] == ["pirenderer-worker"]
    (mount,) = having["pirenderer-worker"]
    volumes = pods(objects)["pirenderer-worker"]["spec"]["volumes"]
    (volume,) = [each for each in volumes if each["name"] == "c2pa"]
    paths = {f"{mount['mountPath']}/{item['path']}" for item in volume["secret"]["items"]}
    assert {settings(objects)[name] for name in ("PIRENDERER_C2PA_CERTIFICATE", "PIRENDERER_C2PA_KEY")} == paths
    assert volume["secret"]["secretName"] in PAGE


def test_redis_starts_with_its_password(everything: Objects, tmp_path: Path) -> None:
    redis_pod = pods(everything)["pirenderer-redis"]
    command, (server, *arguments) = container(redis_pod), container(redis_pod)["command"]
    assert server == "redis-server"
    mounts = {each["name"]: each["mountPath"] for each in command["volumeMounts"]}
    (given,) = [data for name, data in of_kind(everything, "ConfigMap").items() if name.startswith("pirenderer-redis")]
    (tmp_path / "settings.conf").write_text(given["data"]["redis.conf"])
    (tmp_path / "password.conf").write_text("requirepass abc")
    places = {f"{mounts[name]}/redis.conf": tmp_path / f"{name}.conf" for name in ("settings", "password")}
    assert set(places) <= set(arguments)
    check_redis(arguments, places, tmp_path, password="abc")
