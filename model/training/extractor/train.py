"""Training of the extractor's network: `pirenderer train extractor`."""

import math
from pathlib import Path

import cv2
import numpy as np
import structlog
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from model.arrays import Array
from model.data.corpus import CORPUS_SIZE, read_corpus
from model.data.face_frames import FrameStore, build_frames
from model.extractor.linear_face import linear_face
from model.extractor.network import FaceNetwork, NetworkConfig, Prediction
from model.face.topology import EYES, IRISES, MOUTH, mirror_permutation
from model.morphable import MOTION_SPACE, MorphableModel
from model.morphable.basis import MOTION
from model.training import Ema, Run, Stateful
from model.training.extractor.loss import HALF_WINDOW_PX, extractor_losses
from model.training.extractor.samples import Sampler, WindowBatch
from model.weights.card import Card
from model.weights.files import load_into, load_weights

log = structlog.get_logger(__name__)

NAME = "extractor"


class ExtractorConfig(BaseModel):
    """How the extractor is trained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    network: NetworkConfig = NetworkConfig(window_size=192)
    start_from: Path | None = None  # folder whose extractor a new run starts from, such as model/weights
    picture_size: int = Field(
        CORPUS_SIZE, ge=64, le=CORPUS_SIZE, description="side of the decoded training pictures in pixels"
    )
    frames_per_clip: int = Field(32, ge=1)
    still_share: float = Field(0.35, ge=0, le=1, description="share of the draws that are stills")
    maximum_items: int | None = Field(None, ge=2, description="use only so many clips and stills of each split")
    batch_size: int = Field(32, ge=2)
    steps: int = Field(200_000, ge=1)
    learning_rate: float = Field(2e-3, gt=0)
    weight_decay: float = Field(0.01, ge=0)
    warmup_steps: int = Field(200, ge=1)
    ema_half_life_steps: float = Field(200, gt=0)
    evaluate_every: int = Field(500, ge=1)
    bfloat16: bool = Field(
        True, description="compute convolutions in bfloat16 where that is fast (AVX-512 BF16, AMX, CUDA)"
    )
    threads: int = Field(1, ge=1)
    seed: int = 0


def train(config: ExtractorConfig, *, data: Path, out: Path, minutes: float | None = None) -> None:
    """Train on a corpus folder and leave extractor.safetensors and its card in `out`; resumes what `out` holds.

    Raises DataError: the corpus is not readable.
    Raises TrainingDivergedError: a loss became non-finite.
    """
    torch.set_num_threads(config.threads)
    cv2.setNumThreads(config.threads)
    torch.manual_seed(config.seed)
    store, held_out = (
        build_frames(
            data,
            out / "frames",
            split=split,
            size=config.picture_size,
            frames_per_clip=frames,
            still_share=config.still_share,
            maximum_items=config.maximum_items,
        )
        for split, frames in (("train", config.frames_per_clip), ("val", 4))
    )
    trainer = ExtractorTrainer(config, store, held_out)
    run = Run(out, config, trainer.state, steps=config.steps, minutes=minutes)
    for step, progress in run.steps():
        run.log(step, **trainer.step(step, progress))
        if (step + 1) % config.evaluate_every == 0:
            figures = validate(trainer.ema.module, trainer.validation)
            run.record(step, **figures)
            run.sheet(step, "landmarks", overlay_sheet(trainer.ema.module, trainer.validation))
            release(run, trainer, data, figures)
    release(run, trainer, data, validate(trainer.ema.module, trainer.validation))


class ExtractorTrainer:
    """Network, average and optimiser; knows what one step is."""

    def __init__(self, config: ExtractorConfig, store: FrameStore, held_out: FrameStore) -> None:
        self.config = config
        permutation = mirror_permutation(MorphableModel.load().mean.numpy())
        reference, basis = linear_face(store.landmarks, permutation, config.network.components)
        self.network = FaceNetwork(config.network)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network.set_linear_face(torch.from_numpy(reference), torch.from_numpy(basis))
        if config.start_from is not None:
            start_from(self.network, config.start_from)
            reference = self.network.reference.numpy()
        self.sampler = Sampler(store, permutation, reference, config.network.sharp_size)
        self.validation = _validation_batch(held_out, permutation, reference, config)
        self.optimizer = _optimizer(self.network, config)
        self.ema = Ema(self.network, config.ema_half_life_steps)

    @property
    def state(self) -> dict[str, Stateful]:
        """All that a checkpoint holds."""
        return {"network": self.network, "optimizer": self.optimizer, "ema": self.ema}

    def step(self, number: int, progress: float) -> dict[str, Tensor]:
        """Step `number`, at `progress` 0..1 of the run: the losses ()."""
        config = self.config
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * _schedule(number, progress, config.warmup_steps)
        # the step's own generator: a resumed run draws what an unbroken one would have drawn
        batch = self.sampler.batch(np.random.default_rng((config.seed, number)), config.batch_size)
        self.network.train()
        with torch.autocast("cpu", torch.bfloat16, enabled=config.bfloat16):
            prediction = self.network(torch.from_numpy(batch.images))
        losses = extractor_losses(prediction, *_labels(batch))
        self.optimizer.zero_grad(set_to_none=True)
        losses.total.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimizer.step()
        self.ema.update()
        return {"loss": losses.total.detach()} | {name: value.detach() for name, value in losses._asdict().items()}


def start_from(network: FaceNetwork, directory: Path) -> None:
    """Take over the released extractor in `directory`; what it lacks of the closer look stays as it is.

    Raises WeightsError: the files are missing, damaged or do not fit.
    """
    released, _ = load_weights(NAME, directory)
    fresh = {name: value for name, value in network.state_dict().items() if name.startswith("details.")}
    load_into(network, fresh | released, NAME)


def release(run: Run, trainer: ExtractorTrainer, data: Path, figures: dict[str, float]) -> None:
    """Write the averaged network and its card."""
    config = trainer.config
    items = read_corpus(data, split="train")[: config.maximum_items]
    sources, people = sorted({item.repo for item in items}), len({item.person for item in items})
    card = Card(
        kind="extractor",
        version="0.1",
        motion_space=MOTION_SPACE,
        dimension=MOTION,
        intended_use="find faces in photos and videos and read their motion, to drive the renderer",
        data=f"{len(items)} clips and stills, {people} people, of {', '.join(sources)}",
        recipe="pirenderer train extractor; strong augmentation; L1 on landmarks, lips and lids first; presence",
        figures={name: round(value, 4) for name, value in figures.items()},
        config=config.model_dump(mode="json"),
    )
    run.release(NAME, trainer.ema.module, card)


@torch.no_grad()
def validate(network: FaceNetwork, batch: WindowBatch) -> dict[str, float]:
    """Figures on held-out people after one look: landmark errors in crop units, presence right or wrong."""
    network.eval()
    prediction = network(torch.from_numpy(batch.images))
    landmarks, pose, presence = _labels(batch)
    error = (prediction.landmarks - landmarks)[..., :2].norm(dim=-1) * (HALF_WINDOW_PX * torch.exp(-pose[:, 2]))[
        :, None
    ]
    whole = presence == 1
    eyes, mouth = list(EYES + IRISES), list(MOUTH)
    judged = torch.sigmoid(prediction.presence)
    absent = presence == 0
    return {
        "one_look_px": float(error[whole].mean()),
        "one_look_mouth_px": float(error[whole][:, mouth].mean()),
        "one_look_eyes_px": float(error[whole][:, eyes].mean()),
        "presence_missed": float((judged[whole] < 0.5).float().mean()),
        "presence_false": float((judged[absent] > 0.5).float().mean()) if absent.any() else math.nan,
    }


@torch.no_grad()
def overlay_sheet(network: FaceNetwork, batch: WindowBatch, columns: int = 8) -> Array:
    """A sheet (H, W, 3) uint8 of the first windows with the landmarks found and the presence judged."""
    network.eval()
    images = batch.images[: columns * 4]
    prediction: Prediction = network(torch.from_numpy(images))
    size = images.shape[-1]
    tiles = []
    for image, points, presence in zip(images, prediction.landmarks, torch.sigmoid(prediction.presence), strict=True):
        tile = cv2.resize(np.ascontiguousarray(image.transpose(1, 2, 0)), (2 * size, 2 * size))
        for x, y in ((points[:, :2].numpy() + 1) * size).astype(int).tolist():
            cv2.circle(tile, (x, y), 1, (0, 255, 0), -1)
        cv2.putText(tile, f"{presence:.2f}", (4, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (255, 0, 0), 2)
        tiles.append(tile)
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    return np.vstack([np.hstack(tiles[at : at + columns]) for at in range(0, len(tiles), columns)])


def _validation_batch(
    held_out: FrameStore, permutation: Array, reference: Array, config: ExtractorConfig
) -> WindowBatch:
    sampler = Sampler(held_out, permutation, reference, config.network.sharp_size)
    return sampler.batch(np.random.default_rng((config.seed, 2**32)), 256)


def _optimizer(network: FaceNetwork, config: ExtractorConfig) -> torch.optim.Optimizer:
    """AdamW; the linear face's basis, whose numbers are some hundred times smaller, moves that much slower."""
    rest = [parameter for name, parameter in network.named_parameters() if name != "basis"]
    groups = [
        {"params": rest, "lr": config.learning_rate, "weight_decay": config.weight_decay},
        {"params": [network.basis], "lr": config.learning_rate * 0.005, "weight_decay": 0.0},
    ]
    for group in groups:
        group["initial_lr"] = group["lr"]
    return torch.optim.AdamW(groups)


def _labels(batch: WindowBatch) -> tuple[Tensor, Tensor, Tensor]:
    return torch.from_numpy(batch.landmarks), torch.from_numpy(batch.pose), torch.from_numpy(batch.presence)


def _schedule(step: int, progress: float, warmup: int) -> float:
    """Linear warm-up, then half a cosine down to 1 %."""
    return min(1.0, (step + 1) / warmup) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))
