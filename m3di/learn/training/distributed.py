"""Train in several processes, one a GPU, started by torchrun; negatives come from all of them."""

from __future__ import annotations

import atexit
import inspect
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn

from m3di.errors import UsageError

T = TypeVar("T")


@dataclass(frozen=True)
class Processes:
    """The processes that train together.

    Args:
        rank: Number of this process; process 0 alone writes.
        size: How many there are.
        local_rank: Number of this process on its machine, which is the number of its GPU.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    def agreed(self, choose: Callable[[], T]) -> T:
        """Return the choice of process 0 in all processes."""
        if self.size == 1:
            return choose()
        choice: list[Any] = [choose() if self.rank == 0 else None]
        distributed.broadcast_object_list(choice, src=0)
        chosen: T = choice[0]
        return chosen

    def wait(self) -> None:
        """Wait for all processes."""
        if self.size > 1:
            distributed.barrier()


@contextmanager
def joined_world(device: str) -> Iterator[Processes]:
    """Join the processes that torchrun started; alone where it did not.

    A process group that exists already is used. Ours stays until the process ends: a second one would need the same
    port, and one process could still meet the others' first one there.

    Args:
        device: "cuda" talks by NCCL, "cpu" by Gloo.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Processes()
        return
    world = Processes(int(os.environ["RANK"]), size, int(os.environ.get("LOCAL_RANK", "0")))
    if device == "cuda":
        torch.cuda.set_device(world.local_rank)
    if not distributed.is_initialized():
        distributed.init_process_group("nccl" if device == "cuda" else "gloo", **_device_id(device, world))
        atexit.register(distributed.destroy_process_group)
    yield world


def _device_id(device: str, world: Processes) -> dict[str, Any]:
    """NCCL guesses which GPU is this process's, unless it is told; torch can be told from 2.3 on."""
    can_be_told = "device_id" in inspect.signature(distributed.init_process_group).parameters
    return {"device_id": torch.device("cuda", world.local_rank)} if device == "cuda" and can_be_told else {}


def check_divides(batch_size: int, world: Processes, n_parts: int = 1) -> None:
    """Check that a batch divides evenly over processes and parts; else raise UsageError."""
    if batch_size % world.size:
        raise UsageError(
            "the batch cannot be shared out evenly to the processes",
            where="batch_size, which counts all processes together",
            got=f"{batch_size} for {world.size} processes",
            expected=f"a multiple of {world.size}",
        )
    if batch_size // world.size % n_parts:
        raise UsageError(
            "the batch cannot be cut into equal parts",
            where="accumulate",
            got=f"{batch_size // world.size} samples a process for {n_parts} parts",
            expected="parts of one size",
        )


def parallel(module: nn.Module, world: Processes, device: torch.device) -> nn.Module:
    """Average the gradients of all processes in each backward pass.

    On GPUs batch norm takes its statistics from the whole batch too, as one process would. On CPUs, where torch has no
    such batch norm, each process normalises by its own part of the batch; running statistics are those of process 0.
    """
    if world.size == 1:
        return module
    if device.type == "cuda":
        module = nn.SyncBatchNorm.convert_sync_batchnorm(module)  # type: ignore[no-untyped-call]
        return nn.parallel.DistributedDataParallel(module, device_ids=[device.index])
    return nn.parallel.DistributedDataParallel(module)


def gather(z: Tensor, world: Processes) -> Tensor:
    """[B, D] of each process -> [world.size * B, D] of all, in the order of ranks, differentiable.

    Every process then computes the loss of the whole batch. `parallel` averages the gradients of the processes, so
    each passes back `world.size` times the gradient of its own rows: the average is the gradient of the whole batch.
    """
    return z if world.size == 1 else _Gather.apply(z, world)  # type: ignore[no-untyped-call]


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, world: Processes) -> Tensor:
        ctx.world, ctx.n_rows = world, len(z)
        parts = [torch.empty_like(z) for _ in range(world.size)]
        distributed.all_gather(parts, z.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        first = ctx.world.rank * ctx.n_rows
        return grads[0][first : first + ctx.n_rows] * ctx.world.size, None
