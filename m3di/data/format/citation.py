"""How a dataset is cited, and when it was made: what card and Croissant file both say."""

from __future__ import annotations

import os
from datetime import datetime, timezone

from m3di.errors import UsageError

CREATOR = "The m3di authors"
SOFTWARE = """@software{m3di,
  title = {m3di: multimodal datasets whose every generative factor is known},
  author = {{The m3di authors}}
}"""
PAPER = """@inproceedings{daunhawer2023identifiability,
  title = {Identifiability Results for Multimodal Contrastive Learning},
  author = {Daunhawer, Imant and Bizeul, Alice and Palumbo, Emanuele and Marx, Alexander and Vogt, Julia E.},
  booktitle = {International Conference on Learning Representations},
  year = {2023}
}"""
DAY = "SOURCE_DATE_EPOCH"


def cited(*, imported: bool) -> str:
    """Return BibTeX: the paper alone for its published files, else m3di and the paper that its scenes come from."""
    return PAPER if imported else f"{SOFTWARE}\n\n{PAPER}"


def today() -> str:
    """Return the day (UTC, YYYY-MM-DD); that of SOURCE_DATE_EPOCH, if the variable is set, for bytes that stay equal.

    Raises:
        UsageError: The variable is no number of seconds.
    """
    given = os.environ.get(DAY)
    if not given:
        return datetime.now(timezone.utc).date().isoformat()
    try:
        seconds = int(given)
        if seconds < 0:
            raise ValueError("before 1970")
        return datetime.fromtimestamp(seconds, timezone.utc).date().isoformat()
    except (ValueError, OverflowError, OSError) as error:
        raise UsageError(
            "this is no moment", where=DAY, got=given, expected="seconds since 1970, such as 1767225600"
        ) from error
