"""CUDA graphs: a run of kernels captured once and replayed, and the way of its results to main memory."""

from collections.abc import Callable

import torch
from torch import Tensor

from model.arrays import Array

WARM_UP_RUNS = 3  # before a capture, so that kernels are chosen and workspaces allocated outside of it


class GraphMemory:
    """What the graphs of an engine share: one pool, since only one of them runs at a time, and the stream of captures.

    The stream is the device's own: torch's default one for captures belongs to the device that was current first.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        with torch.cuda.device(device):
            self.stream = torch.cuda.Stream()
            self.pool = torch.cuda.graph_pool_handle()


class CapturedRun:
    """A run captured once and replayed: its inputs and its outputs stay where they were at the capture."""

    def __init__(self, run: Callable[..., tuple[Tensor, ...]], inputs: list[Tensor], memory: GraphMemory) -> None:
        """Runs `run` on copies of `inputs`, which are on the device, a few times, then captures it."""
        self._device = memory.device
        self._inputs = [tensor.clone() for tensor in inputs]
        self._given: list[Tensor | None] = [None] * len(inputs)
        with torch.cuda.device(self._device):
            memory.stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(memory.stream):
                for _ in range(WARM_UP_RUNS):
                    run(*self._inputs)
            torch.cuda.current_stream().wait_stream(memory.stream)
            self._graph = torch.cuda.CUDAGraph()
            # Other threads may use CUDA meanwhile: what they do is no part of this capture, and must not end it.
            with torch.cuda.graph(
                self._graph, pool=memory.pool, stream=memory.stream, capture_error_mode="thread_local"
            ):
                self._outputs = run(*self._inputs)

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """The outputs' own memory: the next call writes over it."""
        with torch.cuda.device(self._device):
            for index, tensor in enumerate(inputs):
                if tensor is not self._given[index]:  # a portrait's parts are the same from batch to batch
                    pinned = tensor.pin_memory() if tensor.device.type == "cpu" else tensor
                    self._inputs[index].copy_(pinned, non_blocking=True)
                    self._given[index] = tensor
            self._graph.replay()
        return self._outputs


def to_host(*tensors: Tensor) -> list[Array]:
    """Tensors of one device -> main memory; from CUDA by way of page-locked memory, which is faster."""
    device = tensors[0].device
    if device.type != "cuda":
        return [tensor.numpy() for tensor in tensors]
    host = [torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True) for tensor in tensors]
    for kept, tensor in zip(host, tensors, strict=True):
        kept.copy_(tensor, non_blocking=True)
    torch.cuda.current_stream(device).synchronize()
    return [kept.numpy() for kept in host]
