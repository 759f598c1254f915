"""Training in several processes, as `torchrun` starts them: each takes its share of a batch, gradients are averaged.

Started without torchrun there is one process, and nothing here costs anything.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn


@dataclass(frozen=True)
class Ranks:
    """This process among those that train together."""

    rank: int
    size: int
    device: torch.device

    @classmethod
    def join(cls) -> "Ranks":
        """Meet the other processes of torchrun, if it started this one; each has a GPU of its own, if there are any."""
        local = int(os.environ.get("LOCAL_RANK", "0"))
        device = torch.device("cuda", local) if torch.cuda.is_available() else torch.device("cpu")
        if "WORLD_SIZE" not in os.environ:
            return cls(0, 1, device)
        if not distributed.is_initialized():
            distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
        return cls(distributed.get_rank(), distributed.get_world_size(), device)

    @classmethod
    def alone(cls) -> "Ranks":
        """One process on the CPU."""
        return cls(0, 1, torch.device("cpu"))

    @property
    def leads(self) -> bool:
        """Whether this process writes the run's files."""
        return self.rank == 0

    @property
    def hardware(self) -> str:
        """What the run computes on, for its card."""
        one = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else None
        return f"{self.size} x {one or f'{torch.get_num_threads()} CPU thread(s)'}"

    def share(self, count: int) -> range:
        """Which of `count` things this process takes.

        Raises ValueError: they cannot be shared out evenly, and the mean over processes would not be that over things.
        """
        if count % self.size:
            raise ValueError(f"{count} pairs for {self.size} processes; allowed are multiples of {self.size}")
        return range(self.rank, count, self.size)

    def wrap(self, network: nn.Module, *, some_unused: bool) -> nn.Module:
        """The network with its gradients averaged over processes; `some_unused`: not every step uses all weights."""
        if self.size == 1:
            return network
        devices = [self.device.index] if self.device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(network, devices, find_unused_parameters=some_unused)

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace gradients by their mean over processes: for small networks that are not worth wrapping."""
        if self.size == 1:
            return
        for parameter in parameters:
            if parameter.grad is not None:
                distributed.all_reduce(parameter.grad)
                parameter.grad /= self.size

    def mean(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Every value's mean over processes, () float64, without gradients; nothing is waited for."""
        means = torch.stack([value.detach().double() for value in values.values()])
        if self.size > 1:
            distributed.all_reduce(means)
            means /= self.size
        return dict(zip(values, means.unbind(), strict=True))

    def agree(self, value: float) -> float:
        """The first process's value, so that all end phases and the run at the same step."""
        if self.size == 1:
            return value
        shared: Tensor = torch.tensor([value], dtype=torch.float64, device=self.device)
        distributed.broadcast(shared, 0)
        return float(shared.item())

    @contextmanager
    def first_alone(self) -> Iterator[None]:
        """Let the first process through before the others, who then find on disk what it has made."""
        if not self.leads:
            self.wait()
        yield
        if self.leads:
            self.wait()

    def wait(self) -> None:
        """Wait until every process is here."""
        if self.size > 1:
            distributed.barrier()
