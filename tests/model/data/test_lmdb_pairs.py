"""The authors' layout: what is read of it, what is passed over, and a network trained from it."""

import io
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import lmdb
import numpy as np
import pytest
import torch
from PIL import Image
from structlog.testing import capture_logs
from typer.testing import CliRunner

from model.animation.animator import Animator
from model.cli import train as command
from model.data.batch import Batch
from model.data.lmdb_pairs import LmdbPairs, is_lmdb
from model.data.sources import open_pairs
from model.errors import DataError
from model.extractor import Extraction
from model.face.crop import Crop
from model.renderer.config import EditingConfig, RendererConfig, WarpingConfig
from model.training import Run
from model.training.losses.total import LossConfig
from model.training.renderer import train as training
from model.training.renderer.recipe import PhaseConfig, RendererTrainingConfig, defaults_for
from model.training.renderer.train import RendererTrainer, train
from model.weights.files import read_card

FRAMES = 40
NAMES = {"train": ["ann#a#000#040", "ann#b#040#080", "bob#c#000#040"], "test": ["eve#d#000#040"]}


def rows(generator: np.random.Generator) -> np.ndarray:
    """Coefficients (40, 260) that go back and forth, each column in a range of its own."""
    t = np.linspace(0, 2 * np.pi, FRAMES)[:, None] + generator.uniform(0, 6, 260)
    return (np.sin(t) * 0.5 + np.arange(260)).astype(np.float32)


def picture(row: np.ndarray, side: int, colour: np.ndarray) -> bytes:
    """A disc whose place follows the row's angles, as JPEG."""
    y, x = np.mgrid[:side, :side] / side - 0.5
    centre = (row[224:226] - [224, 225]) * 0.3
    inside = (x - centre[0]) ** 2 + (y - centre[1]) ** 2 < 0.06
    pixels = np.where(inside[..., None], colour, [60, 60, 60]).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=95)
    return file.getvalue()


def make_lmdb(root: Path, folder: str = "256", side: int = 256) -> Path:
    generator = np.random.default_rng(0)
    (root / folder).mkdir(parents=True, exist_ok=True)
    for split, names in NAMES.items():
        (root / f"{split}_list.txt").write_text("".join(f"{name}\n" for name in names))
    with lmdb.open(str(root / folder), map_size=1 << 26) as records, records.begin(write=True) as transaction:
        for name in [name for names in NAMES.values() for name in names]:
            coefficients, colour = rows(generator), generator.integers(100, 250, 3)
            transaction.put(f"{name}-length".encode(), f"{FRAMES:07d}".encode())
            transaction.put(f"{name}-coeff_3dmm".encode(), coefficients.tobytes())
            for frame, row in enumerate(coefficients):
                transaction.put(f"{name}-{frame:07d}".encode(), picture(row, side, colour))
    return root


def change(root: Path, key: str, value: bytes | None) -> None:
    with lmdb.open(str(root / "256"), map_size=1 << 26) as records, records.begin(write=True) as transaction:
        if value is None:
            transaction.delete(key.encode())
        else:
            transaction.put(key.encode(), value)


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_lmdb(tmp_path_factory.mktemp("lmdb"))


def generators(count: int, seed: int = 0) -> list[np.random.Generator]:
    return [np.random.default_rng((seed, number)) for number in range(count)]


def test_pairs_are_two_frames_of_one_video_in_both_directions(layout: Path) -> None:
    data = LmdbPairs(layout, split="train")
    assert [video.person for video in data.videos] == ["ann", "ann", "bob"]
    batch = data.batch(generators(3), 64)
    assert batch.source.shape == batch.target.shape == (6, 3, 64, 64)
    assert batch.motion.shape == (6, 73, 27)
    assert batch.prior is batch.region is None
    assert torch.equal(batch.source[0::2], batch.target[1::2])
    assert torch.equal(batch.source[1::2], batch.target[0::2])
    # Each column lies around its number in the row: 80-143 expression, 224-226 angles, 254-259 translation and crop.
    columns = [*range(80, 144), *range(224, 227), *range(254, 260)]
    assert (batch.motion - torch.tensor(columns)[None, :, None]).abs().max() <= 0.51


