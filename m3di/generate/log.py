"""The log of a run: one JSON object a line. It is no part of the dataset, and the next run appends to it.

It lies in the folder of the dataset, or is brought there, and may be published one day: so it names no machine, no
process and no folder outside it.
"""

from __future__ import annotations

import json
import os
import re
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from m3di import data
from m3di.generate.shards import Progress
from m3di.render import PoolEvent

_PATH = re.compile(r"""(?:file:/+|(?<![\w.:/]))/?(?:/[^\s/'"<>|:;,)]+)+/?|\b[A-Za-z]:\\[^\s'"<>|;,)]+""")
_PROCESS = re.compile(r"\b(process|pid)([ =:]+)\d+", re.IGNORECASE)


def without_places(text: str, folder: Path) -> str:
    """Remove from a message what tells where it was written: outside paths, the machine, process numbers.

    Args:
        text: The message.
        folder: The folder of the dataset: paths in it become relative.
    """
    for inside in sorted({str(folder), str(folder.absolute()), str(folder.resolve())}, key=len, reverse=True):
        if len(inside) > 1:
            text = text.replace(f"{inside}/", "")
    text = _PATH.sub("[path]", text)
    text = re.sub(rf"(?<!\w){re.escape(socket.gethostname())}(?!\w)", "[host]", text)
    return _PROCESS.sub(r"\1\2[number]", text)


@dataclass(frozen=True)
class LogFile:
    """The log in a folder.

    Args:
        path: The file.
    """

    path: Path

    def write(self, event: str, **fields: Any) -> None:
        """Append a line.

        Raises:
            OSError: It cannot be written.
        """
        if "why" in fields:
            fields["why"] = without_places(str(fields["why"]), self.path.parent)
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        line = json.dumps({"time": now, "event": event, **fields}, ensure_ascii=False)
        with self.path.open("ab+") as stream:
            # A run that was killed may have left half a line.
            is_whole = stream.seek(0, os.SEEK_END) == 0 or (stream.seek(-1, os.SEEK_END), stream.read(1))[1] == b"\n"
            stream.write((b"" if is_whole else b"\n") + line.encode() + b"\n")

    def write_pool_event(self, event: PoolEvent, **fields: Any) -> None:
        """Append a line about a worker; the begin of an image gets none."""
        if event.kind == "begin":
            return
        fields["worker"] = event.worker
        if event.image:
            fields["image"] = event.image
        if event.kind == "image":
            fields |= {"seconds": round(event.seconds, 3), "memory_mb": round(event.memory_bytes / 1e6, 1)}
        if event.why:
            fields["why"] = event.why
        self.write(event.kind, **fields)

    def write_shard(self, name: str) -> None:
        """Append a line about a finished shard."""
        self.write("shard", file=name)


@contextmanager
def logged(log: LogFile, plan: data.Plan, gpus: Sequence[str], progress: Progress | None) -> Iterator[Progress]:
    """Note start and end of a run, however it ends, and how many samples were there then.

    Args:
        log: The log.
        plan: The plan of the dataset.
        gpus: The GPUs that render; empty for the CPU, and if other machines render.
        progress: Called with samples done and samples in all.

    Returns:
        What the run calls instead of `progress`.
    """
    began, state = time.monotonic(), {"n_done": 0}

    def count(done: int, total: int) -> None:
        state["n_done"] = done
        if progress:
            progress(done, total)

    settings = {"n_samples": plan.n_samples, **plan.render, **({"gpus": list(gpus)} if gpus else {})}
    log.write("start", plan=data.plan_fingerprint(plan), **settings)
    try:
        yield count
    except BaseException as error:
        why = "interrupted" if isinstance(error, KeyboardInterrupt) else str(error).partition("\n")[0]
        with suppress(OSError):  # the disk may be full, and that is what `error` says
            log.write("stop", why=why or type(error).__name__, seconds=round(time.monotonic() - began, 1), **state)
        raise
    log.write("finish", seconds=round(time.monotonic() - began, 1), **state)
