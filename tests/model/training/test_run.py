"""A run that is stopped and taken up again ends where one that was not stopped ends, bit for bit."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import BaseModel
from torch import nn

from model.errors import DataError, TrainingDivergedError
from model.training import Ema, Run
from model.weights.card import Card
from model.weights.files import load_weights


class Config(BaseModel):
    seed: int = 0


def fit_line(directory: Path, stop_after: int, total: int = 40) -> torch.Tensor:
    torch.manual_seed(0)
    network = nn.Linear(3, 1)
    average = Ema(network, half_life_steps=5)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.05)
    run = Run(
        directory, Config(), {"network": network, "average": average, "optimizer": optimizer}, steps=total, log_every=1
    )
    for step, _ in run.steps():
        x = torch.randn(8, 3)  # from the global generator: its state must be resumed too
        loss = (network(x) - x.sum(1, keepdim=True)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        average.update()
        run.log(step, loss=loss.item())
        if step + 1 == stop_after:
            run.step += 1
            run.save()
            return average.module.weight.detach()
    return average.module.weight.detach()


def test_resume_is_bit_exact(tmp_path: Path) -> None:
    whole = fit_line(tmp_path / "whole", stop_after=40)
    fit_line(tmp_path / "parts", stop_after=17)
    resumed = fit_line(tmp_path / "parts", stop_after=40)
    assert torch.equal(whole, resumed)
    steps = [json.loads(line)["step"] for line in (tmp_path / "parts/log.jsonl").read_text().splitlines()]
    assert steps == list(range(40))


def test_old_checkpoints_go_and_half_written_ones_never_show(tmp_path: Path) -> None:
    network = nn.Linear(1, 1)
    run = Run(tmp_path, Config(), {"network": network}, steps=10, keep=2)
    for run.step in (1, 2, 3):
        run.save()
    assert [path.name for path in sorted(tmp_path.glob("checkpoint-*"))] == [
        "checkpoint-00000002.pt",
        "checkpoint-00000003.pt",
    ]


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path: Path) -> None:
    run = Run(tmp_path, Config(), {"network": nn.Linear(1, 1)}, steps=10)
    run.save()
    with pytest.raises(TrainingDivergedError, match=r"loss is nan at step 3; .* checkpoint-00000000\.pt\."):
        run.log(3, loss=float("nan"))


def test_a_state_that_is_not_finite_is_not_saved(tmp_path: Path) -> None:
    network = nn.Linear(1, 1)
    run = Run(tmp_path, Config(), {"network": network}, steps=10, keep=1)
    nn.init.constant_(network.bias, float("inf"))
    with pytest.raises(TrainingDivergedError, match="network holds NaN or infinity at step 0; there was no checkpoint"):
        run.save()
    nn.init.zeros_(network.bias)
    run.save()
    nn.init.constant_(network.weight, float("nan"))
    run.step = 1
    with pytest.raises(TrainingDivergedError, match="the last good checkpoint is checkpoint-00000000"):
        run.save()
    assert [path.name for path in tmp_path.glob("checkpoint-*")] == ["checkpoint-00000000.pt"]


def test_a_run_ends_with_its_time_budget(tmp_path: Path) -> None:
    run = Run(tmp_path, Config(), {"network": nn.Linear(1, 1)}, steps=10**9, minutes=0.002)
    for _ in run.steps():
        pass
    assert 0 < run.step < 10**9
    assert run.progress == 1.0


def test_average_follows_the_network() -> None:
    network = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(network.weight)
    average = Ema(network, half_life_steps=10)
    nn.init.ones_(network.weight)
    for _ in range(2000):
        average.update()
    assert average.module.weight.item() == pytest.approx(1.0, abs=1e-3)


def test_a_checkpoint_of_another_configuration_is_named_and_left_alone(tmp_path: Path) -> None:
    run = Run(tmp_path, Config(seed=1), {"network": nn.Linear(2, 1)}, steps=1)
    run.save()
    for state in ({"network": nn.Linear(3, 1)}, {"network": nn.Linear(2, 1), "optimizer": nn.Linear(2, 1)}):
        with pytest.raises(DataError, match=r"checkpoint-00000000\.pt does not fit this configuration"):
            Run(tmp_path, Config(seed=2), state, steps=1)
    assert json.loads((tmp_path / "config.json").read_text()) == {"seed": 1}


def test_a_run_releases_what_is_better_and_says_how_it_was_made(tmp_path: Path) -> None:
    network = nn.Linear(1, 1, bias=False)
    run = Run(tmp_path, Config(), {"network": network}, steps=10)
    run.step, run.seconds = 7, 1800.0
    for loss, better in ((2.0, True), (3.0, False), (1.0, True)):
        nn.init.constant_(network.weight, loss)
        card = Card(kind="renderer", motion_space="open478", figures={"loss": loss})

        def less(before: Mapping[str, Any], now: float = loss) -> bool:
            return bool(now < before["loss"])

        assert run.release("thing", network, card, better=less) is better
    state, kept = load_weights("thing", tmp_path)
    assert state["weight"].item() == kept["figures"]["loss"] == 1.0
    assert (kept["name"], kept["steps"], kept["hours"]) == ("thing", 7, 0.5)
    assert kept["hardware"].startswith("1 x ")


def test_a_measurement_is_due_after_minutes_of_training(tmp_path: Path) -> None:
    run = Run(tmp_path, Config(), {"network": nn.Linear(1, 1)}, steps=10)
    found = []
    for run.seconds in (59.0, 61.0, 119.0, 121.0):
        found.append(run.due(1.0))
    assert found == [False, True, False, True]


def test_every_step_comes_with_its_progress(tmp_path: Path) -> None:
    run = Run(tmp_path, Config(), {"network": nn.Linear(1, 1)}, steps=4)
    assert list(run.steps()) == [(0, 0.0), (1, 0.25), (2, 0.5), (3, 0.75)]
