"""Network policies let through what is needed, and nothing else."""

from collections.abc import Callable

import pytest

from tests.deploy.conftest import Objects, of_kind, pods
from tests.support.network_policies import Pod, lets_through

PUBLIC, PUBLIC_6, METADATA = Pod(address="93.184.216.34"), Pod(address="2606:2800::1"), Pod(address="169.254.169.254")
NAMES, STRANGER = Pod("kube-system"), Pod("elsewhere")
INGRESS, SCALER, PROMETHEUS = Pod("ingress-nginx"), Pod("keda"), Pod("monitoring")
NEIGHBOUR = Pod("pirenderer", {"app.kubernetes.io/component": "api"})  # of another application, in the same namespace


def let(objects: Objects) -> Callable[[Pod | str, Pod | str, int], bool]:
    policies = list(of_kind(objects, "NetworkPolicy").values())
    ours = {name: Pod("pirenderer", template["metadata"]["labels"]) for name, template in pods(objects).items()}

    def asked(source: Pod | str, target: Pod | str, port: int, protocol: str = "TCP") -> bool:
        ends = [ours[f"pirenderer-{end}"] if isinstance(end, str) else end for end in (source, target)]
        return lets_through(policies, ends[0], ends[1], port, protocol)

    return asked


def test_front_ends_and_workers_reach_redis_and_nobody_else_does(objects: Objects) -> None:
    asked = let(objects)
    assert asked("api", "redis", 6379)
    assert asked("worker", "redis", 6379)
    for other in (STRANGER, NEIGHBOUR, NAMES, INGRESS, SCALER, PROMETHEUS, PUBLIC):
        assert not asked(other, "redis", 6379)
    assert not asked("api", "redis", 22)


def test_nothing_connects_to_workers_nor_they_to_front_ends(objects: Objects) -> None:
    asked = let(objects)
    for other in ("api", "redis", STRANGER, NEIGHBOUR, INGRESS, SCALER, PROMETHEUS):
        assert not asked(other, "worker", 8000)
    assert not asked("worker", "api", 8000)


@pytest.mark.parametrize("target", [PUBLIC, PUBLIC_6])
def test_front_ends_reach_public_addresses(target: Pod, objects: Objects) -> None:
    asked = let(objects)
    assert asked("api", target, 443)
    assert asked("api", target, 8443)
    assert not asked("redis", target, 443)


def test_workers_reach_public_addresses_for_a_bucket_alone(build: Callable[[str], Objects]) -> None:
    for name, has_bucket in (("cpu", False), ("gpu", False), ("keda", False), ("s3", True), ("documented", True)):
        asked = let(build(name))
        assert asked("worker", PUBLIC, 443) == has_bucket
        assert asked("worker", PUBLIC_6, 443) == has_bucket
        assert not asked("worker", PUBLIC, 80)


def test_nothing_reaches_private_addresses(objects: Objects) -> None:
    asked = let(objects)
    for source in ("api", "worker", "redis"):
        for target in (METADATA, STRANGER, NEIGHBOUR, Pod(address="192.168.0.1"), Pod(address="fd00::1")):
            assert not asked(source, target, 443)
            assert not asked(source, target, 80)


def test_names_are_asked_for(objects: Objects) -> None:
    policies = list(of_kind(objects, "NetworkPolicy").values())
    for name, template in pods(objects).items():
        pod = Pod("pirenderer", template["metadata"]["labels"])
        for protocol in ("UDP", "TCP"):
            for server in (NAMES, Pod(address="169.254.20.10")):
                assert lets_through(policies, pod, server, 53, protocol) == (name != "pirenderer-redis")


def test_each_component_lets_in_whom_it_is_about(build: Callable[[str], Objects]) -> None:
    who = {INGRESS.namespace: INGRESS, SCALER.namespace: SCALER, PROMETHEUS.namespace: PROMETHEUS}

    def let_in(name: str) -> set[str]:
        asked = let(build(name))
        assert not asked(STRANGER, "api", 8000)
        assert not asked(PUBLIC, "api", 8000)
        return {namespace for namespace, pod in who.items() if asked(pod, "api", 8000)}

    assert let_in("cpu") == let_in("gpu") == set()
    assert let_in("keda") == let_in("s3") == {"keda"}
    assert let_in("documented") == {"ingress-nginx", "keda", "monitoring"}


def test_pods_of_others_are_left_alone(objects: Objects) -> None:
    assert let(objects)(STRANGER, NEIGHBOUR, 80)
    assert let(objects)(NEIGHBOUR, PUBLIC, 443)
