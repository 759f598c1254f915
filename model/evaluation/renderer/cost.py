"""What a frame costs, counted rather than timed."""

import torch
from torch.utils.flop_counter import FlopCounterMode

from model.renderer.guide import CHANNELS
from model.renderer.network import PIRenderer


@torch.no_grad()
def count_flops(network: PIRenderer, *, size: int | None = None) -> dict[str, int]:
    """Floating-point operations (2 per multiply-accumulate) of one frame of `size` x `size`; None: the network's own.

    "frame" is what is paid for every frame, "portrait" what `prepare` pays once, "whole" a frame with nothing shared.
    """
    config = network.config
    size = size or config.size
    parameter = next(network.parameters())
    source = parameter.new_zeros(1, 3, size, size)
    prior = parameter.new_zeros(1, CHANNELS, size, size) if config.guided else None
    motion = parameter.new_zeros(1, config.motion_dimension, config.window)
    with FlopCounterMode(display=False) as portrait:
        state = network.prepare(source)
    with FlopCounterMode(display=False) as frame:
        network.render(state, parameter.new_zeros(1, config.descriptor_size), prior)
    with FlopCounterMode(display=False) as whole:
        network(source, motion, prior)
    return {
        "frame": frame.get_total_flops(),
        "portrait": portrait.get_total_flops(),
        "whole": whole.get_total_flops(),
    }
