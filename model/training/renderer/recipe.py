"""What a renderer's training can be told, and what it is told by default."""

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from model.data.batch import PairSource
from model.data.lmdb_pairs import is_lmdb
from model.errors import DataError
from model.extractor.deep3d.coefficients import DIMENSION
from model.morphable.basis import MOTION
from model.renderer.config import RendererConfig
from model.training.losses.total import LossConfig

# What networks of the light size are trained by: the picture and, by itself, what the editing network paints.
PAINT_LOSS = LossConfig(
    features="efficientnet-lite0",
    perceptual_warped=0,
    perceptual_image=1.0,
    perceptual_colour=0.5,
    style=0,
    l1_warped=0.5,
    l1_image=1.0,
    l1_colour=1.0,
    region_image=1.0,
    scales=1,
)

# The discriminator comes when colour is a picture: before, it would only be told what it sees.
SHARP_LOSS = PAINT_LOSS.model_copy(update={"adversarial": 0.3})


class _Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PhaseConfig(_Config):
    """A stretch of the run, up to the share `until` (0..1) of its steps or its time budget."""

    until: float = Field(gt=0, le=1)
    size: PositiveInt = 256
    pairs: PositiveInt = 10  # each in both directions: a batch is twice this, over all processes
    accumulate: PositiveInt = 1  # batches whose gradients make one step
    learning_rate: PositiveFloat = 1e-4
    edit: bool = True  # off: the warping network alone
    loss: LossConfig = LossConfig()


class RendererTrainingConfig(_Config):
    """Everything of a run. The defaults train the guided light size, as a CPU can."""

    network: RendererConfig = RendererConfig.light(MOTION)
    phases: tuple[PhaseConfig, ...] = (
        PhaseConfig(until=0.1, pairs=2, learning_rate=3e-4, loss=PAINT_LOSS),
        PhaseConfig(until=0.8, pairs=2, learning_rate=2e-4, loss=SHARP_LOSS),
        PhaseConfig(until=1.0, pairs=2, learning_rate=5e-5, loss=SHARP_LOSS),
    )
    steps: PositiveInt = 200_000
    seed: int = 0
    frames_per_clip: PositiveInt = 40
    clips: tuple[str, ...] = ()  # ids of the clips to train on; empty: all of the split
    warp_back: float = Field(default=0.7, ge=0, le=1)  # share of pairs whose truth is known
    augment: bool = True  # pairs are mirrored, coloured and held still by chance
    loader_workers: NonNegativeInt | None = None  # processes that draw batches ahead; None: 0 on a CPU, else by cores
    ema_half_life_steps: PositiveFloat = 312.5
    evaluate_every_minutes: PositiveFloat = 5.0
    evaluate_on: Literal["held-out", "training"] = "held-out"  # training: pairs as it draws them, to see it overfit
    evaluation_clips: PositiveInt = 24  # or so many drawn pairs
    keep_checkpoints: PositiveInt = 2  # the last of them
    name: str = "renderer-guided-light"
    bfloat16: bool | None = None  # mixed precision; None: on a GPU alone. CPUs with avx512_bf16 gain from it too
    compile: Literal["inductor", "aot_eager"] | None = None  # torch.compile's backend: minutes at first, faster steps
    start_from: Path | None = None  # folder whose weights NAME a new run starts from, such as model/weights
    grow: str | None = None  # name of narrower weights in that folder that it starts from instead, widened

    @model_validator(mode="after")
    def _phases_in_order(self) -> Self:
        ends = [phase.until for phase in self.phases]
        if ends != sorted(set(ends)) or ends[-1] != 1.0:
            raise ValueError(f"the phases end at {ends}; allowed are rising shares of which the last is 1.0")
        return self

    @model_validator(mode="after")
    def _growing_from_somewhere(self) -> Self:
        if self.grow is not None and self.start_from is None:
            raise ValueError(f"grow is {self.grow!r}; it needs start_from, the folder of those weights")
        return self

    def check_fits(self, data: PairSource) -> None:
        """See that network and losses can be trained on this data.

        Raises DataError: the network takes other motions, or network or losses need landmarks that the data lacks.
        """
        if self.network.motion_dimension != data.dimension:
            raise DataError(
                f"network.motion_dimension is {self.network.motion_dimension}; allowed is {data.dimension}, since the "
                f"data's motions are {data.motion_space}"
            )
        if data.landmarks:
            return
        if self.network.guided:
            raise DataError("network.guided is true; allowed is false where the data has no landmarks to guide it")
        for number, phase in enumerate(self.phases):
            if phase.loss.region_image:
                raise DataError(
                    f"phases[{number}].loss.region_image is {phase.loss.region_image}; allowed is 0 where the data has "
                    "no landmarks to say where eyes and mouth are"
                )


def defaults_for(data: Path) -> dict[str, Any]:
    """Fields whose default depends on the data: the authors' layout is trained by the paper's recipe."""
    if not is_lmdb(data):
        return {}
    return {
        "name": "renderer-bfm-deep3d",
        "network": RendererConfig.full(DIMENSION),
        "steps": 400_000,
        "warp_back": 0.0,
        "phases": (
            PhaseConfig(until=0.5, edit=False),
            PhaseConfig(until=0.75),
            PhaseConfig(until=1.0, learning_rate=2e-5),
        ),
    }
