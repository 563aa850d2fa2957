"""Write the metrics of a run: a CSV file, and loggers.

metrics.csv has one line a step, from step 1 on:

  step         number of the step
  loss         of the step's batch, before its update, in nats
  val_loss     of the whole batches of the val split, or of one smaller batch where it has no whole one; encoders in
               evaluation mode; measured now and then, else empty
  alignment    first term of the asymptotic loss, of the step's batch; now and then, mean over pairs of views
  entropy      its second term, mean over views; now and then
  temperature  tau of the loss; this and the two before it are empty where the loss has no temperature
  lr           learning rate
  seconds      since the run began, time in which it stood still left out
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from m3di.learn.training.loggers import LOGGERS, LoggedRun, Logger
from m3di.system.files import write_atomically

COLUMNS = ("step", "loss", "val_loss", "alignment", "entropy", "temperature", "lr", "seconds")


class MetricsFile:
    """A CSV file with a line a step, after those of the steps that a run goes on from.

    Args:
        path: The file; lines after `n_done` are of steps that are made again, and are cut off.
        columns: Its columns; the first is the step.
        n_done: Steps that the run goes on from.
    """

    def __init__(self, path: Path, columns: Sequence[str], n_done: int) -> None:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)[1:] if n_done and path.exists() else []
        # A last line without its end was being written.
        kept = [line for line in lines if line.endswith("\n") and int(line.split(",")[0]) <= n_done]
        write_atomically(path, "".join([",".join(columns) + "\n", *kept]).encode())
        self._file = path.open("a", encoding="utf-8", newline="")
        self._writer = csv.DictWriter(self._file, columns, lineterminator="\n")

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Write the metrics of a step; missing ones stay empty."""
        self._writer.writerow({"step": step, **{name: f"{value:.9g}" for name, value in values.items()}})
        self._file.flush()

    def __enter__(self) -> MetricsFile:
        return self

    def __exit__(self, *_error: object) -> None:
        self._file.close()


class MetricsLog:
    """Writes the metrics of each step, after those of the steps that a run goes on from.

    Args:
        csv_path: The CSV file; lines after `run.first_step` are from steps that are made again, and are cut off.
        run: What the loggers are told of the run.
        loggers: Names of loggers, see `m3di.learn.training.loggers`.

    Raises:
        M3diError: A logger is not installed.
    """

    def __init__(self, csv_path: Path, run: LoggedRun, loggers: Sequence[str] = ()) -> None:
        self._loggers: list[Logger] = [LOGGERS[name](run) for name in loggers]
        self._file = MetricsFile(csv_path, COLUMNS, run.first_step)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Write the metrics of a step; missing ones stay empty."""
        self._file.write(step, values)
        for logger in self._loggers:
            logger.log(step, values)

    def __enter__(self) -> MetricsLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.__exit__()
        for logger in self._loggers:
            logger.close(failed=error is not None)
