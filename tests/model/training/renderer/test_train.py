"""A tiny training on synthetic heads: the loss falls, the run resumes, the weights animate."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from pydantic import ValidationError
from tensorboard.backend.event_processing import event_accumulator

from model.animation.animator import Animator
from model.data.batch import Batch
from model.data.pairs import PairData
from model.errors import DataError, TrainingDivergedError
from model.evaluation.renderer.preview import flow_colours
from model.extractor import Extraction
from model.face.crop import Crop
from model.morphable import MorphableModel
from model.renderer.config import EditingConfig, RendererConfig, WarpingConfig
from model.renderer.warping import pixel_centres
from model.training import Run
from model.training.losses.total import LossConfig
from model.training.renderer import train as training
from model.training.renderer.recipe import PhaseConfig, RendererTrainingConfig
from model.training.renderer.train import RendererTrainer, train
from model.weights.files import load_weights
from tests.support.paths import ROOT

SMALL_LOSS = LossConfig(
    perceptual_warped=0, perceptual_image=0, style=0, l1_warped=1, l1_image=1, l1_colour=0.3, region_image=1, scales=3
)
TINY = RendererConfig(
    motion_dimension=70,
    descriptor_size=32,
    adain_hidden=16,
    warping=WarpingConfig(base_channels=8, max_channels=16),
    editing=EditingConfig(base_channels=8, max_channels=16),
    guided=True,
    grid="aligned",
)
SHALLOW = TINY.model_copy(  # where it does not matter what is learned
    update={
        "warping": WarpingConfig(base_channels=4, max_channels=8, encoder_layers=2, decoder_layers=1),
        "editing": EditingConfig(base_channels=4, max_channels=8, layers=1, residual_blocks=1),
    }
)


def config(steps: int) -> RendererTrainingConfig:
    phases = (
        PhaseConfig(until=0.5, size=64, pairs=2, learning_rate=2e-3, edit=False, loss=SMALL_LOSS),
        PhaseConfig(until=1.0, size=64, pairs=2, learning_rate=2e-3, loss=SMALL_LOSS),
    )
    return RendererTrainingConfig(
        network=TINY, phases=phases, steps=steps, frames_per_clip=10, evaluation_clips=2, warp_back=0.2
    )


STEPS = 16


@pytest.fixture(scope="module")
def run(tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run")
    train(config(STEPS), data=tiny_corpus, out=out)
    return out


@pytest.mark.slow
def test_training_beats_copying_on_held_out_people(run: Path) -> None:
    last = json.loads((run / "log.jsonl").read_text().splitlines()[-1])
    assert last["psnr_image"] > last["psnr_copy"] + 0.5
    assert (run / "sheets" / f"held-out-{STEPS:07d}.png").is_file()


@pytest.mark.slow
def test_a_longer_run_goes_on_from_the_checkpoint(run: Path, tiny_corpus: Path) -> None:
    train(config(STEPS + 2), data=tiny_corpus, out=run)
    assert (run / f"checkpoint-{STEPS + 2:08d}.pt").is_file()
    assert (run / f"checkpoint-{STEPS:08d}.pt").is_file()


@pytest.mark.slow
def test_a_new_run_starts_from_released_weights(run: Path, tiny_corpus: Path, tmp_path: Path) -> None:
    train(config(1).model_copy(update={"start_from": run}), data=tiny_corpus, out=tmp_path)
    first = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])
    assert first["psnr_image"] > first["psnr_copy"] + 0.5


@pytest.mark.slow
def test_a_wider_network_starts_where_the_narrow_one_stands(run: Path, tiny_corpus: Path, tmp_path: Path) -> None:
    wider = TINY.model_copy(update={"editing": EditingConfig(base_channels=16, max_channels=32)})
    hardly = PhaseConfig(until=1.0, size=64, pairs=2, learning_rate=1e-7, loss=SMALL_LOSS)
    changes = {"network": wider, "start_from": run, "grow": config(1).name, "name": "wider", "phases": (hardly,)}
    grown = config(1).model_copy(update=changes)
    train(grown, data=tiny_corpus, out=tmp_path)
    wide, narrow = load_weights("wider", tmp_path)[1], load_weights(config(1).name, run)[1]
    assert abs(wide["figures"]["psnr_image"] - narrow["figures"]["psnr_image"]) < 0.05
    assert wide["config"]["editing"]["base_channels"] == 16


def test_growing_needs_the_folder_of_what_grows() -> None:
    with pytest.raises(ValidationError, match="grow is 'narrow'; it needs start_from"):
        RendererTrainingConfig(grow="narrow")


@pytest.mark.slow
def test_the_released_weights_animate(run: Path, morphable: MorphableModel) -> None:
    animator = Animator.load(engine="torch", directory=run)
    landmarks = morphable.landmarks(torch.zeros(1, 80), torch.zeros(1, 70))[0].numpy()
    portrait = Extraction(
        crop=Crop(0, 0, 256),
        image=np.full((256, 256, 3), 128, np.uint8),
        landmarks=landmarks,
        identity=np.zeros(80, np.float32),
        motion=np.zeros(70, np.float32),
        confidence=1.0,
    )
    parts = list(animator.animate(animator.prepare(portrait), np.zeros((7, 70), np.float32), batch_size=3))
    assert [part.images.shape for part in parts] == [(count, 256, 256, 3) for count in (2, 3, 2)]
    some = list(animator.animate(animator.prepare(portrait), np.zeros((7, 70), np.float32), frames=[1, 5]))
    np.testing.assert_array_equal(some[0].images, parts[0].images)


@pytest.mark.slow
def test_a_run_that_diverges_stops_and_keeps_the_last_good_checkpoint(tiny_corpus: Path, tmp_path: Path) -> None:
    out, cache = tmp_path / "run", tmp_path / "cache"
    train(config(2), data=tiny_corpus, out=out, cache=cache)
    weights = (out / "renderer-guided-light.safetensors").read_bytes()
    calm = config(6)
    wild = calm.phases[1].model_copy(update={"learning_rate": 1e30})
    with pytest.raises(TrainingDivergedError, match=r"last good checkpoint is checkpoint-00000002\.pt"):
        train(calm.model_copy(update={"phases": (calm.phases[0], wild)}), data=tiny_corpus, out=out, cache=cache)
    assert [path.name for path in out.glob("checkpoint-*")] == ["checkpoint-00000002.pt"]
    assert (out / "renderer-guided-light.safetensors").read_bytes() == weights
    train(config(3), data=tiny_corpus, out=out, cache=cache)
    assert (out / "checkpoint-00000003.pt").is_file()


@pytest.mark.slow
def test_a_run_writes_scalars_and_sheets_where_tensorboard_finds_them(run: Path) -> None:
    events = event_accumulator.EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    assert {"loss", "l1_image", "gradient_norm", "psnr_image", "psnr_prior_warp"} <= set(events.Tags()["scalars"])
    assert events.Tags()["images"] == ["held-out", "warp-back"]
    sheet = cv2.imread(str(run / "sheets" / f"held-out-{STEPS:07d}.png"))
    assert sheet is not None
    assert sheet.shape == (2 * 64, 7 * 64, 3)  # source, warped, image, target, flow, colour and mask of two clips


def test_a_flow_has_a_colour_for_each_direction() -> None:
    places = pixel_centres((8, 8)).permute(1, 2, 0).repeat(4, 1, 1, 1)
    for number, (x, y) in enumerate([(0.0, 0.0), (0.3, 0.0), (-0.3, 0.0), (0.0, 0.3)]):
        places[number] += torch.tensor([x, y])
    colours = flow_colours(places).mean((2, 3))
    torch.testing.assert_close(colours[0], torch.ones(3))
    assert colours[1].argmax() == 0
    assert colours[2].argmin() == 0
    assert torch.cdist(colours, colours).add(torch.eye(4)).min() > 0.5


@pytest.mark.slow
def test_a_run_can_learn_one_clip_by_heart_and_be_measured_on_it(tiny_corpus: Path, tmp_path: Path) -> None:
    values = {"steps": 8, "clips": ["0000000001"], "augment": False, "evaluate_on": "training"}
    config_ = RendererTrainingConfig.model_validate(config(8).model_dump() | values)
    train(config_, data=tiny_corpus, out=tmp_path)
    last = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])
    assert last["psnr_image"] > last["psnr_copy"] + 1
    assert (tmp_path / "sheets" / "training-0000008.png").is_file()
    with pytest.raises(DataError, match=r"no clips nobody in .* allowed are ids of its train split"):
        train(config_.model_copy(update={"clips": ("nobody",)}), data=tiny_corpus, out=tmp_path)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # torch's own, as it loads its compiler
def test_compiled_and_mixed_precision_steps_are_the_plain_ones(tiny_corpus: Path, tmp_path: Path) -> None:
    batch = PairData(tiny_corpus, tmp_path, split="train", frames_per_clip=10).batch([np.random.default_rng(0)], 64)
    steps = {}
    ways: dict[str, dict[str, Any]] = {"plain": {}, "compiled": {"compile": "aot_eager"}, "mixed": {"bfloat16": True}}
    for name, changes in ways.items():
        trainer = RendererTrainer(config(1).model_copy(update={"network": SHALLOW} | changes))
        trainer.phase = trainer.phase.model_copy(update={"edit": True})
        steps[name] = {term: value.item() for term, value in trainer.step([batch]).items()}
        assert set(trainer.network.state_dict()) == set(trainer.ema.module.state_dict())
    assert steps["compiled"] == pytest.approx(steps["plain"], rel=1e-3)
    # A gradient adds up many numbers of eight bits.
    norms = [step.pop("gradient_norm") for step in (steps["mixed"], steps["plain"])]
    assert norms[0] == pytest.approx(norms[1], rel=0.2)
    assert steps["mixed"] == pytest.approx(steps["plain"], rel=0.05)


def adversarial_config(**changes: object) -> RendererTrainingConfig:
    loss = SMALL_LOSS.model_copy(update={"adversarial": 0.05})
    phase = PhaseConfig(until=1.0, size=64, pairs=2, learning_rate=2e-3, loss=loss)
    values = {"network": SHALLOW, "phases": (phase,), "steps": 4, "frames_per_clip": 10, "evaluation_clips": 2}
    return RendererTrainingConfig.model_validate(values | {"warp_back": 0.5} | changes)


@pytest.fixture(scope="module")
def whole_run(tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a short run with a discriminator that nothing stopped; `cache` beside it."""
    out = tmp_path_factory.mktemp("adversarial") / "whole"
    train(adversarial_config(loader_workers=0), data=tiny_corpus, out=out, cache=out.parent / "cache")
    return out