def test_a_window_holds_the_neighbours_of_the_target(layout: Path) -> None:
    (batch,) = LmdbPairs(layout, split="val").first_to_farthest(64, clips=1)
    with lmdb.open(str(layout / "256"), readonly=True, lock=False) as records, records.begin() as transaction:
        record = transaction.get(b"eve#d#000#040-coeff_3dmm")
        assert record is not None
        stored = np.frombuffer(record, np.float32).reshape(FRAMES, 260)
    unlike = 0.3 * np.abs(stored - stored[0])[:, 80:144].mean(1) + 0.7 * np.abs(stored - stored[0])[:, 224:227].mean(1)
    around = np.clip(np.arange(-13, 14) + unlike.argmax(), 0, FRAMES - 1)
    np.testing.assert_array_equal(batch.motion[0, 64:67].numpy(), stored[around][:, 224:227].T)


def test_people_come_alike_often(layout: Path) -> None:
    data = LmdbPairs(layout, split="train")
    drawn = [data.batch(generators(1, seed), 64).source.mean((0, 2, 3)).round(decimals=1) for seed in range(60)]
    colours = torch.stack(drawn).unique(dim=0, return_counts=True)[1].sort().values
    assert colours[-1] >= 20, "bob, who has one of three videos"


def test_lists_and_data_may_lie_in_one_folder(layout: Path, tmp_path: Path) -> None:
    flat = make_lmdb(tmp_path, folder=".")
    assert is_lmdb(flat)
    ours, theirs = (LmdbPairs(root, split="train").batch(generators(2), 64) for root in (flat, layout))
    assert torch.equal(ours.source, theirs.source)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("-0000003", b"\xff\xd8 no picture", "no whole JPEG"),
        ("-0000003", None, "no record"),
        ("-0000003", picture(np.zeros(260), 32, np.zeros(3)), "32x32 pixels; allowed are squares of 64 to 1024"),
        ("-coeff_3dmm", np.full((FRAMES, 260), np.nan, np.float32).tobytes(), "NaN or infinity"),
    ],
)
def test_damaged_records_are_passed_over_and_named(key: str, value: bytes | None, said: str, tmp_path: Path) -> None:
    data = make_lmdb(tmp_path)
    change(data, f"bob#c#000#040{key}", value)
    opened = LmdbPairs(data, split="train")
    with capture_logs() as logs:
        first = opened.batch(generators(100), 64)
    assert first.source.isfinite().all()
    assert any(said in line["reason"] and "bob#c#000#040" in line["reason"] for line in logs), logs
    assert torch.equal(opened.batch(generators(100), 64).source, first.source)


