"""One training step: encode every view, compare, update."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from m3di.learn.losses import Objective, build_loss
from m3di.learn.models.encoder_set import Encoders
from m3di.learn.training.config import TrainConfig
from m3di.learn.training.distributed import Processes, gather
from m3di.learn.training.inputs import Batch


class ContrastiveStep(nn.Module):
    """From a batch of all views to its loss: the part of a step that is differentiated, compiled and made parallel.

    Args:
        encoders: Of all views, on the device.
        loss: Of the encodings.
        precision: "fp32", "tf32" or "bf16".
        world: The processes that train together.
        compiled: Run the encoders through `torch.compile`.
    """

    def __init__(
        self,
        encoders: Encoders,
        loss: Objective,
        precision: str,
        world: Processes | None = None,
        *,
        compiled: bool = False,
    ) -> None:
        super().__init__()
        self.encoders, self.precision, self.world = encoders, precision, world or Processes()
        self.modules_by_view = nn.ModuleDict(encoders.modules)
        self.loss = loss
        self._compiled = {view: torch.compile(module) for view, module in encoders.modules.items() if compiled}

    def forward(self, batch: Batch, grads: list[Tensor] | None = None) -> tuple[Tensor, list[Tensor]]:
        """The loss [], and each view's encodings [B, D] without gradient; B counts all processes together.

        Where the gradients of each view's encodings are known, [B, D] of this process, the first is a number whose
        gradients are those that they give the weights; see `m3di.learn.training.accumulation`.
        """
        if grads is not None:
            z = self.encode(batch)
            surrogate = torch.stack([(each * grad).sum() for each, grad in zip(z, grads, strict=True)]).sum()
            # The loss's parameters have their gradients already, and processes wait for all parameters to take part.
            own = [parameter.sum() * 0 for parameter in self.loss.parameters()]
            return surrogate + sum(own), [each.detach() for each in z]
        z = [gather(each, self.world) for each in self.encode(batch)]
        loss: Tensor = self.loss(*z)
        return loss, [each.detach() for each in z]

    @property
    def temperature(self) -> float | None:
        """Tau of the loss, as it is now; None if it has none."""
        return self.loss.temperature

    def encode(self, batch: Batch) -> list[Tensor]:
        """Encodings [B, D] float32 of each view, in the precision of the run."""
        z = []
        for view, module in self.modules_by_view.items():
            x = self.encoders.prepare(view, batch[view])
            encoder = self._compiled.get(view, module)
            with torch.autocast(x.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
                z.append(encoder(x).float())
        return z


def make_loss(config: TrainConfig) -> Objective:
    """The loss that a configuration asks for."""
    return build_loss(config.loss, config.loss_settings, config.loss_options)


def make_optimizer(module: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """Adam, or AdamW with weight decay; as one fused kernel where torch has it."""
    options: dict[str, Any] = {"lr": config.lr, "fused": _has_fused_adam(module)}
    if config.weight_decay:
        return torch.optim.AdamW(parameter_groups(module, config.weight_decay), **options)
    return torch.optim.Adam(module.parameters(), **options)


def parameter_groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Parameters that decay, and those that do not: biases, the scales and shifts of norms, and scalars.

    Embeddings decay, as in OpenCLIP and nanoGPT, which draw the same line: what has fewer than two dimensions does not.
    """
    named = [(name, each) for name, each in module.named_parameters() if each.requires_grad]
    decaying = [each for name, each in named if each.ndim >= 2 and not name.endswith("bias")]
    ids = set(map(id, decaying))
    others = [each for _, each in named if id(each) not in ids]
    groups = ({"params": decaying, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0})
    return [group for group in groups if group["params"]]


def _has_fused_adam(module: nn.Module) -> bool:
    release = tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2])
    return next(module.parameters()).device.type == "cuda" or release >= (2, 4)  # on the CPU since 2.4
