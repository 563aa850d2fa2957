"""How a step becomes a CUDA graph: in which order, and what torch is told. That it computes the same needs a GPU."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext

import pytest
import torch
from torch import nn

from m3di.simulate.graphed_step import N_BEFORE, GraphedStep


class Generator:
    device = torch.device("cuda")


class Graph:
    """Replays the step that was made while it was open."""

    def __init__(self, log):
        self.log, self.step = log, None

    def register_generator_state(self, generator):
        self.log.append(("registered", generator))

    def replay(self):
        self.log.append("replay")
        self.step()


class Stream:
    def wait_stream(self, other):
        pass


def test_some_steps_then_one_capture_then_replays(monkeypatch):
    log, generator = [], Generator()
    weight = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.Adam([weight], lr=0.1)
    loss, open_graphs = torch.zeros(()), []

    def step():
        """Like work on a GPU: while a graph records, nothing happens but that it is recorded."""
        if open_graphs:
            assert weight.grad is None  # gradients are the graph's own
            assert optimizer.param_groups[0]["capturable"]
            open_graphs[0].step = made
            return loss
        return made()

    def made():
        log.append("step")
        weight.grad = torch.ones(1)
        return loss.add_(1)

    @contextmanager
    def record(graph, stream):
        assert isinstance(stream, Stream)
        log.append("capture")
        open_graphs.append(graph)
        yield
        open_graphs.clear()

    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "current_stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda _stream: nullcontext())
    monkeypatch.setattr(torch.cuda, "graph", record)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: Graph(log))
    monkeypatch.setattr(torch.cuda.CUDAGraph, "register_generator_state", None, raising=False)
    graphed = GraphedStep(step, optimizer, generator)
    assert not optimizer.param_groups[0]["capturable"]  # torch would warn at each step before the capture
    losses = [graphed().item() for _ in range(N_BEFORE + 4)]
    assert losses == [1, 2, 3, 4, 5, 6, 7]  # each step is made once, the one that is recorded too
    assert log == ["step"] * 3 + [("registered", generator), "capture"] + ["replay", "step"] * 4


@pytest.mark.parametrize("n", [1, N_BEFORE])
def test_short_runs_capture_nothing(monkeypatch, n):
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "current_stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda _stream: nullcontext())
    monkeypatch.setattr(torch.cuda.CUDAGraph, "register_generator_state", None, raising=False)
    monkeypatch.setattr(torch.cuda, "graph", lambda *_: pytest.fail("captured"))
    optimizer = torch.optim.Adam([nn.Parameter(torch.zeros(1))])
    graphed = GraphedStep(lambda: torch.ones(()), optimizer, Generator())
    assert [graphed().item() for _ in range(n)] == [1] * n
