"""Checkpoints: the weights of each encoder, and all that a run needs to continue exactly.

RUN/checkpoint/step-000001000/   the newest
  VIEW_encoder.safetensors     state dict of a view's encoder; metadata {"step": ...}
  training.safetensors         optimizer.PARAMETER.exp_avg (and the like), rng.cpu, rng.cuda, loss.PARAMETER;
                               metadata {"step": ..., "seconds": ...}
RUN/kept/step-000000500/           checkpoints that stay: the encoders' weights only

The folder is written as `step-....partial` and renamed once its bytes are on disk; then the former one is removed. So
there is always a whole one. Nothing is pickled: reading a checkpoint runs no code of it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from m3di.errors import DataError
from m3di.learn.models.encoder_set import Encoders
from m3di.learn.training.tensor_file import read_tensors, write_tensors
from m3di.system.files import partial_of, publish

CHECKPOINT_NAME = "checkpoint"
KEPT_NAME = "kept"
_TRAINING_NAME = "training.safetensors"


def save_checkpoint(
    run: Path, encoders: Encoders, step: int, training: Mapping[str, Tensor] | None = None, seconds: float = 0.0
) -> None:
    """Write a checkpoint, in place of an earlier one.

    Args:
        run: The run folder.
        encoders: Whose weights to save.
        step: Steps made.
        training: From `training_state`; without it the run cannot go on from here.
        seconds: Time that the steps took.
    """
    final = run / CHECKPOINT_NAME / f"step-{step:09d}"
    partial = partial_of(final)
    shutil.rmtree(partial, ignore_errors=True)  # of a run that was killed
    partial.mkdir(parents=True)
    metadata = {"step": str(step), "seconds": f"{seconds:.3f}"}
    for view, module in encoders.modules.items():
        write_tensors(partial / weights_name(view), module.state_dict(), {"step": str(step)})
    if training is not None:
        write_tensors(partial / _TRAINING_NAME, training, metadata)
    shutil.rmtree(final, ignore_errors=True)
    publish(partial, final)
    for other in final.parent.iterdir():
        if other != final:
            shutil.rmtree(other)


def keep_checkpoint(run: Path) -> None:
    """Keep the weights of the newest checkpoint for good; where the file system can, as links to its files."""
    checkpoint = latest_checkpoint(run)
    final = run / KEPT_NAME / checkpoint.name
    if final.exists():
        return
    partial = partial_of(final)
    shutil.rmtree(partial, ignore_errors=True)  # of a run that was killed
    partial.mkdir(parents=True)
    for path in checkpoint.glob(weights_name("*")):
        try:
            os.link(path, partial / path.name)
        except OSError:
            shutil.copyfile(path, partial / path.name)
    publish(partial, final)


def step_of(checkpoint: Path) -> int:
    """Return the step of a checkpoint, by the name of its folder."""
    return int(checkpoint.name.removeprefix("step-"))


def all_checkpoints(run: Path) -> list[Path]:
    """The checkpoints that were kept, and the newest one, by their steps.

    Raises:
        M3diError: There is none.
    """
    newest = latest_checkpoint(run)
    kept = [path for path in run.glob(f"{KEPT_NAME}/step-*[0-9]") if path.name != newest.name]
    return sorted([*kept, newest], key=step_of)


def weights_name(view: str) -> str:
    """Return the file name of a view's weights in a checkpoint."""
    return f"{view}_encoder.safetensors"


def latest_checkpoint(run: Path) -> Path:
    """Return the folder of the newest checkpoint.

    Raises:
        M3diError: There is none.
    """
    found = sorted(run.glob(f"{CHECKPOINT_NAME}/step-*[0-9]"))
    if not found:
        raise DataError(
            "the run has no checkpoint",
            where=str(run / CHECKPOINT_NAME),
            next_step="wait for its first one, or run the same training command again",
        )
    return found[-1]


def load_weights(encoders: Encoders, checkpoint: Path) -> int:
    """Load the encoders from a checkpoint; return its step.

    Raises:
        M3diError: A file is missing, damaged, a pickle, or of other encoders.
    """
    step = "0"
    for view, module in encoders.modules.items():
        path = checkpoint / weights_name(view)
        weights, metadata = read_tensors(path)
        step = metadata.get("step", step)
        try:
            module.load_state_dict(weights)
        except RuntimeError as error:
            lines = str(error).splitlines()
            raise DataError(
                "the checkpoint is that of another architecture",
                where=str(path),
                got=lines[min(1, len(lines) - 1)].strip(),
                expected=f"weights of {type(module).__name__} as config.json describes it",
                next_step="restore config.json and checkpoint of one run, or train again",
            ) from error
    return int(step)


def training_state(step: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return what the next steps need beside the encoders' weights: optimiser, random generators, the loss."""
    state = {f"loss.{name}": value for name, value in _loss_of(step).state_dict().items()}
    for name, parameter in step.named_parameters():
        for key, value in optimizer.state[parameter].items():
            state[f"optimizer.{name}.{key}"] = value
    state["rng.cpu"] = torch.get_rng_state()
    if torch.cuda.is_available():
        state["rng.cuda"] = torch.cuda.get_rng_state()
    return state


def restore_training(checkpoint: Path, step: nn.Module, optimizer: torch.optim.Optimizer) -> float:
    """Restore a `training_state`; return the seconds of the former steps.

    Raises:
        M3diError: The file is missing, damaged, or of other encoders.
    """
    path = checkpoint / _TRAINING_NAME
    state, metadata = read_tensors(path)
    try:
        _loss_of(step).load_state_dict(
            {name.removeprefix("loss."): value for name, value in state.items() if name.startswith("loss.")}
        )
        for name, parameter in step.named_parameters():
            prefix = f"optimizer.{name}."
            own = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
            optimizer.state[parameter] = {key: _like(own[key], parameter, key) for key in own}
        torch.set_rng_state(state["rng.cpu"])
    except (KeyError, RuntimeError) as error:
        raise DataError(
            "the training state is that of other encoders",
            where=str(path),
            got=str(error).splitlines()[0],
            next_step="restore config.json and checkpoint of one run, or train again",
        ) from error
    if "rng.cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["rng.cuda"])
    return float(metadata.get("seconds", "0"))


def _like(value: Tensor, parameter: Tensor, key: str) -> Tensor:
    # Moments lie in memory as their weights do (channels-last or not): a fused update walks both in step.
    if key == "step":
        return value.to(parameter.device) if parameter.device.type == "cuda" else value
    return torch.empty_like(parameter).copy_(value)


def _loss_of(step: nn.Module) -> Any:
    return step.loss
