"""Print what CHANGELOG.md says of the version that is about to be released: `make release` asks for it."""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def release_notes(changelog: str, version: str) -> str:
    """Return the section of a version, without its heading.

    Raises:
        SystemExit: There is none, it has no date, or it is empty.
    """
    found = re.search(rf"^## {re.escape(version)} \(\d{{4}}-\d\d-\d\d\)\n(.*?)(?=^## |\Z)", changelog, re.M | re.S)
    if not found or not found[1].strip():
        raise SystemExit(
            f"CHANGELOG.md has no notes for {version}: give the section its heading, `## {version} (YYYY-MM-DD)`, "
            "or set the version in m3di/_version.py and CITATION.cff"
        )
    return found[1].strip() + "\n"


if __name__ == "__main__":
    from m3di._version import __version__

    sys.stdout.write(release_notes((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), __version__))
