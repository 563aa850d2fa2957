"""Process, mixings, encoders and optimiser of a simulation."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from m3di.learn.losses import SymInfoNCE
from m3di.learn.training.device import resolve_device
from m3di.learn.training.precision import float32_products, resolve_precision
from m3di.learn.training.schedule import learning_rate
from m3di.simulate.config import SimulationConfig
from m3di.simulate.encoder import MLPEncoder
from m3di.simulate.graphed_step import GraphedStep, can_graph
from m3di.simulate.mixing import Whitening, draw_mixing
from m3di.simulate.process import LatentProcess, Latents

N_WHITENING = 50_000  # samples behind the whitening map
WHITENING_SEED_OFFSET = 2_000_003  # neither the seed of training nor that of the evaluation


class Simulation:
    """Process, mixings, encoders and optimiser of one run, at some step.

    Nothing in `step` waits for a GPU: samples are drawn on the device, and the loss stays there.

    Args:
        config: What to simulate. Equal ones on the same machine give equal numbers, bit for bit, on the CPU.

    Raises:
        UsageError: The device is not there, or has not what is asked of it.
    """

    def __init__(self, config: SimulationConfig) -> None:
        self.config = config
        self.device = resolve_device(config.device)
        resolve_precision(config.precision, self.device)  # raises where there is no tf32
        self.process = LatentProcess(config, self.device)
        self.mixing1 = draw_mixing(config.size, config.seed, 1).to(self.device)
        self.mixing2 = self.mixing1
        if not config.shared_mixing:
            self.mixing2 = draw_mixing(config.size, config.seed, 2).to(self.device)
        self.whitening1, self.whitening2 = self._whitenings() if config.whiten else (nn.Identity(), nn.Identity())
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(config.seed)
            dtype = torch.bfloat16 if config.precision == "bf16" else torch.float32
            self.encoder1 = MLPEncoder(config.size, config.n_encoding, dtype, config.widths).to(self.device)
            self.encoder2 = self.encoder1
            if not config.shared_encoder:
                self.encoder2 = MLPEncoder(config.size, config.n_encoding, dtype, config.widths).to(self.device)
        self.weights = list(nn.ModuleList([self.encoder1, self.encoder2]).parameters())  # each once
        # Fused: one pass over the weights, on the device. On the CPU torch has it from 2.4 on.
        fused = self.device == "cuda" or _torch_release() >= (2, 4)
        falls_on_gpu = self.device == "cuda" and config.schedule != "constant"
        lr = torch.tensor(config.lr, device=self.device) if falls_on_gpu else config.lr
        self.optimizer = torch.optim.Adam(self.weights, lr=lr, fused=fused)
        self.generator = torch.Generator(self.device).manual_seed(config.seed)
        self.n_done = 0
        self._make_step: Callable[[], Tensor] = self._update
        if config.cuda_graph or (config.cuda_graph is None and can_graph(self.device)):
            self._make_step = GraphedStep(self._update, self.optimizer, self.generator)
        self._loss_of = SymInfoNCE(
            config.temperature, config.similarity, negatives="all" if config.negatives == "all" else "cross"
        )

    def _whitenings(self) -> tuple[nn.Module, nn.Module]:
        """The whitening of each modality's observations; one for both where they have one mixing."""
        generator = torch.Generator(self.device).manual_seed(self.config.seed + WHITENING_SEED_OFFSET)
        latents = self.process.sample(N_WHITENING, generator)
        x1, x2 = self.mixing1(latents.view1), self.mixing2(latents.view2)
        if self.config.shared_mixing:
            x1 = x2 = torch.cat([x1, x2])
        return Whitening(x1), Whitening(x2)

    def step(self) -> Tensor:
        """Make a step on a new batch; return its loss before the update, [] on the device, valid until the next."""
        self._set_learning_rate()
        loss = self._make_step()
        self.n_done += 1
        return loss

    def _set_learning_rate(self) -> None:
        config = self.config
        if config.schedule == "constant":
            return
        lr = learning_rate(self.n_done + 1, lr=config.lr, n_steps=config.n_steps, schedule=config.schedule)
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], Tensor):  # on a GPU, where a CUDA graph reads it at each replay
                group["lr"].fill_(lr)
            else:
                group["lr"] = lr

    def _update(self) -> Tensor:
        with float32_products(self.config.precision, self.device):
            loss = self.loss(self.generator)
            self.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(self.weights, self.config.clip_norm)
            self.optimizer.step()
            return loss.detach()

    def loss(self, generator: torch.Generator) -> Tensor:
        """[] loss of a new batch of `batch_size` pairs."""
        n = self.config.batch_size
        if self.config.negatives != "fresh":
            return self._loss_of(*self.encode(self.process.sample(n, generator)))
        # Two independent draws are one draw of twice as many, and the larger matrix products are the faster ones.
        encodings1, encodings2 = self.encode(self.process.sample(2 * n, generator))
        (z1, fresh1), (z2, fresh2) = torch.split(encodings1, n), torch.split(encodings2, n)
        return self._loss_of.with_fresh_negatives(z1, z2, fresh1, fresh2)

    def encode(self, latents: Latents) -> tuple[Tensor, Tensor]:
        """[n, encoding size] float32 of each modality."""
        with float32_products(self.config.precision, self.device):
            with torch.no_grad():
                x1 = self.whitening1(self.mixing1(latents.view1))  # [n, d]
                x2 = self.whitening2(self.mixing2(latents.view2))
            return self.encoder1(x1), self.encoder2(x2)


def _torch_release() -> tuple[int, ...]:
    return tuple(int(number) for number in torch.__version__.split("+")[0].split(".")[:2])
