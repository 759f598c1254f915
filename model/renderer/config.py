"""Sizes of the renderer: the paper's network (`full`) and one that a CPU trains and serves (`light`)."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

from model.renderer.guide import DOUBTS

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
        """Channels of the encoder map that is 2**level times smaller than the network's largest."""
        return min(self.base_channels * (1 << level), self.max_channels)


class EditingConfig(_Config):
    """The editing network: a U-net with residual blocks on the way up."""

    base_channels: PositiveInt = 64
    max_channels: PositiveInt = 256
    layers: PositiveInt = 3
    residual_blocks: PositiveInt = 2

    def channels(self, level: int) -> int:
        """Channels of the map that is 2**level times smaller than the network's largest."""
        return min(self.base_channels * (1 << level), self.max_channels)


class RendererConfig(_Config):
    """Everything that fixes the shape of a renderer's weights, and the size of the pictures that it was made for.

    size: side of these pictures in pixels; the network takes any multiple of `size_multiple`.
    guided: the morphable model's prior is an input, the warping network refines its flow, and the editing network
        gives a colour and a mask instead of the colour alone.
    doubt: both networks of a guided one also read where the prior guesses, see `model.renderer.guide.DOUBTS`, and the
        mask starts from it.
    patch: side in pixels of the squares that both networks read, and the editing network paints, as one. 1 is the
        paper's; with 2 their largest maps have half the image's resolution.
    grid: "published" builds the sampling grid as the published weights need it; with it a zero flow shrinks the picture
        by 63/64 and greys its rim. "aligned" is the exact one: a zero flow is the identity, a flow of 1 is one pixel
        of the flow map, and what lies outside the picture repeats its rim.
    """

    motion_dimension: PositiveInt
    size: PositiveInt = 256
    descriptor_size: PositiveInt = 256
    window_radius: int = Field(default=13, ge=MAPPING_SHRINKAGE // 2)
    adain_hidden: PositiveInt = 128
    warping: WarpingConfig = WarpingConfig()
    editing: EditingConfig = EditingConfig()
    guided: bool = False
    doubt: bool = False
    patch: Literal[1, 2] = 1
    grid: Literal["published", "aligned"] = "published"

    @model_validator(mode="after")
    def _doubt_of_a_prior(self) -> Self:
        if self.doubt and not self.guided:
            raise ValueError("doubt is true; allowed is false unless the network is guided: there is no prior to doubt")
        return self

    @classmethod
    def full(cls, motion_dimension: int, *, guided: bool = False) -> Self:
        """The paper's size: 101 GFLOP a frame at 256x256 (2 per multiply-accumulate), 2 of them once per portrait."""
        return cls(motion_dimension=motion_dimension, guided=guided, grid="aligned" if guided else "published")

    @classmethod
    def light(cls, motion_dimension: int, *, guided: bool = True) -> Self:
        """The size for CPUs: 10 GFLOP a frame at 256x256 (2 per multiply-accumulate), 0.3 of them once per portrait."""
        return cls(
            motion_dimension=motion_dimension,
            warping=WarpingConfig(base_channels=32, max_channels=128, encoder_layers=4),
            editing=EditingConfig(base_channels=32, max_channels=192),
            guided=guided,
            doubt=guided,
            patch=2,
            grid="aligned",
        )

    @property
    def window(self) -> int:
        """Frames of motion in one descriptor."""
        return 2 * self.window_radius + 1

    @property
    def size_multiple(self) -> int:
        """Height and width of an image must be multiples of this."""
        return self.patch << max(self.warping.encoder_layers, self.editing.layers)

    @property
    def flow_scale(self) -> int:
        """How many image pixels one pixel of the flow map covers."""
        return self.patch << (self.warping.encoder_layers - self.warping.decoder_layers)

    @property
    def doubt_maps(self) -> int:
        """Channels of doubt that both networks read."""
        return len(DOUBTS) if self.doubt else 0