@pytest.mark.slow
@pytest.mark.parametrize("processes", [0, 1])
def test_an_interrupted_run_ends_bit_for_bit_where_the_whole_one_does(
    processes: int, whole_run: Path, tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped in its third step and taken up, whoever draws."""
    resume = partial(
        train,
        adversarial_config(loader_workers=processes),
        data=tiny_corpus,
        out=tmp_path,
        cache=whole_run.parent / "cache",
    )
    step = RendererTrainer.step
    taken = 0

    def step_until_the_plug_is_pulled(self: RendererTrainer, batches: Sequence[Batch]) -> dict[str, torch.Tensor]:
        nonlocal taken
        taken += 1
        if taken == 3:
            raise KeyboardInterrupt
        return step(self, batches)

    with monkeypatch.context() as patch:
        patch.setattr(training, "Run", partial(Run, save_every_minutes=0))
        patch.setattr(RendererTrainer, "step", step_until_the_plug_is_pulled)
        with pytest.raises(KeyboardInterrupt):
            resume()
    torch.manual_seed(99)  # what is not restored would show
    resume()
    ends = [torch.load(out / "checkpoint-00000004.pt", weights_only=True) for out in (whole_run, tmp_path)]
    assert ends[0]["step"] == ends[1]["step"] == 4
    whole, resumed = (dict(_tensors(end["state"])) for end in ends)
    assert len(whole) > 200
    assert any("discriminator_optimizer" in name for name in whole)
    for name, tensor in whole.items():
        assert torch.equal(tensor, resumed[name]), name


def _tensors(state: object, name: str = "") -> list[tuple[str, torch.Tensor]]:
    if isinstance(state, torch.Tensor):
        return [(name, state)]
    parts = state.items() if isinstance(state, dict) else enumerate(state) if isinstance(state, list) else ()
    return [found for key, part in parts for found in _tensors(part, f"{name}.{key}")]


@pytest.mark.slow
def test_accumulated_batches_are_one_large_batch(tiny_corpus: Path, tmp_path: Path) -> None:
    config_ = config(1)
    data = PairData(tiny_corpus, tmp_path, split="train", frames_per_clip=10)
    ends = []
    for pieces in (1, 2):
        trainer = RendererTrainer(config_)
        generators = [np.random.default_rng(number) for number in range(2)]
        size = 2 // pieces
        batches = [data.batch(generators[start : start + size], 64) for start in range(0, 2, size)]
        scalars = trainer.step(batches)
        ends.append((scalars["loss"].item(), scalars["gradient_norm"].item()))
    assert ends[0] == pytest.approx(ends[1], rel=1e-4)


TORCHRUN = """
import sys
from pathlib import Path
if __name__ == "__main__":  # drawing processes import this file
    import torch
    from model.training.renderer.train import RendererTrainingConfig, train
    torch.set_num_threads(1)
    config = RendererTrainingConfig.model_validate_json(Path(sys.argv[1]).read_text())
    train(config, data=Path(sys.argv[2]), out=Path(sys.argv[3]))
"""


@pytest.mark.slow
def test_two_processes_have_the_losses_of_one(tiny_corpus: Path, tmp_path: Path) -> None:
    config_ = adversarial_config(steps=2, warp_back=0.0)
    slow = config_.phases[0].model_copy(update={"learning_rate": 1e-5})  # Adam's first steps make much of rounding
    config_ = config_.model_copy(update={"phases": (slow,)})
    one, two = tmp_path / "run-1", tmp_path / "run-2"
    train(config_, data=tiny_corpus, out=one)
    (tmp_path / "config.json").write_text(config_.model_copy(update={"loader_workers": 1}).model_dump_json())
    (tmp_path / "start.py").write_text(TORCHRUN)
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    arguments = [str(tmp_path / "start.py"), str(tmp_path / "config.json"), str(tiny_corpus), str(two)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, *torchrun, *arguments], check=True, timeout=240, env=environment)
    losses, decibels = [], []
    for out in (one, two):
        lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
        losses.append([lines[0]["loss"], lines[0]["discriminator"]])
        decibels.append(lines[-1]["psnr_image"])
    # Batches of other sizes are rounded otherwise, of which the prior makes a little more where heads hide things.
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    assert decibels[0] == pytest.approx(decibels[1], abs=0.05)
    assert load_weights("renderer-guided-light", two)[1]["hardware"].startswith("2 x ")


def test_pairs_that_processes_cannot_share_are_refused() -> None:
    ranks = training.Ranks(1, 2, torch.device("cpu"))
    assert list(ranks.share(4)) == [1, 3]
    with pytest.raises(ValueError, match="3 pairs for 2 processes; allowed are multiples of 2"):
        ranks.share(3)
