"""Encode a batch in parts: loss and gradient of the whole batch, in the memory of a part.

A contrastive loss is no sum over samples, so gradients of the losses of parts do not add up to its own. Here all parts
are encoded first without a graph, the loss of all encodings gives the gradient of each encoding, and each part is then
encoded once more, with a graph, to pass it on (Gao et al., "Scaling deep contrastive learning batch size under memory
limited setup", 2021: GradCache). It takes a forward pass more.

Batch norm, if there is any, takes its statistics from each part.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from m3di.learn.training.distributed import gather
from m3di.learn.training.inputs import Batch
from m3di.learn.training.step import ContrastiveStep


def in_parts(
    step_of: ContrastiveStep, forward: nn.Module, batch: Batch, n_parts: int
) -> tuple[Tensor, list[Tensor], Callable[[], None]]:
    """Loss [] and encodings [B, D] of each view, as `ContrastiveStep` gives them, and what computes the gradients.

    Args:
        step_of: The step.
        forward: The same, or its parallel wrapper.
        batch: On the device; of this process.
        n_parts: Equal parts that it is cut into.
    """
    parts = _cut(batch, n_parts)
    states = []
    buffers = [each.clone() for each in step_of.buffers()]
    with torch.no_grad():
        encoded = []
        for part in parts:
            states.append(_random_states(part))
            encoded.append(step_of.encode(part))
    local = [torch.cat(view).requires_grad_() for view in zip(*encoded, strict=True)]
    gathered = [gather(z, step_of.world) for z in local]
    loss: Tensor = step_of.loss(*gathered)

    def backward() -> None:
        loss.backward()  # type: ignore[no-untyped-call]  # of the encodings, and of the loss's own parameters
        with torch.no_grad():  # the first pass has moved running statistics already
            for each, before in zip(step_of.buffers(), buffers, strict=True):
                each.copy_(before)
        grads = [_grad_of(z).chunk(n_parts) for z in local]
        for number, (part, state) in enumerate(zip(parts, states, strict=True)):
            _set_random_states(state)
            last = number == n_parts - 1
            # Processes share gradients once, with those of the last part.
            no_sync = nullcontext() if last else _no_sync(forward)
            with no_sync:
                surrogate, _ = forward(part, [view[number] for view in grads])
                surrogate.backward()

    return loss.detach(), [z.detach() for z in gathered], backward


def _no_sync(forward: nn.Module) -> AbstractContextManager[None]:
    """Keep gradients in this process."""
    return forward.no_sync() if isinstance(forward, nn.parallel.DistributedDataParallel) else nullcontext()


def _cut(batch: Batch, n_parts: int) -> list[Batch]:
    cut = {view: each.chunk(n_parts) for view, each in batch.items()}
    return [{view: each[number] for view, each in cut.items()} for number in range(n_parts)]


def _grad_of(z: Tensor) -> Tensor:
    return torch.zeros_like(z) if z.grad is None else z.grad


def _random_states(part: Batch) -> tuple[Tensor, Any]:
    """Return the states of dropout's generators: the second pass must drop the same."""
    device = next(iter(part.values())).device
    return torch.get_rng_state(), torch.cuda.get_rng_state(device) if device.type == "cuda" else None


def _set_random_states(states: tuple[Tensor, Any]) -> None:
    torch.set_rng_state(states[0])
    if states[1] is not None:
        torch.cuda.set_rng_state(states[1])
