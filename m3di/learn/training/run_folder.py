"""The run folder: the files of a training run, and how to load encoders from it.

RUN/
  config.json         what was asked for and what it ran on; written first, so its presence means "taken"; `continued`
                      lists what else it ran on after a stop
  metrics.csv         one line a step, flushed as it goes; see `m3di.learn.training.metrics`
  tensorboard/        the same, for TensorBoard
  checkpoint/, kept/  see `m3di.learn.training.checkpoint`
  summary.json        n_steps, final_loss, val_loss, ...; written last, so its presence means "finished"
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from m3di.data import MANIFEST
from m3di.errors import M3diError
from m3di.learn.models.encoder_set import Encoders, build_encoders
from m3di.learn.training.checkpoint import CHECKPOINT_NAME, latest_checkpoint, load_weights, save_checkpoint
from m3di.learn.training.config import config_from_json
from m3di.learn.training.inputs import ImageStatistics, ViewInput
from m3di.learn.training.run_differences import changes_of_machine, differences
from m3di.system.files import read_json, sync_folder, write_json
from m3di.system.lock import HeldLock, locked

CONFIG_NAME = "config.json"
METRICS_NAME = "metrics.csv"
SUMMARY_NAME = "summary.json"
SWEEP_NAME = "sweep.json"
NO_RUNS = {SWEEP_NAME: "a sweep", MANIFEST: "a dataset"}
"""Files of folders that a run would be taken for, or would damage."""
__all__ = [
    "CONFIG_NAME",
    "METRICS_NAME",
    "SUMMARY_NAME",
    "SWEEP_NAME",
    "claim",
    "load_encoders",
    "next_run",
    "read_config",
    "read_summary",
    "run_to_continue",
    "save_checkpoint",
    "write_config",
    "write_summary",
]


def next_run(folder: Path, name: str) -> Path:
    """Return the first of `FOLDER/NAME-001`, `FOLDER/NAME-002`, ... that does not exist."""
    return next(path for number in count(1) if not (path := folder / f"{name}-{number:03d}").exists())


def run_to_continue(folder: Path, name: str, description: Mapping[str, Any]) -> Path | None:
    """The newest `FOLDER/NAME-...` that was started with this description, unfinished and held by no process.

    Args:
        folder: Folder of runs.
        name: Start of their names.
        description: What `claim` would be given.
    """
    for run in sorted(folder.glob(f"{name}-[0-9]*"), reverse=True):
        started = (run / CONFIG_NAME).is_file() and not (run / SUMMARY_NAME).exists()
        if started and not differences(read_config(run), description) and not is_held(run):
            return run
    return None


@contextmanager
def hold_run(run: Path) -> Iterator[HeldLock]:
    """Hold a run folder for this process.

    Raises:
        M3diError: Another process holds it; the message says which.
    """
    with locked(run, ".lock", "another process is training in this folder") as lock:
        yield lock


def is_held(run: Path) -> bool:
    """Whether another process, or another part of this one, holds a run folder."""
    try:
        with hold_run(run):
            return False
    except M3diError:
        return True


def claim(run: Path, description: Mapping[str, Any]) -> None:
    """Make `run` the folder of the described run, or check that it is.

    A run that differs in having fewer steps is made longer: it goes on from its last checkpoint.

    Raises:
        M3diError: It holds another run, or is no folder; or its learning rate does not let it be longer. Nothing was
            changed.
    """
    if run.exists() and not run.is_dir():
        raise M3diError("the run folder is a file", where=str(run), next_step="choose another run folder")
    if (run / CONFIG_NAME).exists():
        differing = differences(read_config(run), description)
        if set(differing) == {"n_steps"} and differing["n_steps"][0] < differing["n_steps"][1]:
            _lengthen(run, description)
        elif differing:
            raise another_run(run, differing)
        return
    for name, what in NO_RUNS.items():
        if (run / name).exists():
            raise M3diError(
                f"the folder is that of {what}, not of a run",
                where=str(run),
                got=name,
                expected="a new or empty folder, or that of a run",
                next_step="choose another folder with --run; nothing was changed",
            )
    for name in (METRICS_NAME, CHECKPOINT_NAME, SUMMARY_NAME):
        if (run / name).exists():
            raise M3diError(
                f"the run folder already holds a run, without its {CONFIG_NAME}",
                where=str(run),
                got=name,
                expected="a new or empty folder",
                next_step="choose another run folder, or delete this one; nothing was changed",
            )
    write_config(run, description)


def note_continuation(run: Path, description: Mapping[str, Any]) -> None:
    """Add to config.json on what an unfinished run goes on, where that differs from what it ran on before.

    Args:
        run: The run folder, held by this process.
        description: What `claim` was given.
    """
    if (run / SUMMARY_NAME).exists():
        return
    stored = read_config(run)
    changed = changes_of_machine(stored, description)
    if changed:
        done = sorted(run.glob(f"{CHECKPOINT_NAME}/step-*[0-9]"))
        first = {"after_step": int(done[-1].name.rpartition("-")[2]) if done else 0}
        write_config(run, {**stored, "continued": [*stored.get("continued", ()), first | changed]})


def _lengthen(run: Path, description: Mapping[str, Any]) -> None:
    """Let a run continue to more steps."""
    stored, wanted = read_config(run), description["config"]
    before = stored["config"]["n_steps"]
    if wanted["schedule"] != "constant":
        raise M3diError(
            "this run cannot be made longer: its learning rate falls to 0 at its last step",
            where=str(run),
            got=f"schedule {wanted['schedule']}, n_steps {before}",
            expected="schedule constant, whose longer run is the same up to there",
            next_step=f"train {wanted['n_steps']} steps in a new run folder; nothing was changed",
        )
    with hold_run(run):  # nobody is training in it
        # First the summary goes, which says that it is finished: killed before the new config, it goes on either way.
        (run / SUMMARY_NAME).unlink(missing_ok=True)
        sync_folder(run)
        write_config(run, {**stored, "config": {**stored["config"], "n_steps": wanted["n_steps"]}})


def another_run(run: Path, differing: Mapping[str, tuple[Any, Any]]) -> M3diError:
    """Make the error for a run folder that holds another run."""
    return M3diError(
        "the run folder already holds a run, and it is another one",
        where=str(run),
        got=", ".join(f"{name} {before}" for name, (before, _) in differing.items()),
        expected=", ".join(f"{name} {wanted}" for name, (_, wanted) in differing.items()),
        next_step="choose another run folder, or ask for the same settings to go on with that run; nothing was changed",
    )


def write_config(run: Path, config: Mapping[str, Any]) -> None:
    """Write RUN/config.json, making the folder."""
    write_json(run / CONFIG_NAME, config)


def write_summary(run: Path, summary: Mapping[str, Any]) -> None:
    """Write RUN/summary.json: the run is finished."""
    write_json(run / SUMMARY_NAME, summary)


def load_encoders(
    run: str | os.PathLike[str], device: str = "cpu", checkpoint: str | os.PathLike[str] | None = None
) -> Encoders:
    """Rebuild the encoders of a run, in evaluation mode.

    Args:
        run: A folder that `train` wrote.
        device: Where to put them ("cpu", "cuda").
        checkpoint: One of `all_checkpoints(run)`; the newest if None.

    Raises:
        M3diError: The folder holds no run, no checkpoint yet, or one that does not fit its config.json.
        UsageError: The run's encoders are registered by a package that is not there.

    Example:
        >>> from m3di import Multimodal3DIdent, load_encoders
        >>> images = Multimodal3DIdent("data/m3di")[[0, 1, 2]]["image"]
        >>> load_encoders("runs/first").encode_images(images).shape  # of the run in the example of `train`
        torch.Size([3, 4])
    """
    run = Path(run)
    stored = read_config(run)
    try:
        config = config_from_json(stored["config"])
        inputs = {view: ViewInput.from_json(each) for view, each in stored["data"]["views"].items()}
        statistics = {view: _statistics(each) for view, each in stored["image_statistics"].items()}
    except (AttributeError, KeyError, TypeError) as error:
        raise M3diError(
            "config.json is not that of a training run",
            where=str(run / CONFIG_NAME),
            got=f"{type(error).__name__}: {error}",
            next_step="point to a folder that `m3di train` wrote",
        ) from error
    encoders = build_encoders(inputs, config, statistics)
    load_weights(encoders, Path(checkpoint) if checkpoint else latest_checkpoint(run))
    return encoders.to(device).eval()


def _statistics(stored: Mapping[str, Any]) -> ImageStatistics:
    return ImageStatistics(tuple(stored["mean"]), tuple(stored["std"]), stored["n_samples"])


def read_config(run: Path) -> dict[str, Any]:
    """RUN/config.json as a dict.

    Raises:
        M3diError: There is none, or it is not JSON.
    """
    if not (run / CONFIG_NAME).is_file():
        inside = sorted(path.parent for name in (CONFIG_NAME, SWEEP_NAME) for path in run.glob(f"*/{name}"))
        raise M3diError(
            "this folder holds no training run",
            where=str(run),
            got="nothing" if not run.exists() else f"the folders of {len(inside)} runs and sweeps" if inside else None,
            expected=f"a folder with {CONFIG_NAME}",
            next_step=f"name one of them, such as {inside[-1]}"
            if inside
            else "point to a folder that `m3di train` wrote",
        )
    return read_json(run / CONFIG_NAME)


def read_summary(run: Path) -> dict[str, Any] | None:
    """RUN/summary.json as a dict, or None if the run is not finished.

    Raises:
        M3diError: It is not JSON.
    """
    return read_json(run / SUMMARY_NAME) if (run / SUMMARY_NAME).is_file() else None