def test_a_cut_picture_does_not_pass_for_a_whole_one(tmp_path: Path) -> None:
    data = make_lmdb(tmp_path)
    whole = picture(np.zeros(260), 256, np.full(3, 200))
    for frame in range(FRAMES):
        change(data, f"bob#c#000#040-{frame:07d}", whole[: len(whole) // 2])
    opened = LmdbPairs(data, split="train", clips=["bob#c#000#040"])
    with pytest.raises(DataError, match="20 pairs one after the other could not be read"):
        opened.batch(generators(1), 64)


@pytest.mark.parametrize(("key", "value"), [("-length", b"41"), ("-length", None), ("-coeff_3dmm", None)])
def test_videos_that_are_not_whole_are_left_out(key: str, value: bytes | None, tmp_path: Path) -> None:
    data = make_lmdb(tmp_path)
    change(data, f"ann#a#000#040{key}", value)
    with capture_logs() as logs:
        videos = LmdbPairs(data, split="train").videos
    assert [video.name for video in videos] == ["ann#b#040#080", "bob#c#000#040"]
    assert logs[0]["video"] == "ann#a#000#040"


def test_a_folder_that_is_not_whole_says_what_it_lacks(layout: Path, tmp_path: Path) -> None:
    (tmp_path / "train_list.txt").write_text("nobody#1\n")
    with pytest.raises(DataError, match=r"has 0 LMDBs; allowed is one data\.mdb"):
        LmdbPairs(tmp_path, split="train")
    (tmp_path / "data.mdb").write_bytes(b"not an LMDB" * 1000)
    with pytest.raises(DataError, match="not a readable LMDB"):
        LmdbPairs(tmp_path, split="train")
    data = make_lmdb(tmp_path / "whole")
    (data / "test_list.txt").unlink()
    with pytest.raises(DataError, match=r"no test_list\.txt in"):
        LmdbPairs(data, split="val")
    (data / "train_list.txt").write_text("nobody#1\n")
    with pytest.raises(DataError, match="no video of"):
        LmdbPairs(data, split="train")
    with pytest.raises(DataError, match="no videos zoe#1 in"):
        LmdbPairs(layout, split="train", clips=["zoe#1"])


TINY = RendererConfig(
    motion_dimension=73,
    descriptor_size=32,
    adain_hidden=16,
    warping=WarpingConfig(base_channels=8, max_channels=16),
    editing=EditingConfig(base_channels=8, max_channels=16),
)
LOSS = LossConfig(deepest_layer="relu2_1", scales=1, style=0)


def config(data: Path, **changes: object) -> RendererTrainingConfig:
    phases = (
        PhaseConfig(until=0.5, size=64, pairs=1, learning_rate=1e-3, edit=False, loss=LOSS),
        PhaseConfig(until=1.0, size=64, pairs=1, learning_rate=1e-3, loss=LOSS),
    )
    values = defaults_for(data) | {"network": TINY, "phases": phases, "steps": 6, "evaluation_clips": 1}
    return RendererTrainingConfig.model_validate(values | changes)


@pytest.mark.slow
def test_a_network_trained_from_it_resumes_and_is_one_of_the_authors_space(
    layout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(config(layout), data=layout, out=tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(training, "Run", partial(Run, save_every_minutes=0))
        step = RendererTrainer.step

        def unplugged(self: RendererTrainer, batches: Sequence[Batch]) -> dict[str, torch.Tensor]:
            if (tmp_path / "broken" / "checkpoint-00000004.pt").is_file():
                raise KeyboardInterrupt
            return step(self, batches)

        patch.setattr(RendererTrainer, "step", unplugged)
        with pytest.raises(KeyboardInterrupt):
            train(config(layout), data=layout, out=tmp_path / "broken")
    train(config(layout, loader_workers=1), data=layout, out=tmp_path / "broken")
    whole, resumed = (
        torch.load(tmp_path / out / "checkpoint-00000006.pt", weights_only=True)["state"]["network"]
        for out in ("whole", "broken")
    )
    for name, tensor in whole.items():
        assert torch.equal(tensor, resumed[name]), name

    card = read_card("renderer-bfm-deep3d", tmp_path / "whole")
    assert (card["motion_space"], card["dimension"]) == ("bfm-deep3d", 73)
    assert card["data"] == [f"LMDB {layout.name}: 3 videos of 2 people"]
    animator = Animator.load(engine="torch", name="renderer-bfm-deep3d", directory=tmp_path / "whole")
    assert animator.motion_space == "bfm-deep3d"
    portrait = Extraction(
        crop=Crop(0, 0, 256),
        image=np.full((256, 256, 3), 128, np.uint8),
        landmarks=np.zeros((478, 3), np.float32),
        identity=np.zeros(80, np.float32),
        motion=np.zeros(73, np.float32),
        confidence=1.0,
    )
    (frame,) = animator.animate(animator.prepare(portrait), np.zeros((1, 73), np.float32))
    assert frame.images.shape == (1, 256, 256, 3)


def test_the_papers_recipe_is_the_default(layout: Path, tmp_path: Path) -> None:
    arguments = ["renderer", "--data", str(layout), "--out", str(tmp_path), "--dry-run"]
    resolved = json.loads(CliRunner().invoke(command, arguments).stdout)
    assert resolved["network"] == RendererConfig.full(73).model_dump()
    assert resolved["steps"] == 400_000
    assert [phase["edit"] for phase in resolved["phases"]] == [False, True, True]
    assert [phase["learning_rate"] for phase in resolved["phases"]] == [1e-4, 1e-4, 2e-5]
    assert {phase["pairs"] for phase in resolved["phases"]} == {10}
    assert all(phase["loss"] == LossConfig().model_dump() for phase in resolved["phases"])


def test_a_loss_that_needs_landmarks_is_refused_by_name(layout: Path, tmp_path: Path) -> None:
    phase = PhaseConfig(until=1.0, size=64, loss=LOSS.model_copy(update={"region_image": 0.5}))
    with pytest.raises(DataError, match=r"phases\[0\]\.loss\.region_image is 0\.5; allowed is 0 where the data has no"):
        train(config(layout, phases=(phase,)), data=layout, out=tmp_path)


def test_what_needs_a_corpus_is_refused(layout: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"network\.guided is true; allowed is false"):
        train(config(layout, network=RendererConfig.light(73)), data=layout, out=tmp_path)
    with pytest.raises(DataError, match=r"motion_dimension is 70; allowed is 73, since .* are bfm-deep3d"):
        train(config(layout, network=RendererConfig.full(70)), data=layout, out=tmp_path)
    with pytest.raises(DataError, match=r"warp_back is 0\.5; allowed is 0"):
        open_pairs(layout, tmp_path, split="train", frames_per_clip=1, warp_back=0.5)
