"""Stands for `m3di.reproduce.member_worker`: a member ends as its key says, and each key is noted."""

from __future__ import annotations

import json
import sys
from pathlib import Path

noted = Path(sys.argv[1]) / "asked.txt"
for line in sys.stdin:
    key = line.strip()
    with noted.open("a") as file:
        file.write(f"{key} {sys.argv[2]}\n")
    print("something that a library prints", file=sys.stderr)
    if "die" in key:
        sys.exit(3)
    print(json.dumps({"event": "units", "key": key, "done": 1, "total": 2}), flush=True)
    if "fail" in key:
        print(json.dumps({"event": "failed", "key": key, "why": "no\nluck"}), flush=True)
    elif "endless" not in key:
        print(json.dumps({"event": "finished", "key": key}), flush=True)
