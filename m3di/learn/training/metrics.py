"""The metrics of a run as it goes: a CSV file, and the loggers that were asked for.

metrics.csv has one line a step, from step 1 on:

  step         number of the step
  loss         of the step's batch, before its update, in nats
  val_loss     of the val split, encoders in evaluation mode; measured now and then, else empty
  alignment    first term of the asymptotic loss, of the step's batch; now and then, mean over pairs of views
  entropy      its second term, mean over views; now and then
  temperature  tau of the loss
  lr           learning rate
  seconds      since the run began, time in which it stood still left out
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from m3di.learn.training.loggers import LOGGERS, LoggedRun, Logger
from m3di.system.files import write_through

COLUMNS = ("step", "loss", "val_loss", "alignment", "entropy", "temperature", "lr", "seconds")


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
        kept = _lines_until(csv_path, run.first_step)
        write_through(csv_path, "".join(kept))
        self._loggers: list[Logger] = [LOGGERS[name](run) for name in loggers]
        self._file = csv_path.open("a", encoding="utf-8", newline="")

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """One step's metrics; what is not there stays empty."""
        cells = {name: f"{value:.9g}" for name, value in values.items()}
        csv.DictWriter(self._file, COLUMNS, lineterminator="\n").writerow({"step": step, **cells})
        self._file.flush()
        for logger in self._loggers:
            logger.log(step, values)

    def __enter__(self) -> MetricsLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        for logger in self._loggers:
            logger.close(failed=error is not None)


def _lines_until(path: Path, last_step: int) -> list[str]:
    """Header, and the lines of the steps up to `last_step`; a last line without its end was being written."""
    header = ",".join(COLUMNS) + "\n"
    if not last_step or not path.exists():
        return [header]
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)[1:]
    return [header, *(line for line in lines if line.endswith("\n") and int(line.split(",")[0]) <= last_step)]
