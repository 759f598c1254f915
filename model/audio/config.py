"""Settings of the speech-to-motion network and of its training."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, lt=1)]
Speed = Annotated[float, Field(ge=0.5, le=2)]


class NetworkConfig(BaseModel):
    """Sizes of the network."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    components: Annotated[int, Field(ge=2, le=64)] = 24  # of expression
    members: Count = 4  # regressors, each without one fold of people
    member_channels: Count = 96
    member_blocks: Count = 5
    member_dropout: Share = 0.2
    look_ahead_frames: Annotated[int, Field(ge=0)] = 12  # of sound after a frame that its lips are predicted from
    closure_channels: Count = 64
    closure_blocks: Count = 4
    closure_look_ahead_frames: Annotated[int, Field(ge=0)] = 4
    condition_channels: Count = 32
    condition_blocks: Count = 4
    history_frames: Count = 8
    history_channels: Count = 32
    expression_steps: Count = 4
    expression_hidden: Count = 64
    pose_steps: Count = 3
    pose_hidden: Count = 32
    flow_dropout: Share = 0.1


class AudioConfig(BaseModel):
    """How speech-to-motion is trained: first the regressors, then the flows around them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    network: NetworkConfig = NetworkConfig()
    seed: int = 0
    # at which clips are heard and seen
    speeds: Annotated[tuple[Speed, ...], Field(min_length=1)] = (0.9, 1.0, 1.12)
    # by which sentences that are known are said again, and how fast; has to be empty where there is no eSpeak NG
    voices: tuple[tuple[str, Annotated[int, Field(ge=80, le=450)]], ...] = (
        ("en-gb-x-rp+m1", 150),
        ("en-us+f1", 190),
        ("en-029+m2", 170),
        ("en-gb-x-gbcwmd+f5", 210),
        ("en-gb-x-gbclan+m4", 130),
        ("en-us+klatt2", 230),
    )
    augmented_share: Annotated[float, Field(ge=0, le=1)] = 0.4  # of batches whose sound is changed
    regressor_total: Annotated[int, Field(ge=8)] = 800  # frames of a batch
    regressor_frames: Annotated[int, Field(ge=8)] = 80  # of a window of a clip
    short_frames: Annotated[int, Field(ge=8)] = 40  # of a window of a short clip, and of the longest such clip
    agreement: Annotated[float, Field(ge=0)] = 0.3  # weight of the correlation of openings and widths in the loss
    flow_frames: Annotated[int, Field(ge=8)] = 32
    flow_batch: Count = 48
    regressor_steps: Count = 2200
    regressor_rate: Annotated[float, Field(gt=0)] = 2e-3
    flow_steps: Count = 2200
    flow_rate: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.05
    ema_half_life_steps: Annotated[float, Field(gt=0)] = 150.0
    # in which closures are learned; has to be 0 where there is no eSpeak NG
    made_speeches: Annotated[int, Field(ge=0)] = 320
    closure_steps: Count = 1000
    closure_batch: Count = 14  # windows as regressors have them
    closure_rate: Annotated[float, Field(gt=0)] = 3e-3
    history_dropout: Share = 0.1  # frames whose past is hidden from the flow, so that it listens
    history_noise: Annotated[float, Field(ge=0)] = 0.1  # deviation of noise on the past, in units of the code
    evaluate_regressors_every: Count = 250
    evaluate_every: Count = 100
    patience: Count = 8  # evaluations without a better held-out likelihood before the end
    clips_at_most: Count | None = None  # of each split; for trials

    @model_validator(mode="after")
    def _folds(self) -> Self:
        if self.network.members < 2:
            raise ValueError(f"members is {self.network.members}; 2 or more are allowed, since each leaves out a fold")
        return self
