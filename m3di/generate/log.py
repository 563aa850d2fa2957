"""`render.log.jsonl`: what happened when, one JSON object a line. No part of the dataset; every run appends to it.

It lies in the folder that may be published one day: so it names no machine, no process, and no folder outside it.
"""

from __future__ import annotations

import json
import os
import re
import socket
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from m3di.render import PoolEvent

_PATH = re.compile(r"""(?:file:/+|(?<![\w.:/]))/?(?:/[^\s/'"<>|:;,)]+)+/?|\b[A-Za-z]:\\[^\s'"<>|;,)]+""")
_PROCESS = re.compile(r"\b(process|pid)([ =:]+)\d+", re.IGNORECASE)


def without_places(text: str, folder: Path) -> str:
    """A message without what says where it was written: paths outside the dataset, the machine, numbers of processes.

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

    def write_pool_event(self, event: PoolEvent) -> None:
        """A line about a worker; that an image was begun is not worth one."""
        if event.kind == "begin":
            return
        fields: dict[str, Any] = {"worker": event.worker}
        if event.image:
            fields["image"] = event.image
        if event.kind == "image":
            fields |= {"seconds": round(event.seconds, 3), "memory_mb": round(event.memory_bytes / 1e6, 1)}
        if event.why:
            fields["why"] = event.why
        self.write(event.kind, **fields)

    def write_shard(self, name: str) -> None:
        """A line about a shard that is finished."""
        self.write("shard", file=name)
