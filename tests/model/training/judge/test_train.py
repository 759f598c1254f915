import json
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from model.audio.features import SUBFRAMES
from model.data.speech_clips import read_clips
from model.evaluation.audio.judge import MOST_OFFSET, Judge, JudgeNetworkConfig
from model.morphable.basis import EXPRESSION
from model.training import Run
from model.training.judge.train import JudgeConfig, Trainer, piece_loss, train, window_loss

TINY = JudgeConfig(
    network=JudgeNetworkConfig(channels=12, blocks=3, embedding=8, dropout=0.0),
    windows=40, batch=8, steps=60, rate=5e-3, ema_half_life_steps=10.0,
)  # fmt: skip


@pytest.mark.slow
def test_a_tiny_training_learns_and_releases(speech_corpus: Path, tmp_path: Path) -> None:
    train(TINY, data=[speech_corpus], out=tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert lines[-1]["piece"] < 0.7 * lines[0]["piece"]
    assert lines[-1]["window"] < lines[0]["window"]
    card = json.loads((tmp_path / "lip-sync-judge.json").read_text())
    assert (card["kind"], card["data"]) == ("judge", ["made/up"])
    figures = card["figures"]["all, 2 s or more"]
    assert figures["clips"] == 2
    judge = Judge.load(tmp_path)
    assert judge.network.config == TINY.network
    for clip in read_clips([speech_corpus], "val"):
        lips = clip.motion[None, :, EXPRESSION]
        assert abs(nearest_offset(judge, clip.mel, lips)) <= 1
        late = torch.roll(clip.mel, 2 * SUBFRAMES, dims=0)
        assert abs(nearest_offset(judge, late[2 * SUBFRAMES :], lips[:, 2:]) - 2) <= 1


@pytest.mark.slow
def test_an_interrupted_training_goes_on_as_if_it_had_not_been(
    speech_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = TINY.model_copy(update={"steps": 6})
    clips = read_clips([speech_corpus], "train")

    def prepared(name: str) -> tuple[Trainer, Run]:
        trainer = Trainer(config, clips)
        return trainer, Run(tmp_path / name, config, trainer.state, steps=config.steps)

    whole, run = prepared("whole")
    whole.train(run)

    cut, run = prepared("cut")
    plain, calls = cut.step, iter(range(100))

    def failing(progress: float) -> dict[str, torch.Tensor]:
        if next(calls) == 3:
            run.save()
            raise KeyboardInterrupt
        return plain(progress)

    monkeypatch.setattr(cut, "step", failing)
    with pytest.raises(KeyboardInterrupt):
        cut.train(run)
    resumed, run = prepared("cut")
    assert run.step == 3
    resumed.train(run)
    expected = whole.ema.module.state_dict()
    for name, got in resumed.ema.module.state_dict().items():
        assert torch.equal(expected[name], got), name


def test_losses_ask_for_the_true_time_and_forgive_its_neighbours() -> None:
    count = 40
    number = torch.arange(count)
    late = (number - number[:, None])[None]  # of the sound, in windows
    windows = torch.tensor([count])
    right, next_to, wrong = ((late == lag).float() for lag in (0, 1, 6))
    for loss in (window_loss, piece_loss):
        assert float(loss(right, windows)) < 0.2
        assert float(loss(right + next_to, windows)) == pytest.approx(float(loss(right, windows)), abs=1e-5)
        assert float(loss(right + wrong, windows)) > float(loss(right, windows)) + 0.3
    # what lies beyond a short clip is no choice
    half = torch.tensor([20])
    beyond = right + (number >= 20).float()[None, None]
    assert float(window_loss(beyond, half)) == pytest.approx(float(window_loss(right, half)))


@pytest.mark.parametrize("bad", [{"network": {"channels": 0}}, {"batch": 1}, {"rate": 0.0}, {"pieces": 3}])
def test_settings_out_of_range_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        JudgeConfig(**bad)


def nearest_offset(judge: Judge, mel: torch.Tensor, lips: torch.Tensor) -> int:
    """The best of the offsets -4..4: the made syllables come again every 6 to 10 frames."""
    similarity = judge(mel, lips).similarity[0]
    return int(similarity[MOST_OFFSET - 4 : MOST_OFFSET + 5].argmax()) - 4
