"""One training step: encode every view, compare, update."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from m3di.learn.config import TrainConfig
from m3di.learn.distributed import World, gather
from m3di.learn.encoder_set import Encoders
from m3di.learn.inputs import Batch
from m3di.learn.losses import SymInfoNCE


class ContrastiveStep(nn.Module):
    """From a batch of all views to its loss: the part of a step that is differentiated, compiled and made parallel.

    Args:
        encoders: Of all views, on the device.
        loss: Of the encodings.
        precision: "fp32" or "bf16".
        world: The processes that train together.
        compiled: Run the encoders through `torch.compile`.
    """

    def __init__(
        self,
        encoders: Encoders,
        loss: SymInfoNCE,
        precision: str,
        world: World | None = None,
        *,
        compiled: bool = False,
    ) -> None:
        super().__init__()
        self.encoders, self.precision, self.world = encoders, precision, world or World()
        self.modules_by_view = nn.ModuleDict(encoders.modules)
        self.loss = loss
        self._compiled = {view: torch.compile(module) for view, module in encoders.modules.items() if compiled}

    def forward(self, batch: Batch) -> tuple[Tensor, list[Tensor]]:
        """The loss [], and each view's encodings [B, D] without gradient; B counts all processes together."""
        z = [gather(each, self.world) for each in self.encode(batch)]
        loss: Tensor = self.loss(*z)
        return loss, [each.detach() for each in z]

    @property
    def temperature(self) -> float:
        """Tau of the loss, as it is now."""
        return float(self.loss.temperature)

    def encode(self, batch: Batch) -> list[Tensor]:
        """Encodings [B, D] float32 of each view, in the precision of the run."""
        z = []
        for view, module in self.modules_by_view.items():
            x = self.encoders.prepare(view, batch[view])
            encoder = self._compiled.get(view, module)
            with torch.autocast(x.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
                z.append(encoder(x).float())
        return z


def make_loss(config: TrainConfig) -> SymInfoNCE:
    """The loss that a configuration asks for."""
    return SymInfoNCE(
        config.temperature,
        config.similarity,
        negatives=config.negatives,
        learn_temperature=config.learn_temperature,
    )


def make_optimizer(module: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """Adam, or AdamW with weight decay; as one fused kernel where torch has it."""
    options: dict[str, Any] = {"lr": config.lr, "fused": _has_fused_adam(module)}
    if config.weight_decay:
        return torch.optim.AdamW(module.parameters(), weight_decay=config.weight_decay, **options)
    return torch.optim.Adam(module.parameters(), **options)


def update(
    loss: Tensor, optimizer: torch.optim.Optimizer, weights: Iterable[nn.Parameter], clip_norm: float, lr: float
) -> float:
    """One optimiser step.

    Returns:
        The loss as a number.

    Raises:
        FloatingPointError: The loss or its gradient is not finite; the weights are as before.
    """
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    norm = nn.utils.clip_grad_norm_(weights, clip_norm)
    number, length = torch.stack([loss.detach(), norm]).tolist()  # one wait for the device, not two
    if not math.isfinite(number):
        raise FloatingPointError(f"loss {number}")
    if not math.isfinite(length):
        raise FloatingPointError(f"loss {number:.4g} with a gradient of length {length}")
    for group in optimizer.param_groups:
        group["lr"] = lr
    optimizer.step()
    return float(number)


def resolve_precision(precision: str, device: str) -> str:
    """The precision that "auto" stands for: bf16 where the device computes in it faster than in float32."""
    if precision != "auto":
        return precision
    if device == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return "bf16" if _cpu_has_bf16() else "fp32"


def _cpu_has_bf16() -> bool:
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:  # noqa: PTH123 (not a file of ours)
            flags = next((line for line in file if line.startswith("flags")), "")
    except OSError:  # not Linux: unknown, so the precision that is right everywhere
        return False
    return bool({"avx512_bf16", "amx_bf16"} & set(flags.split()))


def _has_fused_adam(module: nn.Module) -> bool:
    release = tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2])
    return next(module.parameters()).device.type == "cuda" or release >= (2, 4)  # on the CPU since 2.4
