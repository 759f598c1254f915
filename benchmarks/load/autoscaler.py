"""KEDA's rule for how many workers there are, and that of the HorizontalPodAutoscaler that KEDA makes.

Read from the ScaledObject that is shipped, so that what is simulated is what is installed. The steps follow the
documentation of both (KEDA: "Scaling Deployments"; Kubernetes: "Horizontal Pod Autoscaling").
"""

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import yaml

SCALED_OBJECT = Path(__file__).parents[2] / "deploy/kubernetes/components/keda/scaling.yaml"
SYNC_S = 15.0  # from one look of the HorizontalPodAutoscaler to the next
TOLERANCE = 0.1  # of the share by which a target is missed, in which it does nothing


@dataclass(frozen=True)
class Policy:
    """By how many workers their number may change within `period_s` seconds: so many, or so many per cent."""

    value: int
    period_s: float
    percent: bool = False


@dataclass(frozen=True)
class Direction:
    """How fast the number goes one way: the most careful wish of the last `window_s` seconds counts."""

    window_s: float
    policies: tuple[Policy, ...]
    select: Callable[[Iterable[int]], int] | None = max  # of what the policies allow; None: it does not go this way

    @classmethod
    def of(cls, spec: Mapping[str, Any], default: Self) -> Self:
        """From a manifest."""
        policies = tuple(
            Policy(each["value"], each["periodSeconds"], each["type"] == "Percent") for each in spec.get("policies", ())
        )
        return cls(
            spec.get("stabilizationWindowSeconds", default.window_s),
            policies or default.policies,
            {"Max": max, "Min": min, "Disabled": None}[spec.get("selectPolicy", "Max")],
        )


UP = Direction(0, (Policy(4, 15), Policy(100, 15, percent=True)))
DOWN = Direction(300, (Policy(100, 15, percent=True),))


@dataclass(frozen=True)
class Rule:
    """The figures of a ScaledObject."""

    target: float
    least: int
    most: int
    polling_s: float
    cooldown_s: float
    activation: float
    up: Direction
    down: Direction

    @classmethod
    def read(cls, path: Path = SCALED_OBJECT) -> Self:
        """Of the first ScaledObject in a file of manifests. Raises ValueError where there is none, or where its trigger
        is not one of the gauge by average."""
        manifests = yaml.safe_load_all(path.read_text(encoding="utf-8"))
        found = next((each["spec"] for each in manifests if each["kind"] == "ScaledObject"), None)
        if found is None:
            raise ValueError(f"{path}: no ScaledObject")
        (trigger,) = found["triggers"]
        metadata = trigger["metadata"]
        if trigger.get("metricType", "AverageValue") != "AverageValue" or trigger["type"] != "metrics-api":
            raise ValueError(f"{path}: only a metrics-api trigger by AverageValue is simulated, got {trigger}")
        behavior = found.get("advanced", {}).get("horizontalPodAutoscalerConfig", {}).get("behavior", {})
        return cls(
            target=float(metadata["targetValue"]),
            least=found.get("minReplicaCount", 0),
            most=found.get("maxReplicaCount", 100),
            polling_s=found.get("pollingInterval", 30),
            cooldown_s=found.get("cooldownPeriod", 300),
            activation=float(metadata.get("activationTargetValue", 0)),
            up=Direction.of(behavior.get("scaleUp", {}), UP),
            down=Direction.of(behavior.get("scaleDown", {}), DOWN),
        )


class Autoscaler:
    """What both controllers would do, told of time and metric. `workers` is how many there are to be."""

    def __init__(self, rule: Rule, metric: Callable[[], float]) -> None:
        self._rule = rule
        self._metric = metric
        self._polled_at = self._synced_at = -math.inf
        self._active_at = -math.inf
        self._wishes = deque[tuple[float, int]]()
        self._changes = deque[tuple[float, int]]()
        self.workers = rule.least

    def step(self, now: float) -> None:
        """Do what is due at `now`, in seconds."""
        if now >= self._synced_at + SYNC_S:
            self._synced_at = now
            if self.workers:  # else it is KEDA's alone
                self._sync(now)
        if now >= self._polled_at + self._rule.polling_s:
            self._polled_at = now
            self._poll(now)

    def _poll(self, now: float) -> None:
        """KEDA: from none to one, and from however many to none when there has been nothing to do for long."""
        rule = self._rule
        if self._metric() > rule.activation:
            self._active_at = now
            if not self.workers:
                self.workers = max(1, rule.least)
        elif not rule.least and now >= self._active_at + rule.cooldown_s:
            self.workers = 0
            self._wishes.clear()

    def _sync(self, now: float) -> None:
        rule, metric = self._rule, self._metric()
        wish = self.workers
        if abs(metric / (rule.target * self.workers) - 1) > TOLERANCE:
            wish = math.ceil(metric / rule.target)
        wish = min(max(wish, rule.least, 1), rule.most)
        self._wishes.append((now, wish))
        longest = max(rule.up.window_s, rule.down.window_s)
        while self._wishes[0][0] < now - longest:
            self._wishes.popleft()
        lowest = min(each for at, each in self._wishes if at >= now - rule.up.window_s)
        highest = max(each for at, each in self._wishes if at >= now - rule.down.window_s)
        stable = min(max(self.workers, lowest), highest)
        if stable > self.workers and rule.up.select:
            self._set(now, min(stable, rule.up.select(self._allowed(now, rule.up, +1))))
        elif stable < self.workers and rule.down.select:
            # the policy that lets most workers go is the one that leaves fewest
            fewest = min if rule.down.select is max else max
            self._set(now, max(stable, fewest(self._allowed(now, rule.down, -1))))

    def _allowed(self, now: float, direction: Direction, sign: int) -> Iterable[int]:
        for policy in direction.policies:
            before = self.workers - sum(change for at, change in self._changes if at > now - policy.period_s)
            if not policy.percent:
                yield before + sign * policy.value
            elif sign > 0:
                yield math.ceil(before * (1 + policy.value / 100))
            else:
                yield math.floor(before * (1 - policy.value / 100))

    def _set(self, now: float, workers: int) -> None:
        """Change their number, which the policies count; what KEDA changes by itself they do not."""
        if workers != self.workers:
            self._changes.append((now, workers - self.workers))
            self.workers = workers
