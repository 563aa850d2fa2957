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
            f"no release: CHANGELOG.md has no notes for {version}: give the section its heading, "
            f"`## {version} (YYYY-MM-DD)`, or set the version in m3di/_version.py and CITATION.cff"
        )
    return found[1].strip() + "\n"


def version_of(module: str, citation: str) -> str:
    """Return the version that a release has, by the texts of `m3di/_version.py` and CITATION.cff.

    Raises:
        SystemExit: They differ.
    """
    ours = re.search(r'^__version__ = "([^"]+)"$', module, re.M)
    cited = re.search(r"^version: ['\"]?([^'\"\n]+)['\"]?$", citation, re.M)
    if not ours or not cited or ours[1] != cited[1]:
        found = [each[1] if each else "none" for each in (ours, cited)]
        raise SystemExit(f"no release: m3di/_version.py has the version {found[0]}, CITATION.cff {found[1]}")
    return ours[1]


if __name__ == "__main__":  # on any Python, before anything is installed
    names = ("m3di/_version.py", "CITATION.cff", "CHANGELOG.md")
    module, citation, changelog = ((ROOT / name).read_text(encoding="utf-8") for name in names)
    sys.stdout.write(release_notes(changelog, version_of(module, citation)))
