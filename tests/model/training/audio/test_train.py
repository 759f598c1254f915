import json
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from model.audio.config import AudioConfig, NetworkConfig
from model.audio.speech_to_motion import SpeechToMotion
from model.data.speech_clips import read_clips
from model.evaluation.audio import closures
from model.training import Run
from model.training.audio.train import Trainer, autoregression, train

TINY = AudioConfig(
    network=NetworkConfig(
        components=6, members=2, member_channels=12, member_blocks=2, condition_channels=8, condition_blocks=2,
        history_frames=3, history_channels=8, expression_steps=2, expression_hidden=12, pose_steps=2, pose_hidden=8,
    ),
    regressor_total=144, regressor_frames=24, short_frames=20, flow_frames=24, flow_batch=6, regressor_steps=40,
    flow_steps=75, evaluate_regressors_every=20, evaluate_every=25, made_speeches=0,
)  # fmt: skip


@pytest.mark.slow
def test_a_tiny_training_learns_and_releases(
    speech_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closures, "ENGLISH", closures.ENGLISH[5:7])  # one of p, b and m, one of f and v
    monkeypatch.setattr(closures, "OTHER_LANGUAGES", {"de": closures.OTHER_LANGUAGES["de"]})
    monkeypatch.setattr(closures, "VOICES", closures.VOICES[:1])
    train(TINY, data=[speech_corpus], out=tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    regression = [line["regression"] for line in lines if "regression" in line]
    held_out = [line["held_out_nll"] for line in lines if "held_out_nll" in line]
    assert regression[-1] < 0.7 * regression[0]
    assert len(held_out) == 3
    card = json.loads((tmp_path / "audio-flow.json").read_text())
    assert card["kind"] == "audio"
    assert card["data"] == ["made/up"]
    figures = card["figures"]
    assert figures["opening_correlation"]["regressor"] > 0.5
    likelihood = figures["nll_expression"]
    assert likelihood["true_sound"] < likelihood["another_persons_sound"] - 0.5
    assert likelihood["true_sound"] < likelihood["gaussian_without_sound"]
    gain = figures["own_sound_gain_expression"]
    assert gain["mean"] == pytest.approx(likelihood["another_persons_sound"] - likelihood["true_sound"], abs=1e-3)
    assert (gain["share_of_clips"], gain["share_of_pairs"]) == (1, 1)
    assert set(figures["closures"]) in ({"english", "other_languages"}, {"not_measured"})  # without eSpeak NG
    assert SpeechToMotion.load(tmp_path).network.config == TINY.network


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["regressor_step", "flow_step"])
def test_an_interrupted_training_goes_on_as_if_it_had_not_been(
    stage: str, speech_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = TINY.model_copy(
        update={"regressor_steps": 6, "flow_steps": 6, "evaluate_every": 2, "evaluate_regressors_every": 2}
    )
    clips, held_out = read_clips([speech_corpus], "train"), read_clips([speech_corpus], "val")

    def prepared(name: str) -> tuple[Trainer, Run]:
        trainer = Trainer(config, clips, held_out)
        return trainer, Run(tmp_path / name, config, trainer.state, steps=12)

    whole, run = prepared("whole")
    whole.train(run)

    cut, run = prepared("cut")
    plain, calls = getattr(cut, stage), iter(range(100))

    def failing(rate: float) -> dict[str, torch.Tensor]:
        if next(calls) == 3:
            run.save()
            raise KeyboardInterrupt
        return plain(rate)

    monkeypatch.setattr(cut, stage, failing)
    with pytest.raises(KeyboardInterrupt):
        cut.train(run)
    resumed, run = prepared("cut")
    assert 0 < run.step < 12
    resumed.train(run)
    for (name, expected), got in zip(
        whole.network.state_dict().items(), resumed.network.state_dict().values(), strict=True
    ):
        assert torch.equal(expected, got), name
    assert whole.best.error == resumed.best.error


def test_autoregression_finds_the_recursion() -> None:
    torch.manual_seed(0)
    series = torch.zeros(4000, 1)
    for t in range(2, 4000):
        series[t] = 1.2 * series[t - 1] - 0.5 * series[t - 2] + torch.randn(())
    past = torch.stack([series[1:-1], series[:-2]], dim=1)
    torch.testing.assert_close(
        autoregression(series[2:], past, 0.0)[:, 0], torch.tensor([1.2, -0.5]), atol=0.05, rtol=0
    )


@pytest.mark.parametrize(
    "bad", [{"network": {"members": 1}}, {"batch": 3}, {"history_dropout": 1.0}, {"flow_frames": 4}, {"speeds": []}]
)
def test_settings_out_of_range_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        AudioConfig(**bad)
