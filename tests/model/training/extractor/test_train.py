import json

import pytest
import torch
from pydantic import ValidationError

from model.errors import WeightsError
from model.extractor.network import FaceNetwork, NetworkConfig
from model.extractor.reader import FaceReader
from model.training.extractor.train import ExtractorConfig, start_from, train
from model.weights.files import read_card

TINY = ExtractorConfig(
    network=NetworkConfig(input_size=32, channels=(8, 16, 16), blocks=(0, 1, 1), hidden=32, components=12),
    picture_size=64,
    frames_per_clip=4,
    batch_size=16,
    steps=100,
    warmup_steps=10,
    ema_half_life_steps=5,
    evaluate_every=50,
    bfloat16=False,
)


@pytest.mark.slow
def test_training_learns_resumes_and_releases(drawn_corpus, tmp_path):
    train(TINY, data=drawn_corpus, out=tmp_path)
    train(TINY.model_copy(update={"steps": 140}), data=drawn_corpus, out=tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    losses = {line["step"]: line["landmarks"] for line in lines if "landmarks" in line}
    assert list(losses) == [0, 20, 40, 60, 80, 100, 120]  # the second session went on where the first ended
    assert losses[120] < 0.8 * losses[0]
    assert (tmp_path / "checkpoint-00000140.pt").is_file()
    assert list((tmp_path / "sheets").glob("landmarks-*.png"))
    card = read_card("extractor", tmp_path)
    assert card["motion_space"] == "open478"
    assert card["figures"]["one_look_px"] > 0
    assert "6 people" not in card["data"]
    assert "7 people" in card["data"]
    assert FaceReader.load(tmp_path).network.config == TINY.network


def test_the_same_steps_give_the_same_network(drawn_corpus, tmp_path):
    config = TINY.model_copy(update={"steps": 3})
    for name in ("a", "b"):
        train(config, data=drawn_corpus, out=tmp_path / name)
    first, second = (FaceReader.load(tmp_path / name, engine="torch").network.state_dict() for name in ("a", "b"))
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_a_run_starts_from_released_weights_without_a_closer_look(drawn_corpus, tmp_path):
    config = TINY.model_copy(update={"steps": 1})
    train(config, data=drawn_corpus, out=tmp_path / "first")
    closer = config.network.model_copy(update={"window_size": 48})
    network = FaceNetwork(closer)
    start_from(network, tmp_path / "first")
    released = FaceReader.load(tmp_path / "first", engine="torch").network.state_dict()
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in released.items())
    other = FaceNetwork(config.network.model_copy(update={"components": 5}))
    with pytest.raises(WeightsError, match=r"misshapen \['basis"):
        start_from(other, tmp_path / "first")


def test_unknown_settings_are_refused():
    with pytest.raises(ValidationError, match="learning_rat"):
        ExtractorConfig.model_validate({"learning_rat": 1e-3})
