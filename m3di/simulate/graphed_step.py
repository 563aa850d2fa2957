"""Replay a training step as a CUDA graph: one launch instead of hundreds, for steps of short kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from m3di.errors import UsageError

# Steps made one kernel after the other first: libraries choose and allocate in them, and Adam's state comes.
N_BEFORE = 3


def can_graph(device: str) -> bool:
    """Whether steps on a device can be replayed as a CUDA graph."""
    return torch.device(device).type == "cuda" and hasattr(torch.cuda.CUDAGraph, "register_generator_state")


class GraphedStep:
    """Makes steps by replaying a CUDA graph; the first few, and none of them twice, as they come.

    The graph runs the kernels that a step by itself would run, on the same numbers: the generator is registered with it
    and moves on at each replay as in a step by itself.

    Args:
        step: One optimiser step, of the same shapes each time, without anything that waits for the GPU; its loss [].
        optimizer: That it uses; made fit for capture.
        generator: The only one that it draws from, on the GPU.

    Raises:
        UsageError: There is no GPU, or torch is too old to register a generator (before 2.4).
    """

    def __init__(
        self, step: Callable[[], Tensor], optimizer: torch.optim.Optimizer, generator: torch.Generator
    ) -> None:
        if generator.device.type != "cuda":
            raise UsageError("a CUDA graph needs an NVIDIA GPU", where="cuda_graph", got=generator.device.type)
        if not hasattr(torch.cuda.CUDAGraph, "register_generator_state"):
            raise UsageError(
                "this torch cannot draw random numbers in a CUDA graph from a generator of its own",
                where="cuda_graph",
                got=torch.__version__,
                expected="2.4 or newer",
                next_step="leave --cuda-graph out",
            )
        self._step, self._optimizer, self._generator = step, optimizer, generator
        self._n_before = 0
        self._stream: Any = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # capture is not allowed on the default stream
        self._graph: Any = None
        self._loss: Tensor | None = None

    def __call__(self) -> Tensor:
        """Make a step; return its loss [], which the next step overwrites."""
        if self._n_before < N_BEFORE:
            self._n_before += 1
            return self._aside(self._step)
        if self._loss is None:
            self._loss = self._captured()
        self._graph.replay()
        return self._loss

    def _aside(self, step: Callable[[], Tensor]) -> Tensor:
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            loss = step()
        torch.cuda.current_stream().wait_stream(self._stream)
        return loss

    def _captured(self) -> Tensor:
        """Record a step without making it; its gradients and its loss stay where the graph writes them."""
        self._graph = torch.cuda.CUDAGraph()
        self._graph.register_generator_state(self._generator)
        for group in self._optimizer.param_groups:
            group["capturable"] = True  # a fused Adam is so anyway, but asks to be told
        self._optimizer.zero_grad()  # so that the step's gradients are made in the graph's own memory
        with torch.cuda.graph(self._graph, stream=self._stream):
            return self._step()
