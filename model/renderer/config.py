"""Sizes of the renderer: the paper's network (`full`) and one that a CPU trains and serves (`light`)."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

MAPPING_LAYERS = 3
"""Residual convolutions of the mapping network; with the first one they shorten a window by 6 + 3 * 6 frames."""

MAPPING_SHRINKAGE = 6 + 6 * MAPPING_LAYERS


class _Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class WarpingConfig(_Config):
    """The warping network: an hourglass whose encoder has more layers than its decoder."""

    base_channels: PositiveInt = 32
    max_channels: PositiveInt = 256
    encoder_layers: PositiveInt = 5
    decoder_layers: PositiveInt = 3

    @model_validator(mode="after")
    def _decoder_shorter_than_encoder(self) -> Self:
        if self.decoder_layers >= self.encoder_layers:
            raise ValueError(
                f"decoder_layers is {self.decoder_layers}; it must be less than encoder_layers, {self.encoder_layers}"
            )
        return self

    def channels(self, level: int) -> int:
        """Channels of the encoder map that is 2**level times smaller than the image."""
        return min(self.base_channels * (1 << level), self.max_channels)

    @property
    def flow_scale(self) -> int:
        """How many image pixels one pixel of the flow map covers."""
        return 1 << (self.encoder_layers - self.decoder_layers)


class EditingConfig(_Config):
    """The editing network: a U-net with residual blocks on the way up."""

    base_channels: PositiveInt = 64
    max_channels: PositiveInt = 256
    layers: PositiveInt = 3
    residual_blocks: PositiveInt = 2

    def channels(self, level: int) -> int:
        """Channels of the map that is 2**level times smaller than the image."""
        return min(self.base_channels * (1 << level), self.max_channels)


class RendererConfig(_Config):
    """Everything that fixes the shape of a renderer's weights.

    guided: the morphable model's prior flow is an input, the warping network refines it, and the editing network
        gives a colour and a mask instead of the colour alone.
    grid: "published" builds the sampling grid as the published weights need it; with it a zero flow shrinks the picture
        by 63/64 and greys its rim. "aligned" is the exact one: a zero flow is the identity, a flow of 1 is one pixel
        of the flow map, and what lies outside the picture repeats its rim.
    """

    motion_dimension: PositiveInt
    descriptor_size: PositiveInt = 256
    window_radius: int = Field(default=13, ge=MAPPING_SHRINKAGE // 2)
    adain_hidden: PositiveInt = 128
    warping: WarpingConfig = WarpingConfig()
    editing: EditingConfig = EditingConfig()
    guided: bool = False
    grid: Literal["published", "aligned"] = "published"

    @classmethod
    def full(cls, motion_dimension: int, *, guided: bool = False) -> Self:
        """The paper's size: 101 GFLOP a frame at 256x256 (2 per multiply-accumulate), 2 of them once per portrait."""
        return cls(motion_dimension=motion_dimension, guided=guided, grid="aligned" if guided else "published")

    @classmethod
    def light(cls, motion_dimension: int, *, guided: bool = True) -> Self:
        """The size for CPUs: 18 GFLOP a frame at 256x256 (2 per multiply-accumulate), 0.8 of them once per portrait."""
        return cls(
            motion_dimension=motion_dimension,
            warping=WarpingConfig(base_channels=16, max_channels=128),
            editing=EditingConfig(base_channels=24, max_channels=128),
            guided=guided,
            grid="aligned",
        )

    @property
    def window(self) -> int:
        """Frames of motion in one descriptor."""
        return 2 * self.window_radius + 1

    @property
    def size_multiple(self) -> int:
        """Height and width of an image must be multiples of this."""
        return 1 << max(self.warping.encoder_layers, self.editing.layers)
