"""Settings of the speech-to-motion network and of its training."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, lt=1)]


class NetworkConfig(BaseModel):
    """Sizes of the network."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    components: Annotated[int, Field(ge=2, le=64)] = 24  # of expression
    members: Count = 4  # regressors, each without one fold of people
    member_channels: Count = 64
    member_blocks: Count = 4
    member_dropout: Share = 0.3
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
    regressor_frames: Annotated[int, Field(ge=8)] = 64  # of a window of a clip
    flow_frames: Annotated[int, Field(ge=8)] = 32
    regressor_batch: Count = 16  # windows for each member
    flow_batch: Count = 48
    regressor_steps: Count = 1500
    regressor_rate: Annotated[float, Field(gt=0)] = 2e-3
    flow_steps: Count = 4000
    flow_rate: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.05
    ema_half_life_steps: Annotated[float, Field(gt=0)] = 150.0
    history_dropout: Share = 0.1  # frames whose past is hidden from the flow, so that it listens
    history_noise: Annotated[float, Field(ge=0)] = 0.1  # deviation of noise on the past, in units of the code
    evaluate_every: Count = 100
    patience: Count = 8  # evaluations without a better held-out likelihood before the end
    clips_at_most: Count | None = None  # of each split; for trials

    @model_validator(mode="after")
    def _folds(self) -> Self:
        if self.network.members < 2:
            raise ValueError(f"members is {self.network.members}; 2 or more are allowed, since each leaves out a fold")
        return self
