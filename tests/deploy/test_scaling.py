"""The rule by which workers are added and taken away, as the simulation reads it from what is shipped."""

from pathlib import Path

import pytest

from benchmarks.load.autoscaler import DOWN, SYNC_S, UP, Autoscaler, Direction, Policy, Rule

PLAIN = Rule(target=1, least=0, most=100, polling_s=30, cooldown_s=300, activation=0, up=UP, down=DOWN)


def over(rule: Rule, metric: dict[float, float], until: float) -> dict[float, int]:
    """How many workers there are from when on; `metric` has its values from when on."""
    now = 0.0
    scaler = Autoscaler(rule, lambda: [value for at, value in metric.items() if at <= now][-1])
    found: dict[float, int] = {}
    while now <= until:
        scaler.step(now)
        if not found or scaler.workers != [*found.values()][-1]:
            found[now] = scaler.workers
        now += SYNC_S / 3
    return found


def test_the_rule_that_is_shipped_goes_from_none_to_many_and_back() -> None:
    rule = Rule.read()
    assert (rule.target, rule.least, rule.activation) == (1, 0, 0)
    found = over(rule, {0: 0, 20: 500, 400: 0}, 3600)
    assert max(found.values()) == rule.most
    assert [*found.values()][-1] == 0
    assert next(at for at, workers in found.items() if workers) <= 20 + rule.polling_s


def test_what_a_manifest_leaves_open_is_as_its_makers_have_it(tmp_path: Path) -> None:
    manifest = tmp_path / "scaling.yaml"
    manifest.write_text(
        "kind: Service\n---\nkind: ScaledObject\nspec:\n  triggers:\n"
        "    - {type: metrics-api, metadata: {targetValue: '1'}}\n"
    )
    assert Rule.read(manifest) == PLAIN
    manifest.write_text("kind: Service\n")
    with pytest.raises(ValueError, match="no ScaledObject"):
        Rule.read(manifest)
    manifest.write_text("kind: ScaledObject\nspec: {triggers: [{type: cron, metadata: {}}]}\n")
    with pytest.raises(ValueError, match="only a metrics-api trigger"):
        Rule.read(manifest)


def test_one_is_begun_by_the_poll_and_the_others_by_fours_or_doubling() -> None:
    found = over(PLAIN, {0: 0, 1: 40}, 120)
    assert found == {0: 0, 30: 1, 45: 5, 60: 10, 75: 20, 90: 40}


def test_fewer_are_wanted_only_when_they_were_for_long() -> None:
    found = over(PLAIN, {0: 10, 100: 2, 200: 10, 300: 2}, 900)
    assert [*found.values()] == [1, 5, 10, 2]
    assert [*found][-1] >= 300 + DOWN.window_s - SYNC_S


def test_none_are_left_when_there_was_nothing_to_do_for_long() -> None:
    found = over(PLAIN, {0: 10, 90: 0}, 900)
    assert [*found.values()] == [1, 5, 10, 0]
    assert [*found][-1] == 60 + PLAIN.cooldown_s  # the last poll that saw any


def test_they_go_no_faster_than_the_policies_say() -> None:
    down = Direction(0, (Policy(2, 60), Policy(10, 60, percent=True)))
    rule = Rule(1, least=1, most=20, polling_s=30, cooldown_s=300, activation=0, up=UP, down=down)
    found = over(rule, {0: 20, 300: 16, 600: 1}, 800)
    assert [*found.values()] == [5, 10, 20, 18, 16, 14, 12, 10, 8]
    stopped = Direction(0, (Policy(2, 60),), None)
    rule = Rule(1, least=1, most=20, polling_s=30, cooldown_s=300, activation=0, up=UP, down=stopped)
    assert [*over(rule, {0: 20, 300: 1}, 900).values()] == [5, 10, 20]
