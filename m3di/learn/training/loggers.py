"""Loggers of metrics beside metrics.csv: TensorBoard, Weights & Biases, MLflow.

Each is a class: made with the run's folder, its configuration and the steps made before, then told of each step, then
closed. What a service calls the run is kept in RUN/loggers.json, so that a run that goes on
after a stop goes on there too.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from m3di.errors import M3diError
from m3di.system.files import read_json, write_json
from m3di.system.registry import Registry

PROJECT = "m3di"  # what services file runs under
IDENTITIES = "loggers.json"


@dataclass(frozen=True)
class LoggedRun:
    """A run, as loggers see it.

    Args:
        folder: The run folder.
        config: Its configuration, as plain values.
        first_step: Steps that were made already.
    """

    folder: Path
    config: Mapping[str, Any]
    first_step: int


class Logger(Protocol):
    """Takes the metrics of each step."""

    def __init__(self, run: LoggedRun) -> None: ...

    def log(self, step: int, values: Mapping[str, float]) -> None: ...

    def close(self, *, failed: bool) -> None: ...


LOGGERS = Registry[type[Logger]]("logger", object, group="m3di.loggers")


@LOGGERS.register("tensorboard")
class TensorBoardLogger:
    """RUN/tensorboard/; steps that are made again are purged."""

    def __init__(self, run: LoggedRun) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ModuleNotFoundError as error:
            raise M3diError(
                "TensorBoard is not installed",
                got=error,
                next_step="pip install 'm3di[train]', or --no-tensorboard (metrics.csv is written anyway)",
            ) from error
        purged = run.first_step + 1 if run.first_step else None
        self._writer: Any = SummaryWriter(str(run.folder / "tensorboard"), purge_step=purged)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """One scalar a metric."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self, *, failed: bool) -> None:
        """Write the remaining values."""
        self._writer.close()


@LOGGERS.register("wandb")
class WandbLogger:
    """A run of Weights & Biases, in the project `m3di` unless WANDB_PROJECT names another."""

    def __init__(self, run: LoggedRun) -> None:
        wandb = _imported("wandb")
        known = identity_of(run.folder, "wandb")
        options: dict[str, Any] = {"id": known, "resume": "must"} if known else {}
        self._run: Any = wandb.init(
            project=None if _is_set("WANDB_PROJECT") else PROJECT,
            name=run.folder.name,
            dir=str(run.folder),
            config=dict(run.config),
            **options,
        )
        keep_identity(run.folder, "wandb", self._run.id)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """All metrics of the step; the service ignores a step that it has seen already."""
        self._run.log(dict(values), step=step)

    def close(self, *, failed: bool) -> None:
        """End the run there."""
        self._run.finish(exit_code=int(failed))


@LOGGERS.register("mlflow")
class MlflowLogger:
    """A run of MLflow, in the experiment `m3di` unless MLFLOW_EXPERIMENT_NAME names another."""

    def __init__(self, run: LoggedRun) -> None:
        self._mlflow = _imported("mlflow")
        known = identity_of(run.folder, "mlflow")
        if known:
            self._mlflow.start_run(run_id=known)
            return
        if not _is_set("MLFLOW_EXPERIMENT_NAME"):
            self._mlflow.set_experiment(PROJECT)
        keep_identity(run.folder, "mlflow", self._mlflow.start_run(run_name=run.folder.name).info.run_id)
        self._mlflow.log_params({name: str(value) for name, value in run.config.items()})

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """All metrics of the step."""
        self._mlflow.log_metrics(dict(values), step=step)

    def close(self, *, failed: bool) -> None:
        """End the run there."""
        self._mlflow.end_run("FAILED" if failed else "FINISHED")


def identity_of(folder: Path, logger: str) -> str | None:
    """Return the id of a run at a service; None if it has none yet."""
    path = folder / IDENTITIES
    return read_json(path).get(logger) if path.is_file() else None


def keep_identity(folder: Path, logger: str, identity: str) -> None:
    """Save the id of a run at a service."""
    path = folder / IDENTITIES
    write_json(path, {**(read_json(path) if path.is_file() else {}), logger: identity})


def _imported(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise M3diError(
            f"the logger {name} is not installed",
            where="loggers",
            got=error,
            next_step=f"pip install 'm3di[{name}]', or leave it out (metrics.csv is written anyway)",
        ) from error


def _is_set(variable: str) -> bool:
    return bool(os.environ.get(variable))
