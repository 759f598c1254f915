"""What network policies let through, as networking.k8s.io/v1 defines it."""

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Labels = Mapping[str, str]
Policy = Mapping[str, Any]


@dataclass(frozen=True)
class Pod:
    """A pod, or with an address only somebody outside of the cluster."""

    namespace: str = ""
    labels: Labels = field(default_factory=dict)
    address: str = "10.1.2.3"

    @property
    def inside(self) -> bool:
        return bool(self.namespace)


def lets_through(policies: Sequence[Policy], source: Pod, target: Pod, port: int, protocol: str = "TCP") -> bool:
    """Whether both ends of a connection allow it; all policies are of one namespace, that of ours."""
    through = {"port": port, "protocol": protocol}
    out = _one_end(policies, "egress", source, target, through)
    return out and _one_end(policies, "ingress", target, source, through)


def _one_end(policies: Iterable[Policy], way: str, here: Pod, there: Pod, through: Mapping[str, Any]) -> bool:
    selecting = [
        policy["spec"]
        for policy in policies
        if here.inside
        and policy["metadata"].get("namespace", here.namespace) == here.namespace
        and way.capitalize() in policy["spec"]["policyTypes"]
        and _selects(policy["spec"]["podSelector"], here.labels)
    ]
    peers = {"egress": "to", "ingress": "from"}[way]
    return not selecting or any(
        any(_is_peer(peer, here, there) for peer in rule[peers]) and _has_port(rule["ports"], **through)
        for spec in selecting
        for rule in spec.get(way, ())
    )


def _is_peer(peer: Mapping[str, Any], here: Pod, there: Pod) -> bool:
    if "ipBlock" in peer:
        return _in_block(peer["ipBlock"], there.address)
    if not there.inside:
        return False
    if "namespaceSelector" in peer:
        named = {"kubernetes.io/metadata.name": there.namespace}
        return _selects(peer["namespaceSelector"], named) and _selects(peer.get("podSelector", {}), there.labels)
    return here.namespace == there.namespace and _selects(peer["podSelector"], there.labels)


def _in_block(block: Mapping[str, Any], address: str) -> bool:
    it = ipaddress.ip_address(address)
    return it in ipaddress.ip_network(block["cidr"]) and not any(
        it in ipaddress.ip_network(cidr) for cidr in block.get("except", ())
    )


def _has_port(ports: Iterable[Mapping[str, Any]], port: int, protocol: str) -> bool:
    return any(
        each["port"] <= port <= each.get("endPort", each["port"]) and each.get("protocol", "TCP") == protocol
        for each in ports
    )


def _selects(selector: Mapping[str, Any], labels: Labels) -> bool:
    assert set(selector) <= {"matchLabels", "matchExpressions"}
    wanted = selector.get("matchLabels", {})
    expressions = selector.get("matchExpressions", ())
    assert all(each["operator"] == "In" for each in expressions)
    return all(labels.get(key) == value for key, value in wanted.items()) and all(
        labels.get(each["key"]) in each["values"] for each in expressions
    )
